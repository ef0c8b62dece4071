"""From scores to a few sums a row: the first kernel that a row goes through, for logits and probabilities alike.

Maximum, its index and the second largest come first, a pair of lines at a time; then each pair adds to the sums of
softmax.py or probabilities.py.
"""

from __future__ import annotations

import numpy as np

from . import probabilities, softmax
from .elementary import exp_lifted, larger
from .halves import floats_of, widen
from .intrinsics import LINE, PEAK, peak, place_of, turn_tile
from .jit import by_scores, inner, kernel
from .rows import (
    ARGMAX,
    BLOCK,
    LANES,
    LOST_A,
    LOST_C,
    LOWEST,
    MAXIMUM,
    NEAR,
    OFFSET,
    SECOND,
    SUM_A,
    SUM_B,
    SUM_C,
)


@inner
def top(values, start, stop, k, step, width, block):
    """Take the pairs of lines from ``start`` to ``stop`` into MAXIMUM, its first index ARGMAX, and SECOND, the next.

    The first line is of class ``k``, or of classes from ``k`` on (a wide row), the others each ``step`` further. NaN is
    passed over, or hides the score beside it: the sums then are NaN. Indices are exact in float32 up to 2^24 classes.
    """
    real = block.dtype.type
    zero = real(0)
    ahead = real(step)
    base = real(k)
    for offset in range(start, stop, 2 * width):
        for i in range(width):
            a = values[np.uintp(offset + i)]
            b = values[np.uintp(offset + width + i)]
            later = b > a
            high = b if later else a
            low = a if later else b
            index = base + block[OFFSET + i] + (ahead if later else zero)
            m = block[MAXIMUM + i]
            second = block[SECOND + i]
            above = high > m
            low = low if low > second else second
            other = m if above else high
            block[SECOND + i] = other if other > low else low
            block[ARGMAX + i] = index if above else block[ARGMAX + i]
            block[MAXIMUM + i] = high if above else m
        base += ahead + ahead


@inner
def highest(lanes, place):
    """The largest of LANES partial results, which are overwritten."""
    quarter = LANES // 4
    for i in range(quarter):
        a = lanes[place + i]
        b = lanes[np.uintp(place + quarter + i)]
        c = lanes[np.uintp(place + 2 * quarter + i)]
        d = lanes[np.uintp(place + 3 * quarter + i)]
        a = a if a > b else b
        c = c if c > d else d
        lanes[place + i] = a if a > c else c
    even = lanes[place]
    odd = lanes[place + 1]
    for i in range(2, quarter, 2):
        a = lanes[place + i]
        b = lanes[place + i + 1]
        even = a if a > even else even
        odd = b if b > odd else odd
    return even if even > odd else odd


@inner
def lead(row, whole, lines_read, lanes):
    """MAXIMUM of a wide row and its first index ARGMAX, without SECOND, with which ``top`` and its end take 3 times it.

    PEAK numbers are a pair of lines.
    """
    real = lanes.dtype.type
    m = larger(peak(row, whole), peak(lines_read, np.int64(PEAK)))
    index = np.int64(0)
    found = np.int64(PEAK)
    while found == PEAK and index < whole:
        found = place_of(row, index, m)
        index += PEAK
    if found < PEAK:
        index += found - PEAK
    else:
        found = place_of(lines_read, np.int64(0), m)
        index = whole + found if found < PEAK else np.int64(0)  # none in a row of NaN
    for i in range(LANES):
        lanes[MAXIMUM + i] = m
        lanes[ARGMAX + i] = real(index)


@inner
def clear(lanes):
    """Begin a wide row."""
    real = lanes.dtype.type
    for i in range(LANES):
        lanes[MAXIMUM + i] = -np.inf
        lanes[SECOND + i] = -np.inf
        lanes[ARGMAX + i] = real(0)
        lanes[LOWEST + i] = real(0)
    for place in range(SUM_A, LOST_C + BLOCK, BLOCK):
        for i in range(LANES):
            lanes[place + i] = real(0)


@inner
def fold_top(lanes):
    """Fold the LANES partial results of a wide row into one, and give it to all their places. The sums come empty."""
    real = lanes.dtype.type
    for i in range(LANES):
        lanes[SUM_A + i] = lanes[MAXIMUM + i]
    m = highest(lanes, np.int64(SUM_A))
    for i in range(LANES):
        won = lanes[MAXIMUM + i] == m
        lanes[SUM_A + i] = -lanes[ARGMAX + i] if won else real(-np.inf)
        lanes[SUM_B + i] = lanes[ARGMAX + i] if won else real(-np.inf)
        lanes[SUM_C + i] = lanes[SECOND + i] if won else lanes[MAXIMUM + i]
    for place in range(SUM_A, SUM_C + BLOCK, BLOCK):
        lanes[place] = highest(lanes, place)
    index = -lanes[SUM_A]
    second = lanes[SUM_C] if lanes[SUM_B] == index else m
    for i in range(LANES):
        lanes[MAXIMUM + i] = m
        lanes[SECOND + i] = second
        lanes[ARGMAX + i] = index
        lanes[SUM_A + i] = real(0)
        lanes[SUM_B + i] = real(0)
        lanes[SUM_C + i] = real(0)


