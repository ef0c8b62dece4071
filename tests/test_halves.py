"""float16 and bfloat16 to float32 and back: every value one way, dense and special ones the other."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

from fastcal.kernels import halves, intrinsics
from fastcal.kernels.jit import kernel

ALL = np.arange(65536, dtype=np.uint16)[:: 1 if JIT else 37]


def mapped(scalar):
    @kernel
    def over(values, out):
        for i in range(values.shape[0]):
            out[i] = scalar(values[i])

    def call(values, dtype):
        out = np.empty(values.shape, dtype)
        over(values, out)
        return out

    return call


def assert_equal(found, expected):
    """Equal, any NaN for any NaN."""
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    assert same.all(), (found[~same][:3], expected[~same][:3])


def floats():
    """float32 of all kinds: random bits, halves, what lies next to them and half-way between them."""
    exact = ALL.view(np.float16).astype(np.float32)
    with np.errstate(all="ignore"):
        near = [np.nextafter(exact, np.float32(way)) for way in (-np.inf, np.inf)]
        between = (exact[:-1] + exact[1:]) / 2
        drawn = np.random.default_rng(0).integers(0, 2**32, 300_000 if JIT else 300, dtype=np.uint32).view(np.float32)
    special = np.float32([0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519, 65520, 65536, 1e38, 1e-8, 6e-8, 2.98e-8])
    return np.concatenate([exact, *near, between, drawn, special]).astype(np.float32)


WIDENING = {"chosen": halves.widen, "in integers": halves._float_of_half_bits}
NARROWING = {"chosen": halves._half_of_float, "in integers": halves._half_of_float_bits}


@pytest.mark.parametrize("way", WIDENING)
def test_every_float16(way):
    with np.errstate(invalid="ignore"):
        assert_equal(mapped(WIDENING[way])(ALL, np.float32), ALL.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("way", NARROWING)
def test_float32_to_float16(way):
    values = floats()
    with np.errstate(all="ignore"):
        assert_equal(mapped(NARROWING[way])(values, np.uint16).view(np.float16), values.astype(np.float16))


def test_every_bfloat16():
    expected = (ALL.astype(np.uint32) << 16).view(np.float32)
    assert_equal(mapped(halves.widen)(ALL.view(np.int16), np.float32), expected)


def test_float32_to_bfloat16():
    values = floats()
    bits = values.view(np.uint32).astype(np.int64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint32)
    expected = np.where(np.isnan(values), np.float32(np.nan), (rounded << 16).view(np.float32))
    found = mapped(halves._bfloat_of_float)(values, np.int16).view(np.uint16)
    assert_equal((found.astype(np.uint32) << 16).view(np.float32), expected)


@pytest.mark.skipif(not JIT, reason="plain twins are all there is")
def test_plain_twins_of_intrinsics():
    """What runs with NUMBA_DISABLE_JIT=1 computes the same."""
    assert intrinsics.plain_muladd(2.0, 3.0, 4.0) == 10.0
    x = np.float32(1 + 2**-23)
    assert intrinsics.plain_muladd(x, x, -x * x) != 0  # rounded once
    assert intrinsics.plain_float_of_half(np.uint16(0x3C00)) == 1.0
    assert intrinsics.plain_half_of_float(np.float32(-2.0)) == 0xC000
    target = np.zeros(32, np.float32)
    intrinsics.plain_stream(np.arange(32, dtype=np.float32), 4, np.float32(1), np.float32(1), target, 16)
    assert target[16:].tolist() == [2.0 * i for i in range(4, 20)]
    assert not target[:16].any()
    assert intrinsics.plain_prefetch(target, 10**9) is None
