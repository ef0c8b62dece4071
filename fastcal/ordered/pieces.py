"""Rows cut by the values of their scores into pieces that fit the caches: what threads sort apart from each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import Array
from .columns import STRETCH, ScoredRows

# Rows of a piece: its elements and as much room to sort them in stay within 1 MB. Rows are moved to so many places at
# once as there are pieces, so there are not many more than these.
PIECE_ROWS = 1 << 15
MAX_PIECES = 1 << 12
CELLS = 16  # of a piece, so that pieces come out about equal


@dataclass(frozen=True)
class CellMap:
    """Which cell a key falls in.

    Its leading bits choose an entry of a table, which says where the entry's cells begin and how wide they are: as
    narrow as a sample of the scores calls for. The table covers what the sample does but for a few scores at either
    end, so that an outlier does not make all cells wide; what is beyond falls in the first cell or the last.
    """

    bottom: int  # the least key that the table covers, and the largest
    top: int
    step: int
    table: Array  # uint64: the entry's first cell << 8 | bits that a cell of it spans
    starts: Array  # int64: the least key of each cell

    @classmethod
    def of(cls, rows: ScoredRows, n_cells: int) -> CellMap:
        """A map of about so many cells, with about as many rows each."""
        low, high, keys = rows.low, rows.high, np.empty(0, np.int64)
        if n_cells > 1:
            stride = max(rows.n_rows // (4 * n_cells), 1)
            while math.gcd(stride, 210) > 1:  # not in step with rows that come in groups
                stride += 1
            sample = rows.scores.sampled(stride)
            keys = np.empty(len(sample), np.int64)
            kernels.sorting.keys(sample, keys)
            keys.sort()
            few = len(keys) // 512
            low, high = int(keys[few]), int(keys[-1 - few])
            if rows.low < 0 <= rows.high:  # 0 has to begin a cell
                low, high = min(low, -1), max(high, 0)
            keys = keys[(low <= keys) & (keys <= high)]
        step = min(max((high - low).bit_length() - (n_cells - 1).bit_length(), 0), 63)
        bottom = (low >> step) << step  # 0 is the beginning of an entry
        n_entries = ((high - bottom) >> step) + 1
        if n_cells == 1:  # a few rows, for which what follows would take longer than all else
            first = np.arange(n_entries, dtype=np.int64)
            starts = np.array([rows.low, *(bottom + (entry << step) for entry in range(1, n_entries))], np.int64)
            return cls(bottom, high, step, (first << 8 | step).astype(np.uint64), starts)
        away = keys.view(np.uint64) - np.uint64(bottom % (1 << 64))
        hits = np.bincount((away >> np.uint64(step)).astype(np.int64), minlength=n_entries)
        wanted = np.maximum(hits * (n_cells / max(len(keys), 1)), 1)
        bits = np.minimum(np.ceil(np.log2(wanted)), min(step, 16)).astype(np.int64)
        sizes = 1 << bits
        first = np.cumsum(sizes) - sizes
        table = (first << 8 | (step - bits)).astype(np.uint64)
        entry = np.repeat(np.arange(n_entries), sizes)
        within = (np.arange(len(entry)) - first[entry]).astype(np.uint64) << (step - bits[entry]).astype(np.uint64)
        starts = (entry.astype(np.uint64) << np.uint64(step)) + within + np.uint64(bottom % (1 << 64))
        starts[0] = rows.low % (1 << 64)
        return cls(bottom, high, step, table, np.maximum(starts.view(np.int64), rows.low))

    @property
    def n_cells(self) -> int:
        """Cells."""
        return len(self.starts)

    @property
    def arguments(self) -> tuple[np.int64, np.int64, np.uint64, Array]:
        """As kernels take it."""
        return np.int64(self.bottom), np.int64(self.top), np.uint64(self.step), self.table


@dataclass(frozen=True)
class Pieces:
    """Rows moved to their pieces: elements as in kernels/sorting.py, with weights and targets in the same places."""

    starts: list[int]  # of each piece, and the end of the last
    origins: Array
    like: np.floating  # a score of the type that the rows had
    elements: Array
    weights: Array | None
    targets: Array | None

    @property
    def largest(self) -> int:
        """Rows of the largest piece."""
        return int(np.diff(self.starts).max(initial=0))


def cut(rows: ScoredRows, n_threads: int | None) -> Pieces:
    """Move rows to pieces, those of equal scores in the order they came in; rows of weight 0 are left out."""
    n_pieces = min(-(-rows.n_rows // PIECE_ROWS), MAX_PIECES)
    cells = CellMap.of(rows, 1 if n_pieces <= 2 else CELLS * n_pieces)
    # Each stretch of rows has its own places in every piece.
    n_stretches = min(4 * engine.thread_count(n_threads), n_pieces)
    bounds = [rows.n_rows * number // n_stretches for number in range(n_stretches + 1)]
    counts = np.zeros((n_stretches, cells.n_cells), np.uint32)

    def each_stretch(work: Callable[..., None]) -> None:
        """Call ``work`` with the number of each stretch and some of its rows at a time."""

        def stretch(number: int, _: int) -> None:
            for start in range(bounds[number], bounds[number + 1], STRETCH):
                stop = min(start + STRETCH, bounds[number + 1])
                columns = (rows.scores, rows.labels, rows.weights, rows.targets)
                work(number, *(None if column is None else column.chunk(start, stop) for column in columns))

        engine.run(n_stretches, 24 * (rows.n_rows // n_stretches + 1), 1, lambda: stretch, n_threads)

    def count(number: int, scores: Array, _labels: Array, weights: Array, _targets: Array) -> None:
        kernels.sorting.count(scores, weights, *cells.arguments, counts[number])

    each_stretch(count)
    in_cell = counts.sum(axis=0, dtype=np.int64)
    piece = (np.cumsum(in_cell) - in_cell) // max(PIECE_ROWS, -(-rows.n_rows // MAX_PIECES))
    if rows.low < 0 <= rows.high:
        piece[cells.starts >= 0] += MAX_PIECES
    first = np.flatnonzero(np.diff(piece, prepend=-1))
    piece_of = np.repeat(np.arange(len(first), dtype=np.uint16), np.diff(first, append=cells.n_cells))
    moved = np.add.reduceat(counts, first, axis=1, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(moved.sum(axis=0))])
    places = (starts[:-1] + np.cumsum(moved, axis=0) - moved).astype(np.uint64)

    def room(dtype: type) -> Array:
        return memory.empty((int(starts[-1]),), np.dtype(dtype))

    out = (
        room(np.uint32 if rows.scores.dtype == np.float32 else np.uint64),
        None if rows.weights is None else room(np.float64),
        None if rows.targets is None else room(np.float64),
    )
    origins = cells.starts[first].view(np.uint64)

    def scatter(number: int, scores: Array, labels: Array, weights: Array, targets: Array) -> None:
        where = (*cells.arguments, piece_of, origins, places[number])
        kernels.sorting.scatter(scores, labels, weights, targets, *where, out)

    each_stretch(scatter)
    return Pieces(starts.tolist(), origins, rows.scores.dtype.type(0), *out)
