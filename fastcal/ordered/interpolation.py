"""Straight lines between knots, for many scores at once."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import Array, Column, DataError
from ..rowwise import check_out, check_overlap
from .columns import look, score_column

OutOfBounds = Literal["nan", "clip", "raise"]
MAX_CELLS = 1 << 16  # of a table that stays in the second-level cache; more for more knots
CELLS_PER_KNOT = 32
CHUNK = 1 << 16
SOME = 32  # scores that say whether those of a chunk come in order


class Interpolation:
    """A function of the scores from the first knot to the last: a straight line from each knot to the next."""

    def __init__(self, scores: Array, values: Array) -> None:
        """``scores`` (m,) rise strictly, float32 or float64."""
        self.dtype = scores.dtype
        self.ends = scores[[0, -1]].tolist()
        self.constant = len(scores) == 1
        keys = np.empty(len(scores), np.int64)
        kernels.sorting.keys(np.require(scores, requirements=["C"]), keys)
        low, high = int(keys[0]), int(keys[-1])
        n_cells = min(CELLS_PER_KNOT * len(scores), max(MAX_CELLS, 4 * len(scores)))
        # A score of 0 is as many octaves below the others as there are: a few of the lowest knots share the first cell.
        origin = int(keys[len(keys) // 32])
        step = min(max((high - origin).bit_length() - n_cells.bit_length(), 0), 63)
        away = np.maximum(keys, origin).view(np.uint64) - np.uint64(origin % (1 << 64))
        cell = (away >> np.uint64(step)).astype(np.int64)
        first = (cell << step) == away.view(np.int64)  # of its cell: not above the cell's beginning
        table = np.cumsum(np.bincount(np.where(first, cell, cell + 1), minlength=int(cell[-1]) + 2)) - 1
        table[0] = 0
        table = table.astype(np.uint16 if len(scores) <= 1 << 16 else np.uint32)
        knots = np.zeros((len(scores), 4))
        knots[:, 0], knots[:, 1] = scores, values
        knots[:-1, 3] = knots[1:, 1]
        with np.errstate(all="ignore"):
            width = np.diff(knots[:, 0])
            knots[:-1, 2] = np.where(np.isfinite(width), np.diff(knots[:, 1]) / width, np.nan)
        self.arguments = np.int64(low), np.int64(high), np.int64(origin), np.uint64(step), table, knots

    def __call__(self, scores: Any) -> Array:
        """The values at scores (N,), NaN outside the knots."""
        return self.at("scores", scores, outside="nan")

    def at(
        self, argument: str, scores: Any, *, outside: OutOfBounds, out: Any = None, n_threads: int | None = None
    ) -> Array:
        """The values at scores (N,), in the knots' dtype; raises DataError for one that is not finite.

        All scores are looked at before the first value is written.
        """
        column = dataclasses.replace(score_column(argument, scores), dtype=self.dtype)
        n = len(column.values)
        if out is not None:
            check_out(out, (n,), self.dtype)
            check_overlap(out, argument, column.values)
        found: Array = memory.empty((n,), self.dtype) if out is None else out
        if n == 0:
            return found
        seen = look(column, n_threads)
        low, high = self.arguments[:2]
        if outside == "raise" and not self.constant and (seen.low < low or seen.high > high):
            raise self._outside(column)
        clip = outside == "clip" or self.constant

        def fill(start: int, stop: int) -> None:
            part = found[start:stop] if found.flags.c_contiguous else np.empty(stop - start, self.dtype)
            given = column.chunk(start, stop)
            in_order = True if (given[:SOME][:-1] <= given[1:SOME]).all() else None
            kernels.lookup.interpolate(given, in_order, *self.arguments, clip, part)
            if not found.flags.c_contiguous:
                found[start:stop] = part

        engine.run(n, 2 * self.dtype.itemsize, CHUNK, lambda: fill, n_threads)
        return found

    def _outside(self, column: Column) -> DataError:
        """The first score that is outside the knots."""
        scores = column.chunk(0, len(column.values))
        low, high = self.ends
        row = int(np.argmax((scores < low) | (scores > high)))
        side = "below" if scores[row] < low else "above"
        problem = f"is {scores[row]}: a value in x_new is {side} the interpolation range, {low} to {high}"
        return DataError(column.argument, (row,), problem)
