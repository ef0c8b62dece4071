"""Pooling of adjacent violators: the weighted least-squares fit that only rises (Ayer et al. 1955; Busing 2022).

Groups in the order of their scores are pushed on a stack of blocks; while the block below is not lower, the two become
one. A block's value is its mean, so the stack's values rise strictly: equal neighbours are one block, as in scipy.
Blocks of a stretch of groups can be pushed instead of its groups, so stretches are pooled apart and their blocks again.
"""

from __future__ import annotations

import numpy as np

from .grouping import add_to, merge_into, move_to
from .jit import inner, kernel


@kernel
def counts(first, last, counted):
    """Pool groups of integer counts (label 0, label 1) in place, exactly; returns the number of blocks.

    ``first`` and ``last`` are the scores at the ends of each. a / (a + b) rises with a / b: no division is needed, and
    products of counts below 2^31 are exact.
    """
    top = -1
    for i in range(counted.shape[0]):
        zeros, ones = counted[i, 0], counted[i, 1]
        start, end = first[i], last[i]
        while top >= 0 and counted[top, 1] * zeros >= ones * counted[top, 0]:
            zeros += counted[top, 0]
            ones += counted[top, 1]
            start = first[top]
            top -= 1
        top += 1
        counted[top, 0], counted[top, 1] = zeros, ones
        first[top], last[top] = start, end
    return top + 1


@inner
def mean(sums, block):
    return (sums[block, 2] + sums[block, 3]) / (sums[block, 0] + sums[block, 1])


@kernel
def sums(first, last, values, summed):
    """The same for float64 sums in two parts, of weights and of weighted targets; fills ``values``, the means."""
    top = -1
    for i in range(summed.shape[0]):
        top += 1
        last[top] = last[i]
        move_to(first, summed, top, i)
        values[top] = mean(summed, top)
        while top > 0 and values[top - 1] >= values[top]:
            merge_into(summed, top - 1, top)
            last[top - 1] = last[top]
            top -= 1
            values[top] = mean(summed, top)
    return top + 1
