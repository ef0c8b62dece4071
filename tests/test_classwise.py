"""Class-wise errors and sums over bins by every way through the kernels: the same figures, the same bits."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import oracle_calibration as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cuts, rows

import fastcal as fc
from fastcal import arrays, engine, kernels
from fastcal.accumulators import bins, classwise
from fastcal.accumulators import rows as chunking
from fastcal.accumulators.base import Accumulator
from fastcal.accumulators.reliability import ReliabilityPart

K = (2, 3, 15, 16, 17, 40)  # lanes of 16 and what is left


def drawn_rows(k, n, dtype=np.float32, spread=3.0, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, k)) * spread
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return rng.integers(0, k, n), p.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("k", K)
def test_errors_of_classes_are_those_of_the_slow_twin(k, norm, dtype):
    y, p = drawn_rows(k, 200 if JIT else 30, dtype)
    w = np.random.default_rng(1).exponential(size=len(y))
    for options in ({}, {"threshold": 0.1}, {"closed": "left", "n_bins": 4}, {"binning": [0, 0.05, 1]}):
        for weights in (None, w):
            given_ = {"norm": norm, "target": "class-wise", "sample_weight": weights, **options}
            found = fc.calibration_error(y, p, **given_)
            assert found == pytest.approx(oracle.calibration_error(y, p, **given_), rel=1e-9, abs=1e-12), options


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [0, *K])
def test_each_class_is_a_problem_of_its_own(k, weighted):
    y, p = drawn_rows(k or 2, 120 if JIT else 30, np.float64)
    w = np.random.default_rng(2).exponential(size=len(y)) if weighted else None
    scores = p if k else p[:, 1]
    report = fc.ClasswiseAccumulator(n_bins=5).update(y, scores, sample_weight=w).compute()
    found = report["classes"]
    for one in range(k or 2):
        own = (y == one).astype(int), p[:, one]
        for name in ("ece", "rmsce", "mce", "signed_calibration_error"):
            expected = getattr(fc, name)(*own, n_bins=5, sample_weight=w)
            assert getattr(found, name)[one] == pytest.approx(expected, rel=1e-9, abs=1e-12), name
        assert found.confidence[one] == pytest.approx(np.average(own[1], weights=w))
        assert found.frequency[one] == pytest.approx(np.average(own[0], weights=w))
    assert report["classwise_ece"] == pytest.approx(found.ece.mean())
    assert report["classwise_rmsce"] == pytest.approx(np.sqrt((found.rmsce**2).mean()))
    assert found.to_dict()["ece"] == found.ece.tolist()


def assert_all_equal(states):
    first, *others = [state.to_bytes() for state in states]
    assert all(other == first for other in others)


@settings(max_examples=60 if JIT else 6)
@given(rows(max_rows=60), st.sampled_from([{}, {"threshold": 0.1}, {"n_bins": 3, "closed": "left"}]), st.data())
def test_states_of_classes_do_not_depend_on_the_split(drawn, options, data):
    w = drawn.weights if drawn.weights is None or drawn.weights.dtype.kind != "f" else np.arange(len(drawn)) % 3

    def seen(own):
        empty = fc.ClasswiseAccumulator(from_logits=drawn.from_logits, **options)
        return empty.update(drawn.labels[own], drawn.scores[own], sample_weight=None if w is None else w[own])

    bounds = data.draw(cuts(len(drawn)))
    parts = [seen(slice(a, b)) for a, b in pairwise(bounds)]
    whole = seen(slice(None))
    assert_all_equal([whole, sum(parts[::-1]), fc.ClasswiseAccumulator.from_bytes(whole.to_bytes())])


@pytest.mark.parametrize("options", [{}, {"threshold": 0.05}])
@pytest.mark.parametrize("k", K)
def test_words_are_emptied_before_they_are_full(k, options, monkeypatch):
    """More rows than a word takes, in whatever chunks and threads."""
    if not JIT:
        monkeypatch.setattr(kernels.classwise, "MOST_ROWS", 8)
    y, p = drawn_rows(k, 2 * kernels.classwise.MOST_ROWS + 100)
    p[:, 0] += 1 - p.sum(axis=1)  # a sum as large as it can be
    p = np.clip(p, 0, 1)
    one = fc.ClasswiseAccumulator(n_threads=1, **options).update(y, p)
    few = [fc.ClasswiseAccumulator(**options).update(y[own], p[own]) for own in np.array_split(np.arange(len(y)), 9)]
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 12)
    assert_all_equal([one, sum(few), fc.ClasswiseAccumulator(n_threads=3, **options).update(y, p)])
    state = one._states["classwise"]
    least = options.get("threshold", -1)
    np.testing.assert_array_equal(state["count"].sum(axis=1), (p > least).sum(axis=0))
    report = one.compute()["classes"]
    kept = np.where(p > least, p, np.nan).astype(np.float64)
    np.testing.assert_allclose(report.confidence, np.nanmean(kept, axis=0), rtol=1e-9)


@pytest.mark.parametrize("weights", [None, 1.0])
@pytest.mark.parametrize("k", [3, 17])
def test_rows_of_nan_count_for_no_class(k, weights):
    y, p = drawn_rows(k, 40)
    missing = np.arange(40) % 3 == 0
    scores = p.copy()
    scores[missing, 1] = np.nan
    w = None if weights is None else np.full(40, weights)
    found = fc.ClasswiseAccumulator(nan_policy="omit").update(y, scores, sample_weight=w).compute()
    kept = (
        fc.ClasswiseAccumulator()
        .update(y[~missing], p[~missing], sample_weight=None if w is None else w[~missing])
        .compute()
    )
    assert found["classwise_ece"] == kept["classwise_ece"]
    assert (found["n"], found["n_nan"]) == (26, 14)
    propagated = fc.ClasswiseAccumulator(nan_policy="propagate").update(y, scores, sample_weight=w).compute()
    assert np.isnan(propagated["classwise_ece"])
    assert np.isnan(propagated["classes"].ece).all()


def wide_rows(k, dtype, n, *, from_logits):
    """Rows of NaN, ties and infinities among them."""
    rng = np.random.default_rng(k)
    z = np.round(rng.standard_normal((n, k)) * 3, 1)
    z[0], z[1, 2], z[2, 3:] = 0, np.inf, -np.inf
    z[3, k - 1], z[4, 1], z[5] = 50, np.nan, -np.inf
    z[6, [1, k - 1]] = np.inf
    z[7, k - 1] = np.nan
    if not from_logits:
        z = np.nan_to_num(z, nan=0, posinf=60, neginf=-60)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        z /= z.sum(axis=1, keepdims=True)
        z[[4, 7], [1, k - 1]] = np.nan
    return rng.integers(0, k, n), z.astype(dtype)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("k", "dtype"), [(49, np.float32), (64, np.float64), (129, np.float32), (200, np.float64)])
def test_wide_rows_go_to_their_bins_while_they_are_in_cache(k, dtype, from_logits, monkeypatch):
    if not JIT:
        monkeypatch.setattr(kernels.classwise, "MOST_ROWS", 8)
        monkeypatch.setattr(kernels.classwise_wide, "MOST_ROWS", 8)
    n = kernels.classwise.MOST_ROWS + 12
    y, scores = wide_rows(k, dtype, n, from_logits=from_logits)
    w = np.arange(8) % 3

    def seen(n_threads=1):
        report = fc.Evaluation(from_logits=from_logits, nan_policy="omit", n_threads=n_threads)
        report.update(y[:9], scores[:9]).update(y[:8], scores[:8], sample_weight=w)
        with pytest.raises(arrays.DataError, match="y_true"):
            report.update(np.full(n, k), scores)
        return report.update(y, scores)

    found = [seen(), seen(2)]
    monkeypatch.setattr(classwise.ClasswisePart, "in_cache", False)
    assert_all_equal([*found, seen()])


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("k", "dtype"), [(129, np.float32), (144, np.float64), (150, np.float32)])
def test_columns_of_wide_rows_without_the_margin_are_the_same(k, dtype, from_logits):
    y, scores = wide_rows(k, dtype, 20, from_logits=from_logits)
    batch = arrays.predictions(y, scores, from_logits=from_logits)
    tables = []
    for margin in (True, False):
        found = chunking.Rows(batch, margin=margin)
        found.fill(0, 20)
        columns = np.delete(found.table, [kernels.rows.MARGIN, kernels.rows.LOGSUMEXP], axis=0)  # which none reads
        tables.append((columns.tobytes(), found.prediction.tolist(), found.hits.tolist(), found.faults.tolist()))
    assert tables[0] == tables[1]


def test_classes_without_rows_count_0_unless_none_has_any():
    y, p = [0, 1], [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]
    found = fc.ClasswiseAccumulator(threshold=0.05).update(y, p).compute()
    assert np.isnan(found["classes"].ece[2])
    assert found["classwise_ece"] == pytest.approx(np.nansum(found["classes"].ece) / 3)
    assert np.isnan(fc.ClasswiseAccumulator(threshold=0.95).update(y, p).compute()["classwise_ece"])
    assert np.isnan(fc.ClasswiseAccumulator().compute()["classwise_ece"])


def test_an_evaluation_keeps_as_many_cells_as_it_says():
    y, p = drawn_rows(3, 20)
    assert fc.Evaluation().update(y, p).compute()["classwise_ece"] == fc.classwise_ece(y, p)
    without = fc.Evaluation(classwise=False).update(y, p)
    assert np.isnan(without.compute()["classwise_ece"])
    assert without.compute()["classes"] is None
    assert len(without.to_bytes()) < len(fc.Evaluation().update(y, p).to_bytes())
    y, p = drawn_rows(17, 5)
    many = classwise.MOST_CELLS // 17 + 1
    assert np.isnan(fc.Evaluation(n_bins=many).update(y, p).compute()["classwise_ece"])
    asked = fc.Evaluation(n_bins=many, classwise=True).update(y, p)
    assert asked.compute()["classwise_ece"] == fc.classwise_ece(y, p, n_bins=many)


def test_class_wise_errors_of_a_thousand_classes_take_less_than_2_mb():
    y, p = drawn_rows(1000, 20)
    state = fc.ClasswiseAccumulator().update(y, p).to_bytes()
    assert len(state) < 2e6
    assert len(fc.ClasswiseAccumulator.from_bytes(state).to_bytes()) == len(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_bins": 16}, "n_bins"),
        ({"threshold": 0.2}, "threshold"),
        ({"closed": "left"}, "closed"),
        ({"convention": "guo"}, "convention"),
        ({"binning": [0, 0.5, 1]}, "n_bins|binning"),
    ],
)
def test_states_that_do_not_fit(change, message):
    y, p = drawn_rows(3, 5)
    base, other = fc.ClasswiseAccumulator().update(y, p), fc.ClasswiseAccumulator(**change).update(y, p)
    before = base.to_bytes(), other.to_bytes()
    with pytest.raises(ValueError, match=message):
        base.merge(other)
    assert (base.to_bytes(), other.to_bytes()) == before
    with pytest.raises(ValueError, match="columns"):
        base.merge(fc.ClasswiseAccumulator().update([0], [[0.5, 0.5]]))


# Uniform bins of float32 by multiplication


def sums(y, p, binning, *, squares=False, **options):
    part = ReliabilityPart(binning, squares=squares)
    seen = Accumulator(settings={}, parts={"reliability": part}, **options).update(y, p)
    return seen.part_state("reliability")


@functools.cache
def on_edges(n_bins):
    """float32 numbers on the edges, next to them, within the bins, tiny, next to 0 and 1 and beyond."""
    edges = np.linspace(0, 1, n_bins + 1).astype(np.float32)
    rng = np.random.default_rng(n_bins)
    tiny = 10.0 ** rng.uniform(-45, -5, 60)
    beyond = [0, -0.0, -1e-8, 1, 1.0000001, 1e-45, 2.0**-38, 2.0**-39 * 1.5]
    near = [np.nextafter(edges, np.float32(-1)), edges, np.nextafter(edges, np.float32(2))]
    p = np.concatenate([*near, rng.random(700), tiny, beyond]).astype(np.float32)
    p = p[(p >= -1e-7) & (p <= np.float32(1.0000002))]
    rng.shuffle(p)
    return rng.integers(0, 2, len(p)), p


@pytest.mark.parametrize("n_bins", [1, 2, 3, 7, 10, 15, 16, 30, 100, 255, 256])
def test_float32_goes_to_the_bins_of_the_same_numbers_in_float64_with_the_same_sums(n_bins):
    y, p = on_edges(n_bins)
    found, expected = sums(y, p, bins.Binning(n_bins)), sums(y, p.astype(np.float64), bins.Binning(n_bins))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    edges = np.linspace(0, 1, n_bins + 1)
    place = np.clip(np.searchsorted(edges, np.clip(p.astype(np.float64), 0, 1), side="left") - 1, 0, None)
    np.testing.assert_array_equal(found["count"], np.bincount(place, minlength=n_bins))
    np.testing.assert_array_equal(found["hits"], np.bincount(place, y, n_bins))


def test_float32_with_nan_and_in_any_split_has_the_same_sums():
    y, p = on_edges(15)
    p = p.copy()
    p[::5] = np.nan
    kept = ~np.isnan(p)
    binning = bins.Binning(15)
    expected = sums(y[kept], p[kept], binning)
    for own in (p, p.astype(np.float64)):
        found = sums(y, own, binning, nan_policy="omit")
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    seen = Accumulator(settings={}, parts={"reliability": ReliabilityPart(binning, squares=False)}, nan_policy="omit")
    for piece in np.array_split(np.arange(len(p)), 7):
        seen.update(y[piece], p[piece])
    for name, values in expected.items():
        np.testing.assert_array_equal(seen.part_state("reliability")[name], values, err_msg=name)
