"""Rows into bins by confidence: counts, outcomes and exact sums of confidence.

Bins are given by *cuts* that rise: a confidence is in bin j if it is above j of them, (lo, hi]; the last cut is
infinite. A table says how many cuts lie below each of 4096 equal cells of [0, 1]; from there it is a step or none.

A confidence p is summed as the integer p 2^62 (exact for float32 from 2^-38 up and for float64 from 2^-9 up, rounded to
2^-63 below), split in two so that 2^31 rows cannot overflow either half; and so are squared residuals, (y - p)^2.
"""

from __future__ import annotations

import numpy as np

from .intrinsics import prefetch
from .jit import inner, kernel
from .pairs import add_pair, add_product, in_units

# What a cell holds: rows and, 32 bits higher, those with outcome 1; the halves of two sums. With other words up to half
# a cache line, or a whole one, so that a row touches one line.
ROWS, LOW, HIGH, SQUARE_LOW, SQUARE_HIGH = range(5)
CELL, CELL_WITH_SQUARES = 4, 8
# What a weighted bin sums: weights, those times outcome, times confidence; squared weights, those times residual, times
# its square; weights times squared residual.
WEIGHT, HITS, CONFIDENCE, WEIGHT2, RESIDUAL2, SQUARE2, SQUARE = range(7)
SUMS, SUMS_WITH_SQUARES = 4, 7
SCALE_BITS = 62
_SCALE = 2.0**SCALE_BITS
_LOW_BITS = np.int64(0xFFFFFFFF)

# A row in one word: 30 bits of its confidence, one row at bit 41, its outcome at bit 52; a block overflows neither.
BLOCK = 512
AHEAD = 64
_PER_WORD = 2.0**30
_ROW_BIT, _HIT_BIT = np.int64(41), np.int64(52)
_ROW = np.int64(1) << _ROW_BIT
_HIT = np.int64(1) << np.int64(11)
# Added to a number below 2^51 it leaves that number, rounded to an integer, in the low bits, in vectors of any width.
_MAGIC = 1.5 * 2.0**52
_MAGIC_BITS = np.float64(_MAGIC).view(np.int64)

# With 4096 cells and 15 bins, one row in 300 takes a step; the table is 8 KB.
CELLS = 1 << 12


@inner
def clipped(p, low, high):
    p = np.float64(p)
    p = p if p > low else low
    return p if p < high else high


@inner
def bin_index(p, cuts, table):
    """Bin of any number ``p`` (not NaN)."""
    place = np.int64(clipped(p, 0.0, 1.0) * CELLS)
    j = np.uintp(table[np.uintp(place)])
    while p > cuts[j]:
        j += np.uintp(1)
    return j


@inner
def _rounded(low, middle, high):
    middle += low >> np.int64(32)
    high += middle >> np.int64(32)
    parts = np.float64(low & _LOW_BITS) * 2.0**-62, np.float64(middle & _LOW_BITS) * 2.0**-30
    return (np.float64(high) * 4.0 + parts[1]) + parts[0]


@inner
def _add_row(p, y, squares, cell):
    fixed = np.int64(np.rint(p * _SCALE))
    cell[ROWS] += np.int64(1) + (y << np.int64(32))
    cell[LOW] += fixed & _LOW_BITS
    cell[HIGH] += fixed >> np.int64(32)
    if squares is not None:
        d = np.float64(y) - p
        square = np.int64(np.rint(d * d * _SCALE))
        cell[SQUARE_LOW] += square & _LOW_BITS
        cell[SQUARE_HIGH] += square >> np.int64(32)


@kernel
def add(confidence, outcome, cuts, table, low, high, squares, cells):
    """Add rows to ``cells`` (copies, bins, words); NaN is passed over.

    Confidences are clipped to [low, high] where they are summed. ``squares`` is True where squared residuals are summed
    too, else None.

    Neighbouring rows go to different copies of the bins: when most rows fall into one bin (an overconfident model), an
    add would else wait for the store of the one before. 1.4 ns a row on two threads.
    """
    n_copies = np.uintp(cells.shape[0] - 1)  # a power of two, less one: a mask
    for i in range(confidence.shape[0]):
        given = confidence[i]
        if np.isnan(given):
            continue
        j = bin_index(np.float64(given), cuts, table)
        _add_row(clipped(given, low, high), np.int64(outcome[i]), squares, cells[np.uintp(i) & n_copies, j])


