"""Ways that are taken for speed only: each gives the bits of the way that it stands for."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal import kernels
from fastcal.accumulators import order, rows
from fastcal.accumulators.bins import Binning, Lookup
from fastcal.accumulators.state import FLOAT_BITS, integer
from fastcal.arrays import predictions

N = 3000 if JIT else 1500


def confidences(seed=0, n=N, dtype=np.float32):
    rng = np.random.default_rng(seed)
    p = (rng.random(n) ** rng.choice([0.02, 1.0, 9.0])).astype(dtype)
    edges = np.linspace(0, 1, 16).astype(dtype)
    p[:48] = np.concatenate([edges, np.nextafter(edges, dtype(0)), np.nextafter(edges, dtype(1)).clip(0, 1)])
    return rng.integers(0, 2, n), p


@pytest.mark.parametrize("n_bins", [1, 2, 7, 15, 98, 100, 256])
def test_bins_by_width_equal_bins_by_cuts(n_bins):
    y, p = confidences(n_bins)
    p[60] = np.nan
    state = {"n_bins": n_bins, "squares": False, "nan_policy": "omit"}
    by_width = fc.ReliabilityAccumulator(**state).update(y, p)
    by_cuts = fc.ReliabilityAccumulator(**state, binning=np.linspace(0, 1, n_bins + 1)).update(y, p)
    ours, theirs = (one.part_state("reliability") for one in (by_width, by_cuts))
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    found = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], np.delete(p, 60).astype(float), side="left")
    np.testing.assert_array_equal(ours["count"], np.bincount(found, minlength=n_bins))


def test_width_is_trusted_only_where_it_says_every_bin():
    trusted = {n: Binning(n).lookup(np.dtype(np.float32)).by_width for n in range(1, 257)}
    assert trusted[15] == 15
    assert trusted[98] == 0  # an edge of 98 bins times 98 is no whole number
    assert Binning(15).lookup(np.dtype(np.float64)).by_width == 0
    for other in ({"closed": "left"}, {"convention": "guo"}, {"binning": [0, 0.5, 1]}):
        assert Binning(**other).lookup(np.dtype(np.float32)).by_width == 0


def rows_of(n_classes, n=300, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, n_classes)).astype(np.float32) * 3
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    return rng.integers(0, n_classes, n), probs, logits


@pytest.mark.parametrize("closer", [1, 200])
@pytest.mark.parametrize("n_classes", [16, 17, 40, 63, 70, 130])
def test_rows_seen_as_integers_equal_rows_worked_on_whole(n_classes, closer, monkeypatch):
    """Up to a row that is looked at more closely, some may have gone to their bins."""
    y, probs, _ = rows_of(n_classes)
    probs[0] = 0
    probs[0, [3, 5]] = 0.5  # a tie: the first of equals is predicted
    y[0] = 5
    probs[closer, :2] = (-0.0, probs[closer, :2].sum())
    for kind in (fc.ReliabilityAccumulator, fc.ClasswiseAccumulator, fc.OrderAccumulator):
        quick = kind().update(y, probs)
        with monkeypatch.context() as patch:
            patch.setattr(rows, "WIDE", 1 << 30)
            assert kind().update(y, probs).to_bytes() == quick.to_bytes()
    assert fc.ReliabilityAccumulator().update([5], probs[:1]).compute()["reliability"].accuracy[7] == 0


@pytest.mark.parametrize(
    ("row", "value", "message"),
    [
        (7, np.nan, r"y_prob\[7, 2\] is nan"),
        (8, np.inf, r"y_prob\[8, 2\] is inf"),
        (9, -0.2, r"y_prob\[9, 2\] is -0.2"),
        (11, 1.2, r"y_prob\[11, 2\] is 1.2"),
        (12, 0.5, r"y_prob\[12\] sums to 1\."),
    ],
)
def test_rows_that_are_none_are_found_all_the_same(row, value, message):
    y, probs, _ = rows_of(20)
    probs[row, 2] = value
    with pytest.raises(fc.DataError, match=message):
        fc.ece(y, probs)
    y[3] = 20
    with pytest.raises(fc.DataError, match=r"y_true\[3\] is 20"):
        fc.ece(y, probs)


def test_rows_left_out_and_weights_on_both_ways(monkeypatch):
    y, probs, _ = rows_of(20)
    probs[5] = np.nan
    weights = np.random.default_rng(1).integers(0, 4, len(y))
    quick = fc.ClasswiseAccumulator(nan_policy="omit").update(y, probs, sample_weight=weights)
    quick.update(y[6:], probs[6:], sample_weight=weights[6:])
    monkeypatch.setattr(rows, "WIDE", 1 << 30)
    whole = fc.ClasswiseAccumulator(nan_policy="omit").update(y, probs, sample_weight=weights)
    whole.update(y[6:], probs[6:], sample_weight=weights[6:])
    assert quick.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("n_classes", [2, 10, 15])
def test_classes_in_vectors_and_one_by_one_have_the_same_bins(n_classes):
    y, probs, _ = rows_of(n_classes)
    padded = np.concatenate([probs, np.zeros((len(y), 16), np.float32)], axis=1)
    few = fc.ClasswiseAccumulator().update(y, probs).part_state("classwise")
    many = fc.ClasswiseAccumulator().update(y, padded).part_state("classwise")
    for name, array in few.items():
        np.testing.assert_array_equal(array, many[name][:n_classes], err_msg=name)
    assert (many["count"][n_classes:, 0] == len(y)).all()


@pytest.mark.parametrize("n", [1, 7, 39])
def test_wide_rows_four_at_a_time_and_those_left_over(n, monkeypatch):
    y, probs, _ = rows_of(64, n=n)
    quick = fc.ClasswiseAccumulator(n_threads=1).update(y, probs)
    monkeypatch.setattr(rows, "WIDE", 1 << 30)
    assert quick.to_bytes() == fc.ClasswiseAccumulator(n_threads=1).update(y, probs).to_bytes()


def test_words_of_classes_are_emptied_in_time(monkeypatch):
    y, probs, _ = rows_of(18, n=5000 if JIT else 60)
    if not JIT:
        monkeypatch.setattr(kernels.classwise, "MOST_ROWS", 16)
    ours = fc.ClasswiseAccumulator(n_threads=1).update(y, probs).part_state("classwise")
    few = fc.ClasswiseAccumulator(n_threads=1).update(y % 5, probs[:, :5] / probs[:, :5].sum(1, keepdims=True))
    for state, p in ((ours, probs), (few.part_state("classwise"), probs[:, :5] / probs[:, :5].sum(1, keepdims=True))):
        for k in (0, 4):
            exact = sum(Fraction(round(float(x) * 2**50), 2**50) for x in p[:, k])
            assert sum(integer(digits) for digits in state["confidence_signed_sum"][k]) == exact * 2**62


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_counted_equal_cells_sorted(dtype, monkeypatch):
    y, p = confidences(3, dtype=dtype)
    p[100:130] = np.linspace(0, 1e-9, 30)  # below the cells of the first rows
    monkeypatch.setattr(rows, "CHUNK_BYTES", 1 << 12)
    many = np.argsort(p < 1e-6, kind="stable")  # the lowest come last
    y, p = y[many], p[many]
    if not JIT:
        monkeypatch.setattr(order, "MOST_DENSE", 1 << 11)
    sorted_ = fc.OrderAccumulator(n_cells=1024, n_threads=1, nan_policy="omit").update(y, p)
    for first in (1, 1100, 2000):
        monkeypatch.setattr(order, "FIRST_ROWS", first)
        with_nan = np.insert(p, [50, len(p)], np.nan)
        counted = fc.OrderAccumulator(n_cells=1024, n_threads=1, nan_policy="omit")
        counted.update(np.insert(y, [50, len(y)], 0), with_nan)
        assert counted.part_state("order").keys() == sorted_.part_state("order").keys()
        for name, array in sorted_.part_state("order").items():
            np.testing.assert_array_equal(counted.part_state("order")[name], array, err_msg=name)
    # the next update begins with what the last one knew
    twice = fc.OrderAccumulator(n_cells=1024, n_threads=1).update(y, p)
    assert (
        twice.update(y, p).to_bytes()
        == (sorted_.__class__(n_cells=1024).update(y, p) + fc.OrderAccumulator(n_cells=1024).update(y, p)).to_bytes()
    )


@given(st.lists(st.floats(-1e3, 1e3) | st.floats(-2.5, 2.5), max_size=30))
def test_squares_are_summed_to_multiples_of_two_to_the_minus_60(values):
    given_ = np.array([*values, np.nan, np.inf])
    given_.flags.writeable = False
    limbs = np.zeros((1, kernels.exact.N_LIMBS), np.int64)
    kernels.exact.add_squares(given_, limbs)
    squares = [float(x) * float(x) for x in values]
    exact = sum(Fraction(round(x * 2**60), 2**60) if x < 4 else Fraction(x) for x in squares)
    assert Fraction(integer(limbs[0]), 1 << FLOAT_BITS) == exact


@pytest.mark.parametrize("n_classes", [2, 5, 48, 128, 129, 140])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_from_what_a_row_left_are_its_softmax(n_classes, dtype):
    y, _, logits = rows_of(n_classes, n=130)
    logits = logits.astype(dtype)
    logits[0, 0], logits[1, 1] = np.inf, -np.inf
    given_ = rows.Rows(predictions(y, logits, from_logits=True))
    given_.fill(0, len(y))
    np.testing.assert_allclose(given_.probabilities(), fc.softmax(logits), rtol=3e-6 if dtype == np.float32 else 1e-14)
    assert given_.probabilities() is given_.probabilities()


def test_probabilities_of_log_odds_and_of_confidences():
    for scores, from_logits in ((np.array([-3.0, 0.0, 40.0]), True), (np.array([0.1, 0.5, 1.0]), False)):
        given_ = rows.Rows(predictions([0, 1, 1], scores, from_logits=from_logits))
        given_.fill(0, 3)
        p = 1 / (1 + np.exp(-scores)) if from_logits else scores
        np.testing.assert_allclose(given_.probabilities(), np.stack([1 - p, p], axis=1), atol=1e-15)


def test_a_lookup_of_many_cuts_close_together_takes_its_steps():
    cuts = np.sort(np.random.default_rng(0).random(200) * 1e-5 + 0.5)
    lookup = Lookup.of(cuts)
    p = np.concatenate([cuts, np.nextafter(cuts, 0), np.nextafter(cuts, 1), [0.0, 1.0]])
    p.flags.writeable = False
    cells = np.zeros((1, 201, kernels.binning.CELL), np.int64)
    kernels.binning.add(p, np.zeros(len(p), np.uint8), *lookup.arguments, None, cells)
    expected = np.bincount(np.searchsorted(cuts, p, side="left"), minlength=201)
    np.testing.assert_array_equal(cells[0, :, kernels.binning.ROWS], expected)
    assert math.isclose(cells[0, :, kernels.binning.HIGH].sum() * 2.0**-30, p.sum(), rel_tol=1e-6)
