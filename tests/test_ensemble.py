"""ensemble_uncertainty: digits, special values, and the laws that its measures obey."""

from __future__ import annotations

import itertools
from dataclasses import fields

import mpmath
import numpy as np
import oracle_ensemble as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc

LONG = np.longdouble
needs_long_double = pytest.mark.skipif(np.finfo(LONG).nmant < 63, reason="needs an extended long double as reference")
FLOATS = [np.float32, np.float64]
# one class; two; narrow, odd and even; the last narrow and first wide one; around pairs of lines
WIDTHS = [1, 2, 3, 10, 48, 64, 65, 128, 129, 1000] if JIT else [1, 3, 129]
ROWS = 70 if JIT else 2
BOUND = {np.float32: 1e-6, np.float64: 1e-12}
NAMES = [place.name for place in fields(fc.EnsembleUncertainty)]
MEASURES = NAMES[1:]


def logits_of(n_members, n_rows, n_classes, dtype=np.float64, seed=0, scale=2.0):
    """Members that agree in part."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n_rows, n_classes)) * scale
    return (shared + rng.standard_normal((n_members, n_rows, n_classes)) * scale / 2).astype(dtype)


def probs_of(*arguments, **options):
    logits = logits_of(*arguments, **options)
    return oracle.distributions(logits.astype(LONG)).astype(logits.dtype)


def figures(found):
    return {name: getattr(found, name) for name in NAMES}


def assert_same_bits(one, other):
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def assert_close(found, expected, bound):
    """Every measure; predictions but where the two largest are as close as rounding."""
    for name, values in expected.items():
        ours = getattr(found, name)
        if name != "prediction":
            assert ours.dtype == found.max_probability.dtype
            off = np.abs(ours.astype(LONG) - values)
            assert (off <= bound * np.maximum(1, np.abs(values))).all(), (name, float(off.max()))
        elif len(values):
            assert ours.dtype == np.int64
            assert np.mean(ours == values) > 0.9


# Digits


@needs_long_double
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_classes", WIDTHS)
def test_digits_against_long_double(n_classes, dtype, weighted):
    for n_members, scale in itertools.product((1, 2, 7), (0.1, 2.0, 20.0)) if JIT else ((3, 2.0),):
        logits = logits_of(n_members, ROWS, n_classes, dtype, scale=scale)
        weights = np.random.default_rng(1).random(n_members) if weighted else None
        exact = oracle.distributions(logits.astype(LONG))
        found = fc.ensemble_uncertainty(logits, from_logits=True, weights=weights)
        assert_close(found, oracle.uncertainty(exact, weights), BOUND[dtype])
        probs = exact.astype(dtype)
        found = fc.ensemble_uncertainty(probs, weights=weights)
        assert_close(found, oracle.uncertainty(probs.astype(LONG), weights), BOUND[dtype])


@needs_long_double
@pytest.mark.skipif(not JIT, reason="many rows")
def test_digits_of_many_members_and_of_many_classes():
    for shape in ((300, 40, 10), (300, 5, 140), (3, 4, 20_000)):
        for from_logits in (False, True):
            scores = (logits_of if from_logits else probs_of)(*shape, dtype=np.float32)
            exact = scores.astype(LONG)
            exact = oracle.distributions(exact) if from_logits else exact
            found = fc.ensemble_uncertainty(scores, from_logits=from_logits)
            assert_close(found, oracle.uncertainty(exact), 1e-6)


@needs_long_double
@pytest.mark.skipif(not JIT, reason="many rows")
@pytest.mark.parametrize("form", [np.asarray, iter])
@pytest.mark.parametrize("n_classes", [10, 140])
def test_digits_where_the_first_member_hardly_counts(n_classes, form):
    """It is what others deviate from; where it is near 1, a mean of deviations has few digits left, or is below 0."""
    for first, scale in itertools.product((1e-6, 1e-3, 1.0), (5.0, 20.0)):
        weights = [first, *[1.0] * 63]
        members = probs_of(64, 60, n_classes, dtype=np.float32, scale=scale, seed=5)
        found = fc.ensemble_uncertainty(form(members), weights=weights)
        assert_close(found, oracle.uncertainty(members.astype(LONG), weights), 1e-6)


@pytest.mark.parametrize("n_classes", [2, 5, 50, 130])
def test_digits_against_mpmath(n_classes):
    members = probs_of(3, 4, n_classes)
    found = fc.ensemble_uncertainty(members)
    with mpmath.workdps(40):
        for n in range(4):
            p = [[mpmath.mpf(float(members[m, n, k])) for k in range(n_classes)] for m in range(3)]
            mean = [sum(column) / 3 for column in zip(*p, strict=True)]
            predictive, *each = (-mpmath.fsum(q * mpmath.log(q) for q in row) for row in (mean, *p))
            expected = mpmath.fsum(each) / 3
            assert abs(found.predictive_entropy[n] - predictive) < 1e-12
            assert abs(found.expected_entropy[n] - expected) < 1e-12
            assert abs(found.mutual_information[n] - (predictive - expected)) < 1e-12


def test_the_log_of_a_share():
    """Within a few ulp of p log p where it matters; of 1 exactly 0."""
    p = np.geomspace(1e-30, 1, 5000 if JIT else 64).astype(np.float32)
    rows = np.stack([p, 1 - p], axis=1)
    expected = oracle.entropies(rows.astype(LONG))
    found = fc.ensemble_uncertainty(rows[None]).expected_entropy
    assert (np.abs(found - expected) <= 4e-7 * expected).all()


# Special values


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_classes", WIDTHS)
@pytest.mark.parametrize("from_logits", [False, True])
def test_a_single_member_and_identical_ones(n_classes, dtype, from_logits):
    scores = (logits_of if from_logits else probs_of)(1, ROWS, n_classes, dtype)
    one = fc.ensemble_uncertainty(scores, from_logits=from_logits)
    for found in (
        one,
        fc.ensemble_uncertainty(np.repeat(scores, 5, axis=0), from_logits=from_logits),
        fc.ensemble_uncertainty(np.repeat(scores, 3, axis=0), from_logits=from_logits, weights=[0.1, 0.7, 1e-9]),
    ):
        for name in ("mutual_information", "softmax_variance", "variation_ratio"):
            assert not getattr(found, name).any(), name
        for name in ("prediction", "max_probability", "predictive_entropy", "expected_entropy"):
            np.testing.assert_array_equal(getattr(found, name), getattr(one, name))
    np.testing.assert_array_equal(one.predictive_entropy, one.expected_entropy)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 70, 128, 129, 150] if JIT else [2, 129])
@pytest.mark.parametrize("dtype", FLOATS)
def test_one_hot_members_have_no_uncertainty_of_data(n_classes, dtype):
    n_members = 7 if JIT else 3
    hot = np.random.default_rng(0).integers(0, n_classes, (n_members, 40 if JIT else 2))
    members = np.eye(n_classes, dtype=dtype)[hot]
    with np.errstate(divide="ignore"):
        logits = np.log(members)
    for found in (fc.ensemble_uncertainty(members), fc.ensemble_uncertainty(logits, from_logits=True)):
        assert (found.expected_entropy == 0).all()
        np.testing.assert_array_equal(found.mutual_information, found.predictive_entropy)
        assert_close(found, oracle.uncertainty(members.astype(LONG)), BOUND[dtype])
    assert np.signbit(found.expected_entropy).sum() == 0


@pytest.mark.parametrize("n_classes", [4, 52])
def test_logits_of_minus_infinity_and_zero_probabilities(n_classes):
    logits = logits_of(3, 20 if JIT else 2, n_classes)
    logits[:, :, 1] = -np.inf
    logits[1, :, 2] = -np.inf
    logits[2, 0] = -np.inf
    logits[2, 0, 3] = 5.0
    probs = oracle.distributions(logits)
    assert_close(fc.ensemble_uncertainty(logits, from_logits=True), oracle.uncertainty(probs), 1e-12)
    assert_close(fc.ensemble_uncertainty(probs), oracle.uncertainty(probs), 1e-12)
    logits[2, 0, 3] = np.inf  # certain, too
    assert_close(fc.ensemble_uncertainty(logits, from_logits=True), oracle.uncertainty(probs), 1e-12)


@pytest.mark.parametrize("n_classes", [1, 2, 3, 130])
def test_rows_that_are_no_distribution(n_classes):
    bad = {0: [np.nan], 3: [-np.inf] * n_classes}
    if n_classes > 1:
        bad[5] = [np.inf, np.inf]
    if n_classes > 2:
        bad[7] = [0.0, np.nan, 1.0]
    logits = logits_of(4, 9, n_classes)
    for row, values in bad.items():
        logits[row % 4, row, : len(values)] = values
    probs = np.full((4, 9, n_classes), 1 / n_classes)
    probs[2, list(bad), -1] = np.nan
    for found in (fc.ensemble_uncertainty(logits, from_logits=True), fc.ensemble_uncertainty(probs)):
        wrong = np.isin(np.arange(9), list(bad))
        np.testing.assert_array_equal(found.prediction == -1, wrong)
        for name in MEASURES:
            np.testing.assert_array_equal(np.isnan(getattr(found, name)), wrong, err_msg=name)


@pytest.mark.parametrize("from_logits", [False, True])
def test_blocks_of_rows_and_members_apart(from_logits):
    """A whole block and a part of one; states in turns, of their own, and of all rows; narrow rows and wide ones."""
    for shape in ((2, 67, 3), (2, 67, 5), (2, 3, 130)):
        scores = (logits_of if from_logits else probs_of)(*shape)
        expected = fc.ensemble_uncertainty(scores, from_logits=from_logits)
        assert_close(expected, oracle.uncertainty(oracle.distributions(scores) if from_logits else scores), 1e-12)
        for form in (list, iter):
            assert_same_bits(fc.ensemble_uncertainty(form(scores), from_logits=from_logits), expected)


def test_votes_and_predictions_take_the_first_of_equals():
    members = [[[0.5, 0.5, 0.0]], [[0.0, 0.5, 0.5]], [[0.25, 0.25, 0.5]]]
    found = fc.ensemble_uncertainty(members)
    assert found.prediction[0] == 1
    assert found.variation_ratio[0] == pytest.approx(2 / 3)
    assert fc.ensemble_uncertainty(members, weights=[1, 1, 2]).variation_ratio[0] == 0.5
    assert fc.ensemble_uncertainty([[[0.25, 0.5, 0.25]], [[0.75, 0.5, -0.25 + 0.0]]][:1]).prediction[0] == 1
    tied = fc.ensemble_uncertainty([[[0.4, 0.6]], [[0.6, 0.4]]])
    assert (tied.prediction[0], tied.variation_ratio[0]) == (0, 0.5)
    assert fc.ensemble_uncertainty(np.zeros((2, 1, 130)), from_logits=True).prediction[0] == 0


def test_values_within_rounding_count_as_0_or_1():
    off = np.array([[[1.00005, -0.00005]], [[1.0, 0.0]]])
    found = fc.ensemble_uncertainty(off)
    assert (found.max_probability[0], found.predictive_entropy[0], found.softmax_variance[0]) == (1, 0, 0)
    wide = np.zeros((2, 1, 130))
    wide[..., :2] = off
    assert fc.ensemble_uncertainty(wide).mutual_information[0] == 0


# Laws


@st.composite
def ensembles(draw, min_members=1):
    """Members, whether they are logits, and weights."""
    most, widths = (80, [1, 2, 3, 10, 48, 49, 70]) if JIT else (2, [1, 3, 49])
    n_members = draw(st.integers(min_members, 6 if JIT else 2))
    shape = n_members, draw(st.integers(1, most)), draw(st.sampled_from(widths))
    dtype = draw(st.sampled_from(FLOATS))
    scale = draw(st.sampled_from([0.01, 1.0, 10.0, 100.0]))
    from_logits = draw(st.booleans())
    scores = (logits_of if from_logits else probs_of)(*shape, dtype=dtype, seed=draw(st.integers(0, 999)), scale=scale)
    weights = None
    if draw(st.booleans()):
        weights = np.random.default_rng(draw(st.integers(0, 99))).random(shape[0]) + 1e-3
    return scores, from_logits, weights


def unit(scores):
    """4 ulp of log K: what order may change, and identities be off by."""
    return 4 * np.finfo(scores.dtype).eps * max(1.0, np.log(scores.shape[-1]))


@given(ensembles())
def test_total_is_data_and_model_uncertainty(case):
    scores, from_logits, weights = case
    found = fc.ensemble_uncertainty(scores, from_logits=from_logits, weights=weights)
    total = found.expected_entropy + found.mutual_information
    assert (np.abs(found.predictive_entropy - total) <= unit(scores)).all()
    assert (found.mutual_information >= 0).all()
    most = np.log(min(scores.shape[0], scores.shape[2]))
    assert (found.mutual_information <= most + unit(scores)).all()
    assert (found.predictive_entropy <= np.log(scores.shape[2]) + 2 * unit(scores)).all()
    assert (found.expected_entropy >= 0).all()
    assert (found.softmax_variance >= 0).all()
    assert ((found.variation_ratio >= 0) & (found.variation_ratio < 1)).all()


@given(ensembles())
def test_mutual_information_is_the_mean_divergence_to_the_mean(case):
    scores, from_logits, weights = case
    exact = scores.astype(LONG)
    exact = oracle.distributions(exact) if from_logits else exact
    found = fc.ensemble_uncertainty(scores, from_logits=from_logits, weights=weights).mutual_information
    expected = oracle.mean_divergence_to_the_mean(exact, weights)
    bound = BOUND[scores.dtype.type]
    np.testing.assert_allclose(found, expected.astype(float), rtol=bound, atol=bound)


@given(ensembles(), st.randoms(use_true_random=False))
def test_permuting_members_or_classes_changes_rounding_only(case, random):
    scores, from_logits, weights = case
    members, classes = list(range(scores.shape[0])), list(range(scores.shape[2]))
    random.shuffle(members)
    random.shuffle(classes)
    one = fc.ensemble_uncertainty(scores, from_logits=from_logits, weights=weights)
    turned = scores[members][:, :, classes]
    other = fc.ensemble_uncertainty(
        turned, from_logits=from_logits, weights=None if weights is None else weights[members]
    )
    for name in MEASURES:
        assert (np.abs(getattr(one, name) - getattr(other, name)) <= 2 * unit(scores)).all(), name


@given(ensembles(), st.integers(0, 79), st.randoms(use_true_random=False))
def test_rows_do_not_look_at_each_other(case, cut, random):
    scores, from_logits, weights = case
    options = {"from_logits": from_logits, "weights": weights}
    whole = fc.ensemble_uncertainty(scores, **options)
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    shuffled = fc.ensemble_uncertainty(scores[:, order], **options)
    parts = [fc.ensemble_uncertainty(scores[:, part], **options) for part in (slice(0, cut), slice(cut, None))]
    for name in NAMES:
        values = getattr(whole, name)
        np.testing.assert_array_equal(getattr(shuffled, name), values[order], err_msg=name)
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), values, err_msg=name)


# One model


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_softmax_uncertainty_is_higher_for_less_certain_rows(temperature):
    logits = logits_of(1, 50, 6)[0]
    p = np.sort(oracle.distributions(logits / temperature), axis=1)
    found = fc.softmax_uncertainty(logits, temperature=temperature)
    np.testing.assert_allclose(found.max, -p[:, -1], rtol=1e-13)
    np.testing.assert_allclose(found.margin, p[:, -2] - p[:, -1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found.entropy, oracle.entropies(p), rtol=1e-11)
    energy = -temperature * np.log(np.exp(logits / temperature).sum(axis=1))
    np.testing.assert_allclose(found.energy, energy, rtol=1e-12)
    flat, sharp = fc.softmax_uncertainty(np.zeros(6)), fc.softmax_uncertainty([9.0, 0, 0, 0, 0, 0])
    for place in fields(fc.SoftmaxUncertainty):
        assert getattr(flat, place.name) > getattr(sharp, place.name)


def test_softmax_uncertainty_of_any_rows():
    found = fc.softmax_uncertainty(np.array([[[np.nan, 0], [np.inf, 0], [np.inf, np.inf]]], np.float16))
    assert found.max.shape == (1, 3)
    assert found.energy.dtype == np.float32
    np.testing.assert_array_equal(found.max, [[np.nan, -1, np.nan]])
    np.testing.assert_array_equal(found.energy, [[np.nan, -np.inf, -np.inf]])
    with pytest.raises(ValueError, match="temperature is 0"):
        fc.softmax_uncertainty([1.0, 2.0], temperature=0)
