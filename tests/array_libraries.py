"""NumPy arrays in the forms of other libraries, for the conformance suite: of those that are installed."""

from __future__ import annotations

import array
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest


class OnlyArray:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype, copy=copy)


class OnlyInterface:
    def __init__(self, values):
        self.values = values
        self.__array_interface__ = values.__array_interface__


class OnlyDlpack:
    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class OnlyCapsules:
    """One Arrow array."""

    def __init__(self, values):
        self.values = values

    def __arrow_c_array__(self, requested_schema=None):
        return self.values.__arrow_c_array__(requested_schema)


class OnlyStream:
    """Chunks of Arrow."""

    def __init__(self, values):
        self.values = values

    def __arrow_c_stream__(self, requested_schema=None):
        return self.values.__arrow_c_stream__(requested_schema)


class OnlyDevice:
    """An Arrow array, on a device if somebody says so."""

    def __init__(self, values):
        self.values = values

    def __arrow_c_device_array__(self, requested_schema=None, **options):
        return self.values.__arrow_c_device_array__(requested_schema, **options)


@dataclass(frozen=True)
class Library:
    """How arrays of one and of two axes come; ``zero_copy``: those of which nothing is copied."""

    name: str
    needs: tuple[str, ...]
    line: Callable[[np.ndarray], Any] | None
    rows: Callable[[np.ndarray], Any] | None
    zero_copy: tuple[int, ...] = (1, 2)
    halves: tuple[str, ...] = ()  # of "float16" and "bfloat16" those that it has
    dtypes: tuple[str, ...] = ("float32", "float64")
    labels: bool = True  # whether it holds integers

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)

    def of(self, values: np.ndarray) -> Any:
        """An array in this library's form: of three axes as a list of two."""
        if values.dtype.kind in "iub" and not self.labels:
            return values
        if values.ndim == 3:
            return [self.of(one) for one in values]
        made = {1: self.line, 2: self.rows}.get(values.ndim)
        return values if made is None else made(values)

    def __str__(self) -> str:
        return self.name


def _pyarrow():
    return pytest.importorskip("pyarrow")


def _pandas():
    return pytest.importorskip("pandas", reason="needs the bench extra")


def _polars():
    return pytest.importorskip("polars", reason="needs the bench extra")


def _torch():
    return pytest.importorskip("torch", reason="needs the bench extra")


def _jax():
    jax = pytest.importorskip("jax", reason="needs the bench extra")
    jax.config.update("jax_platforms", "cpu")
    return pytest.importorskip("jax.numpy")


def in_jax(values):
    """float64 and int64 stay what they are."""
    import jax

    numpy = _jax()
    with jax.enable_x64(True):
        return numpy.asarray(values)


def fixed_lists(values):
    pa = _pyarrow()
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def lists(values):
    pa = _pyarrow()
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)))


def large_lists(values):
    pa = _pyarrow()
    offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    return pa.LargeListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)))


def columns(values):
    return {f"p_{k}": np.ascontiguousarray(values[:, k]) for k in range(values.shape[1])}


def chunked(values, make):
    """Three chunks, one of which is empty, at an offset."""
    pa = _pyarrow()
    cut = len(values) // 3
    return pa.chunked_array([make(values[:cut]), make(values[:0]), make(values)[cut:]])


def nullable(values):
    pd = _pandas()
    name = {"f": "Float", "i": "Int", "u": "UInt"}[values.dtype.kind] + str(8 * values.dtype.itemsize)
    return pd.Series(pd.array(values, dtype=name))


def of_arrow(values):
    pd = _pandas()
    return pd.Series(pd.arrays.ArrowExtensionArray(_pyarrow().array(np.ascontiguousarray(values))))


def strided(values):
    """Every other row of a tensor, and of its columns."""
    torch = _torch()
    room = torch.zeros([2 * n for n in values.shape], dtype=torch.from_numpy(values[:0].copy()).dtype)
    view = room[tuple(slice(None, None, 2) for _ in values.shape)]
    view.copy_(torch.from_numpy(values.copy()))
    return view


