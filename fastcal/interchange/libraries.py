"""Whose array an object is, and how that library's are read: zero copy wherever the layout allows.

No library is imported: an object's type says in which module it was made. Arrays on accelerators, sparse and quantized
ones raise TypeError that names the argument and says what to call.
"""

from __future__ import annotations

import array
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import arrow
from .missing import NullableArray, with_missing

Array = npt.NDArray[Any]

# DLPack's devices, those whose memory NumPy can read first.
READABLE = (1, 3, 11, 13)
DEVICES = {2: "cuda", 4: "opencl", 7: "vulkan", 8: "metal", 9: "vpi", 10: "rocm", 14: "oneapi", 15: "webgpu"}
PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
EXPECTED = "expected real numbers"


@functools.lru_cache(1024)
def _made_in(kind: Any) -> frozenset[str]:
    return frozenset(base.__module__.partition(".")[0] for base in kind.__mro__)


def libraries_of(values: Any) -> frozenset[str]:
    """The packages in which an object's type and those that it derives from were made."""
    kind: Any = type(values)
    return _made_in(kind)


def is_array(values: Any) -> bool:
    """Whether an object offers its numbers as an array, in any way that is understood here."""
    if isinstance(values, type):
        return False
    if isinstance(values, memoryview | array.array):
        return True
    return any(hasattr(values, name) for name in PROTOCOLS) or arrow.is_arrow(values)


def as_array(argument: str, values: Any) -> tuple[Array, bool]:
    """An array of whatever dtype, masked where values are missing, and whether it holds the bits of bfloat16.

    Raises TypeError naming the argument, ValueError for what is ragged, and :class:`arrow.Unreadable`.
    """
    if isinstance(values, np.ndarray):
        return (values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)), False
    if isinstance(values, list | tuple):
        return _of_sequence(argument, values), False
    found = libraries_of(values)
    if "torch" in found and hasattr(values, "layout"):
        return _of_torch(argument, values)
    _refuse_sparse(argument, values)
    if "pandas" in found:
        return _of_pandas(argument, values), False
    if "polars" in found and hasattr(values, "collect"):
        raise TypeError(f"{argument} is a {_name(values)} of polars; call {argument}.collect() first")
    _refuse_devices(argument, values, found)
    if arrow.is_arrow(values):
        return _of_arrow(argument, values), False
    return _asked(argument, values, _of_protocols), False


def _name(values: Any) -> str:
    return type(values).__name__


def _asked(argument: str, values: Any, ask: Callable[[Any], Array]) -> Array:
    """What a library makes of an array; what goes wrong in it names the argument."""
    try:
        return ask(values)
    except (ValueError, MemoryError):
        raise
    except Exception as error:
        problem = (str(error).splitlines() or [_name(error)])[0]
        raise TypeError(f"{argument} is a {_name(values)} that cannot be read: {problem}") from error


def _of_protocols(values: Any) -> Array:
    if not any(hasattr(values, name) for name in PROTOCOLS[:-1]) and hasattr(values, "__dlpack__"):
        return np.asarray(np.from_dlpack(values))
    return np.asarray(values)


def _of_sequence(argument: str, values: Any) -> Array:
    """A list or tuple of numbers or of arrays, those of other libraries one by one."""
    first = values[0] if values else None
    if isinstance(first, np.generic) or not is_array(first):
        return _asked(argument, values, np.asarray)
    if all(type(one) is np.ndarray for one in values):
        return np.asarray(values)
    parts = [as_array(f"{argument}[{k}]", one) for k, one in enumerate(values)]
    arrays = [widened(part) if bits else part for part, bits in parts]
    if any(isinstance(one, np.ma.MaskedArray) for one in arrays):
        found = np.ma.stack(arrays)
        return found.view(NullableArray) if any(isinstance(one, NullableArray) for one in arrays) else found
    if len({one.shape for one in arrays}) > 1:
        row = next(k for k, one in enumerate(arrays) if one.shape != arrays[0].shape)
        problem = f"row {row} has shape {arrays[row].shape}, row 0 has {arrays[0].shape}"
        raise arrow.Unreadable(f"is no array: {problem}", is_value=True)
    return np.stack(arrays)


def widened(bits: Array) -> Array:
    """The float32 numbers whose leading halves are these bits of bfloat16; masked where they are."""
    if isinstance(bits, np.ma.MaskedArray):
        found = np.ma.MaskedArray(widened(bits.data), np.ma.getmaskarray(bits))
        return found.view(type(bits))
    whole = np.asarray(bits, order="C").view(np.uint16).astype(np.uint32)  # in the shape that it has, () too
    return np.asarray(whole << np.uint32(16)).view(np.float32)


def _refuse_sparse(argument: str, values: Any) -> None:
    if hasattr(values, "tocsr"):
        raise TypeError(f"{argument} is a sparse matrix; expected an array: call {argument}.toarray() first")


def _refuse_devices(argument: str, values: Any, found: frozenset[str]) -> None:
    """Raise TypeError for what does not lie in the memory of this process."""
    if "jaxlib" in found or "jax" in found:
        if "jaxlib" in found and getattr(values, "is_deleted", bool)():
            raise TypeError(f"{argument} is an array of JAX that has been deleted")
        devices = getattr(values, "devices", None)  # what is traced has none
        for device in devices() if "jaxlib" in found and devices is not None else ():
            if device.platform != "cpu":
                raise TypeError(f"{argument} is on {device}; call jax.device_get({argument}) first")
        return
    where = None
    if hasattr(values, "__cuda_array_interface__"):
        where = f"cuda:{getattr(getattr(values, 'device', None), 'id', 0)}"
    elif hasattr(values, "__dlpack_device__") and not arrow.is_arrow(values):  # which says it by Arrow's own protocol
        kind, number = values.__dlpack_device__()
        if int(kind) not in READABLE:
            where = f"{DEVICES.get(int(kind), f'device type {int(kind)}')}:{number}"
    if where is not None:
        how = f"call {argument}.get() first" if hasattr(values, "get") else "copy it to the host first"
        raise TypeError(f"{argument} is on {where}; {how}")


