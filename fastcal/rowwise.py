"""Scores of any shape, dtype and axis as chunks of rows that kernels take, and results back into that shape.

An array of any number of dimensions is (outer, K, inner) to the kernels: K classes along the axis, what comes before it
and what comes after it. With nothing after it, rows are views; otherwise each chunk is turned. Nothing is copied whole
but an array that no view makes (outer, K, inner): a transposed one of three and more dimensions.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fastcal import kernels

from . import engine, memory
from .arrays import Array, DataError, array_or_bits

# Indices of classes are floats in the kernels: exact in float32 up to here.
MAX_CLASSES = 1 << 24
# Bytes of input and output that a chunk may take, and rows, so that a second thread finds something to do.
CHUNK_BYTES = 1 << 22
MAX_CHUNK = 1 << 16

Axis = int | Sequence[int] | None
Box = tuple[slice, slice, slice]
ALL = slice(None)
W = TypeVar("W", bound=Callable[[Box], None])


@dataclass(frozen=True)
class RowScores:
    """Scores (outer, K, inner), the form in which kernels take them, and the form that results have."""

    argument: str
    values: Array  # (outer, K, inner)
    taken_as: np.dtype[Any]  # half floats by their bits: float16 as uint16, bfloat16 as int16
    result: np.dtype[Any]  # of a result of the same shape
    given: Array  # as it came
    axes: tuple[int, ...]

    @property
    def real(self) -> np.dtype[Any]:
        """The precision in which kernels compute: that of the scores, float32 for half floats."""
        return np.dtype(np.float64 if self.taken_as == np.float64 else np.float32)

    @property
    def n_rows(self) -> int:
        """Rows."""
        return int(self.values.shape[0] * self.values.shape[2])

    @property
    def n_classes(self) -> int:
        """Classes of a row."""
        return int(self.values.shape[1])

    def need_classes(self) -> None:
        """Raise DataError for rows without classes."""
        if self.n_classes == 0 and self.n_rows > 0:
            raise DataError(self.argument, (), f"has shape {self.given.shape}; a row holds at least 1 class")

    @property
    def lead(self) -> tuple[int, ...]:
        """The shape without the axes."""
        return tuple(n for axis, n in enumerate(self.given.shape) if axis not in self.axes)

    def rows(self, box: Box) -> Array:
        """The rows of a box (n, K): C-contiguous, aligned, native, read-only; a view where the values already are."""
        part = self.values[box]
        part = part.transpose(0, 2, 1).reshape(-1, self.n_classes)
        if isinstance(part, np.ma.MaskedArray):
            part = np.ma.filled(part.astype(self.result), np.nan)
        native = np.dtype(np.float16) if self.result == np.float16 else self.taken_as
        part = np.require(part, None if part.dtype == self.taken_as else native, ["C", "A"]).view(self.taken_as)
        part.flags.writeable = False  # one type of array, one compilation
        return part

    def place(self, row: int) -> tuple[int, ...]:
        """Where the row of this number stands in the shape without the axes."""
        return tuple(int(i) for i in np.unravel_index(row, self.lead)) if self.lead else ()


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))  # native ones


def row_scores(argument: str, scores: Any, axis: Axis = -1, dtype: str | None = None) -> RowScores:
    """Any array-like of real numbers; ``dtype="bfloat16"`` says that uint16 are the bits of bfloat16."""
    given, bits = array_or_bits(argument, scores, dtype)
    values: Any = given
    if type(axis) is int and axis == -1 and given.dtype in FLOATS and given.ndim and 0 < given.shape[-1] <= MAX_CLASSES:
        values = given.reshape(-1, given.shape[-1], 1)  # what follows would take 10 us
        return RowScores(argument, values, given.dtype, given.dtype, given, (given.ndim - 1,))
    axes = _axes(argument, axis, given.ndim)
    values = given.reshape(1) if given.ndim == 0 else _side_by_side(given, axes)
    first = axes[0] if values is given and axes else values.ndim - max(len(axes), 1)
    stop = first + max(len(axes), 1)
    outer, n_classes, inner = (math.prod(part) for part in np.split(np.array(values.shape), [first, stop]))
    if n_classes > MAX_CLASSES:
        raise DataError(argument, (), f"has shape {given.shape}; a row holds at most {MAX_CLASSES} classes")
    values = values.reshape(outer, n_classes, inner)
    if bits:
        values = values.view(np.int16)
        if isinstance(values, np.ma.MaskedArray):
            values = np.where(np.ma.getmaskarray(values), np.int16(0x7FC0), values.data)  # NaN
        return RowScores(argument, values, np.dtype(np.int16), given.dtype, given, axes)
    result = given.dtype.newbyteorder("=") if given.dtype.kind == "f" and given.dtype.itemsize <= 8 else np.dtype(float)
    taken_as = np.dtype(np.uint16) if result == np.float16 else result
    return RowScores(argument, values, taken_as, result, given, axes)


def _axes(argument: str, axis: Axis, n_dims: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(n_dims))
    named = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    try:
        axes = tuple(sorted(operator.index(one) + n_dims * (one < 0) for one in named))
    except TypeError:
        raise TypeError(f"axis is {axis!r}; expected an integer, a tuple of them, or None") from None
    if not axes:
        raise ValueError("axis is (); expected at least one")
    if n_dims == 0 and named in ((-1,), (0,)):
        return ()
    if not all(0 <= one < n_dims for one in axes) or len(set(axes)) < len(axes):
        raise ValueError(f"axis is {axis!r}, but {argument} has {n_dims} dimensions")
    return axes


def _side_by_side(array: Array, axes: tuple[int, ...]) -> Array:
    """The array if its axes are neighbours, in order; else a view of it with them at the end."""
    if not axes or axes == tuple(range(axes[0], axes[-1] + 1)):
        return array
    return np.moveaxis(array, axes, range(array.ndim - len(axes), array.ndim))


def result_like(scores: RowScores, out: Any) -> tuple[Array, Array]:
    """A result of the scores' shape, ``out`` or new, and (outer, K, inner) to be filled: a view of it, or not."""
    if out is None:
        out = memory.empty(scores.given.shape, scores.result)
    else:
        check_out(out, scores.given.shape, scores.result)
        check_overlap(out, scores.argument, scores.given)
    filled = _side_by_side(out, scores.axes).reshape(scores.values.shape)
    if filled.size and not np.may_share_memory(filled, out):
        filled = np.empty(scores.values.shape, scores.result)
    return out, filled


