"""softmax, log_softmax, logsumexp, entropy and softmax_summary: digits, special values, the same bits anywhere."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import warnings

import numpy as np
import oracle
import pytest
from conftest import JIT

import fastcal as fc

LONG = np.longdouble
needs_long_double = pytest.mark.skipif(np.finfo(LONG).nmant < 63, reason="needs an extended long double as reference")
FLOATS = [np.float32, np.float64]
# one class; two (their own kernels); narrow, odd and even; the last narrow and first wide one; around lines and pairs
WIDTHS = [1, 2, 3, 10, 48, 49, 63, 64, 65, 127, 128, 129, 256, 1000] if JIT else [1, 2, 3, 10, 17, 129]
NORMALISED = [fc.softmax, fc.log_softmax]
BY_NAME = {f.__name__: f for f in (fc.softmax, fc.log_softmax, fc.logsumexp)}


def logits_of(n_rows, n_classes, dtype=np.float64, seed=0, scale=4.0):
    return (np.random.default_rng(seed).standard_normal((n_rows, n_classes)) * scale).astype(dtype)


# Digits


def exact(logits, temperature=1.0):
    """Softmax, log-sum-exp and entropy of one row in long double."""
    z = logits.astype(LONG) / LONG(temperature)
    m = z.max()
    e = np.exp(z - m)
    total = e.sum()
    p = e / total
    return p, m + np.log(total), np.log(total) - (e * (z - m)).sum() / total, m - z


def some_rows(dtype, n_rows, most):
    """Rows with K log-uniform from 1 to ``most``, of many spreads; every tenth is constant but for its maximum."""
    rng = np.random.default_rng(5)
    for n in range(n_rows):
        k = int(np.exp(rng.uniform(0, np.log(most + 1))))
        row = rng.standard_normal(k) * np.exp(rng.uniform(-3, 3.5))
        if n % 10 == 0:
            row[:] = rng.normal()
            row[rng.integers(k)] += rng.exponential()
        yield row.astype(dtype)


def check_row(row, reference, temperature=1.0):
    """Asserts the bounds of the issue; ``reference`` is what ``exact`` returns."""
    p, lse, entropy, distance = reference
    dtype = row.dtype
    found = fc.softmax(row, temperature=temperature)
    unit = np.maximum(np.spacing(p.astype(dtype)), np.finfo(dtype).smallest_subnormal).astype(LONG)
    off = np.abs(found.astype(LONG) - p) / unit
    assert (off <= 4 + 0.6 * distance).all(), (row.size, float((off - 0.6 * distance).max()))
    found_lse = LONG(fc.logsumexp(row, temperature=temperature))
    scale = max(abs(lse), abs(row.astype(LONG).max() / LONG(temperature)))
    assert abs(found_lse - lse) <= 4 * LONG(np.spacing(dtype.type(scale)))
    bound = (4e-7 if dtype == np.float32 else 1e-14) * max(1.0, np.log(row.size))
    summary = fc.softmax_summary(row, temperature=temperature)
    assert abs(LONG(summary.entropy[()]) - entropy) <= bound
    given = found.astype(LONG)
    of_given = -(given * np.log(given, where=given > 0, out=np.zeros_like(given))).sum()
    assert abs(LONG(fc.entropy(found)) - of_given) <= bound


@needs_long_double
@pytest.mark.parametrize("dtype", FLOATS)
def test_digits_against_long_double(dtype):
    for row in some_rows(dtype, *((10_000, 100_000) if JIT else (20, 200))):
        check_row(row, exact(row))


@needs_long_double
@pytest.mark.skipif(not JIT, reason="needs fused products, which plain Python has not")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [0.37, 1.7, 3.0])
def test_digits_at_other_temperatures(dtype, temperature):
    for row in some_rows(dtype, 300, 3000):
        check_row(row, exact(row, temperature), temperature)


def as_long(number):
    """An mpmath number as a long double: what a double takes, and the rest. Scaled, so that neither is subnormal."""
    scaled = number * 2**200
    first = float(scaled)
    return np.ldexp(LONG(first) + LONG(float(scaled - first)), -200)


@needs_long_double
@pytest.mark.parametrize("dtype", FLOATS)
def test_digits_against_mpmath(dtype):
    """Every fiftieth of the rows that are compared with long double."""
    mpmath = pytest.importorskip("mpmath")
    n_rows, most = (10_000, 100_000) if JIT else (200, 100)
    with mpmath.workprec(90):
        for row in itertools.islice(some_rows(dtype, n_rows, most), 7, None, 50):
            z = [mpmath.mpf(float(one)) for one in row]
            m = max(z)
            e = [mpmath.exp(one - m) for one in z]
            total = mpmath.fsum(e)
            entropy = mpmath.log(total) - mpmath.fsum(a * (b - m) for a, b in zip(e, z, strict=True)) / total
            p = np.array([as_long(one / total) for one in e])
            distance = row.max().astype(LONG) - row
            check_row(row, (p, as_long(m + mpmath.log(total)), as_long(entropy), distance))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_classes", WIDTHS)
def test_log_softmax(dtype, n_classes):
    logits = logits_of(70, n_classes, dtype)
    eps = np.finfo(dtype).eps
    expected = oracle.log_softmax(logits.astype(LONG))
    np.testing.assert_allclose(fc.log_softmax(logits).astype(LONG), expected, rtol=8 * eps, atol=8 * eps)


def test_a_confident_log_softmax_is_not_zero():
    found = fc.log_softmax(np.array([[0.0, 40.0], [30.0, 0.0]]))
    np.testing.assert_allclose(found.max(axis=1), [-np.exp(-40), -np.exp(-30)], rtol=1e-12)


GENERIC = """
import numpy as np
import fastcal as fc
from fastcal import kernels
assert not (kernels.processor.FUSES or kernels.processor.ADDS_BYTES)
for shift in (0, 1000, 1_000_000):
    z = np.random.default_rng(0).normal(size=(20, 100)) * 5 + shift
    z = z.astype(np.float32)
    away = z.max(axis=1, keepdims=True) - z.astype(np.float64)
    exact = np.exp(-away) / np.exp(-away).sum(axis=1, keepdims=True)
    off = abs(fc.softmax(z) - exact) / np.spacing(exact.astype(np.float32))
    assert (off <= 4 + 1.6 * away).all(), (shift, off.max())
