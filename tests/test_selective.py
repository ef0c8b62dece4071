"""Selective prediction against slow twins: every order of ties, weights, and rankings of which all is known."""

from __future__ import annotations

import functools
import math

import mpmath
import numba
import numpy as np
import oracle_selective as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture
from strategies import rows

import fastcal as fc
from fastcal import kernels
from fastcal.ordered.groups import Groups
from fastcal.ordered.selective import RiskSums

in_pieces = pytest.mark.usefixtures("cut_up")
AREAS = ("aurc", "e_aurc", "augrc")
FIGURES = (*AREAS, "risk_at_coverage", "coverage_at_risk")


@st.composite
def predicted(draw, max_rows=60, weighted=None):
    """Labels, P(y = 1) with ties, 0, 1/2 and 1 among them, scores of confidence or none, and weights or none."""
    n = draw(st.integers(1, max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = draw(st.sampled_from([rng.random(n), rng.integers(0, 9, n) / 8, 10.0 ** rng.uniform(-40, 0, n), np.ones(n)]))
    p = p.astype(draw(st.sampled_from([np.float64, np.float32])))
    y = (rng.random(n) < draw(st.sampled_from([p, 1 - p, 0 * p, 0.5 + 0 * p]))).astype(np.int64)
    scores = [None, rng.standard_normal(n) * 1e30, rng.integers(-2, 3, n), np.zeros(n, np.float32), -p]
    kinds = {"none": None, "real": rng.random(n) * 10.0 ** rng.integers(-9, 9, n), "integer": rng.integers(0, 4, n)}
    w = kinds[draw(st.sampled_from(sorted(kinds))) if weighted is None else ("real" if weighted else "none")]
    if w is not None:
        w[0] = 1
    return y, p, {"confidence": draw(st.sampled_from(scores)), "sample_weight": w}


@in_pieces
@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=60 if JIT else 5)
@given(predicted())
def test_figures_are_those_of_the_slow_twin(name, drawn):
    y, p, options = drawn
    expected = getattr(oracle, name)(y, p, **options)
    assert getattr(fc, name)(y, p, **options) == pytest.approx(expected, rel=1e-12, abs=1e-13)


@in_pieces
@settings(max_examples=60 if JIT else 5)
@given(predicted())
def test_the_curve_is_that_of_the_slow_twin(drawn):
    y, p, options = drawn
    found, expected = fc.risk_coverage_curve(y, p, **options), oracle.risk_coverage_curve(y, p, **options)
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-12, err_msg=name)
    assert found.threshold.tolist() == expected["threshold"].tolist()
    assert found.coverage[-1] == 1
    assert found.to_dict().keys() == expected.keys()
    assert (found.threshold[:-1] > found.threshold[1:]).all()


@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=30 if JIT else 5)
@given(rows(max_rows=40), st.integers(0, 1000))
def test_figures_of_rows(name, drawn, seed):
    """Of logits and of rounded sums the order is known only where the confidence is given."""
    weights = None if drawn.weights is None or not np.any(drawn.weights) else drawn.weights
    options = {"from_logits": drawn.from_logits, "sample_weight": weights}
    if drawn.from_logits:
        options["confidence"] = np.random.default_rng(seed).integers(0, 20, len(drawn))
    expected = getattr(oracle, name)(drawn.labels, drawn.scores, **options)
    assert getattr(fc, name)(drawn.labels, drawn.scores, **options) == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("n_columns", [0, 3, 60])
def test_logits_are_ranked_as_their_probabilities(n_columns):
    rng = np.random.default_rng(3)
    z = rng.standard_normal((50, n_columns) if n_columns else 50) * 2
    y = rng.integers(0, max(n_columns, 2), 50)
    for name in FIGURES:
        found = getattr(fc, name)(y, z, from_logits=True)
        assert found == pytest.approx(getattr(oracle, name)(y, z, from_logits=True), rel=1e-12)
    ours, theirs = fc.risk_coverage_curve(y, z, from_logits=True), oracle.risk_coverage_curve(y, z, from_logits=True)
    np.testing.assert_allclose(ours.threshold, theirs["threshold"], rtol=1e-14)


