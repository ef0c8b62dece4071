"""Entropy of rows of probabilities, floats or half floats: -sum_k p_k log p_k, with 0 log 0 = 0.

A leaner way than probabilities.py, which fills every column of the report.
"""

from __future__ import annotations

import numpy as np

from .elementary import larger, log1p, log_of_share, smaller
from .gather import highest, total, turn
from .halves import floats_of
from .intrinsics import LINE, muladd, prefetch
from .jit import inner, kernel
from .rows import (
    BLOCK,
    FIRST_BAD,
    LANES,
    LOST_A,
    LOST_B,
    LOWEST,
    MAXIMUM,
    N_BAD,
    NEAR,
    STRETCH,
)
from .rows import SUM_A as TOTAL
from .rows import SUM_B as INFORMATION

LEAST = 1.17549435e-38  # added to p it keeps log 0 out; where it matters p log p is 0 to many digits


@inner
def terms(probs, start, n, upcoming, into, place):
    """Write -2 p log p of ``n`` values; those below 0 count as 0."""
    # No conditional expressions: LLVM would follow "p is 0" through the logarithm as a branch of its own, and the loop
    # would stay scalar. 2 p = p + |p| it is, then, or 0.
    real = into.dtype.type
    half = real(0.5)
    least = real(LEAST)
    per_line = LINE // upcoming.itemsize
    for offset in range(0, n, STRETCH):
        for k in range(offset, offset + STRETCH, per_line):
            prefetch(upcoming, k)
        for k in range(offset, min(offset + STRETCH, n)):
            p = probs[np.uintp(start + k)]
            twice = p + abs(p)
            into[np.uintp(place + k)] = -twice * log_of_share(muladd(twice, half, least))


@inner
def result(unit, information, highest_p, sums, block):
    """The entropy of a row; a p above 1 counts as 1. A NaN in the row is in its sum."""
    real = block.dtype.type
    if highest_p > real(1):
        information += real(2) * highest_p * log1p(highest_p - real(1))
    return unit * (real(0.5) * information) + real(0) * sums


@inner
def add_up(probs, start, values, place, stop, width, block):
    """Add eight lines at a time of p to TOTAL, MAXIMUM and LOWEST, and of their terms, ``values``, to INFORMATION.

    (Each round waits for what the one before has stored: with pairs it would take twice the time.)
    """
    for offset in range(0, stop, 8 * width):
        line = probs[start + offset : start + offset + 8 * width]
        for i in range(width):
            a = line[np.uintp(i)]
            b = line[np.uintp(i + width)]
            c = line[np.uintp(i + 2 * width)]
            d = line[np.uintp(i + 3 * width)]
            e = line[np.uintp(i + 4 * width)]
            f = line[np.uintp(i + 5 * width)]
            g = line[np.uintp(i + 6 * width)]
            h = line[np.uintp(i + 7 * width)]
            block[TOTAL + i] += ((a + b) + (c + d)) + ((e + f) + (g + h))
            m = larger(larger(larger(a, b), larger(c, d)), larger(larger(e, f), larger(g, h)))
            block[MAXIMUM + i] = larger(block[MAXIMUM + i], m)
            m = smaller(smaller(smaller(a, b), smaller(c, d)), smaller(smaller(e, f), smaller(g, h)))
            block[LOWEST + i] = smaller(block[LOWEST + i], m)
        part = values[place + offset : place + offset + 8 * width]
        for i in range(width):
            near = part[np.uintp(i)] + part[np.uintp(i + width)]
            near += part[np.uintp(i + 2 * width)] + part[np.uintp(i + 3 * width)]
            far = part[np.uintp(i + 4 * width)] + part[np.uintp(i + 5 * width)]
            x = near + (far + (part[np.uintp(i + 6 * width)] + part[np.uintp(i + 7 * width)]))
            before = block[INFORMATION + i]
            new = before + x
            block[INFORMATION + i] = new
            block[LOST_B + i] += x - (new - before)


