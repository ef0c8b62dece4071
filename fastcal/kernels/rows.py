"""What the row kernels share: blocks, the places in them, and the columns they fill.

A row goes through two kernels. The first gathers a few sums over its classes, the second turns sums into results.
Both work on blocks of ``BLOCK`` rows; ``work[block, place + i]`` holds what is known of row i. All loops run over
*lines* of ``BLOCK`` numbers:

- *narrow* rows (``K <= NARROW``) are turned, 64 rows at a time: line k holds class k of every row of the block, and the
  vectors run across rows;
- a *wide* row is cut into lines of 64 of its own classes; the same loops leave 64 partial results, which are folded.

The arithmetic at the end of a row (exp, log, divisions) always runs across the rows of a block. On one thread of a
4th-generation EPYC, float32: 10 classes take 20 ns a row (96 while the loops were scalar), 1000 classes 0.8 ns a class.

A block is flat, with its places at constant distances, because LLVM does not vectorise a loop in which it would have to
compare more than a few pointers: a loop reads one line and otherwise one array at constant offsets. (Two-dimensional
``block[place, i]`` has strides known at run time only: 3 times slower.)
"""

from __future__ import annotations

import numpy as np

from .jit import kernel

BLOCK = 64
NARROW = 48

# Columns of a row's results, all in the precision of the input: table[column, row].
CONFIDENCE, MARGIN, ENTROPY, LOGSUMEXP, NLL, BRIER = range(6)
N_COLUMNS = 6

# What a row's label says: hits[place, row], 0 or 1. For (N,) input OUTCOME is the label itself.
CORRECT, OUTCOME = range(2)

# What was wrong: rows that are no distribution (NaN and the like), and rows that are an error
# (a probability or a label out of range), each with the first row where it happened.
N_NAN, FIRST_NAN, N_BAD, FIRST_BAD = range(4)
N_FAULTS = 4
NONE_YET = np.iinfo(np.int64).max

# Places in a block: the results, then what is gathered line by line.
MAXIMUM, SECOND, ARGMAX, SUM_A, SUM_B, SUM_C, SUM_D, OFFSET = (
    BLOCK * place for place in range(N_COLUMNS, N_COLUMNS + 8)
)
BLOCK_SIZE = OFFSET + BLOCK


def empty_block(dtype: np.dtype, *, wide: bool) -> np.ndarray:
    """What a block of rows, or of one wide row, begins with."""
    block = np.zeros(BLOCK_SIZE, dtype)
    block[MAXIMUM : MAXIMUM + BLOCK] = -np.inf
    block[SECOND : SECOND + BLOCK] = -np.inf
    if wide:  # neighbours in a line are neighbouring classes
        block[OFFSET : OFFSET + BLOCK] = np.arange(BLOCK)
    return block


@kernel
def turn(scores, first, lines):
    """Rows ``first`` to ``first + BLOCK`` into lines, one class a line; past the end the last row is repeated."""
    last = scores.shape[0] - 1
    for i in range(BLOCK):
        row = min(first + i, last)
        for k in range(scores.shape[1]):
            lines[k, i] = scores[row, k]


@kernel
def pad(row, fill, line):
    """The last, incomplete line of a row, filled up."""
    first = row.shape[0] - row.shape[0] % BLOCK
    for i in range(BLOCK):
        line[i] = row[first + i] if first + i < row.shape[0] else fill


@kernel
def top(line, k, block):
    """Take a line into MAXIMUM, its first index ARGMAX, and SECOND, the next largest.

    The line is of class ``k``, or of classes from ``k`` on (a wide row). NaN is passed over. Indices are exact in
    float32 up to 2^24 classes.
    """
    base = block.dtype.type(k)
    for i in range(BLOCK):
        z = line[i]
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
    m = lanes[MAXIMUM]
    second = lanes[SECOND]
    index = lanes[ARGMAX]
    for i in range(1, BLOCK):
        z = lanes[MAXIMUM + i]
        runner_up = lanes[SECOND + i]
        if z > m or (z == m and lanes[ARGMAX + i] < index):
            index = lanes[ARGMAX + i]
            z, m = m, z
        if z > second:
            second = z
        if runner_up > second:
            second = runner_up
    for i in range(BLOCK):
        lanes[MAXIMUM + i] = m
        lanes[SECOND + i] = second
        lanes[ARGMAX + i] = index


@kernel
def fold_sums(lanes, block, i):
    """Sum the partial results of a wide row and hand all its results to row ``i`` of its block."""
    for place in range(MAXIMUM, SUM_A, BLOCK):
        block[place + i] = lanes[place]
    for place in range(SUM_A, OFFSET, BLOCK):
        a, b, c, d = lanes[place], lanes[place + 1], lanes[place + 2], lanes[place + 3]
        for j in range(place + 4, place + BLOCK, 4):
            a += lanes[j]
            b += lanes[j + 1]
            c += lanes[j + 2]
            d += lanes[j + 3]
        block[place + i] = (a + b) + (c + d)
