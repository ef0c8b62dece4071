"""Rows of probabilities: confidence, margin, entropy, and with a label NLL and Brier score, in one pass.

    entropy = -sum_k p_k log p_k      nll = -log p_y      brier = sum_{k != y} p_k^2 + (1 - p_y)^2

Values outside [0, 1] by no more than the caller's tolerance count as 0 or 1. As with logits, the row's maximum is left
out of the sum of squares, so that the Brier score of a confident row keeps its digits.
"""

from __future__ import annotations

import numpy as np

from .elementary import log, log1p, log_normal
from .jit import inner, kernel
from .rows import (
    ARGMAX,
    BLOCK,
    BRIER,
    CONFIDENCE,
    ENTROPY,
    FIRST_BAD,
    FIRST_NAN,
    LABEL,
    LOGSUMEXP,
    LOWEST,
    MARGIN,
    MAXIMUM,
    N_BAD,
    N_NAN,
    NLL,
    OFFSET,
    SECOND,
)
from .rows import SUM_A as TOTAL
from .rows import SUM_B as INFORMATION
from .rows import SUM_C as SQUARES

# Added to p, or put in its place, it keeps log 0 out of the entropy; where it matters p log p is 0 to many digits.
LEAST = 1.17549435e-38
SUMMED = 128  # probabilities of 24 bits that a word of 32 holds


@inner
def add_lines(values, offset, k, step, squares, width, block):
    """Add a pair of lines of p to the total and, the maximum left out, -p log p and p^2; keep the lowest below 0.

    The first line is of class ``k``, or of classes from ``k`` on, the second ``step`` further. ``squares`` is None
    where the total and the lowest are all that is wanted, else True.
    """
    # No conditional expressions on what goes into a logarithm: LLVM would follow "p is 0" through it as a branch of its
    # own, and the loop would stay scalar (5.2 against 1.1 ns a class).
    real = block.dtype.type
    one = real(1)
    half = real(0.5)
    least = real(LEAST)
    zero = real(0)
    base = real(k)
    ahead = real(k + step)
    for i in range(width):
        p = values[np.uintp(offset + i)]
        q = values[np.uintp(offset + width + i)]
        block[TOTAL + i] = (block[TOTAL + i] + p) + q
        largest = block[ARGMAX + i] - block[OFFSET + i]
        p = p * (one - real(largest == base))
        q = q * (one - real(largest == ahead))
        lowest = block[LOWEST + i]
        lowest = p if p < lowest else lowest
        block[LOWEST + i] = q if q < lowest else lowest
        if squares is not None:
            p = half * (p + abs(p))
            q = half * (q + abs(q))
            information = block[INFORMATION + i] - p * log_normal(p + least, zero)
            block[INFORMATION + i] = information - q * log_normal(q + least, zero)
            block[SQUARES + i] = (block[SQUARES + i] + p * p) + q * q


@inner
def results(width, block):
    """From the sums of ``width`` rows to results."""
    real = block.dtype.type
    zero = real(0)
    one = real(1)
    least = real(LEAST)
    for i in range(width):
        m = block[MAXIMUM + i]
        second = block[SECOND + i]
        p = block[LABEL + i]
        block[CONFIDENCE * BLOCK + i] = m  # as it came: bins clip it, or take it as another system does
        m = one if m > one else m
        second = zero if second < zero else second
        p = zero if p < zero else p
        p = one if p > one else p
        off = one - p
        # the label's own square is out of SQUARES only where the label is the maximum
        rest = block[SQUARES + i] if p == m else block[SQUARES + i] + (m * m - p * p)
        block[MARGIN * BLOCK + i] = m - second
        block[ENTROPY * BLOCK + i] = block[INFORMATION + i] - m * log(least if m < least else m)
        block[LOGSUMEXP * BLOCK + i] = zero
        block[NLL * BLOCK + i] = -log(p)
        block[BRIER * BLOCK + i] = rest + off * off


@kernel
def finish(work):
    """From sums to results."""
    for b in range(work.shape[0]):
        results(BLOCK, work[b])


@kernel
def binary_sums(probs, work):
    """What ``judge`` needs to know of (N, 1) probabilities of class 1, which is predicted where p > 0.5."""
    real = work.dtype.type
    last = probs.shape[0] - 1
    for b in range(work.shape[0]):
        block = work[b]
        for i in range(BLOCK):
            row = b * BLOCK + i
            p = probs[row if row < last else last, 0]
            block[MAXIMUM + i] = p
            block[ARGMAX + i] = real(1) if p > real(0.5) else real(0)
            block[TOTAL + i] = real(1) + real(0) * p  # NaN where p is NaN or infinite
            block[LOWEST + i] = p


@kernel
def finish_binary(work):
    """From (N,) probabilities, in MAXIMUM, and labels to results."""
    real = work.dtype.type
    zero = real(0)
    one = real(1)
    least = real(LEAST)
    for b in range(work.shape[0]):
        block = work[b]
        for i in range(BLOCK):
            p = block[MAXIMUM + i]
            positive = block[LABEL + i] == one
            block[CONFIDENCE * BLOCK + i] = p
            p = zero if p < zero else p
            p = one if p > one else p
            q = one - p
            log_p = log(p)
            log_q = log1p(-p)
            margin = p - q
            off = q if positive else p
            information = p * (log_p if p > least else zero) + q * (log_q if q > zero else zero)
            block[MARGIN * BLOCK + i] = margin if margin > zero else -margin
            block[ENTROPY * BLOCK + i] = -information
            block[LOGSUMEXP * BLOCK + i] = zero
            block[NLL * BLOCK + i] = -(log_p if positive else log_q)
            block[BRIER * BLOCK + i] = off * off


