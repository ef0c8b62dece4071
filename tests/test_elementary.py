"""exp, log and log1p against long double, in ulps, over dense samples and special values."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

from fastcal.kernels import elementary
from fastcal.kernels.jit import kernel

N = 300_000 if JIT else 300
RNG = np.random.default_rng(11)

if np.finfo(np.longdouble).nmant < 63:
    pytest.skip("needs an extended long double as the reference", allow_module_level=True)


def mapped(scalar):
    """A kernel over arrays, so that the scalar function is tested as it is used: inlined and vectorised."""

    @kernel
    def over(values, out):
        for i in range(values.shape[0]):
            out[i] = scalar(values[i])

    def call(values):
        out = np.empty_like(values)
        over(values, out)
        return out

    return call


def ulps(found, exact):
    """Largest error in units of the last place of the exact result; special values must be equal."""
    rounded = exact.astype(found.dtype)
    finite = np.isfinite(rounded) & np.isfinite(found)
    np.testing.assert_array_equal(found[~finite], rounded[~finite])
    unit = np.spacing(np.abs(rounded[finite])).astype(np.longdouble)
    return float(np.max(np.abs(found[finite].astype(np.longdouble) - exact[finite]) / unit))


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-30, -1e-30, 0.5, 2.0]
RANGE = {np.float32: (-104.0, 88.8), np.float64: (-746.0, 709.9)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp(dtype):
    low, high = RANGE[dtype]
    dense = np.concatenate([RNG.uniform(low, high, N), RNG.uniform(-1, 1, N)])
    edges = [low, high, 2 * high, 2 * low, np.finfo(dtype).max, np.finfo(dtype).min, -87.4, 88.7]
    values = np.concatenate([dense, SPECIAL, edges]).astype(dtype)
    with np.errstate(all="ignore"):
        assert ulps(mapped(elementary.exp)(values), np.exp(values.astype(np.longdouble))) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log(dtype):
    low, high = RANGE[dtype]
    with np.errstate(all="ignore"):
        dense = np.concatenate(
            [np.exp(RNG.uniform(low, high, N)), RNG.uniform(0.5, 2, N), 1 + RNG.normal(size=N) / 1e3]
        )
        edges = [np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max, 1e-40]
        values = np.concatenate([dense, SPECIAL, edges]).astype(dtype)
        assert ulps(mapped(elementary.log)(values), np.log(values.astype(np.longdouble))) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log1p(dtype):
    dense = np.concatenate([np.exp(RNG.uniform(-80, 20, N)), -np.exp(RNG.uniform(-80, -1e-3, N)), RNG.uniform(0, 9, N)])
    values = np.concatenate([dense, SPECIAL, [1e-38, 3e38]]).astype(dtype)
    with np.errstate(all="ignore"):
        assert ulps(mapped(elementary.log1p)(values), np.log1p(values.astype(np.longdouble))) <= 2
