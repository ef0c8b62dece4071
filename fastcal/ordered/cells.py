"""Groups of a limited number: exact while there are few scores, else cells of scores that share their leading bits.

A cell is a key of float64 without its lowest ``level`` bits. The level is the least that leaves no more than so many
cells, so it depends on the set of scores alone, and not on how rows were cut up or merged: coarser cells contain finer
ones, and a part of the rows never needs a higher level than all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .groups import Groups

MAX_LEVEL = 63
LARGEST_KEY = 0x7FEFFFFFFFFFFFFF  # of the largest float64


@dataclass(frozen=True)
class Cells:
    """Cells that rise, and two sums of each, as in :class:`Groups`."""

    level: int
    keys: Array  # (m,) int64
    sums: Array  # (m, 2) int64 or (m, 4) float64

    @classmethod
    def empty(cls) -> Cells:
        """No cells: the identity."""
        return cls(0, np.empty(0, np.int64), np.empty((0, 2), np.int64))

    @classmethod
    def of(cls, groups: Groups, limit: int | None) -> Cells:
        """The cells of groups, at most so many."""
        keys = np.empty(len(groups.score), np.int64)
        kernels.sorting.keys(groups.score, keys)
        return cls(0, keys, groups.sums).limited(limit)

    def merged(self, other: Cells, limit: int | None, *, by_class: bool) -> Cells:
        """What both hold, in at most so many cells."""
        if not len(other.keys):
            return self
        if not len(self.keys):
            return other
        level = max(self.level, other.level)
        mine, theirs = self.sums, other.sums
        if mine.shape[1] != theirs.shape[1]:
            mine, theirs = (in_two_parts(sums, by_class=by_class) for sums in (mine, theirs))
        n = len(mine) + len(theirs)
        keys, sums = np.empty(n, np.int64), np.empty((n, mine.shape[1]), mine.dtype)
        n = kernels.grouping.merge(
            self.keys, mine, np.int64(level - self.level), other.keys, theirs, np.int64(level - other.level), keys, sums
        )
        return Cells(level, keys[:n], sums[:n]).limited(limit)

    def limited(self, limit: int | None) -> Cells:
        """At most so many cells: those of the least level that will do."""
        if limit is None or len(self.keys) <= limit:
            return self
        counts = np.zeros(64, np.int64)
        kernels.grouping.differing(self.keys, counts)
        left = 1 + np.cumsum(counts[::-1])[::-1]  # cells if so many bits are dropped
        up = int(np.argmax(left <= limit))
        n = int(left[up])
        keys, sums = np.empty(n, np.int64), np.empty((n, self.sums.shape[1]), self.sums.dtype)
        none = self.keys[:0], self.sums[:0], np.int64(0)
        kernels.grouping.merge(self.keys, self.sums, np.int64(up), *none, keys, sums)
        return Cells(self.level + up, keys, sums)

    def groups(self) -> Groups:
        """Each cell as a group of the least score in it."""
        return Groups(self._edges()[0], self.sums)

    def resolution(self) -> float:
        """How far apart two scores of a cell may be, at most."""
        if self.level == 0 or not len(self.keys):
            return 0.0
        low, high = self._edges()
        with np.errstate(over="ignore"):
            return float((high - low).max())

    def _edges(self) -> tuple[Array, Array]:
        """The least and the largest score that each cell may hold."""
        low = self.keys << np.int64(self.level)
        high = np.minimum(low + ((1 << self.level) - 1), LARGEST_KEY)
        return scores_of(np.maximum(low, -LARGEST_KEY - 1)), scores_of(high)


def scores_of(keys: Array) -> Array:
    """The float64 with these keys."""
    bits = keys ^ ((keys >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
    return np.asarray(bits.view(np.float64))


def in_two_parts(sums: Array, *, by_class: bool) -> Array:
    """Counts of labels as floats in two parts: the weights of either label, or weights and weighted targets."""
    if sums.shape[1] == 4:
        return sums
    parts = np.zeros((len(sums), 4))
    parts[:, 0] = sums[:, 0] if by_class else sums[:, 0] + sums[:, 1]
    parts[:, 2] = sums[:, 1]
    return parts
