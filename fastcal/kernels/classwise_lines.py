"""Every probability of narrow rows into the bins of its class, 64 rows at a time.

A block is turned: line k holds class k of 64 rows. In vectors over a line come the probabilities, from logits by what
the row kernels found, their sum, their bins, and a word for each: the probability as an integer and, above it, a one
that counts the row. Then every word is added to its cell, without asking which bin it is: that of the next row is not
to be foretold, and to foretell it wrongly costs as much as five rows.

A word of float32 holds the multiple of 2^-27 that a probability above 1/16 is: small enough for 131 072 rows of them
before words are emptied, but not for the first bin, which is what the others leave of the sum of the whole class. A
word of float64 holds p 2^50, and is emptied after every block. 9 ns a row of 10 classes, from logits 12, where one
probability at a time takes 23 and 31.
"""

from __future__ import annotations

import numpy as np

from .binning import bin_index, clipped
from .classwise import COUNT, HIGH, LOW, SCALE_BITS
from .elementary import LOWERED, exp_lifted
from .gather import turn
from .jit import inner, kernel
from .rows import BLOCK, MAXIMUM

MOST_CLASSES = 48  # 100 of them take 2.2 ns a probability so, and 1.2 a row at a time
# Copies of each cell: an add would else wait for the one before, where neighbouring rows are in the same bin.
COPIES = 4
_SCALE = 2.0**SCALE_BITS
_MAGIC = 1.5 * 2.0**52
_MAGIC_BITS = np.float64(_MAGIC).view(np.int64)
_LOW_BITS = np.int64(0xFFFFFFFF)


@inner
def _powers(lines, n_classes, inverse_t, rest_t, lowest, p, block):
    """From logits to probabilities, as softmax.probabilities finds them."""
    real = block.dtype.type
    lower = real(LOWERED)
    for k in range(n_classes):
        for i in range(BLOCK):
            z = lines[np.uintp(k * BLOCK + i)]
            m = block[MAXIMUM + i]
            d = z - m
            d = real(0) if z == m else d
            d = lowest if d < lowest else d
            lines[np.uintp(k * BLOCK + i)] = exp_lifted(d, inverse_t, rest_t) * lower * p[i]


@inner
def _words(lines, k, first, by_width, low, high, scale, row, places, words):
    """A line's words, and where they go; returns the sum of the line."""
    total = np.int64(0)
    for i in range(BLOCK):
        q = clipped(lines[np.uintp(k * BLOCK + i)], low, high)
        total += np.float64(q * _SCALE + _MAGIC).view(np.int64) - _MAGIC_BITS
        words[np.uintp(k * BLOCK + i)] = np.float64(q * scale + _MAGIC).view(np.int64) + row
        j = np.int32(np.ceil(q * by_width)) - np.int32(1)
        j = j if j > np.int32(0) else np.int32(0)
        places[np.uintp(k * BLOCK + i)] = (j + first) * np.int32(COPIES) + np.int32(i & (COPIES - 1))
    return total


@inner
def _empty(bits, row_bit, copies, totals, counted, cells, hits):
    """Move the words of all bins but the first of each class, and the labels counted, to where they are kept."""
    n_classes, size = hits.shape
    mask = (np.int64(1) << row_bit) - np.int64(1)
    most = (np.int64(1) << (np.int64(64) - row_bit)) - np.int64(1)
    up = np.int64(SCALE_BITS) - bits
    for k in range(n_classes):
        for j in range(size):
            at = np.uintp((k * size + j) * COPIES)
            word = np.int64(0)
            for copy in range(COPIES):
                word += copies[at + np.uintp(copy)]
                copies[at + np.uintp(copy)] = 0
            found = counted[np.uintp(k * size + j)]
            counted[np.uintp(k * size + j)] = 0
            hits[k, j] += found
            totals[k, COUNT] += found
            if j > 0:
                cell = cells[k, j]
                cell[COUNT] += (word >> row_bit) & most
                part = word & mask
                cell[LOW] += (part << up) & _LOW_BITS
                cell[HIGH] += part >> (np.int64(32) - up)


@kernel
def add(
    scores,
    from_logits,
    inverse_t,
    rest_t,
    lowest,
    work,
    labels,
    confidence,
    cuts,
    table,
    low,
    high,
    by_width,
    bits,
    most,
    lines,
    lines_read,
    places,
    words,
    copies,
    counted,
    totals,
    cells,
    hits,
):
    """Add rows (n, K), K <= MOST_CLASSES; those of NaN ``confidence`` are passed over. As ``classwise.add`` keeps them.

    ``work`` is what the row kernels left of logits. ``by_width``: n where p n says which of n uniform bins it is, else
    0. Scratch: ``lines`` (MOST_CLASSES * BLOCK,) and a read-only view of it, ``places`` and ``words`` as large of int32
    and int64, ``copies`` (K * bins * COPIES,) and ``counted`` (K * bins,), which begin and end empty.
    """
    n_rows, n_classes = scores.shape
    size = hits.shape[1]
    row_bit = np.int64(0)
    while (np.int64(1) << row_bit) < most:
        row_bit += np.int64(1)
    row_bit += bits + np.int64(1)
    scale = 2.0**SCALE_BITS
    for _ in range(SCALE_BITS - bits):
        scale *= 0.5
    row = (np.int64(1) << row_bit) - _MAGIC_BITS
    p = lines[np.uintp(n_classes * BLOCK) : np.uintp((n_classes + 1) * BLOCK)]
    none = np.float64(clipped(0.0, low, high) * _SCALE + _MAGIC).view(np.int64) - _MAGIC_BITS
    held = np.int64(0)
    for start in range(0, n_rows, BLOCK):
        here = min(np.int64(BLOCK), n_rows - start)
        if held + BLOCK > most:
            _empty(bits, row_bit, copies, totals, counted, cells, hits)
            held = np.int64(0)
        held += BLOCK
        turn(scores, start, lines)
        known = np.int64(0)
        for i in range(here):
            p[i] = confidence[np.uintp(start + i)]
            known += np.int64(not np.isnan(p[i]))
        if from_logits:
            for i in range(here, BLOCK):
                p[i] = p[0]
            _powers(lines, n_classes, inverse_t, rest_t, lowest, p, work[start // BLOCK])
        if known < BLOCK:  # a row that is none is one of zeros, and in the first bin, which is the rest
            for k in range(n_classes):
                for i in range(BLOCK):
                    if i >= here or np.isnan(p[i]):
                        lines[np.uintp(k * BLOCK + i)] = 0.0
        for k in range(n_classes):
            total = _words(lines_read, k, np.int32(k * size), by_width, low, high, scale, row, places, words)
            total -= (BLOCK - known) * none
            totals[k, LOW] += total & _LOW_BITS
            totals[k, HIGH] += total >> np.int64(32)
        if by_width == 0.0:
            for k in range(n_classes):
                for i in range(BLOCK):
                    at = np.uintp(k * BLOCK + i)
                    j = np.int64(bin_index(np.float64(lines[at]), cuts, table))
                    places[at] = (j + k * size) * COPIES + (i & (COPIES - 1))
        for at in range(n_classes * BLOCK):
            copies[np.uintp(places[np.uintp(at)])] += words[np.uintp(at)]
        for i in range(here):
            if not np.isnan(p[i]):
                y = labels[np.uintp(start + i)]
                counted[np.uintp(places[np.uintp(y * BLOCK + i)] // COPIES)] += 1
    _empty(bits, row_bit, copies, totals, counted, cells, hits)