@inner
def total(lanes, place, rest):
    """The sum of the LANES partial results at ``place``, and of what was lost of them at ``rest``."""
    quarter = LANES // 4
    for i in range(quarter):
        a = lanes[place + i] + lanes[rest + i]
        b = lanes[place + quarter + i] + lanes[rest + quarter + i]
        c = lanes[place + 2 * quarter + i] + lanes[rest + 2 * quarter + i]
        d = lanes[place + 3 * quarter + i] + lanes[rest + 3 * quarter + i]
        lanes[place + i] = (a + b) + (c + d)
    even = lanes[place]
    odd = lanes[place + 1]
    for i in range(2, quarter, 2):
        even += lanes[place + i]
        odd += lanes[place + i + 1]
    return even + odd


@inner
def fold_sums(lanes, from_logits, squares, block, i):
    """Sum the partial results of a wide row and hand all its results to row ``i`` of its block, which came empty."""
    block[MAXIMUM + i] = lanes[MAXIMUM]
    block[SECOND + i] = lanes[SECOND]
    block[ARGMAX + i] = lanes[ARGMAX]
    for place in range(SUM_A, SUM_C if squares is None else SUM_C + BLOCK, BLOCK):
        block[place + i] = total(lanes, place, place + (LOST_A - SUM_A))
    if not from_logits:
        lowest = lanes[LOWEST]
        for j in range(1, LANES):
            p = lanes[LOWEST + j]
            lowest = p if p < lowest else lowest
        block[LOWEST + i] = lowest


@inner
def hide_top(lines, n_lines, block):
    """Put -inf in place of each row's maximum, whose part in the sums is known."""
    real = block.dtype.type
    for k in range(n_lines):
        index = real(k)
        for i in range(BLOCK):
            z = lines[np.uintp(k * BLOCK + i)]
            lines[np.uintp(k * BLOCK + i)] = real(-np.inf) if block[ARGMAX + i] == index else z


FEW = 4  # of fewer classes little of a tile is wanted


