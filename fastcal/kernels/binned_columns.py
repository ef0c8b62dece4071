"""Maps of one probability each, a class: columns taken out of rows, rows counted by bin, and values read off knots.

The map of a class is a list of *knots* that rise, each with its score, value, slope and the next one's value, as
lookup.py has them: straight lines of an isotonic fit, or the steps of bins, whose slope is 0. The last knot of a map is
an infinite score. Maps stand one after the other; a *table* for each says which knot lies below a cell of scores, so
that most scores need no search. Cells are those of a float64's leading bits: a softmax of many classes is as fine near
0 as anywhere else.
"""

from __future__ import annotations

import numpy as np

from .intrinsics import LINE, turn_tile
from .jit import inner, kernel
from .lookup import between
from .sorting import key_of

# The first knot of a map, and of so many the lowest, are in the first cell with what is below: a score of 0, and an
# outlier, lie any number of octaves away.
LOWEST = 512
NEAR = np.uintp(8)  # so many knots are tried one after the other
NEXT = np.uintp(1)
FEW = 8  # maps, too few for a vector of a row's


@kernel
def columns(rows, first, step, start, out):
    """Write columns of ``rows`` (n, C) from ``first`` on, clipped to [0, 1], each ``step`` numbers of ``out`` further.

    Row 0 goes to place ``start`` of its column. Tiles of a cache line squared are turned in registers, of a wide row;
    the last tile overlaps the one before. NaN becomes 0.
    """
    n, n_columns = rows.shape
    real = rows.dtype.type
    zero, one = real(0), real(1)
    width = out.shape[0] // step
    per = np.int64(LINE // rows.itemsize)
    whole = n // per * per if width >= per else np.int64(0)
    if whole > 0:
        for tile in range((width + per - 1) // per):
            k = min(tile * per, width - per)
            for i in range(0, whole, per):
                turn_tile(rows, i * n_columns + first + k, n_columns, out, k * step + start + i, step)
    for k in range(width):
        column = out[k * step + start : k * step + start + n]
        for i in range(whole, n):
            column[np.uintp(i)] = rows[i, first + k]
        for i in range(n):
            p = column[np.uintp(i)]
            p = p if p > zero else zero
            column[np.uintp(i)] = p if p < one else one


@kernel
def tabulate(scores, offsets, starts, where, table):
    """Fill the table of each map, and ``where`` (3, maps): the key its first cell begins at, bits of a cell, the last.

    Map k has the knots with ``scores`` (M,) from ``offsets[k]`` to the next, and the cells from ``starts[k]``: one less
    than it has entries, for each cell ends where the next one begins.
    """
    for k in range(offsets.shape[0] - 1):
        own = scores[offsets[k] : offsets[k + 1]]
        n = own.shape[0] - 1
        size = starts[k + 1] - starts[k]
        origin = key_of(np.float64(own[min(n // LOWEST + 1, n - 1)]))
        high = key_of(np.float64(own[n - 1]))
        step = np.int64(0)
        while ((high - origin) >> step) + 2 > size:
            step += 1
        where[0, k] = origin
        where[1, k] = step
        where[2, k] = size - 2
        knot = 0
        for cell in range(size):
            begin = origin + (np.int64(cell) << step)
            while knot + 1 < n and key_of(np.float64(own[knot + 1])) <= begin:
                knot += 1
            table[starts[k] + cell] = knot if cell > 0 else 0


@inner
def _cell(x, origin, step, most):
    """The cell of a score, of any number; ``most`` is the last one. The bits of one in [0, 1] are its key."""
    x = np.float64(x)
    x = x if x > 0.0 else 0.0  # NaN too
    away = np.float64(x if x < 1.0 else 1.0).view(np.int64) - origin
    away = away if away > 0 else np.int64(0)
    cell = np.int64(np.uint64(away) >> np.uint64(step))
    return cell if cell < most else most


@inner
def _cells(values, start, n, where, places):
    """The cells of so many rows from ``start`` on, in vectors: along rows, or down a few columns."""
    n_maps = values.shape[1]
    if n_maps < FEW:
        for k in range(n_maps):
            j = np.uintp(k)
            origin, step, most = where[0, j], where[1, j], where[2, j]
            for i in range(n):
                places[np.uintp(i), j] = np.int32(_cell(values[np.uintp(start + i), j], origin, step, most))
        return
    for i in range(n):
        row, own = values[start + i], places[i]
        for k in range(n_maps):
            j = np.uintp(k)
            own[j] = np.int32(_cell(row[j], where[0, j], where[1, j], where[2, j]))


@inner
def _knot(x, own, cell, cells):
    """The last knot that is not above ``x``; the first one is not, whatever it is.

    Two knots more are tried by adding them: whether one lies between the beginning of a cell and a score is hard to
    predict, whether a third does is not (17 -> 3 ns with as many knots as 1 % of the rows).
    """
    low = np.uintp(cells[np.uintp(cell)])
    low += np.uintp(own[low + NEXT] <= x)
    low += np.uintp(own[low + NEXT] <= x)
    if own[low + NEXT] <= x:
        high = np.uintp(cells[np.uintp(cell) + NEXT])
        while high > low + NEAR:
            middle = (low + high) >> NEXT
            if own[middle] <= x:
                low = middle
            else:
                high = middle - NEXT
        while own[low + NEXT] <= x:
            low += NEXT
    return low


@kernel
def apply(values, knots, steps, scores, offsets, starts, where, table, places, out):
    """Fill ``out`` (n, maps): each column of ``values`` by its own map; outside the knots the nearest one's value.

    ``steps`` (M,), the values of the knots where all slopes are 0, or None. The cells of some rows are found first,
    into the scratch ``places`` (rows, maps): 4.3 -> 2.0 ns a value of steps.
    """
    n, n_maps = values.shape
    for start in range(0, n, places.shape[0]):
        size = min(places.shape[0], n - start)
        _cells(values, start, size, where, places)
        for k in range(n_maps):
            lines = knots[offsets[k] : offsets[k + 1]]
            own = scores[offsets[k] : offsets[k + 1]]
            cells = table[starts[k] : starts[k + 1]]
            low = own[0]
            for i in range(size):
                at = np.uintp(start + i)
                x = np.float64(values[at, np.uintp(k)])
                x = x if x > low else low  # NaN too: no place is read that is not there
                x = x if x < 1.0 else 1.0
                knot = _knot(x, own, places[np.uintp(i), np.uintp(k)], cells)
                if steps is None:
                    out[at, np.uintp(k)] = between(x, lines, knot)
                else:
                    out[at, np.uintp(k)] = steps[np.uintp(offsets[k]) + knot]


@kernel
def count(values, labels, weights, label, scores, offsets, starts, where, table, places, sums):
    """Add rows to ``sums`` (maps, bins, 2): the weights of each bin's rows, and of those with the map's label.

    Map 0 is of ``label``, the next ones of the next. ``weights`` may be None: 1 each. Nearly all rows of a map of many
    classes are in the first bin: its sums stay in registers. Scratch ``places`` as of :func:`apply`.
    """
    n, n_maps = values.shape
    for start in range(0, n, places.shape[0]):
        size = min(places.shape[0], n - start)
        _cells(values, start, size, where, places)
        for k in range(n_maps):
            own = scores[offsets[k] : offsets[k + 1]]
            cells = table[starts[k] : starts[k + 1]]
            total, hits = sums[k, 0, 0], sums[k, 0, 1]
            for i in range(size):
                at = np.uintp(start + i)
                x = np.float64(values[at, np.uintp(k)])
                x = x if x < 1.0 else 1.0
                j = _knot(x, own, places[np.uintp(i), np.uintp(k)], cells)
                weight = 1.0
                if weights is not None:
                    weight = weights[at]
                hit = weight if labels[at] == label + k else 0.0
                if j == np.uintp(0):
                    total += weight
                    hits += hit
                else:
                    sums[k, j, 0] += weight
                    sums[k, j, 1] += hit
            sums[k, 0, 0] = total
            sums[k, 0, 1] = hits


@kernel
def slots(column, scores, origin, step, table, places, counts, ends):
    """Rows of a column in the slots that ``scores`` begin, those of one map: how many, and the largest.

    Cells of a block of rows are found first, in vectors, into the scratch ``places`` (4.2 -> 3.4 ns a row).
    """
    most = np.int64(table.shape[0] - 2)
    for start in range(0, column.shape[0], places.shape[0]):
        n = min(places.shape[0], column.shape[0] - start)
        for i in range(n):
            places[np.uintp(i)] = _cell(column[np.uintp(start + i)], origin, step, most)
        for i in range(n):
            value = column[np.uintp(start + i)]
            slot = _knot(np.float64(value), scores, places[np.uintp(i)], table)
            counts[slot] += np.int64(1)
            end = ends[slot]
            ends[slot] = value if value > end else end
