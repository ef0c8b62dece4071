"""The curvature of the negative log-likelihood of linear maps of logits: the whole Hessian, or what stands for it.

    H = sum over rows of share w (diag(p) - p p^T) times (z, 1) (z, 1)^T

Lines, scratch and padding as in linear.py; all is float64.
"""

from __future__ import annotations

import numpy as np

from .elementary import larger
from .jit import inner, kernel
from .linear import (
    LANES,
    SCORE,
    WEIGHT,
    add_lanes,
    fold,
    mapped,
    powers,
    scaled,
    spread,
    turned,
    unscaled,
)
from .products import add_product
from .rows import BLOCK

STRIP = 256  # rows whose products with a class's curvature are taken at once


@inner
def _upright(lines, n_lines, width, rows):
    """Lines of numbers as rows ``width`` apart."""
    for k in range(n_lines):
        for i in range(BLOCK):
            rows[np.uintp(i * width + k)] = lines[np.uintp(k * BLOCK + i)]


@kernel
def curvature(scores, weights, share, weight, bias, full, lines, u, few, lanes, m, m_rows, x_rows, outer, diagonal):
    """Add what the Hessian of the NLL consists of, the sum over rows of share w (diag(p) - p p^T) times z z^T.

    Parameters are the rows of (W, b) one after the other where ``full``, else w and then b; ``m`` holds p_j z_a of each
    of these P, a line each. ``outer`` (P, P) gets the sum of share w m m^T, its upper triangle, ``diagonal`` (P, K + 1)
    that of share w m (z, 1)^T, or (3 K,) those of share w p_k times z_k^2, z_k and 1 where not ``full``; both are flat,
    of rows to a multiple of TILE_ROWS and widths to a multiple of 8. ``lanes`` (3 K LANES,) holds zeros.
    """
    n_classes = bias.shape[0]
    n_more = n_classes + 1
    n_parameters = n_classes * n_more if full else 2 * n_classes
    width = (n_parameters + 7) // 8 * 8
    narrow = (n_more + 7) // 8 * 8
    for first in range(0, scores.shape[0], BLOCK):
        left = scores.shape[0] - first
        n = BLOCK if left > BLOCK else left
        turned(scores, first, n_classes, lines)
        unscaled(few)
        for i in range(BLOCK):
            few[WEIGHT + i] = weights[first + i] * share if i < n else 0.0
        if full:
            mapped(lines, weight, bias, n_classes, few, u)
        else:
            scaled(lines, weight, bias, n_classes, few, u)
        powers(u, n_classes, -777.0, few)
        spread(u, n_classes, few)
        for i in range(BLOCK):
            lines[np.uintp(n_classes * BLOCK + i)] = 1.0
        for k in range(n_parameters):
            j = k // n_more if full else k % n_classes
            a = k % n_more if full else (k if k < n_classes else n_classes)
            for i in range(BLOCK):
                m[np.uintp(k * BLOCK + i)] = u[np.uintp(j * BLOCK + i)] * lines[np.uintp(a * BLOCK + i)]
        _upright(m, n_parameters, width, m_rows)
        _upright(lines, n_more, narrow, x_rows)
        for k in range(n_parameters):
            for i in range(BLOCK):
                m[np.uintp(k * BLOCK + i)] *= few[WEIGHT + i]
        add_product(n_parameters, n_parameters, m, BLOCK, 1, m_rows, 0, width, outer, width, n, True)
        if full:
            add_product(n_parameters, n_more, m, BLOCK, 1, x_rows, 0, narrow, diagonal, narrow, n, False)
        else:
            add_lanes(m, lines, n_classes, lanes, np.int64(0))
            add_lanes(m, None, 2 * n_classes, lanes, np.int64(n_classes * LANES))
    if not full:
        fold(lanes, 3 * n_classes, diagonal, 0)


@kernel
def factors(scores, weights, share, weight, bias, lines, u, few, x_rows, p_rows, among, between, sums):
    """Add the factors that stand for the Hessian of (W, b) where it is large.

    Of both products the upper triangle: ``among`` (K, K) gets the sum over rows of share w p p^T, ``between`` (K + 1,
    K + 1) that of share w s (z, 1) (z, 1)^T with s = 1 - sum_k p_k^2, ``sums`` (K + 1,) that of share w p_k and of
    share w s. Flat, padded as above.
    """
    n_classes = bias.shape[0]
    n_more = n_classes + 1
    narrow = (n_more + 7) // 8 * 8
    for first in range(0, scores.shape[0], BLOCK):
        left = scores.shape[0] - first
        n = BLOCK if left > BLOCK else left
        turned(scores, first, n_classes, lines)
        unscaled(few)
        for i in range(BLOCK):
            few[WEIGHT + i] = weights[first + i] * share if i < n else 0.0
            few[SCORE + i] = 1.0
        mapped(lines, weight, bias, n_classes, few, u)
        powers(u, n_classes, -777.0, few)
        spread(u, n_classes, few)
        _upright(u, n_classes, narrow, p_rows)
        for k in range(n_classes):
            for i in range(BLOCK):
                at = np.uintp(k * BLOCK + i)
                few[SCORE + i] -= u[at] * u[at]
                u[at] *= few[WEIGHT + i]
                sums[k] += u[at]
        add_product(n_classes, n_classes, u, BLOCK, 1, p_rows, 0, narrow, among, narrow, n, True)
        for i in range(BLOCK):
            lines[np.uintp(n_classes * BLOCK + i)] = 1.0
            few[SCORE + i] = larger(0.0, few[SCORE + i]) * few[WEIGHT + i]
            sums[n_classes] += few[SCORE + i]
        _upright(lines, n_more, narrow, x_rows)
        for k in range(n_more):
            for i in range(BLOCK):
                lines[np.uintp(k * BLOCK + i)] *= few[SCORE + i]
        add_product(n_more, n_more, lines, BLOCK, 1, x_rows, 0, narrow, between, narrow, n, True)


@kernel
def class_hessian(p, weights, share, z, z_rows, few, a, hessian):
    """Add to ``hessian`` (K + 1, K + 1), flat, the upper triangle of the sum of share w p (1 - p) (z, 1) (z, 1)^T.

    ``p`` (N,) of one class; ``z`` (K + 1, N), a line of ones last, is ``z_rows`` by row, flat and padded. Scratch:
    ``few`` (STRIP,), ``a`` (K + 1, STRIP), flat and padded.
    """
    n_more = z.shape[0]
    narrow = (n_more + 7) // 8 * 8
    n_rows = weights.shape[0]
    for first in range(0, n_rows, STRIP):
        n = n_rows - first if n_rows - first < STRIP else STRIP
        for i in range(n):
            one = p[first + i]
            few[i] = one * (1.0 - one) * weights[first + i] * share
        for k in range(n_more):
            for i in range(n):
                a[np.uintp(k * STRIP + i)] = z[k, np.uintp(first + i)] * few[np.uintp(i)]
        add_product(n_more, n_more, a, STRIP, 1, z_rows, first * narrow, narrow, hessian, narrow, n, True)
