"""Single rows, for users' own jitted code: the bits that kernels of blocks of rows have, in scratch on the stack.

A row is copied to the stack, a stretch at a time: whatever its layout, loops then run over contiguous numbers of one
type, and a row may be written over as it is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementary import LOWERED, larger
from .gather import highest
from .jit import inner, kernel
from .normalise import add_powers, certain, inverse_total, maximum, power, row_powers, start_of, times, with_pair
from .pairs import product_of
from .rows import (
    BLOCK_SIZE,
    LANES,
    LOST_A,
    MAXIMUM,
    NARROW,
    STRETCH,
    SUM_A,
)
from .stack import stack, stamped, takes_row, takes_target

Array = np.ndarray[Any, np.dtype[Any]]
VECTOR = 16  # loops over so many numbers are vectors whole, where one of as many as there are is mostly what remains
SHORT = NARROW + VECTOR
_LOWEST32, _LOWEST64 = -120.0, -777.0  # elementary.LOWEST


@inner
def divided(row, temperature):
    """rows.divisor: 1 / T, what rounding lost of it, and the lowest difference; NaN for no temperature."""
    real = row.dtype.type
    t = np.float64(temperature)
    lowest = _LOWEST32 if row.itemsize == 4 else _LOWEST64
    if t == 1.0:  # two divisions would take as long as a short row
        return real(1), real(0), real(lowest)
    large = 3.4028234663852886e38 if row.itemsize == 4 else 1.7976931348623157e308
    if not (1e3 / large < t < large / 1e3):
        t = np.nan
    inverse = real(1.0 / t)
    # 1 - T (1 / T) has no more digits than a double: the quotient is rounded once
    scale = 2.0**-500 if t > 1e200 else 2.0**500 if t < 1e-200 else 1.0
    high, low = product_of(t * scale, np.float64(inverse) / scale)
    rest = ((1.0 - high) - low) / t
    return inverse, real(rest), real(lowest * t)


@inner
def take(row, start, size, fill, into):
    """Copy ``size`` numbers of a row from ``start`` on, those past its end filled up."""
    n = min(size, row.shape[0] - start)
    for k in range(n):
        into[np.uintp(k)] = row[np.uintp(start + k)]
    for k in range(n, size):
        into[np.uintp(k)] = fill


@inner
def padded(n, size):
    return (n + size - 1) // size * size


@inner
def set_nan(out):
    for k in range(out.shape[0]):
        out[np.uintp(k)] = np.nan


@inner
def _softmax_of_two(z, inverse_t, rest_t, lowest, out):
    real = z.dtype.type
    a = z[0]
    b = z[1]
    m = b if a < b else a
    e = power(a if a < b else b, m, inverse_t, rest_t, lowest) * real(LOWERED)
    p = real(1) / (real(1) + e)
    q = e * p
    out[0] = q if a < b else p
    out[1] = p if a < b else q


@inner
def _softmax_narrow(z, inverse_t, rest_t, lowest, out):
    real = z.dtype.type
    n = z.shape[0]
    lines = stack(z, SHORT)
    powers = stack(z, SHORT)
    most = stack(z, VECTOR)
    stop = padded(n, VECTOR)
    for i in range(VECTOR):
        most[i] = -np.inf
    for start in range(0, stop, VECTOR):
        for i in range(VECTOR):
            x = real(-np.inf)
            if start + i < n:
                x = z[np.uintp(start + i)]
            lines[np.uintp(start + i)] = x
            most[i] = larger(most[i], x)
    for i in range(8):
        most[i] = larger(most[i], most[i + 8])
    for i in range(4):
        most[i] = larger(most[i], most[i + 4])
    m = larger(larger(most[0], most[2]), larger(most[1], most[3]))
    if not (real(-np.inf) < m < real(np.inf)):
        certain(z, out, 0)
        return
    for start in range(0, stop, VECTOR):
        for i in range(VECTOR):
            k = np.uintp(start + i)
            powers[k] = power(lines[k], m, inverse_t, rest_t, lowest)
    whole = real(0)
    rest = real(0)
    for k in range(0, n, 2):
        whole, rest = with_pair(whole, rest, powers[np.uintp(k)], powers[np.uintp(k + 1)])
    scale = real(1) / (whole + rest)
    for start in range(0, stop, VECTOR):
        for i in range(VECTOR):
            k = np.uintp(start + i)
            if start + i < n:
                out[k] = powers[k] * scale


@inner
def softmax_of_wide(z, inverse_t, rest_t, lowest, out):
    real = z.dtype.type
    n = z.shape[0]
    row = stack(z, STRETCH)
    powers = stack(z, STRETCH)
    lanes = stack(z, BLOCK_SIZE)
    first = np.int64(0)
    for i in range(LANES):
        lanes[MAXIMUM + i] = -np.inf
        lanes[SUM_A + i] = real(0)
        lanes[LOST_A + i] = real(0)
    for start in range(0, n, STRETCH):
        size = min(np.int64(STRETCH), padded(n - start, 2 * LANES))
        take(z, start, size, real(-np.inf), row)
        maximum(row, first, size, LANES, lanes)
    m = highest(lanes, np.int64(MAXIMUM))
    if not (real(-np.inf) < m < real(np.inf)):
        certain(z, out, 0)
        return
    base, floor, bias = start_of(m, inverse_t, lowest)
    for start in range(0, n, STRETCH):
        size = min(np.int64(STRETCH), padded(n - start, 2 * LANES))
        take(z, start, size, real(-np.inf), row)
        row_powers(row, row, base, floor, bias, size, inverse_t, rest_t, powers, first)
        add_powers(powers, size, lanes)
        for k in range(min(size, n - start)):
            out[np.uintp(start + k)] = powers[np.uintp(k)]
    factor, rest = inverse_total(lanes, np.int64(SUM_A), np.int64(LOST_A))
    for k in range(n):
        out[np.uintp(k)] = times(out[np.uintp(k)], factor, rest)


@kernel
def softmax(z: Array, out: Array, temperature: float = 1.0) -> None:
    """softmax_k = exp(z_k / T) / sum_j exp(z_j / T) of a row of logits, into ``out``, which may be ``z`` itself.

    The bits of :func:`fastcal.softmax`, special values as there; NaN for a temperature that is not positive. Nothing
    for an empty row.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> z = np.array([1.0, 3.0])
    >>> jit.softmax(z, z, 2.0)
    >>> z.round(4).tolist()
    [0.2689, 0.7311]
    """
    stamped()
    takes_row(z)
    takes_target(z, out)
    inverse_t, rest_t, lowest = divided(z, temperature)
    n = z.shape[0]
    if np.isnan(inverse_t):
        set_nan(out)
    elif n == 2:
        _softmax_of_two(z, inverse_t, rest_t, lowest, out)
    elif n <= NARROW:
        _softmax_narrow(z, inverse_t, rest_t, lowest, out)
    else:
        softmax_of_wide(z, inverse_t, rest_t, lowest, out)
