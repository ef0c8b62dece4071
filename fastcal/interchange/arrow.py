"""The Arrow C data interface, read with ctypes: the arrays of any library that speaks it, without that library's own.

Numbers are views of the producer's buffers, which are released when the last view goes; booleans, which are bits, and
columns side by side are copied once. Structures and their letters are those of the specification (Apache Arrow, "The
Arrow C data interface", "The Arrow C stream interface", "The Arrow C device data interface").
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NUMBERS = {
    **{"c": "i1", "C": "u1", "s": "i2", "S": "u2", "i": "i4", "I": "u4", "l": "i8", "L": "u8"},
    **{"e": "f2", "f": "f4", "g": "f8"},
}
LISTS: dict[str, np.dtype[Any]] = {"+l": np.dtype(np.int32), "+L": np.dtype(np.int64)}
# The first letters of what holds no numbers.
OTHERS = {
    **{"u": "text", "U": "text", "vu": "text", "z": "bytes", "Z": "bytes", "vz": "bytes", "w": "bytes"},
    **{"d": "decimals", "t": "dates, times or durations", "+m": "maps", "+u": "unions", "+r": "run-end encoded values"},
    **{"+v": "list views"},
}
CPU = 1  # of DLPack's devices, whose numbers these are
# Rows that are written column by column while they are in a cache.
STRETCH = 4096


class Unreadable(Exception):
    """What an array holds that is no number, or no row of as many as the others; ``is_value``: a value, not a type."""

    def __init__(self, problem: str, *, is_value: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_value = is_value


class ElsewhereError(Exception):
    """That an array lies on a device."""

    def __init__(self, device_type: int, device_id: int) -> None:
        super().__init__(device_type, device_id)
        self.device = device_type, device_id


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


class _Stream(ctypes.Structure):
    _fields_ = (
        ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _DeviceArray(ctypes.Structure):
    _fields_ = (
        ("array", _Array),
        ("device_id", ctypes.c_int64),
        ("device_type", ctypes.c_int32),
        ("sync_event", ctypes.c_void_p),
        ("reserved", ctypes.c_int64 * 3),
    )


_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Owned:
    """A structure that is ours, and is released with the last thing that refers to it."""

    def __init__(self, struct: Any) -> None:
        self.struct = struct

    @classmethod
    def moved(cls, capsule: Any, name: bytes, kind: type[ctypes.Structure]) -> _Owned:
        """What is in a capsule, which then is empty, as the interface wants it."""
        struct, address = kind(), _capsule_pointer(capsule, name)
        ctypes.memmove(ctypes.addressof(struct), address, ctypes.sizeof(kind))
        kind.from_address(address).release = None
        if not struct.release:
            raise Unreadable("was released before it was read")
        return cls(struct)

    def __del__(self, release: Any = _Release, address_of: Any = ctypes.addressof) -> None:
        if self.struct.release:
            release(self.struct.release)(address_of(self.struct))


class _Buffer:
    """Numbers at an address, for NumPy, with what keeps them there."""

    def __init__(self, owner: _Owned, address: int, dtype: np.dtype[Any], n: int) -> None:
        self.owner = owner
        self.__array_interface__ = {"version": 3, "data": (address, True), "typestr": dtype.str, "shape": (n,)}


def _numbers(owner: _Owned, buffer: int | None, dtype: np.dtype[Any], start: int, n: int) -> Array:
    """Numbers start to start + n of a buffer: a read-only view."""
    if not n or buffer is None:
        return np.zeros(n, dtype)
    return np.asarray(_Buffer(owner, buffer + start * dtype.itemsize, dtype, n))


def _bits(owner: _Owned, buffer: int, start: int, n: int) -> Array:
    first, last = start // 8, -(-(start + n) // 8)
    packed = _numbers(owner, buffer, np.dtype(np.uint8), first, last - first)
    return np.unpackbits(packed, bitorder="little")[start - 8 * first :][:n].view(bool)


class Column(NamedTuple):
    """Values (n, ...), and where they are missing: of their shape, or None."""

    values: Array
    missing: Array | None


@dataclass(frozen=True)
class _Type:
    """What a schema says."""

    letters: str
    name: str
    children: tuple[_Type, ...]
    dictionary: _Type | None

    @classmethod
    def of(cls, schema: Any) -> _Type:
        children = tuple(cls.of(schema.children[k].contents) for k in range(schema.n_children))
        dictionary = cls.of(schema.dictionary.contents) if schema.dictionary else None
        name = schema.name.decode("utf-8", "replace") if schema.name else ""
        return cls(schema.format.decode("ascii", "replace"), name, children, dictionary)

    @property
    def is_rows(self) -> bool:
        """Whether it is columns side by side."""
        return self.letters == "+s"

    def refused(self) -> Unreadable:
        what = next((what for first, what in OTHERS.items() if self.letters.startswith(first)), "values of a type")
        return Unreadable(f"holds {what} (Arrow's {self.letters!r})" + (f" in column {self.name!r}" * bool(self.name)))

    def read(self, array: Any, start: int, n: int, owner: _Owned) -> Column:
        """Entries start to start + n."""
        at = array.offset + start
        missing = self._missing(array, at, n, owner)
        if self.dictionary is not None:
            return self._looked_up(array, at, n, owner, missing)
        if self.letters in NUMBERS:
            return Column(_numbers(owner, array.buffers[1], np.dtype(NUMBERS[self.letters]), at, n), missing)
        if self.letters == "b":
            return Column(_bits(owner, array.buffers[1], at, n) if n else np.empty(0, bool), missing)
        if self.letters == "n":
            return Column(np.zeros(n), np.ones(n, bool))
        if self.letters.startswith("+w:"):
            width = int(self.letters[3:])
            found = self.children[0].read(array.children[0].contents, at * width, n * width, owner)
            return _shaped(found, (n, width), missing)
        if self.letters in LISTS:
            return self._lists(array, at, n, owner, missing)
        raise self.refused()

    @staticmethod
    def _missing(array: Any, at: int, n: int, owner: _Owned) -> Array | None:
        if array.null_count == 0 or array.n_buffers == 0 or array.buffers[0] is None or not n:
            return None
        missing = ~_bits(owner, array.buffers[0], at, n)
        return missing if missing.any() else None

    def _looked_up(self, array: Any, at: int, n: int, owner: _Owned, missing: Array | None) -> Column:
        """Numbers by their places in a dictionary."""
        assert self.dictionary is not None
        if self.letters not in NUMBERS:
            raise self.refused()
        values = array.dictionary.contents
        known = self.dictionary.read(values, 0, values.length, owner)
        places = _numbers(owner, array.buffers[1], np.dtype(NUMBERS[self.letters]), at, n)
        places = places if missing is None else np.where(missing, 0, places)
        if not values.length:
            return Column(np.zeros(n), np.ones(n, bool))
        gone = None if known.missing is None else known.missing[places]
        return Column(known.values[places], missing if gone is None else gone if missing is None else missing | gone)

    def _lists(self, array: Any, at: int, n: int, owner: _Owned, missing: Array | None) -> Column:
        """Lists of as many numbers each as rows; of a list that is missing all are."""
        offsets = _numbers(owner, array.buffers[1], LISTS[self.letters], at, n + 1)
        widths = np.diff(offsets)
        there = np.arange(n) if missing is None else np.flatnonzero(~missing)
        width = int(widths[there[0]]) if there.size else 0
        odd = there[widths[there] != width]
        if odd.size:
            problem = f"row {odd[0]} has {widths[odd[0]]} values, row {there[0]} has {width}"
            raise Unreadable(f"is no array: {problem}", is_value=True)
        first, last = (int(offsets[0]), int(offsets[-1])) if n else (0, 0)
        found = self.children[0].read(array.children[0].contents, first, last - first, owner)
        if last - first == n * width:
            return _shaped(found, (n, width), missing)
        rows = (offsets[:-1] - first)[there][:, None] + np.arange(width)  # some that are missing have no numbers
        values, gone = np.zeros((n, width), found.values.dtype), np.ones((n, width), bool)
        values[there] = found.values[rows]
        gone[there] = False if found.missing is None else found.missing[rows]
        return Column(values, gone)

    def columns(self, array: Any, owner: _Owned) -> list[Column]:
        """All entries: columns side by side, or one."""
        if not self.is_rows:
            return [self.read(array, 0, array.length, owner)]
        missing = self._missing(array, array.offset, array.length, owner)
        found = []
        for k, kind in enumerate(self.children):
            one = kind.read(array.children[k].contents, array.offset, array.length, owner)
            if one.values.ndim > 1:
                raise Unreadable(f"holds lists in column {kind.name!r}, beside others")
            found.append(_shaped(one, one.values.shape, missing))
        return found


def _shaped(column: Column, shape: tuple[int, ...], rows: Array | None) -> Column:
    """Values in a shape, of which some rows are missing as well."""
    values, missing = column.values.reshape(*shape, *column.values.shape[1:]), column.missing
    if len(shape) == 1:
        values = column.values
    missing = None if missing is None else missing.reshape(values.shape)
    if rows is None:
        return Column(values, missing)
    gone = np.broadcast_to(rows.reshape(-1, *(1,) * (values.ndim - 1)), values.shape)
    return Column(values, gone if missing is None else missing | gone)


def is_arrow(values: Any) -> bool:
    """Whether an object can be asked for its arrays through the interface."""
    return any(hasattr(values, f"__arrow_c_{way}__") for way in ("array", "stream", "device_array"))


def read(values: Any) -> Column:
    """The numbers that an object exports: (n,), or (n, K) of lists of K or of K columns side by side.

    Raises :class:`Unreadable`, or :class:`ElsewhereError` for arrays on devices.
    """
    if hasattr(values, "__arrow_c_device_array__"):
        kind, array = values.__arrow_c_device_array__()
        device = _DeviceArray.from_address(_capsule_pointer(array, b"arrow_device_array"))
        if device.device_type != CPU:
            raise ElsewhereError(device.device_type, device.device_id)
        return _read_one(kind, _Owned.moved(array, b"arrow_device_array", _Array))
    if hasattr(values, "__arrow_c_array__"):
        kind, array = values.__arrow_c_array__()
        return _read_one(kind, _Owned.moved(array, b"arrow_array", _Array))
    return _read_stream(_Owned.moved(values.__arrow_c_stream__(), b"arrow_array_stream", _Stream))


def _read_one(schema: Any, owner: _Owned) -> Column:
    ours = _Owned.moved(schema, b"arrow_schema", _Schema)  # released when it has been read, and not before
    kind = _Type.of(ours.struct)
    return joined([kind.columns(owner.struct, owner)], is_rows=kind.is_rows)


def _read_stream(stream: _Owned) -> Column:
    """All chunks: a single one without a copy, several in one."""
    schema = _Owned(_Schema())
    _called(stream.struct, stream.struct.get_schema, schema.struct)
    kind = _Type.of(schema.struct)
    pieces = []
    while True:
        owner = _Owned(_Array())
        _called(stream.struct, stream.struct.get_next, owner.struct)
        if not owner.struct.release:
            break
        if owner.struct.length:
            pieces.append(kind.columns(owner.struct, owner))
    return joined(pieces or [_none_of(kind)], is_rows=kind.is_rows)


def _called(stream: Any, function: Any, out: Any) -> None:
    if function(ctypes.addressof(stream), ctypes.addressof(out)):
        said = stream.get_last_error(ctypes.addressof(stream))
        raise Unreadable(f"cannot be read: {(said or b'its stream failed').decode('utf-8', 'replace')}")


def _none_of(kind: _Type) -> list[Column]:
    """No rows."""
    if kind.is_rows:
        return [one for child in kind.children for one in _none_of(child)]
    if kind.letters.startswith("+w:"):
        return [Column(np.empty((0, int(kind.letters[3:]))), None)]
    letters = kind.letters if kind.dictionary is None else kind.dictionary.letters
    if letters not in NUMBERS and letters not in ("b", "n", *LISTS):
        raise kind.refused()
    return [Column(np.empty(0, NUMBERS.get(letters, "f8")), None)]


def joined(pieces: list[list[Column]], *, is_rows: bool) -> Column:
    """Pieces of as many columns each, one below the other; copied once, unless there is a single one.

    ``is_rows``: the columns are those of rows (n, K).
    """
    if not is_rows:
        values = [piece[0].values for piece in pieces]
        shapes = sorted({one.shape[1:] for one in values})
        if len(shapes) > 1:
            raise Unreadable(f"is no array: its chunks have rows of shapes {shapes[0]} and {shapes[1]}", is_value=True)
        missing = _all_missing([piece[0] for piece in pieces])
        return Column(values[0] if len(values) == 1 else np.concatenate(values), missing)
    n_columns = len(pieces[0])
    if n_columns == 1 and len(pieces) == 1:
        only, gone = pieces[0][0]
        return Column(only[:, None], None if gone is None else gone[:, None])
    sizes = [len(piece[0].values) if piece else 0 for piece in pieces]
    dtypes = [column.values.dtype for column in pieces[0]]
    out = np.empty((sum(sizes), n_columns), np.result_type(*dtypes) if dtypes else float)
    start = 0
    for piece, size in zip(pieces, sizes, strict=True):
        for first in range(0, size, STRETCH):
            last = min(first + STRETCH, size)
            for k, column in enumerate(piece):
                out[start + first : start + last, k] = column.values[first:last]
        start += size
    by_column = [_all_missing([piece[k] for piece in pieces]) for k in range(n_columns)]
    if all(one is None for one in by_column):
        return Column(out, None)
    return Column(out, np.stack([np.zeros(len(out), bool) if one is None else one for one in by_column], axis=1))


def _all_missing(columns: list[Column]) -> Array | None:
    if all(column.missing is None for column in columns):
        return None
    parts = [np.zeros(one.values.shape, bool) if one.missing is None else one.missing for one in columns]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
