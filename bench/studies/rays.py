"""Rays along which one coordinate grows: what the logits do, how gradients vanish, and what fastcal's measures say.

The theorem is checked where its assumptions hold, and where they do not is told: nothing is left out. ``outside`` of a
ray lists what is wrong with it:

- "kink": a member has not reached its last affine region where the rates are measured, or has not for good
- "parallel": the two steepest logits of a member have one slope
- "not monotone": a derivative of a class probability is 0 or changes its sign where the rates are measured

Parallel logits are a reason of their own because Assumption 1 does not exclude them. Lemma 4 takes from Lemma 2 that
the derivatives of the softmax vanish when one logit grows and the others stay; on a ray they all grow, and it is the
gap of the leading two that has to. With f = (2 x + y, 2 x - y, x + y / 10) every class probability is strictly
monotonic in x and in y for all x >= 0 and 1 <= y <= 2, yet p_1 tends to 1 / (1 + exp(-2 y)), whose gradient is not 0:
``parallel_logits`` is this network, and the run has to find it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import fastcal as fc

from . import networks
from .gradients import MEASURES, Gradients, gradients
from .networks import Layers
from .rates import NEVER, Prediction, predicted

ALPHAS = np.logspace(0, 6, 61)
EARLIER, LAST = 50, 60  # of them, 1e5 and 1e6: between them rates are measured
PARALLEL = 1e-9  # a gap of slopes less than this share of the steepest gradient of a logit is none

CAMPS_FROM = ("ensemble", "anchored ensemble", "Bayes by backprop", "MC dropout")  # looked through in this order

LARGE = np.log(ALPHAS[LAST] / ALPHAS[EARLIER])
WIDE = ALPHAS[LAST] - ALPHAS[EARLIER]


@dataclass(frozen=True)
class Rate:
    """A predicted decay, and what was measured of it between alpha = 1e5 and 1e6."""

    rate: float
    power: int
    log_norm: float  # at 1e6
    measured: float
    measured_power: float  # of alpha, once the predicted exponential is taken out
    falls: bool  # from each alpha to the next

    @property
    def off(self) -> float:
        """Relative to the predicted rate; what is 0 throughout is off by nothing."""
        if self.rate == NEVER:
            return 0.0 if self.log_norm == -np.inf else np.inf
        return abs(self.measured - self.rate) / self.rate if self.rate > 0 else np.inf


@dataclass(frozen=True)
class Ray:
    """One coordinate of one point, scaled, as some members see it."""

    coordinate: int
    point: int
    start: float  # alpha of the last kink of any member
    outside: tuple[str, ...]
    prediction: Prediction
    log_norms: dict[str, np.ndarray]  # of the gradients of the measures, at each alpha
    values: dict[str, np.ndarray]  # the measures, by fastcal
    measures: dict[str, Rate]
    probability: list[Rate]  # of each member and class: Lemma 4
    mean: list[Rate]  # of each class: Lemma 6
    softmax_derivative: list[Rate]  # of each member and pair of classes: Lemma 2
    outgrown: bool  # Lemma 3, in absolute values
    logit_follows: float  # share of members and classes of which logit and probability move the same way

    @property
    def inside(self) -> bool:
        return not self.outside


def follow(layers: Layers, points: np.ndarray, coordinate: int) -> list[Ray]:
    """A ray from each of the points (R, D) along one coordinate."""
    n_rays, n_alphas = len(points), len(ALPHAS)
    x = np.concatenate([networks.scaled(points, coordinate, alpha) for alpha in ALPHAS])
    logits, jacobian = networks.logits(layers, x), networks.jacobian(layers, x)
    found = gradients(logits, jacobian)
    measured = measures(logits)
    slopes = jacobian[:, -n_rays:, :, coordinate] * points[:, coordinate, None]
    steepest = np.abs(jacobian[:, -n_rays:]).max(axis=(2, 3)) * np.abs(points[:, coordinate])
    region = networks.final_region(layers, points, coordinate, ALPHAS[LAST])
    rays = []
    for r in range(n_rays):
        here = slice(r, n_rays * n_alphas, n_rays)
        prediction = predicted(slopes[:, r])
        log_norms = {name: found.measures[name][here].norm() for name in MEASURES}
        signs = found.probability.sign[:, here][:, EARLIER:]  # (M, alphas, C, D)
        outside = {
            "kink": not region.reached(ALPHAS[EARLIER])[:, r].all(),
            "parallel": bool((prediction.slowest <= PARALLEL * steepest[:, r]).any()),
            "not monotone": not bool(((signs == signs[:, :1]) & (signs != 0)).all()),
        }
        rays.append(
            Ray(
                coordinate=coordinate,
                point=r,
                start=float(region.start[:, r].max()),
                outside=tuple(reason for reason, wrong in outside.items() if wrong),
                prediction=prediction,
                log_norms=log_norms,
                values={name: value[here] for name, value in measured.items()},
                measures={
                    name: _rate(decay.rate, decay.power, log_norms[name]) for name, decay in prediction.measures.items()
                },
                probability=_rates(prediction.probability, found.probability.norm()[:, here]),
                mean=_rates(prediction.mean, found.mean.norm()[here]),
                softmax_derivative=_rates(prediction.softmax_derivative, found.log_softmax_derivative[:, here]),
                outgrown=_outgrown(found, jacobian[:, :, :, coordinate], here),
                logit_follows=_follows(slopes[:, r], signs[:, -1, :, coordinate] * np.sign(points[r, coordinate])),
            )
        )
    return rays


def measures(logits: np.ndarray) -> dict[str, np.ndarray]:
    """The four of the theorem, by fastcal, from logits (M, N, C)."""
    found = fc.ensemble_uncertainty(logits, from_logits=True)
    columns = (found.max_probability, found.softmax_variance, found.predictive_entropy, found.mutual_information)
    return dict(zip(MEASURES, columns, strict=True))


def _rates(predictions: np.ndarray, log_norms: np.ndarray) -> list[Rate]:
    """Of all that is predicted; alphas are the axis of ``log_norms`` after that of members, if it has one."""
    by_alpha = log_norms if predictions.ndim == 1 else np.moveaxis(log_norms, 1, 0)
    return [_rate(predictions[index], 0, by_alpha[(slice(None), *index)]) for index in np.ndindex(predictions.shape)]


def _rate(rate: float, power: int, log_norms: np.ndarray) -> Rate:
    first, last = log_norms[EARLIER], log_norms[LAST]
    if rate == NEVER or last == -np.inf:
        return Rate(float(rate), power, float(last), np.nan, np.nan, bool((log_norms == -np.inf).all()))
    measured = (first - last + power * LARGE) / WIDE
    left = (last - first + rate * WIDE) / LARGE
    return Rate(float(rate), power, float(last), measured, left, bool((np.diff(log_norms[EARLIER:]) < 0).all()))


def _outgrown(found: Gradients, along: np.ndarray, here: slice) -> bool:
    """Whether |d p_c / d f_c'|^-1 grows and exceeds |d f_c' / d x_d|, which stays; in logarithms."""
    with np.errstate(divide="ignore"):
        network = np.log(np.abs(along[:, here]))[:, :, None, :]
    inverse = -found.log_softmax_derivative[:, here]
    return bool(((inverse[:, LAST] > network[:, LAST]) & (inverse[:, LAST] > inverse[:, EARLIER])).all())


def _follows(slopes: np.ndarray, signs: np.ndarray) -> float:
    """Lemma 1's proof has a logit rise where its probability does; a slope that all logits share undoes that."""
    return float((np.sign(slopes) == signs).mean())


