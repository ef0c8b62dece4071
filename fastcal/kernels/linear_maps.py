"""Probabilities of linear maps of logits: the softmax is taken of a product while that is in the cache.

Scratch as in linear.py, of the scores' dtype; ``rows`` (BLOCK K + LINE,) for the results of a block.
"""

from __future__ import annotations

import numpy as np

from .elementary import larger
from .intrinsics import LINE, turn_tile
from .jit import inner, kernel
from .linear import INVERSE, MAXIMUM, SCALE, log_softmax, mapped, powers, scaled, spread, turned, unscaled
from .rows import BLOCK


@inner
def _shrunk(lines, n_classes, few):
    """Divide rows by their largest number, which SCALE keeps."""
    for i in range(BLOCK):
        few[MAXIMUM + i] = 1.0
    for k in range(n_classes):
        for i in range(BLOCK):
            few[MAXIMUM + i] = larger(few[MAXIMUM + i], abs(lines[np.uintp(k * BLOCK + i)]))
    for i in range(BLOCK):
        few[SCALE + i] = few[MAXIMUM + i]
        few[INVERSE + i] = 1.0 / few[MAXIMUM + i]
    for k in range(n_classes):
        for i in range(BLOCK):
            lines[np.uintp(k * BLOCK + i)] *= few[INVERSE + i]


@inner
def _put(u, n_classes, first, n, rows, out):
    """Lines as rows of ``out``; of a binary one the second line."""
    n_columns = out.shape[1]
    if n_columns < n_classes:
        for i in range(n):
            out[first + i, 0] = u[np.uintp(BLOCK + i)]
        return
    per = np.int64(LINE // u.itemsize)
    # A tile spills over into the row after: those of the last classes come first.
    for k in range((n_classes - 1) // per * per, -1, -per):
        for i in range(0, BLOCK, per):
            turn_tile(u, k * BLOCK + i, np.int64(BLOCK), rows, i * n_classes + k, n_classes)
    for i in range(n):
        for k in range(n_classes):
            out[first + i, k] = rows[np.uintp(i * n_classes + k)]


@kernel
def probabilities(scores, weight, bias, full, normalised, lowest, lines, u, few, rows, out):
    """softmax(W z + b) of rows where ``full``, else of w_k z_k + b_k, into ``out`` (n, C), which may be ``scores``.

    Where products overflow, of scores of 1e300 say, the 64 rows around are divided by their largest score first: the
    softmax is that of the exact products, to rounding. ``normalised``: of log-softmax(z) for z.
    """
    n_classes = bias.shape[0]
    for first in range(0, scores.shape[0], BLOCK):
        left = scores.shape[0] - first
        n = BLOCK if left > BLOCK else left
        turned(scores, first, n_classes, lines)
        if normalised:
            log_softmax(lines, n_classes, lowest, few, u)
        unscaled(few)
        shrunk = False
        while True:
            if full:
                mapped(lines, weight, bias, n_classes, few, u)
            else:
                scaled(lines, weight, bias, n_classes, few, u)
            if powers(u, n_classes, lowest, few) or shrunk:
                break
            _shrunk(lines, n_classes, few)
            shrunk = True
        spread(u, n_classes, few)
        _put(u, n_classes, first, n, rows, out)
