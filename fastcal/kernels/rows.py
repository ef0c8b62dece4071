"""What the row kernels share: blocks, the places in them, and the columns they fill.

A row goes through three kernels: the first gathers a few sums over its classes, ``judge`` looks at its label and at
what may be wrong with it, the last turns sums into results. All work on blocks of ``BLOCK`` rows: ``work[block, place
+ i]`` holds what is known of row i. The loops run over *lines* of ``BLOCK`` numbers:

- *narrow* rows (``K <= NARROW``) are turned, 64 rows at a time: line k holds class k of every row of the block, and the
  vectors run across rows;
- a *wide* row is cut into lines of ``LANES`` of its own classes; the same loops leave as many partial results, which
  are folded.

Lines are taken in pairs, the last one filled up with scores that add nothing: a pair's terms are added to each other
first, and their sum to a partial result with what that rounds away kept beside it (Fast2Sum, Dekker 1971; where the new
term is the larger, what goes is within the rounding of a sum that at least doubled). Plain sums drift: 100 000 equal
terms are off by more than 100 ulp.

The arithmetic at the end of a row (exp, log, divisions) always runs across the rows of a block. On one thread of a
4th-generation EPYC, float32: 10 classes take 16 ns a row (96 while the loops were scalar), 1000 classes 0.65 ns each.

A block is flat, with its places at constant distances, because LLVM does not vectorise a loop in which it would have to
compare more than a few pointers: a loop reads one line and otherwise one array at constant offsets. (Two-dimensional
``block[place, i]`` has strides known at run time only: 3 times slower.) Lines are read at an unsigned offset: Numba
checks signed indices for being negative, which keeps a loop scalar.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .elementary import LOWEST as LOWEST_EXPONENT
from .intrinsics import LINE
from .jit import kernel

BLOCK = 64  # with 32, narrow rows took a fifth longer
LANES = 32  # with 64, rows of 1000 classes took a quarter longer, for what is folded
NARROW = 128  # float32 of 100 classes: 1.0 to 1.5 ns a number turned, 2.1 to 2.7 a row by itself; even at about 200
# While a wide row of at most so many bytes is summed, the next one is fetched: a third less time from memory.
NEAR = 16384
STRETCH = 256  # so many of its numbers are asked for at once

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

# Places in a block: the results, then what is gathered line by line (LOST is what rounding took from the sum of that
# letter), then the label's score (for (N,) probabilities the label itself).
MAXIMUM, SECOND, ARGMAX, LOWEST, SUM_A, SUM_B, SUM_C, LOST_A, LOST_B, LOST_C, LABEL, OFFSET = (
    BLOCK * place for place in range(N_COLUMNS, N_COLUMNS + 12)
)
BLOCK_SIZE = OFFSET + BLOCK


def scratch(size: int, dtype: np.dtype) -> np.ndarray:
    """Zeros that begin a cache line: vectors across two lines cost up to half the speed."""
    space = np.zeros(size * dtype.itemsize + LINE, np.uint8)
    start = -space.__array_interface__["data"][0] % LINE
    return space[start : start + size * dtype.itemsize].view(dtype)


def empty_block(dtype: np.dtype, *, wide: bool) -> np.ndarray:
    """What a block of rows, or of one wide row, begins with."""
    block = scratch(BLOCK_SIZE, dtype)
    block[MAXIMUM : MAXIMUM + BLOCK] = -np.inf
    block[SECOND : SECOND + BLOCK] = -np.inf
    if wide:  # neighbours in a line are neighbouring classes
        block[OFFSET : OFFSET + BLOCK] = np.arange(BLOCK)
    return block


def divisor(temperature: float, dtype: np.dtype) -> tuple[np.floating, np.floating, np.floating]:
    """How to divide by T: 1 / T rounded to ``dtype``, what that lost, and the d whose e^(d / T) counts as 0."""
    real = dtype.type
    inverse = real(1 / temperature)
    rest = (1 - Fraction(temperature) * Fraction(float(inverse))) / Fraction(temperature)
    return inverse, real(rest), real(LOWEST_EXPONENT[real] * temperature)


@kernel
def judge(scores, labels, binary, tolerance, sum_tolerance, work, prediction, hits, faults):
    """Between sums and results: ``prediction``, LABEL, ``hits``, and what is wrong with a row.

    NaN in SUM_A, or no score above -inf, make a row no distribution: prediction -1, NaN results. A row is bad whose
    MAXIMUM exceeds 1 or whose LOWEST falls below 0 by more than ``tolerance``, whose SUM_A is off 1 by more than
    ``sum_tolerance`` (both infinite for logits), or whose label is no class. Empty ``labels``: none given.
    """
    n, n_columns = scores.shape
    n_classes = 2 if binary else n_columns
    real = work.dtype.type
    for row in range(n):
        block = work[row // BLOCK]
        i = row % BLOCK
        largest = np.int64(block[ARGMAX + i])
        total = np.float64(block[SUM_A + i])
        bad = np.float64(block[MAXIMUM + i]) > 1.0 + tolerance or np.float64(block[LOWEST + i]) < -tolerance
        y = largest
        if labels.size > 0:
            y = labels[row]
            if y < 0 or y >= n_classes:
                bad = True
                y = np.int64(0)
            hits[CORRECT, row] = y == largest
            hits[OUTCOME, row] = y == 1 if binary else y == largest
        block[LABEL + i] = scores[row, y] if n_columns == n_classes else real(y)
        if np.isnan(total) or block[MAXIMUM + i] == -np.inf:
            block[MAXIMUM + i] = np.nan
            block[SUM_A + i] = np.nan
            block[LABEL + i] = np.nan
            largest = np.int64(-1)
            if labels.size > 0:
                hits[CORRECT, row] = 0
                hits[OUTCOME, row] = 0
            faults[N_NAN] += 1
            if row < faults[FIRST_NAN]:
                faults[FIRST_NAN] = row
        elif abs(total - 1.0) > sum_tolerance:
            bad = True
        if bad:
            faults[N_BAD] += 1
            if row < faults[FIRST_BAD]:
                faults[FIRST_BAD] = row
        prediction[row] = largest
