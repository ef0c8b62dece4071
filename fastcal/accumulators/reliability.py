"""Rows in bins of confidence: the reliability curve and the calibration errors that come from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .base import Accumulator, Options, Part
from .rows import Rows
from .state import FLOAT_BITS, UNIT_BITS, Figures, State, integer, ratio

figure = Figures()

# Neighbouring rows go to different copies of the bins (see kernels/binning.py); with many bins they rarely meet anyway.
COPIES, FEW_BINS = 4, 256
MAX_BINS = 1 << 14  # a weighted bin holds 1.6 KB


@dataclass(frozen=True)
class ReliabilityCurve:
    """Bins (lo, hi] of confidence, the first also with 0: how often the outcome came true in each.

    ``edges`` (B + 1,); ``count`` rows, ``weight``, mean ``confidence`` and ``accuracy`` (B,), NaN in empty bins.
    """

    edges: Array
    count: Array
    weight: Array
    confidence: Array
    accuracy: Array

    def undefined(self) -> ReliabilityCurve:
        """The same bins with NaN for their means."""
        nan = np.full(len(self.count), math.nan)
        return replace(self, confidence=nan, accuracy=nan.copy())

    def to_dict(self) -> dict[str, list[float]]:
        """The arrays, as lists."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


class Bins:
    """A state in exact integers: ``weight``, ``hits`` and ``confidence`` of each bin, in one common unit."""

    def __init__(self, edges: Array, state: State) -> None:
        self.edges = edges
        self.count = state["count"].copy()
        digits = state["confidence_sum"]
        self.confidence = [integer(digits[b]) for b in range(len(digits))]
        self.weight = [int(n) << UNIT_BITS for n in state["count"]]
        self.hits = [int(n) << UNIT_BITS for n in state["hits"]]
        self.unit_bits = UNIT_BITS
        if "weighted_count" in state:
            self._add_weighted(state)
        self.total = sum(self.weight)

    def _add_weighted(self, state: State) -> None:
        self.unit_bits = FLOAT_BITS
        self.count += state["weighted_count"]
        for name in ("weight", "hits", "confidence"):
            digits = state[f"weighted_{name}_sum"]
            values = getattr(self, name)
            shifted = [(value << (FLOAT_BITS - UNIT_BITS)) + integer(digits[b]) for b, value in enumerate(values)]
            setattr(self, name, shifted)

    def gaps(self) -> list[float]:
        """Mean outcome less mean confidence of each occupied bin, rounded once."""
        return [(h - c) / w for w, h, c in zip(self.weight, self.hits, self.confidence, strict=True) if w]

    def shares(self) -> list[float]:
        """Share of the weight in each occupied bin."""
        return [w / self.total for w in self.weight if w]

    def curve(self) -> ReliabilityCurve:
        """In floating point, each number rounded once."""
        return ReliabilityCurve(
            edges=self.edges.copy(),
            count=self.count,
            weight=np.array([w / (1 << self.unit_bits) for w in self.weight]),
            confidence=np.array([ratio(c, w) for w, c in zip(self.weight, self.confidence, strict=True)]),
            accuracy=np.array([ratio(h, w) for w, h in zip(self.weight, self.hits, strict=True)]),
        )


@figure
def confidence(bins: Bins) -> float:
    """Mean confidence of the predictions.

    The largest probability of a row (N, K), or P(y = 1) for (N,) scores.
    """
    return ratio(sum(bins.confidence), bins.total)


@figure
def ece(bins: Bins) -> float:
    """Expected calibration error.

    sum_b w_b |acc_b - conf_b| / sum_b w_b: one rounding, after sums of integers.
    """
    return ratio(sum(abs(h - c) for h, c in zip(bins.hits, bins.confidence, strict=True)), bins.total)


@figure
def mce(bins: Bins) -> float:
    """Largest calibration gap of a bin.

    max_b |acc_b - conf_b| over occupied bins.
    """
    return max(map(abs, bins.gaps()), default=math.nan)


