"""Whole rows of probabilities into cells: a class's bin is (lo, hi], a cell is a row's bins of all classes.

A row's key is its bins, a few bits each, packed into words. Cells stand in the order in which they were met; ``slots``,
open addressing by a hash of the key, says which cell is where, plus one, with 0 for none. Keys are compared whole: a
collision costs a look at the next slot and no more. A cell holds the sum of weights and, for each class, that of weight
times (outcome - p), as pairs (see pairs.py).
"""

from __future__ import annotations

import numpy as np

from .jit import inner, kernel
from .pairs import add_pair, add_product, in_units

WORD_BITS = 61  # of a word of a key: it is at most what a count of a state may be


@inner
def bin_of(p, edges):
    """``np.searchsorted(edges, p, "left") - 1`` of ``p`` in [0, 1], 0 for 0: from the width, mended by at most one.

    The width never gives too low a bin: of all edges of up to 2^14 bins, none is at fault (a test looks at them).
    """
    last = np.int64(edges.shape[0] - 2)
    j = min(np.int64(p * (last + 1)), last)
    return j - np.int64(p <= edges[np.uintp(j)] and j > 0)


@inner
def within(p):
    """``p``, or 0 or 1 where rounding took it beyond."""
    return min(max(np.float64(p), 0.0), 1.0)


@inner
def make_key(probs, edges, bits, key):
    """The key of one row, in ``key`` (words,)."""
    word = np.int64(0)
    shift = np.int64(0)
    place = 0
    for k in range(probs.shape[0]):
        if shift + bits > WORD_BITS:
            key[np.uintp(place)] = word
            place += 1
            word = np.int64(0)
            shift = np.int64(0)
        word |= bin_of(within(probs[k]), edges) << shift
        shift += bits
    key[np.uintp(place)] = word


@inner
def slot_of(key, keys, slots):
    """The slot of the cell of that key, or the free one where it belongs; there is a free one."""
    mixed = np.int64(0)
    for place in range(key.shape[0]):  # by 2^64 / golden ratio, as in Fibonacci hashing
        mixed = (mixed ^ key[place]) * np.int64(-7046029254386353131)
        mixed = mixed ^ (mixed >> np.int64(29))
    last = np.int64(slots.shape[0] - 1)  # a power of two, less one: a mask
    slot = mixed & last
    while slots[np.uintp(slot)] != 0:
        cell = np.uintp(slots[np.uintp(slot)] - 1)
        place = 0
        while place < key.shape[0] and keys[cell, np.uintp(place)] == key[np.uintp(place)]:
            place += 1
        if place == key.shape[0]:
            break
        slot = (slot + 1) & last
    return np.uintp(slot)


@kernel
def place_cells(keys, n_cells, slots):
    """Fill empty ``slots`` with the first ``n_cells`` cells of ``keys``, no two of which are equal."""
    for cell in range(n_cells):
        slots[slot_of(keys[cell], keys, slots)] = cell + 1


@kernel
def add(probs, labels, weights, confidence, edges, bits, start, key, slots, keys, weight, gaps, n_cells):
    """Add rows from ``start`` on to cells; returns the row for whose new cell there was no room, else how many rows.

    ``probs`` (N, K), taken as 0 or 1 beyond [0, 1]; empty ``weights``: each is 1. Rows of weight 0 or of a
    ``confidence`` of NaN are passed over. ``key`` (words,) is scratch; ``keys`` (capacity, words), ``weight``
    (capacity, 2) and ``gaps`` (capacity, K, 2) hold the cells, ``n_cells`` (1,) of them.
    """
    n, n_classes = probs.shape
    for row in range(start, n):
        if np.isnan(confidence[row]) or (weights.size > 0 and weights[row] == 0.0):
            continue
        make_key(probs[row], edges, bits, key)
        slot = slot_of(key, keys, slots)
        if slots[slot] == 0:
            if n_cells[0] == keys.shape[0]:
                return row
            for place in range(key.shape[0]):
                keys[np.uintp(n_cells[0]), np.uintp(place)] = key[np.uintp(place)]
            n_cells[0] += 1
            slots[slot] = n_cells[0]
        cell = np.uintp(slots[slot] - 1)
        gap = gaps[cell]
        w = weights[row] if weights.size > 0 else 1.0
        add_pair(weight[cell], w, 0.0)
        add_pair(gap[np.uintp(labels[row])], w, 0.0)
        if weights.size > 0:
            for k in range(n_classes):
                add_product(gap[np.uintp(k)], -w, in_units(within(probs[row, k])))
        else:
            for k in range(n_classes):
                add_pair(gap[np.uintp(k)], -in_units(within(probs[row, k])), 0.0)
    return n
