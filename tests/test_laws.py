"""The laws of the states: any split, any order, any number of threads, any chunk size gives the same bytes."""

from __future__ import annotations

import pickle
import threading
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from strategies import Rows, cuts, rows

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import rows as chunking

ACCUMULATORS = [
    fc.Evaluation,
    fc.ReliabilityAccumulator,
    fc.ScoreAccumulator,
    fc.ClasswiseAccumulator,
    fc.OrderAccumulator,
    fc.SmoothAccumulator,
    fc.SpiegelhalterAccumulator,
]

# Figures of which an integer weight is no repeated row: it says that a row counts for more, not that there are more.
OF_SAMPLES = {
    "ece_debiased",
    "squared_ce_debiased",
    "rmsce_debiased",
    "ece_if_calibrated",
    "spiegelhalter_z",
    "spiegelhalter_p",
    "adaptive_ece",
    "sweep_ece",
}


def assert_same_state(ours, whole, drawn: Rows):
    """The same bytes; with real weights, whose sums are rounded to 106 bits, the same figures to 1e-12."""
    if drawn.weights is None or drawn.weights.dtype.kind == "i":
        assert ours.to_bytes() == whole.to_bytes()
        return
    assert ours.compute()["n"] == whole.compute()["n"]
    for name, value in whole.compute().items():
        if isinstance(value, float):
            assert ours.compute()[name] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), name


def seen(kind, data: Rows, index=slice(None), **options):
    labels, scores, weights = data.part(index)
    return kind(from_logits=data.from_logits, **options).update(labels, scores, sample_weight=weights)


@pytest.mark.parametrize("kind", ACCUMULATORS)
@given(st.data())
def test_merge_of_parts_in_any_order_has_the_bytes_of_the_whole(kind, data):
    drawn = data.draw(rows())
    bounds = data.draw(cuts(len(drawn)))
    parts = [seen(kind, drawn, slice(a, b)) for a, b in pairwise(bounds)]
    order = data.draw(st.permutations(range(len(parts))))
    whole = seen(kind, drawn)
    assert_same_state(sum(parts[i] for i in order), whole, drawn)
    left_to_right = kind(from_logits=drawn.from_logits)
    for i in order:
        left_to_right.merge(parts[i])
    assert_same_state(left_to_right, whole, drawn)
    # associative: any bracketing
    middle = data.draw(st.integers(0, len(parts)))
    empty = kind(from_logits=drawn.from_logits)
    assert_same_state(sum(parts[:middle], empty) + sum(parts[middle:], empty), whole, drawn)


@given(rows(), st.data())
def test_updates_one_by_one_or_permuted_give_the_same_bytes(drawn, data):
    whole = seen(fc.Evaluation, drawn)
    one_by_one = fc.Evaluation(from_logits=drawn.from_logits)
    for i in range(len(drawn)):
        labels, scores, weights = drawn.part(slice(i, i + 1))
        one_by_one.update(labels, scores, sample_weight=weights)
    assert_same_state(one_by_one, whole, drawn)
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(len(drawn))
    assert_same_state(seen(fc.Evaluation, drawn, order), whole, drawn)


@given(rows())
def test_an_empty_state_is_the_identity(drawn):
    whole = seen(fc.Evaluation, drawn)
    empty = fc.Evaluation(from_logits=drawn.from_logits)
    assert (whole + empty).to_bytes() == (empty + whole).to_bytes() == whole.to_bytes()
    assert (empty + empty).to_bytes() == empty.to_bytes()
    assert whole.reset().to_bytes() == empty.to_bytes()


@given(rows())
def test_bytes_and_pickles_come_back_as_they_went(drawn):
    whole = seen(fc.Evaluation, drawn)
    for back in (fc.Evaluation.from_bytes(whole.to_bytes()), pickle.loads(pickle.dumps(whole))):
        assert back.to_bytes() == whole.to_bytes()
        assert back.compute().to_json() == whole.compute().to_json()


