"""Differences of two models of the same rows, with intervals in closed form: which is better, and is it sure.

Every figure's difference is, to the first order, a mean over rows of x_i = a_i - b_i, so that its variance is
sum w^2 (x - mean x)^2 / (W^2 - sum w^2). For scores x is their difference. For errors over bins a_i = f(d_i), with d
the residual y - p of a row and f a line that its bin has: 2 g d - g^2 of the squared error (g the bin's gap), sign(g) d
of ECE, (2 g d - g^2) / (2 RMSCE) of its root. Sums of d, e and d e by the bins of both models give all of them.

Where both are calibrated those lines vanish, and the squared error's difference varies by the second order,
2 sum_b s_b^2 v_b^2 of either less 4 sum_bc s_b s_c c_bc^2, with s a bin's share, v its gap's variance, and c_bc the
covariance of the gaps of bins b and c. The larger of the two is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array
from . import binned
from .binned import Binned, quotient
from .evaluation_report import EvaluationReport
from .intervals import Interval, around, check_level, deviation, is_clear

A, B, UNSURE, NO_INTERVAL = "A", "B", "not sure", "no interval"
HIGHER_IS_BETTER = ("accuracy",)
HEADLINE = "squared_ce_debiased"
NOT_CLEAR = "not every bin's gap exceeds 3 standard errors in both: this difference is mostly noise"


@dataclass(frozen=True)
class Difference:
    """One figure of two models, ``a`` and ``b``; ``difference`` a - b with its interval; what that says.

    ``better`` is "A" or "B" where the interval does not hold 0, "not sure" where it does, and "no interval" where there
    is none; ``note`` says why.
    """

    name: str
    a: float
    b: float
    difference: float
    interval: Interval | None
    better: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain Python."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**found, "interval": None if self.interval is None else list(self.interval)}


@dataclass(frozen=True)
class Comparison:
    """Two models of the same rows, figure by figure: ``comparison["nll"].difference``, ``.interval``, ``.better``.

    ``better_calibrated`` is "A", "B" or "not sure", by ``squared_ce_debiased``: of the calibration errors it is the one
    that is not biased by noise, so that its difference means something near calibration, too. ``only_a_correct`` and
    ``only_b_correct`` count the rows that one model alone predicts right. Intervals are each at ``level``, not adjusted
    for there being several.

    >>> import fastcal as fc
    >>> found = fc.compare([0, 1, 1], [0.2, 0.7, 0.6], [0.3, 0.6, 0.6])
    >>> round(found["brier"].difference, 3)
    -0.04
    """

    differences: tuple[Difference, ...]
    n: int
    n_classes: int
    weight: float
    weight2: float  # the sum of their squares
    level: float
    only_a_correct: int
    only_b_correct: int

    @property
    def better_calibrated(self) -> str:
        """Which model is, by the headline figure."""
        return self[HEADLINE].better

    @property
    def mcnemar_p(self) -> float:
        """The p-value of McNemar's exact test that both are right equally often; NaN with weights."""
        if not self.weight == self.weight2 == self.n:
            return math.nan
        from scipy.special import bdtr

        few, all_of_them = min(self.only_a_correct, self.only_b_correct), self.only_a_correct + self.only_b_correct
        return min(1.0, 2.0 * float(bdtr(few, all_of_them, 0.5))) if all_of_them else 1.0

    def __getitem__(self, name: str) -> Difference:
        for one in self.differences:
            if one.name == name:
                return one
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (one.name for one in self.differences)

    def __len__(self) -> int:
        return len(self.differences)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python."""
        names = ("n", "n_classes", "level", "better_calibrated", "only_a_correct", "only_b_correct", "mcnemar_p")
        return {**{name: getattr(self, name) for name in names}, "figures": self._figures()}

    def _figures(self) -> dict[str, Any]:
        return {
            one.name: {key: value for key, value in one.to_dict().items() if key != "name"} for one in self.differences
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """Strict JSON: NaN is null, infinity the string "Infinity"."""
        return EvaluationReport(self.to_dict(), {}).to_json(indent=indent)

    def __str__(self) -> str:
        percent = f"{100 * self.level:g} %"
        lines = [f"{self.n} rows, {self.n_classes} classes; differences A - B, intervals at {percent}"]
        lines.append(f"{'':19}  {'A':>10}  {'B':>10}  {'A - B':>10}  {'interval':^24}  better")
        for one in self.differences:
            ends = "" if one.interval is None else f"[{one.interval[0]:+.6f}, {one.interval[1]:+.6f}]"
            lines.append(
                f"{one.name:19}  {one.a:10.6f}  {one.b:10.6f}  {one.difference:+10.6f}  {ends:^24}  {one.better}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Pair:
    """Of the rows' differences d in one score: sum w d / W, sum w d^2 / W, sum w^2 d and sum w^2 d^2."""

    mean: float
    mean_square: float
    sum2: float
    square2: float


