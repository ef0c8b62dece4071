"""Spiegelhalter's test of calibration."""

from __future__ import annotations

import math
from typing import NamedTuple, Unpack

import numpy as np

from fastcal import kernels

from .base import Accumulator, Options, Part
from .rows import Rows
from .state import Figures, State, floats

figure = Figures()


class SpiegelhalterTest(NamedTuple):
    """z is standard normal if the predictions are calibrated; ``p_value`` is two-sided.

    >>> import fastcal as fc
    >>> fc.spiegelhalter_test([0, 1], [0.25, 0.75]).statistic
    -0.8164965809277261
    """

    statistic: float
    p_value: float


@figure
def spiegelhalter_z(test: SpiegelhalterTest) -> float:
    """Spiegelhalter's z: standard normal if calibrated."""
    return test.statistic


@figure
def spiegelhalter_p(test: SpiegelhalterTest) -> float:
    """Its two-sided p-value."""
    return test.p_value


class SpiegelhalterPart(Part):
    """Two sums."""

    figures = figure
    light = True
    optional = frozenset({"weighted_pair"})

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        return {"score_signed_sum": (1, 3), "variance_sum": (1, 3), "weighted_pair": (2, 2)}

    def start(self, n_columns: int) -> State:
        """See :meth:`Part.start`."""
        return {"words": np.zeros(4, np.int64)}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        columns = rows.table[kernels.rows.CONFIDENCE], rows.hits[kernels.rows.OUTCOME]
        if rows.weights is None:
            kernels.spiegelhalter.add(*columns, state["words"])
            return
        if "weighted_pair" not in state:
            state["weighted_pair"] = np.zeros((2, 2))
        kernels.spiegelhalter.add_weighted(*columns, rows.weights, state["weighted_pair"])

    def collect(self, state: State) -> State:
        """Carry the sums."""
        words = state["words"].reshape(2, 2)
        digits = np.concatenate([words, np.zeros((2, 1), np.int64)], axis=1)
        kernels.exact.carry(digits)
        collected = {"score_signed_sum": digits[:1], "variance_sum": digits[1:]}
        if "weighted_pair" in state:
            collected["weighted_pair"] = state["weighted_pair"].view(np.int64)
        return collected

    def view(self, state: State) -> SpiegelhalterTest:
        """See :meth:`Part.view`."""
        score, variance = float(floats(state["score_signed_sum"])[0]), float(floats(state["variance_sum"])[0])
        if "weighted_pair" in state:
            more = state["weighted_pair"].view(np.float64).sum(axis=1)
            score, variance = score + float(more[0]), variance + float(more[1])
        if not variance > 0:
            return SpiegelhalterTest(math.nan, math.nan)
        z = score / math.sqrt(variance)
        return SpiegelhalterTest(z, math.erfc(abs(z) / math.sqrt(2)))


class SpiegelhalterAccumulator(Accumulator):
    """Streaming test of calibration; see :func:`fastcal.spiegelhalter_test`.

    >>> import fastcal as fc
    >>> acc = fc.SpiegelhalterAccumulator().update([0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25])
    >>> acc.compute()["spiegelhalter_z"]
    0.0
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(settings={}, parts={"spiegelhalter": SpiegelhalterPart()}, **options)
