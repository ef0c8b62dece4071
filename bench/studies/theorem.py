"""The lemmas of "Know Your Limits" on trained families, number by number.

A statement is checked on every ray on which its assumptions hold, and how many those are is a check itself, because
``families.FAMILIES`` says so before the run. The certain limits are not what the lemmas prove: gradients that vanish
leave a measure constant, and it is 0 only if members end in the same class. Where they do not, the maximum tends to the
share of the largest camp, and entropy and mutual information to the entropy of the shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import networks, rays
from .checks import Check, all_of, at_most, said
from .families import FAMILIES, Data, Effort, clusters, trained
from .gradients import MEASURES, gradients
from .networks import Layers
from .rates import NEVER
from .rays import ALPHAS, EARLIER, LAST, Camps, Rate, Ray

RATE_WITHIN = 1e-3  # relative, of measured rates
POWER_WITHIN = 0.05  # of powers of alpha, which are 0 or 1
LIMIT_WITHIN = 1e-9  # of the measures themselves at alpha = 1e6
SLOPE_WITHIN = 1e-6  # of gradients near the data, against differences of fastcal's measures
NEAR = (1.0, 2.0, 5.0)  # alphas of these
STEP = 1e-6


@dataclass(frozen=True)
class Theorem:
    """One seed's families and rays, and what was checked of them."""

    seed: int
    data: Data
    found: dict[str, Layers]
    rays: dict[str, list[Ray]]
    camps: Camps | None
    checks: dict[str, list[Check]]  # by family, and "two camps" and "parallel logits"


@networks.one_thread()
def study(seed: int, effort: Effort) -> Theorem:
    """Train the families and check the lemmas on all their rays."""
    data = clusters(seed, effort.n_points)
    found = trained(data, seed, effort)
    followed = {
        name: [ray for coordinate in (0, 1) for ray in rays.follow(layers, data.from_where, coordinate)]
        for name, layers in found.items()
    }
    two = rays.camps(found, followed, data.from_where)
    checks = {
        family.name: [
            *of_rays(followed[family.name], family.monotone, always_certain=family.certain == "always"),
            at_most(
                "gradients in log space against differences of fastcal's measures near the data, largest difference",
                near_the_data(found[family.name], data.from_where),
                SLOPE_WITHIN,
            ),
        ]
        for family in FAMILIES
    }
    checks["two camps"] = of_camps(two)
    checks["parallel logits"] = of_parallel_logits()
    return Theorem(seed, data, found, followed, two, checks)


def of_rays(followed: list[Ray], monotone: bool, always_certain: bool) -> list[Check]:
    """The statements about one family."""
    inside = [ray for ray in followed if ray.inside]
    agree = [ray for ray in inside if ray.prediction.agree]
    apart = [ray for ray in inside if not ray.prediction.agree]
    last = {name: [ray.measures[name] for ray in inside] for name in MEASURES}
    checks = [
        all_of("rays on which every member meets the assumption", len(inside), len(followed))
        if monotone
        else said("rays on which every member meets the assumption", len(inside)),
        said(
            "outside the assumption",
            ", ".join(f"{name(ray)}: {' '.join(ray.outside)}" for ray in followed if ray.outside) or "none",
        ),
        said("rays on which members end in the same class", f"{len(agree)} of {len(inside)}"),
        said("alpha of the last kink, largest", max((ray.start for ray in followed), default=np.nan)),
        said(
            "smallest gap of a member's leading logits, a unit of alpha",
            min((ray.prediction.slowest.min() for ray in inside), default=np.nan),
        ),
        *decay("Lemma 2, softmax derivatives", [rate for ray in inside for rate in ray.softmax_derivative]),
        all_of(
            "Lemma 3 (absolute values): rays on which they outgrow the network's gradient",
            sum(ray.outgrown for ray in inside),
            len(inside),
        ),
        *decay("Lemma 4, class probabilities of members", [rate for ray in inside for rate in ray.probability]),
        *decay("Lemma 6, mean class probabilities", [rate for ray in inside for rate in ray.mean]),
    ]
    for lemma, measure in zip((5, 7, 8, 9), MEASURES, strict=True):
        checks += decay(f"Lemma {lemma}, {measure}", last[measure], powers=True)
    checks += limits("certain limits where members agree", agree)
    if always_certain:
        checks.append(all_of("rays with certain limits, which a single network always has", len(agree), len(followed)))
    elif apart:
        checks += limits("limits of camps where members do not agree", apart)
    checks.append(
        said(
            "Lemma 1: logits that rise where their probability does, and fall where it falls",
            mean([ray.logit_follows for ray in inside]),
        )
    )
    return checks


def name(ray: Ray) -> str:
    return f"point {ray.point} coordinate {ray.coordinate}"