def give_back(scores: RowScores, out: Array, filled: Array) -> None:
    """Copy what was filled to ``out``, unless it is a view of it."""
    if filled.size and not np.may_share_memory(filled, out):
        target = _side_by_side(out, scores.axes)
        target[...] = filled.reshape(target.shape)


def check_reduced(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], scores: RowScores) -> None:
    """Whether ``out`` can take one number a row."""
    check_out(out, shape, dtype)
    if _overlap(out, scores.given):
        raise ValueError(f"out overlaps {scores.argument}")


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Whether ``out`` is an array that a result can be written to."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out is a {type(out).__name__}; expected a NumPy array")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, expected {shape}")
    if out.dtype != dtype:
        raise TypeError(f"out has dtype {out.dtype}, expected {dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def check_overlap(out: Array, argument: str, given: Array) -> None:
    """In place is safe, for a row is read before it is written; any other overlap is not."""
    given = np.asarray(given)
    steps = zip(given.shape, out.strides, given.strides, strict=True)
    same = out.ctypes.data == given.ctypes.data and all(n == 1 or step == other for n, step, other in steps)
    if not same and _overlap(out, given):
        raise ValueError(f"out overlaps {argument}; only the very same array can be written in place")


def _overlap(one: Array, other: Array) -> bool:
    try:
        return np.shares_memory(one, other, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def run(scores: RowScores, row_bytes: int, make_worker: Callable[[], W], n_threads: int | None) -> list[W]:
    """Call workers with every box of rows, see :func:`engine.run`; returns the workers."""
    outer, _, inner = scores.values.shape
    if n_threads is not None:
        engine.thread_count(n_threads)  # is it one
    if outer * inner == 0:
        return []
    rows = max(min(CHUNK_BYTES // max(row_bytes, 1), MAX_CHUNK), 1)
    rows = max(rows // 64 * 64, min(rows, 64))  # whole blocks
    if outer * inner <= rows:
        worker = make_worker()
        worker((slice(0, outer), ALL, ALL))
        return [worker]
    if inner > rows:
        pieces = -(-inner // rows)

        def boxes(start: int, stop: int) -> Iterator[Box]:
            for piece in range(start, stop):
                at, cut = divmod(piece, pieces)
                yield slice(at, at + 1), ALL, slice(cut * rows, (cut + 1) * rows)

        units = outer * pieces, row_bytes * rows, 1
    else:

        def boxes(start: int, stop: int) -> Iterator[Box]:
            yield slice(start, stop), ALL, ALL

        units = outer, row_bytes * inner, max(rows // max(inner, 1), 1)
    return [boxed.worker for boxed in engine.run(*units, lambda: _Boxed(boxes, make_worker()), n_threads)]


class _Boxed:
    """A worker of the engine that has another one work on boxes."""

    def __init__(self, boxes: Any, worker: Any) -> None:
        self.boxes = boxes
        self.worker = worker

    def __call__(self, start: int, stop: int) -> None:
        for box in self.boxes(start, stop):
            self.worker(box)


def divisor(temperature: Any, real: np.dtype[Any]) -> tuple[Any, ...]:
    """How the kernels divide by a temperature; raises ValueError for one that they cannot divide by."""
    if type(temperature) is float:  # what follows would take 0.5 us
        return _divisor(temperature, real)
    problem = f"temperature is {temperature!r}; expected a positive, finite number"
    if isinstance(temperature, str | bytes):
        raise TypeError(problem)
    try:
        number = float(temperature)
    except (TypeError, ValueError):
        raise TypeError(problem) from None
    except OverflowError:
        number = math.inf
    if not 0 < number < math.inf:
        raise ValueError(problem)
    return _divisor(number, real)


@functools.lru_cache(64)
def _divisor(number: float, real: np.dtype[Any]) -> tuple[Any, ...]:
    if not 0 < number < math.inf:
        raise ValueError(f"temperature is {number!r}; expected a positive, finite number")
    limits = np.finfo(real)
    if not 1e3 / float(limits.max) < number < float(limits.max) / 1e3:
        raise ValueError(f"temperature is {number!r}; {real} cannot be divided by it")
    divided: tuple[Any, ...] = kernels.rows.divisor(number, real)
    # A call of a kernel takes 0.2 us for each of NumPy's numbers, and next to nothing for one of Python's.
    return tuple(float(one) for one in divided) if real == np.float64 else divided
