"""What is said of certainty holds where the truth is known: estimates without bias, intervals that cover.

Predictions are drawn from models whose calibration error, accuracy and scores are known exactly: a few values of p,
each with the probability that the outcome is 1. Simulations go through the library as slices of one pass, or one by
one where an interval has no slices. All seeds are fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import JIT
from scipy.stats import binom

import fastcal as fc

# As plain Python the kernels are run on a few rows only, and what is said of many simulations is not asked.
SIMULATIONS = 2000 if JIT else 40
INTERVALS = 300 if JIT else 6
EDGES = np.linspace(0, 1, 6)
P = np.array([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95])  # two values in each bin
SHARES = np.array([3, 2, 1, 2, 2, 2, 1, 2, 2, 3]) / 20
needs_many = pytest.mark.skipif(not JIT, reason="needs thousands of simulations")


@dataclass(frozen=True)
class Model:
    """Predictions ``P`` in proportions ``SHARES``, whose outcome is 1 with probability ``truth``."""

    truth: np.ndarray

    def draw(self, rng, size, *, weighted=False):
        """Labels, predictions, weights. With weights the proportions are others, which the weights make up for."""
        drawn = np.roll(SHARES, 1) if weighted else SHARES
        which = rng.choice(len(P), size, p=drawn)
        y = (rng.random(size) < self.truth[which]).astype(np.int64)
        weights = (SHARES / drawn)[which] * rng.uniform(0.5, 1.5, size) if weighted else None
        return y, P[which], weights

    def expected(self, of_zero, of_one):
        return float(SHARES @ ((1 - self.truth) * of_zero + self.truth * of_one))

    def gaps(self):
        bins = np.digitize(P, EDGES) - 1
        share = np.bincount(bins, SHARES)
        return share, np.bincount(bins, SHARES * (self.truth - P)) / share

    def figures(self):
        share, gap = self.gaps()
        return {
            "accuracy": self.expected(P <= 0.5, P > 0.5),
            "brier": self.expected(P**2, (1 - P) ** 2),
            "nll": self.expected(-np.log(1 - P), -np.log(P)),
            "squared_ce_debiased": float(share @ gap**2),
            "ece": float(share @ abs(gap)),
        }


SIGNS = np.repeat([1, -1, 1, -1, -1], 2)
CALIBRATED = Model(P)
SLIGHTLY_OFF = Model(P + 0.04 * SIGNS)
FAR_OFF = Model(P + 0.2 * SIGNS)
MODELS = {"calibrated": CALIBRATED, "slightly off": SLIGHTLY_OFF, "far off": FAR_OFF}


def slices(model, n_rows, seed, *, weighted=False, n_bins=5, continuous=False):
    """Figures of so many simulations, one slice each."""
    rng = np.random.default_rng(seed)
    size = SIMULATIONS * n_rows
    if continuous:
        p = rng.beta(0.7, 0.7, size)
        y, weights = (rng.random(size) < p).astype(np.int64), rng.uniform(0.5, 1.5, size) if weighted else None
    else:
        y, p, weights = model.draw(rng, size, weighted=weighted)
    which = np.repeat(np.arange(SIMULATIONS), n_rows)
    seen = fc.Evaluation(groups=True, n_bins=n_bins, classwise=False)
    return seen.update(y, p, sample_weight=weights, groups=which).compute()["groups"]


def is_unbiased(estimates, truth):
    """Whether the mean is within three of its standard errors of the truth."""
    return abs(estimates.mean() - truth) < 3 * estimates.std(ddof=1) / math.sqrt(len(estimates))


def covers(n_inside, n, level=0.95):
    """Whether so many of n intervals of that level may well hold the truth: binomial, at 1 in 1000 either way."""
    low, high = binom.ppf([0.001, 0.999], n, level)
    return low <= n_inside <= high


# Estimates without bias


@needs_many
@pytest.mark.parametrize("n_rows", [60, 200])
def test_the_debiased_square_of_calibrated_predictions_is_0_on_average_and_the_plain_one_is_not(n_rows):
    found = slices(CALIBRATED, n_rows, 1, n_bins=15, continuous=True)
    assert is_unbiased(found["squared_ce_debiased"], 0.0)
    assert not is_unbiased(found["rmsce"] ** 2, 0.0)


@needs_many
@pytest.mark.parametrize("name", ["slightly off", "far off"])
def test_the_debiased_square_is_unbiased_off_calibration_too_and_the_plain_one_is_not(name):
    found = slices(MODELS[name], 100, 2)
    truth = MODELS[name].figures()["squared_ce_debiased"]
    assert is_unbiased(found["squared_ce_debiased"], truth)
    assert not is_unbiased(found["rmsce"] ** 2, truth)


@needs_many
@pytest.mark.parametrize("continuous", [True, False])
def test_the_debiased_square_of_weighted_rows_is_unbiased_and_the_plain_one_is_not(continuous):
    found = slices(CALIBRATED, 100, 3, weighted=True, continuous=continuous)
    assert is_unbiased(found["squared_ce_debiased"], 0.0)
    assert not is_unbiased(found["rmsce"] ** 2, 0.0)


@needs_many
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["calibrated", "slightly off"])
def test_the_bias_of_ece_falls_by_at_least_a_third(name, weighted):
    found = slices(MODELS[name], 100, 4, weighted=weighted)
    truth = MODELS[name].figures()["ece"]
    assert not is_unbiased(found["ece"], truth)
    assert abs(found["ece_debiased"].mean() - truth) < 2 / 3 * (found["ece"].mean() - truth)


@needs_many
def test_the_ece_to_expect_of_calibrated_predictions_is_their_ece_on_average():
    found = slices(CALIBRATED, 150, 5, n_bins=10, continuous=True)
    assert found["ece_if_calibrated"].mean() == pytest.approx(found["ece"].mean(), rel=0.03)


@needs_many
@pytest.mark.parametrize("options", [{}, {"target": "class-wise"}, {"convention": "verified"}])
def test_one_shot_figures_are_debiased_as_slices_are(options):
    """Of labels' variance ("verified", class-wise) it is nearly so: it takes what p varies within a bin for noise."""
    rng = np.random.default_rng(6)
    plain, debiased, error, debiased_error = [], [], [], []
    for _ in range(SIMULATIONS // 4):
        p = rng.dirichlet(np.ones(3), 80)
        y = (p.cumsum(axis=1) < rng.random((80, 1))).sum(axis=1)
        given = {"n_bins": 8, **options}
        plain.append(fc.calibration_error(y, p, norm="l2", squared=True, **given))
        debiased.append(fc.calibration_error(y, p, norm="l2", squared=True, debiased=True, **given))
        error.append(fc.calibration_error(y, p, **given))
        debiased_error.append(fc.calibration_error(y, p, debiased=True, **given))
    assert not is_unbiased(np.array(plain), 0.0)
    if options:
        assert abs(np.mean(debiased)) < 0.1 * np.mean(plain)
    else:
        assert is_unbiased(np.array(debiased), 0.0)
    assert 0 < np.mean(debiased_error) < 2 / 3 * np.mean(error)


# Intervals


def simulated(model, n_rows, seed, make, *, weighted=False, n=INTERVALS):
    """``make`` of so many data sets."""
    rng = np.random.default_rng(seed)
    return [make(*model.draw(rng, n_rows, weighted=weighted)) for _ in range(n)]


def of_evaluation(y, p, w):
    return fc.Evaluation(n_bins=5, classwise=False).update(y, p, sample_weight=w).compute()["intervals"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_closed_form_intervals_cover_as_often_as_they_say(name, weighted):
    model = MODELS[name]
    found = simulated(model, 1000 if JIT else 60, 10, of_evaluation, weighted=weighted)
    truths = model.figures()
    del truths["ece"]
    for figure, truth in truths.items():
        inside = [low <= truth <= high for low, high in (getattr(one, figure) for one in found)]
        assert not JIT or covers(sum(inside), len(inside)), (figure, np.mean(inside))


@needs_many
@pytest.mark.parametrize("weighted", [False, True])
def test_ece_has_an_interval_where_every_gap_is_clear_and_it_covers(weighted):
    found = simulated(FAR_OFF, 2500, 11, of_evaluation, weighted=weighted)
    truth = FAR_OFF.figures()["ece"]
    applied = [one.ece for one in found if one.ece_applies]
    assert len(applied) > 0.98 * len(found)
    assert all(one.ece is None for one in found if not one.ece_applies)
    assert covers(sum(low <= truth <= high for low, high in applied), len(applied))


@needs_many
@pytest.mark.parametrize("weighted", [False, True])
def test_near_calibration_ece_has_no_interval_and_the_band_holds_what_calibrated_predictions_have(weighted):
    rng = np.random.default_rng(12)
    inside, applies = 0, 0
    for _ in range(INTERVALS):
        p = rng.beta(0.7, 0.7, 800)
        y = (rng.random(800) < p).astype(np.int64)
        w = rng.uniform(0.5, 1.5, 800) if weighted else None
        report = fc.Evaluation(classwise=False).update(y, p, sample_weight=w).compute()
        found = report["intervals"]
        applies += found.ece_applies or found.ece is not None
        inside += found.ece_band[0] <= report["ece"] <= found.ece_band[1]
    assert applies == 0
    assert covers(inside, INTERVALS), inside / INTERVALS


@needs_many
def test_the_band_does_not_hold_the_ece_of_predictions_far_off():
    for one in simulated(FAR_OFF, 1000, 13, of_evaluation, n=20):
        assert one.ece_band[1] < one.ece[0]


@needs_many
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_lower_bounds_of_slices_cover_as_often_as_they_say(name, weighted):
    """One-sided, at 0.95; that of the squared error is off by 2.5 % at most, which is skewed."""
    model = MODELS[name]
    groups = slices(model, 500, 14, weighted=weighted)
    truths = model.figures()
    truths = {**truths, "error": 1 - truths["accuracy"], "rmsce": math.sqrt(truths["squared_ce_debiased"])}
    for figure in ("error", "nll", "brier", "rmsce"):
        share = np.mean(groups.lower_bound(figure) <= truths[figure])
        assert abs(share - 0.95) < (0.025 if figure == "rmsce" else 0.016), (figure, share)


@needs_many
@pytest.mark.parametrize(("figure", "weighted"), [("accuracy", False), ("squared_ce_debiased", True), ("ece", False)])
def test_normal_intervals_of_the_function_are_those_of_the_evaluation(figure, weighted):
    def both(y, p, w):
        one = fc.confidence_interval(figure, y, p, method="normal", n_bins=5, sample_weight=w)
        return (one.low, one.high), getattr(of_evaluation(y, p, w), figure)

    for ours, evaluations in simulated(FAR_OFF, 1500, 15, both, weighted=weighted, n=10):
        assert ours == evaluations


@needs_many
@pytest.mark.parametrize(("name", "weighted"), [("calibrated", False), ("slightly off", True), ("far off", False)])
def test_bootstrap_intervals_cover_as_often_as_they_say(name, weighted):
    model = MODELS[name]
    truths = model.figures()
    if name != "far off":
        del truths["ece"]  # mostly noise
    seeds = iter(range(INTERVALS))  # one for each: the error of few resamples would else be that of all simulations

    def inside(y, p, w):
        """As ``confidence_interval`` makes them, all figures at once."""
        seed = next(seeds)
        seen = fc.Evaluation(n_bins=5, classwise=False, bootstrap=seed).update(y, p, sample_weight=w)
        blocks = seen._parts["bootstrap"].view(seen.part_state("bootstrap"))
        found = blocks.intervals(0.95, 200, seed)
        return [found[figure] is not None and found[figure][0] <= t <= found[figure][1] for figure, t in truths.items()]

    held = np.sum(simulated(model, 1000 if name != "far off" else 2500, 16, inside, weighted=weighted), axis=0)
    for figure, times in zip(truths, held, strict=True):
        assert covers(times, INTERVALS), (figure, times)


@needs_many
def test_a_bootstrap_interval_is_what_those_simulations_took():
    y, p, _ = FAR_OFF.draw(np.random.default_rng(17), 2500)
    seen = fc.Evaluation(n_bins=5, classwise=False, bootstrap=3).update(y, p)
    found = seen._parts["bootstrap"].view(seen.part_state("bootstrap")).intervals(0.95, 300, 3)
    for figure in FAR_OFF.figures():
        one = fc.confidence_interval(figure, y, p, n_bins=5, n_resamples=300, random_state=3)
        assert (one.low, one.high) == found[figure]
