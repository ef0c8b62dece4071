"""Matrix products of what the caches hold, fused into kernels.

A library's product has threads of its own, which wait for each other busily: under load, called from several threads,
it was up to 30 times slower than alone; and its result leaves the cache before a softmax can be taken of it.
"""

from __future__ import annotations

import numpy as np

from .intrinsics import LINE, TILE_LINES, TILE_ROWS, tile, wide_tile
from .jit import inner


@inner
def add_product(n_rows, width, a, a_row, a_step, b, b_at, b_step, c, c_row, n, upper):
    """c[r c_row + l] += sum over i < n of a[r a_row + i a_step] b[b_at + i b_step + l], r < n_rows, l < width.

    All is done in whole tiles: rows of ``a`` and ``c`` up to the next multiple of TILE_ROWS, and lines up to the next
    multiple of LINE bytes, have to exist; what they hold beyond is arbitrary. Where ``upper``, tiles are
    left out that lie below the diagonal.
    """
    size = np.int64(LINE // c.itemsize)
    wide = size * TILE_LINES
    for at in range(0, width - width % wide, wide):
        for r in range(0, n_rows, TILE_ROWS):
            if upper and at + wide <= r:
                break
            wide_tile(a, r * a_row, a_row, a_step, b, b_at + at, b_step, c, r * c_row + at, c_row, n)
    for at in range(width - width % wide, width, size):
        for r in range(0, n_rows, TILE_ROWS):
            if upper and at + size <= r:
                break
            tile(a, r * a_row, a_row, a_step, b, b_at + at, b_step, c, r * c_row + at, c_row, n)
