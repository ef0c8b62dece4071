"""Bins of equal mass, in many numbers at once: how well each model of so many bins explains the labels, and their mean.

A column is given as groups of equal scores that rise: ``zeros`` and ``ones`` (G + 1,) are the weights of its rows of
label 0 and 1, cumulated from 0, ``cuts`` (G + 1,) the bounds of the groups, from 0 to 1. A model of B bins ends its
i-th bin at the first group where the cumulated weight reaches i / B of the whole; bins that would be empty are none.
"""

from __future__ import annotations

import math

import numpy as np

from .jit import inner, kernel

STRENGTH = 2.0  # rows that the prior of a whole model is worth
LEAST = 2.0**-53  # the middle of a bin may round to 0 or 1, of which a Beta distribution knows nothing


@inner
def _end(zeros, ones, start, number, n_bins):
    """The group after which bin ``number`` (from 1) of a model ends; none before ``start``."""
    n = zeros.shape[0] - 1
    wanted = (zeros[n] + ones[n]) * np.float64(number)
    low, high = start, n
    while low < high:
        middle = (low + high) // 2
        if (zeros[middle] + ones[middle]) * np.float64(n_bins) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low if number < n_bins else n


@inner
def _prior(cuts, start, end):
    """The middle of a bin, within what a prior can be."""
    middle = 0.5 * (cuts[start] + cuts[end])
    return min(max(middle, LEAST), 1.0 - LEAST)


@kernel
def evidence(zeros, ones, cuts, first, out):
    """The logarithm of the marginal likelihood of the models of ``first`` bins and more, one each in ``out``."""
    for model in range(out.shape[0]):
        n_bins = first + model
        strength = STRENGTH / n_bins
        whole = math.lgamma(strength)
        total = 0.0
        start = np.int64(0)
        for number in range(1, n_bins + 1):
            end = _end(zeros, ones, start, number, n_bins)
            if end > start:
                no, yes = zeros[end] - zeros[start], ones[end] - ones[start]
                alpha = strength * _prior(cuts, start, end)
                beta = strength - alpha
                total += whole - math.lgamma(no + yes + strength)
                total += math.lgamma(yes + alpha) - math.lgamma(alpha)
                total += math.lgamma(no + beta) - math.lgamma(beta)
                start = end
        out[model] = total


@kernel
def mark(zeros, ones, n_bins, used):
    """Set ``used`` (G + 1,) where a bin of a model of ``n_bins`` begins or ends; returns how many bins it has."""
    start = np.int64(0)
    made = 0
    used[0] = True
    for number in range(1, n_bins + 1):
        end = _end(zeros, ones, start, number, n_bins)
        if end > start:
            used[end] = True
            made += 1
            start = end
    return made


@kernel
def add(zeros, ones, cuts, n_bins, share, places, values):
    """Add ``share`` of a model's posterior means to ``values`` (S,), of what lies between ``places`` (S + 1,)."""
    strength = STRENGTH / n_bins
    start = np.int64(0)
    segment = 0
    for number in range(1, n_bins + 1):
        end = _end(zeros, ones, start, number, n_bins)
        if end > start:
            no, yes = zeros[end] - zeros[start], ones[end] - ones[start]
            mean = (yes + strength * _prior(cuts, start, end)) / (no + yes + strength)
            while segment < values.shape[0] and places[segment] < end:
                values[segment] += share * mean
                segment += 1
            start = end
