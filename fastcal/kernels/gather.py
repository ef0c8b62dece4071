"""From scores to a few sums a row: the first kernel that a row goes through, for logits and probabilities alike.

Maximum, its index and the second largest come first, line by line; then each line adds to the sums of softmax.py or
probabilities.py.
"""

from __future__ import annotations

import numpy as np

from . import probabilities, softmax
from .jit import kernel
from .rows import ARGMAX, BLOCK, BLOCK_SIZE, LABEL, LOWEST, MAXIMUM, OFFSET, SECOND, SUM_A


@kernel
def top(values, offset, k, block):
    """Take the line at ``offset`` into MAXIMUM, its first index ARGMAX, and SECOND, the next largest.

    The line is of class ``k``, or of classes from ``k`` on (a wide row). NaN is passed over. Indices are exact in
    float32 up to 2^24 classes.
    """
    base = block.dtype.type(k)
    for i in range(BLOCK):
        z = values[np.uintp(offset + i)]
        m = block[MAXIMUM + i]
        second = block[SECOND + i]
        above = z > m
        lower = m if above else z
        block[SECOND + i] = lower if lower > second else second
        block[ARGMAX + i] = base + block[OFFSET + i] if above else block[ARGMAX + i]
        block[MAXIMUM + i] = z if above else m


@kernel
def fold_top(lanes):
    """Fold the 64 partial results of a wide row into one, and give it to all 64 places."""
    winner = 0
    for i in range(1, BLOCK):
        z = lanes[MAXIMUM + i]
        m = lanes[MAXIMUM + winner]
        if z > m or (z == m and lanes[ARGMAX + i] < lanes[ARGMAX + winner]):
            winner = i
    m = lanes[MAXIMUM + winner]
    index = lanes[ARGMAX + winner]
    second = lanes[SECOND + winner]
    for i in range(BLOCK):
        if i != winner and lanes[MAXIMUM + i] > second:
            second = lanes[MAXIMUM + i]
    for i in range(BLOCK):
        lanes[MAXIMUM + i] = m
        lanes[SECOND + i] = second
        lanes[ARGMAX + i] = index


@kernel
def fold_sums(lanes, block, i):
    """Sum the partial results of a wide row and hand all its results to row ``i`` of its block."""
    for place in range(MAXIMUM, LOWEST, BLOCK):
        block[place + i] = lanes[place]
    lowest = lanes[LOWEST]
    for j in range(LOWEST + 1, LOWEST + BLOCK):
        if lanes[j] < lowest:
            lowest = lanes[j]
    block[LOWEST + i] = lowest
    for place in range(SUM_A, LABEL, BLOCK):
        even = lanes[place]
        odd = lanes[place + 1]
        for j in range(place + 2, place + BLOCK, 2):
            even += lanes[j]
            odd += lanes[j + 1]
        block[place + i] = even + odd


@kernel
def narrow(scores, from_logits, inverse_t, lines, lines_read, work):
    """Gather the sums of narrow rows into ``work``, which comes empty.

    ``lines_read`` is a read-only view of the scratch ``lines`` (NARROW * BLOCK,): rows are read-only too, and one type
    of line means one compilation.
    """
    n_classes = scores.shape[1]
    last = scores.shape[0] - 1
    for b in range(work.shape[0]):
        block = work[b]
        for i in range(BLOCK):  # one class a line; past the end the last row is repeated
            row = min(b * BLOCK + i, last)
            for k in range(n_classes):
                lines[np.uintp(k * BLOCK + i)] = scores[row, k]
        for k in range(n_classes):
            top(lines_read, k * BLOCK, k, block)
        for k in range(n_classes):
            if from_logits:
                softmax.add_line(lines_read, k * BLOCK, k, inverse_t, block)
            else:
                probabilities.add_line(lines_read, k * BLOCK, k, block)


@kernel
def wide(scores, from_logits, inverse_t, empty, lines, lines_read, lanes, work):
    """Gather the sums of wide rows, each in ``lanes``, a block of its own that begins as ``empty``."""
    n_classes = scores.shape[1]
    whole = n_classes - n_classes % BLOCK
    fill = -np.inf if from_logits else 0.0
    start = np.int64(0)  # a literal 0 would be a type of its own, and compile its callees once more
    for n in range(scores.shape[0]):
        row = scores[n]
        for i in range(BLOCK):  # the last, incomplete line, filled up
            lines[i] = row[whole + i] if whole + i < n_classes else fill
        for i in range(BLOCK_SIZE):
            lanes[i] = empty[i]
        for k in range(0, n_classes, BLOCK):
            here = k < whole  # else the padded line
            top(row if here else lines_read, k if here else start, k, lanes)
        fold_top(lanes)
        for k in range(0, n_classes, BLOCK):
            here = k < whole
            if from_logits:
                softmax.add_line(row if here else lines_read, k if here else start, k, inverse_t, lanes)
            else:
                probabilities.add_line(row if here else lines_read, k if here else start, k, lanes)
        fold_sums(lanes, work[n // BLOCK], n % BLOCK)
