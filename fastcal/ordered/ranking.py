"""Figures of a ranking from groups of equal scores; NaN where a label is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .groups import Groups

MAX_PAIRS = 1 << 61  # that are counted in integers


class Ranking:
    """Groups by class, and what the figures of a ranking are made of."""

    def __init__(self, groups: Groups) -> None:
        self.score = groups.score
        self.negatives, self.positives = (np.ascontiguousarray(one) for one in groups.totals())
        self.n_negative, self.n_positive = (_total(one) for one in (self.negatives, self.positives))

    def auroc(self) -> float:
        """The share of pairs of a positive and a negative in which the positive's score is higher, ties half."""
        if not (self.n_negative and self.n_positive):
            return math.nan
        negatives, positives = self.negatives, self.positives
        if self.n_negative * self.n_positive >= MAX_PAIRS:
            negatives, positives = negatives.astype(np.float64), positives.astype(np.float64)
        pairs = kernels.ranking.pairs(negatives, positives)
        return min(float(pairs / 2 / self.n_negative / self.n_positive), 1.0)

    def auroc_bound(self) -> float:
        """Half the share of pairs within a group: how far off AUROC may be if a group is not of equal scores."""
        if not (self.n_negative and self.n_positive):
            return math.nan
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

    def steps(self) -> tuple[Array, Array, Array]:
        """From the highest threshold down: thresholds, and the weights of negatives and positives at or above each."""
        return self.score[::-1], np.cumsum(self.negatives[::-1]), np.cumsum(self.positives[::-1])


def _total(weights: Array) -> Any:
    return int(weights.sum()) if weights.dtype.kind == "i" else math.fsum(weights)
