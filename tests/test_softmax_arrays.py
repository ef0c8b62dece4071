"""softmax and its family: any shape, axis and type, out=, errors, and the memory of large results."""

from __future__ import annotations

import gc

import numpy as np
import oracle
import pytest
from conftest import JIT
from test_softmax import FLOATS, LONG, NORMALISED, WIDTHS, logits_of

import fastcal as fc
from fastcal import memory
from fastcal.metrics import row_workers

# Shapes and axes


@pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 130), (2, 130, 9), (70, 3, 2, 2)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_axis(shape, order):
    logits = np.asarray(np.random.default_rng(0).standard_normal(shape), order=order)
    axes = [*range(-len(shape), len(shape)), None, *([(0, 1), (0, -1)] if len(shape) > 2 else [])]
    for axis in axes:
        kept = range(len(shape)) if axis is None else np.atleast_1d(axis) % len(shape)
        e = np.exp(logits)
        total = e.sum(axis=tuple(kept), keepdims=True)
        probs = fc.softmax(logits, axis=axis)
        np.testing.assert_allclose(probs, e / total, rtol=1e-13)
        np.testing.assert_allclose(fc.log_softmax(logits, axis=axis), np.log(e / total), rtol=1e-12)
        np.testing.assert_allclose(fc.logsumexp(logits, axis=axis, keepdims=True), np.log(total), rtol=1e-12)
        np.testing.assert_allclose(fc.logsumexp(logits, axis=axis), np.log(total).squeeze(tuple(kept)), rtol=1e-12)
        expected = -(e / total * np.log(e / total)).sum(axis=tuple(kept))
        np.testing.assert_allclose(fc.entropy(probs, axis=axis), expected, rtol=1e-12)
        np.testing.assert_allclose(fc.entropy(probs, axis=axis, base=2), expected / np.log(2), rtol=1e-12)


@pytest.mark.skipif(not JIT, reason="large arrays")
def test_an_axis_before_large_dimensions():
    """Images: (N, C, H, W), whose rows are cut within H and W."""
    logits = logits_of(2 * 21, 400 * 500, np.float32).reshape(2, 21, 400, 500)
    expected = fc.softmax(np.moveaxis(logits, 1, -1))
    np.testing.assert_array_equal(fc.softmax(logits, axis=1), np.moveaxis(expected, -1, 1))
    np.testing.assert_array_equal(fc.logsumexp(logits, axis=1), fc.logsumexp(np.moveaxis(logits, 1, -1)))


def test_scalars_and_nothing_at_all():
    assert fc.softmax(5.0) == 1
    assert fc.log_softmax(5.0) == 0
    assert fc.logsumexp(5.0) == 5
    assert isinstance(fc.logsumexp([1.0, 2.0]), float)
    assert fc.softmax(np.empty((0, 3))).shape == (0, 3)
    assert fc.softmax(np.empty((3, 0))).shape == (3, 0)
    assert fc.logsumexp(np.empty((3, 0))).tolist() == [-np.inf] * 3
    assert fc.entropy(np.empty((0, 3))).shape == (0,)
    assert fc.softmax_summary(np.empty((0, 3))).prediction.shape == (0,)
    assert fc.softmax_summary(np.empty((0, 0))).prediction.shape == (0,)
    assert fc.entropy(np.empty((0, 0))).shape == (0,)
    out = np.empty(())
    assert fc.softmax(np.array(2.0), out=out) is out


# Types


@pytest.mark.parametrize("n_classes", WIDTHS)
def test_half_floats_are_float32_rounded_once(n_classes):
    logits = logits_of(70, n_classes, np.float16)
    single = logits.astype(np.float32)
    for f in NORMALISED:
        np.testing.assert_array_equal(f(logits), f(single).astype(np.float16))
    for f in (fc.logsumexp, lambda z: fc.softmax_summary(z).entropy, lambda z: fc.softmax_summary(z).prediction):
        np.testing.assert_array_equal(f(logits), f(single))
    probs = fc.softmax(logits)
    np.testing.assert_array_equal(fc.entropy(probs), fc.entropy(probs.astype(np.float32)))


@pytest.mark.parametrize("n_classes", WIDTHS)
def test_bfloat16_as_bits(n_classes):
    single = logits_of(70, n_classes, np.float32).view(np.uint32) & 0xFFFF0000
    bits, single = (single >> 16).astype(np.uint16), single.view(np.float32)
    for f in NORMALISED:
        whole = f(single).view(np.uint32).astype(np.int64)
        rounded = (whole + 0x7FFF + ((whole >> 16) & 1)) >> 16
        found = f(bits, dtype="bfloat16")
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, rounded)
    np.testing.assert_array_equal(fc.logsumexp(bits, dtype="bfloat16"), fc.logsumexp(single))
    summary = fc.softmax_summary(bits, dtype="bfloat16")
    np.testing.assert_array_equal(summary.margin, fc.softmax_summary(single).margin)
    assert summary.margin.dtype == np.float32