def decay(what: str, found: list[Rate], *, powers: bool = False) -> list[Check]:
    """Gradients fall to 0, at the predicted rate."""
    moving = [rate for rate in found if rate.rate != NEVER]
    falling = sum(rate.falls for rate in found)
    if not moving:
        return [all_of(f"{what}: gradients that are 0 throughout, for there is one member", falling, len(found))]
    checks = [all_of(f"{what}: log-norms that fall from 1e5 to 1e6", falling, len(found))]
    checks.append(
        at_most(f"{what}: rate, largest relative difference", worst([rate.off for rate in found]), RATE_WITHIN)
    )
    if powers:
        off = [abs(rate.measured_power - rate.power) for rate in moving]
        checks.append(at_most(f"{what}: power of alpha, largest difference", worst(off), POWER_WITHIN))
        checks.append(said(f"{what}: powers of alpha", ", ".join(map(str, sorted({rate.power for rate in moving})))))
    checks.append(said(f"{what}: largest log-norm at 1e6", max(rate.log_norm for rate in moving)))
    return checks


def limits(what: str, found: list[Ray]) -> list[Check]:
    """fastcal's measures at alpha = 1e6."""
    if not found:
        return [said(what, "no such ray")]
    return [
        at_most(
            f"{what}: {measure}, largest difference",
            worst([abs(ray.values[measure][LAST] - ray.prediction.limits[measure]) for ray in found]),
            LIMIT_WITHIN,
        )
        for measure in MEASURES
    ]


def of_camps(two: Camps | None) -> list[Check]:
    """The lemmas hold and the theorem's certainty does not."""
    if two is None:
        return [said("two trained members that end in different classes", "none")]
    apart, together = two.ray_apart, two.ray_together
    where = f"{two.family}, {name(apart)}"
    checks = [said("where", f"{where}; members {two.apart} apart, {two.together} together")]
    for label, ray in (("apart", apart), ("together", together)):
        for lemma, measure in zip((5, 7, 8, 9), MEASURES, strict=True):
            checks += decay(f"{label}, Lemma {lemma}, {measure}", [ray.measures[measure]], powers=True)
    for measure in ("predictive entropy", "mutual information"):
        value = apart.values[measure][LAST]
        checks.append(at_most(f"apart: {measure} less log 2, at 1e6", abs(value - np.log(2)), LIMIT_WITHIN))
        checks.append(at_most(f"together: {measure} at 1e6", together.values[measure][LAST], LIMIT_WITHIN))
    return checks


def of_parallel_logits() -> list[Check]:
    """A network of which class probabilities are strictly monotonic and gradients stay: to be found outside."""
    layers, point = rays.parallel_logits()
    (ray,) = rays.follow(layers, point, 0)
    y = point[0, 1]
    stays = np.log(2 / (2 + np.exp(2 * y) + np.exp(-2 * y)))  # log of 2 p (1 - p), p = 1 / (1 + exp(-2 y))
    return [
        Check(
            "outside the assumption",
            " ".join(ray.outside),
            "parallel, and no other reason",
            ray.outside == ("parallel",),
        ),
        at_most(
            "its log gradient of p_1 at 1e6, less that of 1 / (1 + exp(-2 y))",
            abs(ray.probability[0].log_norm - stays),
            1e-12,
        ),
        said("its gradient of p_1 at 1e6", float(np.exp(ray.probability[0].log_norm))),
    ]


def near_the_data(layers: Layers, points: np.ndarray) -> float:
    """The largest difference of gradients from central differences of fastcal's measures."""
    x = np.concatenate([networks.scaled(points, coordinate, alpha) for coordinate in (0, 1) for alpha in NEAR])
    exact = gradients(networks.logits(layers, x), networks.jacobian(layers, x)).measures
    differences = []
    for d in (0, 1):
        step = STEP * (np.arange(x.shape[1]) == d)
        above, below = (rays.measures(networks.logits(layers, x + side * step)) for side in (1, -1))
        for measure in MEASURES:
            slope = (above[measure] - below[measure]) / (2 * STEP)
            differences.append(np.abs(slope - exact[measure][:, d].value()).max())
    return worst(differences)


def underflow(followed: dict[str, list[Ray]]) -> float:
    """The alpha from which plain float64 reads 0 for the gradient of the predictive entropy on every ray."""
    log_norms = np.array([ray.log_norms[MEASURES[2]] for found in followed.values() for ray in found if ray.inside])
    gone = (log_norms < np.log(5e-324)).all(axis=0)
    return float(ALPHAS[np.nonzero(~gone)[0].max() + 1]) if gone[EARLIER] else np.nan


def mean(values: list[float]) -> float:
    """NaN of none."""
    return float(np.mean(values)) if values else np.nan


def worst(values: list[float]) -> float:
    """NaN if any is, or if there are none."""
    return float(np.max(values)) if values else np.nan
