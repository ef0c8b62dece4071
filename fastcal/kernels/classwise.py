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
from .intrinsics import LINE, above
from .jit import inner, kernel
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
def add_row(row, y, first, cuts, table, low, high, sums, totals, cells, hits):
    """Add a row (K,) of no NaN, and its label."""
    n_classes = row.shape[0]
    per_line = np.int64(LINE // row.itemsize)
    whole = n_classes - n_classes % per_line
    real = type(first)
    least = real(low)
    most = real(high)
    for k in range(n_classes):  # as ``fixed``, but for what it takes off
        p = row[np.uintp(k)]
        p = p if p > least else least
        p = p if p < most else most
        sums[np.uintp(k)] += np.float64(np.float64(p) * _SCALE + _MAGIC).view(np.int64)
    for start in range(0, whole, per_line):
        found = above(row, start, first)
        k = np.uintp(start)
        while found > 0:
            if found & 1:
                _put(np.float64(row[k]), k, low, high, cuts, table, cells)
            found >>= np.int64(1)
            k += np.uintp(1)
    for k in range(whole, n_classes):
        p = np.float64(row[np.uintp(k)])
        if p > first:
            _put(p, np.uintp(k), low, high, cuts, table, cells)
    y = np.uintp(y)
    totals[y, COUNT] += 1
    p = np.float64(row[y])
    if p > first:
        hits[y, bin_index(p, cuts, table)] += 1


@kernel
def add(probs, labels, confidence, first, cuts, table, low, high, held, sums, totals, cells, hits):
    """Add rows (n, K); those of NaN ``confidence`` are passed over.

    ``totals`` (K, WORDS) gets all probabilities, by way of ``sums`` (K,), and counts the rows of each label; ``cells``
    (K, bins, WORDS) gets those above ``first``, ``hits`` (K, bins) those of them that are the label's. ``held`` (1,)
    rows stand in ``sums`` and SUM, until ``settle``.
    """
    for i in range(probs.shape[0]):
        if np.isnan(confidence[i]):
            continue
        held[0] += 1
        add_row(probs[i], labels[i], first, cuts, table, low, high, sums, totals, cells, hits)
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