def test_bfloat16_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    logits = logits_of(20, 7).astype(ml_dtypes.bfloat16)
    found = fc.softmax(logits)
    assert found.dtype == logits.dtype
    np.testing.assert_array_equal(found, fc.softmax(logits.astype(np.float32)).astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(fc.softmax(logits.T, axis=0).T, found)
    np.testing.assert_array_equal(fc.logsumexp(logits), fc.logsumexp(logits.astype(np.float32)))
    out = np.empty_like(logits)
    assert fc.softmax(logits, out=out) is out
    np.testing.assert_array_equal(out, found)


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    logits = logits_of(20, 7, np.float32)
    tensor = torch.from_numpy(logits).requires_grad_()
    np.testing.assert_array_equal(fc.softmax(tensor), fc.softmax(logits))
    half = tensor.detach().bfloat16()
    bits = half.view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(fc.softmax(half), fc.softmax(bits, dtype="bfloat16"))
    np.testing.assert_array_equal(fc.softmax(half.T, axis=0).T, fc.softmax(half))
    with pytest.raises(TypeError, match="logits is on meta"):
        fc.softmax(torch.empty(3, device="meta"))


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.longdouble),
        lambda x: x.astype(int),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1][::-1],
        lambda x: x.tolist(),
        np.ma.masked_array,
    ],
)
def test_forms_of_input(form):
    logits = np.round(logits_of(70, 5))
    before = form(logits)
    expected = oracle.softmax(logits)
    np.testing.assert_allclose(fc.softmax(before), expected, rtol=1e-6)
    np.testing.assert_allclose(fc.logsumexp(before), oracle.logsumexp(logits), rtol=1e-6)
    np.testing.assert_array_equal(before, form(logits))


def test_a_temperature_that_changes_in_place():
    torch = pytest.importorskip("torch")
    temperature = torch.tensor(1.0)
    before = fc.softmax([0.0, 1.0], temperature=temperature)
    temperature.fill_(2.0)
    after = fc.softmax([0.0, 1.0], temperature=temperature)
    np.testing.assert_array_equal(after, fc.softmax([0.0, 1.0], temperature=2))
    assert before[1] > after[1]


def test_read_only_and_masked():
    logits = logits_of(3, 4)
    logits.flags.writeable = False
    np.testing.assert_allclose(fc.softmax(logits), oracle.softmax(logits), rtol=1e-13)
    masked = np.ma.masked_array(logits, mask=[[0] * 4, [0, 1, 0, 0], [0] * 4])
    assert np.isnan(fc.softmax(masked)).all(axis=1).tolist() == [False, True, False]
    assert fc.softmax_summary(masked).prediction[1] == -1
    bits = np.ma.masked_array(np.full((3, 4), 0x3F80, np.uint16), mask=masked.mask)
    assert fc.softmax_summary(bits, dtype="bfloat16").prediction.tolist() == [0, -1, 0]


# out=


@pytest.mark.parametrize("f", NORMALISED)
@pytest.mark.parametrize("n_classes", [2, 7, 130])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_out(f, n_classes, dtype):
    logits = logits_of(70, n_classes, dtype)
    expected = f(logits)
    out = np.empty_like(logits)
    assert f(logits, out=out) is out
    np.testing.assert_array_equal(out, expected)
    spread = np.full((70, 2 * n_classes), 7, dtype)
    f(logits, out=spread[:, ::2])
    np.testing.assert_array_equal(spread[:, ::2], expected)
    assert (spread[:, 1::2] == 7).all()
    turned = np.empty((n_classes, 70), dtype)
    f(logits.T, axis=0, out=turned)
    np.testing.assert_array_equal(turned, expected.T)
    images = np.asfortranarray(np.empty((5, 14, n_classes), dtype))
    f(logits.reshape(5, 14, n_classes), out=images)
    np.testing.assert_array_equal(images.reshape(70, n_classes), expected)
    in_place = logits.copy()
    f(in_place, out=in_place)
    np.testing.assert_array_equal(in_place, expected)
    in_place = logits.T.copy()
    f(in_place, axis=0, out=in_place)
    np.testing.assert_array_equal(in_place, expected.T)


@pytest.mark.parametrize("n_classes", [10, 130])
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_stores_past_the_caches(monkeypatch, n_classes, dtype):
    """Whatever the alignment of a result."""
    logits = logits_of(70, n_classes, dtype)
    expected = fc.softmax(logits)
    monkeypatch.setattr(row_workers, "STREAMED_BYTES", 0)
    for shift in (0, 1, 3, 16):
        space = np.full(logits.size + 40, 7, dtype)
        out = space[shift : shift + logits.size].reshape(logits.shape)
        np.testing.assert_array_equal(fc.softmax(logits, out=out), expected)
        assert (space[:shift] == 7).all()
        assert (space[shift + logits.size :] == 7).all()