@inner
def judge(row, sums, highest_p, lowest_p, tolerance, sum_tolerance, faults):
    """Count a row that is no distribution for other reasons than NaN."""
    over = np.float64(highest_p) > 1.0 + tolerance or np.float64(lowest_p) < -tolerance
    if over or abs(np.float64(sums) - 1.0) > sum_tolerance:
        faults[N_BAD] += 1
        if row < faults[FIRST_BAD]:
            faults[FIRST_BAD] = row


@kernel
def narrow(probs, unit, tolerance, sum_tolerance, lines, lines_read, values, block, faults, out):
    """Rows (N, K), K <= NARROW; ``unit`` is what a nat counts. Scratch: ``lines``, ``values``, ``block``."""
    real = block.dtype.type
    n_classes = probs.shape[1]
    n_rows = probs.shape[0]
    start = np.int64(0)
    stop = (n_classes + 7) // 8 * 8 * BLOCK
    for first in range(0, n_rows, BLOCK):
        for place in (TOTAL, INFORMATION, LOST_B, MAXIMUM, LOWEST):
            for i in range(BLOCK):
                block[place + i] = real(0)
        turn(probs, first, lines)
        for i in range(n_classes * BLOCK, stop):
            lines[np.uintp(i)] = real(0)
        terms(lines_read, start, np.int64(n_classes * BLOCK), lines_read, values, start)
        for i in range(n_classes * BLOCK, stop):
            values[np.uintp(i)] = real(0)
        add_up(lines_read, start, values, start, stop, BLOCK, block)
        n = n_rows - first if n_rows - first < BLOCK else BLOCK
        for i in range(n):
            sums = block[TOTAL + i]
            judge(first + i, sums, block[MAXIMUM + i], block[LOWEST + i], tolerance, sum_tolerance, faults)
            information = block[INFORMATION + i] + block[LOST_B + i]
            out[first + i] = result(unit, information, block[MAXIMUM + i], sums, block)


@kernel
def wide(probs, unit, tolerance, sum_tolerance, floats, floats_read, lines, lines_read, values, lanes, faults, out):
    """Rows (N, K), K > NARROW. Scratch: ``floats`` (K,) for half floats, ``values`` (K + 8 LANES,), ``lines``."""
    real = lanes.dtype.type
    n_classes = probs.shape[1]
    whole = n_classes - n_classes % (8 * LANES)
    start = np.int64(0)
    rest = np.int64(8 * LANES)
    near = n_classes * probs.itemsize <= NEAR
    for n in range(probs.shape[0]):
        row = floats_of(probs[n], floats, floats_read)
        upcoming = probs[n + 1 if near and n + 1 < probs.shape[0] else n]
        for i in range(8 * LANES):  # the last, incomplete eight lines, filled up
            lines[i] = real(0)
        for i in range(n_classes - whole):
            lines[np.uintp(i)] = row[np.uintp(whole + i)]
        for place in (TOTAL, INFORMATION, LOST_A, LOST_B, MAXIMUM, LOWEST):
            for i in range(LANES):
                lanes[place + i] = real(0)
        terms(row, start, whole, upcoming, values, start)
        terms(lines_read, start, rest, lines_read, values, whole)
        add_up(row, start, values, start, whole, LANES, lanes)
        add_up(lines_read, start, values, whole, rest, LANES, lanes)
        information = total(lanes, np.int64(INFORMATION), np.int64(LOST_B))
        sums = total(lanes, np.int64(TOTAL), np.int64(LOST_A))
        for i in range(LANES):
            lanes[LOWEST + i] = -lanes[LOWEST + i]
        lowest = -highest(lanes, np.int64(LOWEST))
        most = highest(lanes, np.int64(MAXIMUM))
        judge(n, sums, most, lowest, tolerance, sum_tolerance, faults)
        out[n] = result(unit, information, most, sums, lanes)
