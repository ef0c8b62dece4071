"""Exact sums against rational arithmetic: correctly rounded, whatever the order."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastcal.accumulators.bins import Lookup
from fastcal.accumulators.state import FLOAT_BITS, integer
from fastcal.kernels import binning, exact

NONE = np.empty(0)
finite = st.floats(allow_nan=False, allow_infinity=False)


def total(digits):
    return Fraction(integer(digits[0]), 1 << FLOAT_BITS)


@given(st.lists(finite, max_size=60), st.randoms())
def test_a_sum_is_exact_in_any_order(values, random):
    digits = np.zeros((1, exact.N_LIMBS), np.int64)
    assert exact.add(np.array(values), NONE, digits) == 0
    assert total(digits) == sum(map(Fraction, values))
    random.shuffle(values)
    again = np.zeros_like(digits)
    for value in values:
        exact.add(np.array([value]), NONE, again)
    np.testing.assert_array_equal(digits, again)


@given(st.lists(st.floats(0, 1e300), max_size=60))
def test_the_rounded_sum_is_fsum(values):
    digits = np.zeros((1, exact.N_LIMBS), np.int64)
    exact.add(np.array(values), NONE, digits)
    assert integer(digits[0]) / (1 << FLOAT_BITS) == math.fsum(values)


@given(st.lists(st.tuples(st.floats(0, 2.0**100, width=32), st.floats(0, 1e100)), max_size=40))
def test_products_round_once_each(pairs):
    values = np.array([v for v, _ in pairs], np.float32)
    weights = np.array([w for _, w in pairs], np.float64)
    digits = np.zeros((1, exact.N_LIMBS), np.int64)
    exact.add(values, weights, digits)
    assert total(digits) == sum(
        (Fraction(float(v) * float(w)) for v, w in zip(values, weights, strict=True)), Fraction()
    )


def test_infinities_are_counted_and_nan_passed_over():
    digits = np.zeros((1, exact.N_LIMBS), np.int64)
    assert exact.add(np.array([1.0, np.inf, np.nan, np.inf, 2.0]), NONE, digits) == 2
    assert total(digits) == 3
    assert exact.add(np.array([np.inf, np.inf, np.nan, 1.0]), np.array([0.0, 2.0, 1.0, 5.0]), digits) == 1
    assert total(digits) == 8


def test_a_carry_runs_through():
    digits = np.zeros((1, exact.N_LIMBS), np.int64)
    digits[0, :5] = 2**32 - 1
    digits[0, 0] += 1
    exact.carry(digits)
    assert digits[0, :6].tolist() == [0, 0, 0, 0, 0, 1]


@given(st.integers(1, 40), st.floats(0, 1), st.sampled_from([np.float32, np.float64]))
def test_bin_index_is_searchsorted(n_bins, p, dtype):
    edges = np.linspace(0, 1, n_bins + 1)
    lookup = Lookup.of(edges[1:-1])
    for value in (p, -7.0, 1e30, np.inf, -np.inf, np.nan, *edges, *np.nextafter(edges, 2), *np.nextafter(edges, -1)):
        if np.isnan(value):
            continue
        cells = np.zeros((1, n_bins, binning.CELL), np.int64)
        p = np.array([value], dtype)
        p.flags.writeable = False
        binning.add(p, np.zeros(1, np.uint8), *lookup.arguments, None, cells)
        expected = max(np.searchsorted(edges, np.float64(np.clip(p[0], 0, 1)), side="left") - 1, 0)
        assert cells[0, :, binning.ROWS].nonzero()[0].tolist() == [expected], (value, n_bins)
