"""Platt scaling: its optimum against scipy's and scikit-learn's, laws of its fit, and what becomes of odd data."""

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

EXAMPLES = 25 if JIT else 4


def sample(seed, n, spread=1.0, n_columns=0):
    """Scores and labels that go with them: (n,) probabilities, or rows."""
    rng = np.random.default_rng(seed)
    if n_columns:
        scores = rng.dirichlet(np.full(n_columns, spread), n)
        return scores, (scores.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, n_columns - 1)
    scores = rng.beta(spread, spread, n)
    return scores, (rng.random(n) < scores**1.5).astype(np.int64)


def one_against_rest(fitted, scores):
    """Rows of maps, divided by their sums."""
    each = oracle.sigmoid(fitted.slope_ * scores + fitted.intercept_)
    return each / each.sum(axis=1, keepdims=True)


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([0.3, 1.0, 30.0]), st.booleans())
def test_the_optimum_is_scipys(seed, n, spread, weighted):
    scores, y = sample(seed, n, spread)
    weights = np.random.default_rng(seed).integers(0, 4, n) + 0.0 if weighted else None
    if weights is not None:
        weights[0] = 0.7
    if n == 1 or np.ptp(scores[slice(None) if weights is None else weights > 0]) < 1e-3:
        return
    fitted = fc.PlattScaling().fit(scores, y, weights)
    slope, intercept = oracle.platt(scores, y, weights)
    np.testing.assert_allclose([fitted.slope_, fitted.intercept_], [slope, intercept], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        fitted.predict_proba(scores), oracle.sigmoid(fitted.slope_ * scores + fitted.intercept_), rtol=1e-13
    )
    assert fitted.converged_
    assert fitted.gradient_norm_ <= fitted.tol
    assert fitted.n_iter_ <= 20