@inner
def light_row(probs, bits, y, sum_tolerance):
    """Whether a row (K,) of float32 needs no closer look, the bits of its largest probability, and if it is label y's.

    The bits of NaN, infinity and negative numbers are above those of 1 as unsigned integers. Integers are what a loop
    finds the largest and the sum of in vectors. A sum of p 2^24, each cut to an integer, is short by 2^-24 a class at
    most; of 128 of them that are at most 1 it fits in 32 bits.
    """
    n_classes = bits.shape[0]
    one = np.float32(1).view(np.uint32)
    most = np.uint32(0)
    total = np.int64(0)
    for start in range(0, n_classes, SUMMED):
        part = np.uint32(0)
        for k in range(start, min(start + SUMMED, n_classes)):
            b = bits[np.uintp(k)]
            most = b if b > most else most
            part = np.uint32(part + np.uint32(np.int32(probs[np.uintp(k)] * np.float32(2.0**24))))
        total += np.int64(part)
    off = np.float64(total) / 2.0**24 - 1.0
    known = (y >= 0) & (y < n_classes)
    sound = (most <= one) & (off <= sum_tolerance - n_classes / 2.0**24) & (off >= -sum_tolerance) & known
    hit = False
    if sound:
        hit = bits[np.uintp(y)] == most
        if hit:
            earlier = np.int64(0)
            for k in range(y):
                earlier += np.int64(bits[np.uintp(k)] == most)
            hit = earlier == 0
    return sound, most, hit


@kernel
def wide_light(scores, bits, labels, sum_tolerance, confidence, hits):
    """The largest probability of each row (N, K) of float32, whose ``bits`` are uint32, and whether it is the label's.

    Returns how many rows need a closer look. Where all that ``gather`` finds takes 3 ns a probability, this takes 0.2.
    """
    n_odd = 0
    for i in range(bits.shape[0]):
        sound, most, hit = light_row(scores[i], bits[i], labels[i], sum_tolerance)
        n_odd += not sound
        confidence[i] = np.uint32(most).view(np.float32)
        hits[i] = np.uint8(hit)
    return n_odd


@kernel
def few_light(probs, labels, tolerance, sum_tolerance, confidence, hits):
    """The largest probability of each of a few rows (N, K), and whether it is the label's; the first of equals counts.

    Returns how many rows are not in order, or so near the tolerance of their sum that rounding may decide. No block of
    scratch is set up for it: 7 us for 1000 rows of 10, and 22 us for their ECE, which takes 147 by way of a worker.
    """
    n_classes = probs.shape[1]
    whole = n_classes - n_classes % 4
    odd = np.int64(0)
    for i in range(probs.shape[0]):
        row = probs[i]
        first = np.float64(row[0])
        t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0  # sums that do not wait for each other
        m0, m1, m2, m3 = first, first, first, first
        l0, l1 = first, first
        for k in range(0, whole, 4):
            a, b = np.float64(row[np.uintp(k)]), np.float64(row[np.uintp(k + 1)])
            c, d = np.float64(row[np.uintp(k + 2)]), np.float64(row[np.uintp(k + 3)])
            t0, t1, t2, t3 = t0 + a, t1 + b, t2 + c, t3 + d
            m0, m1 = a if a > m0 else m0, b if b > m1 else m1
            m2, m3 = c if c > m2 else m2, d if d > m3 else m3
            low, other = a if a < b else b, c if c < d else d
            l0, l1 = low if low < l0 else l0, other if other < l1 else l1
        for k in range(whole, n_classes):
            a = np.float64(row[np.uintp(k)])
            t0 += a
            m0 = a if a > m0 else m0
            l0 = a if a < l0 else l0
        total = (t0 + t1) + (t2 + t3)
        lowest = l0 if l0 < l1 else l1
        m0, m2 = m0 if m0 > m1 else m1, m2 if m2 > m3 else m3
        most = m0 if m0 > m2 else m2
        where = np.int64(0)
        while where < n_classes - 1 and np.float64(row[np.uintp(where)]) != most:
            where += 1
        y = labels[i]
        sound = (abs(total - 1.0) <= 0.99 * sum_tolerance) & (lowest >= -tolerance) & (most <= 1.0 + tolerance)
        odd += np.int64(not (sound & (y >= 0) & (y < n_classes)))
        confidence[i] = row[np.uintp(where)]
        hits[i] = np.int64(where == y)
    return odd


@kernel
def binary_light(probs, labels, tolerance, hits, faults):
    """What ``judge`` would find wrong with (N,) probabilities and labels, and the labels as ``hits``: nothing else.

    All rows are counted at once, at the speed of memory; only where something is wrong are they gone through again.
    """
    n_nan = np.int64(0)
    n_bad = np.int64(0)
    high = 1.0 + tolerance
    low = -tolerance
    for i in range(probs.shape[0]):
        p = np.float64(probs[i])
        y = labels[i]
        n_nan += np.int64(np.isnan(p))
        n_bad += np.int64((p > high) | (p < low) | ((y != 0) & (y != 1)))
        hits[i] = np.uint8(y & 1)
    if n_nan + n_bad > 0:
        for i in range(probs.shape[0]):
            p = np.float64(probs[i])
            if np.isnan(p) and i < faults[FIRST_NAN]:
                faults[FIRST_NAN] = i
            if (p > high or p < low or labels[i] < 0 or labels[i] > 1) and i < faults[FIRST_BAD]:
                faults[FIRST_BAD] = i
        faults[N_NAN] += n_nan
        faults[N_BAD] += n_bad
