"""Comparisons of two models: every figure and interval against its oracle, laws, coverage, and rows that are none."""

from __future__ import annotations

import json
import math
import warnings
from itertools import pairwise

import numpy as np
import oracle_paired
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom, binomtest, ttest_rel
from strategies import Rows, cuts, rows

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import rows as chunking
from fastcal.accumulators.paired import PairedAccumulator

N = 400 if JIT else 40
RNG = np.random.default_rng(7)
Z = RNG.normal(size=(N, 4))
LABELS = (Z + RNG.gumbel(size=(N, 4))).argmax(axis=1)
A, B = softmax(Z, axis=1), softmax(1.8 * Z + RNG.normal(size=(N, 4)) / 3, axis=1)
P = RNG.beta(0.7, 0.7, N)
Y = (RNG.random(N) < P).astype(np.int64)
Q = np.clip(P + 0.2 * np.sign(P - 0.5), 0.001, 0.999)
W = RNG.integers(0, 4, N)


def check(found, expected, rel=1e-9):
    assert list(found) == list(expected)
    for name, (a, b, difference, ends) in expected.items():
        one = found[name]
        assert (one.a, one.b, one.difference) == pytest.approx((a, b, difference), rel=rel, abs=1e-12), name
        if ends is None:
            assert one.interval is None
            assert (one.better, bool(one.note)) == ("no interval", True)
        else:
            assert one.interval == pytest.approx(ends, rel=1e-6, abs=1e-9), name
            low, high = one.interval
            better = ("A" if low > 0 else "B" if high < 0 else "not sure") if name == "accuracy" else None
            better = better or ("B" if low > 0 else "A" if high < 0 else "not sure")
            assert one.better == better


@pytest.mark.parametrize("weights", [None, W, RNG.exponential(size=N) * 1e30], ids=["", "integer", "real"])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_every_figure_is_its_oracles(weights, level):
    options = {"sample_weight": weights, "level": level}
    check(fc.compare(LABELS, A, B, **options), oracle_paired.compare(LABELS, A, B, **options))
    check(fc.compare(Y, P, Q, **options), oracle_paired.compare(Y, P, Q, **options))
    found = fc.compare(LABELS, Z, B, from_logits=(True, False), **options)
    check(found, oracle_paired.compare(LABELS, Z, B, from_logits=(True, False), **options))


def test_figures_are_those_of_the_report():
    report_a, report_b = (fc.Evaluation().update(LABELS, p, sample_weight=W).compute() for p in (A, B))
    found = fc.compare(LABELS, A, B, sample_weight=W)
    for name in found:
        assert (found[name].a, found[name].b) == (report_a[name], report_b[name])


def test_clear_gaps_have_intervals_of_ece():
    rng = np.random.default_rng(1)
    p = rng.choice([0.1, 0.3, 0.6, 0.9], 4000 if JIT else 400)
    y = rng.random(len(p)) < 0.5
    found, expected = fc.compare(y, p, p**0.5), oracle_paired.compare(y, p, p**0.5)
    check(found, expected)
    if JIT:
        assert all(found[name].interval is not None for name in found)
        assert found["ece"].better == found["rmsce"].better == found.better_calibrated


def test_scores_are_a_paired_t_test_of_many_rows():
    found = fc.compare(Y, P, Q)
    expected = ttest_rel((P - Y) ** 2, (Q - Y) ** 2)
    low, high = found["brier"].interval
    half = (high - low) / 2
    assert found["brier"].difference == pytest.approx(expected.statistic * half / 1.959963984540054, rel=1e-9)


def test_mcnemar_counts_rows_that_one_model_alone_has_right():
    right = [(p.argmax(axis=1) == LABELS) for p in (A, B)]
    found = fc.compare(LABELS, A, B)
    counts = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert (found.only_a_correct, found.only_b_correct) == counts
    assert found["accuracy"].difference == pytest.approx((counts[0] - counts[1]) / N, abs=1e-15)
    assert found.mcnemar_p == pytest.approx(binomtest(counts[0], sum(counts)).pvalue)
    assert math.isnan(fc.compare(LABELS, A, B, sample_weight=W).mcnemar_p)
    assert fc.compare(LABELS, A, A).mcnemar_p == 1.0


def test_a_model_is_no_better_than_itself():
    found = fc.compare(LABELS, A, A)
    for name in ("nll", "brier", "squared_ce_debiased"):
        assert (found[name].difference, found[name].better) == (0.0, "not sure")
        assert found[name].interval == pytest.approx((0, 0), abs=1e-7)
    low, high = found["accuracy"].interval
    assert low == -high != 0


