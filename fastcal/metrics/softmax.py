"""Row by row: what one pass over the logits says of each prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcal import kernels

from .. import engine
from ..accumulators.rows import Rows, bytes_per_row, rows_per_chunk
from ..arrays import Array, LabelColumn, Predictions, score_rows


@dataclass(frozen=True)
class SoftmaxSummary:
    """Arrays (N,), see :func:`softmax_summary`; ``prediction`` is int64, the others are floats."""

    prediction: Array
    confidence: Array
    margin: Array
    entropy: Array
    logsumexp: Array


def softmax_summary(logits: Any, *, temperature: float = 1.0, n_threads: int | None = None) -> SoftmaxSummary:
    """Prediction, confidence, margin, entropy and log-sum-exp of softmax(logits / temperature), in one pass.

    ``logits`` (..., K). With p = softmax(z / T): confidence = max p; margin = the largest p less the next (1 for
    K = 1); entropy = -sum p log p in nats; logsumexp = log sum exp(z / T). In the precision of the input, float32 for
    half. A row with NaN, with two or more +inf or with nothing but -inf is no distribution: its prediction is -1, its
    logsumexp NaN, +inf or -inf, all else NaN. A difference of
    logits beyond their precision's range counts as infinite. Raises ValueError for a temperature that is not positive,
    or whose inverse is not a normal number of the logits' precision.

    >>> import fastcal as fc
    >>> summary = fc.softmax_summary([[0.0, 0.0], [1.0, 3.0]])
    >>> summary.prediction.tolist(), summary.confidence.round(4).tolist()
    ([0, 1], [0.5, 0.8808])
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature is {temperature!r}; expected a positive, finite number")
    column, lead = score_rows("logits", logits)
    limits = np.finfo(column.dtype)
    if not float(limits.tiny) <= 1 / temperature <= float(limits.max):
        raise ValueError(f"temperature is {temperature!r}; its inverse is no normal {column.dtype}")
    rows = Predictions(LabelColumn("", np.empty(0, np.int64), np.dtype(np.int64)), column, None, True, lead)
    n = rows.n_rows
    summary = SoftmaxSummary(np.empty(n, np.int64), *(np.empty(n, column.dtype) for _ in range(4)))
    engine.run(
        n,
        bytes_per_row(rows),
        rows_per_chunk(rows),
        lambda: _Worker(rows, temperature, summary),
        n_threads,
    )
    return SoftmaxSummary(*(getattr(summary, name).reshape(lead) for name in SoftmaxSummary.__dataclass_fields__))


class _Worker:
    def __init__(self, rows: Predictions, temperature: float, summary: SoftmaxSummary) -> None:
        self.rows = Rows(rows, temperature)
        self.summary = summary

    def __call__(self, start: int, stop: int) -> None:
        columns, rows, summary = kernels.rows, self.rows, self.summary
        faulty = rows.faults[columns.N_NAN]
        rows.fill(start, stop)
        summary.prediction[start:stop] = rows.prediction
        summary.confidence[start:stop] = rows.table[columns.CONFIDENCE]
        summary.margin[start:stop] = rows.table[columns.MARGIN]
        summary.entropy[start:stop] = rows.table[columns.ENTROPY]
        summary.logsumexp[start:stop] = rows.table[columns.LOGSUMEXP]
        if rows.faults[columns.N_NAN] > faulty:
            for row in np.flatnonzero(rows.prediction < 0).tolist():
                # NaN where there is NaN, else the infinity that made the row no distribution
                summary.logsumexp[start + row] = rows.scores.chunk(start + row, start + row + 1).max()
