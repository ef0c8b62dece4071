"""Bayesian binning into quantiles: the evidence of each model, which are kept, and what comes of it."""

from __future__ import annotations

import numpy as np
import oracle_binned_calibrators as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from test_histogram_binning import sample

import fastcal as fc
from fastcal.calibrators import bbq


def test_too_few_rows_have_one_model():
    assert bbq.bins_tried(1.0, 1) == (1, 1)
    assert bbq.bins_tried(1e-100, 5) == (1, 1)


@pytest.mark.parametrize(
    ("weight", "n_scores", "expected"),
    [
        (200_000.0, 200_000, (5, 585)),
        (30.0, 30, (1, 6)),
        (200_000.0, 3, (3, 3)),
        (1e100, 10**6, (16384, 16384)),
    ],
)
def test_how_many_bins_are_tried(weight, n_scores, expected):
    assert bbq.bins_tried(weight, n_scores) == expected


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_the_evidence_is_that_of_each_model(seed, ties, weighted):
    n = 60 if JIT else 30
    p, y, w = sample(n, 0, seed, ties=ties)
    w = w if weighted else None
    models = oracle.models_of(p, y == 1, w)
    calibrator = fc.BBQ().fit(p, y, w)
    best = max(models, key=lambda model: model[1])
    np.testing.assert_allclose(calibrator.log_evidence_, [best[1]], rtol=1e-10)
    assert len(models) >= calibrator.n_models_[0] >= 1
    if best[1] - sorted(model[1] for model in models)[-2:][0] > 1e-9:
        assert calibrator.n_bins_ == [best[0]]
    steps = np.unique(np.concatenate([model[2] for model in models]))
    assert np.isin(calibrator.edges_, steps).all() or weighted  # sums of weights may round the other way


def test_the_models_left_out_have_next_to_no_weight():
    evidence = np.array([0.0, -100.0, -1.0, -13.0, -20.0])
    kept, shares = bbq.weighed(evidence)
    np.testing.assert_array_equal(kept, [0, 2, 3])
    weight = np.exp(evidence)
    assert weight[[1, 4]].sum() / weight.sum() <= bbq.LEFT_OUT
    np.testing.assert_allclose(shares, weight[kept] / weight[kept].sum(), rtol=1e-14)
    np.testing.assert_allclose(bbq.weighed(np.full(3, -1e300))[1], 1 / 3)


def test_ties_are_never_split():
    p = np.repeat([0.1, 0.5, 0.9], [50, 1, 49])
    y = np.arange(100) % 3 == 0
    calibrator = fc.BBQ().fit(p, y)
    assert set(calibrator.edges_) <= {0.0, 0.1 + (0.5 - 0.1) / 2, 0.5 + (0.9 - 0.5) / 2, 1.0}


def test_an_overconfident_model_is_calibrated():
    rng = np.random.default_rng(0)
    n = 2000 if JIT else 300
    truth = rng.random(n)
    y = (rng.random(n) < truth).astype(int)
    p = truth**3 / (truth**3 + (1 - truth) ** 3)
    half = n // 2
    found = fc.BBQ().fit(p[:half], y[:half]).predict_proba(p[half:])
    assert abs(found - truth[half:]).mean() < (0.06 if JIT else 0.15)
    assert fc.nll(y[half:], found) < fc.nll(y[half:], p[half:])


def test_scores_at_the_ends_have_a_prior():
    calibrator = fc.BBQ().fit([0.0] * 10 + [5e-324] * 10, [1] * 20)
    assert np.isfinite(calibrator.log_evidence_).all()
    assert (calibrator.predict_proba([0.0, 1.0]) > 0.5).all()


@pytest.mark.parametrize("low", [0.0, np.nextafter(0.5, 1), 1 - 2.0**-53])
def test_neighbouring_floats_are_told_apart(low):
    """What lies half-way between them rounds to the upper one, or to 0."""
    scores = np.array([low, np.nextafter(low, 2)])
    calibrator = fc.BBQ().fit(scores.repeat(50), np.repeat([0, 1], 50))
    calibrator._check_fitted()  # a file of it is read again
    found = calibrator.predict_proba(scores)
    assert found[0] < 0.1
    assert found[1] > 0.9


@pytest.mark.parametrize("weight", [1e-100, 1e100])
def test_weights_at_the_ends_are_finite(weight):
    p, y, _ = sample(50, 0)
    calibrator = fc.BBQ().fit(p, y, np.full(50, weight))
    assert np.isfinite(calibrator.log_evidence_).all()
    assert np.isfinite(calibrator.predict_proba(p)).all()
