"""Figures of a ranking from groups of equal scores: how many pairs are in order, how precise the top is.

Groups rise with the score; of each the weight of the rows with label 0 and with label 1, integers or floats.
"""

from __future__ import annotations

import numpy as np

from .grouping import two_sums
from .jit import kernel


@kernel
def pairs(negatives, positives):
    """Twice the weight of the pairs (negative, positive) in order, with the tied ones once: U of Mann and Whitney.

    Exact for integers whose totals' product is below 2^61.
    """
    zero = negatives[0] - negatives[0]
    below, below_low, total, low = zero, zero, zero, zero
    for group in range(negatives.shape[0]):
        term = positives[group] * (below + below + negatives[group])
        total, low = two_sums(total, low, term, zero)
        below, below_low = two_sums(below, below_low, negatives[group], zero)
    return total + low


@kernel
def precision(negatives, positives):
    """The sum over groups of the weight of their positives times the precision of all rows from there up."""
    zero = negatives[0] - negatives[0]
    hits, hits_low, rows, rows_low = zero, zero, zero, zero
    total, low = 0.0, 0.0
    for i in range(negatives.shape[0]):
        group = negatives.shape[0] - 1 - i
        hits, hits_low = two_sums(hits, hits_low, positives[group], zero)
        rows, rows_low = two_sums(rows, rows_low, positives[group] + negatives[group], zero)
        if positives[group] > 0:
            term = np.float64(positives[group]) * np.float64(hits) / np.float64(rows)
            total, low = two_sums(total, low, term, 0.0)
    return total + low


@kernel
def reach(negatives, positives, least):
    """The weight of the negatives of all rows from the top down to where the positives weigh at least ``least``."""
    zero = negatives[0] - negatives[0]
    hits, hits_low, missed, missed_low = zero, zero, zero, zero
    for i in range(negatives.shape[0]):
        group = negatives.shape[0] - 1 - i
        hits, hits_low = two_sums(hits, hits_low, positives[group], zero)
        missed, missed_low = two_sums(missed, missed_low, negatives[group], zero)
        if np.float64(hits + hits_low) >= least:
            break
    return missed + missed_low
