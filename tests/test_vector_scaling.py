"""Vector scaling against scipy, and what any linear map of logits does with awkward rows."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import oracle_linear as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_rows import N, binary, compiled, logits, parameters
from scipy.special import expit, softmax

import fastcal as fc
from fastcal import engine
from fastcal.calibrators import likelihood, rows

Z, Y = logits()
METHODS = [fc.VectorScaling, fc.MatrixScaling, fc.DirichletCalibration]
LINEAR = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)


def same_bits(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in type(a).fitted)


def assert_optimal(fitted, z, y, weights=None):
    """The oracle's objective has no gradient there, and scipy finds nothing lower."""
    given = parameters(fitted)
    value, _ = oracle.minimum(z, y, given.shape, weights)
    assert fitted.nll_ == pytest.approx(oracle.objective(z, y, given, weights), rel=1e-12)
    assert fitted.nll_ <= value + 1e-9
    slopes = oracle.differences(lambda x: oracle.objective(z, y, x.reshape(given.shape), weights), given.ravel())
    assert np.abs(slopes).max() < 1e-7
    assert fitted.converged_
    assert fitted.gradient_norm_ <= 1e-8


@pytest.mark.parametrize("k", [2, 3, 5])
def test_it_reaches_the_minimum(k):
    z, y = logits(k=k)
    fitted = fc.VectorScaling().fit(z, y)
    assert_optimal(fitted, z, y)
    assert fitted.weight_.shape == fitted.bias_.shape == (k,)
    assert abs(fitted.bias_.sum()) < 1e-12
    np.testing.assert_allclose(fitted.predict_proba(z), oracle.probabilities(z, parameters(fitted)), atol=1e-14)
    np.testing.assert_array_equal(fitted.predict(z), fitted.predict_proba(z).argmax(axis=1))


def test_binary_scores_stand_for_rows_with_a_zero():
    z, y = binary()
    alone, rows_of = fc.VectorScaling().fit(z, y), fc.VectorScaling().fit(oracle.as_rows(z), y)
    assert_optimal(alone, oracle.as_rows(z), y)
    np.testing.assert_allclose(parameters(alone), parameters(rows_of), atol=1e-10)
    assert alone.weight_[0] == 0  # of a column of zeros
    p = alone.predict_proba(z)
    np.testing.assert_allclose(p, expit(alone.weight_[1] * z + alone.bias_[1] - alone.bias_[0]), atol=1e-14)
    np.testing.assert_allclose(p, rows_of.predict_proba(oracle.as_rows(z))[:, 1], atol=1e-12)
    np.testing.assert_array_equal(alone.predict(z), p > 0.5)


def test_probabilities_are_taken_by_their_logarithms():
    p = softmax(Z, axis=1)
    fitted = fc.VectorScaling(input="probs").fit(p, Y)
    assert_optimal(fitted, np.log(p), Y)
    one = expit(binary()[0])
    fitted = fc.VectorScaling(input="probs").fit(one, binary()[1])
    assert_optimal(fitted, oracle.as_rows(np.log(one) - np.log1p(-one)), binary()[1])


@compiled
@settings(max_examples=30 if JIT else 2)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_it_is_better_than_temperature_scaling_and_matrix_scaling_is_better_still(seed, k):
    z, y = logits(30, k, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)  # some of these are separable
        vector = fc.VectorScaling(max_iter=25).fit(z, y).nll_
        matrix = fc.MatrixScaling(max_iter=25).fit(z, y).nll_
        dirichlet = fc.DirichletCalibration(max_iter=25).fit(z, y).nll_
    for t in np.geomspace(0.2, 20, 40):
        assert vector <= oracle.objective(z, y, np.stack([np.full(k, 1 / t), np.zeros(k)])) + 1e-8
    assert matrix <= vector + 1e-8
    # of log-softmax: a part of what is linear in z as well as in its log-sum-exp
    assert dirichlet <= oracle.objective(z, y, np.stack([np.ones(k), np.zeros(k)])) + 1e-12


