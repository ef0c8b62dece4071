"""From sorted rows to groups of equal scores, and to as few groups as a limited state may hold.

A group is a score and two sums: the weights of its rows with label 0 and with label 1, or, for real targets, the
weights and the weighted targets. Without weights the sums of labels are integers. Others are float64 in two parts, the
second of which holds what the first has lost to rounding (Dekker 1971, Knuth's TwoSum): [1e16, 1, -1e16] sums to 1.
"""

from __future__ import annotations

import numpy as np

from .jit import inner, kernel
from .pairs import product_of
from .sorting import ONE, score_of


@inner
def two_sums(high, low, other_high, other_low):
    """The sum of two sums in two parts."""
    total = high + other_high
    part = total - high
    return total, low + other_low + ((high - (total - part)) + (other_high - part))


@inner
def add_to(sums, group, column, value):
    """Add a float to a sum in two parts, at ``column`` and the next."""
    high = sums[group, column]
    total = high + value
    part = total - high
    lost = (high - (total - part)) + (value - part)
    sums[group, column] = total
    sums[group, column + 1] += lost


@inner
def add_group(sums, group, others, other):
    """Add the sums of a group, counts or floats in two parts, to those of another."""
    if sums.shape[1] == 2:
        for column in range(2):
            sums[group, column] += others[other, column]
    else:
        for column in range(4):
            add_to(sums, group, column & 2, others[other, column])


@inner
def merge_into(sums, group, other):
    add_group(sums, group, sums, other)


@inner
def move_to(scores, sums, place, group):
    """Put a group at another place."""
    scores[place] = scores[group]
    for column in range(sums.shape[1]):
        sums[place, column] = sums[group, column]


@kernel
def labels(elements, origin, like, scores, counts):
    """Groups of the sorted elements of a piece: their scores, and rows of label 0 and 1. Returns how many groups."""
    group = np.int64(-1)
    last = ~np.uint64(0)  # no element is that far away
    zeros, ones = np.int64(0), np.int64(0)
    for i in range(elements.shape[0]):
        element = np.uint64(elements[i])
        away = element >> ONE
        new = np.int64(away != last)  # added, not asked: whether a score is new is hard to predict (3.4 -> 1.9 ns)
        last = away
        group += new
        label = np.int64(element & ONE)
        kept = np.int64(1) - new
        zeros = kept * zeros + np.int64(1) - label
        ones = kept * ones + label
        place = np.uint64(group)
        scores[place] = score_of(like, np.int64(origin + away))
        counts[place, 0] = zeros
        counts[place, 1] = ones
    return group + 1


@kernel
def sums(elements, places, weights, targets, by_class, origin, like, scores, found):
    """The same with weights or real targets (None: weights of 1; the elements' labels), each at its row's place.

    Sums in two parts, of weights and weighted targets, or (``by_class``) of the weights of either label.
    """
    group = -1
    last = np.uint64(0)
    for i in range(elements.shape[0]):
        element = np.uint64(elements[i])
        away = element >> ONE
        if group < 0 or away != last:
            group += 1
            scores[group] = score_of(like, np.int64(origin + away))
            for column in range(4):
                found[group, column] = 0.0
            last = away
        weight = 1.0
        if weights is not None:
            weight = weights[places[i]]
        label = np.int64(element & ONE)
        if by_class:
            add_to(found, group, 2 * label, weight)
        else:
            add_to(found, group, 0, weight)
            if targets is None:
                add_to(found, group, 2, weight * np.float64(label))
            else:
                high, low = product_of(weight, targets[places[i]])
                add_to(found, group, 2, high)
                found[group, 3] += low
    return group + 1


@kernel
def squares(targets, weights):
    """The sum of weights times squared targets, in two parts."""
    total, rest = 0.0, 0.0
    for i in range(targets.shape[0]):
        high, low = product_of(targets[i], targets[i])
        if weights is not None:
            low *= weights[i]
            high, more = product_of(weights[i], high)
            low += more
        total, rest = two_sums(total, rest, high, low)
    return total, rest


@kernel
def join(scores, sums, tolerance):
    """Make groups closer than ``tolerance`` to the first of a run one group, in place, under the first's score.

    What stands before the first gap that wide may belong to a run that began in the piece before: it is left alone.
    Returns how many groups that is, and how many there are now.
    """
    n = scores.shape[0]
    head = 1
    while head < n and scores[head] - scores[head - 1] < tolerance:
        head += 1
    last = head
    for i in range(head + 1, n):
        if scores[i] - scores[last] < tolerance:
            merge_into(sums, last, i)
        else:
            last += 1
            move_to(scores, sums, last, i)
    return head, min(last + 1, n)


@kernel
def chain(first, last, sums, loose, tolerance):
    """The same across pieces, for groups that are ``loose``; the others are blocks already. Returns how many remain."""
    open_run = False
    n = 0
    for i in range(first.shape[0]):
        if loose[i] and open_run and first[i] - first[n - 1] < tolerance:
            merge_into(sums, n - 1, i)
            continue
        open_run = loose[i]
        last[n] = last[i]
        move_to(first, sums, n, i)
        n += 1
    return n


@kernel
def add_to_cells(scores, outcomes, level, base, counts, left):
    """Count rows by the cells of their scores, clipped to [0, 1]: ``counts`` (m, 2), from the cell ``base`` on.

    A cell is a key without its lowest ``level`` bits. NaN is passed over; rows of lower cells are listed in ``left``.
    Returns how many these are. 2 ns a row while the cells fit the second-level cache, a tenth of sorting them.
    """
    n_left = 0
    for i in range(scores.shape[0]):
        score = np.float64(scores[i])
        if np.isnan(score):
            continue
        score = score if score > 0.0 else 0.0
        score = score if score < 1.0 else 1.0
        cell = (np.float64(score).view(np.int64) >> level) - base  # the key of a number from 0 up is its bits
        if cell < 0:
            left[n_left] = i
            n_left += 1
        else:
            counts[np.uintp(cell), np.uintp(outcomes[i])] += 1
    return n_left


@kernel
def merge(keys, sums, shift, other_keys, other_sums, other_shift, merged_keys, merged_sums):
    """Merge two rising lists of groups by their keys, each shifted right by so many bits; returns their number."""
    n, i, j = 0, 0, 0
    while i < keys.shape[0] or j < other_keys.shape[0]:
        mine = i < keys.shape[0]
        if mine and j < other_keys.shape[0]:
            mine = keys[i] >> shift <= other_keys[j] >> other_shift
        key = keys[i] >> shift if mine else other_keys[j] >> other_shift
        if n == 0 or merged_keys[n - 1] != key:
            merged_keys[n] = key
            for column in range(merged_sums.shape[1]):
                merged_sums[n, column] = 0
            n += 1
        if mine:
            add_group(merged_sums, n - 1, sums, i)
            i += 1
        else:
            add_group(merged_sums, n - 1, other_sums, j)
            j += 1
    return n


@kernel
def differing(keys, counts):
    """Count neighbours in a rising list of keys by the highest bit in which they differ."""
    for i in range(1, keys.shape[0]):
        differ = np.uint64(keys[i] ^ keys[i - 1])
        bit = 0
        while differ > ONE:
            differ >>= ONE
            bit += 1
        counts[bit] += 1
