"""Risks of the most confident rows, added up over all coverages: what AURC and AUGRC are made of.

After N rows with E errors comes a group of n rows of equal confidence with e errors. In a random order of the group its
first j rows hold j e / n errors, so its rows add

    sum_{j = 1..n} (E + j e / n) / (N + j) = E S + (e / n) T,    S = sum_j 1 / (N + j),    T = sum_j j / (N + j)

to the sum of risks. Both sums have closed forms for any real n > 0, S as a difference of two digamma functions: a group
of weight counts as that many rows, and one of a billion rows takes no longer than one of ten.

Risks are rounded down to a multiple of 2^-62 and added as integers, so that no order, cut or thread changes a bit.
"""

from __future__ import annotations

import math

import numpy as np

from .grouping import two_sums
from .jit import inner, kernel
from .sorting import ONE

UNIT = 2.0**62
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

# Sums over all coverages: risks as whole numbers, what is left of them in units of 2^-62 in two parts (a sum times 2^32
# and another), and twice the errors among the first i rows, in the same two parts.
WHOLE, HIGH, LOW_PART, ERRORS_HIGH, ERRORS_LOW = range(5)
N_SUMS = 5

FEW = 8  # rows of a group that are added one by one
FAR = 32.0  # from here on four terms of the asymptotic series of digamma leave 1e-16
TERMS = 9

# What becomes of a group whose rows may be in any order.
AVERAGE, ERRORS_LAST, ERRORS_FIRST = range(3)

RIGHT, WRONG, NO_DISTRIBUTION = range(3)


@inner
def _excess(t):
    """t - log(1 + t) for t > 0, of small ones too: with s = t / (2 + t) it is t s - 2 (s^3 / 3 + s^5 / 5 + ...)."""
    if t > 0.25:
        return t - math.log1p(t)
    s = t / (2.0 + t)
    square = s * s
    rest = 0.0
    for k in range(TERMS, 0, -1):
        rest = rest * square + 1.0 / (2 * k + 1)
    return t * s - 2.0 * s * square * rest


@inner
def harmonic(before, rows):
    """S and T of so many rows after ``before``, real numbers both: S = digamma(N + n + 1) - digamma(N + 1)."""
    x = before + 1.0
    near = 0.0
    while x < FAR:
        near += rows / (x * (x + rows))
        x += 1.0
    t = rows / x
    a, b = 1.0 / x, 1.0 / (x + rows)
    first = t * b  # a - b, and so on: nothing cancels
    second = first * (a + b)
    a, b = a * a, b * b
    fourth = second * (a + b)
    sixth = second * (a * a + a * b + b * b)
    eighth = fourth * (a * a + b * b)
    rest = first / 2.0 + (second / 12.0 - (fourth / 120.0 - (sixth / 252.0 - eighth / 240.0)))
    logarithm = math.log1p(t)
    total = logarithm + rest + near
    if x > before + 1.0:
        return total, rows - before * total
    return total, x * _excess(t) + (logarithm - before * rest)


@inner
def risks(rows, errors, before, wrong):
    """The sum of the risks of so many rows of equal confidence after others, ``wrong`` of them errors; floats."""
    if rows == 1.0:
        return (wrong + errors) / (before + 1.0)
    if before == 0.0 or (errors == rows and wrong == before):  # of an equal share of errors from the first row on
        return errors
    rate = errors / rows
    if rows <= FEW and rows == math.floor(rows):  # also of a weight that is 0 beside the others
        total = 0.0
        for j in range(1, np.int64(rows) + 1):
            total += (wrong + rate * j) / (before + j)
        return total
    reciprocals, shares = harmonic(before, rows)
    return min(wrong * reciprocals + rate * shares, rows)


@inner
def _add(sums, value):
    """Add a sum of risks."""
    whole = np.int64(value)
    units = np.uint64((value - whole) * UNIT)
    sums[WHOLE] += whole
    sums[HIGH] += np.int64(units >> HALF)
    sums[LOW_PART] += np.int64(units & LOW)


@kernel
def count_errors(elements):
    """How many elements of a piece are errors."""
    n = np.int64(0)
    for i in range(elements.shape[0]):
        n += np.int64(elements[i] & ONE)
    return n


