"""How many rows have which confidence and which entropy, those predicted right apart from those predicted wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .base import Accumulator, Options, Part
from .evaluation_report import EvaluationReport
from .rows import Rows
from .state import Figures, State

figure = Figures()

CELLS = 50
CONFIDENCE, ENTROPY = range(2)
WRONG, RIGHT = range(2)


@dataclass(frozen=True)
class Histogram:
    """Rows in 50 equal cells (lo, hi] of [0, 1], the first also with 0: of ``wrong`` predictions and of ``right`` ones.

    Rows are counted, whatever their weight.
    """

    wrong: Array
    right: Array

    def to_dict(self) -> dict[str, Any]:
        """The counts, as lists."""
        return {"wrong": self.wrong.tolist(), "right": self.right.tolist()}


@figure
def confidence_histogram(count: Array) -> Histogram:
    """Rows by confidence: the largest probability of a row (N, K), or P(y = 1) for (N,) scores."""
    return Histogram(count[CONFIDENCE, WRONG], count[CONFIDENCE, RIGHT])


@figure
def entropy_histogram(count: Array) -> Histogram:
    """Rows by entropy, as a share of log K, which is that of a uniform row."""
    return Histogram(count[ENTROPY, WRONG], count[ENTROPY, RIGHT])


class HistogramPart(Part):
    """Counts of rows: which histogram, whether right, which cell."""

    figures = figure

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        return {"count": (2, 2, CELLS)}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk; those that are no distribution have no place."""
        seen = rows.prediction >= 0
        right = rows.hits[kernels.rows.CORRECT][seen].astype(np.int64)
        most = math.log(max(rows.predictions.n_columns or 2, 1)) or 1.0
        for place, column, unit in ((CONFIDENCE, kernels.rows.CONFIDENCE, 1.0), (ENTROPY, kernels.rows.ENTROPY, most)):
            share = rows.table[column][seen].astype(np.float64) / unit
            cell = np.clip(np.ceil(share * CELLS).astype(np.int64) - 1, 0, CELLS - 1)
            state["count"][place] += np.bincount(right * CELLS + cell, minlength=2 * CELLS).reshape(2, CELLS)

    def rows_in(self, state: State) -> int:
        """See :meth:`Part.rows_in`: as many of each kind in both histograms."""
        by_kind = [[sum(kind) for kind in one] for one in state["count"].tolist()]
        return sum(by_kind[CONFIDENCE]) if by_kind[CONFIDENCE] == by_kind[ENTROPY] else -1

    def view(self, state: State) -> Array:
        """See :meth:`Part.view`."""
        return state["count"]


class HistogramAccumulator(Accumulator):
    """Streaming histograms of confidence and entropy, of right and of wrong predictions: 200 counts.

    >>> from fastcal.accumulators.histograms import HistogramAccumulator
    >>> acc = HistogramAccumulator().update([0, 1], [[0.75, 0.25], [0.99, 0.01]])
    >>> int(acc.compute()["confidence_histogram"].wrong[-1])
    1
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(settings={}, parts={"histograms": HistogramPart()}, **options)

    def compute(self) -> EvaluationReport:
        """Both histograms, and of which form the rows were."""
        report = super().compute()
        form = {"is_binary": self._columns == 0, "from_logits": self._settings["from_logits"]}
        said = {"is_binary": "Whether scores were (N,).", "from_logits": "Whether they were logits."}
        return EvaluationReport({**report, **form}, {**report.descriptions, **said})
