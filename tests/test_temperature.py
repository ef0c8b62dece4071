"""TemperatureScaling: the definition, the least NLL, laws, ends of every kind, bad input, scikit-learn's optimum."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import oracle_temperature as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal import engine, kernels
from fastcal.calibrators import rows, temperature

SHAPES = (
    [(65, 3), (130, 10), (200, 0), (64, 2), (63, 4), (70, 129), (200, 17)] if JIT else [(65, 3), (66, 0), (16, 129)]
)


def sample(n, n_classes, scale=1.7, seed=0, dtype=np.float32, noise=0.1):
    """Logits that are ``scale`` times what they should be, and labels; (N,) for no classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, max(n_classes, 2)))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    wrong = rng.random(n) < noise
    labels[wrong] = rng.integers(0, max(n_classes, 2), wrong.sum())
    logits = (scale * logits).astype(dtype)
    return (logits if n_classes else logits[:, 1] - logits[:, 0]), labels


def fit(scores, labels, weights=None, **settings):
    """A fit that warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fc.TemperatureScaling(**settings).fit(scores, labels, weights)


def sums(scores, labels, weights, beta, kernel="derivatives", *arguments):
    """What a kernel adds up."""
    kernel = getattr(kernels.temperature, kernel)
    table = scores.reshape(len(scores), -1)
    into = np.zeros(kernels.temperature.N_SUMS + 2 if not arguments else kernels.temperature.N_MIXED + 1)
    given = [temperature.read_only(np.ascontiguousarray(a)) for a in (table, labels, weights)]
    kernel(*given, beta, *arguments, *temperature.scratch_for(table), into)
    return into


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


def ended(scores, labels, message, weights=None, **settings):
    """A fit that warns of one thing."""
    with pytest.warns(fc.FitWarning, match=message) as found:
        fitted = fc.TemperatureScaling(**settings).fit(scores, labels, weights)
    assert len(found) == 1
    assert all(np.isfinite([fitted.temperature_, fitted.nll_, fitted.gradient_norm_]))
    p = fitted.predict_proba(scores)
    assert ((p >= 0) & (p <= 1)).all()
    return fitted


ALL_RIGHT, ALL_WRONG = "lower bound, 0.001: every label has the largest logit", "upper bound, 1000: labels are no likel"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_separable_and_all_wrong(dtype):
    scores = np.array([[3, 0, -1], [0, 2, 1], [1, 0, 4]], dtype)
    right = ended(scores, [0, 1, 2], ALL_RIGHT)
    assert (right.temperature_, right.converged_, right.nll_) == (1e-3, True, 0.0)
    np.testing.assert_array_equal(right.predict_proba(scores), np.eye(3))
    wrong = ended(scores, [2, 0, 1], ALL_WRONG)
    assert (wrong.temperature_, wrong.converged_) == (1e3, True)
    assert wrong.nll_ == pytest.approx(np.log(3), rel=2e-2)
    assert wrong.gradient_norm_ > 1e-5
    assert wrong.predict(scores).tolist() == [0, 1, 2]
    assert ended(scores, [0, 1, 2], "lower bound, 0.5:", bounds=(0.5, 2)).temperature_ == 0.5
    assert ended(scores, [2, 0, 1], "upper bound, 2:", bounds=(0.5, 2)).temperature_ == 2
    assert ended(scores[:, 0], [1, 0, 1], ALL_RIGHT).temperature_ == 1e-3
    # the same with weights: what has weight 0 is not there
    assert ended(scores, [0, 1, 1], ALL_RIGHT, [1, 1, 0]).temperature_ == 1e-3


def test_one_row_and_one_class():
    assert ended([[1.0, 0.0]], [0], ALL_RIGHT).n_rows_ == 1
    assert ended([[1.0, 0.0]], [1], ALL_WRONG).temperature_ == 1e3
    scores, _ = sample(60, 4)
    one_class = fc.TemperatureScaling()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        one_class.fit(scores, np.zeros(60, int))
    assert one_class.converged_
    assert one_class.n_classes_ == 4
    scores, labels = sample(90, 4)
    missing = fit(scores, np.where(labels == 3, 0, labels))
    assert missing.n_classes_ == 4
    assert missing.predict_proba(scores).shape == (90, 4)


def test_equal_logits_say_nothing():
    constant = "equal and say nothing of the temperature: it stays at"
    for scores in ([[2.0, 2.0], [5.0, 5.0]], [0.0, 0.0], [[1.0, 1.0, -np.inf], [2.0, -np.inf, 2.0]]):
        fitted = ended(scores, [0, 0], f"{constant} 1")
        assert (fitted.temperature_, fitted.gradient_norm_, fitted.converged_) == (1.0, 0.0, True)
        assert fitted.nll_ == pytest.approx(np.log(2))
    assert ended([[2.0, 2.0]], [1], f"{constant} 5", bounds=(5, 6)).temperature_ == 5
    weighted = ended([[2.0, 2.0], [3.0, 0.0]], [1, 0], constant, [1, 0])
    assert weighted.temperature_ == 1
    assert ended([2.0, 0.0], [1, 0], constant, [0, 1]).temperature_ == 1
    # next to equal: a temperature below the bound would be better
    tiny = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]) * 1e-7
    assert ended(tiny, [0, 0, 1], "lower bound, 0.001: the logits of a row are so nearly").temperature_ == 1e-3


def test_huge_scores():
    scores = np.array([[1e300, 0.0], [-1e300, 1e300], [0.0, 1e300]])
    assert ended(scores, [0, 1, 1], ALL_RIGHT).nll_ == 0
    wrong = ended(scores, [0, 0, 1], ALL_WRONG)
    assert wrong.temperature_ == 1e3
    assert wrong.nll_ == pytest.approx(2e297 / 3)
    np.testing.assert_array_equal(wrong.predict_proba(scores), [[1, 0], [0, 1], [0, 1]])
    assert ended([1e300, -1e300], [0, 1], ALL_WRONG, [1e100, 1e100]).nll_ > 1e290
    most = np.finfo(float).max
    assert ended([[most, -most], [1.0, 0.0]], [1, 0], ALL_WRONG).nll_ > 1e300
    assert ended([most, -most], [1, 0], ALL_RIGHT).nll_ == 0
    single = np.array([[3e38, -3e38], [1.0, 2.0]], np.float32)
    assert ended(single, [1, 0], ALL_WRONG).nll_ == pytest.approx(3e35, rel=0.1)
    # between: a saturated start finds its way back
    scores, labels = sample(100, 3, 1e12, dtype=np.float64)
    assert fit(scores, labels, bounds=(1e-3, 1e20)).temperature_ == pytest.approx(
        1e12 / 1.7 * fit(*sample(100, 3, 1.7, dtype=np.float64)).temperature_, rel=1e-7
    )


def test_logits_of_minus_infinity():
    z = np.array([[0.0, -np.inf, 3.0], [2.0, 1.0, -np.inf], [0.5, 0.0, 1.0], [3.0, 0.0, 0.5]])
    labels = [2, 1, 2, 0]
    fitted = fit(z, labels)
    assert fitted.temperature_ == pytest.approx(oracle.least(z, labels), rel=1e-8)
    assert fitted.predict_proba(z)[z == -np.inf].tolist() == [0, 0]
    with pytest.warns(fc.FitWarning, match="1 labels have probability 0 at every temperature") as found:
        left_out = fc.TemperatureScaling().fit(np.vstack([z, z[:1]]), [*labels, 1])
    assert len(found) == 1
    assert (left_out.temperature_, left_out.n_zero_probability_) == (fitted.temperature_, 1)
    np.testing.assert_equal(fit(np.vstack([z, z[:1]]), [*labels, 1], [1, 1, 1, 1, 0]).nll_, fitted.nll_)
    with pytest.raises(ValueError, match="scores give every label probability 0, at any temperature"):
        fc.TemperatureScaling().fit(z[:1], [1])
    with pytest.raises(ValueError, match=re.escape("scores[1] has no logit above -inf")):
        fc.TemperatureScaling().fit([[0.0, 1.0], [-np.inf, -np.inf]], [1, 0])


def test_probabilities_of_zero_and_one():
    certain = np.array([1.0, 0.0, 0.7, 0.4, 0.2, 0.9])
    labels = [1, 0, 0, 1, 0, 1]
    fitted = fit(certain, labels, input="probs")
    rest = fit(certain[2:], labels[2:], input="probs")
    assert fitted.temperature_ == pytest.approx(rest.temperature_, rel=1e-8)
    assert fitted.nll_ == pytest.approx(rest.nll_ * 4 / 6)
    p = fitted.predict_proba(certain)
    assert p[:2].tolist() == [1, 0]
    with pytest.warns(fc.FitWarning, match="2 labels have probability 0"):
        wrong = fc.TemperatureScaling(input="probs").fit(certain, [0, 1, *labels[2:]])
    assert wrong.temperature_ == pytest.approx(rest.temperature_, rel=1e-8)
    assert wrong.n_zero_probability_ == 2
    two = np.stack([1 - certain, certain], axis=1)
    assert fit(two, labels, input="probs").temperature_ == pytest.approx(fitted.temperature_, rel=1e-8)
    half = certain.astype(np.float16)
    assert fit(half, labels, input="probs").predict_proba(half).dtype == np.float32


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


def test_bad_rows_are_named_and_change_nothing():
    scores, labels = sample(80, 3)
    fitted = fit(scores, labels)
    before = fitted.temperature_
    for value, message in ((np.nan, "is nan"), (np.inf, "is inf")):
        bad = scores.copy()
        bad[17, 2] = value
        with pytest.raises(fc.DataError, match=re.escape(f"scores[17, 2] {message}; expected a finite number")):
            fitted.fit(bad, labels)
        with pytest.raises(fc.DataError, match=re.escape(f"scores[17, 2] {message}; expected a finite number")):
            fitted.predict(bad)
    with pytest.raises(fc.DataError, match="sample_weight is 0 in every row"):
        fitted.fit(scores, labels, np.zeros(80))
    for weights, message in ((np.full(80, -1.0), "is -1.0"), (np.full(80, 1e101), "is 1e"), (np.ones(3), "has shape")):
        with pytest.raises(fc.DataError, match=message):
            fitted.fit(scores, labels, weights)
    with pytest.raises(fc.DataError, match="probabilities lie in"):
        fc.TemperatureScaling(input="probs").fit(scores, labels)
    assert fitted.temperature_ == before


def test_rows_that_change_between_looks():
    scores, labels = sample(80, 3)
    looks = []

    def batches():
        looks.append(0)
        return iter([(scores if len(looks) < 4 else np.full_like(scores, np.nan), labels)])

    with pytest.raises(fc.DataError, match="scores have changed since the first look at them, and hold NaN"):
        fc.TemperatureScaling().fit_batches(batches)


@pytest.mark.parametrize("settings", [{"bounds": (2, 1)}, {"bounds": (0, 1)}, {"bounds": (1, np.inf)}, {"bounds": 3},
                                      {"bounds": "ab"}, {"bounds": (1, 2, 3)}, {"max_iter": 0}, {"max_iter": 1.5},
                                      {"max_iter": True}, {"tol": 0}, {"tol": 1}, {"tol": "x"}, {"tol": np.nan},
                                      {"input": "scores"}, {"tol": True}])  # fmt: skip
def test_parameters_are_checked(settings):
    (name,) = settings
    with pytest.raises((ValueError, TypeError), match=f"^{name} is"):
        fc.TemperatureScaling(**settings).fit([[1.0, 0.0], [1.0, 0.0]], [0, 1])


def test_no_convergence_is_said():
    scores, labels = sample(100, 3)
    for max_iter in (1, 2):
        message = f"no convergence within max_iter={max_iter}: the gradient is"
        assert ended(scores, labels, message, max_iter=max_iter).converged_ is False
    assert ended([[1.0, 0.0]], [0], "no convergence", max_iter=1).temperature_ == 1
    loose = fit(scores, labels, max_iter=2, tol=0.5)
    assert loose.converged_
    assert loose.n_iter_ == 2
    once = fit(scores, labels)
    assert fit(scores, labels, bounds=(0.9 * once.temperature_, 2e3)).temperature_ == pytest.approx(once.temperature_)


def test_a_step_that_leads_nowhere_is_halved():
    look = temperature.Look(1.0, 0.5, 0.1, 0.0, 0.0, 0, 1)
    assert temperature._next(look, 0.1, np.inf, 0.5, 2.0) == pytest.approx(np.exp(0.1))
    for step, before in ((3.0, np.inf), (np.nan, np.inf), (0.1, 0.15)):
        assert temperature._next(look, step, before, 0.25, 1.0) == pytest.approx(0.5)
    assert temperature._next(look, np.nan, np.inf, 1.0, np.inf) == pytest.approx(8)
    steps = [
        temperature.Look(1.0, 0.5, *three, 0, 1).step for three in ((-0.1, 0.05, 0.0), (0.1, 0.2, -9.0), (0, 0, 0))
    ]
    assert np.isnan(steps[0])
    assert steps[1] == pytest.approx(0.1 / 0.3)
    assert steps[2] == 0


def test_what_no_fit_found_is_refused():
    scores, labels = sample(80, 3)
    fitted = fit(scores, labels)
    fitted._check_fitted()
    wrong = {"temperature_": [0.0, -1.0, np.inf, np.nan, 1], "nll_": [-1.0, np.nan, np.inf], "gradient_norm_": [-1.0],
             "n_iter_": [0, True, 1.0], "n_zero_probability_": [-1], "converged_": [1]}  # fmt: skip
    for name, values in wrong.items():
        kept = getattr(fitted, name)
        for value in values:
            setattr(fitted, name, value)
            with pytest.raises(ValueError, match=f"^{name} is"):
                fitted._check_fitted()
        setattr(fitted, name, kept)


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