@kernel
def add_few(confidence, labels, tolerance, cuts, table, low, high, squares, cells, count, sums):
    """What :func:`add` makes of a few rows, as ``count`` (B,) and ``sums`` (HITS, CONFIDENCE, ..., B) in floats.

    Returns how many rows are not in order, numbers that are no probability or labels that are not 0 or 1; where there
    are any, there are no sums. ``cells`` as for :func:`add`, of zeros. Each way into compiled code takes 1 us: this one
    and 1000 rows take 3.5, where checking, adding, collecting and converting by themselves take 15.
    """
    n_copies = np.uintp(cells.shape[0] - 1)
    odd = np.int64(0)
    for i in range(confidence.shape[0]):
        given = np.float64(confidence[np.uintp(i)])
        y = labels[np.uintp(i)]
        odd += np.int64((given > 1.0 + tolerance) | (given < -tolerance) | np.isnan(given) | ((y >> np.int64(1)) != 0))
    if odd > 0:
        return odd
    for i in range(confidence.shape[0]):
        given = np.float64(confidence[np.uintp(i)])
        j = bin_index(given, cuts, table)
        _add_row(clipped(given, low, high), labels[np.uintp(i)], squares, cells[np.uintp(i) & n_copies, j])
    for j in range(count.shape[0]):
        cell = cells[0, j]
        for copy in range(1, cells.shape[0]):
            for word in range(cells.shape[2]):
                cell[word] += cells[copy, j, word]
        rows = cell[ROWS] & _LOW_BITS
        hits = (cell[ROWS] >> np.int64(32)) & _LOW_BITS
        low_digits, high_digits = cell[LOW], cell[HIGH]
        count[j] = rows
        sums[0, j] = np.float64(rows)
        sums[1, j] = np.float64(hits)
        sums[2, j] = _rounded(low_digits, high_digits, np.int64(0))
        sums[3, j] = _rounded(-low_digits, ((hits & np.int64(3)) << np.int64(30)) - high_digits, hits >> np.int64(2))
        if squares is not None:
            sums[4, j] = _rounded(cell[SQUARE_LOW], cell[SQUARE_HIGH], np.int64(0))
    return odd


@kernel
def add_by_group(confidence, outcome, groups, cuts, table, low, high, places, cells):
    """Add rows of many groups to ``cells`` (groups * bins * CELL_WITH_SQUARES,), with squares; scratch ``places``.

    Cells of 10 000 groups fill no cache: those of a block of rows are asked for before they are needed.
    """
    n_bins = np.int64(cuts.shape[0])
    for start in range(0, confidence.shape[0], AHEAD):
        n = min(AHEAD, confidence.shape[0] - start)
        for i in range(n):
            given = np.float64(confidence[np.uintp(start + i)])
            place = np.int64(-1)
            if not np.isnan(given):
                bin_ = np.int64(bin_index(given, cuts, table))
                place = (groups[np.uintp(start + i)] * n_bins + bin_) * CELL_WITH_SQUARES
                prefetch(cells, place)
            places[np.uintp(i)] = place
        for i in range(n):
            at = np.uintp(places[np.uintp(i)])
            if places[np.uintp(i)] < 0:
                continue
            p = clipped(confidence[np.uintp(start + i)], low, high)
            y = np.int64(outcome[np.uintp(start + i)])
            fixed = np.int64(np.rint(p * _SCALE))
            d = np.float64(y) - p
            square = np.int64(np.rint(d * d * _SCALE))
            cells[at] += np.int64(1) + (y << np.int64(32))
            cells[at + np.uintp(LOW)] += fixed & _LOW_BITS
            cells[at + np.uintp(HIGH)] += fixed >> np.int64(32)
            cells[at + np.uintp(SQUARE_LOW)] += square & _LOW_BITS
            cells[at + np.uintp(SQUARE_HIGH)] += square >> np.int64(32)


@inner
def _digits(low, high, digits):
    high += low >> np.int64(32)
    digits[0] = low & _LOW_BITS
    digits[1] = high & _LOW_BITS
    digits[2] = high >> np.int64(32)


@kernel
def unpack(cells, count, hits, confidence, squares):
    """The words of cells (n, words) as counts (n,) and carried digits (n, 3); ``squares`` None: there are none."""
    for j in range(cells.shape[0]):
        cell = cells[j]
        count[j] = cell[ROWS] & _LOW_BITS
        hits[j] = (cell[ROWS] >> np.int64(32)) & _LOW_BITS
        _digits(cell[LOW], cell[HIGH], confidence[j])
        if squares is not None:
            _digits(cell[SQUARE_LOW], cell[SQUARE_HIGH], squares[j])


