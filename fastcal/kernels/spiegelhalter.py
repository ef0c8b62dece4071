"""The sums of Spiegelhalter's test: (y - p)(1 - 2 p), and its variance under calibration, (1 - 2 p)^2 p (1 - p)."""

from __future__ import annotations

import numpy as np

from .binning import clipped
from .jit import kernel
from .pairs import add_product, in_units

LOW, HIGH, VARIANCE_LOW, VARIANCE_HIGH = range(4)
_SCALE = 2.0**62
_LOW_BITS = np.int64(0xFFFFFFFF)


@kernel
def add(confidence, outcome, sums):
    """Add rows to ``sums`` (4,), in units of 2^-62, each in two halves; NaN is passed over."""
    low, high, variance_low, variance_high = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(confidence.shape[0]):
        given = np.float64(confidence[i])
        known = not np.isnan(given)
        p = clipped(given, 0.0, 1.0)
        slope = 1.0 - 2.0 * p
        z = (np.float64(outcome[i]) - p) * slope if known else 0.0
        variance = slope * slope * (p * (1.0 - p)) if known else 0.0
        fixed = np.int64(np.rint(z * _SCALE))
        low += fixed & _LOW_BITS
        high += fixed >> np.int64(32)
        fixed = np.int64(np.rint(variance * _SCALE))
        variance_low += fixed & _LOW_BITS
        variance_high += fixed >> np.int64(32)
    sums[LOW] += low
    sums[HIGH] += high
    sums[VARIANCE_LOW] += variance_low
    sums[VARIANCE_HIGH] += variance_high


@kernel
def add_weighted(confidence, outcome, weights, sums):
    """The same with weights, squared in the variance, to pairs (2, 2)."""
    for i in range(confidence.shape[0]):
        given = np.float64(confidence[i])
        if np.isnan(given):
            continue
        p = clipped(given, 0.0, 1.0)
        slope = 1.0 - 2.0 * p
        w = weights[i]
        add_product(sums[0], w, in_units((np.float64(outcome[i]) - p) * slope))
        add_product(sums[1], w * w, in_units(slope * slope * (p * (1.0 - p))))
