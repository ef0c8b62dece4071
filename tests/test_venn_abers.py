"""Venn-Abers predictors: every pair against the definition in fractions, laws of the fit, and odd data."""

from __future__ import annotations

from itertools import pairwise

import ml_dtypes
import numpy as np
import oracle_venn_abers as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture

import fastcal as fc

EXAMPLES = 50 if JIT else 10
KNOTS = st.sampled_from([0.0, 5e-324, 0.1, 0.25, 0.3, 0.5, 0.7, 0.99, 1.0])
ROWS = st.lists(
    st.tuples(KNOTS | st.floats(0, 1), st.integers(0, 1), st.sampled_from([0, 1, 2, 5])), min_size=1, max_size=14
)


def everywhere(scores):
    """All scores, what lies next to them, between them and beyond."""
    given = np.unique(scores)
    near = [given, np.nextafter(given, -9), np.nextafter(given, 9), 0.5 * given[1:] + 0.5 * given[:-1], [0.0, 0.5, 1.0]]
    return np.clip(np.concatenate(near), 0, 1)


def merged(p0, p1):
    return p1 / (1 - p0 + p1)


@settings(max_examples=EXAMPLES)
@given(ROWS)
def test_pairs_are_those_of_the_definition_exactly(rows):
    scores, y, weights = (np.array(column) for column in zip(*rows, strict=True))
    at = everywhere(scores)
    fitted = fc.VennAbers().fit(scores, y)
    p0, p1 = fitted.predict_interval(at)
    assert (p0.tolist(), p1.tolist()) == oracle.interval(scores, y, at)
    np.testing.assert_array_equal(fitted.predict_proba(at), merged(p0, p1))
    fitted._check_fitted()
    if weights.any():
        weighted = fc.VennAbers().fit(scores, y, weights)
        p0, p1 = weighted.predict_interval(at)
        assert (p0.tolist(), p1.tolist()) == oracle.interval(scores, y, at, weights.tolist())
        repeated = fc.VennAbers().fit(np.repeat(scores, weights), np.repeat(y, weights))
        for name in fc.VennAbers.fitted:
            assert np.array_equal(getattr(weighted, name), getattr(repeated, name)), name


@settings(max_examples=EXAMPLES)
@given(ROWS, st.integers(0, 2**32 - 1))
def test_real_weights(rows, seed):
    scores, y, _ = (np.array(column) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=len(y)) * 10.0 ** rng.choice([0, -3, 5])
    at = everywhere(scores)
    fitted = fc.VennAbers().fit(scores, y, weights)
    p0, p1 = fitted.predict_interval(at)
    low, high = oracle.interval(scores, y, at, weights.tolist())
    np.testing.assert_allclose(p0, low, rtol=1e-12)
    np.testing.assert_allclose(p1, high, rtol=1e-12)
    assert ((p0 >= 0) & (p0 <= p1) & (p1 <= 1)).all()
    fitted._check_fitted()


@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_weights_far_from_one(scale):
    scores, y = np.arange(8) / 8, np.array([0, 1, 0, 0, 1, 0, 1, 1])
    fitted = fc.VennAbers(folds=2).fit(scores, y, np.where(np.arange(8) % 3 == 0, scale, 1.0))
    p0, p1 = fitted.predict_interval(everywhere(scores))
    p = fitted.predict_proba(everywhere(scores))
    assert ((p0 >= 0) & (p0 <= p1) & (p1 <= 1) & (p >= 0) & (p <= 1)).all()
    fitted._check_fitted()


@pytest.mark.parametrize("weights", [[1.0, 1e100], [1e100, 1.0], [1e100, 1e100]])
def test_folds_that_contradict_each_other(weights):
    fitted = fc.VennAbers(folds=2).fit([0.2, 0.2], [0, 1], weights)
    p0, p1 = fitted.predict_interval([0.1, 0.2, 0.3])
    p = fitted.predict_proba([0.1, 0.2, 0.3])
    assert p0.tolist() == [0.0] * 3  # of fold 0
    assert p1.tolist() == [1.0] * 3  # of fold 1
    assert ((p >= p0) & (p <= p1)).all()


