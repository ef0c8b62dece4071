"""Linear maps of logits before a softmax: sums of their negative log-likelihood, and their probabilities.

    u = W z + b, or u_k = w_k z_k + b_k        p = softmax(u)        NLL = log sum_k e^(u_k) - u_y

Rows are taken 64 at a time and turned, so that line k holds class k of all of them, and vectors run across rows for any
number of classes. Products of matrices are sums in registers over lines that the second-level cache holds.

Scratch is of the scores' dtype, flat, of lines of BLOCK numbers: ``lines`` of K + 16 classes, ``u`` of as many; ``few``
(FEW,). ``scores`` are (n, K) or, binary, (n, 1): z stands for the row (0, z).
"""

from __future__ import annotations

import numpy as np

from .elementary import LOWERED, exp_lifted, larger, log
from .gather import turn_tiles
from .jit import inner, kernel
from .products import add_product
from .rows import BLOCK

# Numbers of a row: a line each of ``few``. A row may have been divided by SCALE, so that its products are finite.
MAXIMUM, TOTAL, SCALE, INVERSE, WEIGHT, LABEL, SCORE = (BLOCK * place for place in range(7))
FEW = SCORE + BLOCK
LANES = 16  # partial sums a class


@inner
def turned(scores, first, n_classes, lines):
    """Write rows from ``first`` on, a line a class; past the last row it is repeated."""
    last = scores.shape[0] - 1
    if scores.shape[1] < n_classes:
        for i in range(BLOCK):
            lines[i] = 0.0
            lines[BLOCK + i] = scores[first + i if first + i < last else last, 0]
    elif not turn_tiles(scores, np.int64(first * n_classes), n_classes, lines):
        for i in range(BLOCK):
            row = first + i if first + i < last else last
            for k in range(n_classes):
                lines[np.uintp(k * BLOCK + i)] = scores[row, k]


@inner
def _take(labels, weights, first, n_classes, few):
    """WEIGHT and LABEL of rows: rows past the last have weight 0; returns how many rows there are."""
    left = labels.shape[0] - first
    n = BLOCK if left > BLOCK else left
    for i in range(BLOCK):
        here = i < n
        few[WEIGHT + i] = weights[first + i] if here else 0.0
        few[LABEL + i] = labels[first + i] if here else 0
    return n


@inner
def unscaled(few):
    for i in range(BLOCK):
        few[SCALE + i] = 1.0
        few[INVERSE + i] = 1.0


@inner
def scaled(lines, weight, bias, n_classes, few, u):
    """u = w z + b."""
    for k in range(n_classes):
        w = weight[k]
        b = bias[k]
        for i in range(BLOCK):
            at = np.uintp(k * BLOCK + i)
            u[at] = w * lines[at] + b * few[INVERSE + i]


@inner
def mapped(lines, weight, bias, n_classes, few, u):
    """u = W z + b, W with rows of zeros to the next multiple of TILE_ROWS."""
    for k in range(n_classes):
        b = bias[k]
        for i in range(BLOCK):
            u[np.uintp(k * BLOCK + i)] = b * few[INVERSE + i]
    add_product(n_classes, BLOCK, weight, n_classes, 1, lines, 0, BLOCK, u, BLOCK, n_classes, False)


@inner
def powers(u, n_classes, lowest, few):
    """u becomes the lifted e^(SCALE (u - MAXIMUM)), TOTAL their sum; returns whether all are numbers."""
    real = u.dtype.type
    for i in range(BLOCK):
        few[MAXIMUM + i] = u[i]
        few[TOTAL + i] = 0.0
    for k in range(1, n_classes):
        for i in range(BLOCK):
            few[MAXIMUM + i] = larger(few[MAXIMUM + i], u[np.uintp(k * BLOCK + i)])
    for k in range(n_classes):
        for i in range(BLOCK):
            at = np.uintp(k * BLOCK + i)
            d = (u[at] - few[MAXIMUM + i]) * few[SCALE + i]
            d = lowest if d < lowest else d
            e = exp_lifted(d, real(1), real(0))
            u[at] = e
            few[TOTAL + i] += e
    fine = np.int64(0)
    for i in range(BLOCK):
        fine += np.int64(few[TOTAL + i] < np.inf)
    return fine == BLOCK