@compiled
@LINEAR
def test_a_weight_is_a_number_of_rows(method):
    weights = np.random.default_rng(2).integers(0, 4, N)
    weights[:3] = 1
    a = method().fit(Z, Y, weights)
    b = method().fit(np.repeat(Z, weights, axis=0), np.repeat(Y, weights))
    np.testing.assert_allclose(parameters(a), parameters(b), atol=1e-8)
    assert a.nll_ == pytest.approx(b.nll_, rel=1e-12)
    assert_optimal(a, oracle.as_rows(Z, method is fc.DirichletCalibration), Y, weights)
    c = method().fit(Z, Y, weights * 1e-90)
    assert c.nll_ == pytest.approx(a.nll_, rel=1e-12)


@compiled
@LINEAR
def test_the_order_of_rows_changes_rounding_only(method):
    order = np.random.default_rng(3).permutation(N)
    a, b = method().fit(Z, Y), method().fit(Z[order], Y[order])
    np.testing.assert_allclose(parameters(a), parameters(b), atol=1e-8)


@LINEAR
@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("part", ["dense", "part", "large"])
def test_batches_and_threads_change_no_bit(method, k, part, monkeypatch):
    z, y = logits(200, k) if k else binary(200)
    monkeypatch.setattr(rows, "BLOCK_SIZE", 64)
    monkeypatch.setattr(engine, "SMALL", 0)
    if part != "dense":
        monkeypatch.setattr(likelihood, "FEWEST", 60)
        monkeypatch.setattr(likelihood, "MOST", 60)
    if part == "large":
        monkeypatch.setattr(likelihood, "MOST_DENSE", 1)
    if not JIT:
        z, y = z[:70], y[:70]
    method = lambda n_threads, of=method: of(n_threads=n_threads, max_iter=60 if JIT else 1)  # noqa: E731
    weights = np.linspace(0.5, 2, len(y))
    cuts = [0, 1, 20, 20, 66, len(y)]
    batches = [(z[i:j], y[i:j], weights[i:j]) for i, j in itertools.pairwise(cuts)]
    with warnings.catch_warnings():
        warnings.simplefilter("error" if JIT else "ignore", fc.FitWarning)
        whole = method(3).fit(z, y, weights)
        assert same_bits(whole, method(1).fit_batches(batches))
        assert same_bits(whole, method(2).fit_batches(lambda: iter(batches)))
    if JIT:
        assert_optimal(whole, oracle.as_rows(z, method(1).normalised), y, weights)