@kernel
def add_elements(elements, before, wrong, sums):
    """Add the rows of a sorted piece, labelled as errors or not, from the highest confidence down.

    ``before`` rows are more confident, ``wrong`` of them errors.
    """
    i = elements.shape[0]
    low, high = np.uint64(0), np.int64(0)
    errors_low, errors_high = np.uint64(0), np.int64(0)
    while i > 0:
        i -= 1
        element = np.uint64(elements[np.uintp(i)])
        errors = np.int64(element & ONE)
        rows = np.int64(1)
        while i > 0 and np.uint64(elements[np.uintp(i - 1)]) >> ONE == element >> ONE:
            i -= 1
            rows += 1
            errors += np.int64(np.uint64(elements[np.uintp(i)]) & ONE)
        value = risks(np.float64(rows), np.float64(errors), np.float64(before), np.float64(wrong))
        if rows == 1:  # at most 1, which is 2^62 units
            units = np.uint64(value * UNIT)
            high += np.int64(units >> HALF)
            low += units & LOW
        else:
            _add(sums, value)
        twice = np.uint64(2 * rows * wrong + errors * (rows + 1))
        errors_high += np.int64(twice >> HALF)
        errors_low += twice & LOW
        before += rows
        wrong += errors
    sums[HIGH] += high + np.int64(low >> HALF)
    sums[LOW_PART] += np.int64(low & LOW)
    sums[ERRORS_HIGH] += errors_high + np.int64(errors_low >> HALF)
    sums[ERRORS_LOW] += np.int64(errors_low & LOW)


@kernel
def add_groups(right, wrong, unit, order, sums):
    """Add the risks of groups that rise with the confidence, counts or weights of either kind, a row of ``unit``.

    ``order`` says how the rows of a group come: AVERAGE, ERRORS_LAST or ERRORS_FIRST.
    """
    zero = right[0] - right[0]
    rows, rows_low, errors, errors_low = zero, zero, zero, zero
    for i in range(right.shape[0]):
        group = right.shape[0] - 1 - i
        here = np.float64(right[group] + wrong[group]) / unit
        bad = np.float64(wrong[group]) / unit
        before = np.float64(rows + rows_low) / unit
        seen = np.float64(errors + errors_low) / unit
        if order == AVERAGE or bad == 0.0 or bad == here:
            _add(sums, risks(here, bad, before, seen))
        elif order == ERRORS_LAST:
            good = here - bad
            _add(sums, risks(good, 0.0, before, seen))
            _add(sums, risks(bad, bad, before + good, seen))
        else:
            _add(sums, risks(bad, bad, before, seen))
            _add(sums, risks(here - bad, 0.0, before + bad, seen + bad))
        rows, rows_low = two_sums(rows, rows_low, right[group] + wrong[group], zero)
        errors, errors_low = two_sums(errors, errors_low, wrong[group], zero)


@kernel
def outcomes(probs, hits, binary, labels, confidence, errors):
    """Of each row the confidence (None: not wanted) and whether it is RIGHT, WRONG or NO_DISTRIBUTION (NaN).

    ``binary``: these are P(y = 1), of which 1 - p is the confidence where class 0 is predicted. ``labels``: hits are
    labels, and class 1 is predicted where p > 1/2; else they say whether the prediction is the label.
    """
    real = probs.dtype.type
    one = real(1)
    half = real(0.5)
    for i in range(probs.shape[0]):
        p = probs[np.uintp(i)]
        hit = np.uint8(hits[np.uintp(i)])
        missed = hit ^ np.uint8(p > half) if labels else hit ^ np.uint8(1)
        unknown = np.uint8(p != p)  # noqa: PLR0124 - NaN
        errors[np.uintp(i)] = missed * (np.uint8(1) - unknown) + unknown * np.uint8(2)
        if confidence is not None:
            p = max(p, one - p) if binary else p
            confidence[np.uintp(i)] = min(p, one)


@kernel
def glance(scores, labels, sum_tolerance, confidence, errors):
    """The same of a few probabilities a row (N, K); returns how many rows need a closer look.

    Those within [0, 1] whose sum is well within its tolerance, and whose label is a class, need none. Two classes take
    5 ns a row where ``gather`` and ``judge`` take 50.
    """
    n_classes = scores.shape[1]
    n_odd = 0
    for i in range(scores.shape[0]):
        row = scores[np.uintp(i)]
        most = row[0]
        low = row[0]
        total = np.float64(row[0])
        at = np.int64(0)
        for k in range(1, n_classes):
            p = row[np.uintp(k)]
            total += np.float64(p)
            low = p if p < low else low
            larger = p > most
            most = p if larger else most
            at = k if larger else at
        y = labels[np.uintp(i)]
        sound = (low >= 0) & (most <= 1) & (abs(total - 1.0) < 0.5 * sum_tolerance) & (y >= 0) & (y < n_classes)
        n_odd += np.int64(not sound)
        errors[np.uintp(i)] = np.uint8(at != y)
        if confidence is not None:
            confidence[np.uintp(i)] = most
    return n_odd
