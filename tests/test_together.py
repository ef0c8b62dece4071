"""Many numbers at a time and one at a time give the same integers: exact sums of scores, bins of narrow rows."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal import kernels
from fastcal.accumulators import classwise

SPECIAL = [0.0, -0.0, 1e-45, 2.0**-77, 2.0**-78, -(2.0**-101), 2.0, 2.5, 1023.9, 1024.1, 2.0**20, 1e30, np.inf, np.nan]


def read_only(values, dtype):
    array = np.array(values, dtype)
    array.flags.writeable = False
    return array


def limbs():
    return np.zeros((1, kernels.exact.N_LIMBS), np.int64)


@given(st.lists(st.sampled_from(SPECIAL) | st.floats(-4, 4), max_size=12), st.sampled_from(["f4", "f8"]), st.booleans())
def test_sums_of_scores_are_those_of_one_after_the_other(values, dtype, squares):
    nll, brier = read_only(values, dtype), read_only(values[::-1], dtype)
    correct = read_only([i % 2 for i in range(len(values))], np.uint8)
    none = np.empty((0, kernels.exact.N_LIMBS), np.int64)
    ours = [limbs() for _ in range(3)] + [limbs() if squares else none for _ in range(2)]
    counts, totals = np.zeros(3, np.int64), np.zeros((3, kernels.columns.N_TOTALS), np.int64)
    kernels.columns.add_scores(nll, brier, nll, correct, totals, *ours, counts)
    theirs, weights = [limbs() for _ in range(5)], read_only([], np.float64)
    infinite = kernels.exact.add(nll, weights, theirs[0])
    kernels.exact.add(brier, weights, theirs[1])
    kernels.exact.add(nll, weights, theirs[2])
    kernels.exact.add_squares(nll, theirs[3])
    kernels.exact.add_squares(brier, theirs[4])
    for mine, other in zip(ours[: 5 if squares else 3], theirs, strict=False):
        np.testing.assert_array_equal(mine, other)
    assert counts.tolist() == [np.count_nonzero(~np.isnan(nll)), infinite, correct.sum()]
    assert not totals.any()


def rows_of(n_classes, dtype, n, from_logits):
    rng = np.random.default_rng(n_classes)
    scores = (rng.standard_normal((n, n_classes)) * 2).astype(dtype)
    if not from_logits:
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        scores[0] = 0
        scores[0, -1] = 1
        scores[1:3] = 1 / n_classes
    scores[4] = np.nan
    if n_classes > 1 and from_logits:
        scores[5, 0] = np.inf
        scores[6, -1] = scores[6, 0]
    return rng.integers(0, n_classes, n), scores.astype(dtype)


KINDS = [{}, {"convention": "netcal"}]
KINDS += [{"n_bins": 1}, {"closed": "left"}, {"convention": "guo"}, {"n_bins": 60}] if JIT else []


@pytest.mark.parametrize("n_classes", [1, 2, 10, 16, 48] if JIT else [3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_bins_of_lines_of_rows_are_those_of_rows(n_classes, dtype, from_logits, monkeypatch):
    y, scores = rows_of(n_classes, dtype, 200 if JIT else 70, from_logits)
    for more in (
        {},
        {"n_bins": 1},
        {"closed": "left"},
        {"convention": "netcal"},
        {"convention": "guo"},
        {"n_bins": 60},
    ):
        options = {"from_logits": from_logits, "nan_policy": "omit", **more}
        by_lines = fc.ClasswiseAccumulator(**options).update(y, scores)
        with monkeypatch.context() as patch:
            patch.setattr(classwise, "most_rows", lambda _: 64)  # words are emptied after every block
            assert fc.ClasswiseAccumulator(**options).update(y, scores).to_bytes() == by_lines.to_bytes()
            patch.setattr(classwise, "MOST_BINS", 0)
            assert fc.ClasswiseAccumulator(**options).update(y, scores).to_bytes() == by_lines.to_bytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_words_of_rows_are_emptied_as_those_of_lines(dtype, monkeypatch):
    if not JIT:
        monkeypatch.setattr(kernels.classwise, "MOST_ROWS", 8)
    y, scores = rows_of(18, dtype, 2 * kernels.classwise.MOST_ROWS + 4, from_logits=False)
    by_lines = fc.ClasswiseAccumulator(nan_policy="omit").update(y, scores)
    monkeypatch.setattr(classwise, "MOST_BINS", 0)
    assert fc.ClasswiseAccumulator(nan_policy="omit").update(y, scores).to_bytes() == by_lines.to_bytes()


def test_rows_of_nan_are_above_no_threshold():
    y, scores = rows_of(3, "f8", 9, from_logits=False)
    found = fc.ClasswiseAccumulator(threshold=0.05, nan_policy="omit").update(y, scores)
    kept = fc.ClasswiseAccumulator(threshold=0.05).update(np.delete(y, 4), np.delete(scores, 4, axis=0))
    assert found.compute()["classwise_ece"] == kept.compute()["classwise_ece"]


@pytest.mark.parametrize("first", [1.0, 1 / 15, 1 / 16, 0.0625001, 1e-9, 0.0, np.inf])
def test_words_hold_what_lies_above_the_first_cut(first):
    bits = classwise.word_bits(first)
    above = np.nextafter(np.float32(min(first, 1.0)), np.float32(2))
    if bits < kernels.classwise.SCALE_BITS:
        assert float(above) * 2.0**bits == int(float(above) * 2.0**bits)
    n = classwise.most_rows(bits)
    assert n >= kernels.rows.BLOCK
    place = bits + n.bit_length()  # of the number of rows, above the sum of n ones
    assert n << bits < 1 << place
    assert n << place < 1 << 64


def test_a_full_word_of_ones_is_counted():
    n = 64 * 3
    probs = np.zeros((n, 2))
    probs[:, 1] = 1
    report = fc.ClasswiseAccumulator().update(np.ones(n, int), probs).compute()
    assert report["classwise_ece"] == 0
    assert report["classes"].confidence.tolist() == [0, 1]
