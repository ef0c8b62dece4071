"""Loops over lines of probabilities or logits of one member of an ensemble, and over what its members add up to.

A line is as in rows.py: a class of BLOCK narrow rows, or LANES neighbouring classes of a wide one. All loops read and
write at constant distances from one running place, so that they take vectors whichever of the two it is.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp_lifted, log_of_share
from .gather import turn_tiles
from .halves import widen
from .intrinsics import LINE, muladd, prefetch
from .jit import inner
from .rows import BLOCK

# Places in the block of partial results of a line (32 or 64 numbers each); OFFSET are the classes within a wide line;
# ZEROS stay 0; BEYOND and OFF are by how much a probability has been outside [0, 1], and a sum off 1, at most.
MAXIMUM, ARGMAX, LOWEST, TOTAL, LOST, SQUARES, SLOPE, SLOPE_LOST, SCALE, SPARE, ZEROS, OFFSET, BEYOND, OFF = (
    BLOCK * place for place in range(14)
)
LANES_SIZE = OFF + BLOCK
# The entropy of a member takes the place of the sum of powers.
INFORMATION, INFORMATION_LOST = SLOPE, SLOPE_LOST

LEAST = 1.17549435e-38  # added to p it keeps log 0 out; where it matters p log p is 0 to many digits


@inner
def turn(scores, first, last, n_classes, fill, size, lines):
    """Write a block of narrow rows of flat scores from ``first`` on, a line a class; the ``last`` row is repeated.

    ``size`` numbers of ``lines`` count; what follows is room to work in.
    """
    whole = first + BLOCK <= last + 1
    per_line = LINE // scores.itemsize
    for k in range(0, BLOCK * n_classes, per_line):  # those of the next block, which other members' come before
        prefetch(scores, (first + BLOCK) * n_classes + k)
    if not (whole and turn_tiles(scores, np.int64(first * n_classes), n_classes, lines)):
        if whole:
            # Line by line: 0.28 ns a number, whatever the number of classes; row by row it was 0.75.
            for k in range(n_classes):
                start = np.uintp(first) * np.uintp(n_classes) + np.uintp(k)
                for i in range(BLOCK):
                    lines[np.uintp(k * BLOCK + i)] = widen(scores[start + np.uintp(i) * np.uintp(n_classes)])
        else:
            for i in range(BLOCK):
                row = first + i if first + i < last else last
                for k in range(n_classes):
                    lines[np.uintp(k * BLOCK + i)] = widen(scores[np.uintp(row * n_classes + k)])
    for i in range(n_classes * BLOCK, size):
        lines[np.uintp(i)] = fill


@inner
def copy(scores, row, n_classes, fill, lines):
    """Write a wide row of flat scores, filled up."""
    start = np.uintp(row) * np.uintp(n_classes)
    for k in range(n_classes):
        lines[np.uintp(k)] = widen(scores[start + np.uintp(k)])
    for k in range(n_classes, lines.shape[0]):
        lines[np.uintp(k)] = fill


@inner
def clear(lanes):
    """Begin a block or a wide row."""
    real = lanes.dtype.type
    for i in range(BLOCK):
        lanes[MAXIMUM + i] = -np.inf
        lanes[ARGMAX + i] = real(0)
        lanes[LOWEST + i] = real(0)
        lanes[TOTAL + i] = real(0)
        lanes[LOST + i] = real(0)
        lanes[SQUARES + i] = real(0)
        lanes[SLOPE + i] = real(0)
        lanes[SLOPE_LOST + i] = real(0)


@inner
def look(lines, stop, step, width, sums, lanes):
    """The MAXIMUM, its first index ARGMAX and, if ``sums`` is not None, LOWEST below 0 and TOTAL.

    Lines are ``step`` classes apart. A NaN is passed over, or hides the number beside it.
    """
    real = lanes.dtype.type
    zero = real(0)
    ahead = real(step)
    base = zero
    for offset in range(0, stop, 2 * width):
        for i in range(width):
            a = lines[np.uintp(offset + i)]
            b = lines[np.uintp(offset + width + i)]
            later = b > a
            high = b if later else a
            index = base + lanes[OFFSET + i] + (ahead if later else zero)
            m = lanes[MAXIMUM + i]
            above = high > m
            lanes[ARGMAX + i] = index if above else lanes[ARGMAX + i]
            lanes[MAXIMUM + i] = high if above else m
            if sums is not None:
                low = a if later else b
                lowest = lanes[LOWEST + i]
                lanes[LOWEST + i] = low if low < lowest else lowest
                lanes[TOTAL + i] += a + b
        base += ahead + ahead


@inner
def clip(lines, stop):
    """Probabilities within rounding of [0, 1] count as 0 or 1."""
    real = lines.dtype.type
    for i in range(stop):
        p = lines[np.uintp(i)]
        p = real(0) if p < real(0) else p
        lines[np.uintp(i)] = real(1) if p > real(1) else p


@inner
def inform(lines, stop, width, lanes):
    """Add p log p to INFORMATION."""
    real = lanes.dtype.type
    least = real(LEAST)
    for offset in range(0, stop, 2 * width):
        for i in range(width):
            p = lines[np.uintp(offset + i)]
            q = lines[np.uintp(offset + width + i)]
            x = p * log_of_share(p + least) + q * log_of_share(q + least)
            total = lanes[INFORMATION + i]
            new = total + x
            lanes[INFORMATION + i] = new
            lanes[INFORMATION_LOST + i] += x - (new - total)


@inner
def begin_sums(lines, base, sums, lost, stop, weight):
    """Keep the first member's probabilities, and begin the sums of all with them."""
    for i in range(stop):
        j = np.uintp(i)
        p = lines[j]
        x = weight * p
        base[j] = p
        sums[j] = x
        lost[j] = muladd(weight, p, -x)


