"""Rows of logits: confidence, margin, entropy, log-sum-exp, and with a label NLL and Brier score, in one pass.

With m the row's maximum, e_k = exp((z_k - m) / T) and r the sum of e_k over all classes *but the first maximum*:

    confidence = 1 / (1 + r)          logsumexp = m / T + log1p(r)
    entropy    = log1p(r) - sum_k e_k (z_k - m) / T / (1 + r)
    nll        = log1p(r) + (m - z_y) / T
    brier      = (r^2 + sum' e_k^2) / (1 + r)^2                             where y is the maximum
                 (1 + sum' e_k^2 - e_y^2 + (1 + r - e_y)^2) / (1 + r)^2     elsewhere

Leaving the maximum out of the sums keeps every digit of a confident row: an NLL of 1e-9 is 1e-9, not 0.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp, log1p
from .jit import kernel
from .rows import (
    ARGMAX,
    BLOCK,
    BRIER,
    CONFIDENCE,
    ENTROPY,
    LABEL,
    LOGSUMEXP,
    MARGIN,
    MAXIMUM,
    NLL,
    OFFSET,
    SECOND,
)
from .rows import SUM_A as REST
from .rows import SUM_B as SLOPE
from .rows import SUM_C as SQUARES


@kernel
def add_line(values, offset, k, inverse_t, block):
    """Add a line's e, e d and e^2 to the sums, the maximum left out."""
    real = block.dtype.type
    zero = real(0)
    floor = real(-1000)  # exp is 0 there in both precisions, and 0 * -1000 is not NaN as 0 * -inf would be
    base = real(k)
    for i in range(BLOCK):
        d = (values[np.uintp(offset + i)] - block[MAXIMUM + i]) * inverse_t
        d = floor if d < floor else d
        e = exp(d)
        largest = base + block[OFFSET + i] == block[ARGMAX + i]
        e = zero if largest else e
        d = zero if largest else d
        block[REST + i] += e
        block[SLOPE + i] += e * d
        block[SQUARES + i] += e * e


@kernel
def finish(inverse_t, binary, work):
    """From sums to results. With ``binary`` the two columns of the logits stood for one logit a row: (0, z)."""
    real = work.dtype.type
    zero = real(0)
    one = real(1)
    scale = real(0.5) if binary else one  # the Brier score of (N,) is (p - y)^2, half the sum over two classes
    for b in range(work.shape[0]):
        block = work[b]
        for i in range(BLOCK):
            m = block[MAXIMUM + i]
            rest = block[REST + i]
            squares = block[SQUARES + i]
            z_y = block[LABEL + i]
            # 0 where y is the maximum, be it +inf, or tied with it: then both formulas of the Brier score agree
            gap = zero if z_y == m else (m - z_y) * inverse_t
            total = one + rest
            inverse = one / total
            log_total = log1p(rest)
            e_y = exp(-gap)
            off = total - e_y
            wrong = (one + (squares - e_y * e_y)) + off * off
            right = rest * rest + squares
            # the confidence of (N,) is P(y = 1)
            confidence = rest * inverse if binary and block[ARGMAX + i] == zero else inverse
            block[CONFIDENCE * BLOCK + i] = confidence
            block[MARGIN * BLOCK + i] = (one - exp((block[SECOND + i] - m) * inverse_t)) * inverse
            block[ENTROPY * BLOCK + i] = log_total - block[SLOPE + i] * inverse
            block[LOGSUMEXP * BLOCK + i] = m * inverse_t + log_total
            block[NLL * BLOCK + i] = log_total + gap
            block[BRIER * BLOCK + i] = (right if gap == zero else wrong) * (inverse * inverse) * scale
