"""Measures of uncertainty into fixed cells, and their exact sums, by kind of row.

A row's kind is one of KINDS (a correct prediction, a wrong one, ...). A cell holds numbers of one exponent and leading
bits: 7 of the mantissa from 2^-64 on, 10 from 2^-20 on. Cells by place are: 0, what lies below 2^-64, the cells, what
lies above them, infinity; negative numbers have the same to the other side. No cell depends on the data, so that states
merge by addition. Of a cell in which all numbers were equal that number is known (``held``): nothing is lost there.

Sums are exact, in the digits of exact.py, in whatever pieces they were added. A block of numbers is cut into integers
of 50 bits by adding and subtracting 1.5 2^52 units, from 2^-41 down for x and from 2^-31 for x^2: two levels for most
blocks, four at most. What is left then, and blocks beyond 2^10, is added number by number. All of a number takes 2.5 to
3.7 ns on one thread; with every sum number by number it took 9 to 13.
"""

from __future__ import annotations

import numpy as np

from .exact import LARGEST, add_from, carry
from .jit import inner, kernel

# Kinds of rows: in distribution, by their prediction; out of it; and such as are left out.
CORRECT, WRONG, UNLABELLED, OUT, SKIPPED = range(5)
KINDS = 4

# Cells: exponents and bits of the mantissa.
LOWEST, SPLIT = -64, -20
COARSE_BITS, FINE_BITS = 7, 10
FIRST = 2  # after those of 0 and of what lies below
FIRST_FINE = FIRST + ((SPLIT - LOWEST) << COARSE_BITS)
_LOWEST = np.int64((1023 + LOWEST) << 52)
_SPLIT = np.int64((1023 + SPLIT) << 52)
_INFINITY = np.int64(0x7FF) << np.int64(52)
_POSITIVE = np.int64(0x7FFFFFFFFFFFFFFF)

# What a cell held: nothing, or numbers that differ; else the bits of the only one. Both are bits of NaN.
NOTHING, DIFFERENT = np.int64(-1), np.int64(-2)

BLOCK = 512
LEVELS, LEVEL_BITS = 4, 50
UNIT, SQUARE_UNIT = 41, 31  # of the first level: 2^-41 and 2^-31
_LIMIT = np.int64((1023 + 10) << 52)  # below 2^10 both fit the first level: 2^51 units
_MAGIC = 1.5 * 2.0**52
_MAGICS = np.array([_MAGIC * 2.0 ** -(UNIT + LEVEL_BITS * k) for k in range(LEVELS)])
_SQUARE_MAGICS = np.array([_MAGIC * 2.0 ** -(SQUARE_UNIT + LEVEL_BITS * k) for k in range(LEVELS)])
_MASK = np.int64(0xFFFFFFFF)


@inner
def _place(bits, top):
    """The place of a number that is not negative, by its bits; finite numbers go up to ``top``."""
    fine = np.int64(FIRST_FINE) + ((bits - _SPLIT) >> np.int64(52 - FINE_BITS))
    coarse = np.int64(FIRST) + ((bits - _LOWEST) >> np.int64(52 - COARSE_BITS))
    place = fine if bits >= _SPLIT else coarse
    place = place if bits >= _LOWEST else np.int64(1)
    place = place if bits > np.int64(0) else np.int64(0)
    place = place if place < top else top
    return place if bits < _INFINITY else top + np.int64(1)


@inner
def _add_units(n, unit, limbs):
    """Add n units of 2^-unit."""
    position = np.int64(1074 - unit)
    limb, shift = np.uintp(position >> np.int64(5)), position & np.int64(31)
    low, high = (n & _MASK) << shift, (n >> np.int64(32)) << shift
    limbs[limb] += low & _MASK
    limbs[limb + np.uintp(1)] += ((low >> np.int64(32)) & _MASK) + (high & _MASK)
    limbs[limb + np.uintp(2)] += high >> np.int64(32)


@inner
def _cut(rests, square_rests, n, level, limbs):
    """Move two levels of a block's numbers and squares to their sums; returns whether anything is left of them."""
    magic, square_magic = np.float64(_MAGICS[level]), np.float64(_SQUARE_MAGICS[level])
    magic_2, square_magic_2 = np.float64(_MAGICS[level + 1]), np.float64(_SQUARE_MAGICS[level + 1])
    bits, bits_2 = magic.view(np.int64), magic_2.view(np.int64)
    square_bits, square_bits_2 = square_magic.view(np.int64), square_magic_2.view(np.int64)
    total, total_2, square_total, square_total_2 = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    left = np.int64(0)
    for i in range(n):
        x, square = rests[np.uintp(i)], square_rests[np.uintp(i)]
        shifted, square_shifted = np.float64(x + magic), np.float64(square + square_magic)
        total += shifted.view(np.int64) - bits
        square_total += square_shifted.view(np.int64) - square_bits
        x, square = x - (shifted - magic), square - (square_shifted - square_magic)
        shifted, square_shifted = np.float64(x + magic_2), np.float64(square + square_magic_2)
        total_2 += shifted.view(np.int64) - bits_2
        square_total_2 += square_shifted.view(np.int64) - square_bits_2
        x, square = np.float64(x - (shifted - magic_2)), np.float64(square - (square_shifted - square_magic_2))
        rests[np.uintp(i)], square_rests[np.uintp(i)] = x, square
        left |= (x.view(np.int64) | square.view(np.int64)) & _POSITIVE
    unit = LEVEL_BITS * level
    _add_units(total, UNIT + unit, limbs[0])
    _add_units(total_2, UNIT + LEVEL_BITS + unit, limbs[0])
    _add_units(square_total, SQUARE_UNIT + unit, limbs[1])
    _add_units(square_total_2, SQUARE_UNIT + LEVEL_BITS + unit, limbs[1])
    return left != np.int64(0)