@inner
def deviate(lines, base, sums, lost, stop, weight, informs, width, lanes):
    """Add to ``sums``, what rounding takes to ``lost``, and squared deviations to SQUARES.

    If ``informs`` is not None, as ``inform`` too.
    """
    real = lanes.dtype.type
    least = real(LEAST)
    for offset in range(0, stop, 2 * width):
        for i in range(width):
            j = np.uintp(offset + i)
            k = np.uintp(offset + width + i)
            p = lines[j]
            q = lines[k]
            d = p - base[j]
            e = q - base[k]
            a = sums[j]
            b = sums[k]
            more = muladd(weight, p, a)
            later = muladd(weight, q, b)
            sums[j] = more
            sums[k] = later
            lost[j] += muladd(weight, p, a - more)
            lost[k] += muladd(weight, q, b - later)
            lanes[SQUARES + i] += d * d + e * e
            if informs is not None:
                x = p * log_of_share(p + least) + q * log_of_share(q + least)
                total = lanes[INFORMATION + i]
                new = total + x
                lanes[INFORMATION + i] = new
                lanes[INFORMATION_LOST + i] += x - (new - total)


@inner
def powers(lines, stop, lowest, width, lanes):
    """Put e^(z - MAXIMUM), lifted, in place of logits, and sum them, and e^d d. The maximum is hidden."""
    real = lanes.dtype.type
    one = real(1)
    zero = real(0)
    for offset in range(0, stop, 2 * width):
        for i in range(width):
            m = lanes[MAXIMUM + i]
            d = lines[np.uintp(offset + i)] - m
            d = lowest if d < lowest else d
            e = exp_lifted(d, one, zero)
            d2 = lines[np.uintp(offset + width + i)] - m
            d2 = lowest if d2 < lowest else d2
            e2 = exp_lifted(d2, one, zero)
            lines[np.uintp(offset + i)] = e
            lines[np.uintp(offset + width + i)] = e2
            x = e + e2
            total = lanes[TOTAL + i]
            new = total + x
            lanes[TOTAL + i] = new
            lanes[LOST + i] += x - (new - total)
            x = e * d + e2 * d2
            total = lanes[SLOPE + i]
            new = total + x
            lanes[SLOPE + i] = new
            lanes[SLOPE_LOST + i] += x - (new - total)


@inner
def scale(lines, stop, width, lanes):
    """Powers times SCALE, probabilities, in their place: not rounded there, equal members would not be equal."""
    for offset in range(0, stop, width):
        for i in range(width):
            lines[np.uintp(offset + i)] = lines[np.uintp(offset + i)] * lanes[SCALE + i]


@inner
def average(base, sums, lost, stop, of_all, rest, width, lines, lanes):
    """The mean of the members into ``lines``; the squares of its deviations from the first member are SQUARES.

    Weights add up to ``of_all`` times 1 + ``rest``, which is what rounding took of it. Where SCALE, what squared
    deviations of a row add up to, is 0, the mean is the first member itself.
    """
    zero = lines.dtype.type(0)
    for offset in range(0, stop, width):
        for i in range(width):
            p = base[np.uintp(offset + i)]
            total = sums[np.uintp(offset + i)]
            mean = (total + muladd(-rest, total, lost[np.uintp(offset + i)])) / of_all
            mean = p if lanes[SCALE + i] == zero else mean
            d = mean - p
            lines[np.uintp(offset + i)] = mean
            lanes[SQUARES + i] += d * d
