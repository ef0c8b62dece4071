"""The most bins of equal mass whose accuracies do not fall."""

from __future__ import annotations

import numpy as np

from .jit import kernel


@kernel
def most_bins(weight, hits, slack, most):
    """The largest number of bins up to which, from 1 on, all have accuracies that do not fall.

    ``weight`` and ``hits`` (m + 1,): sums before each group of equal scores, and of all, in units of a row's mean
    weight. A bin ends with the group in which its quantile lies. An accuracy falls if it does by more than ``slack``,
    which sums of real weights may be off by.
    """
    m = weight.shape[0] - 1
    total = weight[m] - 1.0
    for n_bins in range(2, most + 1):
        before = -1.0
        start = 0
        for k in range(1, n_bins + 1):
            stop = m
            if k < n_bins:
                place = total * (np.float64(k) / np.float64(n_bins))
                low, high = max(start - 1, 0), m - 1  # the last group that begins at or before the place
                while low < high:
                    middle = (low + high + 1) // 2
                    if weight[middle] <= place:
                        low = middle
                    else:
                        high = middle - 1
                stop = low + 1
            if weight[stop] <= weight[start]:  # an empty bin, or one too light to be told from one
                continue
            accuracy = (hits[stop] - hits[start]) / (weight[stop] - weight[start])
            if accuracy < before - slack:
                return n_bins - 1
            before = accuracy
            start = stop
    return most
