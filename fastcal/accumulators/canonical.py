"""Whole rows in cells: the canonical calibration error, of all classes at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array, DataError
from ..stretches import concatenated, elementwise, stretches
from .base import Accumulator, Options, Part
from .bins import check_bins
from .rows import Rows
from .scores import NO_WEIGHTS
from .state import Figures, State, added_pairs

figure = Figures()

MAX_CELLS = 1 << 31
DEFAULT_BYTES = 1 << 30  # what cells may take where ``max_cells`` is not given
FIRST_CELLS = 1 << 8  # a worker's room to begin with


@dataclass(frozen=True)
class Cells:
    """The occupied cells: ``weight`` (M,), and ``gaps`` (M, K), sums of weight times (outcome - p)."""

    weight: Array
    gaps: Array


@figure
def canonical_ece(cells: Cells) -> float:
    """Total variation between mean outcome and mean prediction, mean over cells of whole rows."""
    return float(abs(cells.gaps).sum()) / (2 * float(cells.weight.sum())) if len(cells.weight) else math.nan


@figure
def canonical_rmsce(cells: Cells) -> float:
    """Quadratic mean over cells of whole rows of the distance of mean outcome and mean prediction."""
    if not len(cells.weight):
        return math.nan
    means = cells.gaps / cells.weight[:, None]
    return math.sqrt(float((means * cells.gaps).sum()) / float(cells.weight.sum()))


@figure
def canonical_mce(cells: Cells) -> float:
    """Total variation between mean outcome and mean prediction, in the worst cell of whole rows."""
    return float((abs(cells.gaps).sum(axis=1) / (2 * cells.weight)).max()) if len(cells.weight) else math.nan


@figure
def n_cells(cells: Cells) -> int:
    """Cells of whole rows that are occupied."""
    return len(cells.weight)


class CanonicalPart(Part):
    """Cells sorted by their keys; a worker's are in a hash table (see kernels/canonical.py)."""

    figures = figure
    light = True

    def __init__(self, n_bins: int, max_cells: int | None) -> None:
        self.n_bins = check_bins(n_bins)
        whole = isinstance(max_cells, int | np.integer) and not isinstance(max_cells, bool)
        if max_cells is not None and not (whole and 1 <= max_cells <= MAX_CELLS):
            raise ValueError(f"max_cells is {max_cells!r}; expected an integer from 1 to {MAX_CELLS}")
        self.max_cells = None if max_cells is None else int(max_cells)
        self.edges = np.linspace(0.0, 1.0, self.n_bins + 1)
        self.edges.flags.writeable = False
        self.bits = max((self.n_bins - 1).bit_length(), 1)  # of a key, a class

    @property
    def a_word(self) -> int:
        """How many classes a word of a key holds."""
        return int(kernels.canonical.WORD_BITS) // self.bits

    def words(self, n_classes: int) -> int:
        """Words of a key."""
        return -(-n_classes // self.a_word)

    def limit(self, n_classes: int) -> int:
        """How many cells there may be."""
        if self.max_cells is not None:
            return self.max_cells
        return DEFAULT_BYTES // (8 * (2 * n_classes + 2 + self.words(n_classes)))

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`: those of no cells."""
        return self._shapes(0, n_columns or 2)

    def shapes_of(self, state: State, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes_of`: as many cells as keys."""
        keys = state.get("keys")
        return self._shapes(keys.shape[0] if keys is not None and keys.ndim else 0, n_columns or 2)

    def _shapes(self, n: int, k: int) -> dict[str, tuple[int, ...]]:
        return {"keys": (n, self.words(k)), "weight_pair": (n, 2), "gaps_pair": (n, k, 2)}

    def start(self, n_columns: int) -> State:
        """See :meth:`Part.start`: a hash table."""
        k = n_columns or 2
        return {"n_cells": np.zeros(1, np.int64), **self._table(k, min(FIRST_CELLS, self.limit(k)))}

    def _table(self, k: int, capacity: int) -> State:
        slots = 1 << (2 * capacity - 1).bit_length()  # at least twice as many as cells
        return {
            "slots": np.zeros(slots, np.int64),
            "keys": np.zeros((capacity, self.words(k)), np.int64),
            "weight": np.zeros((capacity, 2)),
            "gaps": np.zeros((capacity, k, 2)),
        }

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        probabilities = rows.probabilities()
        weights = NO_WEIGHTS if rows.weights is None else rows.weights
        confidence = rows.table[kernels.rows.CONFIDENCE]
        given = probabilities, rows.labels, weights, confidence, self.edges, np.int64(self.bits)
        key = np.zeros(state["keys"].shape[1], np.int64)
        done = 0
        while True:
            table = [state[name] for name in ("slots", "keys", "weight", "gaps", "n_cells")]
            done = kernels.canonical.add(*given, np.int64(done), key, *table)
            if done == len(probabilities):
                return
            self._grow(state)

    def _grow(self, state: State) -> None:
        """Room for twice as many cells, or as many as there may be. Raises DataError if there is that already."""
        n, k, _ = state["gaps"].shape
        self._check(n + 1, k)
        table = self._table(k, min(2 * n, self.limit(k)))
        for name in ("keys", "weight", "gaps"):
            table[name][:n] = state[name]
        kernels.canonical.place_cells(table["keys"], np.int64(n), table["slots"])
        state.update(table)

    def _check(self, n: int, n_classes: int) -> None:
        limit = self.limit(n_classes)
        if n > limit:
            by_default = f" (its default for {n_classes} classes)" if self.max_cells is None else ""
            problem = f"is {limit}{by_default}; the rows fall into more cells of {self.n_bins} bins a class"
            raise DataError("max_cells", (), f"{problem}: take fewer bins, or allow for more cells")

    def collect(self, state: State) -> State:
        """See :meth:`Part.collect`: cells in the order of their keys."""
        n = int(state["n_cells"][0])
        order = _order(state["keys"][:n])
        taken = {name: _rows_of(state[name], order) for name in ("keys", "weight", "gaps")}
        pairs = {f"{name}_pair": taken[name].view(np.int64) for name in ("weight", "gaps")}
        return {"keys": taken["keys"], **pairs}

    def merge(self, left: State, right: State) -> State:
        """See :meth:`Part.merge`: sums of equal keys are added."""
        if not left or not right:
            return {**left, **right}
        keys = np.concatenate([left["keys"], right["keys"]])
        order = _order(keys)
        keys = keys[order]
        is_first = np.ones(len(keys), bool)
        is_first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        first = np.flatnonzero(is_first)
        self._check(len(first), left["gaps_pair"].shape[1])
        seconds = np.flatnonzero(~is_first)
        met = np.cumsum(is_first)[seconds] - 1  # a key stands there twice at most: once a side
        state: State = {"keys": keys[first]}
        for name in ("weight_pair", "gaps_pair"):
            sums = concatenated([left[name], right[name]])
            total = _rows_of(sums, order[first])
            for part in stretches(len(met), math.prod(sums.shape[1:])):
                twice, added = met[part], sums[order[seconds[part]]]
                total[twice] = added_pairs(total[twice].view(float), added.view(float)).view(np.int64)
            state[name] = total
        return state

    def rows_in(self, state: State) -> int | None:
        """See :meth:`Part.rows_in`: rows are not counted, as those of weight 0 are in no cell."""
        keys, weight = state["keys"], state["weight_pair"].view(np.float64)[:, 0]
        gaps = abs(state["gaps_pair"].view(np.float64)[..., 0])
        n, k = gaps.shape
        shifts = np.arange(self.a_word) * self.bits
        bins = ((keys[:, :, None] >> shifts) & ((1 << self.bits) - 1)).reshape(n, self.words(k) * self.a_word)
        sound = (
            n <= self.limit(k)
            and not (keys >> (self.a_word * self.bits)).any()
            and (bins < self.n_bins).all()
            and not bins[:, k:].any()
            and (_order(keys) == np.arange(n)).all()
            and (keys[1:] != keys[:-1]).any(axis=1).all()
            and (weight > 0).all()
            and (gaps <= weight[:, None] * (1 + 1e-9)).all()
        )
        return None if sound else -1

    def view(self, state: State) -> Cells:
        """See :meth:`Part.view`: the high parts, which are the sums rounded to float64."""
        return Cells(state["weight_pair"].view(np.float64)[:, 0], state["gaps_pair"].view(np.float64)[..., 0])


class CanonicalAccumulator(Accumulator):
    """Streaming canonical calibration error: whole rows, each class in one of ``n_bins`` bins (15).

    The state holds the cells that are occupied, and so is not of fixed size: each takes 16 K + 16 bytes and 8 for every
    61 bits of its bins. ``max_cells`` is the most that there may be; None: as many as take 1 GB. An update or a merge
    beyond that raises DataError and changes nothing. ``n_cells`` says how many there are.

    >>> import fastcal as fc
    >>> acc = fc.CanonicalAccumulator(n_bins=2)
    >>> acc.update([0, 1, 1, 1], [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]]).compute()["canonical_ece"]
    0.25
    """

    def __init__(self, *, n_bins: int = 15, max_cells: int | None = None, **options: Unpack[Options]) -> None:
        part = CanonicalPart(n_bins, max_cells)
        settings = {"n_bins": part.n_bins, "max_cells": part.max_cells}
        super().__init__(settings=settings, parts={"canonical": part}, **options)

    @property
    def n_cells(self) -> int:
        """Cells that are occupied."""
        return int(self.figure("n_cells"))


def _rows_of(values: Array, places: Array) -> Array:
    return elementwise(values.__getitem__, places, width=math.prod(values.shape[1:]))


def _order(keys: Array) -> Array:
    """Indices that sort keys (M, words) >= 0, one of few runs in little more than a look at them."""
    if keys.shape[1] == 1:
        return keys[:, 0].argsort(kind="stable")
    text = keys.astype(">i8", order="C").view(f"S{8 * keys.shape[1]}")  # 5 times as fast as np.lexsort of 64 words
    return text[:, 0].argsort(kind="stable")