@LINEAR
@pytest.mark.parametrize("k", [0, 2, 3, 9, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_applied_to_any_number_of_rows(method, k, dtype):
    rng = np.random.default_rng(k)
    n, c = 131 if JIT else 70, k or 2
    z = (3 * rng.standard_normal((n, k) if k else n)).astype(dtype)
    fitted = made(method, rng.standard_normal((c, c)) / c if method().full else rng.random(c), rng.random(c), k)
    p = fitted.predict_proba(z)
    expected = oracle.probabilities(oracle.as_rows(z, fitted.normalised), parameters(fitted))
    assert p.dtype == dtype
    assert p.shape == z.shape
    np.testing.assert_allclose(p, expected if k else expected[:, 1], atol=2e-6 if dtype == np.float32 else 1e-13)
    np.testing.assert_array_equal(fitted.predict(z), expected.argmax(axis=1))
    out = z.copy()
    assert fitted.predict_proba(out, out=out) is out
    np.testing.assert_array_equal(out, p)
    assert fitted.predict_proba(z[:0]).shape == z[:0].shape


def made(method, weight, bias, k):
    """A calibrator with these parameters."""
    fitted = method()
    c = k or 2
    fitted.weight_, fitted.bias_, fitted.n_classes_ = np.asarray(weight, float), np.asarray(bias, float), c
    fitted.n_features_in_, fitted.n_rows_, fitted.classes_ = k or 1, 1, np.arange(c)
    fitted.nll_, fitted.converged_, fitted.n_iter_, fitted.gradient_norm_ = 0.0, True, 1, 0.0
    fitted._check_fitted()
    return fitted


@LINEAR
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_scores_have_legal_probabilities(method, dtype):
    huge = np.finfo(dtype).max
    z = np.array([[huge, 0, -huge], [-huge, huge, huge], [1, 2, 3], [huge, huge, huge]], dtype)
    fitted = made(method, 2 * np.eye(3) if method().full else np.full(3, 2.0), [0.5, 0, 0], 3)
    p = fitted.predict_proba(z)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(p[0], [1, 0, 0])
    np.testing.assert_allclose(p[1, 0], 0)
    np.testing.assert_allclose(p[2], oracle.probabilities(z[2:3], parameters(fitted))[0], rtol=1e-5)
    large = made(method, 1e20 * (np.eye(3) if method().full else np.ones(3)), [0, 0, 0], 3)
    np.testing.assert_allclose(large.predict_proba(z[2:3]), [[0, 0, 1]])


@compiled
@LINEAR
def test_scores_of_every_kind(method):
    import ml_dtypes

    z = np.round(Z * 4) / 4  # exact as half floats
    expected = method().fit(z, Y)
    strided = np.repeat(z, 2, axis=0)[::2]
    frozen = z.copy()
    frozen.flags.writeable = False
    for other in (z.astype(np.float16), z.astype(ml_dtypes.bfloat16), z.astype(np.float32), strided, frozen):
        assert same_bits(expected, method().fit(other, Y))
    assert same_bits(expected, method().fit(z.astype(">f8"), Y))
    assert same_bits(expected, method().fit(z.tolist(), Y.tolist()))
    whole = np.round(z).astype(np.int64)
    assert same_bits(method().fit(whole, Y), method().fit(whole.astype(float), Y))
    assert same_bits(expected, method().fit(z.reshape(-1, 2, 3), Y.reshape(-1, 2)))
    assert method().fit(z.astype(np.float16), Y).predict_proba(z.astype(np.float16)).dtype == np.float32


def with_labels(z, y, **options):
    return lambda method: method(**options).fit(z, y)


@compiled
@LINEAR
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e101])
def test_scores_that_are_refused(method, bad):
    z = Z.copy()
    z[7, 2] = bad
    fitted = method(max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        before = vars(fitted.fit(Z, Y)).copy()
    message = r"scores\[7, 2\] is 1e\+101; .* up to 1e\+100" if bad == 1e101 else rf"scores\[7, 2\] is {bad}"
    with pytest.raises(fc.DataError, match=message):
        fitted.fit(z, Y)
    assert vars(fitted) == before or all(vars(fitted)[name] is value for name, value in before.items())
    with pytest.raises(fc.DataError, match=r"scores\[1\]|scores\[1, 0\]"):
        method().fit(np.array([1.0, bad]), [0, 1])


@compiled
@LINEAR
def test_other_arguments_that_are_refused(method):
    with pytest.raises(fc.DataError, match="sample_weight has no weight above 0"):
        method().fit(Z, Y, np.zeros(N))
    with pytest.raises(fc.DataError, match=r"probs?|clip"):
        method(input="probs").fit(np.eye(3), [0, 1, 2])
    for name, value in [("max_iter", -1), ("max_iter", 1.5), ("tol", -1), ("tol", np.nan), ("clip", 0), ("clip", 0.7)]:
        with pytest.raises(ValueError, match=f"{name} is {value!r}"):
            method(**{name: value}).fit(Z, Y)
    for attribute, value in [("weight_", np.zeros(7)), ("bias_", np.full(3, np.nan))]:
        fitted = made(method, np.eye(3) if method().full else np.ones(3), np.zeros(3), 3)
        setattr(fitted, attribute, value)
        with pytest.raises(ValueError, match=attribute):
            fitted._check_fitted()


@compiled
@LINEAR
def test_probabilities_of_zero_and_one_are_taken_where_clipped(method):
    p = softmax(Z, axis=1)
    p[4] = [0, 0, 1]
    fitted = method(input="probs", clip=1e-6).fit(p, Y)
    z = np.log(np.clip(p, 1e-6, 1))
    assert_optimal(fitted, oracle.as_rows(z, method is fc.DirichletCalibration), Y)
    assert np.isfinite(fitted.predict_proba(p)).all()


def warned(*messages):
    """Exactly these warnings."""
    return Warned(messages)


class Warned(warnings.catch_warnings):
    def __init__(self, messages):
        super().__init__(record=True)
        self.messages = messages

    def __enter__(self):
        self.seen = super().__enter__()
        warnings.simplefilter("always")
        return self.seen

    def __exit__(self, *error):
        super().__exit__(*error)
        if error[0] is None:
            assert [one.category for one in self.seen] == [fc.FitWarning] * len(self.messages)
            for one, message in zip(self.seen, self.messages, strict=True):
                assert re.search(message, str(one.message)), one.message


def ends_well(fitted, z):
    """Finite parameters, legal probabilities."""
    assert np.isfinite(parameters(fitted)).all()
    p = fitted.predict_proba(z)
    assert ((p >= 0) & (p <= 1)).all()
    return p


@compiled
@LINEAR
def test_separable_labels(method):
    z = Z + 9 * np.eye(3)[Y]
    with warned("labels are separable: .* mean NLL of"):
        fitted = method().fit(z, Y)
    ends_well(fitted, z)
    assert fitted.nll_ < 1e-6
    assert fitted.converged_
    np.testing.assert_array_equal(fitted.predict(z), Y)


@compiled
@LINEAR
def test_labels_that_are_all_wrong(method):
    z, _ = binary()
    with warned("separable"):  # a negative weight puts all right
        fitted = method().fit(z, (z < 0).astype(int))
    assert ends_well(fitted, z).shape == z.shape
    np.testing.assert_array_equal(fitted.predict(z), z < 0)


@compiled
@LINEAR
def test_constant_scores(method):
    z = np.full((N, 3), 2.5)
    with warned("all rows of scores are the same"):
        fitted = method().fit(z, Y)
    shares = np.bincount(Y) / N
    np.testing.assert_allclose(ends_well(fitted, z)[0], shares, atol=1e-7)
    one = np.zeros(N)
    with warned("all rows of scores are the same"):
        fitted = method().fit(one, Y == 2)
    np.testing.assert_allclose(ends_well(fitted, one)[0], shares[2], atol=1e-7)


@compiled
@LINEAR
def test_one_column_that_is_constant(method):
    z = Z.copy()
    z[:, 1] = 4.0
    fitted = method().fit(z, Y)
    if method is fc.VectorScaling:
        assert fitted.weight_[1] == 0
    if method is fc.MatrixScaling:
        np.testing.assert_array_equal(fitted.weight_[:, 1], 0)
    assert_optimal(fitted, oracle.as_rows(z, method is fc.DirichletCalibration), Y)


@compiled
@LINEAR
def test_a_class_without_rows_keeps_its_column(method):
    y = np.where(Y == 1, 0, Y)
    with warned("no row has the label of column 1:"):
        fitted = method().fit(Z, y)
    p = ends_well(fitted, Z)
    assert p.shape == Z.shape
    assert p[:, 1].mean() < 1e-7
    with warned("no row has the label of column 0, 1:"):
        fitted = method().fit(Z, np.full(N, 2))
    assert ends_well(fitted, Z)[:, 2].min() > 1 - 1e-6


@LINEAR
def test_one_row(method):
    with warned("no row has the label of column 0, 2:", "all rows of scores are the same"):
        fitted = method().fit(Z[:1], [1])
    assert ends_well(fitted, Z[:1])[0, 1] > 1 - 1e-6


@compiled
@LINEAR
def test_columns_of_any_scale(method):
    scale = np.array([1e60, 1.0, 1e-60])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        fitted = method(max_iter=60).fit(Z * scale, Y)
    ends_well(fitted, Z * scale)
    if method is not fc.DirichletCalibration:
        assert fitted.nll_ <= method().fit(Z, Y).nll_ + 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        fitted = method(max_iter=20).fit(Z * 1e99, Y)
        ends_well(fitted, Z * 1e99)
        ends_well(method(max_iter=20).fit(Z * 1e-300, Y), Z)


@LINEAR
def test_a_fit_that_is_cut_short_says_so(method):
    with warned("not converged after 1 steps"):
        fitted = method(max_iter=1).fit(Z, Y)
    assert not fitted.converged_
    assert fitted.n_iter_ == 1
    assert fitted.nll_ < oracle.objective(Z, Y, np.stack([np.ones(3), np.zeros(3)]))


@compiled
def test_a_part_of_the_rows_without_weight_is_no_part(monkeypatch):
    monkeypatch.setattr(likelihood, "FEWEST", 20)
    monkeypatch.setattr(likelihood, "MOST", 20)
    weights = np.ones(N)
    weights[::3] = 0
    weights[::2] = 0
    fitted = fc.VectorScaling().fit(Z, Y, weights)
    assert_optimal(fitted, Z, Y, weights)