@figure
def rmsce(bins: Bins) -> float:
    """Root mean square calibration error.

    sqrt(sum_b w_b (acc_b - conf_b)^2 / sum_b w_b).
    """
    squares = [share * gap * gap for share, gap in zip(bins.shares(), bins.gaps(), strict=True)]
    return math.sqrt(math.fsum(squares)) if bins.total else math.nan


@figure
def reliability(bins: Bins) -> ReliabilityCurve:
    """Accuracy against confidence, bin by bin."""
    return bins.curve()


class ReliabilityPart(Part):
    """Counts, outcomes and exact sums of confidence in uniform bins."""

    figures = figure

    def __init__(self, n_bins: int) -> None:
        whole = isinstance(n_bins, int | np.integer) and not isinstance(n_bins, bool)
        if not (whole and 1 <= n_bins <= MAX_BINS):
            raise ValueError(f"n_bins is {n_bins!r}; expected an integer from 1 to {MAX_BINS}")
        self.n_bins = int(n_bins)
        self.edges = np.linspace(0.0, 1.0, self.n_bins + 1)

    def start(self, n_columns: int) -> State:
        """Cells in copies, summed up by :meth:`collect`."""
        copies = COPIES if self.n_bins <= FEW_BINS else 1
        return {"cells": np.zeros((copies, self.n_bins, 4), np.int64)}

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        n_bins = self.n_bins
        weighted = {
            f"weighted_{name}_sum": (n_bins, kernels.exact.N_LIMBS) for name in ("weight", "hits", "confidence")
        }
        always = {"count": (n_bins,), "hits": (n_bins,), "confidence_sum": (n_bins, 3)}
        return {**always, "weighted_count": (n_bins,), **weighted}

    optional = frozenset({"weighted_count", "weighted_weight_sum", "weighted_hits_sum", "weighted_confidence_sum"})

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        p = rows.table[kernels.rows.CONFIDENCE]
        outcome = rows.hits[kernels.rows.OUTCOME]
        if rows.weights is None:
            kernels.binning.add(p, outcome, self.edges, state["cells"])
            return
        if "weighted" not in state:
            state["weighted_count"] = np.zeros(self.n_bins, np.int64)
            state["weighted"] = np.zeros((3, self.n_bins, kernels.exact.N_LIMBS), np.int64)
        kernels.binning.add_weighted(p, outcome, rows.weights, self.edges, state["weighted_count"], state["weighted"])

    def collect(self, state: State) -> State:
        """Sum the copies; carry the sums."""
        binning = kernels.binning
        cells = state["cells"].sum(axis=0)
        digits = np.zeros((len(cells), 3), np.int64)
        digits[:, 0] = cells[:, binning.LOW]
        digits[:, 1] = cells[:, binning.HIGH]
        kernels.exact.carry(digits)
        collected = {
            "count": cells[:, binning.COUNT].copy(),
            "hits": cells[:, binning.HITS].copy(),
            "confidence_sum": digits,
        }
        if "weighted" in state:
            collected["weighted_count"] = state["weighted_count"]
            for name, sums in zip(("weight", "hits", "confidence"), state["weighted"], strict=True):
                kernels.exact.carry(sums)
                collected[f"weighted_{name}_sum"] = sums
        return collected

    def rows_in(self, state: State) -> int:
        """See :meth:`Part.rows_in`."""
        weighted = state.get("weighted_count", np.zeros(1, np.int64))
        total = sum(state["count"].tolist()) + sum(weighted.tolist())
        return -1 if (state["hits"] > state["count"]).any() else total

    def view(self, state: State) -> Bins:
        """See :meth:`Part.view`."""
        return Bins(self.edges, state)


class ReliabilityAccumulator(Accumulator):
    """Streaming reliability curve and calibration errors: 15 uniform bins (lo, hi], the first also with 0, by default.

    >>> import fastcal as fc
    >>> acc = fc.ReliabilityAccumulator(n_bins=2)
    >>> acc.update([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75]).compute()["ece"]
    0.25
    """

    def __init__(self, *, n_bins: int = 15, **options: Unpack[Options]) -> None:
        part = ReliabilityPart(n_bins)
        super().__init__(settings={"n_bins": part.n_bins}, parts={"reliability": part}, **options)
