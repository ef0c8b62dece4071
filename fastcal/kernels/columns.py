"""Columns of scores into exact sums, in vectors.

``exact`` says what a number adds to the limbs of a sum, one number at a time. Here 512 of them are added as three
integers each, in units of 2^-20, 2^-60 and 2^-100, which holds numbers below 2^20 that are multiples of 2^-100: float32
from 2^-77 up, float64 from 2^-48 up. A stretch with any other number goes to the limbs one by one. Five sums take 3.5
ns a row, where they took 17.
"""

from __future__ import annotations

import numpy as np

from .exact import add_integer, add_one, carry
from .jit import inner, kernel

# What ``counts`` of scores hold: rows, infinite NLLs, rows predicted right.
UNIT, INFINITE, RIGHT = range(3)
# A column's sums: of values in three units, of squares in two.
N_TOTALS = 5
STRETCH = 512
LARGEST = 2.0**20
_UP = 2.0**20
_DOWN = 2.0**40
_BITS = 1074 - 20  # of the first unit, above 2^-1074
_STEP = 40
_MAGIC = 1.5 * 2.0**52
_MAGIC_BITS = np.float64(_MAGIC).view(np.int64)


@inner
def _add_values(values, start, stop, totals, limbs, square_limbs):
    """Add values, and their squares if there are limbs for these; returns how many are infinite."""
    large, middle, small = np.int64(0), np.int64(0), np.int64(0)
    square_large, square_middle = np.int64(0), np.int64(0)
    odd, n_infinite = np.int64(0), np.int64(0)
    for i in range(start, stop):
        given = np.float64(values[np.uintp(i)])
        known = not np.isnan(given)
        finite = given - given == 0.0
        n_infinite += np.int64(known) - np.int64(finite)
        value = given if finite else 0.0
        scaled = value * _UP
        shifted = np.float64(scaled + _MAGIC)
        large += shifted.view(np.int64) - _MAGIC_BITS
        rest = (scaled - (shifted - _MAGIC)) * _DOWN
        shifted = np.float64(rest + _MAGIC)
        middle += shifted.view(np.int64) - _MAGIC_BITS
        rest = (rest - (shifted - _MAGIC)) * _DOWN
        shifted = np.float64(rest + _MAGIC)
        small += shifted.view(np.int64) - _MAGIC_BITS
        square = value * value
        whole = rest - (shifted - _MAGIC) == 0.0
        odd += np.int64(1) - np.int64(whole & (abs(value) < LARGEST) & (square < LARGEST))
        scaled = square * _UP
        shifted = np.float64(scaled + _MAGIC)
        square_large += shifted.view(np.int64) - _MAGIC_BITS
        rest = (scaled - (shifted - _MAGIC)) * _DOWN
        square_middle += np.float64(rest + _MAGIC).view(np.int64) - _MAGIC_BITS
    if odd == 0:
        totals[0] += large
        totals[1] += middle
        totals[2] += small
        totals[3] += square_large
        totals[4] += square_middle
        return n_infinite
    for i in range(start, stop):
        value = np.float64(values[np.uintp(i)])
        square = value * value
        if np.isfinite(value):
            add_one(value, limbs[0])
        if square_limbs.size > 0 and square < 4.0:
            add_integer(np.int64(np.rint(square * 2.0**60)), np.int64(_BITS - _STEP), square_limbs[0])
        elif square_limbs.size > 0 and np.isfinite(square):
            add_one(square, square_limbs[0])
    return n_infinite


@inner
def _to_limbs(totals, limbs, square_limbs):
    """Move a column's totals to its sums, and carry these."""
    for unit in range(N_TOTALS):
        if unit < 3:
            add_integer(totals[unit], np.int64(_BITS - _STEP * unit), limbs[0])
        elif square_limbs.size > 0:
            add_integer(totals[unit], np.int64(_BITS - _STEP * (unit - 3)), square_limbs[0])
        totals[unit] = 0
    carry(limbs)
    carry(square_limbs)


@kernel
def add_scores(nll, brier, entropy, correct, totals, nll_sum, brier_sum, entropy_sum, nll_square, brier_square, counts):
    """Add rows to exact sums, limbs (1, N_LIMBS), or (0, N_LIMBS) where squares are not wanted, and to ``counts`` (3,).

    As ``exact.add`` and ``exact.add_squares`` do. Scratch: ``totals`` (3, N_TOTALS), which begins and ends empty.
    """
    none = entropy_sum[:0]
    n = nll.shape[0]
    for start in range(0, n, STRETCH):
        stop = min(start + STRETCH, n)
        counts[INFINITE] += _add_values(nll, start, stop, totals[0], nll_sum, nll_square)
        _add_values(brier, start, stop, totals[1], brier_sum, brier_square)
        _add_values(entropy, start, stop, totals[2], entropy_sum, none)
        known, right = np.int64(0), np.int64(0)
        for i in range(start, stop):
            known += np.int64(not np.isnan(entropy[np.uintp(i)]))
            right += np.int64(correct[np.uintp(i)])
        counts[UNIT] += known
        counts[RIGHT] += right
    _to_limbs(totals[0], nll_sum, nll_square)
    _to_limbs(totals[1], brier_sum, brier_square)
    _to_limbs(totals[2], entropy_sum, none)