def _of_arrow(argument: str, values: Any) -> Array:
    try:
        return with_missing(*arrow.read(values))
    except arrow.ElsewhereError as error:
        kind, number = error.device
        where = f"{DEVICES.get(kind, f'device type {kind}')}:{number}"
        raise TypeError(f"{argument} is on {where}; copy it to the host first") from None
    except arrow.Unreadable as error:
        if error.is_value:
            raise
        raise TypeError(f"{argument} {error.problem}; {EXPECTED}") from None
    except MemoryError:
        raise
    except Exception as error:
        problem = (str(error).splitlines() or [_name(error)])[0]
        raise TypeError(f"{argument} is a {_name(values)} that cannot be read: {problem}") from error


# torch


def _of_torch(argument: str, tensor: Any) -> tuple[Array, bool]:
    """A tensor on the CPU: without a copy, and without its gradient."""
    torch = sys.modules["torch"]
    if tensor.layout != torch.strided or tensor.is_nested:
        how = f"call {argument}.to_dense() first"
        raise TypeError(f"{argument} is a tensor of layout {tensor.layout}; expected a dense one: {how}")
    if tensor.is_quantized:
        raise TypeError(f"{argument} is a quantized tensor; call {argument}.dequantize() first")
    if tensor.device.type == "meta":
        raise TypeError(f"{argument} is on meta, and holds no numbers")
    if tensor.device.type != "cpu":
        raise TypeError(f"{argument} is on {tensor.device}; call {argument}.cpu() first")
    if tensor.dtype.is_complex:
        raise TypeError(f"{argument} has dtype {tensor.dtype}; {EXPECTED}")

    def ask(tensor: Any) -> Array:
        plain = tensor.detach().resolve_neg().resolve_conj()
        if plain.dtype == torch.bfloat16:
            return np.asarray(plain.view(torch.int16).numpy().view(np.uint16))
        if plain.dtype.is_floating_point and plain.dtype.itemsize == 1:
            plain = plain.float()
        return np.asarray(plain.numpy())

    return _asked(argument, tensor, ask), tensor.dtype == torch.bfloat16


# pandas


def _of_pandas(argument: str, values: Any) -> Array:
    if not hasattr(values, "columns"):
        return _of_pandas_column(argument, values)
    dtypes = list(values.dtypes)
    if dtypes and isinstance(dtypes[0], np.dtype) and all(one == dtypes[0] for one in dtypes):
        return np.asarray(values)
    columns = []
    for k in range(len(dtypes)):
        one = _of_pandas_column(f"{argument}.iloc[:, {k}]", values.iloc[:, k])
        columns.append(arrow.Column(np.ma.getdata(one), _hidden(one)))
    if not columns:
        return np.empty(values.shape)
    return with_missing(*arrow.joined([columns], is_rows=True))


def _hidden(values: Array) -> Array | None:
    return np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None


def _of_pandas_column(argument: str, values: Any) -> Array:
    """A Series, an Index or an array of pandas' own."""
    dtype: Any = getattr(values, "dtype", None)
    if hasattr(dtype, "pyarrow_dtype"):
        return _of_arrow(argument, getattr(values, "array", values).__arrow_array__())
    if isinstance(dtype, np.dtype):
        return _asked(argument, values, np.asarray)
    if hasattr(dtype, "numpy_dtype"):  # nullable numbers and booleans
        missing = np.asarray(values.isna())
        if not missing.any():
            return np.asarray(values.to_numpy(dtype=dtype.numpy_dtype, copy=False))
        return with_missing(np.asarray(values.to_numpy(dtype=dtype.numpy_dtype, na_value=0)), missing)
    if hasattr(dtype, "categories"):
        whole = getattr(values, "array", values)
        names, places = _of_pandas_column(argument, whole.categories), np.asarray(whole.codes)
        if names.dtype.kind in "biuf" and names.size:
            return with_missing(names[np.maximum(places, 0)], places < 0)
    elif hasattr(dtype, "subtype") and hasattr(dtype, "fill_value"):  # sparse
        return _asked(argument, values, np.asarray)
    raise TypeError(f"{argument} has dtype {dtype if dtype is not None else _name(values)}; {EXPECTED}")


# what need not be numbers


def as_labels(argument: str, values: Any) -> Array:
    """Numbers, or objects such as text, masked where they are missing: of any library, not those of a list."""
    if isinstance(values, np.ndarray):
        return values
    _refuse_sparse(argument, values)
    found = libraries_of(values)
    if "pandas" in found and not _is_numeric(values):
        missing = np.asarray(values.isna())
        return with_missing(np.asarray(values, object), missing)
    if found & {"pyarrow", "polars"}:
        try:
            return with_missing(*arrow.read(values))
        except arrow.Unreadable:
            listed = values.to_pylist() if hasattr(values, "to_pylist") else values.to_list()
            return with_missing(_objects(listed), np.array([one is None for one in listed], bool))
    return as_array(argument, values)[0]


def _is_numeric(values: Any) -> bool:
    try:
        return _of_pandas("", values).dtype.kind in "biuf"
    except TypeError:
        return False


def _objects(items: list[Any]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array
