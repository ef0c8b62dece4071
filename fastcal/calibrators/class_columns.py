"""One column of probabilities a class: how a method that needs all rows of a class at once gets them.

Columns are taken out of the blocks of rows that every source is cut into, so that an array, batches and a file give the
same. Of an array some classes are taken at a time, and its rows are gone through again for the next ones. Of batches
all classes are held after one pass, 4 bytes a score of float32 and 8 of float64, but no more than ``HELD_BYTES`` where
batches can be gone through again: then they are, for the other classes.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import Array, Column, DataError
from ..ordered.columns import ScoredRows, look
from .rows import ArrayRows, Block, Rows

T = TypeVar("T")

# Bytes of an array's columns that are taken at once: they stay in the third-level cache until they are fitted. But at
# least as many columns as a cache line of a row holds.
GROUP_BYTES = 16 << 20
LEAST_COLUMNS = 16
# Bytes of columns that are held rather than read, or computed, again.
HELD_BYTES = 1 << 30


@dataclass(frozen=True)
class OneColumn:
    """All rows of one class: its probability, within [0, 1], and whether it was the label."""

    label: int
    scores: Array  # (n,) float32 or float64, contiguous, read-only
    labels: Array  # (n,) int64, of all classes
    places: Array | None  # of the rows that have the label, where there are three classes or more
    weights: Array | None  # (n,) float64
    n_threads: int | None

    def scored(self) -> ScoredRows:
        """As what sorts rows takes them."""
        column = Column("scores", self.scores, self.scores.dtype)
        outcome = (self.labels == self.label).view(np.uint8)
        seen = look(column, self.n_threads)
        weights = None if self.weights is None else Column("sample_weight", self.weights, np.dtype(np.float64))
        labels = Column("y_true", outcome, outcome.dtype)
        return ScoredRows(column, labels, None, weights, seen.low, seen.high, (0.0, 1.0))


def fit_each(rows: Rows, fit: Callable[[OneColumn], T], n_threads: int | None) -> list[T]:
    """What ``fit`` makes of the column of every map, each in a thread of its own; of a single one it may take all.

    Raises DataError where no row has a weight above 0.
    """
    maps = rows.n_maps
    taken = _OfArray(rows, n_threads) if isinstance(rows, ArrayRows) else _OfBatches(rows, n_threads)
    found: dict[int, T] = {}
    while len(found) < maps:
        first = len(found)
        width = taken.take(first, maps - first)
        if first == 0:
            taken.take_labels()

        def work(start: int, stop: int, first: int = first) -> None:
            for number in range(start, stop):
                found[first + number] = fit(taken.one(first, number, n_threads if maps == 1 else 1))

        engine.run(width, 16 * rows.n_rows, 1, lambda work=work: work, n_threads)  # type: ignore[misc]
    return [found[number] for number in range(maps)]


class _Columns(ABC):
    """Columns of some classes at a time, and the labels and weights of their rows."""

    labels: Array
    weights: Array | None

    def __init__(self, rows: Rows, n_threads: int | None) -> None:
        self.rows = rows
        self.n_threads = n_threads
        self.of_two = int(rows.n_columns == 2)  # the column of the first map: of two classes that of the second

    @abstractmethod
    def take(self, first: int, most: int) -> int:
        """Go through the rows and take columns of the maps from ``first`` on, ``most`` or fewer; returns how many."""

    @abstractmethod
    def column(self, number: int) -> Array:
        """One of those that were taken."""

    @abstractmethod
    def _labels(self) -> tuple[Array, Array | None]:
        """Labels and weights of all rows, once they were gone through."""

    def take_labels(self) -> None:
        """Keep what all columns have in common."""
        self.labels, self.weights = self._labels()
        if len(self.labels) == 0:
            raise DataError("batches", (), "has no rows")
        if self.weights is not None and not self.weights.any():
            raise DataError("sample_weight", (0,), "is 0.0, as all the others; one has to be above 0")
        self.labels.flags.writeable = False
        self.order = self.starts = None
        if self.rows.n_maps > 1:
            small = self.rows.n_classes <= 1 << 16  # NumPy sorts 16 bits by radix
            self.order = np.argsort(self.labels.astype(np.uint16) if small else self.labels, kind="stable")
            self.starts = np.append(0, np.cumsum(np.bincount(self.labels, minlength=self.rows.n_classes)))

    def one(self, first: int, number: int, n_threads: int | None) -> OneColumn:
        """A column with all that belongs to it."""
        scores = self.column(number).view()
        scores.flags.writeable = False
        label = first + number + (self.rows.n_columns <= 2)
        places = None
        if self.order is not None and self.starts is not None:
            places = self.order[self.starts[label] : self.starts[label + 1]]
        return OneColumn(label, scores, self.labels, places, self.weights, n_threads)

    def _go_through(self, use: Callable[[Block], None]) -> None:
        """Call ``use`` with every block, in any order, on threads."""
        self.rows.total(0, lambda: lambda block, _: use(block), self.n_threads)


class _OfArray(_Columns):
    """Of rows of which the number and the dtype are known: straight into one piece of memory."""

    rows: ArrayRows

    def take(self, first: int, most: int) -> int:
        """See :meth:`_Columns.take`."""
        dtype, n_rows = self.rows.table.scores.dtype, self.rows.n_rows
        step = -(-n_rows // 16) * 16 + 16  # columns begin in different sets of the caches
        room = max(GROUP_BYTES if self.rows.form.is_plain else HELD_BYTES, LEAST_COLUMNS * step * dtype.itemsize)
        groups = -(-most * step * dtype.itemsize // room)
        width = -(-most // groups)
        self.held = memory.empty((width, step), dtype)
        flat = self.held.reshape(-1)

        def use(block: Block) -> None:
            kernels.binned_columns.columns(block.scores, first + self.of_two, step, block.first_row, flat)

        self._go_through(use)
        return width

    def column(self, number: int) -> Array:
        """See :meth:`_Columns.column`."""
        return self.held[number, : self.rows.n_rows]

    def _labels(self) -> tuple[Array, Array | None]:
        table = self.rows.table
        weights = None if table.weights is None else np.array(table.weights, np.float64)
        return np.array(table.labels, np.int64), weights


class _OfBatches(_Columns):
    """Of rows of any number: a piece a block, which are put together column by column."""

    def take(self, first: int, most: int) -> int:
        """See :meth:`_Columns.take`."""
        self.pieces: dict[int, Array] = {}
        seen: dict[int, tuple[Array, Array | None]] = {}
        shrinking = threading.Lock()
        once = getattr(self.rows, "once", False)
        self.width, n_bytes = most, 0

        def use(block: Block) -> None:
            nonlocal n_bytes
            piece = np.empty((self.width, block.n_rows), block.scores.dtype)
            kernels.binned_columns.columns(block.scores, first + self.of_two, block.n_rows, 0, piece.reshape(-1))
            if first == 0:
                seen[block.first_row] = block.labels.copy(), None if block.weights is None else block.weights.copy()
            with shrinking:
                self.pieces[block.first_row] = piece
                n_bytes += piece.nbytes
                while n_bytes > HELD_BYTES and self.width > 1 and not once:
                    self.width = (self.width + 1) // 2
                    self.pieces = {row: one[: self.width].copy() for row, one in self.pieces.items()}
                    n_bytes = sum(one.nbytes for one in self.pieces.values())

        self._go_through(use)
        if first == 0:
            self.seen = [seen[row] for row in sorted(seen)]
        self.in_order = [self.pieces[row] for row in sorted(self.pieces)]
        return self.width

    def column(self, number: int) -> Array:
        """See :meth:`_Columns.column`."""
        return np.concatenate([piece[number] for piece in self.in_order])

    def _labels(self) -> tuple[Array, Array | None]:
        parts, self.seen = self.seen, []
        if not parts:
            return np.empty(0, np.int64), None
        weights = [part[1] for part in parts if part[1] is not None]
        return np.concatenate([part[0] for part in parts]), np.concatenate(weights) if weights else None
