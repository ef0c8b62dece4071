"""EnsembleTemperatureScaling: sums by definition, conditions of the least NLL, laws, ends of every kind."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import oracle_temperature as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from rows_temperature import SHAPES, sample, sums

import fastcal as fc
from fastcal import engine
from fastcal.calibrators import ensemble_temperature, rows
from fastcal.calibrators.forms import Form


def quiet_fit(scores, labels, weights=None, **settings):
    """A fit, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        return fc.EnsembleTemperatureScaling(**settings).fit(scores, labels, weights)


@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_the_definition(shape, dtype):
    scores, labels = sample(*shape, dtype=dtype)
    shares = np.array([0.3, 0.5, 0.2])
    shares.flags.writeable = False
    weights = np.random.default_rng(1).random(len(labels))
    found = sums(scores, labels, weights, 0.6, "mixture", shares)
    parts = oracle.components(scores, labels, 1 / 0.6)
    p = shares @ parts
    r = parts / p
    products = [(weights * r[j] * r[k]).sum() for j, k in itertools.combinations_with_replacement(range(3), 2)]
    expected = [weights.sum(), -(weights * np.log(p)).sum(), *(weights * r).sum(axis=1), *products, 0]
    np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-12)


@given(
    st.integers(2, 80 if JIT else 20),
    st.sampled_from([0, 2, 3, 5, 10]),
    st.sampled_from([0.3, 1.7, 4.0]),
    st.sampled_from([0.0, 0.1, 0.6]),
    st.integers(0, 1000),
)
def test_no_other_mixture_is_better(n, n_classes, scale, noise, seed):
    scores, labels = sample(n, n_classes, scale, seed, np.float64, noise)
    weights = np.random.default_rng(seed).integers(0, 4, n)
    weights[0] = 1
    fitted = quiet_fit(scores, labels, weights)
    shares = fitted.weights_
    assert fitted.converged_
    assert shares.shape == (3,)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1, abs=1e-14)
    nll, r = oracle.mixture(scores, labels, fitted.temperature_, shares, weights)
    assert fitted.nll_ == pytest.approx(float(nll), abs=1e-12)
    # Karush, Kuhn, Tucker
    assert (r <= 1 + 2e-9).all()
    assert (shares * abs(r - 1) <= 2e-9).all()
    for other in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.25], 0.99 * shares + 0.01 / 3):
        with np.errstate(divide="ignore"):
            assert nll <= oracle.mixture(scores, labels, fitted.temperature_, other, weights)[0] + 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        tempered = fc.TemperatureScaling().fit(scores, labels, weights)
    assert fitted.temperature_ == tempered.temperature_
    assert fitted.nll_ <= tempered.nll_ + 1e-12