@inner
def log_softmax(lines, n_classes, lowest, few, u):
    """Take the logarithm of the sum of e^z from each row."""
    real = u.dtype.type
    for i in range(n_classes * BLOCK):
        u[np.uintp(i)] = lines[np.uintp(i)]
    unscaled(few)
    powers(u, n_classes, lowest, few)
    for i in range(BLOCK):
        few[TOTAL + i] = log(few[TOTAL + i] * real(LOWERED))
    least = -np.finfo(u.dtype).max
    for k in range(n_classes):
        for i in range(BLOCK):
            at = np.uintp(k * BLOCK + i)
            z = (lines[at] - few[MAXIMUM + i]) - few[TOTAL + i]
            lines[at] = larger(least, z)


@inner
def _likelihood(u, n_classes, share, few, counts):
    """u becomes e^u, TOTAL share w over its sum; ``counts`` gets share w NLL, and 1 for each row of p_y <= 1/2."""
    for i in range(BLOCK):
        few[SCORE + i] = u[np.uintp(np.int64(few[LABEL + i]) * BLOCK + i)]
    powers(u, n_classes, -777.0, few)
    nll = 0.0
    for i in range(BLOCK):
        few[SCORE + i] = log(few[TOTAL + i] * LOWERED) + (few[MAXIMUM + i] - few[SCORE + i])
    for i in range(BLOCK):
        w = few[WEIGHT + i] * share
        nll += w * few[SCORE + i] if w > 0.0 else 0.0
        e = u[np.uintp(np.int64(few[LABEL + i]) * BLOCK + i)]
        counts[1] += np.int64(w > 0.0 and not e + e > few[TOTAL + i])
    for i in range(BLOCK):
        few[TOTAL + i] = few[WEIGHT + i] * share / few[TOTAL + i]
    counts[0] += nll


@inner
def _residuals(u, n_classes, n, share, few):
    """u becomes share w (p - [y = k]), from its powers."""
    for k in range(n_classes):
        for i in range(BLOCK):
            u[np.uintp(k * BLOCK + i)] *= few[TOTAL + i]
    for i in range(n):
        u[np.uintp(np.int64(few[LABEL + i]) * BLOCK + i)] -= few[WEIGHT + i] * share


@inner
def _add_gradients(u, lines, n_classes, n, share, few, lanes, size, sums):
    """Add share w (p - [y = k]) z, and the same without z ``size`` further, in one go over the powers u."""
    for k in range(n_classes):
        for i in range(LANES):
            at = k * BLOCK + i
            a = u[np.uintp(at)] * few[TOTAL + i]
            b = u[np.uintp(at + LANES)] * few[TOTAL + LANES + i]
            c = u[np.uintp(at + 2 * LANES)] * few[TOTAL + 2 * LANES + i]
            d = u[np.uintp(at + 3 * LANES)] * few[TOTAL + 3 * LANES + i]
            lanes[np.uintp(size + k * LANES + i)] += (a + b) + (c + d)
            a = a * lines[np.uintp(at)] + b * lines[np.uintp(at + LANES)]
            c = c * lines[np.uintp(at + 2 * LANES)] + d * lines[np.uintp(at + 3 * LANES)]
            lanes[np.uintp(k * LANES + i)] += a + c
    for i in range(n):
        y = np.int64(few[LABEL + i])
        w = few[WEIGHT + i] * share
        sums[2 + y] -= w * lines[np.uintp(y * BLOCK + i)]
        sums[2 + n_classes + y] -= w


@inner
def add_lanes(u, lines, n_classes, lanes, offset):
    """lanes += the product of both, or u alone where ``lines`` is None."""
    for k in range(n_classes):
        for i in range(LANES):
            at = k * BLOCK + i
            a = u[np.uintp(at)]
            b = u[np.uintp(at + LANES)]
            c = u[np.uintp(at + 2 * LANES)]
            d = u[np.uintp(at + 3 * LANES)]
            if lines is not None:
                a = a * lines[np.uintp(at)]
                b = b * lines[np.uintp(at + LANES)]
                c = c * lines[np.uintp(at + 2 * LANES)]
                d = d * lines[np.uintp(at + 3 * LANES)]
            lanes[np.uintp(offset + k * LANES + i)] += (a + b) + (c + d)


