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
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.studies import __main__ as command  # noqa: E402
from bench.studies import checks, digits, families, networks, rays, results, theorem  # noqa: E402
from bench.studies.gradients import MEASURES, gradients  # noqa: E402
from bench.studies.logspace import Signed  # noqa: E402

SMALL = families.Effort(steps=60, n_members=3, n_points=2)


@pytest.fixture(scope="module")
def small():
    return theorem.study(0, SMALL)


def failing(found):
    return [check.what for check in checks.failures(found)]


# Gradients near the data


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


def test_probabilities_that_are_not_strictly_monotonic_are_told():
    """Logits that do not depend on one coordinate: the rates hold all the same, outside the assumption."""
    layers, point = rays.parallel_logits()
    layers[1] = torch.tensor([[[2.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64), layers[1][1]
    (ray,) = rays.follow(layers, point, 0)
    assert ray.outside == ("not monotone",)
    assert max(rate.off for rate in ray.measures.values()) < 1e-9


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


def test_what_the_network_sees_is_what_its_parts_say():
    """Class weights of length 3 stretch the activations of the mental model threefold."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = digits._Network().double()
        weight = network.classes.weight
        weight *= 3 / weight.norm(dim=1, keepdim=True)
        images = digits.photographs()[0][:20]
        z = network.filters(torch.from_numpy(images).unsqueeze(1)).numpy()
    seen = digits._seen(network, images)
    cosines = (z @ weight.detach().numpy().T) / 3 / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(seen.norm, np.linalg.norm(z, axis=1), rtol=1e-12)
    np.testing.assert_allclose(seen.familiarity, cosines.max(axis=1), rtol=1e-12)
    mental = 1 / (1 + 9 * np.exp(-3 * seen.norm * (1 / 9 + seen.familiarity)))
    np.testing.assert_allclose(seen.mental, mental, rtol=1e-9)
    p = np.exp(seen.logits) / np.exp(seen.logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(seen.confidence, p.max(axis=1), rtol=1e-12)
    entropy = -(p * np.log(p)).sum(axis=1)
    np.testing.assert_allclose(seen.scores()["negative entropy"], -entropy, rtol=1e-12)
    np.testing.assert_allclose(seen.scores()["negative energy"], np.log(np.exp(seen.logits).sum(axis=1)), rtol=1e-12)


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
