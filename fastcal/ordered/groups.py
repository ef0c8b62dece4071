"""Groups of equal scores, and the blocks of the isotonic fit, from rows in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import Array
from ..stretches import concatenated, elementwise
from .columns import ScoredRows
from .pieces import Pieces, cut

# Groups are made of so many rows of a piece at a time: a piece of many scores close to each other may be large.
PART_ROWS = 1 << 16
# Counts are pooled exactly below this; products of larger ones could overflow.
MAX_COUNT = 1 << 31


@dataclass(frozen=True)
class Groups:
    """Rows of equal scores as one: scores that rise, and two sums each (see kernels/grouping.py)."""

    score: Array
    sums: Array  # (m, 2) counts of labels 0 and 1; or (m, 4): two sums of floats, each in two parts

    def totals(self) -> tuple[Array, Array]:
        """Both sums."""
        if self.sums.shape[1] == 2:
            return self.sums[:, 0], self.sums[:, 1]
        first, first_rest, second, second_rest = self.sums.T
        return elementwise(np.add, first, first_rest), elementwise(np.add, second, second_rest)


@dataclass(frozen=True)
class Blocks:
    """Blocks of an isotonic fit: the first and the last score of each, its value, and its weight."""

    first: Array
    last: Array
    value: Array
    weight: Array


class _Sort:
    """Sorts pieces, one after the other, and groups what they hold, a part of a large piece at a time."""

    def __init__(self, pieces: Pieces, by_class: bool) -> None:
        self.pieces = pieces
        self.by_class = by_class
        self.counted = pieces.weights is None and pieces.targets is None
        most = pieces.largest
        self.spare = np.empty(most, pieces.elements.dtype)
        self.counters = np.empty(1 << kernels.sorting.DIGIT, np.uint32)
        self.places = self.spare_places = None
        if not self.counted:
            self.places, self.spare_places = np.empty(most, np.uint32), np.empty(most, np.uint32)
        room = min(most, PART_ROWS)
        self.score = np.empty(room)
        self.sums = np.empty((room, 2), np.int64) if self.counted else np.empty((room, 4))
        self.found: dict[int, list[tuple[Array, ...]]] = {}

    def __call__(self, number: int, stop: int) -> None:
        piece = slice(self.pieces.starts[number], self.pieces.starts[number + 1])
        elements = self.pieces.elements[piece]
        places = None if self.places is None else self.places[: len(elements)]
        if places is not None:
            places[:] = np.arange(len(elements))
        kernels.sorting.sort(elements, places, self.spare, self.spare_places, self.counters)
        found: list[tuple[Array, ...]] = []
        start = 0
        while start < len(elements) or not found:
            stop = min(start + PART_ROWS, len(elements))
            if stop < len(elements):  # equal scores stay together
                stop = int(np.searchsorted(elements, elements[stop - 1] | elements.dtype.type(1), side="right"))
            found.append(self.made_of(*self._grouped(number, slice(start, stop), places)))
            start = stop
        self.found[number] = found

    def _grouped(self, number: int, part: slice, places: Array | None) -> tuple[Array, Array]:
        """The groups of a part of a sorted piece, in memory that the next one will use."""
        pieces, grouping = self.pieces, kernels.grouping
        piece = slice(pieces.starts[number], pieces.starts[number + 1])
        elements, origin = pieces.elements[piece][part], pieces.origins[number]
        if self.counted:
            n = grouping.labels(elements, origin, pieces.like, self.score, self.sums)
        else:
            places = None if places is None else places[part]
            weights = None if pieces.weights is None else pieces.weights[piece]
            targets = None if pieces.targets is None else pieces.targets[piece]
            n = grouping.sums(
                elements, places, weights, targets, self.by_class, origin, pieces.like, self.score, self.sums
            )
        return self.score[:n], self.sums[:n]

    def made_of(self, score: Array, sums: Array) -> tuple[Array, ...]:
        """What is kept of some groups."""
        return score.copy(), sums.copy()


def groups(rows: ScoredRows, n_threads: int | None, *, by_class: bool) -> Groups:
    """Groups of equal scores. Sums: of the weights of either label (``by_class``), or weights and weighted targets.

    Counts of labels stand for both.
    """
    pieces = cut(rows, n_threads)
    score, sums = _gathered(_each(pieces, lambda: _Sort(pieces, by_class), n_threads))
    return Groups(score, sums)


def _each(pieces: Pieces, make_worker: Callable[[], _Sort], n_threads: int | None) -> list[tuple[Array, ...]]:
    """What workers found in the parts of each piece, in order."""
    n = len(pieces.starts) - 1
    workers = engine.run(n, 48 * (pieces.starts[-1] // max(n, 1) + 1), 1, make_worker, n_threads)
    found = {number: parts for worker in workers for number, parts in worker.found.items()}
    return [part for number in range(n) for part in found[number]]


def _gathered(found: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    if len(found) == 1:
        return found[0]
    return tuple(concatenated(arrays) for arrays in zip(*found, strict=True))


class _Pool(_Sort):
    """Sorts pieces and pools them.

    With a tolerance the groups that may be tied with those of another part are left as they are: *loose*.
    """

    def __init__(self, pieces: Pieces, tolerance: float, falling: bool) -> None:
        super().__init__(pieces, by_class=False)
        self.tolerance = tolerance
        self.falling = falling
        self.last = np.empty_like(self.score)
        self.value = np.empty_like(self.score)

    def made_of(self, score: Array, sums: Array) -> tuple[Array, ...]:
        """See :meth:`_Sort.made_of`."""
        if self.falling:
            turn_over(sums)
        n, body = len(score), slice(0, len(score))
        if self.tolerance and n:
            head, n = kernels.grouping.join(score, sums, self.tolerance)
            body = slice(head, max(n - 1, head))
        self.last[:n] = score[:n]
        kept = pooled(score[body], self.last[body], self.value[body], sums[body])
        index = np.r_[0 : body.start, body.start : body.start + kept, body.stop : n]
        loose = np.ones(len(index), bool)
        loose[body.start : body.start + kept] = False
        return score[index], self.last[index], sums[index], loose


def blocks(rows: ScoredRows, *, tolerance: float = 0.0, falling: bool = False, n_threads: int | None = None) -> Blocks:
    """The isotonic fit of the rows' targets or labels, rising with the score, or falling.

    Scores closer than ``tolerance`` to the first of a run are tied with it.
    """
    pieces = cut(rows, n_threads)
    first, last, sums, loose = _gathered(_each(pieces, lambda: _Pool(pieces, tolerance, falling), n_threads))
    if tolerance:
        n = kernels.grouping.chain(first, last, sums, loose, tolerance)
        first, last, sums = first[:n], last[:n], sums[:n]
    return finished(first, last, sums, falling=falling)


def blocks_of(groups: Groups, *, falling: bool = False) -> Blocks:
    """The fit of groups whose sums are counts of labels, or weights and weighted targets."""
    sums = groups.sums.copy()
    if sums.shape[1] == 2 and sums.sum() >= MAX_COUNT:
        sums = in_two_parts(sums, by_class=False)
    if falling:
        turn_over(sums)
    return finished(groups.score.copy(), groups.score.copy(), sums, falling=falling)


def finished(first: Array, last: Array, sums: Array, *, falling: bool) -> Blocks:
    """Pool what was pooled in pieces, or not at all; works in place."""
    values = np.empty(len(first))
    n = pooled(first, last, values, sums)
    value, weight = values[:n], sums[:n, 0] + sums[:n, 1]
    if sums.shape[1] == 2:
        value = sums[:n, 1] / weight
    if falling:
        value = sums[:n, 0] / weight if sums.shape[1] == 2 else -value
    return Blocks(first[:n].copy(), last[:n].copy(), value + 0.0, weight.astype(np.float64))


def pooled(first: Array, last: Array, values: Array, sums: Array) -> int:
    """Pool in place; returns how many blocks that leaves. Counts leave ``values`` alone."""
    if sums.shape[1] == 2:
        room = np.empty((len(first) // kernels.pooling.BATCH, 3), np.int64)
        return int(kernels.pooling.counts(first, last, sums, room))
    return int(kernels.pooling.sums(first, last, values, sums))


def turn_over(sums: Array) -> None:
    """What rises falls: labels change places, targets their sign."""
    if sums.shape[1] == 2:
        sums[:] = sums[:, ::-1].copy()
    else:
        sums[:, 2:] *= -1


def in_two_parts(sums: Array, *, by_class: bool) -> Array:
    """Counts of labels as floats in two parts: the weights of either label, or weights and weighted targets."""
    if sums.shape[1] == 4:
        return sums
    parts = np.zeros((len(sums), 4))
    parts[:, 0] = sums[:, 0] if by_class else sums[:, 0] + sums[:, 1]
    parts[:, 2] = sums[:, 1]
    return parts
