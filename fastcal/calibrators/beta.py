"""Beta calibration: the logistic function of log p and log(1 - p), one a class against the rest."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .base import Applier, OneAgainstRest, warn
from .forms import Input, Taken, checked_input
from .logistic import (
    Extremes,
    Fit,
    Logistic,
    Sums,
    check_coefficients,
    check_iterations,
    number_or_array,
    of_columns,
)
from .rows import Rows

Parameters = Literal["abm", "am", "ab"]
LOG2 = float(np.log(2.0))
# Least p and 1 - p where the caller names none: as betacal, the distance of 1 to the next number of the scores' type.
LEAST = {"float32": 2.0**-23, "float64": 2.0**-52}


class BetaCalibration(OneAgainstRest):
    """logit P(y = 1) = a log p - b log(1 - p) + c with a, b >= 0, one map a class against the rest.

    Kull, Silva Filho, Flach 2017, "Beta calibration", AISTATS: the map that is right where the scores of either class
    have a beta distribution. ``parameters``: "abm" (the default) fits all three, "am" two with a = b (a logistic
    function of the logit of p), "ab" two with m = 1/2, where p = 1/2 stays 1/2: c = (a - b) log 2. What is minimised is
    the weighted mean of -log P(y), without any penalty, by damped Newton steps, all classes in the same passes over
    rows. As in the paper a coefficient that comes out negative is fixed at 0 and the others are fitted again; where
    both are, the constant that is left is the rows' share of label 1, and FitWarning says so: scores and labels are at
    odds.

    ``clip``: p and 1 - p count as at least this, in a fit and when applied, so that probabilities of 0 and 1 have
    logarithms. None: 2^-52 for float64, 2^-23 for float32 and half floats, as in the package betacal. ``tol``: the
    largest entry of the gradient with respect to a, b and c (those that are not fixed), at which a fit has converged;
    ``max_iter``: steps at most.

    Fitted: ``a_``, ``b_``, ``c_``, floats of binary scores and of rows of two classes, else (K,); ``converged_``,
    ``n_iter_``, ``gradient_norm_`` (the largest over classes). Labels that a score separates have their optimum at
    infinity: the fit ends where the gradient falls below ``tol``, and warns. A class whose rows are all of one label,
    or have one score (once clipped), gets a constant (a = b = 0), Platt's smoothed (n1 + 1) / (n + 2), and warns.
    ``input="logits"`` takes the softmax, of (N,) the sigmoid; a logit of -inf is a probability of 0.

    >>> import fastcal as fc
    >>> beta = fc.BetaCalibration().fit([0.1, 0.3, 0.35, 0.6, 0.8], [0, 0, 1, 0, 1])
    >>> beta.predict_proba([0.2, 0.7]).round(3)
    array([0.164, 0.684])
    """

    default_input: ClassVar[Input] = "probs"
    taken: ClassVar[Taken] = "probs"
    fitted: ClassVar[tuple[str, ...]] = ("a_", "b_", "c_", "converged_", "n_iter_", "gradient_norm_")

    a_: float | Array
    b_: float | Array
    c_: float | Array
    converged_: bool
    n_iter_: int
    gradient_norm_: float

    def __init__(
        self,
        *,
        parameters: Parameters = "abm",
        clip: float | None = None,
        max_iter: int = 100,
        tol: float = 1e-10,
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.parameters = parameters
        self.clip = clip
        self.max_iter = max_iter
        self.tol = tol
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        if self.parameters not in ("abm", "am", "ab"):
            raise ValueError(f"parameters is {self.parameters!r}; expected 'abm', 'am' or 'ab'")
        clip = self.clip
        if clip is not None and (isinstance(clip, bool) or not isinstance(clip, Real) or not 1e-300 <= clip < 0.5):
            raise ValueError(f"clip is {clip!r}; expected None or a number from 1e-300 up to below 0.5")
        check_iterations(self.max_iter, self.tol)
        checked_input(self.input, self.default_input)

    def _least(self, scores: Array) -> float:
        return LEAST[scores.dtype.name] if self.clip is None else float(self.clip)

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        n_maps = rows.n_maps
        two, shift = self.parameters != "am", LOG2 if self.parameters == "ab" else 0.0
        columns = np.arange(rows.n_columns - n_maps, rows.n_columns)
        nothing, twice = np.zeros(n_maps), np.full(n_maps, 2.0)
        leasts: set[float] = set()  # of each type of scores

        def prepare(scores: Array, chosen: Array, x: Array, v: Array | None) -> None:
            kernels.logistic.centred(scores, chosen, nothing, twice, x)
            least = self._least(scores)
            leasts.add(least)
            kernels.logistic.log_odds(x.reshape(-1), None if v is None else v.reshape(-1), least)
            if shift and v is not None:
                x += shift
                v -= shift

        sums = Sums.of(rows, columns, prepare, two, self.n_threads)
        seen = Extremes.of(rows, self.n_threads)
        low, high = seen.bounds()
        ones, others = sums.ones, sums.others
        weight = float(ones[0] + others[0])
        least = min(leasts)
        one_score = np.maximum(low, least) == np.maximum(high, least)
        one_score &= np.maximum(1 - low, least) == np.maximum(1 - high, least)
        single = (ones == 0) | (others == 0) | one_score
        prior = np.log(ones + single) - np.log(others + single)
        linear = np.column_stack([sums.positive, ones]) / weight
        start = np.zeros((n_maps, 3 if two else 2))
        start[:, -1] = 0.0 if shift else prior
        fit = Fit.at(start.copy())
        free = np.ones(start.shape, bool)
        free[:, -1] = not shift
        free[single] = False
        problem = Logistic(rows, columns, prepare, linear, weight, self.n_threads)
        self._fit_within_bounds(problem, fit, start, np.flatnonzero(~single), free)
        a, b = fit.theta[:, 0], fit.theta[:, 1 if two else 0]
        c = np.where(single, prior, (a - b) * shift if shift else fit.theta[:, -1])
        flat = (a == 0) & (b == 0) & ~single
        separated = (seen.high0 <= seen.low1) & ~single
        if shift:
            separated &= (seen.high0 <= 0.5) & (seen.low1 >= 0.5)
        for which, problem_seen in (
            (single, "rows have one label or one score{}: a_ and b_ are 0, all get one probability"),
            (flat, "labels do not rise with scores{}: a_ and b_ are on their bound 0, all get one probability"),
            (separated, "scores separate the labels{}: the optimum is at infinity, and the fit ends on the way to it"),
        ):
            if which.any():
                warn(problem_seen.format(of_columns(which)))
        found = {"a_": a, "b_": b, "c_": c}
        numbers = {name: number_or_array(values + 0.0, rows.n_columns) for name, values in found.items()}
        return {**numbers, **fit.outcome(free, self.tol)}

    def _fit_within_bounds(self, problem: Logistic, fit: Fit, start: Array, maps: Array, free: Array) -> None:
        """Fit some maps; fix slopes that come out negative at 0, a before b, and fit again.

        What is found this way is the optimum within bounds: log p and -log(1 - p) both rise with p, so that a slope
        that has to be 0 beside a smaller one of the other has to be 0 beside a larger one.
        """
        slopes = fit.theta.shape[1] - 1
        again = maps
        while len(again):
            problem.minimise(fit, again, free, self.tol, self.max_iter)
            negative = fit.theta[:, :slopes] < 0
            again = np.flatnonzero(negative.any(axis=1))
            first = negative[again].argmax(axis=1)
            free[again, first] = False
            fit.theta[again] = start[again]  # where labels are separated the wrong way round, it has gone far off

    def _mapper(self) -> Applier:
        a, b, c = (np.atleast_1d(value) for value in (self.a_, self.b_, self.c_))
        return lambda values, out: kernels.logistic.beta(values, self._least(values), a, b, c, out)

    def _check_fitted(self) -> None:
        check_coefficients(self, ("a_", "b_", "c_"), self.n_features_in_)
        if np.min(self.a_) < 0 or np.min(self.b_) < 0:
            raise ValueError("a_ or b_ is negative")