@kernel
def as_floats(hits, confidence, sums, residuals):
    """Sums of p (n, 3), and with ``hits`` of y - p, in units of 2^-62, as floats (n,); digits need not be carried.

    A microsecond for 15 bins, of which NumPy makes 25.
    """
    for j in range(confidence.shape[0]):
        low, middle, high = confidence[j, 0], confidence[j, 1], confidence[j, 2]
        sums[j] = _rounded(low, middle, high)
        y = hits[j]
        residuals[j] = _rounded(-low, ((y & np.int64(3)) << np.int64(30)) - middle, (y >> np.int64(2)) - high)


@kernel
def add_uniform(confidence, labels, tolerance, n_bins, places, words, rests, copies, sums):
    """Add float32 confidences to uniform bins (lo, hi], where p times ``n_bins`` says exactly which.

    ``sums`` (4, bins): rows, outcomes, and the sum of confidences in units of 2^-30 and, what is less, of 2^-62; the
    same integers as :func:`add` makes. Scratch: ``places``, ``words`` and ``rests`` (BLOCK,), ``copies`` (bins * 4,).
    Returns how many rows were added: it stops before a block in which one is not in order, a number that is no
    probability or a label that is not 0 or 1.

    A block of rows goes through a loop of vectors, which looks at each row and puts all of it but for the last digits
    of a small p in one word, and one that adds words: 1.1 ns a row on two threads from memory, a third of what looking
    at rows and :func:`add` take one after the other.
    """
    high = 1.0 + tolerance
    for start in range(0, confidence.shape[0], BLOCK):
        n = min(BLOCK, confidence.shape[0] - start)
        odd = np.int64(0)
        for i in range(n):
            p = np.float64(confidence[np.uintp(start + i)])
            label = labels[np.uintp(start + i)]
            odd += np.int64((p > high) | (p < -tolerance) | np.isnan(p) | ((label >> np.int64(1)) != 0))
            p = p if p > 0.0 else 0.0
            p = p if p < 1.0 else 1.0
            place = p * n_bins
            j = np.int32(place)
            j -= np.int32(np.float64(j) == place)
            j = j if j > 0 else np.int32(0)
            scaled = p * _PER_WORD
            shifted = np.float64(scaled + _MAGIC)
            rests[np.uintp(i)] = np.float32(scaled - (shifted - _MAGIC))
            words[np.uintp(i)] = (shifted.view(np.int64) - _MAGIC_BITS) + _ROW + (label << _HIT_BIT)
            places[np.uintp(i)] = j * np.int32(4) + np.int32(i & 3)
        if odd > 0:
            return start
        for i in range(n):
            j = np.uintp(places[np.uintp(i)])
            copies[j] += words[np.uintp(i)]
            if rests[np.uintp(i)] != 0.0:
                sums[3, j >> np.uintp(2)] += np.int64(np.rint(np.float64(rests[np.uintp(i)]) * 2.0**32))
        for j in range(sums.shape[1]):
            word = (copies[4 * j] + copies[4 * j + 1]) + (copies[4 * j + 2] + copies[4 * j + 3])
            for copy in range(4):
                copies[4 * j + copy] = 0
            sums[0, j] += (word >> _ROW_BIT) & (_HIT - np.int64(1))
            sums[1, j] += word >> _HIT_BIT
            sums[2, j] += word & (_ROW - np.int64(1))
    return confidence.shape[0]


@kernel
def add_weighted(confidence, outcome, weights, groups, cuts, table, low, high, squares, count, sums):
    """Add weighted rows: ``count`` (groups * bins,), and ``sums`` (groups * bins, SUMS, 2) in pairs."""
    n_bins = np.uintp(cuts.shape[0])
    for i in range(confidence.shape[0]):
        given = confidence[i]
        if np.isnan(given):
            continue
        j = bin_index(np.float64(given), cuts, table)
        if groups is not None:
            j += np.uintp(groups[i]) * n_bins
        w = weights[i]
        p = in_units(clipped(given, low, high))
        own = sums[j]
        count[j] += 1
        add_pair(own[WEIGHT], w, 0.0)
        if outcome[i] != 0:
            add_pair(own[HITS], w, 0.0)
        add_product(own[CONFIDENCE], w, p)
        w2 = w * w
        add_pair(own[WEIGHT2], w2, 0.0)
        if squares is not None:
            d = np.float64(outcome[i]) - p
            square = in_units(d * d)
            add_product(own[RESIDUAL2], w2, d)
            add_product(own[SQUARE2], w2, square)
            add_product(own[SQUARE], w, square)
