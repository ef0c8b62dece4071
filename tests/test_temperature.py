"""TemperatureScaling: the definition, the least NLL, laws, probabilities, predictions, scikit-learn's optimum."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import oracle_temperature as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from rows_temperature import SHAPES, fit, sample, sums

import fastcal as fc
from fastcal import engine, kernels
from fastcal.calibrators import rows, temperature


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_the_definition(shape, dtype):
    scores, labels = sample(*shape, dtype=dtype)
    weights = np.random.default_rng(1).random(len(labels))
    weights[::7] = 0
    for given_weights in (np.empty(0), weights):
        found = sums(scores, labels, given_weights, 0.6)
        by_row = oracle.row_terms(scores, labels, 1 / 0.6)
        used = weights if given_weights.size else np.ones(len(labels))
        expected = [used.sum(), *(used[:, None] * by_row).sum(axis=0)]
        np.testing.assert_allclose(found[:5], np.array(expected, float), rtol=1e-12)
        z = oracle.as_rows(scores)
        below = z[np.arange(len(labels)), labels] < z.max(axis=1)
        assert found[5:].tolist() == [0, np.count_nonzero(below & (used > 0))]


@pytest.mark.parametrize("shape", SHAPES[: 4 if JIT else 1])
def test_the_fit_is_where_bisection_ends(shape):
    scores, labels = sample(*shape)
    weights = np.random.default_rng(2).random(len(labels)) + 0.01
    for w in (None, weights):
        fitted = fit(scores, labels, w)
        assert fitted.temperature_ == pytest.approx(oracle.least(scores, labels, w), rel=1e-8)
        assert fitted.nll_ == pytest.approx(float(oracle.means(scores, labels, fitted.temperature_, w)[0]), abs=1e-13)
        assert fitted.converged_ is True
        assert fitted.gradient_norm_ <= 1e-9
        assert fitted.n_zero_probability_ == 0


scales = st.sampled_from([0.003, 0.02, 0.3, 1.0, 1.7, 4.0, 25.0, 300.0])


@given(st.integers(2, 90 if JIT else 20), st.sampled_from([0, 2, 3, 5, 10]), scales, st.integers(0, 1000))
def test_no_temperature_nearby_is_better(n, n_classes, scale, seed):
    scores, labels = sample(n, n_classes, scale, seed, np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        fitted = fc.TemperatureScaling().fit(scores, labels)
    at = [float(oracle.means(scores, labels, t * fitted.temperature_)[0]) for t in (1, 1 - 1e-3, 1 + 1e-3)]
    low, high = fitted.temperature_ == 1e-3, fitted.temperature_ == 1e3
    assert fitted.converged_
    assert fitted.n_iter_ <= 20
    assert at[0] <= at[1] + 1e-12 or low
    assert at[0] <= at[2] + 1e-12 or high
    if not low and not high:
        assert abs(float(oracle.means(scores, labels, fitted.temperature_)[1])) <= 2e-9
        twice = fc.TemperatureScaling(bounds=(2e-3, 2e3)).fit(2 * scores, labels)
        assert twice.temperature_ == pytest.approx(2 * fitted.temperature_, rel=1e-7)


@given(st.integers(3, 60 if JIT else 10), st.sampled_from([0, 3]), st.integers(0, 1000))
def test_weights_are_repetition_and_order_is_nothing(n, n_classes, seed):
    scores, labels = sample(n + 20, n_classes, 1.7, seed, np.float64, 0.5)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, len(labels))
    weights[:20] = 2
    again = np.repeat(np.arange(len(labels)), weights)
    order = rng.permutation(len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        found = [
            fc.TemperatureScaling().fit(*given)
            for given in (
                (scores, labels, weights),
                (scores[again], labels[again]),
                (scores[order], labels[order], weights[order] * 1e50),
            )
        ]
    for other in found[1:]:
        assert other.temperature_ == pytest.approx(found[0].temperature_, rel=1e-8)
        assert other.nll_ == pytest.approx(found[0].nll_, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("shape", [(500, 3), (400, 0)] if JIT else [(70, 3)])
def test_batches_and_threads_change_no_bit(shape, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_SIZE", 64)
    monkeypatch.setattr(rows, "WAVE", 2)
    monkeypatch.setattr(rows, "WAVE_BYTES", 500)
    monkeypatch.setattr(engine, "SMALL", 0)
    scores, labels = sample(*shape)
    weights = np.random.default_rng(0).random(len(labels)).astype(np.float32)
    cuts = [0, 1, 17, 18, 60, 64, len(labels) - 1, len(labels)]
    batches = [(scores[i:j], labels[i:j], weights[i:j]) for i, j in itertools.pairwise(cuts)]
    one = fit(scores, labels, weights, n_threads=1)
    for other in (fit(scores, labels, weights, n_threads=3), fc.TemperatureScaling(n_threads=2).fit_batches(batches)):
        for name in fc.TemperatureScaling.fitted:
            assert getattr(one, name) == getattr(other, name), name


def test_two_columns_are_one_and_logarithms_are_logits():
    z, labels = sample(200, 0, dtype=np.float64)
    two = np.stack([np.zeros(len(z)), z], axis=1)
    one, both = fit(z, labels), fit(two, labels)
    assert both.temperature_ == one.temperature_
    assert both.nll_ == one.nll_
    np.testing.assert_allclose(one.predict_proba(z), both.predict_proba(two)[:, 1], rtol=1e-14)
    np.testing.assert_array_equal(one.predict(z), both.predict(two))
    p = oracle.probabilities(z)[:, 1].astype(float)
    probs = fit(p, labels, input="probs")
    assert probs.temperature_ == pytest.approx(one.temperature_, rel=1e-9)
    np.testing.assert_allclose(probs.predict_proba(p), one.predict_proba(z), rtol=1e-12)
    np.testing.assert_array_equal(probs.predict(p), one.predict(z))
    rows_ = np.stack([1 - p, p], axis=1)
    assert fit(rows_, labels, input="probs").temperature_ == pytest.approx(one.temperature_, rel=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3, 5, 16, 17, 100, 128, 129] if JIT else [3, 17])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_those_of_the_definition(n_classes, dtype):
    scores, labels = sample(140 if JIT else 20, n_classes, 3, dtype=dtype, noise=0.3)
    scores[3, 1:] = -np.inf
    labels[3] = 0
    fitted = fit(scores, labels)
    for n in (1, 15, 16, 63, 65, len(scores)):
        expected = oracle.probabilities(scores[:n], fitted.temperature_)
        p = fitted.predict_proba(scores[:n])
        assert p.dtype == dtype
        away = (scores[:n].max(axis=1, keepdims=True) - scores[:n]) / fitted.temperature_
        with np.errstate(invalid="ignore"):
            ulps = abs(p - expected) / np.spacing(np.maximum(expected.astype(dtype), np.finfo(dtype).tiny))
        assert (ulps <= 6 + 0.6 * np.where(away < 700, away, 0)).all()
    given_ = scores.copy()
    assert fitted.predict_proba(given_, out=given_) is given_
    np.testing.assert_array_equal(given_, fitted.predict_proba(scores))


def test_chunks_write_nothing_beside_their_rows(monkeypatch):
    monkeypatch.setattr("fastcal.calibrators.base.CHUNK_BYTES", 64 * 3 * 4)
    monkeypatch.setattr(engine, "SMALL", 0)
    scores, labels = sample(700 if JIT else 140, 3)
    fitted = fit(scores, labels, n_threads=3)
    expected = fitted.predict_proba(scores)
    np.testing.assert_allclose(expected, fc.softmax(scores, temperature=fitted.temperature_), rtol=2e-6)
    fitted.predict_proba(scores, out=scores)
    np.testing.assert_array_equal(scores, expected)


def test_predictions_are_those_of_the_scores():
    scores, labels = sample(300 if JIT else 60, 5, 0.01)
    scores[::3, 2] = scores[::3].max(axis=1)  # ties
    near = scores[1::3].max(axis=1)
    scores[1::3, 4] = np.nextafter(near, np.float32(np.inf))  # a unit in the last place apart
    names = np.array(["e", "d", "c", "b", "a"])
    fitted = fc.TemperatureScaling(classes=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        fitted.fit(scores, names[labels])
    np.testing.assert_array_equal(fitted.predict(scores), names[scores.argmax(axis=1)])
    assert (fitted.predict(scores[1::3]) == "a").all()
    np.testing.assert_array_equal(fitted.predict(scores.reshape(3, -1, 5)), fitted.predict(scores).reshape(3, -1))
    probs = oracle.probabilities(scores).astype(np.float32)
    of_probs = fc.TemperatureScaling(input="probs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        of_probs.fit(probs, labels)
    np.testing.assert_array_equal(of_probs.predict(probs), probs.argmax(axis=1))
    z, labels = sample(80, 0)
    z[:3] = 0, np.float32(1e-45), -1e-45
    binary = fc.TemperatureScaling(classes=["no", "yes"]).fit(z, np.array(["no", "yes"])[labels])
    assert binary.predict(z[:3]).tolist() == ["no", "yes", "no"]
    np.testing.assert_array_equal(binary.predict(z) == "yes", z > 0)


def test_finite_numbers_are_seen_at_once():
    for dtype in (np.float32, np.float64):
        values = np.linspace(-1, 1, 50).astype(dtype)
        assert kernels.score_forms.all_finite(temperature.read_only(values))
        assert kernels.score_forms.all_finite(temperature.read_only(values[:0]))
        for value in (np.nan, np.inf, -np.inf):
            for at in (0, 31, 49):
                wrong = values.copy()
                wrong[at] = value
                assert not kernels.score_forms.all_finite(temperature.read_only(wrong))


def test_bfloat16():
    torch = pytest.importorskip("torch")
    scores, labels = sample(80, 3)
    half = torch.from_numpy(scores).to(torch.bfloat16)
    same = half.to(torch.float32).numpy()
    fitted = fit(half, torch.from_numpy(labels))
    assert fitted.temperature_ == fit(same, labels).temperature_
    np.testing.assert_array_equal(fitted.predict_proba(half), fitted.predict_proba(same))


@pytest.mark.parametrize("n_classes", [3, 10] if JIT else [3])
def test_scikit_learn_finds_the_same(n_classes):
    calibration = pytest.importorskip("sklearn.calibration")
    theirs = getattr(calibration, "_TemperatureScaling", None)
    if theirs is None:
        pytest.skip("older than temperature scaling")
    scores, labels = sample(400 if JIT else 80, n_classes, dtype=np.float64)
    found = 1 / theirs().fit(scores, labels).beta_
    assert fit(scores, labels).temperature_ == pytest.approx(float(found), rel=1e-6)
