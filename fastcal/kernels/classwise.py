"""Every probability of every row into the bins of its class.

A row has one label and many probabilities, nearly all of them in the first bin. So the first bin is never written to:
all probabilities of a class are summed, in vectors over classes, only those above the first cut go to their bin, and
the first bin is what the others leave of the whole. 1.0 ns a probability on one thread against 2.5 one by one.

A probability is summed as the integer p 2^50 (exact for float32 from 2^-26 up, else rounded to 2^-51), in a word that
is emptied into two others every 4096 rows.
"""

from __future__ import annotations

import numpy as np

from .binning import CONFIDENCE, HITS, WEIGHT, WEIGHT2, bin_index, clipped
from .bits import lowest_bit
from .intrinsics import WORD, above
from .jit import inlined, inner, kernel
from .pairs import add_pair, add_product

# What a cell holds: rows, a sum, and where it is emptied to, its low 32 bits and the rest.
COUNT, SUM, LOW, HIGH = range(4)
WORDS = 4
SCALE_BITS = 50
MOST_ROWS = 1 << 12
_SCALE = 2.0**SCALE_BITS
_LOW_BITS = np.int64(0xFFFFFFFF)
# Added to a number below 2^51 it leaves that number, rounded to an integer, in the low bits; a conversion to int64 is
# no vector instruction before AVX-512.
_MAGIC = 1.5 * 2.0**52
_MAGIC_BITS = np.float64(_MAGIC).view(np.int64)


@inner
def fixed(p):
    return np.float64(p * _SCALE + _MAGIC).view(np.int64) - _MAGIC_BITS


@inner
def _empty(words):
    """Move SUM to LOW and HIGH."""
    words[LOW] += words[SUM] & _LOW_BITS
    words[HIGH] += words[SUM] >> np.int64(32)
    words[SUM] = 0


@inner
def _empty_cells(cells):
    for k in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            _empty(cells[k, j])


@inner
def empty_all(held, totals, sums, cells):
    for k in range(cells.shape[0]):
        totals[k, SUM] += sums[k] - held[0] * _MAGIC_BITS
        sums[k] = 0
        _empty(totals[k])
    _empty_cells(cells)
    held[0] = 0


@kernel
def settle(held, totals, sums, cells):
    """Empty the words that are, between chunks, as ``add`` left them."""
    empty_all(held, totals, sums, cells)


@inner
def _put(p, k, low, high, cuts, table, cells):
    cell = cells[k, bin_index(p, cuts, table)]
    cell[COUNT] += 1
    cell[SUM] += fixed(clipped(p, low, high))


@kernel
def add_few(probs, labels, confidence, threshold, cuts, table, low, high, cells, hits):
    """As :func:`add` for few classes, in no vectors: each probability above ``threshold`` goes to its bin."""
    n, n_classes = probs.shape
    held = 0
    for i in range(n):
        if np.isnan(confidence[i]):
            continue
        held += 1
        for k in range(n_classes):
            p = np.float64(probs[i, k])
            if p > threshold:
                _put(p, np.uintp(k), low, high, cuts, table, cells)
        y = np.uintp(labels[i])
        p = np.float64(probs[i, y])
        if p > threshold:
            hits[y, bin_index(p, cuts, table)] += 1
        if held == MOST_ROWS:
            _empty_cells(cells)
            held = 0
    _empty_cells(cells)


@inner
def _summed(p, least, most):
    """As ``fixed``, but for what that takes off."""
    p = p if p > least else least
    p = p if p < most else most
    return np.float64(np.float64(p) * _SCALE + _MAGIC).view(np.int64)


@inner
def sum_row(row, least, most, sums):
    for k in range(row.shape[0]):
        sums[np.uintp(k)] += _summed(row[np.uintp(k)], least, most)


@inner
def sum_four(a, b, c, d, least, most, sums):
    """Four rows by one way through ``sums``."""
    for k in range(a.shape[0]):
        i = np.uintp(k)
        two = _summed(a[i], least, most) + _summed(b[i], least, most)
        sums[i] += two + (_summed(c[i], least, most) + _summed(d[i], least, most))


@inlined
def bin_row(row, y, first, cuts, table, low, high, totals, cells, hits):
    """A row's probabilities above ``first``, and its label, to their bins."""
    n_classes = row.shape[0]
    for start in range(0, n_classes, WORD):
        at = start
        if n_classes >= WORD:
            at = min(start, n_classes - WORD)
            found = above(row, at, first) & (np.int64(-1) << np.int64(start - at))
        else:
            found = np.int64(0)
            for k in range(n_classes):
                found |= np.int64(row[np.uintp(k)] > first) << np.int64(k)
        while found != 0:
            k = np.uintp(at + lowest_bit(found))
            found &= found - np.int64(1)
            _put(np.float64(row[k]), k, low, high, cuts, table, cells)
    y = np.uintp(y)
    totals[y, COUNT] += 1
    hits[y, bin_index(np.float64(row[y]), cuts, table)] += 1  # those of the first bin are what the others leave


@kernel
def add(probs, labels, confidence, first, cuts, table, low, high, held, sums, totals, cells, hits):
    """Add rows (n, K); those of NaN ``confidence`` are passed over.

    ``totals`` (K, WORDS) gets all probabilities, by way of ``sums`` (K,), and counts the rows of each label; ``cells``
    (K, bins, WORDS) gets those above ``first``, ``hits`` (K, bins) those of them that are the label's. ``held`` (1,)
    rows stand in ``sums`` and SUM, until ``settle``.
    """
    real = type(first)
    least, most = real(low), real(high)
    for i in range(probs.shape[0]):
        if np.isnan(confidence[i]):
            continue
        held[0] += 1
        sum_row(probs[i], least, most, sums)
        bin_row(probs[i], labels[i], first, cuts, table, low, high, totals, cells, hits)
        if held[0] == MOST_ROWS:
            empty_all(held, totals, sums, cells)


@kernel
def add_weighted(probs, labels, confidence, weights, threshold, cuts, table, low, high, count, sums):
    """Add weighted rows: to ``count`` (K, bins) and ``sums`` (K, bins, SUMS, 2) what lies above ``threshold``."""
    n, n_classes = probs.shape
    for i in range(n):
        if np.isnan(confidence[i]):
            continue
        w = weights[i]
        for k in range(n_classes):
            p = np.float64(probs[i, k])
            if not p > threshold:
                continue
            j = bin_index(p, cuts, table)
            own = sums[k, j]
            count[k, j] += 1
            add_pair(own[WEIGHT], w, 0.0)
            add_pair(own[WEIGHT2], w * w, 0.0)
            add_product(own[CONFIDENCE], w, np.rint(clipped(p, low, high) * _SCALE) / _SCALE)
            if labels[i] == k:
                add_pair(own[HITS], w, 0.0)
