"""Bins of confidence, isotonic fits and exact sums, one number or row at a time, for users' own jitted code."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import elementary
from .binning import HIGH, LOW, ROWS, SCALE_BITS, clipped
from .halves import widen
from .interface_rows import Array
from .jit import inner, kernel
from .lookup import on_line
from .pooling import sequence
from .stack import stamped

I64: Any = np.int64
_LOW_BITS = I64(0xFFFFFFFF)
_SCALE = 2.0**SCALE_BITS
_UNIT = 2.0**-SCALE_BITS


@kernel
def exp(x: float) -> float:
    """e^x of a float32 or float64, within 1 ulp, without branches or calls: loops over it take vectors.

    >>> from fastcal import jit
    >>> jit.exp(0.0)
    1.0
    """
    stamped()
    return elementary.exp(x)


@kernel
def log(x: float) -> float:
    """Natural logarithm of a float32 or float64, within 1 ulp, as :func:`exp`; log 0 is -inf, of a negative number NaN.

    >>> from fastcal import jit
    >>> jit.log(1.0), jit.log(0.0)
    (0.0, -inf)
    """
    stamped()
    return elementary.log(x)


@kernel
def log1p(x: float) -> float:
    """log(1 + x) of a float32 or float64 from -1 up, within 2 ulp, as :func:`exp`.

    >>> from fastcal import jit
    >>> jit.log1p(1e-20)
    1e-20
    """
    stamped()
    return elementary.log1p(x)


@kernel
def from_float16(bits: int) -> float:
    """The float32 that a float16 stands for, by its bits: Numba has no float16, so view such arrays as uint16.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> bits = np.array([0.5], np.float16).view(np.uint16)
    >>> float(jit.from_float16(bits[0]))
    0.5
    """
    stamped()
    return widen(np.uint16(bits))


@kernel
def from_bfloat16(bits: int) -> float:
    """The float32 that a bfloat16 stands for, by its bits.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> float(jit.from_bfloat16(np.uint16(0x3F00)))
    0.5
    """
    stamped()
    return widen(np.int16(bits))


@kernel
def bin_index(p: float, edges: Array) -> int:
    """The bin (lo, hi] of a number between ``edges`` (n_bins + 1,), which rise: that of ``np.searchsorted``, side left.

    What is below the first edge, or on it, is in the first bin, what is above the last one in the last. -1 for NaN.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> edges = np.linspace(0, 1, 5)
    >>> [jit.bin_index(p, edges) for p in (0.0, 0.25, 0.3, 1.0)]
    [0, 0, 1, 3]
    """
    stamped()
    x = np.float64(p)
    if np.isnan(x):
        return I64(-1)
    low, high = I64(0), I64(edges.shape[0] - 2)
    while low < high:
        middle = (low + high) >> I64(1)
        if x > np.float64(edges[np.uintp(middle + 1)]):
            low = middle + I64(1)
        else:
            high = middle
    return low


@kernel
def uniform_bin_index(p: float, n_bins: int) -> int:
    """The same between the edges ``np.linspace(0, 1, n_bins + 1)``, which are not looked up but computed.

    >>> from fastcal import jit
    >>> [jit.uniform_bin_index(p, 15) for p in (0.0, 1 / 15, 0.5, 1.0)]
    [0, 0, 7, 14]
    """
    stamped()
    x = np.float64(p)
    if np.isnan(x):
        return I64(-1)
    last = I64(n_bins) - I64(1)
    step = 1.0 / np.float64(n_bins)
    j = I64(clipped(x, 0.0, 1.0) * np.float64(n_bins))
    j = min(j, last)
    # Of no n_bins up to 20 000 is an edge missed from below, but who knows of all.
    j += I64(x > np.float64(j + 1) * step and j < last)
    j -= I64(x <= np.float64(j) * step and j > 0)
    return j


@kernel
def add_to_bins(bins: Array, j: int, confidence: float, outcome: int) -> None:
    """Add a row to bin ``j`` of ``bins`` (n_bins, 4), int64, which begin as zeros: its confidence and outcome, 0 or 1.

    All that is kept are integers (confidences, clipped to [0, 1], in units of 2^-62), so that bins of parts of the rows
    add up to those of all, ``bins + others``, in any order. One array takes 2^31 rows. A row of bin -1 counts nowhere.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> bins = np.zeros((15, 4), np.int64)
    >>> jit.add_to_bins(bins, jit.uniform_bin_index(0.9, 15), 0.9, 1)
    >>> jit.bin_sums(bins, 13)
    (1, 1, 0.9)
    """
    stamped()
    if not 0 <= j < bins.shape[0]:
        return
    fixed = I64(np.rint(clipped(confidence, 0.0, 1.0) * _SCALE))
    at = np.uintp(j)
    bins[at, ROWS] += I64(1) + (I64(outcome) << I64(32))
    bins[at, LOW] += fixed & _LOW_BITS
    bins[at, HIGH] += fixed >> I64(32)


@inner
def _sums(bins, j):
    at = np.uintp(j)
    rows = bins[at, ROWS] & _LOW_BITS
    outcomes = (bins[at, ROWS] >> I64(32)) & _LOW_BITS
    low = bins[at, LOW] & _LOW_BITS
    high = bins[at, HIGH] + (bins[at, LOW] >> I64(32))
    return rows, outcomes, low, high


@inner
def _of_units(low, high):
    """Integers in units of 2^-62 and 2^-30 as a float."""
    upper = np.float64(high >> I64(32)) * 4.0
    return (upper + np.float64(high & _LOW_BITS) * 2.0**-30) + np.float64(low) * _UNIT


@kernel
def bin_sums(bins: Array, j: int) -> tuple[int, int, float]:
    """(rows, outcomes 1, sum of confidences) of bin ``j``, see :func:`add_to_bins`.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> jit.bin_sums(np.zeros((15, 4), np.int64), 0)
    (0, 0, 0.0)
    """
    stamped()
    rows, outcomes, low, high = _sums(bins, j)
    return rows, outcomes, _of_units(low, high)


@kernel
def calibration_error(bins: Array) -> float:
    """sum_b n_b / n |accuracy_b - confidence_b|, the expected calibration error, of :func:`add_to_bins`' bins.

    That of :func:`fastcal.ece` to an ulp or two, which adds the gaps of bins in another order; NaN without rows.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> bins = np.zeros((15, 4), np.int64)
    >>> jit.add_to_bins(bins, 13, 0.875, 1)
    >>> jit.calibration_error(bins)
    0.125
    """
    stamped()
    gaps = 0.0
    n = 0
    for j in range(bins.shape[0]):
        rows, outcomes, low, high = _sums(bins, j)
        # of y - p, exactly: an outcome is 2^30 units of 2^-30
        residual = (outcomes << I64(30)) - high
        gap = _of_units(-low, residual)
        gaps += -gap if gap < 0.0 else gap
        n += rows
    return gaps / np.float64(n)


@kernel
def pool_adjacent_violators(y: Array, weights: Array | None, out: Array, work: Array) -> int:
    """The least-squares fit to ``y`` (n,) that only rises, into ``out``, which may be ``y``; returns how many blocks.

    ``weights`` (n,) above 0, or None. ``work`` (6, n), float64, C-contiguous: its first row then holds the value of
    each block, the second its weight. The bits of :func:`fastcal.isotonic_regression` up to 131 071 numbers, beyond
    which that one works on stretches. Numbers are finite (Ayer et al. 1955; Busing 2022).

    >>> import numpy as np
    >>> from fastcal import jit
    >>> y = np.array([1.0, 3.0, 2.0, 4.0])
    >>> jit.pool_adjacent_violators(y, None, y, np.empty((6, 4)))
    3
    >>> y.tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    stamped()
    n = y.shape[0]
    if n == 0:
        return I64(0)
    flat = work.reshape(-1)
    values, totals = flat[:n], flat[n : 2 * n]
    rests = flat[2 * n : 5 * n].reshape((n, 3))
    starts = flat[5 * n : 6 * n].view(np.int64)
    blocks = I64(sequence(y, weights, 1.0, starts, values, totals, rests))
    for block in range(blocks):
        stop = starts[block + 1] if block + 1 < blocks else n
        out[starts[block] : stop] = values[block] + 0.0
    return blocks


