"""Rows in bins of confidence: the reliability curve and the calibration errors that come from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array, Column, tolerances
from ..forks import cached_property
from . import binned
from .base import Accumulator, Options, Part
from .binned import Binned, BrierDecomposition, is_sound
from .bins import Binning, check_threshold
from .curve import ReliabilityCurve
from .rows import Rows, binned_as
from .state import Figures, State

figure = Figures()

# Rows that are gone through in the caller's thread without a worker, whose buffers would take longer than the rows.
FEW = 1 << 13
# Neighbouring rows go to different copies of the bins (see kernels/binning.py); with many bins they rarely meet anyway.
COPIES, FEW_BINS = 4, 256
OF_SQUARES = ("ece_debiased", "squared_ce_debiased", "rmsce_debiased", "brier_decomposition")
NAMES = ("count", "hits", "confidence_signed_sum", "square_sum")


class Bins:
    """What the finalisers take: sums over bins, and the edges that belong to them."""

    def __init__(self, sums: Binned, edges: np.ndarray[Any, Any]) -> None:
        self.sums = sums
        self.edges = edges


@figure
def confidence(bins: Bins) -> float:
    """Mean confidence of the predictions.

    The largest probability of a row (N, K), or P(y = 1) for (N,) scores.
    """
    return float(binned.quotient(bins.sums.confidence.sum(), bins.sums.total, math.nan))


@figure
def ece(bins: Bins) -> float:
    """Expected calibration error.

    sum_b w_b |acc_b - conf_b|, each residual from a sum of integers.
    """
    return float(binned.l1(bins.sums))


@figure
def mce(bins: Bins) -> float:
    """Largest calibration gap of a bin.

    max_b |acc_b - conf_b| over occupied bins.
    """
    return float(binned.largest(bins.sums))


@figure
def rmsce(bins: Bins) -> float:
    """Root mean square calibration error.

    sqrt(sum_b w_b (acc_b - conf_b)^2).
    """
    return math.sqrt(binned.l2_squared(bins.sums))


@figure
def ece_debiased(bins: Bins) -> float:
    """ECE less its bias, as resampling shows it.

    See :func:`fastcal.accumulators.binned.debiased_l1`.
    """
    return float(binned.debiased_l1(bins.sums))


@figure
def squared_ce_debiased(bins: Bins) -> float:
    """Mean square calibration error, without bias.

    May be negative. See :func:`fastcal.accumulators.binned.debiased_l2_squared`.
    """
    return float(binned.debiased_l2_squared(bins.sums))


@figure
def rmsce_debiased(bins: Bins) -> float:
    """Its root, or 0.

    sqrt(max(0, squared_ce_debiased)).
    """
    return math.sqrt(squared) if not (squared := squared_ce_debiased(bins)) < 0 else 0.0


@figure
def ece_if_calibrated(bins: Bins) -> float:
    """ECE to expect of a calibrated model.

    With as many rows of the same confidences.
    """
    return float(binned.l1_if_calibrated(bins.sums))


@figure
def signed_calibration_error(bins: Bins) -> float:
    """Mean confidence less accuracy.

    Positive where the model is overconfident.
    """
    return float(binned.signed(bins.sums))


@figure
def overconfidence(bins: Bins) -> float:
    """Share of ECE from bins too confident."""
    return float(binned.over(bins.sums))


@figure
def underconfidence(bins: Bins) -> float:
    """Share of ECE from bins not confident enough."""
    return float(binned.under(bins.sums))


@figure
def brier_decomposition(bins: Bins) -> BrierDecomposition:
    """Reliability, resolution and uncertainty of (y - p)^2.

    Murphy's terms, see :func:`fastcal.brier_decomposition`, of the confidence and whether it was right.
    """
    return BrierDecomposition.of(bins.sums, float(binned.mean_square(bins.sums)))


@figure
def reliability(bins: Bins) -> ReliabilityCurve:
    """Accuracy against confidence, bin by bin."""
    return ReliabilityCurve.of(bins.sums, bins.edges)


class ReliabilityPart(Part):
    """Counts, outcomes and exact sums of confidence in bins, and of squared residuals unless they are not wanted."""

    figures: Mapping[str, Any] = figure
    light = True
    optional = frozenset({"weighted_count", "weighted_pair"})

    def __init__(self, binning: Binning, *, squares: bool = True, threshold: float = 0.0) -> None:
        if not isinstance(squares, bool):
            raise ValueError(f"squares is {squares!r}; expected True or False")
        self.binning = binning
        self.squares = squares
        if not squares:
            self.figures = {name: one for name, one in figure.items() if name not in OF_SQUARES}
        self.threshold = check_threshold(threshold)
        self._few: dict[tuple[np.dtype[Any], np.dtype[Any], bool], Any] = {}  # what the kernel of few rows takes

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Copies, bins, and words of each."""
        words = kernels.binning.CELL_WITH_SQUARES if self.squares else kernels.binning.CELL
        return COPIES if self.binning.size <= FEW_BINS else 1, self.binning.size, words

    @property
    def n_sums(self) -> int:
        """Of weighted bins."""
        return int(kernels.binning.SUMS_WITH_SQUARES if self.squares else kernels.binning.SUMS)

    def start(self, n_columns: int) -> State:
        """Cells in copies, summed up by :meth:`collect`."""
        return {"cells": np.zeros(self._shape, np.int64)}

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        size = self.binning.size
        always = {"count": (size,), "hits": (size,), "confidence_signed_sum": (size, 3)}
        if self.squares:
            always["square_sum"] = (size, 3)
        return {**always, "weighted_count": (size,), "weighted_pair": (size, self.n_sums, 2)}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        p, outcome = rows.table[kernels.rows.CONFIDENCE], rows.hits[kernels.rows.OUTCOME]
        if self.threshold:
            p = np.where(p > self.threshold, p, p.dtype.type(math.nan))
            p.flags.writeable = False
        lookup = self.binning.lookup(rows.given_dtype, top=not rows.binary).arguments
        squares = True if self.squares else None
        if rows.weights is None:
            kernels.binning.add(p, outcome, *lookup, squares, state["cells"])
            return
        if "weighted_count" not in state:
            state["weighted_count"] = np.zeros(self.binning.size, np.int64)
            state["weighted_pair"] = np.zeros((self.binning.size, self.n_sums, 2))
        sums = state["weighted_count"], state["weighted_pair"]
        kernels.binning.add_weighted(p, outcome, rows.weights, None, *lookup, squares, *sums)

    def quick(self, state: State, rows: Rows, start: int, stop: int) -> int:
        """See :meth:`Part.quick`."""
        plain = rows.light and rows.binary and rows.scores.dtype == np.float32 and rows.predictions.weights is None
        if not plain or self.squares or self.threshold or self.binning.size > FEW_BINS:
            return 0
        n_bins = self.binning.lookup(rows.given_dtype).by_width
        if not n_bins:
            return 0
        if "uniform" not in state:
            size = kernels.binning.BLOCK
            state |= {"uniform": np.zeros((4, n_bins), np.int64), "copies": np.zeros(4 * n_bins, np.int64)}
            state |= {"places": np.zeros(size, np.int32), "words": np.zeros(size, np.int64)}
            state["rests"] = np.zeros(size, np.float32)
        given = rows.scores.chunk(start, stop), rows.predictions.labels.chunk(start, stop)
        tolerance, done = rows.tolerances[0], 0
        if kernels.processor.ADDS_BYTES and n_bins <= kernels.uniform.MOST_BINS:
            done = int(kernels.uniform.add(*given, tolerance, n_bins, state["uniform"]))
        if start + done == stop:
            return done
        rest = given[0][done:], given[1][done:], tolerance
        scratch = state["places"], state["words"], state["rests"], state["copies"]
        return done + int(kernels.binning.add_uniform(*rest, np.float64(n_bins), *scratch, state["uniform"]))

    def at_once(self, p: Array, labels: Array, scores: Column) -> Bins | None:
        """What a few probabilities as kernels take them, all in order, come to; None: it takes more than that."""
        made = self.sums_at_once(p, labels, scores.values, scores.dtype)
        if made is None:
            return None
        count, (weight, hits, confidence, residual, square) = made
        found = Binned(count, weight, hits, confidence, residual, weight)
        if self.squares:
            found.residual2, found.square2, found.square = residual, square, square
        found.labels_vary = self.binning.name == "verified"
        if not self.binning.left_out:
            found.total = np.asarray(float(len(p)))  # known without adding up
            return Bins(found, self.binning.edges)
        return self._kept(found)

    def sums_at_once(self, p: Array, labels: Array, values: Array, real: np.dtype[Any]) -> tuple[Array, Array] | None:
        """The same as counts (B,), and sums of weights, outcomes, confidences, residuals and squared residuals (5, B).

        ``values`` and ``real``: those of the column that ``p`` is of.
        """
        if not 0 < p.size <= FEW * 16 or len(p) > FEW or self.threshold or self.binning.ignored:
            return None
        key = values.dtype, real, values.ndim > 1
        if key not in self._few:
            column = Column("y_prob", values, real)
            lookup = self.binning.lookup(binned_as(column), top=values.ndim > 1).arguments
            self._few[key] = tolerances(column), lookup, True if self.squares else None
        allowed, lookup, squares = self._few[key]
        if p.ndim > 1:
            confidence: Array = np.empty(len(p), p.dtype)
            hits: Array = np.empty(len(p), np.int64)
            find: Any = kernels.probabilities.few_light  # unpacked arguments cannot be counted
            if find(p, labels, *allowed, confidence, hits):
                return None
            confidence.flags.writeable = hits.flags.writeable = False
            p, labels = confidence, hits
        cells = np.zeros(self._shape, np.int64)
        count, sums = np.empty(self._shape[1], np.int64), np.empty((5, self._shape[1]))
        add: Any = kernels.binning.add_few
        if add(p, labels, allowed[0], *lookup, squares, cells, count, sums):
            return None
        return count, sums

    def collect(self, state: State) -> State:
        """Sum the copies; carry the sums."""
        cells, names = state["cells"].sum(axis=0), kernels.binning
        if "uniform" in state:
            rows, hits, high, low = state["uniform"]
            cells[:, names.ROWS] += rows + (hits << 32)
            cells[:, names.HIGH] += high
            cells[:, names.LOW] += low
        collected = unpacked(cells, squares=self.squares)
        if "weighted_count" in state:
            collected["weighted_count"] = state["weighted_count"]
            collected["weighted_pair"] = state["weighted_pair"].view(np.int64)
        return collected

    def rows_in(self, state: State) -> int | None:
        """See :meth:`Part.rows_in`."""
        weighted = state.get("weighted_count", np.zeros(1, np.int64))
        total = sum(state["count"].tolist()) + sum(weighted.tolist())
        if not is_sound(state):
            return -1
        return None if self.threshold else total

    def view(self, state: State) -> Bins:
        """See :meth:`Part.view`."""
        binning = self.binning
        return self._kept(Binned.from_state(state, labels_vary=binning.name == "verified", ignored=binning.ignored))

    def _kept(self, sums: Binned) -> Bins:
        """Without bins whose rows do not even count."""
        binning = self.binning
        if binning.left_out:
            kept = np.setdiff1d(np.arange(binning.size), binning.left_out)
            return Bins(sums.of((..., kept)), binning.edges[np.append(kept, kept[-1] + 1)])
        return Bins(sums, binning.edges)


