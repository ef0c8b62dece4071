"""Float32 confidences into a few uniform bins, 64 rows at once, where the processor sums bytes (byte_sums.py).

A loop of vectors finds the bin of each row and cuts its confidence, in units of 2^-30, into bytes; then each bin in
turn sums the bytes of the rows that are in it. Whichever bins rows fall into, it takes the same time: of 15 bins 1.5 ns
a row on one thread, from memory, where a store a row takes 2.5.
"""

from __future__ import annotations

import numpy as np

from .byte_sums import LANES, PLANES, add_bytes
from .intrinsics import muladd, prefetch
from .jit import inner, kernel
from .stack import stack

QUARTER = 256  # rows of a block, byte by byte: row i, i + QUARTER, ... are the bytes of word i
BLOCK = 4 * QUARTER
LINES = BLOCK // LANES  # of memory, that a block of confidences is, half as many as its labels are
STRETCH = 1 << 20  # rows after which lanes of 32 bits are added up
MOST_BINS = 32  # of more, a store a row is faster; and of up to 128 the bin of what is small is the first
WORDS = (PLANES + 1) * LANES  # lanes of a bin
IN_PLANES, IN_LANES = PLANES * QUARTER, MOST_BINS * WORDS
_PER_WORD = np.float32(2.0**30)
_PER_REST = np.float32(2.0**32)
_SMALL = np.float32(2.0**-7).view(np.uint32)  # from here up a float32 is a whole number of units
_HALF = np.uint32(0xFFFF)
_BYTE = np.uint32(255)


@inner
def _at_most_one(p):
    return p if p < np.float32(1.0) else np.float32(1.0)


@inner
def _place(p, n_bins):
    """The bin (lo, hi] of a number from 0 to 1: how many times 1 / n_bins goes into it, less 1 if it goes evenly."""
    place = np.int32(p * n_bins)
    whole = np.float32(place)
    even = (muladd(p, n_bins, -whole) <= np.float32(0.0)) & (whole > np.float32(0.0))
    return np.uint32(place - np.int32(even))


@inner
def _units(p):
    return np.uint32(np.int32(p * _PER_WORD))


@inner
def _word(a, b, c, d):
    """The lowest bytes of four numbers."""
    low = (a & _BYTE) | ((b & _BYTE) << np.uint32(8))
    return np.uint32(low | ((c & _BYTE) << np.uint32(16)) | (d << np.uint32(24)))


@inner
def _cut(confidence, labels, n_bins, places, planes):
    """A block as bytes; returns whether labels are 0 and 1, the least and the largest of the confidences' bits."""
    second, third, fourth = np.uintp(QUARTER), np.uintp(2 * QUARTER), np.uintp(3 * QUARTER)
    seen = np.int64(0)
    for k in range(QUARTER):
        i = np.uintp(k)
        a, b, c, d = labels[i], labels[i + second], labels[i + third], labels[i + fourth]
        seen |= (a | b) | (c | d)
        planes[i] = np.uint32(a | (b << np.int64(8)) | (c << np.int64(16)) | (d << np.int64(24)))
    bits = confidence.view(np.uint32)
    least, most = bits[0], bits[0]
    for k in range(BLOCK):
        given = bits[np.uintp(k)]
        least = given if given < least else least
        most = given if given > most else most
    for k in range(QUARTER):
        i = np.uintp(k)
        a, b = _at_most_one(confidence[i]), _at_most_one(confidence[i + second])
        c, d = _at_most_one(confidence[i + third]), _at_most_one(confidence[i + fourth])
        places[i] = _word(_place(a, n_bins), _place(b, n_bins), _place(c, n_bins), _place(d, n_bins))
        e, f, g, h = _units(a), _units(b), _units(c), _units(d)
        for plane in range(4):
            shift = np.uint32(8 * plane)
            planes[i + np.uintp((plane + 1) * QUARTER)] = _word(e >> shift, f >> shift, g >> shift, h >> shift)
    return (seen >> np.int64(1)) == 0, least, most


@inner
def _fetch(confidence, labels, start, part, parts):
    """Ask for a part of a block: what is read a quarter at a time is not foreseen by the processor."""
    for line in range(part * LINES // parts, (part + 1) * LINES // parts):
        row = np.int64(start + line * LANES)
        prefetch(confidence, row)
        prefetch(labels, row)
        prefetch(labels, row + np.int64(LANES // 2))


@inner
def _rests(confidence):
    """What a block's confidences are more than whole units of 2^-30, in units of 2^-62: of those below 2^-7 alone."""
    low, high = np.uint32(0), np.uint32(0)
    for k in range(BLOCK):
        scaled = confidence[np.uintp(k)] * _PER_WORD
        rest = np.uint32(np.rint((scaled - np.float32(np.int32(scaled))) * _PER_REST))
        low = np.uint32(low + (rest & _HALF))
        high = np.uint32(high + (rest >> np.uint32(16)))
    return (np.int64(high) << np.int64(16)) + np.int64(low)


@kernel
def add(confidence, labels, tolerance, n_bins, sums):
    """Add float32 confidences to uniform bins (lo, hi], as :func:`binning.add_uniform` does, whole blocks of them.

    Returns how many rows were added: it stops before a block in which a confidence is negative (be it -0.0), NaN or
    beyond 1 + ``tolerance``, or a label not 0 or 1, and before the last, incomplete one. 20 KB of stack.
    """
    bits = confidence.view(np.uint32)
    places, planes, lanes = stack(bits, QUARTER), stack(bits, IN_PLANES), stack(bits, IN_LANES)
    bins, size = np.float32(n_bins), np.int64(QUARTER)
    highest = np.float32(1.0 + tolerance)
    most = highest.view(np.uint32)
    if np.float64(highest) > 1.0 + tolerance:
        most = np.uint32(most - np.uint32(1))
    whole = confidence.shape[0] // BLOCK * BLOCK
    done = np.int64(0)
    in_order = True
    while in_order and done < whole:
        stop = min(done + STRETCH, whole)
        for i in range(n_bins * WORDS):
            lanes[np.uintp(i)] = np.uint32(0)
        while in_order and done < stop:
            block = confidence[done : done + BLOCK]
            binary, least, largest = _cut(block, labels[done : done + BLOCK], bins, places, planes)
            in_order = binary and largest <= most
            if in_order:
                for j in range(n_bins):
                    _fetch(confidence, labels, done + BLOCK, j, n_bins)
                    add_bytes(places, np.uint8(j), planes, size, size, lanes, np.int64(j * WORDS))
                if least < _SMALL:
                    sums[3, 0] += _rests(block)
                done += BLOCK
        for j in range(n_bins):
            for plane in range(PLANES + 1):
                total = np.int64(0)
                for lane in range(LANES):
                    total += np.int64(lanes[np.uintp(j * WORDS + plane * LANES + lane)])
                sums[min(plane, 2), j] += total << np.int64(8 * max(plane - 2, 0))
    return done
