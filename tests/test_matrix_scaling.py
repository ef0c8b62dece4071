"""Matrix scaling and Dirichlet calibration against scipy and scikit-learn, with penalties; curvature by differences."""

from __future__ import annotations

import warnings

import numpy as np
import oracle_linear as oracle
import pytest
from conftest import JIT
from linear_rows import N, binary, compiled, logits, parameters
from scipy.special import expit, softmax

import fastcal as fc
from fastcal.calibrators import curvature, likelihood
from fastcal.calibrators.forms import Form
from fastcal.calibrators.rows import ArrayRows, table

Z, Y = logits()
BOTH = pytest.mark.parametrize("method", [fc.MatrixScaling, fc.DirichletCalibration], ids=lambda one: one.__name__)


def assert_optimal(fitted, z, y, weights=None, **penalties):
    given = parameters(fitted)
    value, _ = oracle.minimum(z, y, given.shape, weights, **penalties)
    assert oracle.objective(z, y, given, weights, **penalties) <= value + 1e-9
    slopes = oracle.differences(
        lambda x: oracle.objective(z, y, x.reshape(given.shape), weights, **penalties), given.ravel()
    )
    assert np.abs(slopes).max() < 1e-7
    assert fitted.converged_
    assert fitted.nll_ == pytest.approx(oracle.objective(z, y, given, weights), rel=1e-12)


@BOTH
@pytest.mark.parametrize("k", [2, 3, 4])
def test_it_reaches_the_minimum(method, k):
    z, y = logits(60 if JIT else 40, k)
    fitted = method().fit(z, y)
    assert_optimal(fitted, oracle.as_rows(z, method is fc.DirichletCalibration), y)
    assert fitted.weight_.shape == (k, k)
    np.testing.assert_allclose(fitted.weight_.sum(axis=0), 0, atol=1e-12)
    assert abs(fitted.bias_.sum()) < 1e-12


@compiled
@BOTH
@pytest.mark.parametrize("penalties", [(0.1, 0.0), (0.0, 0.2), (0.05, 0.5), (1e4, 1e4)])
def test_penalties_move_the_minimum_as_scipy_finds_it(method, penalties):
    off_diagonal, intercept = penalties
    fitted = method(off_diagonal_penalty=off_diagonal, intercept_penalty=intercept).fit(Z, Y)
    z = oracle.as_rows(Z, method is fc.DirichletCalibration)
    assert_optimal(fitted, z, Y, off_diagonal=off_diagonal, intercept=intercept)
    if off_diagonal == 1e4:
        assert np.abs(fitted.weight_[~np.eye(3, dtype=bool)]).max() < 1e-3
        assert np.abs(fitted.bias_).max() < 1e-3
    if off_diagonal == 0:
        np.testing.assert_allclose(fitted.weight_.sum(axis=0), 0, atol=1e-12)
    assert abs(fitted.bias_.sum()) < 1e-8  # with a penalty the least one is centred


def test_penalties_that_are_refused():
    for name in ("off_diagonal_penalty", "intercept_penalty"):
        for value in (-1.0, np.nan, np.inf, "1"):
            with pytest.raises(ValueError, match=f"{name} is {value!r}"):
                fc.MatrixScaling(**{name: value}).fit(Z, Y)


@compiled
def test_it_is_multinomial_logistic_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    theirs = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(Z, Y)
    ours = fc.MatrixScaling().fit(Z, Y)
    np.testing.assert_allclose(ours.predict_proba(Z), theirs.predict_proba(Z), atol=1e-4)
    their_nll = -np.log(theirs.predict_proba(Z)[np.arange(N), Y]).mean()
    assert ours.nll_ <= their_nll + 1e-12
    assert ours.nll_ == pytest.approx(their_nll, abs=1e-8)


@compiled
@BOTH
def test_binary_scores_stand_for_rows(method):
    z, y = binary()
    alone, two = method().fit(z, y), method().fit(oracle.as_rows(z), y)
    np.testing.assert_allclose(parameters(alone), parameters(two), atol=1e-7)
    np.testing.assert_allclose(alone.predict_proba(z), two.predict_proba(oracle.as_rows(z))[:, 1], atol=1e-10)
    assert_optimal(alone, oracle.as_rows(z, method is fc.DirichletCalibration), y)
    if method is fc.MatrixScaling:
        slope, intercept = alone.weight_[1] - alone.weight_[0], alone.bias_[1] - alone.bias_[0]
        np.testing.assert_allclose(alone.predict_proba(z), expit(slope[1] * z + intercept), atol=1e-14)


