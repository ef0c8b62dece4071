"""Platt scaling: a logistic function of the score, one a class against the rest."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .base import Applier, OneAgainstRest, warn
from .forms import Form, Input, Taken, checked_input
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
from .two_logits import AsGiven

# Columns of scores closer together are taken for constant: no slope that is a float tells them apart.
NARROWEST = 1e-303


class PlattScaling(OneAgainstRest):
    """P(y = 1) = 1 / (1 + exp(-(slope * score + intercept))), one map a class against the rest.

    Platt 1999, "Probabilistic outputs for support vector machines": the slope and the intercept minimise the weighted
    mean of -t log p - (1 - t) log(1 - p) with smoothed targets, t = (n1 + 1) / (n1 + 2) for the n1 positive rows and
    1 / (n0 + 2) for the n0 others (with weights, sums of weights), so that separable labels have a finite fit, too. By
    the damped Newton method of Lin, Lin, Weng 2007, "A note on Platt's probabilistic outputs", all classes in the same
    passes over rows, on scores moved and scaled to [-1, 1].

    The score is taken as it is: p itself for probabilities (the default), z for ``input="logits"``; of two logits the
    difference z_1 - z_0, so that (N,) z and rows (0, z) are fitted alike. Three and more classes have a map each, and
    rows are divided by their sum. ``tol``: the largest entry of the gradient, with respect to slope and intercept of
    the scaled scores, at which a fit has converged; ``max_iter``: steps at most.

    Fitted: ``slope_`` and ``intercept_``, floats of binary scores and of rows of two classes, else (K,);
    ``converged_``, ``n_iter_``, ``gradient_norm_`` (the largest over classes). A class that no label names gets the
    constant 1 / (N + 2), and scores that rank the labels wrong way round a negative slope. Constant scores get slope 0
    and warn (FitWarning), as does a fit that has not converged. Logits of -inf are refused (DataError, a ValueError).

    >>> import fastcal as fc
    >>> platt = fc.PlattScaling().fit([0.1, 0.3, 0.35, 0.6, 0.8], [0, 0, 1, 0, 1])
    >>> platt.predict_proba([0.2, 0.7]).round(3)
    array([0.296, 0.567])
    """

    default_input: ClassVar[Input] = "probs"
    taken: ClassVar[Taken] = "scores"
    fitted: ClassVar[tuple[str, ...]] = ("slope_", "intercept_", "converged_", "n_iter_", "gradient_norm_")

    slope_: float | Array
    intercept_: float | Array
    converged_: bool
    n_iter_: int
    gradient_norm_: float

    def __init__(
        self,
        *,
        max_iter: int = 100,
        tol: float = 1e-10,
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.max_iter = max_iter
        self.tol = tol
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        check_iterations(self.max_iter, self.tol)
        checked_input(self.input, self.default_input)

    def _form(self) -> Form:
        return AsGiven(checked_input(self.input, self.default_input), self.taken)

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        n_maps = rows.n_maps
        low, high = Extremes.of(rows, self.n_threads).bounds()
        middle, half = 0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low
        constant = ~(half > NARROWEST)
        scale = np.where(constant, 0.0, 2.0 / np.where(constant, 1.0, half))
        first = rows.n_columns - n_maps if rows.n_columns == 2 else 0

        def prepare(scores: Array, columns: Array, x: Array, _: Array | None) -> None:
            at = columns - first
            kernels.logistic.centred(scores, columns, 0.5 * middle[at], scale[at], x)

        columns = np.arange(first, first + n_maps)
        sums = Sums.of(rows, columns, prepare, False, self.n_threads)
        n1, n0 = sums.ones, sums.others
        weight = float(n1[0] + n0[0])
        high_target, low_target = (n1 + 1) / (n1 + 2), 1 / (n0 + 2)
        x1, x0 = sums.positive[:, 0], sums.all[:, 0] - sums.positive[:, 0]
        linear = np.stack([low_target * x0 + high_target * x1, low_target * n0 + high_target * n1], axis=1) / weight
        start = np.zeros((n_maps, 2))
        start[:, 1] = np.log(n1 + 1) - np.log(n0 + 1)
        free = np.stack([~constant, np.ones(n_maps, bool)], axis=1)
        fit = Fit.at(start)
        problem = Logistic(rows, columns, prepare, linear, weight, self.n_threads)
        problem.minimise(fit, np.arange(n_maps), free, self.tol, self.max_iter)
        with np.errstate(over="ignore"):
            slope = np.where(constant, 0.0, fit.theta[:, 0] / np.where(constant, 1.0, half))
            slope = np.clip(slope, -np.finfo(float).max, np.finfo(float).max)
            intercept = fit.theta[:, 1] - slope * middle
        if constant.any():
            warn(f"scores are constant{of_columns(constant)}: slope_ is 0, all get one probability")
        return {
            "slope_": number_or_array(slope, rows.n_columns),
            "intercept_": number_or_array(intercept, rows.n_columns),
            **fit.outcome(free, self.tol),
        }

    def _mapper(self) -> Applier:
        slope, intercept = np.atleast_1d(self.slope_), np.atleast_1d(self.intercept_)
        return lambda values, out: kernels.logistic.sigmoids(values, slope, intercept, out)

    def _check_fitted(self) -> None:
        check_coefficients(self, ("slope_", "intercept_"), self.n_features_in_)
