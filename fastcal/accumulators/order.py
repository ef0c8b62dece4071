"""Confidences in their order: KS and Kuiper errors, equal-mass bins and the sweep, from cells of a mergeable sketch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..ordered.calibration import OrderedPredictions
from ..ordered.cells import LARGEST_KEY, MAX_LEVEL, Cells
from ..ordered.columns import scored_rows
from ..ordered.groups import Groups, groups
from ..stretches import concatenated, elementwise
from .base import Accumulator, Options, Part
from .bins import DEFAULT_BINS, check_bins
from .evaluation_report import EvaluationReport
from .ordered import DEFAULT_CELLS, check_cells
from .rows import Rows
from .state import Figures, State

figure = Figures()

# Rows that a thread keeps before it sorts them: sorting more at once is no faster, and 2^20 take 13 MB.
MOST_ROWS = 1 << 20
# As soon as so many rows show that there are more scores than cells, the rest is only counted.
FIRST_ROWS = 1 << 17
# Cells that are counted in: 8 MB. Rows of lower confidences are sorted as before.
MOST_DENSE = 1 << 19
ONE = 0x3FF0000000000000  # the key of 1


class Dense:
    """Counts of all cells of one level up to the confidence 1, for rows to be added to without sorting them."""

    def __init__(self, level: int, base: int) -> None:
        self.level = level
        self.base = base
        self.counts = np.zeros(((ONE >> level) + 1 - base, 2), np.uint32)  # a worker takes fewer rows
        self.left = np.empty(0, np.int64)

    @classmethod
    def of(cls, cells: Cells | None) -> Dense | None:
        """Of the level of some cells, and from the least of these on; None while scores are told apart exactly."""
        if cells is None or cells.level == 0:
            return None
        return cls(cells.level, max(int(cells.keys[0]), (ONE >> cells.level) + 1 - MOST_DENSE))

    def add(self, p: Array, outcome: Array) -> Array:
        """Add rows; returns which were not, as they are below the least of the cells."""
        if len(self.left) < len(p):
            self.left = np.empty(len(p), np.int64)
        level, base = np.int64(self.level), np.int64(self.base)
        n = kernels.grouping.add_to_cells(p, outcome, level, base, self.counts, self.left)
        return self.left[:n]

    def cells(self, limit: int | None) -> Cells:
        """The cells that hold rows."""
        held = np.flatnonzero(self.counts.any(axis=1))
        return Cells(self.level, held + self.base, self.counts[held].astype(np.int64)).limited(limit)

    def copy(self) -> Dense:
        """Another one of the same counts."""
        return self.copied(Dense(self.level, self.base))

    def copied(self, into: Dense) -> Dense:
        """The same counts in the memory of another, which is that of the same cells or else left alone."""
        if (into.level, into.base) != (self.level, self.base):
            return self.copy()
        np.copyto(into.counts, self.counts)
        return into


class View:
    """What the finalisers take; ``rows`` is None before any row of a weight."""

    def __init__(self, rows: OrderedPredictions | None, resolution: float, n_bins: int) -> None:
        self.rows = rows
        self.resolution = resolution
        self.n_bins = n_bins


@figure
def ks_calibration_error(view: View) -> float:
    """Largest cumulative difference of outcomes and confidences.

    Gupta et al. 2021.
    """
    return math.nan if view.rows is None else view.rows.ks()


@figure
def kuiper_calibration_error(view: View) -> float:
    """Range of the cumulative differences.

    Tygert 2021.
    """
    return math.nan if view.rows is None else view.rows.kuiper()


@figure
def adaptive_ece(view: View) -> float:
    """ECE over bins of equal mass."""
    return math.nan if view.rows is None else view.rows.l1(view.n_bins)


@figure
def sweep_ece(view: View) -> float:
    """ECE over the most equal-mass bins of rising accuracy.

    Roelofs et al. 2022.
    """
    return math.nan if view.rows is None else view.rows.l1(view.rows.swept())


@figure
def order_bound(view: View) -> float:
    """How far the last four may be off, the sweep for its bins.

    Zero while there are no more distinct confidences than cells.
    """
    return math.nan if view.rows is None else view.rows.bound(view.resolution, view.n_bins)


class OrderPart(Part):
    """Cells of confidences with counts of both outcomes, or their weights; see :class:`fastcal.RankingAccumulator`."""

    figures = figure
    light = True
    optional = frozenset({"pair"})

    def __init__(self, n_bins: int = DEFAULT_BINS, n_cells: int | None = DEFAULT_CELLS, threshold: float = 0.0) -> None:
        self.n_bins = check_bins(n_bins)
        self.n_cells = check_cells(n_cells)
        self.threshold = threshold

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`; here of an empty state."""
        return {"size": (2,), "keys": (0,), "sums": (0, 2)}

    def shapes_of(self, state: State, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes_of`."""
        m = len(state.get("keys", ()))
        sums = {"sums_pair": (m, 2, 2)} if "sums_pair" in state else {"sums": (m, 2)}
        return {"size": (2,), "keys": (m,), **sums}

    def start(self, n_columns: int) -> State:
        """Rows that wait to be sorted, the cells of those that were, and counts of cells known to be wide enough."""
        return {"waiting": [], "cells": None, "dense": None, "n": 0, "n_waiting": 0}  # type: ignore[dict-item]

    def resume(self, state: Any, so_far: State) -> None:
        """See :meth:`Part.resume`: cells never get narrower again."""
        if so_far:
            state["dense"] = Dense.of(cells_of(so_far))

    def add(self, state: Any, rows: Rows) -> None:
        """Count the rows of a chunk, or keep them; sort them when there are many."""
        p, outcome = rows.table[kernels.rows.CONFIDENCE], rows.hits[kernels.rows.OUTCOME]
        columns = [p, outcome] if rows.weights is None else [p, outcome, rows.weights]
        if rows.weights is None and state["dense"] is not None:
            left = state["dense"].add(p, outcome)
            state["n"] += rows.n - rows.n_nan - len(left)
            kept = [column[left] for column in columns]
        else:
            known = p > self.threshold if self.threshold else ~np.isnan(p)
            if rows.weights is not None:
                known &= rows.weights > 0
            kept = [column.copy() if known.all() else column[known] for column in columns]
        if len(kept[0]):
            if state["waiting"] and len(state["waiting"][0]) != len(kept):  # rows with weights after rows without
                self._sort(state, n_threads=1)
            state["waiting"].append(kept)
            state["n_waiting"] += len(kept[0])
        if self.n_cells is not None and state["n_waiting"] >= (FIRST_ROWS if state["cells"] is None else MOST_ROWS):
            self._sort(state, n_threads=1)
            if state["dense"] is None:
                state["dense"] = Dense.of(state["cells"])

    def _sort(self, state: Any, n_threads: int | None) -> None:
        """From waiting rows to cells."""
        waiting, n = state["waiting"], state["n_waiting"]
        state["waiting"], state["n_waiting"] = [], 0
        if not n:
            return
        p, outcome, *weights = (concatenated(columns) for columns in zip(*waiting, strict=True))
        del waiting
        np.clip(p, 0, 1, out=p)
        rows = scored_rows(p, outcome, weights[0] if weights else None, labels_only=True, n_threads=n_threads)
        self._take(state, Cells.of(groups(rows, n_threads, by_class=True), self.n_cells))
        state["n"] += n

    def _take(self, state: Any, found: Cells) -> None:
        cells = state["cells"]
        state["cells"] = found if cells is None else cells.merged(found, self.n_cells, by_class=True)

    def collect(self, state: Any) -> State:
        """Sort what is left."""
        state = dict(state)
        self._sort(state, n_threads=None if self.n_cells is None else 1)
        if state["dense"] is not None:
            self._take(state, state["dense"].cells(self.n_cells))
        return _packed(state["cells"] or Cells.empty(), state["n"])

    def merge(self, left: State, right: State) -> State:
        """A new state with what both hold."""
        if not left or not right:
            return dict(left or right)
        cells = cells_of(left).merged(cells_of(right), self.n_cells, by_class=True)
        return _packed(cells, int(left["size"][0] + right["size"][0]))

    def rows_in(self, state: State) -> int | None:
        """See :meth:`Part.rows_in`."""
        n, level = state["size"].tolist()
        keys, sums = state["keys"], state.get("sums")
        sound = 0 <= level <= MAX_LEVEL and (keys[1:] > keys[:-1]).all()
        sound = sound and (not len(keys) or keys[-1] <= LARGEST_KEY >> level)
        sound = sound and (level == 0 if self.n_cells is None else len(keys) <= self.n_cells)
        if sums is not None:
            sound = sound and bool((sums.sum(axis=1) > 0).all()) and sum(map(int, sums.ravel())) == n
        else:
            weights = state["sums_pair"].view(np.float64)[..., 0]
            sound = sound and bool((weights >= 0).all() and (weights.sum(axis=1) > 0).all())
        return None if sound and (n > 0) == (len(keys) > 0) else -1

    def view(self, state: State) -> View:
        """See :meth:`Part.view`."""
        cells = cells_of(state)
        if not len(cells.keys):
            return View(None, math.nan, self.n_bins)
        found = cells.groups()
        if cells.level:
            low, high = cells.edges()
            found = Groups((low + np.minimum(high, 1.0)) / 2, found.sums)
        return View(OrderedPredictions(found, int(state["size"][0])), cells.resolution(), self.n_bins)


def _packed(cells: Cells, n: int) -> State:
    state = {"size": np.array([n, cells.level], np.int64), "keys": cells.keys}
    if cells.sums.shape[1] == 2:
        return {**state, "sums": cells.sums}
    return {**state, "sums_pair": elementwise(_rounded, cells.sums.reshape(-1, 2, 2)).view(np.int64)}


def _rounded(parts: Array) -> Array:
    """Sums in two parts, of which the high one is the sum rounded."""
    high = parts.sum(axis=-1)
    return np.stack([high, parts[..., 1] - (high - parts[..., 0])], axis=-1)


def cells_of(state: State) -> Cells:
    """The cells that a state holds."""
    sums: Array = state["sums"] if "sums" in state else state["sums_pair"].view(np.float64).reshape(-1, 4)
    return Cells(int(state["size"][1]), state["keys"], sums)


class OrderAccumulator(Accumulator):
    """Streaming figures of confidences in their order: KS and Kuiper errors, ECE over equal-mass bins and the sweep's.

    ``n_bins`` of equal mass, 15 by default; ``n_cells``: exact up to so many distinct confidences (float16 and bfloat16
    have fewer), None without limit; beyond, ``compute()["order_bound"]`` says how far the figures may be off.

    >>> import fastcal as fc
    >>> acc = fc.OrderAccumulator(n_bins=2)
    >>> acc.update([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75]).compute()["adaptive_ece"]
    0.25
    """

    def __init__(
        self, *, n_bins: int = DEFAULT_BINS, n_cells: int | None = DEFAULT_CELLS, **options: Unpack[Options]
    ) -> None:
        part = OrderPart(n_bins, n_cells)
        settings = {"n_bins": part.n_bins, "n_cells": part.n_cells}
        super().__init__(settings=settings, parts={"order": part}, **options)

    def refined(self, batches: Iterable[tuple[Any, ...]]) -> EvaluationReport:
        """ECE over equal-mass bins, exact: ``adaptive_ece`` and ``edges``, from a second look at the same rows.

        ``batches`` of (y_true, y_prob) or (y_true, y_prob, sample_weight). Kept are the distinct confidences of the few
        cells in which a quantile lies; a state that is exact already does not look at them. Raises ValueError for rows
        that are not those of the first look.

        >>> import fastcal as fc
        >>> batches = [([0, 1], [0.25, 0.5]), ([1, 0], [0.75, 1.0])]
        >>> seen = sum(fc.OrderAccumulator(n_bins=2).update(*batch) for batch in batches)
        >>> seen.refined(batches)["adaptive_ece"]
        0.25
        """
        from .equal_mass import refined  # which is made of this

        return refined(self, batches)
