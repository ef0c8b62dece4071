"""ensemble_disagreement: against its twin, special values, laws, and what it does not take."""

from __future__ import annotations

import numpy as np
import oracle_ensemble as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from test_ensemble import FLOATS, LONG, logits_of, probs_of

import fastcal as fc
from fastcal import engine
from fastcal.ensembles import workers

KINDS = ["kl", "js"]
WIDTHS = [1, 2, 3, 10, 65, 100, 128, 129] if JIT else [3, 129]
BOUND = {np.float32: 1e-6, np.float64: 1e-12}


def assert_close(found, expected, dtype):
    assert found.dtype == dtype
    bound = BOUND[dtype]
    np.testing.assert_allclose(found, np.asarray(expected, float), rtol=bound, atol=bound)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_classes", WIDTHS)
def test_digits(n_classes, dtype, kind):
    for n_members in (1, 2, 5) if JIT else (3,):
        for weights in (None, np.random.default_rng(0).random(n_members)):
            logits = logits_of(n_members, 70 if JIT else 2, n_classes, dtype)
            exact = oracle.distributions(logits.astype(LONG))
            found = fc.ensemble_disagreement(logits, kind=kind, from_logits=True, weights=weights)
            assert_close(found, oracle.disagreement(exact, kind, weights), dtype)
            probs = exact.astype(dtype)
            found = fc.ensemble_disagreement(probs, kind=kind, weights=weights)
            assert_close(found, oracle.disagreement(probs.astype(LONG), kind, weights), dtype)


@pytest.mark.parametrize("n_classes", [4, 52])
def test_impossible_classes(n_classes):
    """Zero for all members adds nothing, for some an infinite KL, at most log 2 to JS."""
    probs = probs_of(3, 6, n_classes)
    probs[:, :3, 1] = 0
    probs[1, :2, 2] = 0
    probs /= probs.sum(axis=2, keepdims=True)
    with np.errstate(divide="ignore"):
        logits = np.log(probs)
    for scores, from_logits in ((probs, False), (logits, True)):
        found = fc.ensemble_disagreement(scores, from_logits=from_logits)
        assert np.isinf(found).tolist() == [True, True, False, False, False, False]
        np.testing.assert_allclose(found, oracle.disagreement(probs, "kl"), rtol=1e-12)
        found = fc.ensemble_disagreement(scores, kind="js", from_logits=from_logits)
        np.testing.assert_allclose(found, oracle.disagreement(probs, "js"), rtol=1e-11, atol=1e-13)
    hot = np.eye(n_classes)[[[0], [1]]]
    assert fc.ensemble_disagreement(hot, kind="js")[0] == pytest.approx(np.log(2), rel=1e-15)
    assert fc.ensemble_disagreement(hot)[0] == np.inf
    certain = np.zeros((2, 1, n_classes))
    certain[0, 0, 0] = np.inf
    assert fc.ensemble_disagreement(certain, from_logits=True)[0] == np.inf
    assert fc.ensemble_disagreement(certain[[0, 0]], from_logits=True)[0] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("least", [1.0, 1e-9, 1e-16, 1e-50])
def test_the_weight_of_the_only_pair_is_1(least, dtype, kind):
    """However small the product of its weights, which is none in float32."""
    members = probs_of(2, 3, 3, dtype)
    expected = fc.ensemble_disagreement(members, kind=kind)
    for weights in ([1, least], [least, 1], [least, least]):
        found = fc.ensemble_disagreement(members, kind=kind, weights=weights)
        np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_weights_of_unlike_size(dtype):
    members = probs_of(4, 5, 6, dtype)
    for weights in ([1, 1e-9, 1e-8, 1e-30], [1e-9, 1, 1, 1e-12]):
        for kind in KINDS:
            found = fc.ensemble_disagreement(members, kind=kind, weights=weights)
            assert_close(found, oracle.disagreement(members.astype(LONG), kind, weights), dtype)


@pytest.mark.parametrize("n_classes", [4, 52])
@pytest.mark.parametrize("dtype", FLOATS)
def test_jensen_shannon_is_at_most_log_2(dtype, n_classes):
    rng = np.random.default_rng(0)
    for n_members in (2, 3, 4):
        hot = np.eye(n_classes, dtype=dtype)[:n_members, None]
        for _ in range(40 if JIT else 2):
            found = fc.ensemble_disagreement(hot, kind="js", weights=rng.random(n_members) + 1e-9)
            assert 0.693147 < found[0] <= dtype(np.log(2))


@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e300), (np.float32, 1e35)])
@pytest.mark.parametrize("n_classes", [2, 130])
def test_logits_far_apart(n_classes, dtype, far):
    """Their divergence is finite, and as far."""
    logits = np.full((2, 1, n_classes), -np.inf, dtype)
    logits[:, 0, :2] = [[0, -far], [0, 0]]
    assert fc.ensemble_disagreement(logits, from_logits=True)[0] == pytest.approx(far / 4, rel=1e-6)


