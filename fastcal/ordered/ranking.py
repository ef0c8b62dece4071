"""Figures of a ranking from groups of equal scores; NaN where a label is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..forks import linear_algebra
from ..stretches import cumulated, elementwise, exact_sum
from .groups import Groups

MAX_PAIRS = 1 << 61  # that are counted in integers


class Ranking:
    """Groups by class, and what the figures of a ranking are made of."""

    def __init__(self, groups: Groups) -> None:
        self.score = groups.score
        self.negatives, self.positives = (elementwise(np.ascontiguousarray, one) for one in groups.totals())
        self.n_negative, self.n_positive = (_total(one) for one in (self.negatives, self.positives))

    def turned(self) -> Ranking:
        """The ranking of label 0 as the positive one, by negated scores; views, which kernels take as they are."""
        other = Ranking.__new__(Ranking)
        other.score = -self.score[::-1]
        other.negatives, other.positives = self.positives[::-1], self.negatives[::-1]
        other.n_negative, other.n_positive = self.n_positive, self.n_negative
        return other

    def auroc(self) -> float:
        """The share of pairs of a positive and a negative in which the positive's score is higher, ties half."""
        if not (self.n_negative and self.n_positive):
            return math.nan
        pairs = kernels.ranking.pairs(*self._countable()[:2])
        return min(float(pairs / 2 / self.n_negative / self.n_positive), 1.0)

    def auroc_error(self) -> float:
        """The standard error of AUROC for rows counted once each; NaN where a label has fewer than two.

        From the variances of what single rows add to it (DeLong, DeLong, Clarke-Pearson 1988; Sun and Xu 2014 find
        these by sorting, as here).
        """
        if min(self.n_negative, self.n_positive) < 2:
            return math.nan
        n, m = self.n_positive, self.n_negative
        squares = kernels.separation.placements(self.negatives, self.positives, m, n, self.auroc())
        return math.sqrt(squares[0] / (n - 1) / n + squares[1] / (m - 1) / m)

    def auroc_bound(self) -> float:
        """Half the share of pairs within a group: how far off AUROC may be if a group is not of equal scores."""
        if not (self.n_negative and self.n_positive):
            return math.nan
        with linear_algebra():
            tied = np.dot(self.negatives.astype(float), self.positives.astype(float))
        return float(tied / 2 / self.n_negative / self.n_positive)

    def average_precision(self) -> float:
        """sum_n (R_n - R_(n-1)) P_n over thresholds from the highest down."""
        if not self.n_positive:
            return math.nan
        return min(float(kernels.ranking.precision(self.negatives, self.positives) / self.n_positive), 1.0)

    def fpr_at_tpr(self, tpr: float) -> float:
        """The share of negatives at or above the highest threshold at or above which that share of positives is."""
        if not (self.n_negative and self.n_positive):
            return math.nan
        least = max(tpr - 1e-12, tpr / 2) * self.n_positive  # 0.95 of 20 is 19, whatever 0.95 and sums round to
        return float(kernels.ranking.reach(self.negatives, self.positives, float(least)) / self.n_negative)

    def detection_error(self) -> float:
        """The least over thresholds of the mean of both labels' shares on the wrong side; at most 1/2."""
        if not (self.n_negative and self.n_positive):
            return math.nan
        negatives, positives, n_negative, n_positive = self._countable()
        least = kernels.separation.least_error(negatives, positives, n_negative, n_positive)
        return max(float(least / 2 / self.n_negative / self.n_positive), 0.0)

    def _countable(self) -> tuple[Array, Array, Any, Any]:
        """Groups and totals, of a type in which pairs can be counted."""
        arrays = self.negatives, self.positives
        totals = self.n_negative, self.n_positive
        if totals[0] * totals[1] >= MAX_PAIRS:
            arrays = self.negatives.astype(np.float64), self.positives.astype(np.float64)
            totals = float(totals[0]), float(totals[1])
        return *arrays, *totals

    def steps(self) -> tuple[Array, Array, Array]:
        """From the highest threshold down: thresholds, and the weights of negatives and positives at or above each."""
        return self.score[::-1], cumulated(self.negatives[::-1]), cumulated(self.positives[::-1])


def _total(weights: Array) -> Any:
    return int(weights.sum()) if weights.dtype.kind == "i" else exact_sum(weights)
