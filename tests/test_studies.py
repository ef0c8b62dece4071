"""The study of bench/studies in small: its numbers agree with the theorem, and a broken claim is caught."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.studies import __main__ as command  # noqa: E402
from bench.studies import checks, digits, families, networks, rays, results, theorem  # noqa: E402
from bench.studies.gradients import MEASURES, gradients  # noqa: E402
from bench.studies.logspace import Signed, log_of_ratio  # noqa: E402
from bench.studies.rates import NEVER, predicted  # noqa: E402

SMALL = families.Effort(steps=60, n_members=3, n_points=2)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def small():
    return theorem.study(0, SMALL)


def failing(found):
    return [check.what for check in checks.failures(found)]


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


# Gradients against automatic differentiation and against many digits


def by_autograd(layers, x):
    """The measures written plainly."""
    points = torch.from_numpy(x).requires_grad_()
    p = torch.softmax(networks.forward(layers, points), dim=-1)
    mean = p.mean(0)
    entropy = -(mean * mean.log()).sum(-1)
    values = (
        mean.max(-1).values,
        ((p**2).mean(0) - mean**2).mean(-1),
        entropy,
        entropy + (p * p.log()).sum(-1).mean(0),
    )
    own = [
        torch.stack([torch.autograd.grad(one[:, c].sum(), points, retain_graph=True)[0] for c in range(3)], dim=1)
        for one in p
    ]
    found = {
        name: torch.autograd.grad(value.sum(), points, retain_graph=True)[0].numpy()
        for name, value in zip(MEASURES, values, strict=True)
    }
    return found, torch.stack(own).numpy()


def test_gradients_are_those_of_automatic_differentiation(small):
    for family in families.FAMILIES:
        layers, x = small.found[family.name], small.data.x[::30]
        exact = gradients(networks.logits(layers, x), networks.jacobian(layers, x))
        measures, own = by_autograd(layers, x)
        np.testing.assert_allclose(exact.probability.value(), own, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(exact.mean.value(), own.mean(0), rtol=1e-9, atol=1e-13)
        for name in MEASURES:
            np.testing.assert_allclose(exact.measures[name].value(), measures[name], rtol=1e-7, atol=1e-12)


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


# Rays


def test_last_kink_is_found():
    """One neuron is relu(x - 20), the other relu(5 - x): the last kink of the ray from x = 2 is at alpha = 10."""
    weight = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    layers = [
        (weight, torch.tensor([[-20.0, 5.0]], dtype=torch.float64)),
        (torch.ones(1, 2, 2, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)),
    ]
    region = networks.final_region(layers, np.array([[2.0, 1.0]]), 0, 1e6)
    assert region.start.item() == pytest.approx(10)
    assert region.unbounded.item()
    early = networks.final_region(layers, np.array([[2.0, 1.0]]), 0, 4.0)
    assert early.start.item() == pytest.approx(2.5)
    assert not early.unbounded.item()
    across = networks.final_region(layers, np.array([[2.0, 1.0]]), 1, 1e6)
    assert across.start.item() == -np.inf
    assert across.unbounded.item()


def test_parallel_logits_are_found_though_probabilities_are_strictly_monotonic():
    assert not failing(theorem.of_parallel_logits())
    layers, _ = rays.parallel_logits()
    side = np.stack(np.meshgrid(np.linspace(0.5, 30, 31), np.linspace(1, 2, 11)), -1).reshape(-1, 2)
    signs = gradients(networks.logits(layers, side), networks.jacobian(layers, side)).probability.sign[0]
    assert (signs == signs[0]).all()
    assert (signs != 0).all()


def test_parallel_logits_do_not_pass_unseen(monkeypatch):
    monkeypatch.setattr(rays, "PARALLEL", -1.0)
    assert failing(theorem.of_parallel_logits()) == ["outside the assumption"]
    layers, point = rays.parallel_logits()
    found = failing(theorem.of_rays(rays.follow(layers, point, 0), True, True))
    assert any("Lemma 4" in what for what in found)


# The study


def test_theorem_holds_where_its_assumptions_do(small):
    assert not [(part, failing(found)) for part, found in small.checks.items() if failing(found)]
    assert [family.monotone for family in families.FAMILIES] == [True] * 5
    assert {len(found) for found in small.rays.values()} == {2 * SMALL.n_points}
    assert theorem.underflow(small.rays) < rays.ALPHAS[rays.EARLIER]


def followed(small, family="anchored ensemble"):
    return [ray for d in (0, 1) for ray in rays.follow(small.found[family], small.data.from_where, d)]


def test_temperature_is_caught(small, monkeypatch):
    """Logits over 1.01: everything still falls to 0, at a rate that is off by 1 %."""
    logits = networks.logits
    monkeypatch.setattr(networks, "logits", lambda layers, x: logits(layers, x) / 1.01)
    found = failing(theorem.of_rays(followed(small), True, False))
    for lemma in range(4, 10):
        assert any(what.startswith(f"Lemma {lemma},") and "rate" in what for what in found)


def test_sign_error_is_caught(small, monkeypatch):
    """Slopes of the wrong sign predict other leading classes, gaps and limits."""
    right = rays.predicted
    monkeypatch.setattr(rays, "predicted", lambda slopes: right(-slopes))
    found = failing(theorem.of_rays(followed(small), True, False))
    assert any("Lemma 8" in what for what in found)
    assert any("max probability, largest difference" in what for what in found)


def test_forgotten_factor_is_caught(small, monkeypatch):
    """A gradient that is too large by a factor alpha has the same rate and another power."""
    right = gradients

    def wrong(logits, jacobian):
        found = right(logits, jacobian)
        entropy = found.measures[MEASURES[2]]
        size = np.abs(logits).max(axis=(0, 2))[:, None]
        found.measures[MEASURES[2]] = entropy * Signed.of(1 / size)
        return found

    monkeypatch.setattr(rays, "gradients", wrong)
    found = failing(theorem.of_rays(followed(small), True, False))
    assert found == ["Lemma 8, predictive entropy: power of alpha, largest difference"]


def test_certainty_where_members_disagree_is_caught(small):
    """Two camps that are said to be certain: the lemmas hold and the limits do not."""
    slopes = np.array([[3.0, 1.0, 0.0], [0.5, 0.0, 2.0]])
    weight = torch.from_numpy(np.stack([slopes, slopes[:, ::-1]], -1))
    layers = [
        (torch.eye(2, dtype=torch.float64).repeat(2, 1, 1), torch.zeros(2, 2, dtype=torch.float64)),
        (weight, torch.zeros(2, 3, dtype=torch.float64)),
    ]
    two = rays.follow(layers, np.array([[1.0, 0.1]]), 0)
    assert not failing(theorem.of_rays(two, True, False))
    assert failing(theorem.of_rays(two, True, True)) == ["rays with certain limits, which a single network always has"]
    assert len(theorem.limits("certain", two)) == len(MEASURES)
    assert theorem.of_camps(None)[0].holds is None


def test_rays_outside_are_counted(small):
    """A kink beyond the alphas, of a neuron whose slope is tiny: told, and no family is said to meet the assumption."""
    layers = [(weight.clone(), bias.clone()) for weight, bias in small.found["ensemble"]]
    layers[0][0][0, 0], layers[0][1][0, 0] = torch.tensor([1e-8, 1e-8]), -1.0
    found = [ray for d in (0, 1) for ray in rays.follow(layers, np.abs(small.data.from_where), d)]
    assert all("kink" in ray.outside for ray in found)
    assert "rays on which every member meets the assumption" in failing(theorem.of_rays(found, True, False))
    assert "rays on which every member meets the assumption" not in failing(theorem.of_rays(found, False, False))


def test_nothing_checked_does_not_hold():
    assert checks.at_most("nothing", math.nan, 1.0).holds is False
    assert checks.all_of("nothing", 0, 0).holds is False
    assert math.isnan(theorem.worst([]))


# The digits, and the command


def test_photographs_are_made_as_the_digits():
    bitmaps, grey = digits.photographs()
    assert bitmaps.shape == grey.shape == (520, 8, 8)
    assert np.array_equal(bitmaps * 16, np.round(bitmaps * 16))
    for made in (bitmaps, grey):
        assert made.min() >= 0
        assert made.max() <= 1
        assert len(np.unique(made)) > 16


def test_command_writes_data_figures_and_text(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "QUICK", SMALL)
    monkeypatch.setattr(command, "QUICK_DIGITS", 15)
    assert command.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "0 statements fail" in capsys.readouterr().out

    def refuse(word):
        raise AssertionError(word)

    data = json.loads((tmp_path / results.DATA).read_text(), parse_constant=refuse)
    assert data["holds"] is True
    numbers = [check for found in data["seeds"][0]["checks"].values() for check in found]
    assert all(check["holds"] in (True, None) for check in numbers)
    assert len([check for check in numbers if check["holds"]]) > 100
    assert data["digits"][0]["sets"].keys() == set(digits.OUT)
    for name in (results.PLANES, results.DIGITS):
        picture = (tmp_path / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 150_000
    text = (tmp_path / results.TEXT).read_text()
    assert "predictive entropy" in text
    assert "nan" not in text


def test_command_ends_with_1_where_a_claim_fails(small, tmp_path, monkeypatch):
    wrong = replace(small, checks={**small.checks, "one more": [checks.at_most("nothing", 1.0, 0.0)]})
    monkeypatch.setattr(theorem, "study", lambda *_: wrong)
    for draw in ("planes", "digits"):
        monkeypatch.setattr(command.figures, draw, lambda *_: None)
    monkeypatch.setattr(command, "QUICK_DIGITS", 1)
    assert command.main(["--quick", "--out", str(tmp_path)]) == 1
    assert json.loads((tmp_path / results.DATA).read_text())["holds"] is False
