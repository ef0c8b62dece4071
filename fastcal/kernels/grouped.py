"""Sums of rows by group: scores in a window of exact digits, weighted ones in pairs; and the block of a row."""

from __future__ import annotations

import numpy as np

from .exact import add_from
from .jit import inner, kernel
from .pairs import add_pair, add_product

ROWS, CORRECT, INFINITE = range(3)
COUNTS = 3
# Sums of a group; with weights, of squared weights times these too.
NLL, BRIER, ENTROPY, NLL_SQUARE, BRIER_SQUARE = range(5)
SUMS = 5
# A sum holds 2^-82 to 2^110, in limbs of kernels/exact.py from this one on: 48 bytes, not 544.
FIRST_LIMB = 31
N_LIMBS = 6
MOST = 2.0**90
_UNIT = 2.0**60
SHIFT = np.int64(22)  # of 2^-60 within the first limb
_LOW_BITS = np.int64(0xFFFFFFFF)
# Pairs of a group: weight, correct, nll, brier, entropy; squared weights, times correct, nll, nll^2, brier, brier^2.
PAIRS = 11


@inner
def rounded(value):
    """To a multiple of 2^-60: sums with integer weights then are exact."""
    return np.rint(value * _UNIT) / _UNIT


@inner
def _put(value, limbs):
    """Add a number from 0 up, rounded to a multiple of 2^-60."""
    value = min(value, MOST)
    if value >= 4.0:  # its last bit is one of 2^-50 or more
        add_from(value, limbs, np.uintp(FIRST_LIMB))
        return
    fixed = np.int64(np.rint(value * _UNIT))
    low = (fixed & _LOW_BITS) << SHIFT
    high = (fixed >> np.int64(32)) << SHIFT
    limbs[0] += low & _LOW_BITS
    limbs[1] += (low >> np.int64(32)) + (high & _LOW_BITS)
    limbs[2] += high >> np.int64(32)


@kernel
def add(nll, brier, entropy, correct, groups, counts, limbs):
    """Add rows to ``counts`` (G, COUNTS) and ``limbs`` (G, SUMS, N_LIMBS); a row of NaN is passed over."""
    for i in range(nll.shape[0]):
        loss = np.float64(nll[i])
        if np.isnan(loss):
            continue
        g = np.uintp(groups[i])
        counts[g, ROWS] += 1
        counts[g, CORRECT] += np.int64(correct[i])
        own = limbs[g]
        score = np.float64(brier[i])
        _put(score, own[BRIER])
        _put(score * score, own[BRIER_SQUARE])
        _put(np.float64(entropy[i]), own[ENTROPY])
        if np.isinf(loss):
            counts[g, INFINITE] += 1
            continue
        _put(loss, own[NLL])
        _put(loss * loss, own[NLL_SQUARE])


@kernel
def add_weighted(nll, brier, entropy, correct, weights, groups, counts, pairs):
    """The same with weights, to ``pairs`` (G, PAIRS, 2)."""
    for i in range(nll.shape[0]):
        loss = np.float64(nll[i])
        if np.isnan(loss):
            continue
        g = np.uintp(groups[i])
        counts[g, ROWS] += 1
        w = weights[i]
        if np.isinf(loss):
            counts[g, INFINITE] += np.int64(w > 0.0)
            loss = 0.0
        loss = rounded(min(loss, MOST))
        own = pairs[g]
        score = rounded(np.float64(brier[i]))
        hit = np.float64(correct[i])
        w2 = w * w
        add_pair(own[0], w, 0.0)
        add_pair(own[1], w * hit, 0.0)
        add_product(own[2], w, loss)
        add_product(own[3], w, score)
        add_product(own[4], w, rounded(np.float64(entropy[i])))
        add_pair(own[5], w2, 0.0)
        add_pair(own[6], w2 * hit, 0.0)
        add_product(own[7], w2, loss)
        add_product(own[8], w2, rounded(loss * loss))
        add_product(own[9], w2, score)
        add_product(own[10], w2, rounded(score * score))


@kernel
def blocks(start, seed, out):
    """The block of each row from number ``start`` on: a hash of number and seed (splitmix64; Steele et al. 2014)."""
    mask = np.uint64(0xFFFFFFFFFFFFFFFF)
    step = np.uint64(0x9E3779B97F4A7C15)
    for i in range(out.shape[0]):
        x = (np.uint64(start) + np.uint64(i) + np.uint64(1)) * step + seed
        x = ((x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)) & mask
        x = ((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)) & mask
        x ^= x >> np.uint64(31)
        out[i] = np.int64(x >> np.uint64(54))  # 1024 blocks
