"""Blocks of rows turned to lines of classes: square tiles in registers against the plain way."""

from __future__ import annotations

import numpy as np
import pytest

from fastcal.kernels import gather, intrinsics
from fastcal.kernels.jit import kernel
from fastcal.kernels.rows import BLOCK, scratch

DTYPES = [np.float32, np.float64]


@kernel
def tile(source, start, stride, target, place, step):
    intrinsics.turn_tile(source, start, stride, target, place, step)


@kernel
def turned(scores, first, lines):
    gather.turn(scores, first, lines)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("start", "stride", "place", "step"), [(0, 16, 0, 16), (3, 10, 5, 64), (7, 1, 0, 20)])
def test_a_tile_is_that_of_the_plain_way(dtype, start, stride, place, step):
    source = np.random.default_rng(0).standard_normal(400).astype(dtype)
    source[:4] = np.nan, np.inf, -0.0, 1e-40
    found, expected = np.zeros(1200, dtype), np.zeros(1200, dtype)
    tile(source, start, stride, found, place, step)
    intrinsics.plain_turn_tile(source, start, stride, expected, place, step)
    assert found.tobytes() == expected.tobytes()
    n = 64 // source.itemsize
    assert expected[place + step * (n - 1)].tobytes() == source[start + n - 1].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 7, 8, 15, 16, 17, 47, 48])
@pytest.mark.parametrize("n_rows", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_lines_are_classes_whatever_is_left_of_the_array(dtype, n_classes, n_rows):
    scores = np.random.default_rng(1).standard_normal((n_rows, n_classes)).astype(dtype)
    scores.flags.writeable = False
    lines = scratch((n_classes + 15) * BLOCK, np.dtype(dtype))
    for first in range(0, n_rows, BLOCK):
        turned(scores, first, lines)
        rows = np.minimum(np.arange(first, first + BLOCK), n_rows - 1)
        assert (lines[: n_classes * BLOCK].reshape(n_classes, BLOCK) == scores[rows].T).all()
        if n_classes % 2:
            assert (lines[n_classes * BLOCK : (n_classes + 1) * BLOCK] == -np.inf).all()
