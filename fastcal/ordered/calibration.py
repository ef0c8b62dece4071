"""Calibration from predictions in their order: equal-mass bins, the sweep, and cumulative differences."""

from __future__ import annotations

import numpy as np

from fastcal import kernels

from .. import memory
from ..arrays import Array
from ..stretches import cumulated, elementwise
from .groups import Groups

MOST_SWEPT = 1 << 12


class OrderedPredictions:
    """Groups of equal confidence, from 0 to 1, with the weights of rows of outcome 0 and 1; ``n`` rows in all."""

    def __init__(self, groups: Groups, n: int) -> None:
        self.p = elementwise(lambda score: np.clip(score, 0.0, 1.0), groups.score)
        zeros, ones = groups.totals()
        self.hits = elementwise(lambda one: one.astype(np.float64), ones)
        self.weight = elementwise(lambda zero, one: (zero + one).astype(np.float64), zeros, ones)
        self.residual = elementwise(lambda hits, weight, p: hits - weight * p, self.hits, self.weight, self.p)
        self.total = float(self.weight.sum())
        self.unit = self.total / n  # of one row
        self.n = n
        self.slack = 0.0 if ones.dtype.kind == "i" else 1e-12
        self.most = min(n, MOST_SWEPT)

    def differences(self) -> Array:
        """sum over rows up to each group of (y - p), divided by all rows."""
        return elementwise(lambda one: one / self.total, cumulated(self.residual))

    def ks(self) -> float:
        """The largest absolute cumulative difference."""
        found = self.differences()
        return float(max(found.max(), -found.min()))

    def kuiper(self) -> float:
        """The largest cumulative difference less the least, 0 among them."""
        found = self.differences()
        return float(max(found.max(), 0.0) - min(found.min(), 0.0))

    def edges(self, n_bins: int) -> Array:
        """Quantiles k / n_bins of the confidences, without duplicates: at least one.

        As ``np.quantile``, linear between rows. With weights the quantile lies at q (W - W / n) of the cumulated weight
        W, and it moves on to the next score over the last W / n of a group, or over all of a lighter one.
        """
        after = self.in_rows(cumulated(self.weight))
        place = (self.n - 1) * np.linspace(0.0, 1.0, n_bins + 1)
        group = np.minimum(np.searchsorted(after, place, side="right"), len(after) - 1)
        weight = after[group] - np.where(group > 0, after[group - 1], 0.0)
        step = np.minimum(1.0, weight)
        share = np.clip((place - (after[group] - weight) - (weight - step)) / step, 0.0, 1.0)
        here, ahead = self.p[group], self.p[np.minimum(group + 1, len(after) - 1)]
        width = ahead - here
        return np.unique(np.where(share < 0.5, here + width * share, ahead - width * (1 - share)))

    def l1(self, n_bins: int) -> float:
        """ECE over equal-mass bins."""
        first = np.append(0, np.searchsorted(self.p, self.edges(n_bins)[1:-1], side="right"))
        first = np.unique(first[first < len(self.p)])
        return float(abs(np.add.reduceat(self.residual, first)).sum() / self.total)

    def swept(self) -> int:
        """The most equal-mass bins, at most ``MOST_SWEPT``, for which accuracies rise, as for all fewer."""
        weight, hits = (self.in_rows(_from_zero(one)) for one in (self.weight, self.hits))
        return max(int(kernels.sweep.most_bins(weight, hits, self.slack, self.most)), 1)

    def in_rows(self, weights: Array) -> Array:
        """In units of the mean weight of a row; whole where they are but for rounding: equal weights count rows."""

        def counted(some: Array) -> Array:
            rows = some / self.unit
            whole = np.rint(rows)
            return np.where(abs(rows - whole) <= 1e-12 * whole, whole, rows)

        return elementwise(counted, weights)

    def bound(self, resolution: float, n_bins: int) -> float:
        """How far ks, kuiper and l1 may be off where groups hold scores as far apart as ``resolution``.

        Within a group a cumulative difference may go as far as its residuals of either sign reach; an edge of a bin may
        lie anywhere in its group, and what changes bins counts twice; each score is half the resolution off its group's
        at most.
        """
        if not resolution:
            return 0.0
        swing = self.hits * (1 - self.p) + (self.weight - self.hits) * self.p
        place = np.searchsorted(self.p, self.edges(n_bins)[1:-1])
        at_edges = np.unique(np.append(np.minimum(place, len(self.p) - 1), [0, len(self.p) - 1]))
        return float(2 * max(swing[at_edges].sum(), swing.max()) / self.total + resolution)


def _from_zero(values: Array) -> Array:
    """0, and the cumulated values."""
    found = memory.empty((len(values) + 1,), values.dtype)
    found[0] = 0.0
    cumulated(values, out=found[1:])
    return found