@given(rows(weighted=False))
def test_weights_of_one_change_no_figure(drawn):
    plain = seen(fc.Evaluation, drawn).compute()
    ones = fc.Evaluation(from_logits=drawn.from_logits)
    ones.update(drawn.labels, drawn.scores, sample_weight=np.ones(len(drawn)))
    for name, value in ones.compute().items():
        if isinstance(value, float):
            assert value == pytest.approx(plain[name], rel=1e-12, abs=1e-15, nan_ok=True), name


@given(rows(weighted=False, max_rows=40), st.integers(0, 99))
def test_an_integer_weight_is_a_repeated_row(drawn, seed):
    weights = np.random.default_rng(seed).integers(0, 4, len(drawn))
    weights[0] = 1
    weighted = fc.Evaluation(from_logits=drawn.from_logits)
    weighted.update(drawn.labels, drawn.scores, sample_weight=weights)
    repeated = fc.Evaluation(from_logits=drawn.from_logits)
    repeated.update(np.repeat(drawn.labels, weights), np.repeat(drawn.scores, weights, axis=0))
    expected = repeated.compute()
    for name, value in weighted.compute().items():
        if isinstance(value, float) and name not in OF_SAMPLES:
            assert value == pytest.approx(expected[name], rel=1e-12, abs=1e-15, nan_ok=True), name


@pytest.fixture
def many() -> Rows:
    rng = np.random.default_rng(3)
    n = 3000 if JIT else 150
    logits = (rng.standard_normal((n, 5)) * 4).astype(np.float32)
    return Rows(rng.integers(0, 5, n), logits, None, True)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 12, 1 << 17, 1 << 19])
def test_threads_and_chunks_do_not_show(many, monkeypatch, n_threads, chunk_bytes):
    whole = seen(fc.Evaluation, many, n_threads=1).to_bytes()
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", chunk_bytes)
    assert seen(fc.Evaluation, many, n_threads=n_threads).to_bytes() == whole
    single = fc.softmax_summary(many.scores, n_threads=1)
    threaded = fc.softmax_summary(many.scores, n_threads=n_threads)
    for name in ("prediction", "confidence", "margin", "entropy", "logsumexp"):
        np.testing.assert_array_equal(getattr(single, name), getattr(threaded, name))


def test_a_row_does_not_show_where_it_stood():
    rng = np.random.default_rng(5)
    for n_classes in (1, 2, 10, 48, 64, 128, 129, 140) if JIT else (2, 129):
        logits = rng.standard_normal((200, n_classes)).astype(np.float32) * 5
        whole = fc.softmax_summary(logits)
        for row in (0, 1, 63, 64, 130, 199):
            alone = fc.softmax_summary(logits[row : row + 1])
            for name in ("prediction", "confidence", "margin", "entropy", "logsumexp"):
                assert getattr(alone, name)[0] == getattr(whole, name)[row], (n_classes, row, name)


def test_a_merge_that_does_not_fit_raises_and_changes_neither():
    probs = np.array([[0.2, 0.8], [0.6, 0.4]])
    base = fc.Evaluation().update([0, 1], probs)
    others = [
        (fc.Evaluation(n_bins=10).update([0, 1], probs), ValueError, "n_bins is 15 here and 10 there"),
        (fc.Evaluation(from_logits=True).update([0, 1], probs), ValueError, "from_logits"),
        (fc.Evaluation(nan_policy="omit").update([0, 1], probs), ValueError, "nan_policy"),
        (fc.Evaluation().update([0, 1], [0.2, 0.6]), ValueError, "2 columns here and 0 there"),
        (fc.Evaluation().update([0], [[0.2, 0.3, 0.5]]), ValueError, "2 columns here and 3 there"),
        (fc.Evaluation(convention="netcal", n_bins=15).update([0, 1], probs), ValueError, "convention|closed"),
        (fc.Evaluation(closed="left").update([0, 1], probs), ValueError, "closed"),
        (fc.Evaluation(n_bins=None, binning=[0, 0.5, 1]).update([0, 1], probs), ValueError, "binning|n_bins"),
        (fc.Evaluation(bootstrap=1).update([0, 1], probs), ValueError, "bootstrap"),
        (fc.ScoreAccumulator().update([0, 1], probs), TypeError, "ScoreAccumulator into Evaluation"),
    ]
    before = base.to_bytes()
    for other, error, message in others:
        theirs = other.to_bytes()
        with pytest.raises(error, match=message):
            base.merge(other)
        assert base.to_bytes() == before
        assert other.to_bytes() == theirs
    with pytest.raises(TypeError):
        base + 1


