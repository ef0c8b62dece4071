"""Rows counted in uniform bins 64 at once have the sums of rows that are added one by one, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal.kernels import binning, byte_sums, processor, uniform
from fastcal.kernels.jit import kernel

TOLERANCE = 1e-6
BLOCKS = 3 if JIT else 1
pytestmark = pytest.mark.skipif(JIT and not processor.ADDS_BYTES, reason="the processor adds no bytes")


def given(n_bins, n=BLOCKS * uniform.BLOCK, seed=0):
    """Numbers of every size, those on each edge and beside it, 0, 1 and what rounding makes of 1; and labels."""
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(n) < 0.5, rng.random(n), 10.0 ** rng.uniform(-30, 0, n)).astype(np.float32)
    edges = np.linspace(0, 1, n_bins + 1).astype(np.float32)
    beside = [np.nextafter(edges[1:], np.float32(0)), np.nextafter(edges, np.float32(2)), np.float32([0, 2e-45, 2**-7])]
    known = np.concatenate([edges, *beside])
    p[: len(known)] = known
    return read_only(p, rng.integers(0, 2, n))


def read_only(*arrays):
    for array in arrays:
        array.flags.writeable = False
    return arrays


def one_by_one(p, labels, n_bins):
    sums, size = np.zeros((4, n_bins), np.int64), binning.BLOCK
    scratch = np.zeros(size, np.int32), np.zeros(size, np.int64), np.zeros(size, np.float32), np.zeros(4 * n_bins, int)
    done = binning.add_uniform(p, labels, TOLERANCE, np.float64(n_bins), *scratch, sums)
    return done, sums


def exactly(sums):
    """Rows, outcomes, and confidences in units of 2^-62, which are one integer however they are split."""
    return [sums[0].tolist(), sums[1].tolist(), [(int(a) << 32) + int(b) for a, b in sums[2:].T]]


@pytest.mark.parametrize("n_bins", [1, 2, 3, 10, 15, 20, 30, 32])
def test_64_rows_at_once_equal_one_by_one(n_bins):
    p, labels = given(n_bins)
    sums = np.zeros((4, n_bins), np.int64)
    assert uniform.add(p, labels, TOLERANCE, n_bins, sums) == len(p)
    done, expected = one_by_one(p, labels, n_bins)
    assert done == len(p)
    assert exactly(sums) == exactly(expected)


@pytest.mark.parametrize(
    ("value", "label"),
    [(np.nan, 1), (np.inf, 1), (-np.inf, 0), (-0.0, 0), (-1e-9, 1), (1.0000021, 1), (0.5, 2), (0.5, -1), (0.5, 256)],
)
def test_a_block_with_what_is_not_in_order_is_left(value, label):
    p, labels = (array.copy() for array in given(15, (BLOCKS + 1) * uniform.BLOCK))
    at = uniform.BLOCK + 700
    p[at], labels[at] = value, label
    sums = np.zeros((4, 15), np.int64)
    assert uniform.add(*read_only(p, labels), TOLERANCE, 15, sums) == uniform.BLOCK
    _, expected = one_by_one(*read_only(p[: uniform.BLOCK].copy(), labels[: uniform.BLOCK].copy()), 15)
    assert exactly(sums) == exactly(expected)


def test_an_incomplete_block_is_left():
    p, labels = given(15, uniform.BLOCK + 100)
    sums = np.zeros((4, 15), np.int64)
    assert uniform.add(p, labels, TOLERANCE, 15, sums) == sums[0].sum() == uniform.BLOCK


@pytest.mark.parametrize(("tolerance", "done"), [(1.1e-7, 0), (1.2e-7, uniform.BLOCK)])
def test_a_limit_between_two_numbers_is_the_lower_one(tolerance, done):
    p = np.linspace(0.5, 1, uniform.BLOCK, dtype=np.float32)  # none has a rest
    p[7] = np.nextafter(np.float32(1), np.float32(2))
    sums = np.zeros((4, 15), np.int64)
    assert uniform.add(*read_only(p, np.ones(len(p), np.int64)), tolerance, 15, sums) == sums[0].sum() == done
    assert sums[3, 0] == 0


@pytest.mark.skipif(not JIT, reason="takes minutes uncompiled")
def test_lanes_are_added_up_before_they_are_full():
    n = 2 * uniform.STRETCH + uniform.BLOCK
    p, labels = read_only(np.full(n, 1 - 2.0**-24, np.float32), np.ones(n, np.int64))
    sums = np.zeros((4, 2), np.int64)
    assert uniform.add(p, labels, TOLERANCE, 2, sums) == n
    assert exactly(sums) == [[0, n], [0, n], [0, n * (2**62 - 2**38)]]


@pytest.mark.parametrize("place", [0, 3, 255])
def test_bytes_are_added_where_others_say(place):
    rng = np.random.default_rng(place)
    size, stop = 40, 32
    places = rng.choice(np.uint8([0, 3, 255]), 4 * size).view(np.uint32)
    planes = rng.integers(0, 1 << 32, byte_sums.PLANES * size, dtype=np.uint32)
    sums = np.arange(7 * byte_sums.LANES, dtype=np.uint32)
    expected = sums.copy()
    for word in range(stop):
        for byte in range(4):
            if places.view(np.uint8)[4 * word + byte] == place:
                for plane in range(byte_sums.PLANES + 1):
                    given = planes[(plane - 1) * size + word :][:1].view(np.uint8)[byte] if plane else 1
                    expected[(1 + plane) * byte_sums.LANES + word % byte_sums.LANES] += np.uint32(given)
    one = kernel(_add_bytes)
    one(places, np.uint8(place), planes, size, stop, sums)
    np.testing.assert_array_equal(sums, expected)


def _add_bytes(places, place, planes, size, stop, sums):
    byte_sums.add_bytes(places, place, planes, size, stop, sums, byte_sums.LANES)


@pytest.mark.parametrize("n_bins", [15, 40])
def test_ece_is_the_same_on_processors_that_add_no_bytes(n_bins, monkeypatch):
    p, labels = given(n_bins, 10_000 if JIT else 2000)

    def state():
        seen = fc.ReliabilityAccumulator(n_bins=n_bins, squares=False).update(labels, p)
        return seen.to_bytes()

    here = state()
    monkeypatch.setattr(processor, "ADDS_BYTES", not processor.ADDS_BYTES if not JIT else False)
    assert state() == here
