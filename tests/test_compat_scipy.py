"""fastcal.compat.scipy: scipy's values, dtypes and errors under its own signatures."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as their_special
from swapped import equal, handed_on, outcome, same, same_by_itself

from fastcal.compat import scipy as face
from fastcal.compat.scipy import optimize, special, stats
from fastcal.compat.theirs import NotPlain

FAMILY = ("softmax", "log_softmax", "logsumexp")
ALL = (*FAMILY, "entropy", "isotonic_regression")
AXES = (None, 0, 1, 2, -1, -2, (0, 1), (0, 2), (2, 0), (-1,))


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    """Arrays that scipy is the quicker for are ours here all the same."""
    monkeypatch.setattr(optimize, "FEW", 0)


def one(name):
    return getattr(face, name)


def numbers(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * 5).astype(dtype)


def close(dtype):
    return {"float16": 4e-3, "float32": 2e-6}.get(dtype, 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32"])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", FAMILY)
def test_any_axis(name, axis, dtype):
    a = numbers((3, 4, 5), dtype)
    if (name, dtype) == ("logsumexp", "float16"):
        handed_on(special.logsumexp, a, axis=axis)
        return
    ours, theirs = (call(a, axis=axis) for call in (one(name).__wrapped__, one(name).original))
    assert np.asarray(ours).dtype == theirs.dtype
    assert type(ours) is type(theirs)
    assert np.shape(ours) == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=close(dtype), atol=close(dtype))


@given(st.integers(0, 500), st.integers(1, 7), st.sampled_from([None, 0, 1, -1, (0, 1)]), st.booleans())
def test_any_numbers(seed, k, axis, keepdims):
    a = numbers((1 + seed % 13, k), seed=seed)
    for name in ("softmax", "log_softmax"):
        same_by_itself(one(name), a, axis, rtol=1e-11)
        same_by_itself(one(name), a[:, 0].copy(), rtol=1e-11)
    same_by_itself(special.logsumexp, a, axis, keepdims=keepdims)
    if not isinstance(axis, tuple):
        same_by_itself(stats.entropy, abs(a), axis=axis, keepdims=keepdims, base=[None, 2][seed % 2])
    result, expected = (f(a[:, 0], increasing=keepdims) for f in _faces(optimize.isotonic_regression))
    for key in ("x", "weights", "blocks"):
        equal(result[key], expected[key], 1e-11)


def _faces(function):
    return function.__wrapped__, function.original


INF, NAN = np.inf, np.nan
ENDS = {
    "inf": [[0.0, INF], [1.0, 2.0]],
    "two": [[INF, INF], [1.0, 2.0]],
    "nothing": [[-INF, -INF], [-INF, -INF]],
    "a row of nothing": [[-INF, -INF], [1.0, 2.0]],
    "a row without one": [[-INF, 0.0], [1.0, 2.0]],
    "NaN": [[NAN, 0.0], [1.0, 2.0]],
    "both": [[INF, -INF], [NAN, 2.0]],
    "large": [[1e308, -1e308], [1e300, 1e300]],
    "zeros": [[0.0, -0.0], [0.0, 0.0]],
}


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("case", ENDS)
def test_ends(case, axis):
    a = np.array(ENDS[case])
    for name in FAMILY:
        ours, _ = outcome(one(name), (a, axis), {})
        theirs, _ = outcome(one(name).original, (a, axis), {})  # ours comes without a RuntimeWarning
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)
    for sign in (1, -1):
        ours, theirs = (outcome(f, (sign * a,), {"axis": axis})[0] for f in (stats.entropy, stats.entropy.original))
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)


A = numbers((4, 3))
# Inputs that are scipy's own.
THEIRS = {
    "complex": A + 1j,
    "half": A.astype(np.float16),
    "bytes": A.astype(np.int8),
    "unsigned": abs(A).astype(np.uint64),
    "long": A.astype(np.longdouble),
    "bool": A > 0,
    "objects": A.astype(object),
    "text": A.astype(str),
    "scalar": 3.0,
    "one number": np.array(3.0),
    "empty": A[:0],
    "no columns": A[:, :0],
    "lists": A.tolist(),
    "ragged": [[1.0], [1.0, 2.0]],
    "None": None,
    "masked": np.ma.masked_array(A, A > 0),
    "matrix": "matrix",
    "strided": A[::2, ::-1],
    "transposed": A.T,
    "big-endian": A.astype(">f8"),
    "read-only": np.broadcast_to(A, (2, 4, 3)),
    "a line": A[:, 0],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", THEIRS)
def test_any_input(case):
    given = np.asmatrix(A) if case == "matrix" else THEIRS[case]
    for name in (*FAMILY, "entropy"):
        half = case == "half"
        ours, theirs = (outcome(f, (given,), {})[0] for f in (one(name), one(name).original))
        if isinstance(theirs, np.ma.MaskedArray):
            assert isinstance(ours, np.ma.MaskedArray)
        elif isinstance(theirs, np.matrix):
            assert isinstance(ours, np.matrix)
        else:
            equal(ours, theirs, 4e-3 if half else 1e-11)
    ours, theirs = (outcome(f, (given,), {})[0] for f in (optimize.isotonic_regression, _faces(one(ALL[-1]))[1]))
    if isinstance(theirs, Exception):
        equal(ours, theirs, 0)
    else:
        equal(ours.x, theirs.x, 1e-11)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("softmax", {"axis": 5}),
        ("softmax", {"axis": (0, 0)}),
        ("softmax", {"axis": ()}),
        ("softmax", {"axis": 0.5}),
        ("log_softmax", {"axis": "rows"}),
        ("logsumexp", {"axis": -3}),
        ("logsumexp", {"b": 2.0}),
        ("logsumexp", {"b": -np.ones((4, 3)), "return_sign": True, "axis": 1}),
        ("logsumexp", {"return_sign": True}),
        ("logsumexp", {"keepdims": 1}),
        ("entropy", {"axis": 2}),
        ("entropy", {"base": -1}),
        ("entropy", {"base": 0}),
        ("entropy", {"nan_policy": "drop"}),
        ("entropy", {"keepdims": "no"}),
        ("entropy", {"qk": np.ones((4, 3))}),
        ("isotonic_regression", {"weights": np.zeros(4)}),
        ("isotonic_regression", {"weights": np.ones(3)}),
        ("isotonic_regression", {"out": None}),
    ],
)
def test_options_that_are_handed_on(name, options):
    handed_on(one(name), A[:, 0] if name == "isotonic_regression" else abs(A), **options)


@pytest.mark.parametrize("policy", ["propagate", "omit", "raise"])
def test_policies_of_nan(policy):
    a = abs(A)
    same_by_itself(stats.entropy, a, nan_policy=policy)
    a[1, 1] = NAN
    handed_on(stats.entropy, a, nan_policy=policy)


def test_weights_and_numbers_that_scipy_pools_otherwise():
    y, w = numbers(50), np.random.default_rng(0).random(50) + 0.1
    found, expected = (f(y, weights=w) for f in _faces(optimize.isotonic_regression))
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12)
    np.testing.assert_array_equal(found.blocks, expected.blocks)
    assert found.keys() == expected.keys()
    assert optimize.isotonic_regression([1e16, 1, -1e16]).x[0] == pytest.approx(1 / 3)
    assert np.isnan(optimize.isotonic_regression([NAN, 1.0]).x).any()  # as scipy has it


def test_numbers_are_scipys_unless_they_are_few_or_many(monkeypatch):
    monkeypatch.undo()
    several = numbers(optimize.SMALL + 1)
    found = optimize.isotonic_regression(several)
    assert np.array_equal(found.x, optimize.isotonic_regression.original(several).x)
    for handed in (several, [1.0, 2.0], np.float32([1, 2]), np.array([1.0, NAN]), np.array([1e101]), np.empty(0)):
        with pytest.raises(NotPlain):
            optimize.isotonic_regression.__wrapped__(handed)
    for options in ({"weights": [1.0, 2.0]}, {"increasing": False}):
        with pytest.raises(NotPlain):
            optimize.isotonic_regression.__wrapped__(np.array([2.0, 1.0]), **options)


@pytest.mark.parametrize("n", [1, 2, 100, 256])
def test_a_few_numbers_in_the_callers_thread(monkeypatch, n):
    monkeypatch.undo()
    y = numbers(2 * n)[::2] + np.arange(n) / 20
    y.flags.writeable = False
    before = y.copy()
    found, expected = (
        one(y) for one in (optimize.isotonic_regression.__wrapped__, optimize.isotonic_regression.original)
    )
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.blocks, expected.blocks)
    assert [found[name].dtype for name in found] == [expected[name].dtype for name in found]
    assert np.array_equal(y, before)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_large_arrays(axis):
    shape = (60_000, 5) if JIT else (50, 5)
    a = numbers(shape)
    for name in FAMILY:
        same_by_itself(one(name), a, axis=axis, rtol=1e-11)
    same_by_itself(stats.entropy, abs(a), axis=axis)
    a[-1, -1] = INF
    for name in ("softmax", "log_softmax"):
        with np.errstate(all="ignore"):
            handed_on(one(name), a, axis=axis)
    with np.errstate(all="ignore"):
        same(stats.entropy, abs(a), axis=axis)


def test_long_columns_are_scipys(monkeypatch):
    monkeypatch.setattr(special, "LONG", 10)
    a = numbers((11, 3))
    for name in ("softmax", "log_softmax"):
        for axis in (0, -2):
            handed_on(one(name), a, axis=axis)
            same_by_itself(one(name), a[:10], axis=axis, rtol=1e-11)
        same_by_itself(one(name), a.T.copy(), axis=1, rtol=1e-11)


def test_long_rows():
    a = abs(numbers((3, 300), "float32"))
    same_by_itself(stats.entropy, a, axis=1, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_signatures_are_scipys(name):
    ours, theirs = (inspect.signature(function) for function in _faces(one(name)))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in theirs.parameters.values()
    ]
    assert pickle.loads(pickle.dumps(one(name))) is one(name)


def test_all_other_names_are_scipys():
    assert special.expit is their_special.expit
    assert stats.norm.cdf(0) == 0.5
    assert optimize.minimize
    with pytest.raises(AttributeError):
        special.no_such  # noqa: B018
    with pytest.raises(AttributeError, match="no_such"):
        face.no_such  # noqa: B018