@inner
def _add_sums(numbers, squares, n, small, limbs):
    """Add a block of numbers and their squares, which are overwritten, to their two sums."""
    if small:
        for level in range(0, LEVELS, 2):
            if not _cut(numbers, squares, n, level, limbs):
                return
    for i in range(n):
        x, square = numbers[np.uintp(i)], squares[np.uintp(i)]
        if np.isfinite(x):
            add_from(x, limbs[0], np.uintp(0))
            add_from(square if square < LARGEST else LARGEST, limbs[1], np.uintp(0))


@kernel
def judge(prediction, labels, out, n_classes, kinds):
    """Kinds of rows with a label; returns how many labels are none. Below 0, a prediction is of no distribution."""
    n_bad = np.int64(0)
    for i in range(prediction.shape[0]):
        predicted, label, is_out = prediction[np.uintp(i)], labels[np.uintp(i)], out[np.uintp(i)]
        kind = np.uint8(CORRECT) if predicted == label else np.uint8(WRONG)
        kind = np.uint8(OUT) if is_out else kind
        kinds[np.uintp(i)] = np.uint8(SKIPPED) if predicted < 0 else kind
        n_bad += np.int64((not is_out) & ((label < 0) | (label >= n_classes)))
    return n_bad


@kernel
def order(kinds, places, starts):
    """Rows in the order of their kinds: ``places`` (n + 1,), those of kind c from starts[c] to starts[c + 1].

    Every row is written where the next of the kind would go: no branch for what is as random as errors are.
    """
    starts[0] = 0
    for kind in range(KINDS + 1):
        some = np.uint8(0)
        for i in range(kinds.shape[0]):
            some |= np.uint8(kinds[np.uintp(i)] == np.uint8(kind))
        place = starts[kind]
        if some:
            for i in range(kinds.shape[0]):
                places[np.uintp(place)] = i
                place += np.int64(kinds[np.uintp(i)] == kind)
        starts[kind + 1] = place


@kernel
def add(values, forms, places, starts, zero, top, counts, held, limbs, bounds, rows, numbers, squares, cells):
    """Add rows to the states of some measures: ``values`` (measures, n), ``places`` and ``starts`` as of ``order``.

    ``forms`` (measures, 3): a measure is forms[0] + forms[1] value, and no less than forms[2]. State: ``counts``
    (measures, cells, KINDS), ``held`` (measures, cells), ``limbs`` (measures, KINDS, 2, N_LIMBS), ``bounds`` (measures,
    KINDS, 2), the least and the largest by their keys, ``rows`` (KINDS + 1,), of each kind and left out. The cell of 0
    is at ``zero``, that of the largest numbers ``top`` further. Scratch: ``numbers``, ``squares``, ``cells`` (BLOCK,).
    """
    for kind in range(KINDS + 1):
        rows[kind] += starts[kind + 1] - starts[kind]
    for measure in range(values.shape[0]):
        given, count, hold = values[measure], counts[measure], held[measure]
        base, scale, floor = forms[measure, 0], forms[measure, 1], forms[measure, 2]
        for kind in range(KINDS):
            low, high = bounds[measure, kind, 0], bounds[measure, kind, 1]
            stop = starts[kind + 1]
            for start in range(starts[kind], stop, BLOCK):
                n = min(np.int64(BLOCK), stop - start)
                for i in range(n):
                    x = base + scale * np.float64(given[np.uintp(places[np.uintp(start + i)])])
                    numbers[np.uintp(i)] = x if x > floor else floor
                largest = np.int64(0)
                for i in range(n):
                    x = np.float64(numbers[np.uintp(i)])
                    squares[np.uintp(i)] = x * x
                    bits = x.view(np.int64)
                    size = bits & _POSITIVE
                    largest = size if size > largest else largest
                    place = _place(size, top)
                    cells[np.uintp(i)] = zero - place if bits < np.int64(0) else zero + place
                    key = bits ^ ((bits >> np.int64(63)) & _POSITIVE)
                    low = key if key < low else low
                    high = key if key > high else high
                for i in range(n):
                    cell = np.uintp(cells[np.uintp(i)])
                    bits = np.float64(numbers[np.uintp(i)]).view(np.int64)
                    count[cell, np.uintp(kind)] += 1
                    if hold[cell] != bits:
                        hold[cell] = bits if hold[cell] == NOTHING else DIFFERENT
                _add_sums(numbers, squares, n, largest < _LIMIT, limbs[measure, kind])
            bounds[measure, kind, 0], bounds[measure, kind, 1] = low, high
            carry(limbs[measure, kind])


@kernel
def merge(counts, held, limbs, bounds, rows, other_counts, other_held, other_limbs, other_bounds, other_rows):
    """Add the state of other rows to the first, see :func:`add`."""
    for kind in range(KINDS + 1):
        rows[kind] += other_rows[kind]
    for measure in range(counts.shape[0]):
        for cell in range(counts.shape[1]):
            theirs = other_held[measure, cell]
            if theirs == NOTHING:
                continue
            if held[measure, cell] != theirs:
                held[measure, cell] = theirs if held[measure, cell] == NOTHING else DIFFERENT
            for kind in range(KINDS):
                counts[measure, cell, kind] += other_counts[measure, cell, kind]
        for kind in range(KINDS):
            bounds[measure, kind, 0] = min(bounds[measure, kind, 0], other_bounds[measure, kind, 0])
            bounds[measure, kind, 1] = max(bounds[measure, kind, 1], other_bounds[measure, kind, 1])
            for moment in range(2):
                for digit in range(limbs.shape[3]):
                    limbs[measure, kind, moment, digit] += other_limbs[measure, kind, moment, digit]
            carry(limbs[measure, kind])
