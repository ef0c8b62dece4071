"""How far two sets of scores are apart, from groups of equal scores: the least error, AUROC's spread, resamples.

Groups rise with the score; of each the rows with label 0 and with label 1, as in ranking.py, whose figures are taken
here of resampled counts.
"""

from __future__ import annotations

import numpy as np

from .grouping import two_sums
from .jit import kernel
from .ranking import precision


@kernel
def least_error(negatives, positives, n_negative, n_positive):
    """The least over thresholds of the share of positives below and that of negatives from there up.

    Their sum, times both totals: exact for integers whose totals' product is below 2^61.
    """
    zero = negatives[0] - negatives[0]
    below, below_low, missed, missed_low = zero, zero, zero, zero
    least = n_negative * n_positive
    for group in range(negatives.shape[0]):
        below, below_low = two_sums(below, below_low, negatives[group], zero)
        missed, missed_low = two_sums(missed, missed_low, positives[group], zero)
        error = (missed + missed_low) * n_negative + (n_negative - below - below_low) * n_positive
        least = min(least, error)
    return least


@kernel
def placements(negatives, positives, n_negative, n_positive, auroc):
    """Sums of squares about ``auroc``, over positives and over negatives, of what each row adds to it.

    A positive adds the share of negatives below it, a negative that of positives above it, ties half.
    """
    below, missed = np.int64(0), np.int64(0)
    of_positives, low_p, of_negatives, low_n = 0.0, 0.0, 0.0, 0.0
    for group in range(negatives.shape[0]):
        zeros, ones = negatives[group], positives[group]
        off = np.float64(2 * below + zeros) / np.float64(2 * n_negative) - auroc
        of_positives, low_p = two_sums(of_positives, low_p, np.float64(ones) * (off * off), 0.0)
        off = np.float64(2 * (n_positive - missed) - ones) / np.float64(2 * n_positive) - auroc
        of_negatives, low_n = two_sums(of_negatives, low_n, np.float64(zeros) * (off * off), 0.0)
        below += zeros
        missed += ones
    return of_positives + low_p, of_negatives + low_n


@kernel
def gather(negatives, positives, n_negative, n_positive, cells):
    """Add groups to ``cells`` (m, 2), zeros at first, of about equal shares of both sets; groups are not divided.

    A group falls where its middle does, so that a large one has a cell almost for itself.
    """
    last = np.int64(cells.shape[0] - 1)
    per_negative = np.float64(cells.shape[0]) / (4.0 * np.float64(n_negative))
    per_positive = np.float64(cells.shape[0]) / (4.0 * np.float64(n_positive))
    below, missed = np.int64(0), np.int64(0)
    for group in range(negatives.shape[0]):
        zeros, ones = negatives[group], positives[group]
        middle = np.float64(2 * below + zeros) * per_negative + np.float64(2 * missed + ones) * per_positive
        cell = np.uintp(min(np.int64(middle), last))
        cells[cell, 0] += zeros
        cells[cell, 1] += ones
        below += zeros
        missed += ones


@kernel
def reaches(negatives, positives, ranks, found):
    """For each of some rising ranks r the negatives at or above the score of the r-th highest positive."""
    hits, missed = np.int64(0), np.int64(0)
    i = 0
    for rank in range(ranks.shape[0]):
        while hits < ranks[rank]:
            i += 1
            hits += positives[positives.shape[0] - i]
            missed += negatives[negatives.shape[0] - i]
        found[rank] = missed


@kernel
def resampled(negatives, positives, n_negative, n_positive, found):
    """Of each row of counts: average precision of label 1, of label 0 from the other end, and the least error.

    All but divided by the totals, see :func:`precision` and :func:`least_error`.
    """
    for row in range(negatives.shape[0]):
        zeros, ones = negatives[row], positives[row]
        found[row, 0] = precision(zeros, ones)
        found[row, 1] = precision(ones[::-1], zeros[::-1])
        found[row, 2] = np.float64(least_error(zeros, ones, n_negative, n_positive))