@pytest.mark.skipif(not JIT, reason="large arrays")
@pytest.mark.parametrize("shape", [(5_000_000, 2), (1_000_000, 10), (10_000, 1001)])
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_results_past_the_caches(shape, shift):
    """Large results at any alignment, and what stands beside them."""
    logits = logits_of(*shape, np.float32)
    space = np.full(logits.size + 16, 7, np.float32)
    out = space[shift : shift + logits.size].reshape(shape)
    fc.softmax(logits, out=out)
    assert (space[:shift] == 7).all()
    assert (space[shift + logits.size :] == 7).all()
    np.testing.assert_array_equal(out[::1000], fc.softmax(logits[::1000]))
    in_place = logits.copy()
    fc.softmax(in_place, out=in_place)
    np.testing.assert_array_equal(in_place, out)


def test_out_of_one_number_a_row():
    logits = logits_of(6, 4)
    space = np.zeros((6, 5))
    fc.logsumexp(space[:, :4], out=space[:, 4])  # disjoint, though between each other
    np.testing.assert_allclose(space[:, 4], np.log(4))
    out = np.empty((6, 1))
    assert fc.logsumexp(logits, keepdims=True, out=out) is out
    np.testing.assert_array_equal(out[:, 0], fc.logsumexp(logits))
    out = np.empty(6)
    assert fc.entropy(fc.softmax(logits), out=out) is out
    np.testing.assert_array_equal(out, fc.entropy(fc.softmax(logits)))


def read_only(array):
    array.flags.writeable = False
    return array


SPACE = np.zeros((8, 4))
BAD_OUT = {
    "shape": (SPACE[:5], np.empty((5, 3)), ValueError, r"out has shape \(5, 3\), expected \(5, 4\)"),
    "dtype": (SPACE[:5], np.empty((5, 4), np.float32), TypeError, "out has dtype float32, expected float64"),
    "read-only": (SPACE[:5], read_only(np.empty((5, 4))), ValueError, "out is read-only"),
    "overlap": (SPACE[:5], SPACE[1:6], ValueError, "out overlaps logits; only the very same"),
    "reversed": (SPACE[:5], SPACE[:5][::-1], ValueError, "out overlaps logits"),
    "a list": (SPACE[:5], [[0.0] * 4] * 5, TypeError, "out is a list"),
}


@pytest.mark.parametrize("case", BAD_OUT)
def test_an_out_that_does_not_fit(case):
    logits, out, error, message = BAD_OUT[case]
    before = np.array(out)
    for f in NORMALISED:
        with pytest.raises(error, match=message):
            f(logits, out=out)
    np.testing.assert_array_equal(out, before)


def test_a_reduced_out_that_does_not_fit():
    logits = np.zeros((5, 5))
    with pytest.raises(ValueError, match="out overlaps logits"):
        fc.logsumexp(logits, out=logits[:, 0])
    with pytest.raises(TypeError, match="out has dtype float32"):
        fc.logsumexp(logits, out=np.empty(5, np.float32))
    with pytest.raises(ValueError, match=r"out has shape \(4,\), expected \(5,\)"):
        fc.entropy(np.full((5, 5), 0.2), out=np.empty(4))


# Errors


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf, 1e-40, 4e-39, 1e39])
def test_temperatures_that_are_none(temperature):
    for f in (fc.softmax, fc.log_softmax, fc.logsumexp, fc.softmax_summary):
        for logits in (np.zeros(3, np.float32), np.zeros((70, 130), np.float32)):
            with pytest.raises(ValueError, match="temperature is"):
                f(logits, temperature=temperature)


@pytest.mark.parametrize("temperature", [1e-30, 1e30])
def test_extreme_temperatures(temperature):
    logits = np.array([[0.0, 1.0, 3.0], [1e30, -1e30, 2e30]], np.float32)
    with np.errstate(over="ignore"):
        expected = oracle.softmax(logits.astype(LONG) / LONG(temperature))
    np.testing.assert_allclose(fc.softmax(logits, temperature=temperature), expected.astype(float), rtol=1e-6)