@pytest.mark.usefixtures("cut_up")
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16] if JIT else [np.float32])
def test_order_and_cuts_of_rows_change_no_bit(dtype):
    rng = np.random.default_rng(0)
    n = 400 if JIT else 60
    scores = rng.random(n).astype(dtype)
    y = (rng.random(n) < scores).astype(np.int64)
    whole = fc.VennAbers().fit(scores, y)
    order = rng.permutation(n)
    cuts = [0, 1, 17, 17, 40, n]
    others = [
        fc.VennAbers(n_threads=1).fit(scores[order], y[order]),
        fc.VennAbers().fit_batches((scores[i:j], y[i:j]) for i, j in pairwise(cuts)),
    ]
    for other in others:
        for name in fc.VennAbers.fitted:
            assert np.array_equal(getattr(whole, name), getattr(other, name)), name
    at = everywhere(scores.astype(float)[:10]).astype(dtype)
    p0, p1 = whole.predict_interval(at)
    low, high = oracle.interval(scores, y, at)
    assert (p0.tolist(), p1.tolist()) == (low, high)
    p = whole.predict_proba(at)
    assert ((p0 - 1e-7 <= p) & (p <= p1 + 1e-7)).all()


@pytest.mark.parametrize("folds", [2, 3])
def test_folds_are_predictors_of_their_own(folds):
    rng = np.random.default_rng(1)
    scores = rng.random(40)
    y = (rng.random(40) < scores).astype(np.int64)
    w = rng.integers(0, 3, 40)
    at = everywhere(scores[:12])
    fitted = fc.VennAbers(folds=folds).fit(scores, y, w)
    pairs = [oracle.interval(scores[i::folds], y[i::folds], at, w[i::folds].tolist()) for i in range(folds)]
    p0, p1 = np.array([low for low, _ in pairs]), np.array([high for _, high in pairs])
    above, below = p1.prod(axis=0) ** (1 / folds), (1 - p0).prod(axis=0) ** (1 / folds)
    np.testing.assert_allclose(fitted.predict_proba(at), above / (above + below), rtol=1e-12)
    low, high = fitted.predict_interval(at)
    zeros, ones = (p0.prod(axis=0)) ** (1 / folds), ((1 - p1).prod(axis=0)) ** (1 / folds)
    np.testing.assert_allclose(low, zeros / (zeros + below), rtol=1e-12)
    np.testing.assert_allclose(high, above / (above + ones), rtol=1e-12)
    assert (low <= fitted.predict_proba(at) + 1e-14).all()
    assert (fitted.predict_proba(at) <= high + 1e-14).all()
    fitted._check_fitted()


@pytest.mark.parametrize("folds", [None, 2])
def test_every_class_against_the_rest(folds):
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(3), 40)
    y = (p.cumsum(axis=1) < rng.random((40, 1))).sum(axis=1)
    fitted = fc.VennAbers(folds=folds, n_threads=2).fit(p, y)
    fitted._check_fitted()
    p0, p1 = fitted.predict_interval(p)
    each = np.empty(p.shape)
    for k in range(3):
        alone = fc.VennAbers(folds=folds).fit(p[:, k], y == k)
        low, high = alone.predict_interval(p[:, k])
        assert (p0[:, k] == low).all()
        assert (p1[:, k] == high).all()
        each[:, k] = alone.predict_proba(p[:, k])
    np.testing.assert_allclose(fitted.predict_proba(p), each / each.sum(axis=1, keepdims=True), rtol=1e-12)
    missing = fc.VennAbers().fit(p, np.minimum(y, 1))
    assert (missing.predict_interval(p)[0][:, 2] == 0).all()


