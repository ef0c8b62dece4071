"""Order statistics of a column without sorting it: rows are counted in cells, and only cells asked for are sorted."""

from __future__ import annotations

import threading

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import Array, Column
from .columns import STRETCH, ScoredRows, look
from .pieces import CellMap

# Cells hold a few hundred rows of some ten million: what is sorted at the end is next to nothing.
MOST_CELLS, ROWS_A_CELL = 1 << 14, 256


def order_statistics(column: Column, ranks: Array, n_threads: int | None) -> Array:
    """The values of the given ranks, from 0 up, as float64; all values are finite. 2 ns a row on two threads."""
    n_rows = len(column.values)
    seen = look(column, n_threads)
    rows = ScoredRows(column, None, None, None, seen.low, seen.high, (0.0, 0.0))
    cells = CellMap.of(rows, min(max(n_rows // ROWS_A_CELL, 1), MOST_CELLS))
    counts = np.zeros(cells.n_cells, np.int64)
    adding = threading.Lock()

    def count(start: int, stop: int) -> None:
        own = np.zeros(cells.n_cells, np.uint32)
        kernels.sorting.count(column.chunk(start, stop), None, *cells.arguments, own)
        with adding:
            counts[...] += own

    engine.run(n_rows, 8, STRETCH, lambda: count, n_threads)
    after = np.cumsum(counts)
    wanted = np.zeros(cells.n_cells, bool)
    wanted[np.searchsorted(after, ranks, side="right")] = True
    found: list[Array] = []

    def pick(start: int, stop: int) -> None:
        part = column.chunk(start, stop)
        out = np.empty(len(part), column.dtype)
        n = kernels.sorting.pick(part, *cells.arguments, wanted, out)
        found.append(out[:n].copy())

    engine.run(n_rows, 8, STRETCH, lambda: pick, n_threads)
    # Values of the cells that were not picked are all that is missing before a rank.
    missing = np.cumsum(np.where(wanted, 0, counts))[np.searchsorted(after, ranks, side="right")]
    values = np.sort(np.concatenate(found))
    return np.asarray(values[ranks - missing], np.float64)


def quantiles(column: Column, shares: Array, n_threads: int | None) -> Array:
    """As ``np.quantile``, linear between rows."""
    place = (len(column.values) - 1) * shares
    rank = np.floor(place).astype(np.int64)
    ahead = np.minimum(rank + 1, len(column.values) - 1)
    low, high = order_statistics(column, np.concatenate([rank, ahead]), n_threads).reshape(2, -1)
    share, width = place - rank, high - low
    return np.asarray(np.where(share < 0.5, low + width * share, high - width * (1 - share)))
