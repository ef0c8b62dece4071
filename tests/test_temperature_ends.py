"""TemperatureScaling where it cannot go on: bounds, equal and infinite logits, bad rows and parameters, files."""

from __future__ import annotations

import re
import warnings

import numpy as np
import oracle_temperature as oracle
import pytest
from rows_temperature import ended, fit, sample

import fastcal as fc
from fastcal.calibrators import temperature

ALL_RIGHT, ALL_WRONG = (
    "lower bound, 0.001: every label has the largest logit",
    "upper bound, 1000, where the NLL still falls as it",
)


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
    assert ended(scores, [0, 1, 2], "lower bound, 0.5: every", bounds=(0.5, 2)).temperature_ == 0.5
    assert ended(scores, [2, 0, 1], "upper bound, 2, where", bounds=(0.5, 2)).temperature_ == 2
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
    assert ended(tiny, [0, 0, 1], "lower bound, 0.001, where the NLL still falls").temperature_ == 1e-3


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


def test_a_wrong_label_of_next_to_no_weight():
    scores, labels = np.array([[1.0, 0.0]] * 5), np.array([0, 0, 0, 0, 1])
    for weight in (1e-10, 1e-30, 1e-100):
        fitted = fit(scores, labels, [1, 1, 1, 1, weight])
        assert fitted.converged_
        assert fitted.gradient_norm_ <= 1e-9
        assert fitted.n_iter_ <= temperature.PATIENCE
    # log(4 / 1e-10): found all the same
    first = fit(scores, labels, [1, 1, 1, 1, 1e-10]).temperature_
    assert first == pytest.approx(1 / np.log(4e10), rel=1e-6)


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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("method", [fc.TemperatureScaling, fc.EnsembleTemperatureScaling])
def test_a_binary_logit_of_minus_infinity_is_the_row_of_it_and_0(method, dtype):
    z = np.array([-np.inf, 3.0, 1.0, -2.0, 0.5, -1.0, -np.inf], dtype)
    two = np.stack([np.zeros(7, dtype), z], axis=1)
    labels = np.array([0, 1, 0, 0, 1, 1, 0])
    one, both = method().fit(z, labels), method().fit(two, labels)
    for name in method.fitted:
        np.testing.assert_array_equal(getattr(one, name), getattr(both, name))
    np.testing.assert_allclose(one.predict_proba(z), both.predict_proba(two)[:, 1], rtol=1e-6)
    assert one.predict(z).tolist() == [0, 1, 1, 0, 1, 0, 0]
    labels[0] = 1
    with pytest.warns(fc.FitWarning, match="1 labels have probability 0"):
        assert method().fit(z, labels).n_zero_probability_ == 1
    with pytest.raises(ValueError, match=re.escape("scores[1] is inf; expected a finite number")):
        one.predict_proba([0.0, np.inf])


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
    assert ended([[900.0, 0.0]], [0], "no convergence .*: every label has the largest", max_iter=1).temperature_ == 1
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
