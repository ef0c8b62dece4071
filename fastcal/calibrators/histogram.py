"""Histogram binning: the share of the label in each bin."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np

from fastcal import kernels

from ..accumulators.bins import CLOSED, Binning
from ..arrays import Array, Column, DataError
from ..ordered.calibration import OrderedPredictions
from ..ordered.groups import groups
from ..ordered.quantiles import quantiles
from .base import Applier, OneAgainstRest, map_columns
from .class_columns import OneColumn, fit_each
from .forms import Input, Taken
from .maps import Maps, check_maps, flat
from .rows import Block, Rows

# Sums of so many numbers are added up a block at a time, by as many threads; of more, in one thread.
MOST_SUMS = 1 << 16


class HistogramBinning(OneAgainstRest):
    """Histogram binning (Zadrozny and Elkan 2001) of every class against the rest, each row divided by its sum.

    The calibrated probability of a class is the share of its label among the (weighted) rows of the bin that its
    probability is in, m_k(p_k) / sum_j m_j(p_j); a row of zeros becomes uniform. Of two classes one map is fitted, that
    of P(y = 1). Bins and their closure are the same when fitted and when applied, and those of every metric here.

    Parameters: ``n_bins`` (None: 15, or as many as edges make); ``binning``, "uniform", "quantile" (equal mass, each
    class its own: edges as ``np.quantile``, ties together, duplicates dropped) or edges that rise from 0 to 1;
    ``closed``, "right" (lo, hi], the first bin also with 0, or "left" [lo, hi), the last also with 1 ("quantile" is
    closed on the right); ``input``, "probs" unless "logits" is said; ``classes``; ``n_threads``.

    Fitted: ``offsets_`` (m + 1,), m maps (1 of two classes, else K), of which map k has the edges ``edges_`` from
    ``offsets_[k]`` to ``offsets_[k + 1]``, float64; ``values_`` and ``weight_``, the value of each bin and the weight
    of its rows, one less a map: map k's begin at ``offsets_[k] - k``. A bin without rows has its midpoint as its value;
    ``n_empty_`` counts them; ``closed_`` is the side that was closed. Of scores that are all equal "quantile" makes the
    one bin [0, 1]. A class that no row has is 0 in all bins that have rows. Shares of 0 and 1 stay: a row may get a
    probability of 0, and an NLL of infinity.

    Uniform bins and edges are one pass over rows that are held nowhere; counts without weights are exact. Equal mass
    needs all scores of a class, as :class:`fastcal.IsotonicCalibration` does. Any split and number of threads give the
    same bits; so does any order of rows, without weights. Weights say how much a row counts: equal-mass edges lie at
    weighted quantiles.

    Raises DataError for what is no probability or label, and where all weights are 0.

    >>> import fastcal as fc
    >>> calibrator = fc.HistogramBinning(n_bins=2).fit([0.1, 0.2, 0.4, 0.7, 0.9], [0, 0, 1, 1, 1])
    >>> calibrator.values_
    array([0.33333333, 1.        ])
    >>> calibrator.predict_proba([0.5, 0.50001])
    array([0.33333333, 1.        ])
    """

    default_input: ClassVar[Input] = "probs"
    taken: ClassVar[Taken] = "probs"
    one_pass: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("edges_", "values_", "weight_", "offsets_", "n_empty_", "closed_")

    edges_: Array
    values_: Array
    weight_: Array
    offsets_: Array
    n_empty_: int
    closed_: str

    def __init__(
        self,
        *,
        n_bins: int | None = None,
        binning: Any = "uniform",
        closed: Literal["right", "left"] = "right",
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_bins = n_bins
        self.binning = binning
        self.closed = closed
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        if self.closed not in CLOSED:
            raise ValueError(f"closed is {self.closed!r}; expected 'right' or 'left'")
        if self._is_quantile and self.closed != "right":
            raise ValueError("binning='quantile' has bins (lo, hi]; closed='left' does not apply")
        self._bins()

    @property
    def _is_quantile(self) -> bool:
        return isinstance(self.binning, str) and self.binning == "quantile"

    def _bins(self) -> Binning:
        return Binning(self.n_bins, "uniform" if self._is_quantile else self.binning, self.closed)

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        if self._is_quantile:
            found = fit_each(rows, self._fit_quantiles, self.n_threads)
            together, offsets = flat([one[0] for one in found])
            return self._made(together, offsets, np.concatenate([one[1] for one in found]))
        edges, maps = self._bins().edges, rows.n_maps
        together, offsets = np.tile(edges, maps), np.arange(maps + 1) * len(edges)
        sums = _counted(rows, Maps.steps(together, None, offsets, left=self.closed == "left"), self.n_threads)
        return self._made(together, offsets, sums)

    def _fit_quantiles(self, column: OneColumn) -> tuple[Array, Array]:
        """The edges of one class, and the sums of its bins."""
        n_bins = self._bins().n_bins
        if column.weights is None:
            given = Column("scores", column.scores, column.scores.dtype)
            edges = np.unique(quantiles(given, np.linspace(0.0, 1.0, n_bins + 1), column.n_threads))
        else:
            n_rows = int(np.count_nonzero(column.weights))
            edges = OrderedPredictions(groups(column.scored(), column.n_threads, by_class=True), n_rows).edges(n_bins)
        if len(edges) == 1:
            edges = np.array([0.0, 1.0])
        sums = np.zeros((1, len(edges) - 1, 2))
        bins = Maps.steps(edges, None, np.array([0, len(edges)]))
        _count(column.scores.reshape(-1, 1), column.labels, column.weights, column.label, bins, sums)
        return edges, sums[0]

    def _check_fitted(self) -> None:
        maps = 1 if self.n_features_in_ <= 2 else self.n_features_in_
        check_maps((self.edges_, self.values_, self.offsets_), maps, values_in_bins=True)
        if self.weight_.shape != self.values_.shape or not (self.weight_ >= 0).all():
            raise ValueError("weight_ holds no weight for each bin")
        if not isinstance(self.closed_, str) or self.closed_ not in CLOSED:
            raise ValueError(f"closed_ is {self.closed_!r}; expected 'right' or 'left'")

    def _mapper(self) -> Applier:
        return Maps.steps(self.edges_, self.values_, self.offsets_, left=self.closed_ == "left")

    def _made(self, edges: Array, offsets: Array, sums: Array) -> dict[str, Any]:
        """What was fitted."""
        weight, hits = sums.T.copy()
        begins = np.ones(len(edges), bool)
        begins[offsets[1:] - 1] = False
        low, high = edges[begins], edges[1:][begins[:-1]]
        with np.errstate(invalid="ignore"):
            values = np.where(weight > 0, hits / weight, (low + high) / 2)
        return {
            "edges_": edges,
            "values_": values,
            "weight_": weight,
            "offsets_": offsets,
            "n_empty_": int(np.count_nonzero(weight == 0)),
            "closed_": self.closed,
        }


def _counted(rows: Rows, bins: Maps, n_threads: int | None) -> Array:
    """The sums of all maps' bins, (maps bins, 2): weights of their rows, and of those with the map's label."""
    maps, first = rows.n_maps, int(rows.n_columns <= 2)
    shape = (maps, len(bins.knots) // maps - 1, 2)
    size = math.prod(shape)

    def add(block: Block, into: Array) -> None:
        _count(map_columns(block.scores), block.labels, block.weights, first, bins, into.reshape(shape))

    if size <= MOST_SUMS:
        sums = rows.total(size, lambda: add, n_threads)
    else:
        sums = np.zeros(size)
        for block in rows.blocks():
            add(block, sums)
    if rows.n_rows and not sums.any():
        raise DataError("sample_weight", (0,), "is 0.0, as all the others; one has to be above 0")
    return sums.reshape(-1, 2)


def _count(values: Array, labels: Array, weights: Array | None, label: int, bins: Maps, sums: Array) -> None:
    """Add rows to the sums of bins."""
    values, labels = values.view(), labels.view()
    values.flags.writeable = labels.flags.writeable = False  # one type of array, one compilation
    if weights is not None:
        weights = weights.view()
        weights.flags.writeable = False
    kernels.binned_columns.count(values, labels, weights, label, *bins.arguments, sums)
