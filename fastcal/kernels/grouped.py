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
# Bits after the binary point of what a row adds to each: NLL and entropy are below 16, their squares below 256.
BITS = (58, 60, 58, 54, 60)
_SCALES = tuple(2.0**bits for bits in BITS)
WORDS = 16  # counts, two words a sum, and room to fill two cache lines
# A sum holds 2^-82 to 2^110, in limbs of kernels/exact.py from this one on: 48 bytes, not 544.
FIRST_LIMB = 31
N_LIMBS = 6
MOST = 2.0**90
_UNIT = 2.0**60
_LOW_BITS = np.int64(0xFFFFFFFF)
# Pairs of a group: weight, correct, nll, brier, entropy; squared weights, times correct, nll, nll^2, brier, brier^2.
PAIRS = 11


@inner
def rounded(value):
    """To a multiple of 2^-60: sums with integer weights then are exact."""
    return np.rint(value * _UNIT) / _UNIT


@inner
def _put(value, limbs):
    """Add a number from 16 up: its last bit is one of 2^-48 or more."""
    add_from(min(value, MOST), limbs, np.uintp(FIRST_LIMB))


@inner
def _put_two(value, scale, words, place):
    """Add a number of less than 2^62 units to two words, its low 32 bits and the rest."""
    fixed = np.int64(np.rint(value * scale))
    words[place] += fixed & _LOW_BITS
    words[place + 1] += fixed >> np.int64(32)


@kernel
def add(nll, brier, entropy, correct, groups, words, limbs):
    """Add rows to ``words`` (G, WORDS), and to ``limbs`` (G, SUMS, N_LIMBS) the NLL of those of 16 nats and more.

    A row of NaN is passed over. All of a group but its bins is in two cache lines: 6 ns a row with 10 000 groups.
    """
    for i in range(nll.shape[0]):
        loss = np.float64(nll[i])
        if np.isnan(loss):
            continue
        own = words[np.uintp(groups[i])]
        own[ROWS] += 1
        own[CORRECT] += np.int64(correct[i])
        score = np.float64(brier[i])
        _put_two(score, _SCALES[BRIER], own, COUNTS + 2 * BRIER)
        _put_two(score * score, _SCALES[BRIER_SQUARE], own, COUNTS + 2 * BRIER_SQUARE)
        _put_two(np.float64(entropy[i]), _SCALES[ENTROPY], own, COUNTS + 2 * ENTROPY)
        if loss < 16.0:
            _put_two(loss, _SCALES[NLL], own, COUNTS + 2 * NLL)
            _put_two(loss * loss, _SCALES[NLL_SQUARE], own, COUNTS + 2 * NLL_SQUARE)
        elif np.isinf(loss):
            own[INFINITE] += 1
        else:
            _put(loss, limbs[np.uintp(groups[i]), NLL])
            _put(loss * loss, limbs[np.uintp(groups[i]), NLL_SQUARE])


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
