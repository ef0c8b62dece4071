"""Groups of a limited number: exact while there are few scores, else cells of scores that share their leading bits.

A cell is a key of float64 without its lowest ``level`` bits. The level is the least that leaves no more than so many
cells, so it depends on the set of scores alone, and not on how rows were cut up or merged: coarser cells contain finer
ones, and a part of the rows never needs a higher level than all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..stretches import elementwise, stretches
from .groups import Groups, blocks_of, in_two_parts

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
        up, their_up = np.int64(level - self.level), np.int64(level - other.level)
        n = len(mine) + len(theirs)
        keys, sums = np.empty(n, np.int64), np.empty((n, mine.shape[1]), mine.dtype)
        start = their_start = n = 0
        for part in stretches(len(self.keys)):  # each with what of the other's is below the next one's first cell
            stop, their_stop = len(self.keys), len(other.keys)
            if part.stop < stop:
                first = self.keys[part.stop] >> up
                stop = int(np.searchsorted(self.keys, first << up))
                their_stop = int(np.searchsorted(other.keys, first << their_up))
            here, there = slice(start, stop), slice(their_start, their_stop)
            n += kernels.grouping.merge(
                self.keys[here], mine[here], up, other.keys[there], theirs[there], their_up, keys[n:], sums[n:]
            )
            start, their_start = stop, their_stop
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
        return Groups(elementwise(lambda keys: self.edges(keys)[0], self.keys), self.sums)

    def resolution(self) -> float:
        """How far apart two scores of a cell may be, at most."""
        if self.level == 0 or not len(self.keys):
            return 0.0
        low, high = self.edges()
        with np.errstate(over="ignore"):
            return float((high - low).max())

    def ends(self, scores: Array) -> Array:
        """The largest scores of the cells that begin with these."""
        low, high = self.edges()
        return high[np.searchsorted(low, scores)]

    def variance_within(self, square: tuple[float, float]) -> float:
        """The mean squared distance of targets from the mean of their cell, from the sum of their squares.

        Both that and each cell's square are held in two parts, so that what they have in common cancels.
        """
        weight, weight_rest, target, target_rest = in_two_parts(self.sums, by_class=False).T
        product, rest = _multiplied(target, target)
        rest = rest + 2 * target * target_rest
        quotient = product / weight
        back, back_rest = _multiplied(quotient, weight)
        more = ((product - back) - back_rest + rest - quotient * weight_rest) / weight
        within = math.fsum([*square, *(-quotient).tolist(), *(-more).tolist()])
        return max(within, 0.0) / math.fsum(weight)

    def edges(self, keys: Array | None = None) -> tuple[Array, Array]:
        """The least and the largest score that each cell, or each of some, may hold."""
        low = (self.keys if keys is None else keys) << np.int64(self.level)
        high = np.minimum(low + ((1 << self.level) - 1), LARGEST_KEY)
        high = np.where(high == -1, -2, high)  # -1 is the key of -0.0, which is 0.0 here
        return scores_of(np.maximum(low, -LARGEST_KEY - 1)), scores_of(high)


def hot_cells(cells: Cells, bounds: tuple[float, float], *, falling: bool) -> Array:
    """In which cells a step of the exact fit may lie, of targets within ``bounds``: True for these.

    In the diagram of cumulated weights and targets the exact fit is the greatest convex minorant of all rows. That of
    the cells' corners is not below it. A cell whose rows cannot reach down to it, even if all that are at the lower
    bound came first and all others were at the upper one, has no corner of the exact one.
    """
    hot = np.zeros(len(cells.keys), bool)
    if cells.level == 0 or not len(hot):
        return hot
    weight, target = in_two_parts(cells.sums, by_class=False).reshape(-1, 2, 2).sum(axis=2).T
    low, high = (-bounds[1], -bounds[0]) if falling else bounds
    width = high - low or 1.0
    target = ((-target if falling else target) - low * weight) / width  # now within 0 and the weight
    numbers = np.arange(len(hot), dtype=np.float64)
    first = blocks_of(Groups(numbers, cells.sums), falling=falling).first.astype(np.int64)
    sizes = np.diff(first, append=len(hot))
    value = np.repeat(np.add.reduceat(target, first) / np.add.reduceat(weight, first), sizes)
    above = np.cumsum(target - value * weight)  # height over the minorant after each cell; whole blocks add up to 0
    before = np.append(0.0, above[:-1])
    lowest = before - value * (weight - target)
    margin = 1e-12 * weight.sum() * (1 + max(abs(low), abs(high)) / width) + 1e-9 * weight.max()
    hot = np.minimum(lowest, np.minimum(before, above)) <= margin
    hot[first] = hot[first + sizes - 1] = True
    return np.asarray(hot)


def among(keys: Array, some: Array) -> Array:
    """Which of these keys, which rise, are among some others, which rise too."""
    if not len(some):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(some, keys), len(some) - 1)
    return np.asarray(some[at] == keys)


def _multiplied(a: Array, b: Array) -> tuple[Array, Array]:
    """Products in two parts, exact (Dekker 1971)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = (_split(one) for one in (a, b))
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Array) -> tuple[Array, Array]:
    shifted = 134217729.0 * a
    high = shifted - (shifted - a)
    return high, a - high


def scores_of(keys: Array) -> Array:
    """The float64 with these keys."""
    bits = keys ^ ((keys >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
    return np.asarray(bits.view(np.float64))