def test_the_other_way_round_all_signs_change():
    found, back = fc.compare(LABELS, A, B), fc.compare(LABELS, B, A)
    for name in found:
        assert back[name].difference == pytest.approx(-found[name].difference, abs=1e-15)
        assert back[name].better == {"A": "B", "B": "A"}.get(found[name].better, found[name].better)
        if found[name].interval is not None:
            assert back[name].interval == pytest.approx([-x for x in found[name].interval[::-1]], abs=1e-12)


def paired(data: Rows, other, index=slice(None), **options):
    y, p, w = data.part(index)
    empty = PairedAccumulator(from_logits=data.from_logits, **options)
    return empty.update(y, p, other[index], sample_weight=w)


def same(left, right):
    """Whether two have the same bits."""
    assert (left._n, left._columns) == (right._n, right._columns)
    for mine, theirs in zip([*left._sides, {"": left._pairs}], [*right._sides, {"": right._pairs}], strict=True):
        for part in mine:
            assert mine[part].keys() == theirs[part].keys()
            for name, array in mine[part].items():
                np.testing.assert_array_equal(array, theirs[part][name], err_msg=f"{part}.{name}")


@settings(max_examples=30 if JIT else 4)
@given(rows(max_rows=60), st.data())
def test_any_split_order_and_merge_has_the_same_bits(drawn, data):
    if drawn.weights is not None and drawn.weights.dtype.kind == "f":
        drawn = Rows(drawn.labels, drawn.scores, np.arange(len(drawn)) % 4, drawn.from_logits)
    order = np.random.default_rng(1).permutation(len(drawn))
    other = drawn.scores[:, ::-1].copy() if drawn.scores.ndim == 2 else 1 - drawn.scores
    whole = paired(drawn, other)
    bounds = data.draw(cuts(len(drawn)))
    parts = [paired(drawn, other, slice(a, b)) for a, b in pairwise(bounds)]
    merged = PairedAccumulator(from_logits=drawn.from_logits)
    for k in data.draw(st.permutations(range(len(parts)))):
        merged.merge(parts[k])
    same(merged, whole)
    same(whole.empty().merge(whole).merge(whole.empty()), whole)
    stream = whole.empty()
    for a, b in pairwise(bounds):
        y, p, w = drawn.part(slice(a, b))
        stream.update(y, p, other[a:b], sample_weight=w)
    same(stream, whole)
    same(paired(drawn, other, order), whole)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_and_chunks_do_not_show(monkeypatch, n_threads):
    data = Rows(LABELS, A, None, False)
    whole = paired(data, B)
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 10)
    same(paired(data, B, n_threads=n_threads), whole)


def test_rows_with_and_without_weights_add_up():
    half = N // 2
    stream = PairedAccumulator().update(LABELS[:half], A[:half], B[:half])
    stream.update(LABELS[half:], A[half:], B[half:], sample_weight=W[half:])
    whole = np.concatenate([np.ones(half), W[half:]])
    check(stream.compute(), oracle_paired.compare(LABELS, A, B, sample_weight=whole))


# Certainty


def simulated(kind, rng, n):
    if kind == "both calibrated":
        u, v = rng.uniform(-1, 1, (2, n))
        return rng.random(n) < (1 + 0.5 * u + 0.5 * v) / 2, (1 + 0.5 * u) / 2, (1 + 0.5 * v) / 2, 0.0
    truth = np.linspace(0.02, 0.98, 49)
    off = np.clip(truth + 0.1 * np.sign(truth - 0.5), 0.01, 0.99)
    k = np.searchsorted(np.linspace(0, 1, 16)[1:-1], off, side="left")
    share, gap = np.bincount(k, minlength=15), np.bincount(k, off - truth, minlength=15)
    squared = float((gap**2 / np.where(share > 0, share, 1)).sum() / len(truth))
    which = rng.integers(0, len(truth), n)
    return rng.random(n) < truth[which], truth[which], off[which], -squared


@pytest.mark.skipif(not JIT, reason="needs hundreds of simulations")
@pytest.mark.parametrize("kind", ["both calibrated", "one off"])
def test_intervals_of_the_squared_error_hold_the_truth_as_often_as_they_say(kind):
    rng, n, inside, sure = np.random.default_rng(3), 150, 0, 0
    for _ in range(n):
        y, a, b, truth = simulated(kind, rng, 1000)
        one = fc.compare(y, a, b)["squared_ce_debiased"]
        inside += one.interval[0] <= truth <= one.interval[1]
        sure += one.better == "A"
    assert inside >= binom.ppf(0.001, n, 0.95)
    assert sure > 0.5 * n if kind == "one off" else sure <= 0.05 * n