BAD_CALLS = {
    "a word": (lambda: fc.softmax("logits"), TypeError, "logits has dtype"),
    "a temperature in words": (lambda: fc.softmax([1.0], temperature="warm"), TypeError, "temperature is 'warm'"),
    "a temperature in an array": (lambda: fc.softmax([1.0], temperature=[1.0, 2.0]), TypeError, "temperature is"),
    "a huge temperature": (lambda: fc.softmax([1.0], temperature=10**400), ValueError, "temperature is"),
    "no axis": (lambda: fc.softmax([1.0], axis=()), ValueError, r"axis is \(\)"),
    "an axis that is a float": (lambda: fc.softmax(np.zeros((2, 2)), axis=-1.0), TypeError, "axis is -1.0"),
    "no threads": (lambda: fc.logsumexp([1.0], n_threads=0), ValueError, "n_threads is 0"),
    "complex": (lambda: fc.softmax([1j]), TypeError, "logits has dtype complex128"),
    "an axis too far": (lambda: fc.softmax([1.0], axis=1), ValueError, "axis is 1, but logits has 1 dimensions"),
    "an axis twice": (lambda: fc.logsumexp([[1.0]], axis=(0, -2)), ValueError, r"axis is \(0, -2\)"),
    "half an axis": (lambda: fc.softmax([1.0], axis=0.5), TypeError, "axis is 0.5"),
    "another dtype": (lambda: fc.softmax([1.0], dtype="float8"), ValueError, "dtype is 'float8'"),
    "bits that are none": (lambda: fc.softmax([1.0], dtype="bfloat16"), TypeError, "the bits of bfloat16 are uint16"),
    "no classes": (lambda: fc.softmax_summary(np.empty((3, 0))), fc.DataError, r"logits has shape \(3, 0\)"),
    "no rows": (lambda: fc.softmax_summary(1.0), fc.DataError, r"logits has shape \(\)"),
    "a base": (lambda: fc.entropy([1.0], base=1), ValueError, "base is 1"),
    "above 1": (lambda: fc.entropy([[0.5, 0.5], [1.2, -0.2]]), fc.DataError, r"probs\[1, 0\] is 1.2"),
    "a column above 1": (lambda: fc.entropy([[0.5, 1.2], [0.5, -0.2]], axis=0), fc.DataError, r"probs\[0, 1\] is 1.2"),
    "a sum": (lambda: fc.entropy([[0.5, 0.5], [0.5, 0.4]]), fc.DataError, r"probs\[1\] sums to 0.9"),
    "a late sum": (
        lambda: fc.entropy(np.where(np.arange(300)[:, None] == 299, 0.02, np.full((300, 100), 0.01))),
        fc.DataError,
        r"probs\[299\] sums to 2",
    ),
    "two sums": (lambda: fc.entropy([[0.5, 0.5], [0.5, 0.4], [0.3, 0.3]]), fc.DataError, r"probs\[1\] sums to 0.9"),
    "half floats above 1": (lambda: fc.entropy(np.float16([[1.5, -0.5]])), fc.DataError, r"probs\[0, 0\] is 1.5"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls(case):
    call, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=message):
        call()


def test_entropy_takes_rounding_for_what_it_is():
    assert fc.entropy([1.00005, -0.00005]) == pytest.approx(0, abs=1e-15)
    assert fc.entropy(np.array([1.00005, 0.0] + [0.0] * 70)) == pytest.approx(0, abs=1e-15)
    assert np.isnan(fc.entropy([0.5, np.nan]))
    np.testing.assert_allclose(fc.entropy([0.25] * 4, base=4), 1)


# Memory of large results


@pytest.mark.skipif(not JIT, reason="large arrays")
def test_memory_is_used_again_only_when_nothing_refers_to_it():
    memory._kept.clear()
    logits = logits_of(3_000_000, 2, np.float32)
    first = fc.softmax(logits)
    kept = first[5:9]
    copy = kept.copy()
    address = first.ctypes.data
    del first
    gc.collect()
    second = fc.softmax(logits * 0)
    assert second.ctypes.data != address
    np.testing.assert_array_equal(kept, copy)
    del kept
    gc.collect()
    third = fc.softmax(logits)
    assert third.ctypes.data == address
    assert (second == 0.5).all()


def test_how_much_memory_is_kept(monkeypatch):
    memory._kept.clear()
    n = memory.LARGE // 4 + 1000
    monkeypatch.setenv("FASTCAL_KEEP_MB", "0")
    memory.empty((n,), np.dtype(np.float32))
    assert not memory._kept
    monkeypatch.setenv("FASTCAL_KEEP_MB", "20")
    arrays = [memory.empty((n,), np.dtype(np.float32)) for _ in range(4)]
    del arrays
    gc.collect()
    assert 0 < sum(block.nbytes for block in memory._kept) <= 20 << 20
    monkeypatch.setenv("FASTCAL_KEEP_MB", "plenty")
    with pytest.raises(ValueError, match="FASTCAL_KEEP_MB is 'plenty'"):
        memory.empty((n,), np.dtype(np.float32))
    memory._kept.clear()