def tensor(values):
    torch = _torch()
    if values.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(values.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(values.copy())


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def numpy_strided(values):
    room = np.zeros([2 * n for n in values.shape], values.dtype)
    view = room[tuple(slice(None, None, 2) for _ in values.shape)]
    view[...] = values
    return view


HALVES = ("float16", "bfloat16")
PA, PD, PL, TORCH, JAX = ("pyarrow",), ("pandas",), ("polars",), ("torch",), ("jax",)
LIBRARIES = [
    Library("lists", (), np.ndarray.tolist, np.ndarray.tolist, zero_copy=(), dtypes=("float64",)),
    Library("numpy, read-only", (), read_only, read_only, halves=HALVES),
    Library("numpy, strided", (), numpy_strided, numpy_strided),
    Library("numpy, Fortran", (), None, np.asfortranarray),
    Library("numpy, big-endian", (), *[lambda a: a.astype(a.dtype.newbyteorder(">"))] * 2),
    Library("numpy, a subclass", (), *[lambda a: a.view(np.memmap)] * 2),
    Library("numpy, masked nowhere", (), np.ma.masked_array, np.ma.masked_array),
    Library("array", (), lambda a: array.array({"i": "q"}.get(a.dtype.kind, a.dtype.char), a.tolist()), None),
    Library("memoryview", (), lambda a: memoryview(a.copy()), lambda a: memoryview(a.copy())),
    Library("__array__", (), OnlyArray, OnlyArray, halves=("bfloat16",)),
    Library("__array_interface__", (), OnlyInterface, OnlyInterface),
    Library("__dlpack__", (), *[lambda a: OnlyDlpack(a.copy())] * 2),
    Library("pyarrow", PA, lambda a: _pyarrow().array(a), fixed_lists, halves=("float16",)),
    Library("pyarrow, lists", PA, None, lists),
    Library("pyarrow, large lists", PA, None, large_lists),
    Library(
        "pyarrow, a slice",
        PA,
        *[lambda a, f=f: f(np.concatenate([a, a]))[len(a) :] for f in (lambda a: _pyarrow().array(a), fixed_lists)],
    ),
    Library("pyarrow, chunks", PA, lambda a: chunked(a, _pyarrow().array), lambda a: chunked(a, fixed_lists), ()),
    Library("pyarrow, a table", PA, None, lambda a: _pyarrow().table(columns(a)), ()),
    Library("pyarrow, a batch", PA, None, lambda a: _pyarrow().record_batch(columns(a)), ()),
    Library("Arrow capsules", PA, lambda a: OnlyCapsules(_pyarrow().array(a)), lambda a: OnlyCapsules(fixed_lists(a))),
    Library(
        "Arrow streams",
        PA,
        lambda a: OnlyStream(_pyarrow().chunked_array([a])),
        lambda a: OnlyStream(_pyarrow().table(columns(a))),
        (1,),
    ),
    Library("Arrow devices", PA, lambda a: OnlyDevice(_pyarrow().array(a)), lambda a: OnlyDevice(fixed_lists(a))),
    Library(
        "pandas", PD, lambda a: _pandas().Series(a.copy()), lambda a: _pandas().DataFrame(a.copy()), halves=("float16",)
    ),
    Library("pandas, an index", PD, lambda a: _pandas().Index(a.copy()), None),
    Library(
        "pandas, nullable",
        PD,
        nullable,
        lambda a: _pandas().DataFrame({k: nullable(a[:, k]) for k in range(a.shape[1])}),
        (1,),
    ),
    Library(
        "pandas, of Arrow",
        (*PD, *PA),
        of_arrow,
        lambda a: _pandas().DataFrame({k: of_arrow(a[:, k]) for k in range(a.shape[1])}),
        (1,),
    ),
    Library("polars", PL, lambda a: _polars().Series(a.copy()), lambda a: _polars().DataFrame(columns(a)), (1,)),
    Library(
        "polars, arrays",
        PL,
        None,
        lambda a: _polars().Series(
            a.tolist(),
            dtype=_polars().Array({"f4": _polars().Float32, "f8": _polars().Float64}[a.dtype.str[1:]], a.shape[1]),
        ),
    ),
    Library("torch", TORCH, tensor, tensor, halves=HALVES),
    Library(
        "torch, with a gradient",
        TORCH,
        *[lambda a: tensor(a).requires_grad_(a.dtype.kind not in "iu")] * 2,
    ),
    Library("torch, strided", TORCH, strided, strided),
    Library("torch, turned", TORCH, None, lambda a: tensor(a.T).T),
    Library("JAX", JAX, in_jax, in_jax, halves=HALVES),
    Library("dask", ("dask",), *[lambda a: importlib.import_module("dask.array").from_array(a, chunks=7)] * 2, ()),
]
INSTALLED = [
    pytest.param(
        one, id=one.name, marks=pytest.mark.skipif(bool(one.missing), reason=f"{', '.join(one.missing)} not installed")
    )
    for one in LIBRARIES
]
