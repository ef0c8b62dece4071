"""Calibration from confidences in their order: sums, quantiles and tests against slow twins."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import oracle_calibration as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cuts, rows

import fastcal as fc
from fastcal import engine
from fastcal.arrays import Column
from fastcal.ordered import columns, quantiles

FIGURES = ("ks_calibration_error", "kuiper_calibration_error", "adaptive_ece", "sweep_ece")


@st.composite
def confidences(draw, max_rows=40):
    """Labels, confidences of every shape with ties, 0 and 1, and weights or none."""
    n = draw(st.integers(1, max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(["uniform", "peaked", "grid", "one", "ends"]))
    p = {
        "uniform": lambda: rng.random(n),
        "peaked": lambda: 1 - 10.0 ** rng.uniform(-9, 0, n),
        "grid": lambda: rng.integers(0, 5, n) / 4,
        "one": lambda: np.full(n, rng.random()),
        "ends": lambda: rng.choice([0.0, 1.0, 0.5, 5e-324], n),
    }[shape]().astype(draw(st.sampled_from([np.float64, np.float32])))
    y = (rng.random(n) < draw(st.sampled_from([p, 1 - p, 0.5 * np.ones(n)]))).astype(np.int64)
    kind = draw(st.sampled_from(["none", "real", "integer"]))
    w = {"none": None, "real": rng.random(n) + 1e-3, "integer": rng.integers(0, 4, n)}[kind]
    if w is not None:
        w[0] = 1
    return y, p, w


# Figures


@pytest.mark.parametrize("name", ["ks_calibration_error", "kuiper_calibration_error", "sweep_ece"])
@given(confidences())
def test_figures_are_those_of_the_slow_twin(name, drawn):
    y, p, w = drawn
    found = getattr(fc, name)(y, p, sample_weight=w)
    assert found == pytest.approx(getattr(oracle, name)(y, p, sample_weight=w), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", ["ks_calibration_error", "kuiper_calibration_error", "sweep_ece"])
@settings(max_examples=30 if JIT else 5)
@given(rows(max_rows=30))
def test_figures_of_rows_are_of_their_largest(name, drawn):
    given_weights = None if drawn.weights is None or not np.any(drawn.weights) else np.minimum(drawn.weights, 1e3)
    options = {"from_logits": drawn.from_logits, "sample_weight": given_weights}
    expected = getattr(oracle, name)(drawn.labels, drawn.scores, **options)
    if name == "sweep_ece":  # confidences of float32 rows are rounded: which of them are equal may differ
        tolerance = {"abs": 1.0} if drawn.from_logits or drawn.scores.dtype == np.float32 else {"abs": 1e-12}
    else:
        tolerance = {"abs": 1e-6 if drawn.scores.dtype == np.float32 else 1e-12}
    assert getattr(fc, name)(drawn.labels, drawn.scores, **options) == pytest.approx(expected, **tolerance)


@given(confidences(), st.integers(1, 20))
def test_equal_mass_bins_are_those_of_the_slow_twin(drawn, n_bins):
    y, p, w = drawn
    expected = oracle.calibration_error(y, p, n_bins=n_bins, binning="quantile", sample_weight=w)
    assert fc.adaptive_ece(y, p, n_bins=n_bins, sample_weight=w) == pytest.approx(expected, abs=1e-12)
    streamed = fc.OrderAccumulator(n_bins=n_bins).update(y, p, sample_weight=w).compute()
    assert streamed["adaptive_ece"] == pytest.approx(expected, abs=1e-12)
    assert streamed["order_bound"] == 0


@given(confidences(), st.integers(1, 20))
def test_the_bins_of_the_curve_are_numpys_quantiles_and_hold_every_row(drawn, n_bins):
    y, p, w = drawn
    curve = fc.reliability_curve(y, p, n_bins=n_bins, binning="quantile", sample_weight=w)
    assert curve.count.sum() == len(p)
    assert curve.weight.sum() == pytest.approx(len(p) if w is None else w.sum(), rel=1e-12)
    expected = oracle.equal_mass_edges(p, n_bins, w)
    if w is None:
        assert curve.edges.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(curve.edges, expected, rtol=1e-12, atol=1e-15)
        return  # a row may be within rounding of a weighted quantile
    inside = np.maximum(np.searchsorted(curve.edges, p.astype(float), side="left"), 1) - 1
    np.testing.assert_array_equal(curve.count, np.bincount(inside, minlength=len(curve.count)))
    shares = np.bincount(inside, p, len(curve.count))
    np.testing.assert_allclose(curve.confidence * curve.count, np.where(curve.count, shares, np.nan), 1e-12, 1e-17)


def test_bins_of_equal_mass_have_equal_mass():
    p = np.random.default_rng(0).permutation(150) / 150
    curve = fc.reliability_curve(p > 0.5, p, binning="quantile")
    assert curve.count.tolist() == [10] * 15
    tied = fc.reliability_curve([0, 1, 1, 0], [0.25, 0.25, 0.25, 0.75], n_bins=4, binning="quantile")
    assert tied.edges.tolist() == [0.25, 0.375, 0.75]
    assert tied.count.tolist() == [3, 1]
    single = fc.reliability_curve([0, 1], [0.25, 0.25], binning="quantile")
    assert single.count.tolist() == [2]


@given(confidences())
def test_integer_weights_are_repeated_rows_of_ks_and_kuiper(drawn):
    y, p, _ = drawn
    w = np.arange(len(y)) % 3 + 1
    for name in FIGURES[:2]:
        repeated = getattr(fc, name)(np.repeat(y, w), np.repeat(p, w))
        assert getattr(fc, name)(y, p, sample_weight=w) == pytest.approx(repeated, rel=1e-12, abs=1e-14)


def test_the_sweep_stops_at_the_first_fall():
    y, p = [0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9]  # 2 bins: 1/2, 1/2; 3 bins: 1/2, 0, 1
    assert fc.sweep_ece(y, p) == pytest.approx(fc.adaptive_ece(y, p, n_bins=2), abs=1e-15)
    assert fc.sweep_ece(y, p) < fc.adaptive_ece(y, p, n_bins=3) - 0.01
    assert fc.sweep_ece([1, 1, 0, 0], p) == pytest.approx(0, abs=1e-15)  # of one bin; of two it is 1/2
    assert fc.sweep_ece([0, 0, 0, 1], [0.3, 0.6, 0.1, 0.9]) == pytest.approx((0.1 + 0.3 + 0.6 + 0.1) / 4)


def test_the_slow_twin_can_tell():
    """Figures of other rows are others: none of the comparisons above holds for any two numbers."""
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 2, 200), rng.random(200)
    for name in ("ks_calibration_error", "kuiper_calibration_error", "sweep_ece"):
        assert abs(getattr(fc, name)(y, p) - getattr(oracle, name)(1 - y, p)) > 1e-3


# Spiegelhalter's test


@given(confidences())
def test_spiegelhalters_test_is_that_of_the_slow_twin(drawn):
    y, p, w = drawn
    found = fc.spiegelhalter_test(y, p, sample_weight=w)
    p = p.astype(float)
    variance = math.fsum((np.ones(len(p)) if w is None else w) ** 2 * (1 - 2 * p) ** 2 * p * (1 - p))
    if variance < 1e-12:
        return  # of next to nothing
    z, p_value = oracle.spiegelhalter_test(y, p, sample_weight=w)
    assert found.statistic == pytest.approx(z, rel=1e-6, abs=1e-6)
    assert found.p_value == pytest.approx(p_value, rel=1e-6, abs=1e-9)


def test_spiegelhalters_test_of_rows_streams():
    rng = np.random.default_rng(2)
    p, w = rng.dirichlet(np.ones(4), 300), rng.exponential(size=300)
    y = rng.integers(0, 4, 300)
    for weights in (None, w):
        z, p_value = oracle.spiegelhalter_test(y, p, sample_weight=weights)
        assert fc.spiegelhalter_test(y, p, sample_weight=weights) == pytest.approx((z, p_value), rel=1e-10)
        parts = [fc.SpiegelhalterAccumulator() for _ in range(2)]
        for part, own in zip(parts, (slice(0, 100), slice(100, None)), strict=True):
            part.update(y[own], p[own], sample_weight=None if weights is None else weights[own])
        assert sum(parts).compute()["spiegelhalter_z"] == pytest.approx(z, rel=1e-10)
    mixed = fc.SpiegelhalterAccumulator().update(y, p).update(y, p, sample_weight=np.ones(300))
    twice = oracle.spiegelhalter_test(np.tile(y, 2), np.tile(p, (2, 1)))
    assert mixed.compute()["spiegelhalter_z"] == pytest.approx(twice[0], rel=1e-10)


@pytest.mark.parametrize("weights", [None, [1, 2, 3]])
def test_spiegelhalters_test_of_what_cannot_be_tested(weights):
    found = fc.spiegelhalter_test([0, 1, 1], [0.0, 0.5, 1.0], sample_weight=weights)
    assert np.isnan(found).all()
    omitted = fc.spiegelhalter_test([0, 1, 1], [0.25, np.nan, 0.75], nan_policy="omit", sample_weight=weights)
    kept = None if weights is None else [1, 3]
    assert omitted == fc.spiegelhalter_test([0, 1], [0.25, 0.75], sample_weight=kept)


@settings(max_examples=40 if JIT else 5)
@given(rows(weighted=False), st.data())
def test_spiegelhalters_state_does_not_depend_on_the_split(drawn, data):
    bounds = data.draw(cuts(len(drawn)))
    options = {"from_logits": drawn.from_logits}
    parts = [fc.SpiegelhalterAccumulator(**options).update(*drawn.part(slice(a, b))[:2]) for a, b in pairwise(bounds)]
    whole = fc.SpiegelhalterAccumulator(**options).update(drawn.labels, drawn.scores)
    assert sum(parts[::-1]).to_bytes() == whole.to_bytes()
    assert fc.SpiegelhalterAccumulator.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


# Order statistics


@pytest.fixture(params=["whole", "in pieces"], scope="module")
def small(request):
    """All at once, and cells of a few rows, stretches of fewer, on threads."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in pieces":
            patch.setattr(quantiles, "STRETCH", 7)
            patch.setattr(quantiles, "ROWS_A_CELL", 3)
            patch.setattr(columns, "STRETCH", 5)
            patch.setattr(engine, "SMALL", 0)
            patch.setenv("FASTCAL_NUM_THREADS", "3")
        yield request.param


