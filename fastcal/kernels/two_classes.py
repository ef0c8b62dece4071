"""Rows of two logits, the most common of narrow ones: one power says it all, and nothing has to be turned.

With the larger logit m, the other m', and e = exp((m' - m) / T):

    softmax = 1 / (1 + e) and e / (1 + e)     margin = (1 - e) / (1 + e)      logsumexp = m / T + log1p(e)
    entropy = log1p(e) - e (m' - m) / T / (1 + e)
"""

from __future__ import annotations

import numpy as np

from .elementary import LOWERED, exp_lifted, log1p
from .halves import narrowed, widen
from .jit import kernel
from .normalise import power


@kernel
def softmax(logits, inverse_t, rest_t, lowest, like, out):
    """softmax of rows of two, one after the other in ``logits`` (2 N,), into ``out`` (2 N,); ``like`` has its type."""
    real = type(inverse_t)
    for i in range(out.shape[0] // 2):
        a = widen(logits[np.uintp(2 * i)])
        b = widen(logits[np.uintp(2 * i + 1)])
        m = b if a < b else a
        e = power(a if a < b else b, m, inverse_t, rest_t, lowest) * real(LOWERED)
        p = real(1) / (real(1) + e)
        q = e * p
        out[np.uintp(2 * i)] = narrowed(like, q if a < b else p)
        out[np.uintp(2 * i + 1)] = narrowed(like, p if a < b else q)


@kernel
def summary(logits, inverse_t, rest_t, lowest, prediction, confidence, margin, entropy, logsumexp):
    """softmax_summary of rows of two, one after the other in ``logits`` (2 N,)."""
    real = type(inverse_t)
    n = prediction.shape[0]
    good = 0
    for i in range(n):
        a = widen(logits[np.uintp(2 * i)])
        b = widen(logits[np.uintp(2 * i + 1)])
        m = b if a < b else a
        d = a - b if a < b else b - a
        d = lowest if d < lowest else d
        e = exp_lifted(d, inverse_t, rest_t) * real(LOWERED)
        p = real(1) / (real(1) + e)
        log_total = log1p(e)
        row = np.uintp(i)
        confidence[row] = p
        margin[row] = (real(1) - e) * p
        entropy[row] = log_total - e * (d * inverse_t) * p
        logsumexp[row] = m * inverse_t + log_total
        prediction[row] = np.int64(a < b)
        good += np.int64(p > real(0))
    if good < n:
        for i in range(n):
            if not confidence[i] > 0:
                a = np.float64(widen(logits[2 * i]))
                b = np.float64(widen(logits[2 * i + 1]))
                prediction[i] = -1
                logsumexp[i] = a + b if np.isnan(a) or np.isnan(b) else max(a, b)