def parallel_logits() -> tuple[Layers, np.ndarray]:
    """The network of the head of this module, and a point of the interval."""
    hidden = torch.eye(2, dtype=torch.float64)[None], torch.zeros(1, 2, dtype=torch.float64)
    out = torch.tensor([[[2.0, 1.0], [2.0, -1.0], [1.0, 0.1]]], dtype=torch.float64)
    return [hidden, (out, torch.zeros(1, 3, dtype=torch.float64))], np.array([[1.0, 1.5]])


@dataclass(frozen=True)
class Camps:
    """Two trained members that end in different classes on a ray, and two of the same ray that end in one."""

    family: str
    apart: tuple[int, int]
    together: tuple[int, int]
    ray_apart: Ray
    ray_together: Ray


def camps(found: dict[str, Layers], rays: dict[str, list[Ray]], points: np.ndarray) -> Camps | None:
    """The first of the families, rays and pairs in their order; None where all members agree everywhere."""
    for family in CAMPS_FROM:
        for ray in rays[family]:
            leading = ray.prediction.leading
            pairs = [(a, b) for a in range(len(leading)) for b in range(a + 1, len(leading))]
            apart = [pair for pair in pairs if leading[pair[0]] != leading[pair[1]]]
            together = [pair for pair in pairs if leading[pair[0]] == leading[pair[1]]]
            if ray.inside and apart and together:
                two = [
                    follow(networks.members(found[family], list(pair)), points, ray.coordinate)[ray.point]
                    for pair in (apart[0], together[0])
                ]
                return Camps(family, apart[0], together[0], *two)
    return None
