"""Isotonic regression: the definition, optimality, invariance; scikit-learn's rules; prediction; bad input."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import oracle_ordered
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture

import fastcal as fc
from fastcal.ordered.interpolation import Interpolation

pytestmark = pytest.mark.usefixtures("cut_up")


@st.composite
def weighted_rows(draw, max_rows=40, real_weights=True):
    """Scores, targets, and weights or none."""
    n = draw(st.integers(1, max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(n)
    if draw(st.booleans()):
        x = np.round(x, 1)
    x = x.astype(draw(st.sampled_from([np.float32, np.float64])))
    kinds = {
        "labels": lambda: (rng.random(n) < 1 / (1 + np.exp(-2 * x))).astype(np.int64),
        "integers": lambda: rng.integers(-9, 9, n),
        "real": lambda: x + rng.standard_normal(n),
        "falling": lambda: -x + rng.standard_normal(n),
        "huge and small": lambda: rng.choice([1e16, 1.0, -1e16, 3.0], n),
    }
    y = kinds[draw(st.sampled_from(sorted(kinds)))]()
    weights = draw(st.sampled_from(["none", "integers", "real"] if real_weights else ["none", "integers"]))
    w = {"none": None, "integers": rng.integers(1, 5, n), "real": rng.random(n) + 0.1}[weights]
    return x, y, w


def tolerance(y):
    return 1e-12 * max(1.0, float(abs(np.asarray(y, float)).max()))


@given(weighted_rows(), st.booleans())
def test_sequence_equals_the_definition(rows, increasing):
    _, y, w = rows
    sign = 1 if increasing else -1
    found = fc.isotonic_regression(y, weights=w, increasing=increasing)
    expected = sign * oracle_ordered.isotonic(sign * y.astype(float), w)
    np.testing.assert_allclose(found.x, expected, rtol=1e-12, atol=tolerance(y))
    assert (np.diff(found.x) * sign >= 0).all()
    np.testing.assert_allclose(found.weights.sum(), len(y) if w is None else w.sum())
    for start, stop, weight in zip(found.blocks[:-1], found.blocks[1:], found.weights, strict=True):
        assert len(set(found.x[start:stop])) == 1
        np.testing.assert_allclose(weight, stop - start if w is None else w[start:stop].sum())
    assert (np.diff(found.x[found.blocks[:-1]]) != 0).all()


@given(weighted_rows(real_weights=False), st.integers(1, 4))
def test_any_number_of_threads_gives_the_same_fit_of_integers(rows, n_threads):
    _, y, w = rows
    y = np.round(y).astype(np.int64) % 100
    one = fc.isotonic_regression(y, weights=w, n_threads=1)
    many = fc.isotonic_regression(y, weights=w, n_threads=n_threads)
    for name in ("x", "weights", "blocks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


@given(weighted_rows(max_rows=12))
def test_no_digit_is_lost(rows):
    _, y, w = rows
    exact = oracle_ordered.isotonic_fractions(y, np.ones(len(y)) if w is None else w)
    found = fc.isotonic_regression(y, weights=w).x
    for ours, expected in zip(found, exact, strict=True):
        assert abs(Fraction(float(ours)) - expected) <= abs(expected) * Fraction(1, 10**13) + Fraction(1, 10**13)


@pytest.mark.parametrize("n", [1, 2, 30, 61])
def test_what_rises_is_left_alone(n):
    y = np.arange(n) - 7.5
    for increasing in (True, False):
        found = fc.isotonic_regression(y if increasing else -y, increasing=increasing)
        np.testing.assert_array_equal(found.x, y if increasing else -y)
        np.testing.assert_array_equal(found.blocks, np.arange(n + 1))
        np.testing.assert_array_equal(found.weights, np.ones(n))
    assert not np.signbit(fc.isotonic_regression([0.0, 0.0], increasing=False).x).any()


def test_sums_survive_cancellation():
    y, third = [1e16, 1.0, -1e16], [1 / 3] * 3
    assert fc.isotonic_regression(y).x.tolist() == third
    assert fc.isotonic_regression(y, weights=[2, 2, 2]).x.tolist() == third
    assert fc.IsotonicRegression().fit([1, 2, 3], y).predict([1, 2, 3]).tolist() == third
    assert fc.IsotonicRegression().fit([1, 1, 1], y).predict([1, 1, 1]).tolist() == third


@given(weighted_rows(), st.booleans())
def test_fit_is_optimal(rows, increasing):
    """Karush, Kuhn, Tucker: within a block no head weighs below the mean, heads of all blocks balance, blocks rise."""
    x, y, w = rows
    sign = 1 if increasing else -1
    fitted = fc.IsotonicRegression(increasing=increasing).fit(x, y, w).predict(x)
    weights = np.ones(len(x)) if w is None else w
    distinct, at = np.unique(x, return_inverse=True)
    slack = sign * np.bincount(at, weights * (np.asarray(y, float) - fitted), len(distinct))
    level = sign * np.array([fitted[at == i][0] for i in range(len(distinct))])
    eps = tolerance(y) * weights.sum() + (
        1e-6 * max(1, abs(np.asarray(y, float)).max()) * weights.sum() if x.dtype == np.float32 else 0
    )
    multipliers = np.cumsum(slack)
    assert (np.diff(level) >= 0).all()  # primal
    assert (multipliers >= -eps).all()  # dual
    assert abs(multipliers[-1]) <= eps
    assert (abs(multipliers[:-1][np.diff(level) > 0]) <= eps).all()  # complementary slackness


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 700 if JIT else 150),
    st.sampled_from(["flat", "steep", "falling", "in runs"]),
)
def test_many_labels_equal_the_definition(seed, n, shape):
    """Enough for batches of groups to be pooled unseen."""
    rng = np.random.default_rng(seed)
    x = rng.permutation(n) / n
    rate = {"flat": 0.5 + 0 * x, "steep": x, "falling": 1 - x, "in runs": np.floor(x * 5) % 2}[shape]
    y = (rng.random(n) < rate).astype(int)
    distinct, expected, _ = oracle_ordered.isotonic_of_scores(x, y)
    np.testing.assert_allclose(fc.IsotonicRegression().fit(x, y).predict(distinct), expected, rtol=1e-14, atol=1e-15)


@given(weighted_rows(), st.integers(0, 99))
def test_rows_in_any_order_and_split_by_weight_give_the_same_fit(rows, seed):
    x, y, w = rows
    order = np.random.default_rng(seed).permutation(len(x))
    one = fc.IsotonicRegression().fit(x, y, w)
    other = fc.IsotonicRegression().fit(x[order], y[order], None if w is None else w[order])
    exact = w is None or w.dtype.kind == "i"
    np.testing.assert_allclose(
        one.predict(x), other.predict(x), rtol=0 if exact else 1e-12, atol=0 if exact else 1e-12 * max(1, abs(y).max())
    )
    w = np.ones(len(x)) if w is None else w
    twice = fc.IsotonicRegression().fit(np.append(x, x), np.append(y, y), np.append(w / 4, 3 * w / 4))
    np.testing.assert_allclose(twice.predict(x), one.predict(x), rtol=1e-6, atol=1e-6 * max(1, abs(y).max()))


@given(weighted_rows(), st.booleans(), st.sampled_from([(None, None), (0.0, None), (None, 0.5), (-0.5, 0.5)]))
def test_fit_equals_scikit_learns(rows, increasing, bounds):
    from sklearn.isotonic import IsotonicRegression

    x, y, w = rows
    y = np.clip(y, -1e3, 1e3)  # it sums plainly
    options = {"increasing": increasing, "y_min": bounds[0], "y_max": bounds[1], "out_of_bounds": "clip"}
    theirs = IsotonicRegression(**options).fit(x.astype(float), y.astype(float), w)
    ours = fc.IsotonicRegression(**options).fit(x.astype(float), y, w)
    grid = np.concatenate([x.astype(float), np.linspace(-4, 4, 33)])
    np.testing.assert_allclose(ours.predict(grid), theirs.predict(grid), rtol=1e-9, atol=1e-9)
    assert (ours.X_min_, ours.X_max_) == (theirs.X_min_, theirs.X_max_)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ties", ["exact", "sklearn"])
def test_ties(dtype, ties):
    """Runs of scores that are close to their first; of float32 only on demand."""
    from sklearn.isotonic import IsotonicRegression

    eps = 1e-15 if dtype == "float64" else 1e-6
    rng = np.random.default_rng(0)
    steps = rng.choice([0.2, 0.4, 0.7, 1.5, 40], 300) * eps
    x = np.cumsum(steps).astype(dtype)
    y = rng.integers(0, 2, 300).astype(float)
    order = rng.permutation(300)
    fitted = fc.IsotonicRegression(ties=ties).fit(x[order], y[order])
    if ties == "sklearn" or dtype == "float64":
        theirs = IsotonicRegression().fit(x, y)
        np.testing.assert_array_equal(fitted.X_thresholds_, theirs.X_thresholds_)
        np.testing.assert_allclose(fitted.y_thresholds_, theirs.y_thresholds_, rtol=1e-6)
    else:
        distinct, expected, _ = oracle_ordered.isotonic_of_scores(x, y)
        np.testing.assert_allclose(fitted.predict(distinct.astype(dtype)), expected, rtol=1e-6, atol=1e-7)


def test_ties_that_chain_through_every_piece():
    """One run after the other without a gap: nothing is known before the end of all pieces."""
    from sklearn.isotonic import IsotonicRegression

    x = np.arange(200) * 4e-16
    y = np.random.default_rng(1).integers(0, 2, 200).astype(float)
    ours, theirs = fc.IsotonicRegression().fit(x, y), IsotonicRegression().fit(x, y)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-12)
    np.testing.assert_array_equal(ours.X_thresholds_, theirs.X_thresholds_)


@given(weighted_rows(), st.integers(0, 99))
def test_prediction_is_the_line_between_knots(rows, seed):
    x, y, w = rows
    model = fc.IsotonicRegression(out_of_bounds="clip").fit(x.astype(float), y, w)
    grid = np.append(np.random.default_rng(seed).uniform(-4, 4, 50), [x.min(), x.max(), 0.0, -0.0, 1e300, -1e300])
    expected = np.interp(grid, model.X_thresholds_, model.y_thresholds_)
    np.testing.assert_allclose(model.predict(grid), expected, rtol=1e-12, atol=1e-12 * max(1, abs(y).max()))
    ordered = model.predict(np.sort(grid))
    assert (np.diff(ordered) >= 0).all()
    out = np.empty_like(grid)
    assert model.predict(grid, out=out) is out
    np.testing.assert_array_equal(out, model.predict(grid))
    np.testing.assert_array_equal(model.predict(grid[:, None]), out)
    strided = np.empty((len(grid), 2))[:, 0]
    np.testing.assert_array_equal(model.predict(grid, out=strided), out)


def test_prediction_among_many_knots_in_few_cells():
    x = np.append(0.0, 1 - np.linspace(1, 0, 200) * 1e-9)
    x = np.append(x, [1e5, 1e200])
    y = np.arange(len(x)) ** 1.5
    model = fc.IsotonicRegression(out_of_bounds="nan").fit(x, y)
    grid = np.concatenate([x, (x[1:] + x[:-1]) / 2, [-1.0, 1e300]])
    expected = np.interp(grid, x, y, left=np.nan, right=np.nan)
    np.testing.assert_allclose(model.predict(grid), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("knots", "scores", "expected"),
    [
        (([0.0, 5e-324, 1.0], [0.0, 1.0, 2.0]), [0.0, 5e-324, 0.5], [0.0, 1.0, 1.5]),
        (([-1.7e308, 1.7e308], [0.0, 1.0]), [-1.7e308, 0.0, 1.7e308], [0.0, 0.5, 1.0]),
        (([0.0, 1e-320, 2e-320], [1.0, 0.5, 0.0]), [0.0, 5e-321, 2e-320], [1.0, 0.75, 0.0]),
        (([1.0, 2.0], [-1e308, 1e308]), [1.0, 1.5], [-1e308, 0.0]),
    ],
)
def test_knots_too_near_or_too_far_for_a_slope(knots, scores, expected):
    function = Interpolation(*(np.array(values) for values in knots))
    np.testing.assert_allclose(function.at("x", scores, outside="raise"), expected, rtol=1e-2)


def test_one_knot_is_constant_everywhere():
    for out_of_bounds in ("nan", "clip", "raise"):
        model = fc.IsotonicRegression(out_of_bounds=out_of_bounds).fit([1.0, 1.0], [0, 1])
        assert model.predict([-5, 1, 7.0]).tolist() == [0.5] * 3


def test_out_of_bounds():
    x, y = [0.0, 1.0], [0.0, 1.0]
    assert np.isnan(fc.IsotonicRegression().fit(x, y).predict([-1.0, 2.0])).all()
    assert fc.IsotonicRegression(out_of_bounds="clip").fit(x, y).predict([-1.0, 2.0]).tolist() == [0, 1]
    model = fc.IsotonicRegression(out_of_bounds="raise").fit(x, y)
    with pytest.raises(fc.DataError, match=r"T\[1\] is 2.0: .*above"):
        model.predict([0.5, 2.0])
    with pytest.raises(fc.DataError, match=r"T\[0\] is -1.0: .*below"):
        model.predict([-1.0, 2.0])


@pytest.mark.parametrize("dtype", ["float16", ">f4", ">f8", "int32", "bool", "float32"])
def test_scores_of_any_dtype(dtype):
    x = np.array([0, 1, 0, 1, 1]).astype(dtype)
    y = [0, 1, 1, 1, 0]
    model = fc.IsotonicRegression().fit(x, y)
    assert model.X_thresholds_.dtype == (
        np.float32 if np.dtype(dtype).kind == "f" and np.dtype(dtype).itemsize < 8 else float
    )
    np.testing.assert_allclose(model.predict(x), [0.5, 2 / 3, 0.5, 2 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(model.predict(np.array([0.5], "f2")), 7 / 12, rtol=1e-6)


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([0.5, 0.25, 0.75, 0.5]).astype(ml_dtypes.bfloat16)
    y = [0, 0, 1, 1]
    assert fc.IsotonicRegression().fit(x, y).predict(x).tolist() == [0.5, 0, 1, 0.5]
    assert fc.IsotonicRegression().fit(x.astype(float), y).predict(x).tolist() == [0.5, 0, 1, 0.5]
    assert fc.IsotonicRegression().fit(x[:, None], y).predict(x[:, None]).tolist() == [0.5, 0, 1, 0.5]


X, Y, W = [0.1, 0.2, 0.3], [0.0, 1.0, 0.5], [1.0, 2.0, 3.0]


def test_estimator_is_scikit_learns():
    base = pytest.importorskip("sklearn.base")
    model = fc.IsotonicRegression(y_min=0.25, out_of_bounds="clip")
    again = base.clone(model)
    assert again.get_params() == model.get_params()
    assert again is not model
    assert repr(again) == "IsotonicRegression(y_min=0.25, out_of_bounds='clip')"
    assert again.set_params(y_min=None).y_min is None
    with pytest.raises(ValueError, match="'slope' is no parameter"):
        model.set_params(slope=1)
    assert base.is_regressor(model)
    fitted = model.fit(X, Y, W)
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.predict(X), fitted.predict(X))
    assert fitted.get_feature_names_out().tolist() == ["isotonicregression0"]
    assert fc.IsotonicRegression().fit(X, [0, 1, 2]).score(X, [0, 1, 2]) == 1.0
    from sklearn.isotonic import IsotonicRegression

    theirs = IsotonicRegression(y_min=0.25, out_of_bounds="clip").fit(X, Y, W)
    assert fitted.score(X, Y, W) == pytest.approx(theirs.score(X, Y, W), rel=1e-12)
    with pytest.raises(ValueError, match="not fitted"):
        fc.IsotonicRegression().get_feature_names_out()
    np.testing.assert_array_equal(fitted.f_([0.1, 9.0]), [fitted.predict([0.1])[0], np.nan])

    class Named(fc.IsotonicRegression):
        def __init__(self, name="it", y_min=None):
            super().__init__(y_min=y_min)
            self.name = name

    assert base.clone(Named("that", 0.5)).get_params() == {"name": "that", "y_min": 0.5}


def test_compatible_estimator_in_a_pipeline():
    pytest.importorskip("sklearn")
    from sklearn.exceptions import NotFittedError
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from fastcal.compat.sklearn import IsotonicRegression

    pipeline = make_pipeline(FunctionTransformer(), IsotonicRegression(out_of_bounds="clip"))
    assert pipeline.fit(np.array(X)[:, None], Y).predict(np.array([[0.0], [0.9]])).tolist() == [0.0, 0.75]
    with pytest.raises(NotFittedError):
        IsotonicRegression().predict(X)
    assert "ties" in repr(IsotonicRegression(ties="exact"))


def test_increasing_auto():
    assert fc.IsotonicRegression(increasing="auto").fit([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]).increasing_ is False
    with pytest.warns(UserWarning, match="interval"):
        fc.IsotonicRegression(increasing="auto").fit([0, 1, 2, 3, 4, 5], [0, -1, 2, -3, 4, -5])


def test_batches():
    rng = np.random.default_rng(0)
    x = rng.random(4000 if JIT else 200).astype(np.float32)
    y = (rng.random(len(x)) < x).astype(int)
    batches = [(x[i::3], y[i::3]) for i in range(3)]
    whole = fc.IsotonicRegression().fit(x, y)
    for given_as in (batches, iter(batches)):
        model = fc.IsotonicRegression().fit_batches(given_as)
        np.testing.assert_array_equal(model.X_thresholds_, whole.X_thresholds_)
        np.testing.assert_array_equal(model.y_thresholds_, whole.y_thresholds_)
        assert model.resolution_ == 0
    with pytest.raises(ValueError, match="increasing is 'auto'"):
        fc.IsotonicRegression(increasing="auto").fit_batches(batches)
    with pytest.raises(fc.DataError, match="batches has no rows"):
        fc.IsotonicRegression().fit_batches([])
