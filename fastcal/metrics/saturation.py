"""What one thread does to count rows whose softmax is saturated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array, DataError
from ..rowwise import Box, RowScores
from .activations import floats
from .row_workers import Sums


class Saturation(Sums):
    """Counts rows whose classes but the largest sum to at most ``target`` times the largest; ``bad`` is the first row
    that is no distribution.
    """

    def __init__(self, scores: RowScores, divided: tuple[Any, ...], limit: float) -> None:
        super().__init__(scores, divided, limit)
        self.n_saturated = 0
        self.bad: int | None = None

    def work(self, rows: Array, box: Box) -> None:
        """Work on the rows of a box."""
        self.gather(rows)
        places = kernels.rows
        rest, lost, largest = (
            self.sums[:, place : place + places.BLOCK].ravel()[: len(rows)].astype(np.float64)
            for place in (places.SUM_A, places.LOST_A, places.MAXIMUM)
        )
        rest = (rest + lost) * kernels.elementary.LOWERED
        wrong = np.flatnonzero(np.isnan(rest) | (largest == -np.inf))
        if wrong.size and self.bad is None:
            self.bad = box[0].start + int(wrong[0])
        self.n_saturated += int(np.count_nonzero(rest <= self.target))


def least_sum(scores: RowScores) -> float:
    """The most that classes of probability 0 sum to: e^d is that of the lowest d which kernels tell from others.

    Few classes are counted up to twice, lanes without a class among them.
    """
    return 2.1 * (scores.n_classes - 1) * math.exp(kernels.elementary.LOWEST[scores.real.type])


def no_distribution(scores: RowScores, row: int) -> DataError:
    """What is wrong with a row of logits."""
    values = floats(scores, (slice(row, row + 1), slice(None), slice(None)))[0]
    nan = np.flatnonzero(np.isnan(values))
    if nan.size:
        return DataError(scores.argument, (*scores.place(row), int(nan[0])), "is nan; expected logits")
    certain = np.count_nonzero(values == np.inf)
    problem = f"has {certain} logits of +inf" if certain else "has no logit above -inf"
    return DataError(scores.argument, scores.place(row), f"{problem}, which is no distribution")