@compiled
def test_dirichlet_calibration_takes_logits_and_probabilities_alike():
    of_logits, p = fc.DirichletCalibration().fit(Z, Y), softmax(Z, axis=1)
    of_probs = fc.DirichletCalibration(input="probs").fit(p, Y)
    np.testing.assert_allclose(parameters(of_logits), parameters(of_probs), atol=1e-7)
    np.testing.assert_allclose(of_logits.predict_proba(Z), of_probs.predict_proba(p), atol=1e-12)
    shifted = fc.DirichletCalibration().fit(Z + np.arange(N)[:, None], Y)  # a constant a row is no news
    np.testing.assert_allclose(parameters(of_logits), parameters(shifted), atol=1e-7)
    z, y = binary()
    one = fc.DirichletCalibration().fit(z, y), fc.DirichletCalibration(input="probs").fit(expit(z), y)
    np.testing.assert_allclose(one[0].predict_proba(z), one[1].predict_proba(expit(z)), atol=1e-9)
    off = fc.DirichletCalibration(input="probs").fit(p * 1.0005, Y)  # within the tolerance of a sum of 1
    np.testing.assert_allclose(off.predict_proba(p), of_probs.predict_proba(p), atol=1e-9)


def likelihood_of(z, y, *, full, weights=None, penalties=None, dense=True):
    k = z.shape[1]
    shape = (k, k + 1) if full else (2, k)
    costs = np.zeros(shape) if penalties is None else np.full(shape, penalties)
    total = len(y) if weights is None else weights.sum()
    rows = ArrayRows(table(z, y, weights, None), Form("logits", "logits"))
    return likelihood.Likelihood(rows, 1 / total, np.ones(shape), costs, False, 1)


@pytest.mark.parametrize(("full", "k"), [(True, 3), (True, 7), (False, 3)])
def test_the_gradient_and_the_hessian_are_those_of_differences(full, k):
    z, y = logits(70 if JIT or k < 7 else 20, k)
    weights = np.linspace(0, 2, len(y))
    part = likelihood_of(z, y, full=full, weights=weights, penalties=0.3)
    x = np.random.default_rng(5).standard_normal(part.free.size) * 0.3
    _, gradient = part(x)
    slopes = oracle.differences(
        lambda x: oracle.objective(z, y, x.reshape(part.free.shape), weights) + 0.15 * (x * x).sum(),
        x,
    )
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    hessian = curvature.hessian_of(part, x)
    steps = range(part.free.size) if JIT or k < 7 else [0, 20, 55]
    for i in steps:
        step = np.zeros(x.size)
        step[i] = 1e-5
        np.testing.assert_allclose(hessian[i], (part(x + step)[1] - part(x - step)[1]) / 2e-5, atol=1e-8)


def block_diagonal(hessian, k):
    """What is left of a Hessian of (W, b) without the products of two classes."""
    size = hessian.shape[0] // k
    kept = np.kron(np.eye(k), np.ones((size, size)))
    return hessian * kept


@compiled
def test_blocks_of_a_hessian_are_its_own():
    z, y = logits(70)
    part = likelihood_of(z, y, full=True)
    x = np.random.default_rng(5).standard_normal(12) * 0.3
    blocks = curvature.Blocks(part)
    hessian = block_diagonal(curvature.hessian_of(part, x), 3).reshape(3, 4, 3, 4)
    each = hessian[np.arange(3), :, np.arange(3)]
    # those of few rows are drawn towards the mean
    amounts = each[:, 3, 3]
    own = 70 * amounts / (70 * amounts + 4)
    mean = each.sum(axis=0) / amounts.sum()
    each = own[:, None, None] * each + ((1 - own) * amounts)[:, None, None] * mean
    g = np.random.default_rng(6).standard_normal(12)
    expected = np.concatenate([np.linalg.solve(each[k], g.reshape(3, 4)[k]) for k in range(3)])
    np.testing.assert_allclose(blocks(x)(g), expected, rtol=1e-7)


