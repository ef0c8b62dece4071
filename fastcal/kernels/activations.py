"""Euclidean norms of rows, in float64, with neither overflow nor underflow on the way."""

from __future__ import annotations

import numpy as np

from .halves import widen
from .jit import kernel

LANES = 32
SMALLEST = 1e-280  # a sum of squares below this has lost digits


@kernel
def norms(rows, lanes, out):
    """The norm of each row (n, H) of floats or half floats; NaN where an entry is not finite.

    ``lanes`` (LANES,) float64 is scratch: so many partial sums take vectors.
    """
    n_rows, width = rows.shape
    whole = width - width % LANES
    for n in range(n_rows):
        row = rows[n]
        total = 0.0
        for k in range(whole, width):
            x = np.float64(widen(row[np.uintp(k)]))
            total += x * x
        if whole:
            for i in range(LANES):
                lanes[i] = 0.0
            for k in range(0, whole, LANES):
                for i in range(LANES):
                    x = np.float64(widen(row[np.uintp(k + i)]))
                    lanes[i] += x * x
            for i in range(LANES):
                total += lanes[i]
        if SMALLEST < total < np.inf:
            out[n] = np.sqrt(total)
            continue
        largest = 0.0
        for k in range(width):
            x = abs(np.float64(widen(row[k])))
            largest = x if x > largest else largest
        total = 0.0
        for k in range(width):
            x = np.float64(widen(row[k])) / (largest if largest > 0.0 else 1.0)
            total += x * x
        out[n] = largest * np.sqrt(total)