@inner
def fold(lanes, n, into, start):
    for k in range(n):
        total = 0.0
        for i in range(LANES):
            total += lanes[np.uintp(k * LANES + i)]
            lanes[np.uintp(k * LANES + i)] = 0.0
        into[start + k] += total


@inner
def spread(u, n_classes, few):
    """u becomes p, from its powers; few[WEIGHT] stays."""
    for i in range(BLOCK):
        few[TOTAL + i] = 1.0 / few[TOTAL + i]
    for k in range(n_classes):
        for i in range(BLOCK):
            u[np.uintp(k * BLOCK + i)] *= few[TOTAL + i]


@kernel
def vector_sums(scores, labels, weights, share, weight, bias, curved, lines, u, few, lanes, sums):
    """Add to ``sums``: NLL, rows that have p_y <= 1/2, the gradient in w and in b, and curvatures where ``curved``.

    All are sums over rows of share times the row's weight; curvatures, of q = p (1 - p): q z^2, q z and q of each
    class. ``lanes`` (2 K LANES,) holds zeros. float64.
    """
    n_classes = weight.shape[0]
    size = np.int64(n_classes * LANES)
    for first in range(0, labels.shape[0], BLOCK):
        n = _take(labels, weights, first, n_classes, few)
        turned(scores, first, n_classes, lines)
        unscaled(few)
        scaled(lines, weight, bias, n_classes, few, u)
        if curved:
            powers(u, n_classes, -777.0, few)
            spread(u, n_classes, few)
            for k in range(n_classes):
                for i in range(BLOCK):
                    at = np.uintp(k * BLOCK + i)
                    z = lines[at]
                    q = u[at] * (1.0 - u[at]) * few[WEIGHT + i] * share
                    sums[2 + 2 * n_classes + k] += q * z * z
                    sums[2 + 3 * n_classes + k] += q * z
                    sums[2 + 4 * n_classes + k] += q
            continue
        _likelihood(u, n_classes, share, few, sums)
        _add_gradients(u, lines, n_classes, n, share, few, lanes, size, sums)
    if not curved:
        fold(lanes, 2 * n_classes, sums, 2)


@kernel
def matrix_sums(scores, flat, labels, weights, share, weight, bias, normalised, lines, rows, u, few, lanes, g, sums):
    """Add to ``sums``: NLL, rows that have p_y <= 1/2, the gradient in b and in W.

    ``flat`` is all numbers of ``scores``, and LINE bytes more; where ``normalised``, the map is of log-softmax(z).
    ``weight`` is flat, of K rows and zeros to a multiple of TILE_ROWS; ``rows`` BLOCK (K + 8) numbers; ``g`` as many
    rows as ``weight`` of K numbers, to a multiple of 8.
    """
    n_classes = bias.shape[0]
    width = (n_classes + 7) // 8 * 8
    as_given = scores.shape[1] == n_classes and not normalised
    g[:] = 0.0
    for first in range(0, labels.shape[0], BLOCK):
        n = _take(labels, weights, first, n_classes, few)
        turned(scores, first, n_classes, lines)
        if normalised:
            log_softmax(lines, n_classes, -777.0, few, u)
        unscaled(few)
        mapped(lines, weight, bias, n_classes, few, u)
        _likelihood(u, n_classes, share, few, sums)
        _residuals(u, n_classes, n, share, few)
        add_lanes(u, None, n_classes, lanes, np.int64(0))
        if as_given:
            add_product(n_classes, n_classes, u, BLOCK, 1, flat, first * n_classes, n_classes, g, width, n, False)
        else:
            for k in range(n_classes):
                for i in range(BLOCK):
                    rows[np.uintp(i * n_classes + k)] = lines[np.uintp(k * BLOCK + i)]
            add_product(n_classes, n_classes, u, BLOCK, 1, rows, 0, n_classes, g, width, n, False)
    fold(lanes, n_classes, sums, 2)
    for k in range(n_classes):
        for j in range(n_classes):
            sums[2 + n_classes + k * n_classes + j] += g[k * width + j]
