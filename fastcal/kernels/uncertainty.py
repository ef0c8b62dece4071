"""Measures of uncertainty into fixed cells, and their exact sums, by kind of row.

A row's kind is one of KINDS (a correct prediction, a wrong one, ...). A cell holds numbers of one exponent and leading
bits: 7 of the mantissa from 2^-64 on, 10 from 2^-20 on. Cells by place are: 0, what lies below 2^-64, the cells, what
lies above them, infinity; negative numbers have the same to the other side. No cell depends on the data, so that states
merge by addition. Of a cell in which all numbers were equal that number is known (``held``): nothing is lost there.

Sums are exact, in the digits of exact.py, in whatever pieces they were added, and so are those of squares: the square
of 53 bits has 106, in two floats. A block of numbers is cut into integers of 50 bits by adding and subtracting 1.5 2^52
units, from those of its largest number down: two levels for most blocks, four at most. What is left then is added
number by number. All of a number takes 2.4 to 2.9 ns on one thread where it was float32, whose square is one float, and
2.9 to 3.5 ns where it was float64; 7 ns where numbers range over 30 decades, 13 over 120, which was 8 of all numbers
from 2^10 up as long as units were fixed and squares rounded.
"""

from __future__ import annotations

import numpy as np

from .exact import LARGEST, LIMB_BITS, add_from, carry
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
# Blocks of numbers below 2^300 are cut: into units of 2^-51 of a power of two above the largest, or of 2^-200.
LEAST_EXPONENT, MOST_EXPONENT = -200, 300
# Squares are exact from 2^-960 up; those of numbers from 2^511 up count as the largest float.
LEAST_EXACT, BEYOND = 2.0**-960, 2.0**511
_HALF_BITS = np.int64(27)  # a mantissa without its last 27 bits has a square of one float
_LAST = (np.int64(1) << _HALF_BITS) - np.int64(1)
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
    position = np.int64(1074) - unit
    limb, shift = np.uintp(position >> np.int64(5)), position & np.int64(31)
    low, high = (n & _MASK) << shift, (n >> np.int64(LIMB_BITS)) << shift
    limbs[limb] += low & _MASK
    limbs[limb + np.uintp(1)] += ((low >> np.int64(LIMB_BITS)) & _MASK) + (high & _MASK)
    limbs[limb + np.uintp(2)] += high >> np.int64(LIMB_BITS)


@inner
def _cut(rests, n, unit, limbs):
    """Move two levels of a block, units of 2^-unit and 2^-50 of them, to a sum; returns whether anything is left."""
    bits = np.int64(((np.int64(1023 + 52) - unit) << np.int64(52)) | (np.int64(1) << np.int64(51)))  # 1.5 2^52 units
    bits_2 = np.int64(bits - (np.int64(LEVEL_BITS) << np.int64(52)))
    magic, magic_2 = bits.view(np.float64), bits_2.view(np.float64)
    total, total_2, left = np.int64(0), np.int64(0), np.int64(0)
    for i in range(n):
        x = rests[np.uintp(i)]
        shifted = np.float64(x + magic)
        total += shifted.view(np.int64) - bits
        x = x - (shifted - magic)
        shifted = np.float64(x + magic_2)
        total_2 += shifted.view(np.int64) - bits_2
        x = np.float64(x - (shifted - magic_2))
        rests[np.uintp(i)] = x
        left |= x.view(np.int64) & _POSITIVE
    _add_units(total, unit, limbs)
    _add_units(total_2, unit + np.int64(LEVEL_BITS), limbs)
    return left != np.int64(0)


@inner
def _add_sum(numbers, n, is_cut, unit, limbs):
    """Add a block of numbers below 2^51 units, which are overwritten, to a sum; infinite ones are none."""
    if is_cut:
        for level in range(0, LEVELS, 2):
            if not _cut(numbers, n, unit + np.int64(LEVEL_BITS * level), limbs):
                return
    n_left = np.int64(0)
    for i in range(n):  # without a branch for what is as random as what is left
        x = numbers[np.uintp(i)]
        numbers[np.uintp(n_left)] = x
        n_left += np.int64((abs(x) <= LARGEST) & (x != 0.0))
    for i in range(n_left):
        add_from(numbers[np.uintp(i)], limbs, np.uintp(0))


@inner
def _bound_squares(numbers, n, squares):
    """Squares that are too large for a float are the largest one; infinity has none."""
    for i in range(n):
        size = abs(numbers[np.uintp(i)])
        square = squares[np.uintp(i)] if size < BEYOND else LARGEST
        squares[np.uintp(i)] = square if size <= LARGEST else 0.0


@inner
def _square_rests(numbers, squares, n, rests):
    """What the rounding of squares left (Dekker 1971): every step is exact, fused or not."""
    for i in range(n):
        x, square = np.float64(numbers[np.uintp(i)]), squares[np.uintp(i)]
        bits = np.int64((x.view(np.int64) + (np.int64(1) << (_HALF_BITS - np.int64(1)))) & ~_LAST)
        high = bits.view(np.float64)  # 26 bits of the mantissa, rounded, so that 26 are left
        low = x - high
        rest = ((high * high - square) + 2.0 * high * low) + low * low
        rests[np.uintp(i)] = rest if (square >= LEAST_EXACT) & (abs(x) < BEYOND) else 0.0


@inner
def _add_moments(numbers, squares, rests, n, largest, bits, limbs):
    """Add a block of numbers and their squares to their two sums; all three arrays are overwritten.

    ``largest``: the bits of the largest size; ``bits``: those of all numbers, by "or".
    """
    exponent = max((largest >> np.int64(52)) - np.int64(1022), np.int64(LEAST_EXPONENT))
    is_cut = exponent <= np.int64(MOST_EXPONENT)
    if not is_cut:
        _bound_squares(numbers, n, squares)
    unit, square_unit = np.int64(51) - exponent, np.int64(51) - np.int64(2) * exponent
    if bits & _LAST:
        _square_rests(numbers, squares, n, rests)
        _add_sum(rests, n, is_cut, square_unit + np.int64(52), limbs[1])  # half a unit of a square's last bit at most
    _add_sum(numbers, n, is_cut, unit, limbs[0])
    _add_sum(squares, n, is_cut, square_unit, limbs[1])


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
def add(values, forms, places, starts, zero, top, counts, held, limbs, bounds, rows, numbers, squares, rests, cells):
    """Add rows to the states of some measures: ``values`` (measures, n), ``places`` and ``starts`` as of ``order``.

    ``forms`` (measures, 3): a measure is forms[0] + forms[1] value, and no less than forms[2]. State: ``counts``
    (measures, cells, KINDS), ``held`` (measures, cells), ``limbs`` (measures, KINDS, 2, N_LIMBS), ``bounds`` (measures,
    KINDS, 2), the least and the largest by their keys, ``rows`` (KINDS + 1,), of each kind and left out. The cell of 0
    is at ``zero``, that of the largest numbers ``top`` further. Scratch (BLOCK,): ``numbers``, ``squares``, ``rests``,
    ``cells``.
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
                largest, all_bits = np.int64(0), np.int64(0)
                for i in range(n):
                    x = np.float64(numbers[np.uintp(i)])
                    squares[np.uintp(i)] = x * x
                    bits = x.view(np.int64)
                    all_bits |= bits
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
                _add_moments(numbers, squares, rests, n, largest, all_bits, limbs[measure, kind])
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
