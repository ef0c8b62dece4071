"""Both isotonic fits of Venn-Abers predictors for every test score at once, and the look-up of a pair.

Of m groups of equal scores let P_k = (zeros, ones) be the sums of the first k. The isotonic fit is the slope of the
lower hull of P_0 .. P_m. One more object of label 1 in group i moves the points from P_i on by (0, 1), or, which is the
same, those before it down by (0, 1); the fitted value of the group is the slope of the *bridge*, the common tangent of
the points before and the points after. As i grows, its left end jumps to the newest point or stays, and its right end
moves on over the hull of the later points, never back: all m bridges take O(m) (Vovk, Petej, Fedorova 2015,
"Large-scale probabilistic predictors with and without guarantees of validity", algorithms 1 to 4, told anew).
"""

from __future__ import annotations

import numpy as np

from .grouping import two_sums
from .jit import inner, kernel
from .sorting import key_of

ONE = np.uint64(1)
KNOT, UP_TO, BELOW, FROM = range(4)


@inner
def _apart(points, rests, start, stop, column):
    """What lies between two points, of one coordinate."""
    found = points[stop, column] - points[start, column]
    if rests is not None:
        found += rests[stop, column] - rests[start, column]
    return found


@inner
def _steeper_first(points, rests, corner, near, far, lift):
    """Whether the way from a corner to the nearer point is no less steep than that to the farther one."""
    near_x, near_y = _apart(points, rests, corner, near, 0), _apart(points, rests, corner, near, 1) + lift
    far_x, far_y = _apart(points, rests, corner, far, 0), _apart(points, rests, corner, far, 1) + lift
    return near_y * far_x >= far_y * near_x


@kernel
def cumulate(sums, points, rests):
    """Points of groups of floats in two parts (m, 4): high parts in ``points`` (m + 1, 2), low ones in ``rests``."""
    for column in range(2):
        high, low = 0.0, 0.0
        points[0, column] = 0.0
        rests[0, column] = 0.0
        for i in range(sums.shape[0]):
            high, low = two_sums(high, low, sums[i, 2 * column], sums[i, 2 * column + 1])
            points[i + 1, column] = high
            rests[i + 1, column] = low


@kernel
def bridges(points, rests, one, mirrored, stack, values):
    """The value of each group when it has one more object of label 1: ``values`` (m,), rising.

    ``points`` (m + 1, 2) hold the sums before each group, counts below 2^31 (then all comparisons are exact, ``rests``
    is None) or the high parts of floats in two parts, ``rests`` the low ones; ``one`` is 1 in their type.
    ``mirrored``: groups come from the last to the first with labels changed, and what is wanted is the
    value with one more object of label 0. ``stack`` (m,) is room.
    """
    m = points.shape[0] - 1
    zero = one - one
    top = np.int64(-1)
    for k in range(m, 0, -1):  # the hull of the points after the first, its left end on top
        while top > 0 and _steeper_first(points, rests, k, stack[top], stack[top - 1], zero):
            top -= 1
        top += 1
        stack[top] = k
    left = np.int64(0)
    for i in range(m):
        moved = i == 0
        if i > 0:
            x, y = _apart(points, rests, left, stack[top], 0), _apart(points, rests, left, stack[top], 1) + one
            new_x, new_y = _apart(points, rests, left, i, 0), _apart(points, rests, left, i, 1)
            moved = new_y * x < y * new_x
        if moved:
            left = np.int64(i)
            while top > 0 and _steeper_first(points, rests, left, stack[top], stack[top - 1], one):
                top -= 1
        x, y = _apart(points, rests, left, stack[top], 0), _apart(points, rests, left, stack[top], 1) + one
        if mirrored:
            values[m - 1 - i] = x / (x + y)
        else:
            values[i] = y / (x + y)


@kernel
def tabulate(steps, shift, table):
    """Fill ``table``: how many knots lie in the cells before each, a cell being the keys alike but for ``shift`` bits.

    Knots rise strictly. Cells count from the first knot's key; the table has one entry more than there are.
    """
    m = steps.shape[0] - 1
    origin = np.uint64(key_of(steps[0, KNOT]))
    cell = np.uint64(0)
    for i in range(m):
        own = (np.uint64(key_of(steps[i, KNOT])) - origin) >> shift
        while cell <= own:
            table[cell] = i
            cell += ONE
    table[cell] = m


@kernel
def pairs(scores, column, steps, shift, table, out):
    """Of each score in a column, the pair (p0, p1).

    ``steps`` (m + 1, 4): a knot, p1 up to it, p0 below it, and p0 from it on, what is looked at in one cache line; the
    last knot is inf, for scores above all others.
    """
    m = np.uint64(steps.shape[0] - 1)
    first, last = key_of(steps[0, KNOT]), key_of(steps[m - ONE, KNOT])
    for row in range(scores.shape[0]):
        score = np.float64(scores[row, column])
        key = key_of(score)
        below = np.uint64(0)  # knots below the score
        if key > last:
            below = m
        elif key > first:
            cell = (np.uint64(key) - np.uint64(first)) >> shift
            below = np.uint64(table[cell])
            size = np.uint64(table[cell + ONE]) - below
            while size > np.uint64(0):
                half = size >> ONE
                further = steps[below + half, KNOT] < score
                below += half + ONE if further else np.uint64(0)
                size = size - half - ONE if further else half
        out[row, 0] = steps[below, FROM] if steps[below, KNOT] == score else steps[below, BELOW]
        out[row, 1] = steps[below, UP_TO]