def differences(
    scores: list[dict[str, float]],
    bins: list[Binned],
    cells: Array,
    pairs: dict[str, Pair],
    infinite: list[int],
    level: float,
) -> list[Difference]:
    """All of them.

    ``cells`` (SUMS, bins, bins): see kernels/paired.py; ``infinite``: rows whose label only A, or only B, gives 0.
    """
    check_level(level)
    total, weight2 = float(bins[0].total), float(bins[0].weight2.sum())
    found = [_shares(scores, pairs["accuracy"], total, weight2, level)]
    for name in ("nll", "brier"):
        one = pairs[name]
        error = _deviation(total, weight2, one.sum2, one.square2, one.mean)
        if name == "nll" and any(infinite):
            found.append(_infinite(scores, infinite))
        else:
            found.append(_judged(name, scores[0][name], scores[1][name], one.mean, error, level))
    both = _Both(bins, cells)
    found.append(both.squared(level))
    found += [both.clear(name, level) for name in ("ece", "rmsce")]
    return found


def _judged(name: str, a: float, b: float, difference: float, error: float, level: float) -> Difference:
    interval = around(difference, error, level)
    return Difference(name, a, b, difference, *_verdict(name, interval))


def _verdict(name: str, interval: Interval) -> tuple[Interval | None, str, str]:
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return None, NO_INTERVAL, "too few rows"
    higher, lower = (A, B) if name in HIGHER_IS_BETTER else (B, A)
    return interval, higher if low > 0 else lower if high < 0 else UNSURE, ""


def _shares(scores: list[dict[str, float]], pair: Pair, total: float, weight2: float, level: float) -> Difference:
    """Of accuracy: rows that one model alone has right, one more of each kind (Bonett and Price 2012)."""
    a, b = scores[0]["accuracy"], scores[1]["accuracy"]
    with np.errstate(invalid="ignore", divide="ignore"):
        n = float(np.divide(total * total, weight2)) if weight2 else math.nan
    only_a, only_b = (((pair.mean_square + sign * pair.mean) / 2 * n + 1) / (n + 2) for sign in (1, -1))
    error = math.sqrt(max(only_a + only_b - (only_a - only_b) ** 2, 0.0) / (n + 2)) if n > 0 else math.nan
    low, high = around(only_a - only_b, error, level, -1.0, 1.0)
    # the middle is drawn to 0: an interval that misses the difference itself would be odd
    interval = min(low, pair.mean), max(high, pair.mean)
    return Difference("accuracy", a, b, pair.mean, *_verdict("accuracy", interval if n > 0 else (low, high)))


def _infinite(scores: list[dict[str, float]], infinite: list[int]) -> Difference:
    """Of NLL where a model gives a label probability 0 that the other does not."""
    only_a, only_b = infinite
    value = math.nan if only_a and only_b else math.inf if only_a else -math.inf
    note = f"labels of probability 0: {only_a} rows of A alone, {only_b} of B alone"
    return Difference("nll", scores[0]["nll"], scores[1]["nll"], value, None, NO_INTERVAL, note)