def unpacked(cells: np.ndarray[Any, Any], *, squares: bool) -> State:
    """The words of cells (n, words) as named arrays, carried."""
    n = len(cells)
    state = {"count": np.empty(n, np.int64), "hits": np.empty(n, np.int64)}
    state["confidence_signed_sum"] = np.empty((n, 3), np.int64)
    if squares:
        state["square_sum"] = np.empty((n, 3), np.int64)
    kernels.binning.unpack(cells, *(state.get(name) for name in NAMES))
    return state


class ReliabilityAccumulator(Accumulator):
    """Streaming reliability curve and calibration errors: 15 uniform bins (lo, hi], the first also with 0, by default.

    ``n_bins``, ``binning`` ("uniform" or edges from 0 to 1), ``closed`` ("right" or "left"), or ``convention``: bins as
    another system has them; see :func:`fastcal.calibration_error`. ``threshold``: confidences above it count.
    ``squares=False`` keeps no squared residuals, which debiased figures and the curve's errors are made of, and takes
    two thirds of the time.

    >>> import fastcal as fc
    >>> acc = fc.ReliabilityAccumulator(n_bins=2)
    >>> acc.update([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75]).compute()["ece"]
    0.25
    """

    def __init__(
        self,
        *,
        n_bins: int | None = None,
        binning: Any = "uniform",
        closed: str | None = None,
        convention: str | None = None,
        threshold: float = 0.0,
        squares: bool = True,
        **options: Unpack[Options],
    ) -> None:
        bins = Binning(n_bins, binning, closed, convention)
        part = ReliabilityPart(bins, squares=squares, threshold=threshold)
        settings = {**bins.settings(), "threshold": part.threshold, "squares": part.squares}
        super().__init__(settings=settings, parts={"reliability": part}, **options)
