"""Equal-mass bins of a stream, exact, from a second look at its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..ordered.calibration import OrderedPredictions
from ..ordered.cells import Cells, among
from ..ordered.groups import Groups, in_two_parts
from .base import Accumulator
from .binned import Binned
from .bins import Binning
from .evaluation_report import EvaluationReport
from .order import OrderPart, cells_of
from .reliability import ReliabilityPart

if TYPE_CHECKING:
    from .order import OrderAccumulator


def refined(first: OrderAccumulator, batches: Iterable[tuple[Any, ...]]) -> EvaluationReport:
    """What :meth:`OrderAccumulator.refined` gives.

    A quantile lies in one of the sketch's cells, or between two: only rows of these *hot* cells are kept, one for each
    distinct confidence. Between them the second look sums whole ranges of cells, which no edge cuts through.
    """
    part, state = first._parts["order"], first.part_state("order")
    assert isinstance(part, OrderPart)
    cells, n = cells_of(state), int(state["size"][0])
    if not n:
        raise ValueError("no rows of any weight to refine")
    if cells.level == 0:
        exact = part.view(state).rows
        assert exact is not None
        return _made(first, exact.l1(part.n_bins), exact.edges(part.n_bins))
    hot = _hot(cells, n, part.n_bins)
    low, high = Cells(cells.level, cells.keys[hot], cells.sums[hot]).edges()
    cuts = np.unique(np.concatenate([np.nextafter(low, -1.0), np.minimum(high, 1.0)]))
    cuts = cuts[(cuts > 0) & (cuts < 1)]
    options = {name: first._settings[name] for name in ("from_logits", "nan_policy")}
    ranges = ReliabilityPart(Binning.between(np.concatenate([[0.0], cuts, [1.0]])))
    second = Accumulator(settings={}, parts={"ranges": ranges}, **options, n_threads=first._n_threads)
    kept, seen = Cells.empty(), Cells.empty()
    for y_true, y_prob, *weight in batches:
        weights = weight[0] if weight else None
        second.update(y_true, y_prob, sample_weight=weights)
        one = Accumulator(settings={}, parts={"order": OrderPart(n_cells=None)}, **options, n_threads=first._n_threads)
        found = one.update(y_true, y_prob, sample_weight=weights).part_state("order")
        rows = cells_of(found)
        seen = seen.merged(rows.limited(part.n_cells), part.n_cells, by_class=True)
        inside = among(rows.keys >> np.int64(cells.level), cells.keys[hot])
        kept = kept.merged(Cells(0, rows.keys[inside], rows.sums[inside]), None, by_class=True)
    if second._row_counts() != first._row_counts() or not _same(seen, cells):
        raise ValueError("these are not the rows of the first look")
    view = ranges.view(second.part_state("ranges")).sums
    return _report(first, cells, hot, kept, view, cuts, n, part.n_bins)


def _same(seen: Cells, cells: Cells) -> bool:
    """Whether two looks put the same rows into each cell."""
    if seen.level != cells.level or not np.array_equal(seen.keys, cells.keys):
        return False
    ours, theirs = (in_two_parts(one.sums, by_class=True) for one in (seen, cells))
    return np.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * abs(theirs).max(initial=0))


def _hot(cells: Cells, n: int, n_bins: int) -> Array:
    """The numbers of the cells in which a row next to a quantile lies."""
    numbers = np.arange(len(cells.keys)) / len(cells.keys)
    rows = OrderedPredictions(Groups(numbers, cells.sums), n)
    after = rows.in_rows(np.cumsum(rows.weight))
    place = (n - 1) * np.linspace(0.0, 1.0, n_bins + 1)
    group = np.minimum(np.searchsorted(after, place, side="right"), len(after) - 1)
    return np.unique(np.minimum(np.concatenate([group - 1, group, group + 1]).clip(0), len(after) - 1))


def _report(
    first: OrderAccumulator, cells: Cells, hot: Array, kept: Cells, view: Binned, cuts: Array, n: int, n_bins: int
) -> EvaluationReport:
    """Cold cells as they are and hot ones as their rows, cut at the quantiles of both together."""
    cold = np.setdiff1d(np.arange(len(cells.keys)), hot)
    middle = (cells.edges()[0] + np.minimum(cells.edges()[1], 1.0)) / 2
    exact = kept.groups()
    sums = [cells.sums[cold], exact.sums]
    if len({one.shape[1] for one in sums}) > 1:
        raise ValueError("these are not the rows of the first look")
    score = np.concatenate([middle[cold], exact.score])
    order = np.argsort(score, kind="stable")
    rows = OrderedPredictions(Groups(score[order], np.concatenate(sums)[order]), n)
    edges = rows.edges(n_bins)
    # ranges of cells, each with the exact sum of its rows; those of hot cells count by their rows
    bounds = np.concatenate([[0.0], cuts, [1.0]])
    centre = (bounds[:-1] + bounds[1:]) / 2
    low, high = cells.edges()
    is_hot = ((low[hot] <= centre[:, None]) & (centre[:, None] <= high[hot])).any(axis=1)
    last = max(len(edges) - 2, 0)

    def place(p: Array) -> Array:
        return np.minimum(np.searchsorted(edges[1:-1], p, side="left"), last)

    hot_rows = OrderedPredictions(exact, n)
    residual = np.zeros(last + 1)
    np.add.at(residual, place(centre[~is_hot]), view.residual[~is_hot])
    np.add.at(residual, place(hot_rows.p), hot_rows.residual)
    return _made(first, float(abs(residual).sum() / view.total), edges)


def _made(first: OrderAccumulator, ece: float, edges: Array) -> EvaluationReport:
    figures = {"n": first._n_rows(), "adaptive_ece": ece, "edges": edges.tolist()}
    descriptions = {"n": "Rows.", "adaptive_ece": "ECE over bins of equal mass.", "edges": "Their edges."}
    return EvaluationReport(figures, descriptions)
