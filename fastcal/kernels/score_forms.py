"""What calibrators ask of rows before they are fitted or applied: a look at every value, and the form that is fitted.

Rows are (n, K), or (n, 1) for binary scores: P(y = 1), or its logit. All is computed in float64.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp, log, log1p
from .jit import inner, kernel


@kernel
def all_finite(values):
    """Whether no number of (n,) is NaN or infinite: a tenth of the work of ``first_fault``, often instead of it."""
    fine = 0
    for i in range(values.shape[0]):
        fine += np.int64(abs(values[np.uintp(i)]) < np.inf)
    return fine == values.shape[0]


@kernel
def all_distributions(scores, values, lowest, highest, sum_tolerance):
    """Whether every row (n, K) lies in a range, given in the scores' type, and sums to 1; ``values`` are all, flat.

    Less than half of the work of ``first_fault``, often instead of it: sums in one variable wait for each other.
    """
    n, n_columns = scores.shape
    inside = 0
    for i in range(values.shape[0]):
        inside += np.int64(values[np.uintp(i)] >= lowest) & np.int64(values[np.uintp(i)] <= highest)  # not NaN
    if inside < values.shape[0]:
        return False
    whole = n_columns - n_columns % 8
    off = 0
    for row in range(n):
        start = row * n_columns
        a = b = c = d = e = f = g = h = 0.0
        for i in range(start, start + whole, 8):
            a += np.float64(values[np.uintp(i)])
            b += np.float64(values[np.uintp(i + 1)])
            c += np.float64(values[np.uintp(i + 2)])
            d += np.float64(values[np.uintp(i + 3)])
            e += np.float64(values[np.uintp(i + 4)])
            f += np.float64(values[np.uintp(i + 5)])
            g += np.float64(values[np.uintp(i + 6)])
            h += np.float64(values[np.uintp(i + 7)])
        for i in range(start + whole, start + n_columns):
            a += np.float64(values[np.uintp(i)])
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        off += np.int64(abs(total - 1.0) > sum_tolerance)
    return off == 0


@kernel
def first_fault(scores, from_logits, minus_inf, tolerance, sum_tolerance):
    """The first row that is no row of scores, or -1.

    Logits are finite, or -inf where ``minus_inf`` allows it and another one of the row is finite, as is the 0 beside a
    binary one; probabilities lie within ``tolerance`` of [0, 1], those of a row sum to 1 within ``sum_tolerance``
    (infinite for binary ones).
    """
    n, n_columns = scores.shape
    lowest = -np.inf if from_logits else -tolerance
    highest = np.finfo(np.float64).max if from_logits else 1.0 + tolerance
    for row in range(n):
        total = 0.0
        low = np.inf
        high = -np.inf
        for k in range(n_columns):
            value = np.float64(scores[row, k])
            total += value
            low = value if value < low else low
            high = value if value > high else high
        fine = low >= lowest and high <= highest
        if from_logits:
            # NaN: the sum is NaN, but so it may be where large finite ones overflow
            fine = fine and (low > -np.inf or (minus_inf and (high > -np.inf or n_columns == 1)))
            if fine and np.isnan(total):
                for k in range(n_columns):
                    fine = fine and not np.isnan(scores[row, k])
        else:
            fine = fine and abs(total - 1.0) <= sum_tolerance and not np.isnan(total)
        if not fine:
            return row
    return -1


@inner
def _largest(row):
    m = np.float64(row[0])
    for k in range(1, row.shape[0]):
        value = np.float64(row[k])
        m = value if value > m else m
    return m


@kernel
def logs(probs, smallest, out):
    """log p of rows, and log(p / (1 - p)) of binary ones, where p below ``smallest`` counts as it, above 1 as 1."""
    n, n_columns = probs.shape
    if n_columns == 1:
        for row in range(n):
            p = np.float64(probs[row, 0])
            p = p if p > smallest else smallest
            most = 1.0 - smallest
            p = p if p < most else most
            out[row, 0] = log(np.float64(p)) - log1p(np.float64(-p))
        return
    for row in range(n):
        for k in range(n_columns):
            p = np.float64(probs[row, k])
            p = p if p > smallest else smallest
            p = p if p < 1.0 else 1.0
            out[row, k] = log(np.float64(p))


@kernel
def log_softmax(logits, out):
    """z_k - log sum_j e^(z_j) of rows, into float64; log P(y = 1) is not what is wanted of binary ones: z itself."""
    n, n_columns = logits.shape
    for row in range(n):
        if n_columns == 1:
            out[row, 0] = logits[row, 0]
            continue
        m = _largest(logits[row])
        total = 0.0
        for k in range(n_columns):
            total += exp(np.float64(np.float64(logits[row, k]) - m))
        rest = log(np.float64(total))
        for k in range(n_columns):
            out[row, k] = (np.float64(logits[row, k]) - m) - rest


@kernel
def softmax(logits, out):
    """e^(z_k) / sum_j e^(z_j) of rows, 1 / (1 + e^-z) of binary ones, into the dtype of ``out``."""
    n, n_columns = logits.shape
    for row in range(n):
        if n_columns == 1:
            z = np.float64(logits[row, 0])
            e = exp(np.float64(-abs(z)))
            out[row, 0] = (1.0 if z >= 0.0 else e) / (1.0 + e)
            continue
        m = _largest(logits[row])
        total = 0.0
        for k in range(n_columns):
            total += exp(np.float64(np.float64(logits[row, k]) - m))
        inverse = 1.0 / total
        for k in range(n_columns):
            out[row, k] = exp(np.float64(np.float64(logits[row, k]) - m)) * inverse


@kernel
def normalise(values, out):
    """Each row of (n, K) non-negative float64 divided by its sum; a row of zeros becomes uniform."""
    n, n_columns = values.shape
    for row in range(n):
        total = 0.0
        for k in range(n_columns):
            total += values[row, k]
        inverse = 1.0 / total if total > 0.0 else 0.0
        empty = 0.0 if total > 0.0 else 1.0 / n_columns
        for k in range(n_columns):
            out[row, k] = values[row, k] * inverse + empty