@given(confidences(max_rows=80), st.data())
def test_order_statistics_are_those_of_sorting(small, drawn, data):
    _, values, _ = drawn
    if data.draw(st.booleans()):
        values = ((values - 0.5) * 10.0 ** data.draw(st.integers(-30, 30))).astype(values.dtype)
    ranks = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=9)))
    found = quantiles.order_statistics(Column("x", values, values.dtype), ranks, None)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.sort(values)[ranks])


@given(confidences(max_rows=80), st.integers(1, 30))
def test_quantiles_are_numpys(small, drawn, n):
    _, values, _ = drawn
    shares = np.linspace(0, 1, n + 1)
    found = quantiles.quantiles(Column("x", values, values.dtype), shares, None)
    np.testing.assert_array_equal(found, np.quantile(values.astype(np.float64), shares))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f4", ">f8"])
def test_quantile_bins_of_any_dtype(small, dtype):
    rng = np.random.default_rng(3)
    p = rng.random(200).astype(dtype)
    curve = fc.reliability_curve(rng.integers(0, 2, 200), p, binning="quantile")
    np.testing.assert_array_equal(curve.edges, np.unique(np.quantile(p.astype(np.float64), np.linspace(0, 1, 16))))
    assert curve.count.sum() == 200


@pytest.mark.parametrize("kind", ["confidences", "rows", "logits"])
def test_quantiles_leave_rows_of_nan_out(small, kind):
    rng = np.random.default_rng(4)
    n = 300 if JIT else 60
    p = rng.random(n) if kind == "confidences" else rng.dirichlet(np.ones(3), n)
    y, missing = rng.integers(0, 2, n), rng.random(n) < 0.2
    scores = np.log(p) if kind == "logits" else p.copy()
    kept = scores[~missing]
    scores[missing] = np.nan
    options = {"binning": "quantile", "n_bins": 7, "from_logits": kind == "logits"}
    found = fc.reliability_curve(y, scores, nan_policy="omit", **options)
    expected = fc.reliability_curve(y[~missing], kept, **options)
    np.testing.assert_array_equal(found.edges, expected.edges)
    np.testing.assert_array_equal(found.count, expected.count)
    assert found.count.sum() == (~missing).sum()
    propagated = fc.reliability_curve(y, scores, nan_policy="propagate", **options)
    assert np.isnan(propagated.accuracy).all()


def test_scores_next_to_the_unit_interval_are_within():
    p = np.array([-1e-9, 0.2, 0.6, 1.0000001])
    curve = fc.reliability_curve([0, 0, 1, 1], p, n_bins=3, binning="quantile")
    assert (curve.edges[0], curve.edges[-1]) == (0.0, 1.0)
    assert curve.count.sum() == 4
    figures = fc.OrderAccumulator(n_bins=3).update([0, 0, 1, 1], p).compute()
    clipped = fc.OrderAccumulator(n_bins=3).update([0, 0, 1, 1], np.clip(p, 0, 1)).compute()
    assert {name: figures[name] for name in FIGURES} == {name: clipped[name] for name in FIGURES}