@pytest.mark.parametrize("n_classes", [0, 2, 3, 100] if JIT else [0, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_mixed(n_classes, dtype):
    scores, labels = sample(300 if JIT else 70, n_classes, 2.5, dtype=dtype, noise=0.2)
    fitted = quiet_fit(scores, labels)
    fitted.weights_ = np.array([0.5, 0.3, 0.2])
    first, second, uniform = fitted.weights_
    p = fitted.predict_proba(scores)
    assert p.dtype == dtype
    expected = first * oracle.probabilities(scores, fitted.temperature_) + second * oracle.probabilities(scores)
    expected += uniform / max(n_classes, 2)
    np.testing.assert_allclose(
        p, (expected if n_classes else expected[:, 1]).astype(float), rtol=20 * np.finfo(dtype).eps
    )
    predicted = scores.argmax(axis=1) if n_classes else scores > 0
    np.testing.assert_array_equal(fitted.predict(scores), predicted)
    given_ = scores.copy()
    fitted.predict_proba(given_, out=given_)
    np.testing.assert_array_equal(given_, p)


def test_two_columns_are_one_and_logarithms_are_logits():
    z, labels = sample(200 if JIT else 70, 0, 2.5, dtype=np.float64, noise=0.2)
    two = np.stack([np.zeros(len(z)), z], axis=1)
    one, both = quiet_fit(z, labels), quiet_fit(two, labels)
    np.testing.assert_array_equal(one.weights_, both.weights_)
    np.testing.assert_allclose(one.predict_proba(z), both.predict_proba(two)[:, 1], rtol=1e-13)
    probs = quiet_fit(oracle.probabilities(z)[:, 1].astype(float), labels, input="probs")
    np.testing.assert_allclose(probs.weights_, one.weights_, atol=1e-6)


def test_batches_and_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_SIZE", 64)
    monkeypatch.setattr(engine, "SMALL", 0)
    scores, labels = sample(400 if JIT else 70, 3, 2.5, noise=0.2)
    cuts = [0, 1, 17, 18, 60, 64, len(labels) - 1, len(labels)]
    batches = [(scores[i:j], labels[i:j]) for i, j in itertools.pairwise(cuts)]
    one = quiet_fit(scores, labels, n_threads=1)
    for other in (quiet_fit(scores, labels, n_threads=3), fc.EnsembleTemperatureScaling().fit_batches(batches)):
        for name in fc.EnsembleTemperatureScaling.fitted:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def ended(scores, labels, message, weights=None, **settings):
    """A fit that warns."""
    with pytest.warns(fc.FitWarning, match=message):
        fitted = fc.EnsembleTemperatureScaling(**settings).fit(scores, labels, weights)
    assert all(np.isfinite([fitted.temperature_, fitted.nll_, fitted.gradient_norm_, *fitted.weights_]))
    p = fitted.predict_proba(scores)
    assert ((p >= 0) & (p <= 1)).all()
    return fitted


def test_ends():
    scores = np.array([[3, 0, -1], [0, 2, 1], [1, 0, 4]], np.float16)
    right = ended(scores, [0, 1, 2], "lower bound")
    assert (right.temperature_, right.weights_.tolist(), right.nll_, right.converged_) == (1e-3, [1, 0, 0], 0, True)
    wrong = ended(scores, [2, 0, 1], "upper bound")
    assert (wrong.temperature_, wrong.weights_.tolist(), wrong.converged_) == (1e3, [0, 0, 1], True)
    assert wrong.nll_ == pytest.approx(np.log(3))
    assert wrong.predict(scores).tolist() == [0, 1, 2]  # though all are equally likely
    equal = ended([[2.0, 2.0], [5.0, 5.0]], [0, 0], "say nothing of the temperature")
    np.testing.assert_allclose(equal.weights_, 1 / 3)
    assert ended([1e300, -1e300], [0, 1], "upper bound").nll_ == pytest.approx(np.log(2))
    assert ended([1e300, -1e300], [1, 0], "lower bound").nll_ == 0
    assert ended([[1.0, 0.0]], [0], "lower bound").weights_.tolist() == [1, 0, 0]
    with pytest.raises(fc.DataError, match="sample_weight is 0 in every row"):
        fc.EnsembleTemperatureScaling().fit(scores, [0, 1, 2], [0, 0, 0])
    scores, labels = sample(60, 4)
    one_class = quiet_fit(scores, np.zeros(60, int))
    assert one_class.converged_
    missing = quiet_fit(scores, np.where(labels == 3, 0, labels))
    assert missing.predict_proba(scores).shape == (60, 4)


def test_labels_of_probability_zero_need_the_uniform_part():
    scores, labels = sample(100 if JIT else 64, 3, dtype=np.float64)
    scores[5] = [-np.inf, 0.0, 1.0]
    labels[5] = 0
    fitted = ended(scores, labels, "1 labels have probability 0")
    assert fitted.n_zero_probability_ == 1
    assert fitted.weights_[2] > 0
    assert fitted.nll_ == pytest.approx(float(oracle.mixture(scores, labels, fitted.temperature_, fitted.weights_)[0]))
    p = np.linspace(0, 1, 41)
    outcomes = (np.random.default_rng(0).random(41) < 0.2 + 0.6 * p).astype(int)
    outcomes[[0, 40]] = 1, 0
    binary = ended(p, outcomes, "2 labels have probability 0", input="probs")
    assert binary.weights_[2] > 0
    two = ended(np.stack([1 - p, p], axis=1), outcomes, "2 labels have probability 0", input="probs")
    np.testing.assert_allclose(two.weights_, binary.weights_, atol=1e-6)


def test_weights_of_any_size():
    scores, labels = sample(60, 3, 2.5, dtype=np.float64, noise=0.2)
    once = quiet_fit(scores, labels)
    for size in (1e-100, 1e100):
        again = quiet_fit(scores, labels, np.full(60, size))
        np.testing.assert_allclose(again.weights_, once.weights_, atol=1e-9)
        assert again.nll_ == pytest.approx(once.nll_)


def test_no_convergence_is_said():
    scores, labels = sample(64, 3, 2.5, noise=0.2)
    given_ = rows.ArrayRows(rows.table(scores, labels, None, None), Form("logits", "logits", True))
    with pytest.warns(
        fc.FitWarning, match=r"the weights have not converged in 2 looks \(max_iter=2\): their gradient is"
    ):
        found = ensemble_temperature._fit_weights(given_, 2.0, 2, 1e-9, None)
    assert (found.converged, found.n_iter) == (False, 2)
    assert found.last.residual > 1e-9
    with pytest.warns(fc.FitWarning, match=r"no.* converge") as warned:
        both = fc.EnsembleTemperatureScaling(max_iter=1).fit(scores, labels)
    assert len(warned) == 2
    assert both.converged_ is False
    np.testing.assert_allclose(both.weights_, 1 / 3)


def test_a_step_that_climbs_is_shortened(monkeypatch):
    """Newton's step replaced by one to the uniform part: it is shortened until the NLL falls, or no look is left."""
    scores, labels = sample(64, 3, 1.0, dtype=np.float64, noise=0.0)
    monkeypatch.setattr(ensemble_temperature, "_newton", lambda _: np.array([0.0, 0.0, 1.0]))
    fitted = quiet_fit(scores, labels, max_iter=12)
    start, _ = oracle.mixture(scores, labels, fitted.temperature_, np.full(3, 1 / 3))
    assert fitted.converged_ is False
    assert fitted.nll_ <= start + 1e-13


def test_a_step_that_goes_nowhere_is_the_last(monkeypatch):
    scores, labels = sample(64, 3, 2.5, dtype=np.float64, noise=0.2)
    monkeypatch.setattr(ensemble_temperature, "_newton", lambda now: now.weights)
    looks = quiet_fit(scores, labels).n_iter_
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        assert looks == fc.TemperatureScaling().fit(scores, labels).n_iter_ + 1


@pytest.mark.parametrize(("weight", "gap"), [(1e-20, 100), (1e-20, 150), (1e-20, 300), (1e-30, 300)])
def test_rows_of_next_to_no_weight_leave_no_component_out(weight, gap):
    """The first row needs the uniform part, though its share of the NLL is below all rounding."""
    scores = np.array([[gap, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    fitted = quiet_fit(scores, [1, 0, 0, 0, 1, 1], [weight, 1, 1, 1, 1, 1])
    assert fitted.converged_
    assert fitted.weights_[2] > 0
    assert fitted.gradient_norm_ <= 1e-9


def test_what_is_beyond_all_numbers_goes_to_the_component_that_gains_most():
    look = ensemble_temperature._Look(np.array([1.0, 0, 0]), 1.0, np.array([1.0, 5.0, 2.0]), np.full((3, 3), np.inf))
    assert ensemble_temperature._newton(look).tolist() == [0, 1, 0]
    assert look.residual == 4


def test_what_no_fit_found_is_refused():
    scores, labels = sample(64, 3)
    fitted = quiet_fit(scores, labels)
    fitted._check_fitted()
    for wrong in (
        np.ones(2) / 2,
        np.array([1.5, -0.5, 0]),
        np.array([0.5, 0.2, 0.2]),
        np.ones(3, int),
        np.full(3, np.nan),
    ):
        fitted.weights_ = wrong
        with pytest.raises(ValueError, match="weights_ "):
            fitted._check_fitted()
