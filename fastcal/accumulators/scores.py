"""Proper scores and their company: accuracy, NLL, Brier score, mean entropy, each from an exact sum."""

from __future__ import annotations

import math
from typing import Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .base import Accumulator, Options, Part
from .intervals import deviation
from .rows import Rows
from .state import FLOAT_BITS, Figures, State, integer, ratio

figure = Figures()

# What ``counts`` holds: rows without a weight, infinite NLLs, correct rows without a weight (kernels/columns.py).
UNIT, INFINITE, CORRECT = range(3)
NO_WEIGHTS = np.empty(0)
NO_WEIGHTS.flags.writeable = False


# Exact sums of rows without a weight, and of the others: times the weight, and times its square.
PLAIN = ("nll", "brier", "entropy")
SQUARES = ("nll_square", "brier_square")
WEIGHTED = tuple(f"weighted_{name}" for name in ("weight", "correct", *PLAIN))
SQUARED = tuple(f"{name}2" for name in ("weight", "nll", "nll_square", "brier", "brier_square"))


class Sums:
    """A state in exact integers, all in units of 2^-1074."""

    def __init__(self, state: State) -> None:
        counts = state["counts"].tolist()
        self.state = state
        self.n_unit = counts[UNIT]
        self.n_infinite = counts[INFINITE]
        self.correct = (counts[CORRECT] << FLOAT_BITS) + self.sum_of("weighted_correct")
        self.weight = (counts[UNIT] << FLOAT_BITS) + self.sum_of("weighted_weight")
        self.nll, self.brier, self.entropy = (self.sum_of(name) + self.sum_of(f"weighted_{name}") for name in PLAIN)

    def sum_of(self, name: str) -> int:
        """One of the sums, 0 where there is none."""
        digits = self.state.get(f"{name}_sum")
        return 0 if digits is None else integer(digits[0])

    def errors(self) -> tuple[dict[str, tuple[float, float]], float]:
        """Means with their standard errors, and how many rows of equal weight would say as much."""
        number = {
            name: ratio(self.sum_of(name) + self.sum_of(f"{name}2"), 1 << FLOAT_BITS)
            for name in ("nll", "nll_square", "brier", "brier_square")
        }
        weight = ratio(self.weight, 1 << FLOAT_BITS)
        weight2 = self.n_unit + ratio(self.sum_of("weight2"), 1 << FLOAT_BITS)
        means = {"accuracy": (accuracy(self), math.nan)}
        for name, mean in (("nll", nll(self)), ("brier", brier(self))):
            parts = (weight, weight2, number[name], number[f"{name}_square"], mean)
            means[name] = mean, float(deviation(*map(np.asarray, parts)))
        return means, weight * weight / weight2 if weight2 else math.nan


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
    """Exact sums of the rows' scores, and counts; with ``squares`` what their standard errors are made of."""

    figures = figure

    def __init__(self, *, squares: bool = False) -> None:
        self.squares = squares
        self.plain = (*PLAIN, *(SQUARES if squares else ()))
        self.weighted = (*WEIGHTED, *(SQUARED if squares else ()))
        self.optional = frozenset(f"{name}_sum" for name in self.weighted)

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        sums = {f"{name}_sum": (1, kernels.exact.N_LIMBS) for name in (*self.plain, *self.weighted)}
        return {"counts": (3,), **sums}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        columns, table = kernels.rows, rows.table
        values = {"nll": table[columns.NLL], "brier": table[columns.BRIER], "entropy": table[columns.ENTROPY]}
        correct = rows.hits[columns.CORRECT]
        if rows.weights is None:
            none = np.empty((0, kernels.exact.N_LIMBS), np.int64)
            squares = [state.get(f"{name}_sum", none) for name in SQUARES]
            totals = np.zeros((len(PLAIN), kernels.columns.N_TOTALS), np.int64)
            sums = [state[f"{name}_sum"] for name in PLAIN]
            arrays = (*values.values(), correct, totals, *sums, *squares, state["counts"])
            kernels.columns.add_scores(*arrays)
            return
        for name in self.weighted:
            if f"{name}_sum" not in state:
                state[f"{name}_sum"] = np.zeros((1, kernels.exact.N_LIMBS), np.int64)
        # ones and zeros in the dtype of the columns: no kernel is compiled for them alone
        values |= {"weight": np.ones_like(table[0]), "correct": correct.astype(table.dtype)}
        if self.squares:
            values |= {f"{name}_square": np.square(values[name], dtype=np.float64) for name in ("nll", "brier")}
        for name in ("weight", "correct", *PLAIN):
            infinite = self._sum(state, f"weighted_{name}", values[name], rows.weights)
            state["counts"][INFINITE] += infinite if name == "nll" else 0
        for name in SQUARED if self.squares else ():
            self._sum(state, name, values[name[:-1]], rows.weights * rows.weights)

    def _sum(self, state: State, name: str, values: Array, weights: Array) -> int:
        for array in (values, weights):
            array.flags.writeable = False  # one type of array, one compilation
        return int(kernels.exact.add(values, weights, state[f"{name}_sum"]))

    def rows_in(self, state: State) -> int | None:
        """See :meth:`Part.rows_in`."""
        sums, most = Sums(state), int(kernels.exact.LARGEST)
        limits = ((sums.correct, 1), (sums.brier, 3), (sums.entropy, most), (sums.nll, most))
        sound = all(total <= sums.weight * limit for total, limit in limits)
        squares = [sums.sum_of(f"{name}{end}") for name in SQUARES for end in ("", "2")]
        sound = sound and all(total >> (FLOAT_BITS + 1000) == 0 for total in squares)
        return None if sound else -1

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
