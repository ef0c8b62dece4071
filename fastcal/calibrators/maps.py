"""Maps of probabilities, a class each, as knots that stand one after the other: what kernels apply."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array

CELLS_PER_KNOT, LEAST_CELLS, MOST_CELLS = 8, 64, 1 << 16
# Cells that are found before knots are: those of so many scores, which stay in the first-level cache, or rows.
PLACES, LEAST_ROWS = 1 << 12, 64


class Maps:
    """Functions of one probability: map k has the ``knots`` (score, value, slope, next value) from ``offsets[k]`` on.

    The last one of each is an infinite score, with the value of what lies beyond the one before.
    """

    def __init__(self, knots: Array, offsets: Array, *, flat: bool) -> None:
        self.knots = knots
        self.values = np.ascontiguousarray(knots[:, 1]) if flat else None  # of steps nothing else is read
        self.scores = np.ascontiguousarray(knots[:, 0])  # a search through knots would multiply at every step
        self.offsets = offsets
        cells = np.clip(CELLS_PER_KNOT * np.diff(offsets), LEAST_CELLS, MOST_CELLS)
        self.starts = np.append(0, np.cumsum(cells))
        self.where = np.empty((3, len(cells)), np.int64)
        self.table = np.empty(int(self.starts[-1]), np.uint32)
        kernels.binned_columns.tabulate(self.scores, offsets, self.starts, self.where, self.table)

    @property
    def arguments(self) -> tuple[Array, Array, Array, Array, Array, Array]:
        """What kernels take to find knots: the last one is scratch, for one call's use."""
        n = len(self.offsets) - 1
        places = np.empty((max(PLACES // n, LEAST_ROWS), n), np.int32)
        return self.scores, self.offsets, self.starts, self.where, self.table, places

    @classmethod
    def steps(cls, edges: Array, values: Array | None, offsets: Array, *, left: bool = False) -> Maps:
        """The value of the bin: (lo, hi], or with ``left`` [lo, hi); the first has all below, the last all above.

        Map k has its ``edges`` from ``offsets[k]`` to the next, and a value less (None: 0 each).
        """
        knots = np.zeros((len(edges), 4))
        knots[:, 0] = edges if left else np.nextafter(edges, np.inf)
        knots[offsets[:-1], 0] = 0.0
        knots[offsets[1:] - 1, 0] = np.inf
        if values is not None:
            begins = np.ones(len(edges), bool)
            begins[offsets[1:] - 1] = False
            knots[begins, 1] = knots[begins, 3] = values
        return cls(knots, offsets.astype(np.int64), flat=True)

    @classmethod
    def lines(cls, scores: Array, values: Array, offsets: Array) -> Maps:
        """Straight lines from each threshold to the next, and nothing but the ends beyond them."""
        moved = offsets.astype(np.int64) + np.arange(len(offsets))
        last = moved[1:] - 1
        knots = np.zeros((int(moved[-1]), 4))
        ours = np.ones(len(knots), bool)
        ours[last] = False
        knots[ours, 0], knots[ours, 1] = scores, values
        knots[last, 0], knots[last, 1] = np.inf, knots[last - 1, 1]
        knots[:-1, 3] = knots[1:, 1]
        with np.errstate(all="ignore"):
            knots[:-1, 2] = np.diff(knots[:, 1]) / np.diff(knots[:, 0])
        knots[last, 2] = knots[last - 1, 2] = 0.0
        knots[last, 3] = knots[last, 1]
        return cls(knots, moved, flat=False)

    def __call__(self, values: Array, out: Array) -> None:
        """Each column of ``values`` (n, maps) by its own map, into ``out`` float64."""
        kernels.binned_columns.apply(values, self.knots, self.values, *self.arguments, out)


def flat(parts: list[Array]) -> tuple[Array, Array]:
    """Arrays one after the other, and where each begins, and the last ends."""
    return np.concatenate(parts), np.append(0, np.cumsum([len(part) for part in parts]))


def check_maps(maps: Any, n: int, values_in_bins: bool) -> None:
    """Raise ValueError where what a file holds is no list of ``n`` maps: (scores, values, offsets)."""
    scores, values, offsets = maps
    less = n if values_in_bins else 0
    if offsets.shape != (n + 1,) or offsets.dtype.kind not in "iu":
        raise ValueError(f"offsets_ has shape {offsets.shape}, expected ({n + 1},) integers")
    least = 2 if values_in_bins else 1
    offsets = offsets.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != len(scores) or (np.diff(offsets) < least).any():
        raise ValueError("offsets_ does not rise from 0 to the number of scores")
    if scores.ndim != 1 or values.shape != (len(scores) - less,):
        raise ValueError(f"values have shape {values.shape}, scores {scores.shape}")
    for array in (scores, values):
        if array.dtype.kind != "f" or not ((array >= 0) & (array <= 1)).all():
            raise ValueError("scores and values of maps lie in [0, 1]")
    rising = np.diff(scores) > 0
    rising[offsets[1:-1] - 1] = True
    if values_in_bins:  # the first one may hold 0 alone, where the least float above it is in the next
        rising[offsets[:-1]] |= (scores[offsets[:-1]] == 0) & (scores[offsets[:-1] + 1] == 0)
    if not rising.all():
        raise ValueError("scores of a map do not rise")