def test_one_score_and_two_columns_agree():
    rng = np.random.default_rng(3)
    z, y = rng.standard_normal(30) * 400, rng.integers(0, 2, 30)
    one = fc.VennAbers(input="logits").fit(z, y)
    two = fc.VennAbers(input="logits").fit(np.stack([np.full(30, 0.0), z], axis=1), y)
    for name in fc.VennAbers.fitted:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    p0, p1 = one.predict_interval(z)
    low, high = two.predict_interval(np.stack([np.full(30, 0.0), z], axis=1))
    assert np.array_equal(low, np.stack([1 - p1, p0], axis=1))
    assert np.array_equal(high, np.stack([1 - p0, p1], axis=1))
    rows = two.predict_proba(np.stack([np.full(30, 0.0), z], axis=1))
    assert (rows[:, 1] == one.predict_proba(z)).all()


def test_logits_that_are_infinite_or_huge():
    rows = [[0.0, -np.inf], [-np.inf, 0.0], [1e308, -1e308], [0.0, 1.0]]
    fitted = fc.VennAbers(input="logits").fit(rows, [0, 1, 0, 1])
    assert fitted.predict(rows).tolist() == [0, 1, 0, 1]
    assert np.isfinite(fitted.knots_).all()
    three = [[0.0, -np.inf, 1.0], [3.0, 2.0, -np.inf], [-np.inf, 2.0, 1.0], [1.0, 1.5, 0.0]]
    fitted = fc.VennAbers(input="logits").fit(three, [2, 0, 1, 1])
    assert np.isfinite(fitted.predict_proba(three)).all()
    assert np.isfinite(fitted.knots_).all()
    for dtype in (np.float16, np.float32, np.float64):  # (N,) as rows (0, z)
        z = np.array([-np.inf, 1.0, 0.0, -np.inf, np.finfo(dtype).min], dtype)
        one = fc.VennAbers(input="logits").fit(z, [0, 1, 0, 1, 1])
        two = fc.VennAbers(input="logits").fit(np.stack([0 * z.clip(0), z], axis=1), [0, 1, 0, 1, 1])
        one._check_fitted()
        for name in fc.VennAbers.fitted:
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        for at in (z[:1], z[1:], z, [-np.inf, 5.0]):
            np.testing.assert_array_equal(
                one.predict_interval(at)[0], two.predict_interval(np.stack([np.zeros(len(at)), at], axis=1))[0][:, 1]
            )
    extreme = fc.VennAbers(input="logits").fit([-1e300, 0.0, -0.0, 1e300], [0, 0, 1, 1])
    assert extreme.predict_interval([-2e300, 2e300, 0.0])[1].tolist() == [1 / 2, 1.0, 2 / 3]


@pytest.mark.parametrize(
    ("scores", "y", "low", "high"),
    [
        ([0.4], [1], [0, 1 / 2, 1 / 2], [1, 1, 1]),
        ([0.4], [0], [0, 0, 0], [1 / 2, 1 / 2, 1]),
        ([0.4] * 3, [0, 1, 1], [0, 1 / 2, 1 / 2], [3 / 4, 3 / 4, 1]),
        ([0.2, 0.6], [0, 1], [0, 0, 1 / 2], [1 / 2, 1, 1]),
        ([0.2, 0.6], [1, 0], [0, 1 / 3, 1 / 3], [2 / 3, 2 / 3, 1]),
        ([0.0, 1.0], [0, 0], [0, 0, 0], [1 / 3, 1 / 2, 1 / 2]),
        ([0.0, 1.0], [1, 1], [1 / 2, 1 / 2, 2 / 3], [1, 1, 1]),
    ],
)
def test_small_cases(scores, y, low, high):
    """At 0, 0.4 and 1: constant scores, one label, separable and all wrong."""
    fitted = fc.VennAbers().fit(scores, y)
    p0, p1 = fitted.predict_interval([0.0, 0.4, 1.0])
    assert p0.tolist() == low
    assert p1.tolist() == high
    assert fitted.predict_interval(np.empty(0))[0].shape == (0,)


