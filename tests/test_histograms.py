"""Histograms of confidence and entropy: as counted one by one, the same for any split, and no state but a true one."""

from __future__ import annotations

import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal.accumulators.histograms import CELLS, HistogramAccumulator
from fastcal.accumulators.risk_coverage import RiskCoverageAccumulator
from fastcal.accumulators.serial import pack, unpack

rng = np.random.default_rng(0)
P = rng.dirichlet(np.full(4, 0.4), 300).astype(np.float32)
Y = rng.integers(0, 4, 300)


def cell(share):
    """(lo, hi], the first also with 0."""
    return min(max(math.ceil(share * CELLS) - 1, 0), CELLS - 1)


def one_by_one(y, p):
    """Confidences of rows, by whether they are right."""
    found = {True: [0] * CELLS, False: [0] * CELLS}
    for label, row in zip(y.tolist(), p, strict=True):
        binary = np.ndim(row) == 0
        right = (row > 0.5) == bool(label) if binary else int(np.argmax(row)) == label
        found[bool(right)][cell(Fraction(float(row if binary else row.max())))] += 1
    return found


@pytest.mark.parametrize("p", [P, P[:, 1], P.astype(np.float64)])
def test_rows_are_counted_one_by_one(p):
    y = Y if p.ndim == 2 else Y % 2
    report = HistogramAccumulator().update(y, p).compute()
    found = one_by_one(y, p)
    assert report["confidence_histogram"].right.tolist() == found[True]
    assert report["confidence_histogram"].wrong.tolist() == found[False]
    assert report["is_binary"] == (p.ndim == 1)
    entropy = report["entropy_histogram"]
    assert entropy.right.sum() == sum(found[True])
    assert entropy.wrong.sum() == sum(found[False])


def test_entropy_is_a_share_of_that_of_a_uniform_row():
    p = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [0.6, 0.4, 0, 0]])
    report = HistogramAccumulator().update([0, 0, 0, 1], p).compute()
    entropy = report["entropy_histogram"]
    assert np.flatnonzero(entropy.right).tolist() == [0, 24, CELLS - 1]  # 0, log 2 and log 4 of log 4
    share = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) / math.log(4)
    assert np.flatnonzero(entropy.wrong).tolist() == [cell(share)]


def test_edges_belong_to_the_bin_below_and_one_class_has_entropy_0():
    edges = np.array([0.0, 0.02, 0.5, 1.0], np.float64)
    counts = HistogramAccumulator().update([0, 0, 0, 1], edges).compute()["confidence_histogram"]
    assert np.flatnonzero(counts.right).tolist() == [0, 24, 49]
    one = HistogramAccumulator().update([0, 0], [[1.0], [1.0]]).compute()
    assert one["entropy_histogram"].right[0] == 2
    assert one["confidence_histogram"].right[-1] == 2


@given(cuts=st.lists(st.integers(0, len(Y)), max_size=4), n_threads=st.integers(1, 3), seed=st.integers(0, 9))
def test_any_split_order_and_merge_gives_the_same_bytes(cuts, n_threads, seed):
    whole = HistogramAccumulator().update(Y, P)
    order = np.random.default_rng(seed).permutation(len(Y))
    parts = [
        HistogramAccumulator(n_threads=n_threads).update(Y[order[a:b]], P[order[a:b]])
        for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(Y)], strict=True)
    ]
    assert sum(parts).to_bytes() == whole.to_bytes()
    assert sum(parts[::-1]).merge(HistogramAccumulator()).to_bytes() == whole.to_bytes()


def test_weights_count_rows_and_nan_has_no_place():
    weighted = HistogramAccumulator().update(Y, P, sample_weight=np.full(len(Y), 0.25))
    assert weighted.to_bytes() == HistogramAccumulator().update(Y, P).to_bytes()
    p = P.copy()
    p[7, 0] = np.nan
    with pytest.raises(fc.DataError, match=r"y_prob\[7, 0\]"):
        HistogramAccumulator().update(Y, p)
    left_out = HistogramAccumulator(nan_policy="omit").update(Y, p).compute()
    kept = np.delete(np.arange(len(Y)), 7)
    expected = HistogramAccumulator(nan_policy="omit").update(Y[kept], P[kept]).compute()
    assert left_out["n_nan"] == 1
    for name in ("confidence_histogram", "entropy_histogram"):
        assert left_out[name].to_dict() == expected[name].to_dict()


def test_states_come_back_and_others_are_refused():
    acc = HistogramAccumulator().update(Y, P)
    assert HistogramAccumulator.from_bytes(acc.to_bytes()).to_bytes() == acc.to_bytes()
    assert pickle.loads(pickle.dumps(acc)).to_bytes() == acc.to_bytes()
    assert HistogramAccumulator.from_bytes(HistogramAccumulator().to_bytes()).is_empty
    settings, arrays, _ = unpack(acc.to_bytes(), "HistogramAccumulator")
    for change in ((0, 0, 0), (1, 1, 49)):
        wrong = arrays["histograms.count"].copy()
        wrong[change] += 1
        changed = {**arrays, "histograms.count": wrong}
        with pytest.raises(ValueError, match="not a fastcal state"):
            HistogramAccumulator.from_bytes(pack("HistogramAccumulator", settings, changed))
    moved = arrays["histograms.count"].copy()
    moved[0, 0, 0] += 1
    moved[0, 1, int(np.flatnonzero(moved[0, 1])[0])] -= 1
    with pytest.raises(ValueError, match="contradict"):
        HistogramAccumulator.from_bytes(pack("HistogramAccumulator", settings, {**arrays, "histograms.count": moved}))
    json.loads(acc.compute().to_json())


def test_logits_are_counted_as_their_softmax():
    logits = np.log(P.astype(np.float64) + 1e-3)
    probs = fc.softmax(logits)
    given_logits = HistogramAccumulator(from_logits=True).update(Y, logits).compute()
    given_probs = HistogramAccumulator().update(Y, probs).compute()
    assert given_logits["from_logits"]
    for name in ("confidence_histogram", "entropy_histogram"):
        assert given_logits[name].to_dict() == given_probs[name].to_dict()


def test_the_curve_of_a_stream_is_that_of_the_array():
    acc = RiskCoverageAccumulator()
    for start in range(0, len(Y), 70):
        acc.update(Y[start : start + 70], P[start : start + 70])
    report, curve = acc.compute(), fc.risk_coverage_curve(Y, P)
    np.testing.assert_array_equal(report["curve"].risk, curve.risk)
    np.testing.assert_array_equal(report["curve"].coverage, curve.coverage)
    assert report["aurc"] == fc.aurc(Y, P)
    assert RiskCoverageAccumulator.from_bytes(acc.to_bytes()).compute().to_json() == report.to_json()
    assert len(RiskCoverageAccumulator().compute()["curve"].risk) == 0
