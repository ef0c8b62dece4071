"""Values between knots: straight lines, found by a table over the leading bits of a score, then by halving.

A table with a few cells a knot leaves nothing to search for most scores: 5 ns a score on one thread where ``np.interp``
takes 50.
"""

from __future__ import annotations

import numpy as np

from .jit import inner, kernel
from .sorting import ONE, key_of

# Columns of the knots: score, value, slope up to the next knot, the next knot's value.
SCORE, VALUE, SLOPE, NEXT = range(4)
NEAR = np.uint64(8)  # so many knots are tried one after the other


@inner
def knot_below(score, cell, knots, table):
    """The last knot that is not above a score, of those that may be."""
    low, high = np.uint64(table[cell]), np.uint64(table[cell + ONE])
    # most cells hold one knot at most, and an addition is not mispredicted
    low += np.uint64(knots[low + ONE, SCORE] <= score)
    while high > low + NEAR:
        middle = (low + high) >> ONE
        if knots[middle, SCORE] <= score:
            low = middle
        else:
            high = middle - ONE
    while low < high and knots[low + ONE, SCORE] <= score:
        low += ONE
    return low


@inner
def on_line(score, low, value, slope, high, upper):
    """The value at a score on the line from (low, value) to (high, upper), never beyond the upper end's."""
    if np.isfinite(slope):
        found = value + slope * (score - low)
        return min(found, upper) if slope >= 0 else max(found, upper)
    # knots so near or so far that a slope is no float
    width = 0.5 * high - 0.5 * low
    share = 0.0
    if width > 0:
        share = (0.5 * score - 0.5 * low) / width
    return (1.0 - share) * value + share * upper


@inner
def between(score, knots, knot):
    """The value on the line from a knot to the next, never beyond the next one's."""
    low, value, slope, upper = knots[knot, SCORE], knots[knot, VALUE], knots[knot, SLOPE], knots[knot, NEXT]
    return on_line(score, low, value, slope, knots[knot + ONE, SCORE], upper)


@kernel
def interpolate(scores, in_order, low, high, origin, step, table, knots, clip, out):
    """Fill ``out``; scores below key ``low`` or above ``high`` get the nearest knot's value (``clip``) or NaN.

    ``table`` holds, for each cell of keys from ``origin``, the last knot that is not above its beginning; what is below
    ``origin`` falls in the first cell, which holds knot 0. ``in_order`` (True or None): most scores lie between the
    same knots as the one before.
    """
    last = knots.shape[0] - 1
    knot = np.uint64(0)
    for i in range(scores.shape[0]):
        score = scores[i]
        key = key_of(score)
        if low <= key < high:
            # twice as fast where scores come in order, but half as slow again where they do not
            if in_order is None or not (knots[knot, SCORE] <= score < knots[knot + ONE, SCORE]):
                cell = np.uint64(max(key, origin) - origin) >> step
                knot = knot_below(score, cell, knots, table)
            out[i] = between(np.float64(score), knots, knot)
        elif key == high:
            out[i] = knots[last, VALUE]
        elif clip:
            out[i] = knots[0, VALUE] if key < low else knots[last, VALUE]
        else:
            out[i] = np.nan
