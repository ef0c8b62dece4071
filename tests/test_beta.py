"""Beta calibration: its optimum against scipy's over every choice of bounds, laws of its fit, and odd data."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import oracle_logistic as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcal as fc

EXAMPLES = 12 if JIT else 3
PARAMETERS = ["abm", "am", "ab"]


def sample(seed, n, shape=(1.0, 1.0)):
    """Probabilities, and labels that depend on them somehow."""
    rng = np.random.default_rng(seed)
    p = rng.beta(*shape, n)
    power, floor = rng.choice([0.3, 1.0, 3.0]), rng.choice([0.0, 0.2])
    return p, (rng.random(n) < floor + (1 - 2 * floor) * p**power).astype(np.int64)


def coefficients(fitted):
    return np.array([fitted.a_, fitted.b_, fitted.c_])


def apply(found, p, clip=2.0**-52):
    a, b, c = found
    features = oracle.beta_features(p, "abm", clip)
    return oracle.sigmoid(features @ [a, b, c])


def nll(fitted, p, y, weights=None):
    q = apply(coefficients(fitted), p)
    return np.average(np.where(y == 1, -np.log(q), -np.log1p(-q)), weights=weights)


@pytest.mark.filterwarnings("ignore:labels do not rise", "ignore:scores separate", "ignore:rows have one label")
@settings(max_examples=EXAMPLES)
@given(st.integers(0, 10**6), st.sampled_from([(1.0, 1.0), (0.2, 0.2), (20.0, 5.0)]), st.sampled_from(PARAMETERS))
def test_the_optimum_is_scipys(seed, shape, parameters):
    p, y = sample(seed, 60, shape)
    weights = None if seed % 2 else np.random.default_rng(seed).exponential(size=60)
    y[np.argmin(p)], y[np.argsort(p)[1]], y[np.argmax(p)] = 1, 0, 0  # no score separates them
    fitted = fc.BetaCalibration(parameters=parameters).fit(p, y, weights)
    expected, least = oracle.beta(p, y, parameters, weights)
    assert nll(fitted, p, y, weights) == pytest.approx(least, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(coefficients(fitted), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.predict_proba(p), apply(coefficients(fitted), p), rtol=1e-11)
    assert fitted.converged_
    assert fitted.gradient_norm_ <= fitted.tol
    assert min(fitted.a_, fitted.b_) >= 0
    if parameters == "am":
        assert fitted.a_ == fitted.b_
    if parameters == "ab":
        assert fitted.predict_proba([0.5]) == pytest.approx(0.5, abs=1e-12)
    rising = fitted.predict_proba(np.linspace(0, 1, 101))
    assert (np.diff(rising) >= -1e-15).all()


def test_it_is_betacals():
    betacal = pytest.importorskip("betacal")
    p, y = sample(1, 300)
    for parameters in PARAMETERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = betacal.BetaCalibration(parameters=parameters).fit(p.reshape(-1, 1), y)
        ours = fc.BetaCalibration(parameters=parameters).fit(p, y)
        np.testing.assert_allclose(ours.predict_proba(p), theirs.predict(p), atol=1e-3)


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_every_class_is_fitted_by_itself(parameters):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), 200 if JIT else 30)
    y = (p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1)
    fitted = fc.BetaCalibration(parameters=parameters).fit(p, y)
    each = np.stack([apply((fitted.a_[k], fitted.b_[k], fitted.c_[k]), p[:, k]) for k in range(5)], axis=1)
    np.testing.assert_allclose(fitted.predict_proba(p), each / each.sum(axis=1, keepdims=True), rtol=1e-11)
    for k in range(5 if JIT else 1):
        alone = fc.BetaCalibration(parameters=parameters).fit(p[:, k], y == k)
        np.testing.assert_allclose([fitted.a_[k], fitted.b_[k], fitted.c_[k]], coefficients(alone), atol=1e-8)


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_any_cut_of_rows_gives_the_same_bits(parameters, monkeypatch):
    monkeypatch.setattr("fastcal.calibrators.rows.BLOCK_SIZE", 64)
    monkeypatch.setattr("fastcal.engine.SMALL", 0)
    p, y = sample(2, 300 if JIT else 100)
    w = np.random.default_rng(0).exponential(size=len(y))
    whole = fc.BetaCalibration(parameters=parameters, n_threads=1).fit(p, y, w)
    cuts = [0, 1, 17, 17, 64, 90, len(y)]
    batches = [(p[i:j], y[i:j], w[i:j]) for i, j in pairwise(cuts)]
    other = fc.BetaCalibration(parameters=parameters, n_threads=2).fit_batches(batches)
    for name in fc.BetaCalibration.fitted:
        assert getattr(whole, name) == getattr(other, name), name
    columns = np.stack([1 - p, p], axis=1)
    two = fc.BetaCalibration(parameters=parameters).fit(columns, y, w)
    np.testing.assert_allclose(coefficients(two), coefficients(whole), rtol=1e-9)
    assert (two.predict_proba(columns)[:, 1] == two.predict_proba(columns).max(axis=1)).any()


def test_weights_are_repetitions():
    p, y = sample(3, 40)
    weights = np.random.default_rng(0).integers(0, 4, 40)
    weighted = fc.BetaCalibration().fit(p, y, weights)
    repeated = fc.BetaCalibration().fit(np.repeat(p, weights), np.repeat(y, weights))
    np.testing.assert_allclose(coefficients(weighted), coefficients(repeated), rtol=1e-9)
    with pytest.raises(fc.DataError, match=r"sample_weight\[0\] is 0, as all the others"):
        fc.BetaCalibration().fit(p, y, np.zeros(40))


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_separable_labels_warn_and_stay_finite(parameters):
    p = np.linspace(0.05, 0.95, 20)
    with pytest.warns(fc.FitWarning, match="scores separate the labels: the optimum is at infinity"):
        fitted = fc.BetaCalibration(parameters=parameters).fit(p, p > 0.5)
    assert np.isfinite(coefficients(fitted)).all()
    assert ((fitted.predict_proba(p) > 0.5) == (p > 0.5)).all()


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_labels_at_odds_with_scores_give_a_constant_and_warn(parameters):
    p = np.linspace(0.05, 0.95, 20)
    with pytest.warns(fc.FitWarning, match="labels do not rise with scores: a_ and b_ are on their bound 0"):
        fitted = fc.BetaCalibration(parameters=parameters).fit(p, p < 0.3)
    expected = 0.5 if parameters == "ab" else 0.3
    np.testing.assert_allclose(fitted.predict_proba(p), expected, rtol=1e-9)


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize(
    ("p", "y"),
    [([0.3] * 5, [0, 1, 1, 0, 1]), ([0.1, 0.2, 0.9], [1, 1, 1]), ([0.1, 0.2, 0.9], [0, 0, 0]), ([0.4], [1])],
)
def test_one_score_or_one_label_gives_a_constant_and_warns(parameters, p, y):
    with pytest.warns(fc.FitWarning, match="rows have one label or one score: a_ and b_ are 0"):
        fitted = fc.BetaCalibration(parameters=parameters).fit(p, y)
    np.testing.assert_allclose(fitted.predict_proba([0.0, 0.3, 1.0]), (sum(y) + 1) / (len(y) + 2), rtol=1e-12)


def test_a_class_without_rows_is_named():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(4), 40), rng.integers(0, 2, 40)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fitted = fc.BetaCalibration().fit(p, y)
    assert "rows have one label or one score in columns 2, 3" in str(seen[0].message)
    assert np.isfinite(fitted.predict_proba(p)).all()


def test_zeros_and_ones_count_as_clip():
    p, y = np.array([0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]), [0, 1, 0, 0, 1, 1, 0]
    fitted = fc.BetaCalibration(parameters="am").fit(p, y)
    named = fc.BetaCalibration(parameters="am", clip=2.0**-52).fit(p.clip(2.0**-52, 1 - 2.0**-52), y)
    assert coefficients(fitted) == pytest.approx(coefficients(named), rel=1e-9)
    single = fc.BetaCalibration(parameters="am").fit(p.astype(np.float32), y)
    half = fc.BetaCalibration(parameters="am").fit(p.astype(np.float16), y)
    named = fc.BetaCalibration(parameters="am", clip=2.0**-23).fit(p, y)
    assert (coefficients(single) == coefficients(half)).all()
    assert single.a_ > 1.5 * fitted.a_
    assert coefficients(single) == pytest.approx(coefficients(named), rel=1e-12)
    with pytest.warns(fc.FitWarning, match="separate"):
        exact = fc.BetaCalibration().fit([0.0, 1.0, 0.0, 1.0], [0, 1, 0, 1])
    assert exact.predict([0.0, 1.0]).tolist() == [0, 1]


@pytest.mark.parametrize("y", [[0, 1, 0, 1, 1], [0, 1, 0, 1, 0], [1, 0, 1, 0, 0], [0, 1, 1, 1, 1]])
def test_scores_that_are_one_when_clipped_say_nothing(y):
    for p in (np.array([0.0, 1e-20, 1e-19, 1e-300, 0.0]), np.array([1e-30, 0, 1e-18, 0, 0], np.float32)):
        with pytest.warns(fc.FitWarning, match="one label or one score") as found:
            fitted = fc.BetaCalibration().fit(p, y)
        assert len(found) == 1
        np.testing.assert_allclose(fitted.predict_proba([0.0, 1.0]), (sum(y) + 1) / 7, rtol=1e-12)


def test_scores_below_a_large_clip_differ_in_the_rest():
    fitted = fc.BetaCalibration(clip=0.4).fit([0.1, 0.2, 0.3, 0.1, 0.25], [0, 1, 1, 1, 0])
    assert fitted.b_ > 0


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 1e20, 1e90])
def test_one_label_whatever_the_weights(label, scale):
    p, y = sample(5, 300 if JIT else 100)[0], np.full(300 if JIT else 100, label)
    weights = scale * np.random.default_rng(0).random(len(p))
    with pytest.warns(fc.FitWarning, match="rows have one label") as found:
        fitted = fc.BetaCalibration().fit(p, y, weights)
    assert len(found) == 1
    c = np.log(weights.sum() + 1)
    np.testing.assert_allclose(coefficients(fitted), [0, 0, c if label else -c], rtol=1e-12)
    y[0], weights[0] = 1 - label, 1.0  # next to nothing, but not nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        assert np.isfinite(coefficients(fc.BetaCalibration().fit(p, y, weights))).all()


def test_logits_are_probabilities_of_a_softmax():
    z = np.array([-1e300, -3.0, -1.0, 0.5, 2.0, 800.0])
    y = [0, 0, 1, 0, 1, 1]
    p = oracle.sigmoid(z)
    np.testing.assert_allclose(
        coefficients(fc.BetaCalibration(parameters="am", input="logits").fit(z, y)),
        coefficients(fc.BetaCalibration(parameters="am").fit(p, y)),
        rtol=1e-6,
    )
    rows = np.array([[0.0, -np.inf, 1.0], [1.0, 0.0, 0.5], [0.3, 0.9, -np.inf], [0.0, 1.0, 0.2]])
    fitted = fc.BetaCalibration(parameters="am", input="logits").fit(
        np.tile(rows, (3, 1)), [2, 0, 1, 1, 0, 1, 0, 2, 2, 1, 1, 0]
    )
    assert np.isfinite(fitted.predict_proba(rows)).all()


@pytest.mark.parametrize(
    ("p", "options", "message"),
    [
        ([0.1, np.nan], {}, r"scores\[1\] is nan"),
        ([0.1, -0.2], {}, r"scores\[1\] is -0.2; probabilities lie in \[0, 1\]"),
        ([0.1, 0.2], {"parameters": "bm"}, "parameters is 'bm'; expected 'abm', 'am' or 'ab'"),
        ([0.1, 0.2], {"clip": 0.5}, "clip is 0.5"),
        ([0.1, 0.2], {"clip": 0}, "clip is 0"),
        ([0.1, 0.2], {"clip": True}, "clip is True"),
        ([0.1, 0.2], {"tol": 2}, "tol is 2"),
    ],
)
def test_what_is_refused(p, options, message):
    model = fc.BetaCalibration(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(p, [0, 1])
    assert not hasattr(model, "a_")


def test_what_a_file_may_not_hold():
    fitted = fc.BetaCalibration().fit(*sample(3, 40))
    fitted._check_fitted()
    fitted.a_ = -1.0
    with pytest.raises(ValueError, match="a_ or b_ is negative"):
        fitted._check_fitted()
    fitted.a_, fitted.converged_ = 1.0, 1
    with pytest.raises(ValueError, match="converged_, n_iter_ and gradient_norm_ are no"):
        fitted._check_fitted()
    fitted.a_ = np.nan
    with pytest.raises(ValueError, match="a_ is no array"):
        fitted._check_fitted()
