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
from ..arrays import (
    LEAST_WEIGHT,
    MAX_ROWS,
    MOST_WEIGHT,
    WEIGHTS,
    Array,
    BitsColumn,
    Column,
    DataError,
    array_of,
    array_or_bits,
    unmasked,
    weighable,
)

# Rows that a kernel is given at once.
STRETCH = 1 << 18
# Sums of weighted targets, and of their squares, stay within float64.
MOST_TARGET = 1e100


class Names(NamedTuple):
    """What the caller calls its arguments."""

    scores: str = "y_score"
    targets: str = "y_true"
    weights: str = "sample_weight"


@dataclass(frozen=True)
class Seen:
    """What a look at all values of a column found: the keys of the least and the largest, and how many are 0 and 1."""

    low: int
    high: int
    n_zero: int
    n_one: int


@dataclass(frozen=True)
class ScoredRows:
    """Rows with a finite score each: with labels 0 and 1, or real targets, and weights or none."""

    scores: Column  # float32 or float64
    labels: Column | None
    targets: Column | None  # float64
    weights: Column | None  # float64
    low: int  # keys of the least score and the largest
    high: int
    bounds: tuple[float, float]  # of the targets

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
    weightless: bool = False,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> ScoredRows:
    """Rows of which every value is in order; raises DataError naming the first that is not.

    ``labels_only``: targets have to be 0 or 1. Other targets are real numbers, but labels if all of them are 0 or 1.
    ``weightless``: all weights may be 0.
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
    found, bounds = look_at_targets(target_column, n_threads)
    if weight_column is not None:
        weight_column = Column(names.weights, weight_column.values, np.dtype(np.float64))
        n_zero = look_at_weights(weight_column, n_threads)
        if n_zero == n_rows and not weightless:
            problem = f"is {weight_column.values[0]}, as all the others; one has to be above 0"
            raise DataError(names.weights, (0,), problem)
    only_labels = found.n_zero + found.n_one == n_rows
    if labels_only and not only_labels:
        row = _first(target_column, lambda part: (part != 0) & (part != 1))
        raise DataError(names.targets, (row,), f"is {target_column.values[row]}; labels are 0 or 1")
    labels, real = (target_column, None) if only_labels else (None, target_column)
    if real is not None:
        real = Column(names.targets, real.values, np.dtype(np.float64))
    return ScoredRows(given, labels, real, weight_column, seen.low, seen.high, bounds)


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
    given = given.view(np.uint8) if given.dtype == bool else given
    if given.dtype in (np.uint8, np.int8):
        return Column(argument, given, given.dtype)
    if given.dtype.kind in "iu":
        return Column(argument, given, np.dtype(np.int64 if given.dtype.kind == "i" else np.uint64))
    return Column(argument, given, np.dtype(np.float32 if given.dtype.itemsize <= 4 else np.float64))


def look_at_weights(column: Column, n_threads: int | None) -> int:
    """How many weights are 0; raises DataError for one that is none."""
    found: list[tuple[int, int]] = []

    def look_at(start: int, stop: int) -> None:
        found.append(kernels.sorting.weigh(column.chunk(start, stop), LEAST_WEIGHT, MOST_WEIGHT))

    engine.run(len(column.values), 8, STRETCH, lambda: look_at, n_threads)
    if any(wrong for _, wrong in found):
        row = _first(column, lambda part: ~weighable(part))
        raise DataError(column.argument, (row,), f"is {column.values[row]}; {WEIGHTS}")
    return sum(zero for zero, _ in found)


def look_at_targets(column: Column, n_threads: int | None) -> tuple[Seen, tuple[float, float]]:
    """What was seen, and the least and the largest target; raises DataError for one beyond ``MOST_TARGET``."""
    seen = look(column, n_threads)
    bounds = value_of(seen.low, column.dtype), value_of(seen.high, column.dtype)
    if max(-bounds[0], bounds[1]) > MOST_TARGET:
        row = _first(column, lambda part: abs(part) > MOST_TARGET)
        problem = f"is {column.values[row]}; targets lie between {-MOST_TARGET:g} and {MOST_TARGET:g}"
        raise DataError(column.argument, (row,), problem)
    return seen, bounds


def value_of(key: int, dtype: np.dtype[Any]) -> float:
    """The number with a key; integers are their own."""
    if dtype.kind != "f":
        return float(key)
    integer = np.int32 if dtype == np.float32 else np.int64
    most = (1 << (8 * dtype.itemsize - 1)) - 1
    return float(integer(key ^ most if key < 0 else key).view(dtype))


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
    return Seen(low, high, n_zero, n_one)


def _first(column: Column, wrong: Callable[[Array], Array]) -> int:
    """The first row of which a value is wrong; there is one."""
    start = 0
    while not (found := np.flatnonzero(wrong(column.chunk(start, start + STRETCH)))).size:
        start += STRETCH
    return start + int(found[0])
