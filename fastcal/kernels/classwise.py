"""Every probability of every row into the bins of its class.

A row has one label and many probabilities, nearly all of them in the first bin. So the first bin is never written to:
all probabilities of a class are summed, in vectors over classes, only those above the first cut go to their bin, and
the first bin is what the others leave of the whole. 1.0 ns a probability on one thread against 2.5 one by one.

A probability is summed as the integer p 2^44 (exact for float32 from 2^-20 up, else rounded to 2^-45), so that 2^18
rows fit one word; the caller takes the words away before there are more.
"""

from __future__ import annotations

import numpy as np

from .binning import CONFIDENCE, HITS, WEIGHT, WEIGHT2, bin_index, clipped
from .jit import inner, kernel
from .pairs import add_pair, add_product, in_units

COUNT, SUM = range(2)
WORDS = 2
SCALE_BITS = 44
MOST_ROWS = 1 << 18
LANES = 16
_SCALE = 2.0**SCALE_BITS
# Added to a number below 2^51 it leaves that number, rounded to an integer, in the low bits; a conversion to int64 is
# no vector instruction before AVX-512.
_MAGIC = 1.5 * 2.0**52
_MAGIC_BITS = np.float64(_MAGIC).view(np.int64)


@inner
def fixed(p):
    return np.float64(p * _SCALE + _MAGIC).view(np.int64) - _MAGIC_BITS


@inner
def _put(p, k, low, high, cuts, table, cells):
    cell = cells[k, bin_index(p, cuts, table)]
    cell[COUNT] += 1
    cell[SUM] += fixed(clipped(p, low, high))


@kernel
def add(probs, labels, confidence, first, cuts, table, low, high, totals, cells, hits):
    """Add rows (n, K); those of NaN ``confidence`` are passed over. Returns how many were added.

    ``totals`` (K,) gets all probabilities, ``cells`` (K, bins, WORDS) those above ``first``, ``hits`` (K, bins) those
    above it that are the label's.
    """
    n, n_classes = probs.shape
    whole = n_classes - n_classes % LANES
    added = 0
    for i in range(n):
        if np.isnan(confidence[i]):
            continue
        added += 1
        row = probs[i]
        for start in range(0, whole, LANES):
            above = np.int64(0)
            for j in range(LANES):
                p = row[np.uintp(start + j)]
                above += np.int64(p > first)
                totals[np.uintp(start + j)] += fixed(clipped(p, low, high))
            if above > 0:
                for j in range(LANES):
                    p = np.float64(row[np.uintp(start + j)])
                    if p > first:
                        _put(p, np.uintp(start + j), low, high, cuts, table, cells)
        for k in range(whole, n_classes):
            p = np.float64(row[np.uintp(k)])
            totals[np.uintp(k)] += fixed(clipped(p, low, high))
            if p > first:
                _put(p, np.uintp(k), low, high, cuts, table, cells)
        y = np.uintp(labels[i])
        p = np.float64(row[y])
        if p > first:
            hits[y, bin_index(p, cuts, table)] += 1
    return added


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
            add_product(own[CONFIDENCE], w, in_units(clipped(p, low, high)))
            if labels[i] == k:
                add_pair(own[HITS], w, 0.0)