@pytest.mark.parametrize("n_columns", [3, 9, 20] if not JIT else [3, 8, 9, 20, 40, 70, 130])
def test_every_class_is_fitted_by_itself(n_columns):
    scores, y = sample(0, 30 if not JIT else 300, 0.3, n_columns)
    fitted = fc.PlattScaling().fit(scores, y)
    assert fitted.slope_.shape == fitted.intercept_.shape == (n_columns,)
    for k in range(n_columns if JIT else 2):
        alone = fc.PlattScaling().fit(scores[:, k], y == k)
        np.testing.assert_allclose(fitted.slope_[k], alone.slope_, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(fitted.intercept_[k], alone.intercept_, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fitted.predict_proba(scores), one_against_rest(fitted, scores), rtol=1e-12)
    assert (fitted.predict(scores) == one_against_rest(fitted, scores).argmax(axis=1)).all()


def test_it_is_scikit_learns():
    calibration = pytest.importorskip("sklearn.calibration")
    scores, y = sample(1, 80)
    theirs = calibration._SigmoidCalibration().fit(scores, y)
    fitted = fc.PlattScaling().fit(scores, y)
    np.testing.assert_allclose([fitted.slope_, fitted.intercept_], [-theirs.a_, -theirs.b_], rtol=2e-4)


@pytest.mark.parametrize("n_columns", [0, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_any_cut_of_rows_gives_the_same_bits(n_columns, weighted, monkeypatch):
    monkeypatch.setattr("fastcal.calibrators.rows.BLOCK_SIZE", 64)
    monkeypatch.setattr("fastcal.engine.SMALL", 0)
    scores, y = sample(2, 300 if JIT else 140, 1.0, n_columns)
    given = (scores, y) if not weighted else (scores, y, np.random.default_rng(0).exponential(size=len(y)))
    whole = fc.PlattScaling(n_threads=1).fit(*given)
    cuts = [0, 1, 17, 17, 64, 100, len(y)]
    batches = [tuple(array[i:j] for array in given) for i, j in pairwise(cuts)]
    for other in (fc.PlattScaling(n_threads=3).fit(*given), fc.PlattScaling(n_threads=2).fit_batches(batches)):
        for name in fc.PlattScaling.fitted:
            assert np.array_equal(getattr(whole, name), getattr(other, name)), name
    with pytest.raises(TypeError, match="batches can be gone through once only"):
        fc.PlattScaling().fit_batches(batch for batch in batches)


def test_weights_are_repetitions():
    scores, y = sample(3, 40)
    weights = np.random.default_rng(0).integers(0, 4, 40)
    weighted = fc.PlattScaling().fit(scores, y, weights)
    repeated = fc.PlattScaling().fit(np.repeat(scores, weights), np.repeat(y, weights))
    assert weighted.slope_ == pytest.approx(repeated.slope_, rel=1e-10)
    assert weighted.intercept_ == pytest.approx(repeated.intercept_, rel=1e-10)
    with pytest.raises(fc.DataError, match=r"sample_weight\[0\] is 0, as all the others"):
        fc.PlattScaling().fit(scores, y, np.zeros(40))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 1e90])
def test_one_label_whatever_the_weights(label, scale):
    p = sample(5, 300 if JIT else 100)[0]
    weights = scale * np.random.default_rng(0).random(len(p))
    fitted = fc.PlattScaling().fit(p, np.full(len(p), label), weights)
    n = weights.sum()
    expected = 1 / (n + 2) if label == 0 else (n + 1) / (n + 2)
    np.testing.assert_allclose(fitted.predict_proba(p), expected, rtol=1e-11)
    assert fitted.gradient_norm_ <= fitted.tol


def test_one_score_and_two_columns_agree():
    p, y = sample(4, 50)
    one = fc.PlattScaling().fit(p, y)
    two = fc.PlattScaling().fit(np.stack([1 - p, p], axis=1), y)
    assert (one.slope_, one.intercept_) == (two.slope_, two.intercept_)
    rows = two.predict_proba(np.stack([1 - p, p], axis=1))
    assert (rows[:, 1] == one.predict_proba(p)).all()
    z = np.log(p) - np.log1p(-p)
    moved = np.stack([np.full(50, 2.0), z + 2.0], axis=1)  # of two logits the difference counts
    one, two = (fc.PlattScaling(input="logits").fit(scores, y) for scores in (z, moved))
    assert one.slope_ == pytest.approx(two.slope_, rel=1e-12)
    np.testing.assert_allclose(two.predict_proba(moved)[:, 1], one.predict_proba(z), rtol=1e-12)
    assert (one.slope_ > 0) == (two.slope_ > 0)


@pytest.mark.parametrize("scale", [1e-300, 1e300, 1.7e308])
def test_scores_of_any_size(scale):
    x, y = sample(5, 40)
    x = 2 * x - 1
    plain, scaled = fc.PlattScaling(input="logits").fit(x, y), fc.PlattScaling(input="logits").fit(x * scale, y)
    np.testing.assert_allclose(scaled.predict_proba(x * scale), plain.predict_proba(x), rtol=1e-10)
    huge = fc.PlattScaling(input="logits").fit(np.stack([-x * scale, x * scale], axis=1), y)
    assert np.isfinite(huge.predict_proba(np.stack([-x * scale, x * scale], axis=1))).all()


def test_labels_that_scores_separate_have_a_finite_fit():
    p = np.linspace(0.1, 0.9, 20)
    right, wrong = fc.PlattScaling().fit(p, p > 0.5), fc.PlattScaling().fit(p, p < 0.5)
    assert right.slope_ == pytest.approx(-wrong.slope_, rel=1e-9)
    assert right.slope_ > 0
    np.testing.assert_allclose([right.slope_, right.intercept_], oracle.platt(p, p > 0.5), rtol=1e-6)


@pytest.mark.parametrize("y", [[0, 1, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
def test_constant_scores(y):
    with pytest.warns(fc.FitWarning, match="scores are constant: slope_ is 0"):
        fitted = fc.PlattScaling().fit([0.3] * 5, y)
    n1 = sum(y)
    share = (n1 * (n1 + 1) / (n1 + 2) + (5 - n1) / (7 - n1)) / 5
    assert fitted.slope_ == 0
    np.testing.assert_allclose(fitted.predict_proba([0.0, 0.3, 1.0]), share, rtol=1e-12)


def test_a_class_without_rows_gets_a_small_constant():
    scores, y = sample(6, 40, 1.0, 4)
    y[y == 2] = 1
    fitted = fc.PlattScaling().fit(scores, y)
    np.testing.assert_allclose(oracle.sigmoid(fitted.slope_[2] * scores[:, 2] + fitted.intercept_[2]), 1 / 42)
    only = fc.PlattScaling().fit(scores[:, 0], np.ones(40))
    np.testing.assert_allclose(only.predict_proba(scores[:, 0]), 41 / 42)
    with pytest.warns(fc.FitWarning, match="constant"):
        assert fc.PlattScaling().fit([0.4], [1]).predict_proba([0.4]) == pytest.approx(2 / 3)


def test_zeros_and_ones_and_half_floats():
    p, y = [0.0, 0.0, 0.25, 0.5, 1.0, 1.0], [0, 0, 1, 0, 1, 1]
    fitted = fc.PlattScaling().fit(p, y)
    assert np.isfinite(fitted.slope_)
    half = fc.PlattScaling().fit(np.array(p, np.float16), y)
    assert (half.slope_, half.intercept_) == (fitted.slope_, fitted.intercept_)
    assert half.predict_proba(np.array(p, np.float16)).dtype == np.float32
    for form in (np.array(p, ">f8"), np.repeat(p, 2)[::2], tuple(p)):
        assert fc.PlattScaling().fit(form, y).slope_ == fitted.slope_


@pytest.mark.parametrize(
    ("scores", "y", "options", "message"),
    [
        ([0.1, np.nan], [0, 1], {}, r"scores\[1\] is nan"),
        ([0.1, 1.2], [0, 1], {}, r"scores\[1\] is 1.2; probabilities lie in \[0, 1\]"),
        ([0.1, -np.inf], [0, 1], {"input": "logits"}, r"scores\[1\] is -inf; expected a finite number"),
        ([[0.0, -np.inf]], [0], {"input": "logits"}, r"scores\[0, 1\] is -inf"),
        ([0.1, 0.2], [0, 2], {}, r"y_true\[1\] is 2"),
        ([], [], {}, "scores is empty"),
        ([0.1, 0.2], [0, 1], {"max_iter": 0}, "max_iter is 0"),
        ([0.1, 0.2], [0, 1], {"max_iter": True}, "max_iter is True"),
        ([0.1, 0.2], [0, 1], {"tol": 0.0}, "tol is 0.0"),
        ([0.1, 0.2], [0, 1], {"tol": "1"}, "tol is '1'"),
        ([0.1, 0.2], [0, 1], {"input": "p"}, "input is 'p'"),
    ],
)
def test_what_is_refused(scores, y, options, message):
    model = fc.PlattScaling(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(scores, y)
    assert not hasattr(model, "slope_")


def test_batches_without_rows_and_without_weight():
    with pytest.raises(fc.DataError, match="batches has no rows"):
        fc.PlattScaling().fit_batches([(np.empty(0), np.empty(0))])
    with pytest.raises(fc.DataError, match="sample_weight"):
        fc.PlattScaling().fit_batches([([0.1, 0.2], [0, 1], [0.0, 0.0])])


def test_a_fit_that_is_cut_short_says_so():
    scores, y = sample(7, 60)
    with pytest.warns(fc.FitWarning, match=r"not converged after 1 iterations: the gradient is .*, tol is 1e-10"):
        fitted = fc.PlattScaling(max_iter=1).fit(scores, y)
    assert not fitted.converged_
    assert fitted.gradient_norm_ > 1e-10
    rows, y = sample(7, 60, 1.0, 7)
    with pytest.warns(fc.FitWarning, match=r"in columns 0, 1, 2, 3, 4, \.\.\."):
        fc.PlattScaling(max_iter=1).fit(rows, y)


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [(np.nan, 0.0), (1, 0.0), (np.zeros(2), 0.0), (0.0, np.float32(1)), (np.inf, 0.0)],
)
def test_what_a_file_may_not_hold(slope, intercept):
    fitted = fc.PlattScaling().fit(*sample(8, 20))
    fitted._check_fitted()
    fitted.slope_, fitted.intercept_ = slope, intercept
    with pytest.raises(ValueError, match=r"(slope|intercept)_ is no"):
        fitted._check_fitted()


def test_no_other_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows, y = sample(9, 50, 0.01, 5)  # nearly one-hot
        assert np.isfinite(fc.PlattScaling().fit(rows, y).predict_proba(rows)).all()
