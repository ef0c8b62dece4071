"""Rows into bins by confidence: counts, outcomes and exact sums of confidence.

A bin is (lo, hi], the first also holds 0. The index is computed from the uniform width and then mended by at most one
against the stored edges, so that it equals ``np.searchsorted(edges, p, side="left") - 1``.

A confidence p in [0, 1] is summed as the integer p 2^62 (exact for float32 from 2^-38 up and for float64 from 2^-9 up,
rounded to 2^-63 below), split in two so that 2^31 rows cannot overflow either half.
"""

from __future__ import annotations

import numpy as np

from .exact import add_one
from .jit import kernel

# What a cell holds: one cache line's half, so that a row touches one line.
COUNT, HITS, LOW, HIGH = range(4)
SCALE_BITS = 62
_SCALE = 2.0**SCALE_BITS


@kernel
def bin_index(p, edges):
    """Bin of ``p`` among near-uniform ``edges`` of [0, 1]; whatever ``p`` is, the index is one of a bin."""
    last = np.int64(edges.shape[0] - 2)
    wide = np.float64(p)
    if not wide > 0.0:
        return np.uintp(0)
    if wide >= 1.0:
        return np.uintp(last)
    j = min(np.int64(wide * (last + 1)), last)
    below = np.int64(wide <= edges[np.uintp(j)])
    above = np.int64(wide > edges[np.uintp(j + 1)])
    return np.uintp(j - below + above)


@kernel
def add(confidence, outcome, edges, cells):
    """Add rows to ``cells`` (copies, bins, 4); NaN is passed over.

    Neighbouring rows go to different copies of the bins: when most rows fall into one bin (an overconfident model), an
    add would else wait for the store of the one before.
    """
    n_copies = np.uintp(cells.shape[0] - 1)  # a power of two, less one: a mask
    for i in range(confidence.shape[0]):
        p = confidence[i]
        if np.isnan(p):
            continue
        cell = cells[np.uintp(i) & n_copies, bin_index(p, edges)]
        fixed = np.int64(np.rint(np.float64(p) * _SCALE))
        cell[COUNT] += 1
        cell[HITS] += np.int64(outcome[i])
        cell[LOW] += fixed & np.int64(0xFFFFFFFF)
        cell[HIGH] += fixed >> np.int64(32)


@kernel
def add_weighted(confidence, outcome, weights, edges, count, sums):
    """Add weighted rows: ``count`` (bins,), and exact ``sums`` (3, bins, limbs) of w, w outcome and w confidence."""
    for i in range(confidence.shape[0]):
        p = confidence[i]
        w = weights[i]
        if np.isnan(p):
            continue
        bin_ = bin_index(p, edges)
        count[bin_] += 1
        add_one(w, sums[0, bin_])
        if outcome[i] != 0:
            add_one(w, sums[1, bin_])
        add_one(w * np.float64(p), sums[2, bin_])