@pytest.mark.parametrize("n_classes", [2, 130])
def test_logits_know_probabilities_that_underflow(n_classes):
    logits = np.zeros((2, 1, n_classes), np.float32)
    logits[:, 0, 1] = -400, -600
    expected = oracle.disagreement(oracle.distributions(logits.astype(LONG)), "kl")
    assert_close(fc.ensemble_disagreement(logits, from_logits=True), expected, np.float32)
    logits[:, 0, 1] = 400, -600
    expected = np.logaddexp.reduce(np.zeros(n_classes - 1)) * 0 + (400 + 600) / 2
    assert fc.ensemble_disagreement(logits, from_logits=True)[0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [1, 3, 60, 130] if JIT else [1, 130])
@pytest.mark.parametrize("from_logits", [False, True])
def test_rows_that_are_no_distribution(n_classes, kind, from_logits):
    for n_members in (1, 3):
        scores = (logits_of if from_logits else probs_of)(n_members, 4, n_classes)
        scores[-1, 2, -1] = np.nan
        found = fc.ensemble_disagreement(scores, kind=kind, from_logits=from_logits)
        assert np.isnan(found).tolist() == [False, False, True, False]
        assert (found[:2] >= 0).all()
        if n_members == 1 or n_classes == 1:
            assert not found[:2].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form", [np.asarray, list, np.asfortranarray, lambda x: [x[0], *x[1:].astype(float)]][: 4 if JIT else 2]
)
def test_forms_and_threads(kind, form, monkeypatch):
    members = logits_of(3, 131 if JIT else 66, 5 if JIT else 2, np.float32)
    expected = fc.ensemble_disagreement(members, kind=kind, from_logits=True, n_threads=1)
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(workers, "CHUNK_BYTES", 1)
    monkeypatch.setattr(workers, "STATE_BYTES", 1)
    found = fc.ensemble_disagreement(form(members), kind=kind, from_logits=True, n_threads=3)
    if found.dtype == np.float32:
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    few = probs_of(2, 2, 130)
    np.testing.assert_array_equal(
        fc.ensemble_disagreement(list(few), kind=kind), fc.ensemble_disagreement(few, kind=kind)
    )
    assert fc.ensemble_disagreement(members[:, :, None], from_logits=True).shape == (members.shape[1], 1)
    assert fc.ensemble_disagreement(members[:, :0], kind=kind).shape == (0,)


def test_files(tmp_path):
    members = probs_of(3, 40, 5, np.float32)
    for m, one in enumerate(members):
        np.save(tmp_path / f"{m}.npy", one)
    paths = sorted(tmp_path.iterdir())
    for kind in KINDS:
        np.testing.assert_array_equal(
            fc.ensemble_disagreement(paths, kind=kind), fc.ensemble_disagreement(members, kind=kind)
        )


def test_faults():
    members = probs_of(2, 131 if JIT else 3, 5)
    for given_members in (iter(members), (one for one in members)):
        with pytest.raises(TypeError, match="which can be gone through once; pairs of members need all of them"):
            fc.ensemble_disagreement(given_members)
    with pytest.raises(ValueError, match="kind is 'KL'; expected 'kl' or 'js'"):
        fc.ensemble_disagreement(members, kind="KL")
    with pytest.raises(ValueError, match="n_threads is 0"):
        fc.ensemble_disagreement(members, n_threads=0)
    members[1, -1, 2] = 1.5
    for form in (np.asarray, list):
        with pytest.raises(fc.DataError, match=rf"members\[1, {members.shape[1] - 1}, 2\] is 1.5"):
            fc.ensemble_disagreement(form(members))


@given(
    st.integers(2, 5),
    st.sampled_from([2, 7, 130] if JIT else [3]),
    st.sampled_from(FLOATS),
    st.integers(0, 999),
    st.randoms(use_true_random=False),
)
def test_laws(n_members, n_classes, dtype, seed, random):
    """Symmetric in its members to rounding, 0 for equal ones; JS at most log 2, and at most a fourth of both KL."""
    members = probs_of(n_members, 20 if JIT else 2, n_classes, dtype, seed=seed)
    order = list(range(n_members))
    random.shuffle(order)
    for kind in KINDS:
        found = fc.ensemble_disagreement(members, kind=kind)
        other = fc.ensemble_disagreement(members[order], kind=kind)
        np.testing.assert_allclose(other, found, rtol=BOUND[dtype], atol=BOUND[dtype])
        assert not fc.ensemble_disagreement(members[[0] * n_members], kind=kind).any()
        assert (found >= 0).all()
    kl, js = (fc.ensemble_disagreement(members, kind=kind) for kind in KINDS)
    assert (js <= np.log(2) + BOUND[dtype]).all()
    assert (js <= kl / 2 + BOUND[dtype]).all()