# Ties


@settings(max_examples=60 if JIT else 10)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_ties_are_averaged_over_all_their_orders(drawn):
    confidence, wrong = (np.array(one) for one in zip(*drawn, strict=True))
    aurc, augrc = oracle.areas_over_orders(confidence, wrong.astype(int))
    y, p = 1 - wrong.astype(int), np.full(len(wrong), 0.75)
    assert fc.aurc(y, p, confidence=confidence) == pytest.approx(float(aurc), rel=1e-14)
    assert fc.augrc(y, p, confidence=confidence) == float(augrc)
    assert oracle.areas(confidence, wrong.astype(int)) == pytest.approx((float(aurc), float(augrc)), rel=1e-14)


@settings(max_examples=60 if JIT else 10)
@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1)), min_size=1, max_size=5),
    st.sampled_from([1, 7, 1000, 10**9]),
)
def test_groups_of_any_size_have_a_closed_form(drawn, shrink):
    """Against digamma functions of 60 digits."""
    sizes = [-(-rows // shrink) for rows, _ in drawn]
    wrong = [int(rows * share) for rows, (_, share) in zip(sizes, drawn, strict=True)]
    aurc, augrc = oracle.areas_of_groups(sizes, wrong, sum(sizes))
    pairs = [(rows - bad, bad) for rows, bad in zip(sizes, wrong, strict=True)][::-1]
    right, bad = (np.array(one, np.int64) for one in zip(*pairs, strict=True))
    sums = np.zeros(kernels.selective.N_SUMS, np.int64)
    for one in (right, bad):
        one.flags.writeable = False
    kernels.selective.add_groups(right, bad, np.float64(1), np.int64(kernels.selective.AVERAGE), sums)
    whole, high, low = map(int, sums[:3])
    total = (whole << 62) + (high << 32) + low
    assert total / (sum(sizes) << 62) == pytest.approx(aurc, rel=1e-14, abs=1e-15 * sum(wrong) / sum(sizes))
    n = sum(sizes)
    found = RiskSums.of_groups(Groups(np.arange(len(right), dtype=float), np.stack([right, bad], axis=1)), n)
    assert found.total == total
    assert found.augrc() == pytest.approx(augrc, rel=1e-14)


@functools.cache
def harmonic():
    """The inner kernel; as it is called from Python only here, it has no way in of its own."""
    inner = kernels.selective.harmonic
    return numba.njit(lambda before, rows: inner(before, rows)) if JIT else inner  # noqa: PLW0108


@pytest.mark.parametrize("before", [0.0, 0.3, 1.0, 5.0, 30.9, 31.0, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("rows", [1e-12, 1e-3, 0.5, 3.0, 12.0, 200.0, 1e6, 1e15])
def test_harmonic_sums_of_real_numbers(before, rows):
    found = harmonic()(before, rows)
    with mpmath.workdps(100):
        first = mpmath.psi(0, mpmath.mpf(before) + rows + 1) - mpmath.psi(0, mpmath.mpf(before) + 1)
        second = mpmath.mpf(rows) - before * first
        assert found == (pytest.approx(float(first), rel=2e-15), pytest.approx(float(second), rel=2e-15))


# What is known


def of(wrong, confidence, **options):
    """Labels and probabilities with these errors."""
    wrong = np.asarray(wrong, int)
    return (1 - wrong, np.full(len(wrong), 0.75)), {"confidence": confidence, **options}


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("spread", [True, False])
def test_rankings_of_which_all_is_known(n, spread):
    confidence = np.arange(n)[::-1] if spread else np.zeros(n)
    none, options = of(np.zeros(n), confidence)
    assert [getattr(fc, name)(*none, **options) for name in AREAS] == [0, 0, 0]
    every, _ = of(np.ones(n), confidence)
    assert [getattr(fc, name)(*every, **options) for name in AREAS] == [1, 0, pytest.approx((n + 1) / (2 * n))]
    for bad in range(n + 1):
        last, _ = of(np.arange(n) >= n - bad, confidence)
        first, _ = of(np.arange(n) < bad, confidence)
        best = math.fsum(j / (n - bad + j) for j in range(1, bad + 1)) / n
        worst = math.fsum(min(bad, i) / i for i in range(1, n + 1)) / n
        if spread:
            assert 0 <= fc.e_aurc(*last, **options) <= 1e-15  # of 5 rows and 4 errors rounding would say less than 0
            assert fc.aurc(*last, **options) == pytest.approx(best, rel=1e-14)
            assert fc.aurc(*first, **options) == pytest.approx(worst, rel=1e-14)
        else:  # all tied: the risk is that of all rows at every coverage
            assert fc.aurc(*last, **options) == bad / n
            assert fc.e_aurc(*last, **options) == pytest.approx(bad / n - best, abs=1e-15)
            assert fc.augrc(*last, **options) == pytest.approx(bad * (n + 1) / 2 / n**2, rel=1e-15)


def test_the_confidence_of_single_probabilities_is_that_of_the_predicted_class():
    curve = fc.risk_coverage_curve([0, 1, 1, 0], [0.125, 0.75, 0.5, 1.0])
    assert curve.threshold.tolist() == [1.0, 0.875, 0.75, 0.5]  # 1/2 is class 0
    assert curve.risk.tolist() == [1.0, 0.5, 1 / 3, 0.5]
    assert curve.generalized_risk.tolist() == [0.25, 0.25, 0.25, 0.5]
    just = np.array([np.nextafter(0.5, 1), 0.5, np.nextafter(0.5, 0)])
    assert fc.aurc([1, 0, 0], just) == 0
    assert fc.aurc([0, 1, 1], just) == 1


def test_rows_of_two_classes_are_single_probabilities():
    rng = np.random.default_rng(1)
    p, y = rng.random(300), rng.integers(0, 2, 300)
    for name in FIGURES:
        assert getattr(fc, name)(y, np.stack([1 - p, p], axis=1)) == getattr(fc, name)(y, p)


def test_thresholds_are_reached_but_for_rounding():
    wrong = np.arange(20) >= 19
    given_, options = of(wrong, np.arange(20)[::-1])
    assert fc.risk_at_coverage(*given_, coverage=0.95, **options) == 0
    assert fc.risk_at_coverage(*given_, coverage=0.951, **options) == 0.05
    assert fc.risk_at_coverage(*given_, coverage=1e-9, **options) == 0
    few, rest = of(np.arange(10) >= 3, np.arange(10)[::-1])
    assert fc.risk_at_coverage(*few, coverage=0.1 + 0.2, **rest) == 0  # 3 of 10, though this is more than 0.3
    assert fc.coverage_at_risk(*given_, risk=0.05, **options) == 1
    assert fc.coverage_at_risk(*given_, risk=0.0499, **options) == 0.95
    given_, options = of(np.arange(100) >= 71, np.zeros(100))  # 0.29 * 100 is less than 29
    assert fc.coverage_at_risk(*given_, risk=0.29, **options) == 1
    assert fc.coverage_at_risk(*given_, risk=0.28, **options) == 0
    assert fc.coverage_at_risk(*given_, risk=0, **options) == 0
    given_, options = of([1, 0, 0, 1, 1], np.arange(5)[::-1])  # 1/5 is more than 1/3 times 3/5
    assert fc.coverage_at_risk(*given_, risk=1 / 3, **options) == 0.6


def test_coverage_at_risk_is_the_largest_even_where_the_risk_was_higher_before():
    given_, options = of([1, 0, 0, 0, 1, 1], [6, 5, 4, 3, 2, 1])  # risks 1, 1/2, 1/3, 1/4, 2/5, 1/2
    assert fc.coverage_at_risk(*given_, risk=0.3, **options) == pytest.approx(4 / 6)
    assert fc.coverage_at_risk(*given_, risk=0.2, **options) == 0
