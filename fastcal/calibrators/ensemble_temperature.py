"""Ensemble temperature scaling: a mixture of the tempered softmax, the plain one and the uniform distribution."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcal import kernels as typed_kernels

from ..arrays import Array
from .base import Applier, warn
from .rows import Rows
from .temperature import Scaled, adder, finite, fit_temperature, softmax_applier

kernels: Any = typed_kernels

# A step is shortened while the NLL does not fall by this part of what its slope says, rounding aside, or while the
# gradient grows: rows of next to no weight may need a component, and rounding hide it from the NLL.
ENOUGH, ROUNDING = 1e-4, 1e-14
INSIDE = 0.99  # the first shorter step: next to the border, where that is too far
MOST_SLOPE = 1.0  # counted: components that a label has next to no part of have slopes beyond all bounds


class EnsembleTemperatureScaling(Scaled):
    """p = w1 softmax(z / T) + w2 softmax(z) + w3 / K, with weights w >= 0 that add up to 1.

    Zhang, Kailkhura, Han 2020, "Mix-n-Match: Ensemble and Compositional Methods for Uncertainty Calibration in Deep
    Learning", equation 5. First T is found as by :class:`TemperatureScaling`, then the weights of the least weighted
    mean NLL (nats) given T, which is convex in them: Newton's steps within the simplex, shortened where the NLL would
    not fall. Binary scores (N,) are rows (0, z).

    Parameters: ``bounds`` of T; ``max_iter``, looks at all rows at most, for T and for the weights each; ``tol``, what
    ``gradient_norm_`` has to come below. ``input="probs"`` takes logarithms of probabilities for logits.

    Fitted: ``temperature_``; ``weights_`` (3,); ``nll_`` (nats, of the mixture); ``gradient_norm_``, the larger of
    |d mean NLL / d log T| of the temperature alone and of what the weights violate of the conditions of Karush, Kuhn
    and Tucker, max_j (mean c_j / p) - 1, with the components c at the label: the NLL is that near to the least given T;
    ``converged_``, of both; ``n_iter_``, looks at the rows; ``n_zero_probability_``, labels with a logit of -inf.

    Rows whose label has a logit of -inf are left out where T is found; the uniform part makes their NLL finite, and w3
    positive. Warns and raises as :class:`TemperatureScaling` does. Weights are not unique where components are equal
    (T = 1, equal logits): those found then are as near to equal as the first step left them. Predictions are those of
    the scores, even where w3 is 1.

    >>> import fastcal as fc
    >>> logits = [[4.0, 0.0]] * 8 + [[1.0, 0.0]] * 6
    >>> scaling = fc.EnsembleTemperatureScaling().fit(logits, [0] * 7 + [1] + [0] * 3 + [1] * 3)
    >>> round(scaling.temperature_, 3), scaling.weights_.round(3).tolist(), round(scaling.nll_, 4)
    (2.259, [1.0, 0.0, 0.0], 0.5238)
    """

    fitted = (
        "temperature_",
        "weights_",
        "nll_",
        "gradient_norm_",
        "converged_",
        "n_iter_",
        "n_zero_probability_",
    )

    weights_: Array

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        tempered = fit_temperature(rows, self.bounds, self.max_iter, self.tol, self.n_threads)
        mixed = _fit_weights(rows, tempered.last.temperature, self.max_iter, self.tol, self.n_threads)
        return {
            "temperature_": tempered.last.temperature,
            "weights_": mixed.last.weights,
            "nll_": finite(mixed.last.nll),
            "gradient_norm_": max(tempered.last.gradient_norm, finite(mixed.last.residual)),
            "converged_": tempered.converged and mixed.converged,
            "n_iter_": tempered.n_iter + mixed.n_iter,
            "n_zero_probability_": tempered.last.n_zero,
        }

    def _applier(self) -> Applier:
        n_columns = self.n_features_in_
        parts = [
            (float(weight), softmax_applier(temperature, n_columns))
            for weight, temperature in zip(self.weights_[:2], (self.temperature_, 1.0), strict=True)
            if weight > 0
        ]
        uniform = float(self.weights_[2]) / max(n_columns, 2)

        def apply(values: Array, out: Array) -> None:
            mixed = np.full(values.shape, uniform, values.dtype)
            one = np.empty(values.shape, values.dtype)
            for weight, softmax in parts:
                softmax(values, one)
                one *= weight
                mixed += one
            out[...] = mixed

        return apply

    def _check_fitted(self) -> None:
        super()._check_fitted()
        weights = np.asarray(self.weights_)
        if weights.shape != (3,) or weights.dtype != np.float64 or not (weights >= 0).all():
            raise ValueError(f"weights_ is {self.weights_!r}; expected three numbers of at least 0")
        if not abs(weights.sum() - 1) <= 1e-12:
            raise ValueError(f"weights_ sums to {weights.sum():.17g}; expected 1")


@dataclass(frozen=True)
class _Look:
    """The mean NLL at some weights w, and means of r_j = c_j / p and of r_j r_k: its gradient is -r."""

    weights: Array
    nll: float
    r: Array
    products: Array

    @property
    def residual(self) -> float:
        """By how much the largest mean c_j / p exceeds 1: the NLL is no farther from its least than this.

        Those of the components, weighted, add up to 1: where none is above, all with a positive weight are 1, as
        Karush, Kuhn and Tucker want it.
        """
        return max(float(self.r.max()) - 1, 0.0)


@dataclass(frozen=True)
class _Fit:
    last: _Look
    converged: bool
    n_iter: int


def _fit_weights(rows: Rows, temperature: float, max_iter: int, tol: float, n_threads: int | None) -> _Fit:
    """Weights of the least NLL given T, by Newton's steps within the simplex."""
    now = _look(rows, temperature, np.full(3, 1 / 3), n_threads)
    n_iter = 1
    while now.residual > tol and n_iter < max_iter:
        direction = _newton(now) - now.weights
        slope = -float(now.r @ direction)
        size, fallen = 1.0, False
        while not fallen and n_iter < max_iter:
            weights = np.maximum(now.weights + size * direction, 0)
            weights /= weights.sum()
            if (weights == now.weights).all():
                break
            there = _look(rows, temperature, weights, n_threads)
            n_iter += 1
            least = now.nll + ENOUGH * size * max(slope, -MOST_SLOPE) + ROUNDING * max(now.nll, 1)
            fallen = there.nll <= least and there.residual <= 2 * now.residual + tol
            size = INSIDE if size == 1 else size / 2
        if not fallen:
            break
        now = there
    if now.residual > tol:
        warn(
            f"the weights have not converged in {n_iter} looks (max_iter={max_iter}): their gradient is "
            f"{now.residual:.1e}, tol is {tol:g}"
        )
    return _Fit(now, now.residual <= tol, n_iter)


