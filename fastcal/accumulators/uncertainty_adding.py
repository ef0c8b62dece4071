"""Rows added to a state of uncertainty: put in order of their kinds, then measure by measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcal import kernels as typed_kernels

from .. import engine
from ..arrays import Array, Column
from .uncertainty_state import KINDS, MEASURES, UncertaintyState

kernels: Any = typed_kernels  # unpacked arguments cannot be counted

# Rows that are put in order at once: their places are 16 bits.
CHUNK = 1 << 16


class Orders:
    """Rows of each chunk in the order of their kinds, as the kernel takes them."""

    def __init__(self, n_rows: int) -> None:
        n_chunks = -(-n_rows // CHUNK)
        self.n_rows = n_rows
        self.places = np.empty((n_chunks, min(n_rows, CHUNK) + 1), np.uint16)
        self.starts = np.zeros((n_chunks, len(KINDS) + 2), np.int64)

    def fill(self, chunk: int, kinds: Array) -> None:
        """Put the rows of a chunk in order."""
        kernels.uncertainty.order(kinds, self.places[chunk], self.starts[chunk])

    @property
    def n_skipped(self) -> int:
        """Rows that are left out."""
        return int((self.starts[:, -1] - self.starts[:, -2]).sum())


def added(state: UncertaintyState, columns: Sequence[Column], orders: Orders, n_threads: int | None) -> None:
    """Add rows to a state: in one call of the kernel where they are few, else measure by measure on threads."""
    n_rows = orders.n_rows
    forms = np.array([_form(name) for name in state.names])
    if n_rows <= CHUNK:
        values = np.stack([column.chunk(0, n_rows) for column in columns])
        _Adding(state).add(values, forms, orders, 0)
        return

    def add(start: int, stop: int) -> None:
        for measure in range(start, stop):
            adding = _Adding(state.of(measure))
            for chunk, first in enumerate(range(0, n_rows, CHUNK)):
                values = columns[measure].chunk(first, min(first + CHUNK, n_rows))
                adding.add(values[None], forms[measure : measure + 1], orders, chunk)

    engine.run(len(columns), 8 * n_rows, 1, lambda: add, n_threads)
    state.rows += np.diff(orders.starts, axis=1).sum(axis=0)


class _Adding:
    """A state and the room that the kernel works in."""

    def __init__(self, state: UncertaintyState) -> None:
        self.state = state
        block = kernels.uncertainty.BLOCK
        self.scratch = (*np.empty((3, block)), np.empty(block, np.int64))

    def add(self, values: Array, forms: Array, orders: Orders, chunk: int) -> None:
        """Add the rows of a chunk, ``values`` (measures, n)."""
        grid = self.state.grid
        kernels.uncertainty.add(
            read_only(values),
            forms,
            orders.places[chunk],
            orders.starts[chunk],
            np.int64(grid.zero),
            np.int64(grid.top),
            *self.state.arrays,
            *self.scratch,
        )


def _form(name: str) -> tuple[float, float, float]:
    """A measure from a column, as a + b x and no less than c."""
    if name == "max_probability":
        return 1.0, -1.0, 0.0
    return 0.0, 1.0, (0.0 if name in MEASURES else -math.inf)


def read_only(values: Array) -> Array:
    """A view that nothing can be written to: one type of array, one compilation."""
    view = values.view()
    view.flags.writeable = False
    return view