@pytest.mark.skipif(not JIT, reason="needs hundreds of simulations")
def test_intervals_of_the_accuracy_hold_the_truth_of_few_rows():
    rng, n, inside = np.random.default_rng(4), 200, 0
    for _ in range(n):
        right = rng.random((2, 50)) < [[0.9], [0.7]]
        y = np.ones(50, np.int64)
        low, high = fc.compare(y, np.where(right[0], 0.8, 0.2), np.where(right[1], 0.8, 0.2))["accuracy"].interval
        inside += low <= 0.2 <= high
    assert binom.ppf(0.001, n, 0.95) <= inside


@pytest.mark.skipif(not JIT, reason="needs hundreds of simulations")
def test_intervals_of_models_that_are_far_off_hold_the_truth_as_often_as_they_say():
    p, rng, n = np.array([0.1, 0.3, 0.6, 0.9]), np.random.default_rng(8), 150
    sides = p, p**0.5
    q = np.array([0.6, 0.9, 0.2, 0.5])  # P(y = 1), far from all of these

    def truths(one):
        gap = q - one
        return {
            "accuracy": np.where(one > 0.5, q, 1 - q).mean(),
            "nll": -(q * np.log(one) + (1 - q) * np.log(1 - one)).mean(),
            "brier": (q * (1 - one) ** 2 + (1 - q) * one**2).mean(),
            "squared_ce_debiased": (gap**2).mean(),
            "ece": abs(gap).mean(),
            "rmsce": math.sqrt((gap**2).mean()),
        }

    a, b = map(truths, sides)
    inside = dict.fromkeys(a, 0)
    for _ in range(n):
        which = rng.integers(0, 4, 1500)
        found = fc.compare(rng.random(1500) < q[which], sides[0][which], sides[1][which])
        for name in inside:
            low, high = found[name].interval
            inside[name] += low <= a[name] - b[name] <= high
    low, high = binom.ppf([0.001, 0.999], n, 0.95)
    assert all(low <= count <= high for count in inside.values()), inside


# Ends and what is none


def test_labels_of_probability_0():
    p, q, y = np.array([0.0, 0.5, 0.5, 1.0]), np.array([0.1, 0.5, 0.5, 1.0]), np.array([1, 0, 1, 0])
    found = fc.compare(y, p, q)["nll"]
    assert (found.a, found.b, found.difference) == (math.inf, math.inf, math.inf)
    assert (found.interval, found.better) == (None, "no interval")
    assert "1 rows of A alone, 0 of B alone" in found.note
    assert fc.compare(y, q, p)["nll"].difference == -math.inf
    assert math.isnan(fc.compare(y[:2], p[:2], np.array([0.1, 1.0]))["nll"].difference)
    both = fc.compare(y, p, p)["nll"]
    assert (both.a, both.difference, both.better) == (math.inf, 0.0, "not sure")
    weightless = fc.compare(y[:3], p[:3], q[:3], sample_weight=[0, 1, 1])["nll"]
    assert weightless.difference == 0.0


def test_one_row_and_no_weight_are_not_sure_of_anything():
    found = fc.compare([1], [0.4], [0.7])
    assert [found[name].better for name in ("nll", "brier")] == ["no interval"] * 2
    assert found["accuracy"].better == "not sure"
    nothing = fc.compare(Y, P, Q, sample_weight=np.zeros(N))
    assert all(math.isnan(nothing[name].a) for name in nothing)
    assert all(nothing[name].better == "no interval" for name in nothing)


def test_json_and_text():
    found = fc.compare(LABELS, A, B)
    written = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert written["n"] == N
    assert written["better_calibrated"] == found.better_calibrated
    assert list(written["figures"]) == list(found)
    assert len(found) == 6
    assert written["figures"]["nll"]["interval"] == list(found["nll"].interval)
    for name in found:
        assert f"{name:19}" in str(found)
    with pytest.raises(KeyError):
        found["nope"]