def _newton(now: _Look) -> Array:
    """The weights in the simplex where the NLL's second-order model is least, by looking at each of its seven faces.

    With H = mean r r', the model is -2 r v + v' H v / 2 and a constant, since H w = r. Where weights of 1e100 take H
    beyond all numbers, the component that gains most.
    """
    if not np.isfinite(now.products).all():
        best: Array = np.eye(3)[int(np.argmax(now.r))]
        return best
    best, least = now.weights, math.inf
    for size in (1, 2, 3):
        for face in map(list, itertools.combinations(range(3), size)):
            # H v - 2 r = a multiplier for all of the face, where the weights add up to 1
            system = np.ones((size + 1, size + 1))
            system[:size, :size] = now.products[np.ix_(face, face)]
            system[size, size] = 0
            found = np.linalg.lstsq(system, np.append(2 * now.r[face], 1.0), rcond=None)[0][:size]
            if not (found >= 0).all():
                continue
            v = np.zeros(3)
            v[face] = found / found.sum()
            value = float(v @ now.products @ v / 2 - 2 * now.r @ v)
            if value < least:
                best, least = v, value
    return best


def _look(rows: Rows, temperature: float, weights: Array, n_threads: int | None) -> _Look:
    """Go through all rows once."""
    kernel = kernels.temperature
    shares = weights.copy()
    shares.flags.writeable = False
    sums = rows.total(kernel.N_MIXED + 1, adder(kernel.mixture, 1 / temperature, shares), n_threads)
    means = sums[1 : kernel.N_MIXED] / sums[0]
    products = np.empty((3, 3))
    products[np.triu_indices(3)] = means[4:]
    products.T[np.triu_indices(3)] = means[4:]
    nll = math.inf if sums[kernel.N_MIXED] else max(float(means[0]), 0.0)
    return _Look(weights, nll, means[1:4], products)