def test_an_update_that_raises_leaves_the_state_as_it_was():
    probs = np.full((5000, 4), 0.25)
    base = fc.Evaluation().update(np.zeros(5000, int), probs)
    before = base.to_bytes()
    bad = probs.copy()
    bad[4321, 2] = 7.0
    for y_true, y_prob in ((np.zeros(5000, int), bad), (np.full(5000, 4), probs), ([0], [0.5]), ([0, 1], probs)):
        with pytest.raises(ValueError, match="y_"):
            base.update(y_true, y_prob)
        assert base.to_bytes() == before


def test_an_accumulator_in_two_threads_at_once_raises():
    base = fc.Evaluation()
    base._busy.acquire()
    failures = []

    def update():
        try:
            base.update([0], [0.5])
        except RuntimeError as error:
            failures.append(str(error))

    thread = threading.Thread(target=update)
    thread.start()
    thread.join()
    base._busy.release()
    assert failures == ["this accumulator is being changed in another thread; use one for each and merge them"]
    assert base.update([0], [0.5]).compute()["n"] == 1


def test_merge_and_reset_wait_for_nobody_either():
    base = fc.Evaluation().update([0], [0.5])
    other = base + base
    base._busy.acquire()
    for change in (base.reset, lambda: base.merge(other)):
        with pytest.raises(RuntimeError, match="being changed in another thread"):
            change()
    base._busy.release()
    assert base.merge(other).compute()["n"] == 3


def test_empty_batches_of_a_stream():
    base = fc.Evaluation().update([0, 1], [[0.5, 0.5], [0.2, 0.8]])
    before = base.to_bytes()
    assert base.update([], []).update(np.empty(0, int), np.empty((0, 7))).to_bytes() == before


def test_nan_policies():
    probs = np.array([[0.2, 0.8], [np.nan, 0.4], [0.9, 0.1]])
    labels = [1, 0, 0]
    with pytest.raises(fc.DataError, match=r"y_prob\[1, 0\] is nan"):
        fc.Evaluation().update(labels, probs)
    omitted = fc.Evaluation(nan_policy="omit").update(labels, probs).compute()
    kept = fc.Evaluation().update([1, 0], probs[[0, 2]]).compute()
    assert (omitted["n"], omitted["n_nan"]) == (2, 1)
    weighted = fc.Evaluation(nan_policy="omit").update(labels, probs, sample_weight=[1, 5, 1]).compute()
    for name in ("accuracy", "nll", "brier", "entropy", "ece", "mce", "confidence"):
        assert omitted[name] == kept[name] == weighted[name]
    for figure, kwargs in ((fc.accuracy, {}), (fc.accuracy, {"sample_weight": [1, 1, 1]}), (fc.ece, {}), (fc.mce, {})):
        for label in (0, 1):  # whatever the label of the row that is left out
            found = figure([1, label, 0], probs, nan_policy="omit", **kwargs)
            assert found == figure([1, 0], probs[[0, 2]])
    single = [np.nan, 0.7, 0.8]
    assert fc.accuracy([0, 1, 1], single, nan_policy="omit") == 1
    infinite = [[np.inf, np.inf], [0.3, 0.7], [0.2, 0.8]]
    assert fc.accuracy([0, 1, 1], infinite, nan_policy="omit", from_logits=True) == 1
    curve = fc.reliability_curve(labels, probs, nan_policy="propagate")
    assert np.isnan([curve.confidence, curve.accuracy]).all()
    propagated = fc.Evaluation(nan_policy="propagate").update(labels, probs).compute()
    assert np.isnan(propagated["ece"])
    assert np.isnan(propagated["nll"])
    assert (propagated["n"], propagated["n_nan"]) == (2, 1)
    assert np.isnan(fc.ece(labels, probs, nan_policy="propagate"))
