"""Gradients in log space against many digits, and the rates that slopes of logits predict of them."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
mpmath = pytest.importorskip("mpmath")
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.studies.gradients import MEASURES, gradients  # noqa: E402
from bench.studies.logspace import Signed, log_of_ratio  # noqa: E402
from bench.studies.rates import NEVER, predicted  # noqa: E402

RNG = np.random.default_rng(0)


# Numbers in log space


def test_signed_numbers_do_as_floats_do():
    a, b = RNG.normal(size=(2, 50, 7))
    a[:, 0] = 0.0
    x, y = Signed.of(a), Signed.of(b)
    np.testing.assert_allclose((x * y).value(), a * b, rtol=1e-14)
    np.testing.assert_allclose((x / y).value(), a / b, rtol=1e-14)
    np.testing.assert_allclose((-x).value(), -a)
    np.testing.assert_allclose(x.sum(axis=1).value(), a.sum(axis=1), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.exp(x.norm()), np.linalg.norm(a, axis=-1), rtol=1e-14)


def test_signed_numbers_far_below_floats():
    """3 exp(-1e6) - exp(-1e6) - exp(-1e6 - 40) is 2 exp(-1e6), but for rounding; equal terms leave exactly 0."""
    terms = Signed(np.array([1.0, -1.0, -1.0, 0.0]), np.array([math.log(3) - 1e6, -1e6, -1e6 - 40, -np.inf]))
    total = terms.sum(axis=0)
    assert total.sign == 1
    assert total.log == pytest.approx(math.log(2) - 1e6, abs=1e-9)
    nothing = Signed(np.array([1.0, -1.0]), np.array([-1e6, -1e6])).sum(axis=0)
    assert (nothing.sign, nothing.log) == (0, -np.inf)


@pytest.mark.parametrize("log_excess", [-1e6, -50.0, -35.0, -8.0])
def test_logarithm_of_a_ratio_near_1(log_excess):
    """log(1 - e) is -e - e^2 / 2 - ..., of which a float difference has nothing left."""
    excess = Signed(np.array([-1.0]), np.array([log_excess]))
    found = log_of_ratio(np.array([-math.exp(log_excess)]), excess)
    e = mpmath.exp(mpmath.mpf(log_excess))
    with mpmath.workdps(60):
        assert found.sign[0] == -1
        assert found.log[0] == pytest.approx(float(mpmath.log(-mpmath.log1p(-e)) if log_excess > -100 else log_excess))


# Gradients against many digits


def in_many_digits(logits, jacobian):
    """log-norms of the gradients of the measures of members (M, C), (M, C, D), as they are defined."""
    n_members, n_classes, n_dims = jacobian.shape
    p, dp = [], []
    for z, j in zip(logits, jacobian, strict=True):
        e = [mpmath.exp(mpmath.mpf(float(v))) for v in z]
        own = [v / mpmath.fsum(e) for v in e]
        steps = [[mpmath.mpf(float(v)) for v in row] for row in j]
        at = [mpmath.fsum(own[c] * steps[c][d] for c in range(n_classes)) for d in range(n_dims)]
        p.append(own)
        dp.append([[own[c] * (steps[c][d] - at[d]) for d in range(n_dims)] for c in range(n_classes)])
    mean = [mpmath.fsum(own[c] for own in p) / n_members for c in range(n_classes)]
    d_mean = [[mpmath.fsum(own[c][d] for own in dp) / n_members for d in range(n_dims)] for c in range(n_classes)]
    variance, entropy, information = [], [], []
    cells = [(m, c) for m in range(n_members) for c in range(n_classes)]
    for d in range(n_dims):
        within = mpmath.fsum(2 * p[m][c] * dp[m][c][d] for m, c in cells) / n_members
        between = mpmath.fsum(2 * mean[c] * d_mean[c][d] for c in range(n_classes))
        variance.append((within - between) / n_classes)
        entropy.append(-mpmath.fsum(d_mean[c][d] * (1 + mpmath.log(mean[c])) for c in range(n_classes)))
        expected = -mpmath.fsum(dp[m][c][d] * (1 + mpmath.log(p[m][c])) for m, c in cells) / n_members
        information.append(entropy[-1] - expected)
    largest = d_mean[max(range(n_classes), key=lambda c: mean[c])]
    found = (largest, variance, entropy, information)
    return [float(mpmath.log(mpmath.sqrt(mpmath.fsum(v**2 for v in gradient)))) for gradient in found]


# Slopes of members' logits: in one class; in two, one of them alone and the slowest; and so on.
CASES = {
    "agreement": [[2, 1.3, 0.9], [1.5, 0.9, 0.4], [2, 0.7, 1.4]],
    "a loner that is the slowest": [[2, 1, 0.4], [1.5, 0.8, 0.2], [0.4, 1.9, 1.4]],
    "every class": [[2, 1, 0.5], [0.3, 1.9, 0.9], [0.4, 1.1, 1.9]],
    "two camps of one": [[2, 1, 0.6], [0.9, 0.5, 2]],
    "two camps of one, each next to the other": [[2, 1.3, 0.6], [1.2, 2, 0.4]],
    "two camps of one, third class next": [[2, 0.6, 1.4], [0.4, 2, 1.3]],
    "camps of two": [[2, 1.2, 0.7], [1.5, 0.8, 0.4], [0.9, 1.5, 0.3], [0.6, 2, 1.1]],
    "three against one": [[2, 1.2, 0.7], [1.5, 0.8, 0.4], [1.5, 0.6, 0.9], [1.2, 2, 0.9]],
}
FAR = 1600.0  # exp(-0.5 * 1600) is no float64


def affine(name, alphas):
    """Logits a + alpha b (M, A, C) and Jacobians (M, A, C, 2), of which the second direction is across the ray."""
    rng = np.random.default_rng(len(name))
    slopes = np.array(CASES[name], float)
    across, start = rng.normal(size=(2, *slopes.shape))
    logits = start[:, None] + slopes[:, None] * np.asarray(alphas)[:, None]
    return logits, np.broadcast_to(np.stack([slopes, across], -1)[:, None], (*logits.shape, 2)), slopes


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_many_digits(name):
    logits, jacobian, slopes = affine(name, [20.0, FAR])
    found, largest = gradients(logits, jacobian), np.bincount(slopes.argmax(axis=1), minlength=3)
    for i, n_digits in enumerate((100, 3500)):
        with mpmath.workdps(n_digits):
            wanted = in_many_digits(logits[:, i], jacobian[:, i])
        assert i == 0 or max(wanted) < math.log(2.0**-1074)
        measured = [found.measures[measure][i].norm() for measure in MEASURES]
        if i == 1 and (largest == largest.max()).sum() > 1:  # tied to rounding: one of the tied has the maximum
            assert measured[0] == pytest.approx(max(found.mean[i].norm()[largest == largest.max()]))
            measured[0] = wanted[0]
        np.testing.assert_allclose(measured, wanted, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("gap", [1e-6, 1e-4, 0.005])
def test_gradients_near_a_tie_agree_with_many_digits(gap):
    """Classes of nearly one probability, on both sides of a half, and of nearly one mean."""
    logits = np.array([[[gap, 0.0, -40.0]], [[0.0, gap / 3, -2.0]]])
    jacobian = RNG.normal(size=(2, 1, 3, 2))
    for members in ([0], [0, 1]):
        found = gradients(logits[members], jacobian[members])
        with mpmath.workdps(60):
            wanted = in_many_digits(logits[members, 0], jacobian[members, 0])
        measured = [found.measures[measure][0].norm() for measure in MEASURES]
        skipped = (1, 3) if len(members) == 1 else ()
        for i in set(range(4)) - set(skipped):
            assert measured[i] == pytest.approx(wanted[i], rel=1e-9)


# Rates


@pytest.mark.parametrize("name", CASES)
def test_rates_are_predicted_from_slopes(name):
    logits, jacobian, slopes = affine(name, [1e5, 1e6])
    found, prediction = gradients(logits, jacobian), predicted(slopes)
    assert prediction.agree == (name == "agreement")
    for measure, decay in prediction.measures.items():
        first, last = found.measures[measure].norm()
        assert (first - last) / 9e5 == pytest.approx(decay.rate, rel=1e-3)
        assert (last - first + decay.rate * 9e5) / math.log(10) == pytest.approx(decay.power, abs=0.01), measure
    for c, rate in enumerate(prediction.mean):
        first, last = found.mean[:, c].norm()
        assert (first - last) / 9e5 == pytest.approx(rate, rel=1e-6)


def test_rates_of_random_slopes():
    """Any number of members and classes."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n_members, n_classes = rng.integers(1, 6), rng.integers(2, 5)
        slopes, across, start = rng.normal(size=(3, n_members, n_classes))
        logits = start[:, None] + slopes[:, None] * np.array([1e5, 1e6])[:, None]
        jacobian = np.broadcast_to(np.stack([slopes, across], -1)[:, None], (*logits.shape, 2))
        found, prediction = gradients(logits, jacobian), predicted(slopes)
        if prediction.slowest.min() < 1e-2:
            continue
        for measure, decay in prediction.measures.items():
            first, last = found.measures[measure].norm()
            if decay.rate == NEVER:
                assert n_members == 1
                assert last == -np.inf
            else:
                assert (first - last) / 9e5 == pytest.approx(decay.rate, rel=1e-3), (seed, measure)


def test_known_rates():
    """Members that agree: variance at twice the slowest rate, a factor alpha for entropy and none for information."""
    prediction = predicted(np.array([[3.0, 1.0, 0.0], [2.0, 1.5, 0.0]]))
    assert prediction.mean.tolist() == [0.5, 0.5, 2.0]
    assert [(decay.rate, decay.power) for decay in prediction.measures.values()] == [
        (0.5, 0),
        (1.0, 0),
        (0.5, 1),
        (0.5, 0),
    ]
    assert list(prediction.limits.values()) == [1.0, 0.0, 0.0, 0.0]
    halves = predicted(np.array([[3.0, 1.0], [0.0, 1.0]])).limits
    assert list(halves.values()) == pytest.approx([0.5, 0.25, math.log(2), math.log(2)])
