"""Straight lines between knots, for many scores at once."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import Array, Column, DataError
from ..rowwise import check_out, check_overlap
from .columns import score_column

OutOfBounds = Literal["nan", "clip", "raise"]
MAX_CELLS = 1 << 16
CELLS_PER_KNOT = 32
CHUNK = 1 << 16


class Interpolation:
    """A function of the scores from the first knot to the last: a straight line from each knot to the next."""

    def __init__(self, scores: Array, values: Array) -> None:
        """``scores`` (m,) rise strictly, float32 or float64."""
        self.dtype = scores.dtype
        self.ends = scores[[0, -1]].tolist()
        self.constant = float(values[0]) if len(scores) == 1 else None
        keys = np.empty(len(scores), np.int64)
        kernels.sorting.keys(np.require(scores, requirements=["C"]), keys)
        low, high = int(keys[0]), int(keys[-1])
        n_cells = min(CELLS_PER_KNOT * len(scores), MAX_CELLS)
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

    def __call__(
        self, argument: str, scores: Any, *, outside: OutOfBounds, out: Any = None, n_threads: int | None = None
    ) -> Array:
        """The values at scores (N,), in the knots' dtype; raises DataError for one that is not finite."""
        column = dataclasses.replace(score_column(argument, scores), dtype=self.dtype)
        n = len(column.values)
        if out is not None:
            check_out(out, (n,), self.dtype)
            check_overlap(out, argument, column.values)
        found: Array = memory.empty((n,), self.dtype) if out is None else out
        if n:
            engine.run(n, 2 * self.dtype.itemsize, CHUNK, lambda: _Fill(self, column, found, outside), n_threads)
        return found


class _Fill:
    """Fills its part of the result."""

    def __init__(self, function: Interpolation, column: Column, out: Array, outside: OutOfBounds) -> None:
        self.function = function
        self.column = column
        self.out = out
        self.outside = outside

    def __call__(self, start: int, stop: int) -> None:
        scores = self.column.chunk(start, stop)
        contiguous = self.out.flags.c_contiguous
        out = self.out[start:stop] if contiguous else np.empty(stop - start, self.out.dtype)
        arguments = self.function.arguments
        clip = self.outside == "clip" or self.function.constant is not None
        strange, beyond = kernels.lookup.interpolate(scores, *arguments, clip, out)
        if strange >= 0:
            row = start + strange
            raise DataError(self.column.argument, (row,), f"is {self.column.values[row]}; expected finite numbers")
        if beyond >= 0 and self.outside == "raise" and self.function.constant is None:
            low, high = self.function.ends
            side = "below" if scores[beyond] < low else "above"
            problem = f"is {scores[beyond]}: a value in x_new is {side} the interpolation range, {low} to {high}"
            raise DataError(self.column.argument, (start + beyond,), problem)
        if not contiguous:
            self.out[start:stop] = out
