"""Equal-mass bins from two looks at a stream: those of the whole array."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc


def stream(seed, weighted=False):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3000, 9000)) if JIT else 2500
    p = rng.random(n) ** rng.choice([0.02, 1.0, 9.0])
    p = (np.round(p, 3) if seed % 4 == 3 else p).astype(rng.choice([np.float32, np.float64]))
    y = (rng.random(n) < p).astype(int)
    weights = rng.random(n) + 0.1 if weighted else None
    cuts = [slice(a, a + 1000) for a in range(0, n, 1000)]
    batches = [(y[c], p[c]) if weights is None else (y[c], p[c], weights[c]) for c in cuts]
    return y, p, weights, batches


def looked_at(batches, **options):
    first = fc.OrderAccumulator(n_cells=1024, **options)
    for y, p, *weights in batches:
        first.update(y, p, sample_weight=weights[0] if weights else None)
    return first


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n_bins", [1, 2, 15, 40])
def test_a_second_look_gives_the_bins_of_the_whole(seed, n_bins, weighted):
    y, p, weights, batches = stream(seed, weighted)
    found = looked_at(batches, n_bins=n_bins).refined(batches[::-1])
    options = {"n_bins": n_bins, "sample_weight": weights}
    assert found["adaptive_ece"] == pytest.approx(fc.adaptive_ece(y, p, **options), rel=1e-11, abs=1e-14)
    curve = fc.reliability_curve(y, p, binning="quantile", **options)
    np.testing.assert_allclose(found["edges"], curve.edges, rtol=0, atol=1e-12)
    assert found["n"] == len(y)


def test_it_is_the_second_look_that_makes_it_exact():
    y, p, _, batches = stream(1)
    first = looked_at(batches, n_bins=40)
    exact = fc.adaptive_ece(y, p, n_bins=40)
    assert 1e-5 < abs(first.compute()["adaptive_ece"] - exact) <= first.compute()["order_bound"]
    assert first.refined(batches)["adaptive_ece"] == pytest.approx(exact, rel=1e-12)


def test_an_exact_state_does_not_look_again():
    first = fc.OrderAccumulator().update([0, 1, 1], [0.2, 0.4, 0.6])
    assert first.refined(iter([]))["adaptive_ece"] == first.compute()["adaptive_ece"]


@pytest.mark.parametrize("change", ["fewer", "other", "more", "one"])
def test_other_rows_are_noticed(change):
    _, _, _, batches = stream(2)
    first = looked_at(batches)
    y, p = batches[0]
    changed = np.where(np.arange(len(p)) == 7, p / 2, p)
    others = {
        "fewer": batches[1:],
        "other": [(1 - y, p), *batches[1:]],
        "more": [*batches, batches[0]],
        "one": [(y, changed), *batches[1:]],
    }[change]
    with pytest.raises(ValueError, match="not the rows of the first look"):
        first.refined(others)
    with pytest.raises(ValueError, match="no rows"):
        fc.OrderAccumulator().refined(batches)


def test_rows_of_nan_and_rows_of_classes():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), 3000)
    labels = rng.integers(0, 4, 3000)
    probs[7] = np.nan
    batches = [(labels[:1500], probs[:1500]), (labels[1500:], probs[1500:])]
    first = looked_at(batches, nan_policy="omit")
    expected = fc.adaptive_ece(labels, probs, nan_policy="omit")
    assert first.refined(batches)["adaptive_ece"] == pytest.approx(expected, rel=1e-12)