class _Both:
    """Errors over the bins of both."""

    def __init__(self, bins: list[Binned], cells: Array) -> None:
        self.bins, self.cells = bins, cells
        self.total, self.weight2 = float(bins[0].total), float(bins[0].weight2.sum())
        self.squares = [float(binned.l2_squared(one)) for one in bins]

    def squared(self, level: float) -> Difference:
        """The squared error without bias."""
        a, b = (float(binned.debiased_l2_squared(one)) for one in self.bins)
        lines = [(2 * one.gaps, -(one.gaps**2)) for one in self.bins]
        error = self.deviation(lines, self.squares[0] - self.squares[1])
        if not math.isnan(error):
            error = math.sqrt(max(error * error, self.second_order()))
        return _judged(HEADLINE, a, b, a - b, error, level)

    def clear(self, name: str, level: float) -> Difference:
        """ECE, or the root of the squared error, where no gap may be noise."""
        if name == "ece":
            a, b = (float(binned.l1(one)) for one in self.bins)
            lines = [(np.sign(one.gaps), np.zeros_like(one.gaps)) for one in self.bins]
        else:
            a, b = (math.sqrt(square) for square in self.squares)
            with np.errstate(invalid="ignore", divide="ignore"):
                lines = [
                    (one.gaps / root, -(one.gaps**2) / (2 * root)) for one, root in zip(self.bins, (a, b), strict=True)
                ]
        if not (self.total > 0 and all(bool(is_clear(one)) for one in self.bins)):
            return Difference(name, a, b, a - b, None, NO_INTERVAL, NOT_CLEAR)
        means = (a - b) if name == "ece" else (a - b) / 2
        return _judged(name, a, b, a - b, self.deviation(lines, means), level)

    def deviation(self, lines: list[tuple[Array, Array]], mean: float) -> float:
        """The standard error of a mean of f_A(d) - f_B(e), with lines (slope, constant) of each bin."""
        first, second = [], []
        for one, (slope, constant) in zip(self.bins, lines, strict=True):
            if one.residual2 is None or one.square2 is None:
                return math.nan
            terms = slope * one.residual2 + constant * one.weight2
            first.append(float(terms.sum()))
            terms = slope**2 * one.square2 + 2 * slope * constant * one.residual2 + constant**2 * one.weight2
            second.append(float(terms.sum()))
        names = kernels.paired
        (s, c), (t, k) = lines
        cross = np.outer(s, t) * self.cells[names.BOTH] + np.outer(s, k) * self.cells[names.LEFT]
        cross = cross + np.outer(c, t) * self.cells[names.RIGHT] + np.outer(c, k) * self.cells[names.WEIGHT2]
        square = second[0] + second[1] - 2 * float(cross.sum())
        return _deviation(self.total, self.weight2, first[0] - first[1], square, mean)

    def second_order(self) -> float:
        """The variance of the difference of squared errors where both models are calibrated."""
        names, (mine, theirs) = kernels.paired, self.bins
        own = sum(float((np.nan_to_num(one.shares) ** 2 * np.nan_to_num(one.noise) ** 2).sum()) for one in self.bins)
        g, h = mine.gaps[:, None], theirs.gaps[None, :]
        cells = self.cells
        both = cells[names.BOTH] - g * cells[names.RIGHT] - h * cells[names.LEFT] + g * h * cells[names.WEIGHT2]
        room = np.multiply.outer(*(np.maximum(one.weight**2 - one.weight2, 0.0) for one in self.bins))
        share = np.multiply.outer(*(np.nan_to_num(one.shares) for one in self.bins))
        shared = float((share * quotient(both * both, room, 0.0)).sum())
        return max(2 * own - 4 * shared, 0.0)


def _deviation(total: float, weight2: float, sum2: float, square2: float, mean: float) -> float:
    return float(deviation(*map(np.asarray, (total, weight2, sum2, square2, mean))))
