"""Safetensors: a header in JSON that says where each array lies, then the arrays' bytes.

Nothing of a file is believed: the header's length is held against a bound and against the file's, and every array's
place against its shape, against the end of the file and against the other arrays' places.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from .batches import DumpError, first_line, named_roles
from .names import Roles, listed
from .stored import StoredArray, StoredDump, checked, open_file

# The format allows 100 MB; an array takes some 80 bytes of it.
MAX_HEADER = 8 << 20
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "|b1",
}


def open_dump(path: Path, asked: Roles) -> StoredDump:
    """The arrays of a file. Raises DumpError; no row is read yet."""
    arrays = tensors(path)
    roles = named_roles(asked, arrays, str(path))
    return StoredDump(
        str(path), checked(arrays, lambda name: tensor(path, name, arrays[name]), roles, str(path)), roles
    )


def tensors(path: Path) -> dict[str, dict[str, Any]]:
    """What the header says of each array; ``data`` is where its bytes lie in the file. Raises DumpError."""
    with os.fdopen(open_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length), object_pairs_hook=_once)
            if not isinstance(header, dict):
                raise ValueError("its header is no object")
            header.pop("__metadata__", None)
            places = sorted(_place(name, entry) for name, entry in header.items())
            end = 0
            for start, stop, name in places:
                if start != end:
                    raise ValueError(f"{name} begins at byte {start}, what lies before it ends at {end}")
                end = stop
            if end != size - 8 - length:
                raise ValueError(f"its arrays end at byte {end}, the file at {size - 8 - length}")
        except (ValueError, RecursionError, OSError) as error:
            raise DumpError(f"{path} is no safetensors file: {first_line(error)}") from error
    return {name: {**header[name], "data": 8 + length + start} for start, _, name in places}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name stands there twice, among {listed([name for name, _ in pairs])}")
    return found


def _place(name: str, entry: Any) -> tuple[int, int, str]:
    """Where an array begins and ends among the arrays' bytes."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{name} has no dtype, shape and data_offsets")
    shape, place = entry["shape"], entry["data_offsets"]
    if not (_are_counts(shape) and _are_counts(place) and len(place) == 2):
        raise ValueError(f"{name} has shape {str(shape)[:60]} and data_offsets {str(place)[:60]}")
    kind = _TYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    n_bytes = place[1] - place[0]
    if n_bytes < 0 or (kind is not None and math.prod(shape) * np.dtype(kind).itemsize != n_bytes):
        raise ValueError(f"{name} has {n_bytes} bytes, which its shape {str(shape)[:60]} is not")
    return place[0], place[1], name


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 64 and all(type(n) is int and 0 <= n < 1 << 62 for n in values)


def tensor(path: Path, name: str, entry: dict[str, Any]) -> StoredArray:
    """An array as it lies in the file. Raises DumpError for a type that is not read."""
    where = f"{name} in {path}"
    if entry["dtype"] not in _TYPES:
        raise DumpError(f"{where} has dtype {str(entry['dtype'])[:60]}; expected one of {', '.join(_TYPES)}")
    kind = np.dtype(_TYPES[entry["dtype"]])
    return StoredArray(path, where, entry["data"], tuple(entry["shape"]), kind, is_bfloat16=entry["dtype"] == "BF16")