@inner
def _tiles(scores, start, n_classes, lines):
    per = np.int64(LINE // scores.itemsize)
    whole = (n_classes + per - 1) // per * per * BLOCK  # what tiles write
    alike = scores.itemsize == lines.itemsize  # members of an ensemble may be narrower than their lines
    if not alike or n_classes < FEW or start + BLOCK * n_classes + per > scores.size or whole > lines.size:
        return False
    step = np.int64(BLOCK)
    for k in range(0, n_classes, per):
        for i in range(0, BLOCK, per):
            turn_tile(scores, start + i * n_classes + k, n_classes, lines, k * BLOCK + i, step)
    return True


@inner
def _no_tiles(scores, start, n_classes, lines):
    return False


turn_tiles = by_scores(same=_tiles, half=_no_tiles, bfloat=_no_tiles)
turn_tiles.__doc__ = """``turn_tiles(scores, start, n_classes, lines)``: write a block of whole rows, a line a class.

Of contiguous ``scores``, from the number ``start`` on; what lines follow those of the classes is overwritten. Returns
whether it did: there has to be room around the block, and half floats are widened elsewhere. 0.11 ns a number of 10
classes, where taking each line's numbers out of the rows costs 0.28.
"""


@inner
def turn(scores, first, lines):
    """Write a block of narrow rows from row ``first`` on, a line a class; past the last row it is repeated.

    An odd number of lines is made even by one of -inf.
    """
    n_classes = scores.shape[1]
    last = scores.shape[0] - 1
    if not turn_tiles(scores, np.int64(first * n_classes), n_classes, lines):
        for i in range(BLOCK):
            row = first + i if first + i < last else last
            for k in range(n_classes):
                lines[np.uintp(k * BLOCK + i)] = widen(scores[row, k])
    if n_classes & 1:
        for i in range(BLOCK):
            lines[np.uintp(n_classes * BLOCK + i)] = -np.inf


@kernel
def narrow(scores, from_logits, squares, inverse_t, rest_t, lowest, lines, lines_read, work):
    """Gather the sums of narrow rows into ``work``, which comes empty.

    ``squares`` is True where the sums of squares are wanted, else None.
    ``lines_read`` is a read-only view of the scratch ``lines`` (NARROW * BLOCK,): rows are read-only too, and one type
    of line means one compilation.
    """
    n_classes = scores.shape[1]
    start = np.int64(0)  # a literal 0 would be a type of its own, and compile its callees once more
    stop = (n_classes + 1) // 2 * 2 * BLOCK
    for b in range(work.shape[0]):
        block = work[b]
        turn(scores, b * BLOCK, lines)
        top(lines_read, start, stop, start, 1, BLOCK, block)
        if from_logits:
            hide_top(lines, n_classes, block)
            softmax.add(
                lines_read, lines_read, start, stop, inverse_t, rest_t, lowest, squares, None, None, start, BLOCK, block
            )
        else:
            if n_classes & 1:
                for i in range(BLOCK):
                    lines[np.uintp(n_classes * BLOCK + i)] = 0.0
            for k in range(0, n_classes, 2):
                probabilities.add_lines(lines_read, k * BLOCK, k, 1, squares, BLOCK, block)


@inner
def wide_row(row, upcoming, from_logits, squares, second, exps, inverse_t, rest_t, lowest, lines, lines_read, lanes):
    """Gather what ``fold_sums`` makes the sums of a wide row of, in ``lanes``; the row ``upcoming`` is fetched.

    ``second`` is True where SECOND is wanted, else None. ``exps`` (K + 6 LANES,) gets every e^(z - m) of logits, lifted
    (see ``exp_lifted``), or is None.
    """
    n_classes = row.shape[0]
    pair_size = 2 * LANES
    whole = n_classes - n_classes % pair_size
    fill = -np.inf if from_logits else 0.0
    start = np.int64(0)
    for i in range(pair_size):  # the last, incomplete pair, filled up
        lines[i] = fill
    for i in range(n_classes - whole):
        lines[np.uintp(i)] = row[np.uintp(whole + i)]
    clear(lanes)
    if second is None or from_logits:
        lead(row, whole, lines_read, lanes)
    else:
        for part in range(1 if whole == n_classes else 2):  # one call, one copy of its loop
            end = np.int64(pair_size) if part else whole
            top(lines_read if part else row, start, end, whole if part else start, LANES, LANES, lanes)
        fold_top(lanes)
    if not from_logits:
        for k in range(0, n_classes, pair_size):
            here = k < whole
            offset = k if here else k - whole
            probabilities.add_lines(row if here else lines_read, offset, k, LANES, squares, LANES, lanes)
        return
    # the pair that holds the maximum stands after the incomplete one in ``lines``, or is it
    index = np.int64(lanes[ARGMAX])
    pair = index // pair_size * pair_size
    stop = np.int64(pair_size)
    if pair < whole:
        for i in range(pair_size):
            lines[np.uintp(pair_size + i)] = row[np.uintp(pair + i)]
        stop = np.int64(2 * pair_size)
    lines[stop - pair_size + index - pair] = -np.inf
    for part in range(3):
        values = lines_read if part == 2 else row
        begin = start if part == 0 else pair + pair_size
        end = pair if part == 0 else whole
        if part == 2:
            begin = start if whole < n_classes else np.int64(pair_size)
            end = stop
        place = whole + begin if part == 2 else begin
        softmax.add(values, upcoming, begin, end, inverse_t, rest_t, lowest, squares, second, exps, place, LANES, lanes)
    if second is not None:
        lanes[SECOND] = highest(lanes, np.int64(SECOND))
    if exps is not None:
        if pair < whole:
            for i in range(pair_size):
                exps[np.uintp(pair + i)] = exps[np.uintp(whole + pair_size + i)]
        zero = lanes.dtype.type(0)
        exps[np.uintp(index)] = exp_lifted(zero, inverse_t, rest_t)


@kernel
def wide(
    scores,
    from_logits,
    squares,
    second,
    inverse_t,
    rest_t,
    lowest,
    floats,
    floats_read,
    lines,
    lines_read,
    lanes,
    work,
):
    """Gather the sums of wide rows into ``work``, which comes empty, by way of ``lanes``, a block for partial results.

    ``second`` is True where SECOND is wanted, else None. ``floats`` (K,) is for rows of half floats, widened;
    ``lines`` and both ``_read`` are as for ``narrow``.
    """
    n_classes = scores.shape[1]
    near = n_classes * scores.itemsize <= NEAR
    for n in range(scores.shape[0]):
        row = floats_of(scores[n], floats, floats_read)
        upcoming = scores[n + 1 if near and n + 1 < scores.shape[0] else n]
        wide_row(row, upcoming, from_logits, squares, second, None, inverse_t, rest_t, lowest, lines, lines_read, lanes)
        fold_sums(lanes, from_logits, squares, work[n // BLOCK], n % BLOCK)