def test_factors_are_exact_where_rows_are_alike_in_what_they_say():
    rng = np.random.default_rng(7)
    z = rng.standard_normal((64, 3))
    part = likelihood_of(z, np.arange(64) % 3, full=True)
    x = np.hstack([np.zeros((3, 3)), rng.standard_normal((3, 1))]).ravel()  # p is the same in every row
    direction = rng.standard_normal((3, 4))
    direction -= direction.mean(axis=0)  # else a softmax sees nothing of it
    gradient = curvature.hessian_of(part, x) @ direction.ravel()
    found = curvature.by_factors(part, x)(gradient).reshape(3, 4)
    np.testing.assert_allclose(found - found.mean(axis=0), direction, atol=1e-8)


def test_a_class_alone_is_exact_where_it_is():
    z, y = logits(64)
    part = likelihood_of(z, y, full=False)
    x = np.random.default_rng(8).standard_normal(6) * 0.3
    hessian = curvature.hessian_of(part, x)
    g = np.random.default_rng(9).standard_normal(6)
    found = curvature.by_class(part, x)(g)
    for k in range(3):
        at = [k, 3 + k]
        np.testing.assert_allclose(found[at], np.linalg.solve(hessian[np.ix_(at, at)], g[at]), rtol=1e-9)
    part.free[0, 1] = 0  # a weight that stays
    found = curvature.by_class(part, x)(g)
    assert found[1] == 0
    assert found[4] == pytest.approx(g[4] / hessian[4, 4], rel=1e-9)


@pytest.mark.parametrize("blocks", [1, 200])
@pytest.mark.parametrize("penalty", [0.0, 0.05])
def test_many_parameters_reach_the_same_minimum(blocks, penalty, monkeypatch):
    options = {"off_diagonal_penalty": penalty, "intercept_penalty": penalty}
    expected = fc.MatrixScaling(**options).fit(Z, Y)
    monkeypatch.setattr(likelihood, "MOST_DENSE", 1)
    monkeypatch.setattr(likelihood, "MOST_BLOCKS", blocks)
    monkeypatch.setattr(curvature, "MOST_BLOCKS", blocks)
    found = fc.MatrixScaling(max_iter=200 if JIT else 40, tol=1e-9 if JIT else 1e-4, **options).fit(Z, Y)
    assert found.converged_
    np.testing.assert_allclose(parameters(found), parameters(expected), atol=1e-6 if JIT else 1e-2)


def test_a_hessian_that_rounding_made_indefinite_is_lifted():
    nearly = np.array([[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]])
    result = curvature.factorised(nearly, np.ones(2))(np.array([1.0, 1.0]))
    np.testing.assert_allclose(result, 0.5, rtol=1e-3)
    stays = curvature.factorised(np.diag([4.0, 0.0, 9.0]), np.array([1.0, 1.0, 0.0]))(np.ones(3))
    np.testing.assert_allclose(stays, [0.25, 0, 0])
    unknown = curvature.factorised(np.full((2, 2), np.nan), np.ones(2))(np.ones(2))  # ends, as a search there does
    assert np.isnan(unknown).all()


@compiled
@BOTH
def test_separable_labels_with_penalties_end_finite(method):
    z = Z + 9 * np.eye(3)[Y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        fitted = method(off_diagonal_penalty=0.1, intercept_penalty=0.1).fit(z, Y)
    assert np.isfinite(parameters(fitted)).all()
    np.testing.assert_array_equal(fitted.predict(z), Y)


@compiled
@pytest.mark.parametrize("first", [3, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("method", [fc.VectorScaling, fc.MatrixScaling])
def test_a_source_of_other_scores_later_on_is_refused(method, bad, first):
    opened = []
    other = Z.copy()
    other[7, 1] = bad

    def batches():
        opened.append(1)
        yield (other if len(opened) >= first else Z), Y

    fitted = method()
    before = vars(fitted).copy()
    with pytest.raises(fc.DataError, match="batches has other scores than the time before"):
        fitted.fit_batches(batches)
    assert vars(fitted) == before


@compiled
@pytest.mark.parametrize("method", [fc.VectorScaling, fc.MatrixScaling])
def test_a_row_without_weight_makes_no_column_vary(method):
    z = Z.copy()
    z[:, 1] = 4.0
    z[20, 1] = -3.0
    fitted = method().fit(z, Y, np.arange(N) != 20)
    expected = method().fit(np.delete(z, 20, axis=0), np.delete(Y, 20))
    assert not fitted.weight_[..., 1].any()
    np.testing.assert_allclose(parameters(fitted), parameters(expected), atol=1e-9)
