"""Scores, targets and weights of the same rows, as what sorts them takes them, or a clear error.

Unlike the metrics of probabilities, what is here takes any finite numbers as scores. Every value is looked at once
before anything is done, at the speed of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import MAX_ROWS, Array, BitsColumn, Column, DataError, array_of, array_or_bits, unmasked

# Rows that a kernel is given at once.
STRETCH = 1 << 18


class Names(NamedTuple):
    """What the caller calls its arguments."""

    scores: str = "y_score"
    targets: str = "y_true"
    weights: str = "sample_weight"


@dataclass(frozen=True)
class Seen:
    """What a look at all values of a column found: the least and largest, and whether all are 0 or 1."""

    low: int
    high: int
    n_zero: int
    only_labels: bool


@dataclass(frozen=True)
class ScoredRows:
    """Rows with a finite score each: with labels 0 and 1, or real targets, and weights or none."""

    scores: Column  # float32 or float64
    labels: Column | None
    targets: Column | None  # float64
    weights: Column | None  # float64, at least 0
    low: int  # keys of the least score and the largest
    high: int

    @property
    def n_rows(self) -> int:
        """Rows, those of weight 0 too."""
        return len(self.scores.values)


def scored_rows(
    scores: Any,
    targets: Any,
    weights: Any = None,
    *,
    names: Names | None = None,
    labels_only: bool = False,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> ScoredRows:
    """Rows of which every value is in order; raises DataError naming the first that is not.

    ``labels_only``: targets have to be 0 or 1. Other targets are real numbers, but labels if all of them are 0 or 1.
    """
    names = names or Names()
    engine.thread_count(n_threads)
    given = score_column(names.scores, scores, dtype)
    n_rows = len(given.values)
    target_column = same_rows(names.targets, targets, names.scores, n_rows)
    weight_column = None if weights is None else same_rows(names.weights, weights, names.scores, n_rows)
    if n_rows == 0:
        raise DataError(names.scores, (), "is empty")
    if n_rows > MAX_ROWS:
        raise DataError(names.scores, (), f"has {n_rows} rows; at most {MAX_ROWS} are sorted at once")
    seen = look(given, n_threads)
    found = look(target_column, n_threads)
    if weight_column is not None:
        check_weights(weight_column, n_threads)
    if labels_only and not found.only_labels:
        row = _first(target_column, lambda part: (part != 0) & (part != 1))
        raise DataError(names.targets, (row,), f"is {target_column.values[row]}; labels are 0 or 1")
    labels, real = (target_column, None) if found.only_labels else (None, target_column)
    if real is not None:
        real = Column(names.targets, real.values, np.dtype(np.float64))
    return ScoredRows(given, labels, real, weight_column, seen.low, seen.high)


def score_column(argument: str, scores: Any, dtype: str | None = None) -> Column:
    """Scores (N,): any real numbers, half floats too."""
    given, bits = array_or_bits(argument, scores, dtype)
    if given.ndim != 1:
        raise DataError(argument, (), f"has shape {given.shape}; expected one number a row")
    given = unmasked(argument, given, "every row needs a score")
    if bits:
        return BitsColumn(argument, given, np.dtype(np.float32))
    single = given.dtype.kind == "f" and given.dtype.itemsize <= 4
    return Column(argument, given, np.dtype(np.float32 if single else np.float64))


def same_rows(argument: str, values: Any, other: str, n_rows: int) -> Column:
    """Targets or weights, in a dtype that kernels take without one more compilation for each that NumPy has."""
    given = array_of(argument, values)
    if given.shape != (n_rows,):
        raise DataError(
            argument,
            (),
            f"has shape {given.shape}, but {other} has {n_rows} rows. Found input variables with inconsistent numbers "
            "of samples" + ("" if given.ndim == 1 else "; expected one number a row"),
        )
    given = unmasked(argument, given, "every row needs one")
    if given.dtype.kind == "b" or given.dtype in (np.uint8, np.int8):
        return Column(argument, given.view(np.uint8) if given.dtype == bool else given, np.dtype(given.dtype))
    if given.dtype.kind in "iu":
        return Column(argument, given, np.dtype(np.int64 if given.dtype.kind == "i" else np.uint64))
    return Column(argument, given, np.dtype(np.float32 if given.dtype.itemsize <= 4 else np.float64))


def check_weights(column: Column, n_threads: int | None) -> None:
    """Raise DataError for a weight below 0, and if none is above."""
    seen = look(column, n_threads)
    if seen.low < 0:
        row = _first(column, lambda part: part < 0)
        raise DataError(column.argument, (row,), f"is {column.values[row]}; a weight is not negative")
    if seen.n_zero == len(column.values):
        raise DataError(column.argument, (0,), f"is {column.values[0]}, as all the others; one has to be above 0")


class _Look:
    """What a thread has seen of a column."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.low, self.high, self.n_zero, self.n_one = 1 << 64, -(1 << 64), 0, 0

    def __call__(self, start: int, stop: int) -> None:
        part = self.column.chunk(start, stop)
        if part.dtype.kind in "iu":
            low, high = int(part.min()), int(part.max())
            n_zero = len(part) - int(np.count_nonzero(part))
            n_one = len(part) - n_zero if (low, high) in ((0, 1), (1, 1)) else 0
        else:
            low, high, n_zero, n_one = (int(one) for one in kernels.sorting.survey(part))
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.n_zero, self.n_one = self.n_zero + n_zero, self.n_one + n_one


def look(column: Column, n_threads: int | None) -> Seen:
    """Look at every value; raises DataError for one that is not finite."""
    n_rows = len(column.values)
    looks = engine.run(n_rows, column.dtype.itemsize, STRETCH, lambda: _Look(column), n_threads)
    low, high = min(one.low for one in looks), max(one.high for one in looks)
    if column.dtype.kind == "f":
        largest = 0x7F7FFFFF if column.dtype == np.float32 else 0x7FEFFFFFFFFFFFFF  # the key of the largest float
        if low < -largest - 1 or high > largest:
            row = _first(column, lambda part: ~np.isfinite(part))
            raise DataError(column.argument, (row,), f"is {column.chunk(row, row + 1)[0]}; expected finite numbers")
    n_zero, n_one = sum(one.n_zero for one in looks), sum(one.n_one for one in looks)
    return Seen(low, high, n_zero, n_zero + n_one == n_rows)


def _first(column: Column, wrong: Callable[[Array], Array]) -> int:
    """The first row of which a value is wrong; there is one."""
    start = 0
    while not (found := np.flatnonzero(wrong(column.chunk(start, start + STRETCH)))).size:
        start += STRETCH
    return start + int(found[0])