@kernel
def interpolate(x: float, knots: Array, values: Array) -> float:
    """The value at ``x`` on straight lines between knots (m,), which rise strictly; the nearest one's outside them.

    What ``IsotonicRegression(out_of_bounds="clip").predict`` gives of ``X_thresholds_`` and ``y_thresholds_``, in
    float64. NaN for NaN and for no knots.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> knots, values = np.array([0.0, 1.0]), np.array([0.2, 0.6])
    >>> [round(jit.interpolate(x, knots, values), 4) for x in (-1.0, 0.5, 2.0)]
    [0.2, 0.4, 0.6]
    """
    stamped()
    score = np.float64(x)
    low, high = I64(0), I64(knots.shape[0] - 1)
    if np.isnan(score) or high < 0:
        return np.nan
    if score <= knots[0]:
        return np.float64(values[0])
    if score >= knots[high]:
        return np.float64(values[high])
    while high - low > 1:
        middle = (low + high) >> I64(1)
        if knots[np.uintp(middle)] <= score:
            low = middle
        else:
            high = middle
    start, stop = np.float64(knots[low]), np.float64(knots[high])
    value, upper = np.float64(values[low]), np.float64(values[high])
    width = stop - start
    slope = (upper - value) / width if np.isfinite(width) else np.nan
    return on_line(score, start, value, slope, stop, upper)
