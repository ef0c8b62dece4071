"""Rows cut by the values of their scores into pieces that fit the caches: what threads sort apart from each other."""

from __future__ import annotations

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
ZERO = np.uint64(0)


@dataclass(frozen=True)
class CellMap:
    """Which cell a key falls in.

    Its leading bits choose an entry, which says where its cells begin and how wide they are. Cells are as narrow as a
    sample of the scores calls for.
    """

    origin: int
    step: int
    table: Array  # uint64: the entry's first cell << 8 | bits that a cell of it spans
    n_cells: int

    @classmethod
    def of(cls, rows: ScoredRows, n_cells: int) -> CellMap:
        """A map of about so many cells, with about as many rows each."""
        step = min(max((rows.high - rows.low).bit_length() - max(n_cells - 1, 0).bit_length(), 0), 63)
        origin = (rows.low >> step) << step  # 0 is the beginning of an entry
        n_entries = ((rows.high - origin) >> step) + 1
        if n_cells == 1:
            return cls(
                origin, step, (np.arange(n_entries, dtype=np.uint64) << np.uint64(8)) | np.uint64(step), n_entries
            )
        stride = max(rows.n_rows // (4 * n_cells), 1)
        sample = rows.scores.sampled(stride)
        keys = np.empty(len(sample), np.int64)
        kernels.sorting.keys(sample, keys)
        away = keys.view(np.uint64) - np.uint64(origin % (1 << 64))
        hits = np.bincount((away >> np.uint64(step)).astype(np.int64), minlength=n_entries)
        wanted = np.maximum(hits * (n_cells / len(sample)), 1)
        bits = np.minimum(np.ceil(np.log2(wanted)), min(step, 16)).astype(np.int64)
        ends = np.cumsum(1 << bits)
        table = ((ends - (1 << bits)) << 8 | (step - bits)).astype(np.uint64)
        return cls(origin, step, table, int(ends[-1]))

    def start(self, cell: Array) -> Array:
        """The least key of cells, as uint64."""
        firsts = (self.table >> np.uint64(8)).astype(np.int64)
        entry = np.searchsorted(firsts, cell, side="right") - 1
        width = self.table[entry] & np.uint64(63)
        away = (entry.astype(np.uint64) << np.uint64(self.step)) + ((cell - firsts[entry]).astype(np.uint64) << width)
        return away + np.uint64(self.origin % (1 << 64))

    @property
    def arguments(self) -> tuple[np.uint64, np.uint64, Array]:
        """As kernels take it."""
        return np.uint64(self.origin % (1 << 64)), np.uint64(self.step), self.table


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
    stretches = np.linspace(0, rows.n_rows, 1 + min(4 * engine.thread_count(n_threads), n_pieces)).astype(np.int64)
    counts = np.zeros((len(stretches) - 1, cells.n_cells), np.uint32)

    def each_stretch(work: _Stretch) -> None:
        engine.run(len(counts), 24 * (rows.n_rows // len(counts) + 1), 1, lambda: work, n_threads)

    each_stretch(_Count(rows, stretches, cells, counts))
    in_cell = counts.sum(axis=0, dtype=np.int64)
    piece = (np.cumsum(in_cell) - in_cell) // max(PIECE_ROWS, -(-rows.n_rows // MAX_PIECES))
    if rows.low < 0 <= rows.high:
        piece[(cells.start(np.arange(cells.n_cells)).view(np.int64) >= 0)] += MAX_PIECES
    first = np.flatnonzero(np.diff(piece, prepend=-1))
    piece_of = np.repeat(np.arange(len(first), dtype=np.uint16), np.diff(first, append=cells.n_cells))
    moved = np.add.reduceat(counts, first, axis=1, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(moved.sum(axis=0))])
    places = (starts[:-1] + np.cumsum(moved, axis=0) - moved).astype(np.uint64)
    n = int(starts[-1])
    pieces = Pieces(
        starts.tolist(),
        np.maximum(cells.start(first).view(np.int64), rows.low).view(np.uint64),  # so that elements fit their bits
        rows.scores.dtype.type(0),
        memory.empty((n,), np.dtype(np.uint32 if rows.scores.dtype == np.float32 else np.uint64)),
        None if rows.weights is None else memory.empty((n,), np.dtype(np.float64)),
        None if rows.targets is None else memory.empty((n,), np.dtype(np.float64)),
    )
    each_stretch(_Scatter(rows, stretches, cells, piece_of, places, pieces))
    return pieces


class _Stretch:
    """Work on stretches of rows, by number; has no state of its own, so that threads share it."""

    def __init__(self, rows: ScoredRows, stretches: Array, cells: CellMap) -> None:
        self.rows = rows
        self.stretches = stretches.tolist()
        self.cells = cells

    def __call__(self, number: int, stop: int) -> None:
        rows, end = self.rows, self.stretches[number + 1]
        columns = (rows.scores, rows.labels, rows.weights, rows.targets)
        for start in range(self.stretches[number], end, STRETCH):
            self.work(
                number,
                *(None if one is None else one.chunk(start, min(start + STRETCH, end)) for one in columns),
            )

    def work(
        self, number: int, scores: Array | None, labels: Array | None, weights: Array | None, targets: Array | None
    ) -> None:
        """Do a part of a stretch."""
        raise NotImplementedError


class _Count(_Stretch):
    """Count the rows of each stretch and cell."""

    def __init__(self, rows: ScoredRows, stretches: Array, cells: CellMap, counts: Array) -> None:
        super().__init__(rows, stretches, cells)
        self.counts = counts

    def work(
        self, number: int, scores: Array | None, labels: Array | None, weights: Array | None, targets: Array | None
    ) -> None:
        """See :meth:`_Stretch.work`."""
        kernels.sorting.count(scores, weights, *self.cells.arguments, self.counts[number])


class _Scatter(_Stretch):
    """Move the rows of each stretch to their pieces."""

    def __init__(
        self, rows: ScoredRows, stretches: Array, cells: CellMap, piece_of: Array, places: Array, pieces: Pieces
    ) -> None:
        super().__init__(rows, stretches, cells)
        self.map = (*cells.arguments, piece_of, pieces.origins)
        self.places = places
        self.out = (pieces.elements, pieces.weights, pieces.targets)

    def work(
        self, number: int, scores: Array | None, labels: Array | None, weights: Array | None, targets: Array | None
    ) -> None:
        """See :meth:`_Stretch.work`."""
        kernels.sorting.scatter(scores, labels, weights, targets, *self.map, self.places[number], self.out)
