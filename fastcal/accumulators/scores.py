"""Proper scores and their company: accuracy, NLL, Brier score, mean entropy, each from an exact sum."""

from __future__ import annotations

import math
from typing import Unpack

import numpy as np

from fastcal import kernels

from .base import Accumulator, Options, Part
from .rows import Rows
from .state import FLOAT_BITS, Figures, State, integer, ratio

figure = Figures()

# What ``counts`` holds: rows without a weight, infinite NLLs, correct rows without a weight.
UNIT, INFINITE, CORRECT = range(3)
NO_WEIGHTS = np.empty(0)
NO_WEIGHTS.flags.writeable = False


class Sums:
    """A state in exact integers, all in units of 2^-1074."""

    def __init__(self, state: State) -> None:
        counts = state["counts"].tolist()
        self.n_infinite = counts[INFINITE]
        self.correct = counts[CORRECT] << FLOAT_BITS
        self.weight = counts[UNIT] << FLOAT_BITS
        if "weight_sum" in state:
            self.weight += integer(state["weight_sum"][0])
            self.correct += integer(state["correct_sum"][0])
        self.nll, self.brier, self.entropy = (integer(state[f"{name}_sum"][0]) for name in ("nll", "brier", "entropy"))


@figure
def accuracy(sums: Sums) -> float:
    """Share of rows predicted right."""
    return ratio(sums.correct, sums.weight)


@figure
def nll(sums: Sums) -> float:
    """Negative log-likelihood, nats a row."""
    return math.inf if sums.n_infinite else ratio(sums.nll, sums.weight)


@figure
def n_zero_probability(sums: Sums) -> int:
    """Rows whose label has probability 0."""
    return int(sums.n_infinite)


@figure
def brier(sums: Sums) -> float:
    """Mean Brier score.

    Summed over the classes of (N, K), from 0 to 2; (p - y)^2 for (N,) scores, from 0 to 1.
    """
    return ratio(sums.brier, sums.weight)


@figure
def entropy(sums: Sums) -> float:
    """Entropy of the predictions, nats a row."""
    return ratio(sums.entropy, sums.weight)


class ScorePart(Part):
    """Exact sums of the rows' scores, and counts."""

    figures = figure
    optional = frozenset({"weight_sum", "correct_sum"})

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        names = ("nll", "brier", "entropy", "weight", "correct")
        return {"counts": (3,), **{f"{name}_sum": (1, kernels.exact.N_LIMBS) for name in names}}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        exact, columns = kernels.exact, kernels.rows
        sums = (
            (state["nll_sum"], rows.table[columns.NLL]),
            (state["brier_sum"], rows.table[columns.BRIER]),
            (state["entropy_sum"], rows.table[columns.ENTROPY]),
        )
        correct = rows.hits[columns.CORRECT]
        weights = NO_WEIGHTS if rows.weights is None else rows.weights
        infinite, _, _ = [exact.add(values, weights, digits) for digits, values in sums]
        state["counts"][INFINITE] += infinite
        if rows.weights is None:
            state["counts"][UNIT] += np.count_nonzero(rows.prediction >= 0)
            state["counts"][CORRECT] += np.count_nonzero(correct)
            return
        if "weight_sum" not in state:
            state["weight_sum"] = np.zeros((1, exact.N_LIMBS), np.int64)
            state["correct_sum"] = np.zeros((1, exact.N_LIMBS), np.int64)
        # ones and zeros in the dtype of the columns: no kernel is compiled for them alone
        exact.add(np.ones_like(rows.table[0]), weights, state["weight_sum"])
        exact.add(correct.astype(rows.table.dtype), weights, state["correct_sum"])

    def view(self, state: State) -> Sums:
        """See :meth:`Part.view`."""
        return Sums(state)


class ScoreAccumulator(Accumulator):
    """Streaming accuracy, NLL, Brier score and mean entropy.

    >>> import fastcal as fc
    >>> fc.ScoreAccumulator().update([0, 1], [0.5, 0.75]).compute()["brier"]
    0.15625
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(settings={}, parts={"scores": ScorePart()}, **options)