"""


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_without_fused_products_a_wide_row_may_be_far_from_0(tmp_path):
    """As older processors and images for any machine have it: e^z of logits near 1e6 was off by a tenth."""
    own = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "FASTCAL_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", GENERIC]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | own)
    assert done.returncode == 0, done.stderr[-2000:]


# Special values


@pytest.mark.parametrize("dtype", FLOATS)
def test_logits_next_to_the_least_number_at_a_temperature_next_to_the_largest(dtype):
    """What counts as 0 is beyond the least number."""
    most = np.finfo(dtype).max
    logits = np.full((2, 140), -most)
    logits[1, 3] = -np.inf
    expected = np.where(logits > -np.inf, 1 / np.array([[140.0], [139.0]]), 0).astype(dtype)
    np.testing.assert_array_max_ulp(fc.softmax(logits, temperature=float(most) / 1e4), expected, 1)


SPECIAL = {
    "-inf has probability 0": ([0.0, -np.inf, 0.0], [0.5, 0.0, 0.5], np.log(2)),
    "a single +inf": ([0.0, np.inf, -np.inf], [0.0, 1.0, 0.0], np.inf),
    "two +inf": ([np.inf, 0.0, np.inf], [np.nan] * 3, np.inf),
    "NaN": ([0.0, np.nan, 1.0], [np.nan] * 3, np.nan),
    "NaN and +inf": ([np.inf, np.nan, 1.0], [np.nan] * 3, np.nan),
    "nothing but -inf": ([-np.inf] * 3, [np.nan] * 3, -np.inf),
    "far apart": ([-1.0, 1.0, -1.0], [0.0, 1.0, 0.0], 1.0),
}


@pytest.mark.parametrize("case", SPECIAL)
@pytest.mark.parametrize("n_classes", [2, 3, 4, 130, 300] if JIT else [2, 3, 130])
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
@pytest.mark.parametrize("n_rows", [1, 70] if JIT else [5])
def test_special_values(case, n_classes, dtype, n_rows):
    row, probs, lse = SPECIAL[case]
    if n_classes == 2 and case == "-inf has probability 0":
        row, probs, lse = [0.0, -np.inf], [1.0, 0.0], 0.0
    most = float(np.finfo(dtype).max)
    if case == "far apart":
        row, lse = [one * most for one in row], most
    # the rest of the row adds nothing to it
    row = np.array((row + [-np.inf] * n_classes)[:n_classes])
    probs = np.array((probs + [np.nan if np.isnan(probs[0]) else 0.0] * n_classes)[:n_classes])
    if n_classes == 2 and case == "two +inf":
        row = np.array([np.inf, np.inf])
    logits = np.zeros((n_rows, n_classes), dtype)
    logits[n_rows // 2] = row
    at = n_rows // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(fc.softmax(logits)[at], probs.astype(dtype))
        with np.errstate(divide="ignore"):
            logs = np.log(probs) if case != "far apart" else None
        found = fc.log_softmax(logits)[at]
        if logs is not None:
            np.testing.assert_allclose(found, logs.astype(dtype), rtol=2e-3 if dtype == np.float16 else 1e-6)
        np.testing.assert_allclose(fc.logsumexp(logits)[at], lse, rtol=1e-6)
        summary = fc.softmax_summary(logits)
    if np.isnan(probs[0]):
        assert summary.prediction[at] == -1
        assert np.isnan([summary.confidence[at], summary.margin[at], summary.entropy[at]]).all()
    else:
        assert summary.prediction[at] == probs.argmax()
        assert summary.confidence[at] == probs.max()
    neighbours = np.delete(summary.confidence, at)
    np.testing.assert_allclose(neighbours, 1 / n_classes, rtol=1e-6)


@pytest.mark.parametrize("bits", [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0xFFC00123, 0x7FC001FF])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 129, 200])
def test_a_nan_of_any_payload(bits, n_classes):
    """CUDA's NaN is 0x7FFFFFFF, R's missing value 0x7FF00000000007A2."""
    single = np.array([bits], np.uint32).view(np.float32)
    double = np.array([((bits & 0xFF800000) << 32) | 0x7FF00000000007A2], np.uint64).view(np.float64)
    for nan in (single, double):
        for at in {0, n_classes // 2, n_classes - 1}:
            logits = np.zeros((3, n_classes), nan.dtype)
            logits[1, at : at + 1] = nan
            assert np.isnan(fc.softmax(logits)).all(axis=1).tolist() == [False, True, False]
            assert np.isnan(fc.log_softmax(logits)).all(axis=1).tolist() == [False, True, False]
            assert np.isnan(fc.logsumexp(logits)).tolist() == [False, True, False]
            assert (fc.softmax_summary(logits).prediction < 0).tolist() == [False, True, False]
            with pytest.raises(fc.DataError, match="is nan"):
                fc.nll(np.zeros(3, int), logits, from_logits=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n_classes", [2, 5, 100, 4000])
def test_one_hot_rows_have_no_entropy(dtype, n_classes):
    logits = np.full((3, n_classes), -np.inf, dtype)
    logits[:, 1] = 0
    summary = fc.softmax_summary(logits)
    assert summary.entropy.tolist() == [0, 0, 0]
    assert fc.entropy(fc.softmax(logits)).tolist() == [0, 0, 0]
    assert fc.logsumexp(logits).tolist() == [0, 0, 0]


# Where a row stands changes nothing


@pytest.mark.parametrize("n_classes", WIDTHS)
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_a_row_has_the_same_bits_anywhere(n_classes, dtype):
    logits = logits_of(150 if JIT else 70, n_classes, dtype)
    order = np.random.default_rng(1).permutation(len(logits))
    whole = fc.softmax_summary(logits)
    probs = fc.softmax(logits)
    for found, expected in [
        (fc.softmax(logits[order]), probs[order]),
        (fc.log_softmax(logits[order]), fc.log_softmax(logits)[order]),
        (fc.logsumexp(logits[order]), whole.logsumexp[order]),
        (fc.entropy(probs[order]), fc.entropy(probs)[order]),
        (fc.softmax_summary(logits[order]).entropy, whole.entropy[order]),
        (np.stack([fc.softmax(row) for row in logits[:5]]), probs[:5]),
        (np.stack([fc.logsumexp(row) for row in logits[:5]]), whole.logsumexp[:5]),
    ]:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not JIT, reason="large arrays")
@pytest.mark.parametrize("shape", [(300_000, 2), (200_000, 10), (9_000, 1000)])
def test_threads_and_chunks_change_nothing(shape):
    logits = logits_of(*shape, np.float32)
    one, two = (fc.softmax(logits, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[1234:1300], fc.softmax(logits[1234:1300]))
    strided = np.zeros((shape[0], shape[1] + 3), np.float32)
    strided[:, 1:-2] = logits
    np.testing.assert_array_equal(fc.softmax(strided[:, 1:-2]), one)
    for f in (fc.logsumexp, lambda z, n_threads: fc.entropy(fc.softmax(z), n_threads=n_threads)):
        np.testing.assert_array_equal(f(logits, n_threads=1), f(logits, n_threads=3))
