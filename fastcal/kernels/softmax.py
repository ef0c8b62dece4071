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

from .elementary import LOWERED, exp_lifted, larger, log1p
from .intrinsics import LINE, prefetch
from .jit import inner, kernel
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
    SECOND,
)
from .rows import LOST_A as REST_LOST
from .rows import LOST_B as SLOPE_LOST
from .rows import SUM_A as REST
from .rows import SUM_B as SLOPE
from .rows import SUM_C as SQUARES


@inner
def add(values, upcoming, start, stop, inverse_t, rest_t, lowest, squares, second, exps, place, width, block):
    """Add e, e d and, if wanted, e^2 of the pairs of lines from ``start`` to ``stop``; the maximum is hidden.

    All are lifted (see ``exp_lifted``), e^2 as e is. ``squares`` is None where e^2 is not wanted: a type, for which
    Numba compiles a loop without them; so is ``second``, where SECOND is not, the largest of what is not hidden.
    ``exps`` is None, or where e goes, that of ``start`` to ``place``.
    """
    lower = block.dtype.type(LOWERED)
    per_line = LINE // upcoming.itemsize
    for offset in range(start, stop, 2 * width):
        for i in range(offset, offset + 2 * width, per_line):
            prefetch(upcoming, i)
        for i in range(width):
            m = block[MAXIMUM + i]
            z = values[np.uintp(offset + i)]
            d = z - m
            d = lowest if d < lowest else d
            e = exp_lifted(d, inverse_t, rest_t)
            z2 = values[np.uintp(offset + width + i)]
            d2 = z2 - m
            d2 = lowest if d2 < lowest else d2
            e2 = exp_lifted(d2, inverse_t, rest_t)
            if second is not None:
                # one by one: of a number that either stays or is replaced LLVM makes a store under a mask, and waits
                block[SECOND + i] = larger(larger(block[SECOND + i], z), z2)
            if exps is not None:
                exps[np.uintp(place + offset - start + i)] = e
                exps[np.uintp(place + offset - start + width + i)] = e2
            x = e + e2
            total = block[REST + i]
            new = total + x
            block[REST + i] = new
            block[REST_LOST + i] += x - (new - total)
            x = e * (d * inverse_t) + e2 * (d2 * inverse_t)
            total = block[SLOPE + i]
            new = total + x
            block[SLOPE + i] = new
            block[SLOPE_LOST + i] += x - (new - total)
            if squares is not None:
                block[SQUARES + i] += e * (e * lower) + e2 * (e2 * lower)


@kernel
def probabilities(scores, work, inverse_t, rest_t, lowest, out):
    """softmax of rows (n, K) whose sums and results are in ``work``: e^((z_k - m) / T) times the confidence.

    In three loops over a block, so that the one with e^x is long and takes vectors across rows (30 -> 8 ns for K = 10).
    """
    n, n_classes = scores.shape
    real = work.dtype.type
    lower = real(LOWERED)
    for first in range(0, n, BLOCK):
        block = work[first // BLOCK]
        here = min(BLOCK, n - first)
        for i in range(here):
            m = block[MAXIMUM + i]
            start = (first + i) * n_classes
            for k in range(n_classes):
                z = scores[first + i, k]
                out[np.uintp(start + k)] = real(0) if z == m else z - m  # 0 for +inf less itself
        for j in range(first * n_classes, (first + here) * n_classes):
            d = out[np.uintp(j)]
            d = lowest if d < lowest else d
            out[np.uintp(j)] = exp_lifted(d, inverse_t, rest_t) * lower
        for i in range(here):
            confidence = block[CONFIDENCE * BLOCK + i]
            start = (first + i) * n_classes
            for k in range(n_classes):
                out[np.uintp(start + k)] *= confidence


@inner
def certainty(inverse_t, rest_t, lowest, binary, width, block):
    """From the sums of ``width`` rows of a block to what needs no label, and to NLL's part of it, log1p(r)."""
    real = block.dtype.type
    zero = real(0)
    one = real(1)
    lower = real(LOWERED)
    for i in range(width):
        m = block[MAXIMUM + i]
        rest = (block[REST + i] + block[REST_LOST + i]) * lower
        slope = (block[SLOPE + i] + block[SLOPE_LOST + i]) * lower
        inverse = one / (one + rest)
        log_total = log1p(rest)
        # the confidence of (N,) is P(y = 1)
        confidence = rest * inverse if binary and block[ARGMAX + i] == zero else inverse
        block[CONFIDENCE * BLOCK + i] = confidence
        d = block[SECOND + i] - m
        d = lowest if d < lowest else d
        e = exp_lifted(d, inverse_t, rest_t) * lower
        block[MARGIN * BLOCK + i] = (one - e) * inverse
        block[ENTROPY * BLOCK + i] = log_total - slope * inverse
        block[LOGSUMEXP * BLOCK + i] = m * inverse_t + log_total
        block[NLL * BLOCK + i] = log_total


@inner
def add_label(inverse_t, rest_t, lowest, scale, width, block):
    """What the label makes of the sums of ``width`` rows: the rest of NLL, and the Brier score times ``scale``."""
    real = block.dtype.type
    zero = real(0)
    one = real(1)
    lower = real(LOWERED)
    for i in range(width):
        m = block[MAXIMUM + i]
        rest = (block[REST + i] + block[REST_LOST + i]) * lower
        squares = block[SQUARES + i] * lower
        z_y = block[LABEL + i]
        # 0 where y is the maximum, be it +inf, or tied with it: then both formulas of the Brier score agree
        d = zero if z_y == m else z_y - m
        gap = -d * inverse_t
        d = lowest if d < lowest else d
        total = one + rest
        inverse = one / total
        e_y = exp_lifted(d, inverse_t, rest_t) * lower
        off = total - e_y
        wrong = (one + (squares - e_y * e_y)) + off * off
        right = rest * rest + squares
        block[NLL * BLOCK + i] += gap
        block[BRIER * BLOCK + i] = (right if gap == zero else wrong) * (inverse * inverse) * scale


@kernel
def finish(inverse_t, rest_t, lowest, binary, work):
    """From sums to results. With ``binary`` the two columns of the logits stood for one logit a row: (0, z)."""
    real = work.dtype.type
    scale = real(0.5) if binary else real(1)  # the Brier score of (N,) is (p - y)^2, half the sum over two classes
    for b in range(work.shape[0]):
        block = work[b]
        certainty(inverse_t, rest_t, lowest, binary, BLOCK, block)
        add_label(inverse_t, rest_t, lowest, scale, BLOCK, block)
