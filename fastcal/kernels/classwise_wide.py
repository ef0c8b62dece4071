"""Bins of each class while a wide row is in the first-level cache: with its sums, and no array of probabilities.

Of 1000 float32 logits a row, this and the sums take half the time of the sums (gather.py), the softmax of a chunk
(softmax.py) and the bins (classwise.py) one after the other: e^(z - m) is computed once, and nothing goes to memory.
"""

from __future__ import annotations

import numpy as np

from .classwise import MOST_ROWS, bin_row, empty_all, sum_four, sum_row
from .elementary import LOWERED
from .gather import fold_sums, wide_row
from .intrinsics import LINE, prefetch
from .jit import kernel
from .probabilities import light_row
from .rows import BLOCK, MAXIMUM, NEAR, SUM_A

FLOATS = LINE // 4  # of 32 bits in a line
ROWS = 32  # that are looked at, summed and put into bins one after the other, in the first-level cache


@kernel
def add(
    scores,
    from_logits,
    inverse_t,
    rest_t,
    lowest,
    lines,
    lines_read,
    lanes,
    exps,
    exps_read,
    work,
    labels,
    first,
    cuts,
    table,
    low,
    high,
    held,
    sums,
    totals,
    cells,
    hits,
):
    """As ``gather.wide`` with squares and without SECOND, and as ``classwise.add``, of rows (n, K) of floats.

    Scratch ``exps`` (K + 6 LANES,) and its read-only view. Rows that ``judge`` finds to be none are passed over; a
    label that is no class, too, as what was added is then taken back.
    """
    n, n_classes = scores.shape
    near = n_classes * scores.itemsize <= NEAR
    real = lanes.dtype.type
    one = real(1)
    lower = real(LOWERED)
    for i in range(n):
        row = scores[i]
        upcoming = scores[i + 1 if near and i + 1 < n else i]
        wide_row(row, upcoming, from_logits, True, None, exps, inverse_t, rest_t, lowest, lines, lines_read, lanes)
        block = work[i // BLOCK]
        at = i % BLOCK
        fold_sums(lanes, from_logits, True, block, at)
        total = block[SUM_A + at]
        y = labels[i]
        if np.isnan(total) or block[MAXIMUM + at] == -np.inf or y < 0 or y >= n_classes:
            continue
        if from_logits:  # as softmax.certainty has it
            confidence = one / (one + total * lower)
            for k in range(n_classes):
                exps[np.uintp(k)] = exps[np.uintp(k)] * lower * confidence
        held[0] += 1
        p = exps_read[:n_classes] if from_logits else row
        sum_row(p, real(low), real(high), sums)
        bin_row(p, y, first, cuts, table, low, high, totals, cells, hits)
        if held[0] == MOST_ROWS:
            empty_all(held, totals, sums, cells)


@kernel
def add_light(
    scores,
    flat,
    bits,
    labels,
    sum_tolerance,
    confidence,
    outcome,
    first,
    cuts,
    table,
    low,
    high,
    held,
    sums,
    totals,
    cells,
    hits,
):
    """As ``probabilities.wide_light`` and ``classwise.add``, of rows (n, K) of float32, also as ``flat`` and ``bits``.

    Returns how many rows were added: it stops before a block in which a row needs a closer look. A block of rows comes
    from memory once, and the next is asked for while this one goes to its bins.
    """
    n, n_classes = scores.shape
    least, most = np.float32(low), np.float32(high)
    for start in range(0, n, ROWS):
        here = min(ROWS, n - start)
        n_odd = 0
        for i in range(start, start + here):
            sound, largest, hit = light_row(scores[i], bits[i], labels[i], sum_tolerance)
            n_odd += not sound
            confidence[i] = np.uint32(largest).view(np.float32)
            outcome[i] = np.uint8(hit)
        if n_odd > 0:
            return start
        for i in range(start, start + here - 3, 4):
            sum_four(scores[i], scores[i + 1], scores[i + 2], scores[i + 3], least, most, sums)
        for i in range(start + here - here % 4, start + here):
            sum_row(scores[i], least, most, sums)
        for i in range(start, start + here):
            for k in range(0, n_classes, FLOATS):
                prefetch(flat, (i + ROWS) * n_classes + k)
            bin_row(scores[i], labels[i], first, cuts, table, low, high, totals, cells, hits)
        held[0] += here
        if held[0] + ROWS > MOST_ROWS:
            empty_all(held, totals, sums, cells)
    return n
