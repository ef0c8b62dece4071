"""Sums over rows for many small logistic fits at once, one a column, and their probabilities.

A map is P(y = 1) = sigmoid(eta), eta = s x + t v + c of one or two *features* x, v of a column's score. The loops run
over lines of up to ``LANES`` numbers that stand side by side in memory: neighbouring columns of a row, or, of few
columns, several rows. Every lane has its own coefficients and sums, at constant distances, so that one loop serves 1
column and 1000, and its vectors run across lanes: 1.6 ns a number on one thread, 2.2 with two features (3.1 and 3.6
while each number had a logarithm of its own).
"""

from __future__ import annotations

import numpy as np

from .elementary import exp, log_normal
from .jit import inner, kernel

LANES = 64

# Sums of a lane, each times the row's weight: the softplus of eta, p and p (1 - p), these times x, x^2, ...
SOFTPLUS, P, H, PX, HX, HXX, PV, HV, HXV, HVV = (LANES * place for place in range(10))
N_SUMS = 10
PRODUCT = LANES * N_SUMS  # of 1 + e^-|eta|, over so many lines as float64 has room for: one logarithm for all
LINES = 1000
ONE_FEATURE = 6  # so many of them without v
SLOPE, INTERCEPT, SECOND = (LANES * place for place in range(3))


@kernel
def centred(scores, columns, half_middle, scale, out):
    """Columns of scores moved and scaled: (score / 2 - middle / 2) scale, in which nothing overflows; the rest is 0."""
    n_columns = columns.shape[0]
    for row in range(scores.shape[0]):
        for j in range(n_columns):
            out[row, j] = (0.5 * np.float64(scores[row, columns[j]]) - half_middle[j]) * scale[j]
        for j in range(n_columns, out.shape[1]):
            out[row, j] = 0.0


@inner
def _odds(score, least):
    """log p and -log(1 - p), neither of p nor of 1 - p less than ``least``, a normal number."""
    p = np.float64(score)
    q = 1.0 - p
    p = p if p > least else least
    q = q if q > least else least
    return log_normal(np.float64(p), 0.0), -log_normal(np.float64(q), 0.0)


@kernel
def log_odds(x, v, least):
    """Probabilities ``x`` (n,) in place: log p, and -log(1 - p) into ``v``; where that is None, the sum of both."""
    for i in range(x.shape[0]):
        first, second = _odds(x[i], least)
        if v is None:
            x[i] = first + second
        else:
            x[i] = first
            v[i] = second


@kernel
def add(x, v, weights, width, coefficients, sums):
    """Add what each number of ``x`` (and ``v``, or None) gives to its lane's ``sums`` ((N_SUMS + 1) LANES,).

    ``x``, ``v`` and ``weights`` (None: 1 each) are flat: lines of ``width`` lanes, the last one perhaps shorter.
    """
    n = x.shape[0]
    stretch = LINES * width
    for first_line in range(0, n, stretch):
        for lane in range(width):
            sums[PRODUCT + lane] = 1.0
        for start in range(first_line, min(first_line + stretch, n), width):
            for lane in range(min(width, n - start)):
                i = np.uintp(start + lane)
                first = x[i]
                eta = coefficients[SLOPE + lane] * first + coefficients[INTERCEPT + lane]
                if v is not None:
                    eta += coefficients[SECOND + lane] * v[i]
                e = exp(np.float64(-abs(eta)))
                inverse = 1.0 / (1.0 + e)
                p = (1.0 if eta >= 0.0 else e) * inverse
                h = e * inverse * inverse
                above = eta if eta > 0.0 else 0.0
                if weights is None:
                    sums[PRODUCT + lane] *= 1.0 + e
                else:
                    above = (above + log_normal(np.float64(1.0 + e), 0.0)) * weights[i]
                    p *= weights[i]
                    h *= weights[i]
                sums[SOFTPLUS + lane] += above
                sums[P + lane] += p
                sums[H + lane] += h
                sums[PX + lane] += p * first
                sums[HX + lane] += h * first
                sums[HXX + lane] += h * first * first
                if v is not None:
                    second = v[i]
                    sums[PV + lane] += p * second
                    sums[HV + lane] += h * second
                    sums[HXV + lane] += h * first * second
                    sums[HVV + lane] += h * second * second
        for lane in range(width):
            sums[SOFTPLUS + lane] += log_normal(np.float64(sums[PRODUCT + lane]), 0.0)


@inner
def sigmoid(eta):
    e = exp(np.float64(-abs(eta)))
    return (1.0 if eta >= 0.0 else e) / (1.0 + e)


@kernel
def sigmoids(scores, slope, intercept, out):
    """sigmoid(slope score + intercept) of each column (n, m), into float64."""
    n, n_columns = scores.shape
    if n_columns == 1:
        a, b = slope[0], intercept[0]
        for row in range(n):
            out[row, 0] = sigmoid(a * np.float64(scores[row, 0]) + b)
        return
    for row in range(n):
        for j in range(n_columns):
            out[row, j] = sigmoid(slope[j] * np.float64(scores[row, j]) + intercept[j])


@kernel
def beta(probs, least, a, b, c, out):
    """sigmoid(a log p - b log(1 - p) + c) of each column (n, m), into float64."""
    n, n_columns = probs.shape
    if n_columns == 1:
        first, second, rest = a[0], b[0], c[0]
        for row in range(n):
            x, v = _odds(probs[row, 0], least)
            out[row, 0] = sigmoid(first * x + second * v + rest)
        return
    for row in range(n):
        for j in range(n_columns):
            x, v = _odds(probs[row, j], least)
            out[row, j] = sigmoid(a[j] * x + b[j] * v + c[j])