def test_forms_of_scores():
    p, y = [0.0, 0.25, 0.25, 1.0], [0, 1, 0, 1]
    expected = fc.VennAbers().fit(p, y).predict_proba(p)
    for form in (np.array(p, ">f8"), np.repeat(p, 2)[::2], tuple(p), np.array(p, np.float16)):
        np.testing.assert_allclose(fc.VennAbers().fit(form, y).predict_proba(form), expected, rtol=1e-6)
    bfloat = np.array(p, ml_dtypes.bfloat16)
    np.testing.assert_allclose(fc.VennAbers().fit(bfloat, y).predict_proba(bfloat), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("scores", "weights", "options", "message"),
    [
        ([0.1, np.nan], None, {}, r"scores\[1\] is nan"),
        ([0.1, 1.2], None, {}, r"scores\[1\] is 1.2; probabilities lie in \[0, 1\]"),
        ([0.1, 0.2], [0, 0], {}, r"sample_weight\[0\] is 0, as all the others;"),
        ([0.1, 0.2], [1, 0], {"folds": 2}, r"sample_weight\[1\] is 0, as all the others of fold 1;"),
        ([0.1, 0.2], None, {"folds": 3}, "scores has 2 rows, fewer than folds, 3"),
        ([0.1, 0.2], None, {"folds": 0}, "folds is 0"),
        ([0.1, 0.2], None, {"folds": True}, "folds is True"),
        ([0.1, 0.2], None, {"folds": 2.0}, "folds is 2.0"),
    ],
)
def test_what_is_refused(scores, weights, options, message):
    model = fc.VennAbers(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(scores, [0, 1], weights)
    assert not hasattr(model, "knots_")
    with pytest.raises(ValueError, match="not fitted yet"):
        model.predict_interval([0.1])


def test_batches_without_rows():
    with pytest.raises(fc.DataError, match="batches has no rows"):
        fc.VennAbers().fit_batches([(np.empty(0), np.empty(0))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts_": np.array([0, 9])}, "knots_ is no array of 9"),
        ({"starts_": np.array([1, 3])}, "starts_ is no rising list"),
        ({"starts_": np.array([0])}, "starts_ is no rising list"),
        ({"knots_": np.array([0.2, np.nan, 0.6])}, "knots_ is no array"),
        ({"knots_": np.array([0.2, 0.2, 0.6])}, "knots_ do not rise"),
        ({"p0_": np.array([0.0, 0.5, 0.4, 0.5])}, "no rising probabilities"),
        ({"p0_": np.array([0.0, 0.1, 0.95, 0.95])}, "no rising probabilities"),
        ({"p1_": np.array([0.0, 0.5, 0.7, 1.0])}, "no rising probabilities"),
        ({"p1_": np.array([0.6, 0.7, 0.8, 1.5])}, "no rising probabilities"),
    ],
)
def test_what_a_file_may_not_hold(change, message):
    fitted = fc.VennAbers().fit([0.2, 0.4, 0.6, 0.6], [0, 1, 0, 1])
    fitted.knots_, fitted.starts_ = np.array([0.2, 0.4, 0.6]), np.array([0, 3])
    fitted.p0_, fitted.p1_ = np.array([0.0, 0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7, 1.0])
    fitted._check_fitted()
    vars(fitted).update(change)
    with pytest.raises(ValueError, match=message):
        fitted._check_fitted()


@np.errstate(all="ignore")  # the package changes what NumPy says of errors, for all
def test_it_is_the_package_venn_abers():
    theirs = pytest.importorskip("venn_abers")
    rng = np.random.default_rng(4)
    scores, at = rng.random(300).round(2), rng.random(200).round(2)
    y = (rng.random(300) < scores**2).astype(np.int64)
    model = theirs.VennAbers()
    model.fit(np.stack([1 - scores, scores], axis=1), y)
    merged, pairs = model.predict_proba(np.stack([1 - at, at], axis=1))
    fitted = fc.VennAbers().fit(scores, y)
    np.testing.assert_allclose(fitted.predict_proba(at), merged[:, 1], rtol=1e-12)
    np.testing.assert_allclose(np.stack(fitted.predict_interval(at), axis=1), pairs, rtol=1e-12)
