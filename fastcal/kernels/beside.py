"""Columns set side by side as rows."""

from __future__ import annotations

import numpy as np

from .intrinsics import LINE, turn_tile
from .jit import kernel


@kernel
def beside(lines, step, n, n_columns, place, out):
    """Write ``n`` rows to ``out``, from ``place`` on, of which column k is ``lines[k * step:]``.

    Tiles of a cache line squared are turned in registers. The last tile of a wide row overlaps the one before. A
    narrow row is written as wide as a tile, and what is too much of it is under the next row's: ``lines`` holds as
    many columns as a tile has.
    """
    per = np.int64(LINE // lines.itemsize)
    whole = n // per * per if n_columns >= per else max(n - per // n_columns, np.int64(0)) // per * per
    for i in range(0, whole, per):
        for tile in range(max(n_columns // per, np.int64(1)) + np.int64(n_columns > per and n_columns % per > 0)):
            k = max(min(tile * per, n_columns - per), np.int64(0))
            turn_tile(lines, k * step + i, step, out, place + i * n_columns + k, n_columns)
    for i in range(whole, n):
        for k in range(n_columns):
            out[np.uintp(place + i * n_columns + k)] = lines[np.uintp(k * step + i)]