FORMS = {
    "float32": lambda p: p.astype(np.float32),
    "float16": lambda p: p.astype(np.float16),
    "big-endian": lambda p: p.astype(">f8"),
    "list": lambda p: p.tolist(),
    "Fortran": np.asfortranarray,
    "strided": lambda p: np.repeat(p, 2, axis=0)[::2],
    "masked": np.ma.masked_array,
    "three dimensions": lambda p: p.reshape(2, -1, 4),
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_every_kind(form):
    a, b = FORMS[form](A), FORMS[form](B)
    y = LABELS.reshape(2, -1) if form == "three dimensions" else LABELS
    as_array = [np.asarray(x, float).reshape(-1, 4) for x in (a, b)]
    found, expected = fc.compare(y, a, b), oracle_paired.compare(LABELS, *as_array)
    for name in found:
        close = {"rel": 1e-4, "abs": 1e-4} if form in ("float32", "float16") else {"rel": 1e-9, "abs": 1e-12}
        assert found[name].difference == pytest.approx(expected[name][2], **close)


def test_read_only_arrays_and_tensors_are_taken():
    for array in (frozen := [A.copy(), B.copy()]):
        array.flags.writeable = False
    assert fc.compare(LABELS, *frozen) == fc.compare(LABELS, A, B)
    torch = pytest.importorskip("torch", reason="tensors need torch, of the bench extra")
    assert fc.compare(torch.tensor(LABELS), torch.tensor(A), torch.tensor(B)) == fc.compare(LABELS, A, B)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


BAD = {
    "NaN in A": ((LABELS, changed(A, (3, 1), np.nan), B), r"prob_a\[3, 1\] is nan; a comparison leaves no row out"),
    "NaN in B": ((LABELS, A, changed(B, (5, 0), np.nan)), r"prob_b\[5, 0\] is nan"),
    "the first of two": ((LABELS, changed(A, (9, 0), 3), changed(B, (5, 0), 2)), r"prob_b\[5, 0\] is 2; prob"),
    "infinite": ((LABELS, A, changed(B, (5, 0), np.inf)), r"prob_b\[5, 0\] is inf"),
    "out of range": ((Y, changed(P, 2, 1.5), Q), r"prob_a\[2\] is 1.5; probabilities lie in \[0, 1\]"),
    "sum": ((LABELS, A, B * 1.1), r"prob_b\[0\] sums to 1.1"),
    "label": ((changed(LABELS, 7, 4), A, B), r"y_true\[7\] is 4; labels are integers 0 to 3"),
    "labels of another length": ((LABELS[1:], A, B), r"y_true has shape .*; prob_a has shape"),
    "other shapes": ((LABELS, A, B[:, :3]), r"prob_b has shape \(\d+, 3\), expected that of prob_a, \(\d+, 4\)"),
    "other rows": ((LABELS, A, B[1:]), "prob_b has shape"),
    "a number": ((0, 0.5, 0.5), "prob_a has shape"),
    "nothing": (([], [], []), "y_true is empty"),
    "ragged": ((LABELS, A, [[1.0], [0.5, 0.5]]), "prob_b is no array: row 1 has 2 values, row 0 has 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_are_none_are_named(name):
    arguments, message = BAD[name]
    with pytest.raises(fc.DataError, match=message):
        fc.compare(*arguments)
    seen = PairedAccumulator().update(LABELS, A, B)
    before = seen.compute()
    if name != "nothing":
        with pytest.raises(fc.DataError):
            seen.update(*arguments)
    assert seen.compute() == before


def test_weights_types_and_options_that_are_none():
    with pytest.raises(fc.DataError, match=r"sample_weight\[1\] is -1"):
        fc.compare(Y, P, Q, sample_weight=changed(np.ones(N), 1, -1))
    with pytest.raises(fc.DataError, match="sample_weight has shape"):
        fc.compare(Y, P, Q, sample_weight=np.ones(3))
    with pytest.raises(TypeError, match="prob_b has dtype <U1"):
        fc.compare(Y, P, ["a"] * N)
    for options, message in (
        ({"level": 1}, "level is 1"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"from_logits": "yes"}, "from_logits is 'yes'"),
        ({"from_logits": (True,)}, "from_logits is"),
        ({"n_threads": 0}, "n_threads is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fc.compare(Y, P, Q, **options)
    seen = PairedAccumulator().update(Y, P, Q)
    with pytest.raises(fc.DataError, match=r"prob_a has shape .* rows before it were \(N,\)"):
        seen.update(LABELS, A, B)
    with pytest.raises(ValueError, match="scores have 0 columns here and 4 there"):
        seen.merge(PairedAccumulator().update(LABELS, A, B))
    with pytest.raises(ValueError, match="cannot merge: from_logits and n_bins"):
        seen.merge(PairedAccumulator(n_bins=3))


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.compare([0, 1], [0.0, 1.0], [1.0, 0.0])
        fc.compare([1], [1.0], [0.0], sample_weight=[1e100])


def test_mcnemar_is_not_for_weights_that_happen_to_sum_up_to_the_rows():
    y, a, b = [0, 1, 1, 0], [0.2, 0.9, 0.4, 0.6], [0.6, 0.9, 0.8, 0.3]
    assert fc.compare(y, a, b, sample_weight=[1, 1, 1, 1]).mcnemar_p == 1
    for weights in ([2, 0, 1, 1], [0.5, 1.5, 1, 1]):
        assert np.isnan(fc.compare(y, a, b, sample_weight=weights).mcnemar_p)
