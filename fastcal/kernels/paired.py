"""Residuals of two models of the same rows, by the bins of both: what the variance of a difference is made of."""

from __future__ import annotations

import numpy as np

from .binning import bin_index, clipped
from .jit import kernel
from .pairs import add_pair, add_product, in_units

# Sums of squared weights, and of those times either residual and both, in pairs of floats.
WEIGHT2, LEFT, RIGHT, BOTH = range(4)
SUMS = 4


@kernel
def add(left, left_outcome, right, right_outcome, weights, cuts, table, cells):
    """Add rows to ``cells`` (bins of the left, bins of the right, SUMS, 2); no ``weights`` at all: each is 1.

    Residuals are outcome - confidence and, with their product, are rounded to multiples of 2^-62: sums of rows without
    weights, or with integer ones, have the same bits in any order.
    """
    for i in range(left.shape[0]):
        p, q = np.float64(left[i]), np.float64(right[i])
        cell = cells[bin_index(p, cuts, table), bin_index(q, cuts, table)]
        d = in_units(np.float64(left_outcome[i]) - clipped(p, 0.0, 1.0))
        e = in_units(np.float64(right_outcome[i]) - clipped(q, 0.0, 1.0))
        both = in_units(d * e)
        if weights.size > 0:
            w = weights[i] * weights[i]
            add_pair(cell[WEIGHT2], w, 0.0)
            add_product(cell[LEFT], w, d)
            add_product(cell[RIGHT], w, e)
            add_product(cell[BOTH], w, both)
        else:
            add_pair(cell[WEIGHT2], 1.0, 0.0)
            add_pair(cell[LEFT], d, 0.0)
            add_pair(cell[RIGHT], e, 0.0)
            add_pair(cell[BOTH], both, 0.0)
