"""Long arrays a stretch at a time: the bits of NumPy's own operations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastcal import stretches
from fastcal.ordered.cells import Cells
from fastcal.stretches import chosen, concatenated, cumulated, elementwise, exact_sum

RNG = np.random.default_rng(0)
LONG = {
    "floats": RNG.normal(size=103) * 10.0 ** RNG.integers(-9, 9, 103),
    "integers": RNG.integers(-9, 9, 103),
    "single": RNG.normal(size=103).astype(np.float32),
    "turned": RNG.normal(size=206)[::-2],
    "one": np.array([2.5]),
    "none": np.empty(0),
}


@pytest.fixture(params=[1, 7, 103, 1 << 20], autouse=True)
def size(request, monkeypatch):
    monkeypatch.setattr(stretches, "STRETCH", request.param)


def same(one, other):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("values", LONG.values(), ids=LONG)
def test_the_same_bits(values):
    same(elementwise(np.square, values), np.square(values))
    same(elementwise(lambda one, other: one + other / 3, values, values[::-1]), values + values[::-1] / 3)
    same(cumulated(values), np.cumsum(values, dtype=values.dtype))
    mask = np.arange(len(values)) % 3 > 0
    same(chosen(values, mask), values[mask])
    assert exact_sum(values) == math.fsum(values)
    out = np.zeros(len(values) + 1, values.dtype)
    assert elementwise(np.negative, values, out=out[:-1][::-1]) is not None
    same(out[:-1], -values[::-1])
    assert cumulated(values, out=out[1:]).base is out


def test_rows():
    rows = RNG.normal(size=(31, 2, 3))
    same(elementwise(lambda part: part.sum(axis=2), rows), rows.sum(axis=2))
    places = RNG.permutation(31)
    same(elementwise(rows.__getitem__, places, width=6), rows[places])


@pytest.mark.parametrize("levels", [(0, 0), (3, 0), (1, 4)])
def test_cells_are_merged_in_stretches(levels):
    def cells(level, seed):
        rng = np.random.default_rng(seed)
        keys = np.unique(rng.integers(-500, 500, 200) >> level)
        return Cells(level, keys, rng.integers(1, 5, (len(keys), 2)))

    one, other = cells(levels[0], 1), cells(levels[1], 2)
    expected: dict[int, list[int]] = {}
    for some in (one, other):
        for key, sums in zip(some.keys.tolist(), some.sums.tolist(), strict=True):
            place = expected.setdefault(key >> (max(levels) - some.level), [0, 0])
            place[:] = [place[0] + sums[0], place[1] + sums[1]]
    for found in (one.merged(other, None, by_class=True), other.merged(one, None, by_class=True)):
        assert found.level == max(levels)
        assert dict(zip(found.keys.tolist(), found.sums.tolist(), strict=True)) == expected
        assert found.keys.tolist() == sorted(expected)


def test_arrays_together():
    parts = [LONG["floats"], LONG["single"], LONG["none"]]
    same(concatenated(parts), np.concatenate(parts))
    assert concatenated(parts[:1]) is parts[0]
    rows = [RNG.normal(size=(n, 2)) for n in (5, 0, 9)]
    same(concatenated(rows), np.concatenate(rows))
