"""Sums of floats in two parts, high and low: 106 bits, in which sums with integer weights are exact.

The high part is the sum rounded to float64, the low part what that lost: a sum has one representation only. Numbers
that are multiples of 2^-62 and add up to less than 2^40 are added exactly, so that their sums have the same bits in any
order; others agree to 1e-30.
"""

from __future__ import annotations

import numpy as np

from .jit import inner

UNIT = 2.0**62


@inner
def add_pair(pair, high, low):
    """Add a number in two parts to ``pair`` (2,)."""
    before = pair[0]
    total = before + high
    part = total - before
    rest = pair[1] + low + ((before - (total - part)) + (high - part))
    pair[0] = total + rest
    pair[1] = rest - (pair[0] - total)


@inner
def product_of(a, b):
    """A product in two parts, exact (Dekker 1971); no part is beyond 1e300."""
    product = a * b
    shifted = 134217729.0 * a
    a_high = shifted - (shifted - a)
    a_low = a - a_high
    shifted = 134217729.0 * b
    b_high = shifted - (shifted - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@inner
def add_product(pair, a, b):
    """Add a product to ``pair`` (2,), exactly."""
    high, low = product_of(a, b)
    add_pair(pair, high, low)


@inner
def in_units(p):
    """A number of [-1, 1] rounded to a multiple of 2^-62, as unweighted sums take it."""
    return np.rint(np.float64(p) * UNIT) / UNIT
