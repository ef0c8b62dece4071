"""NumPy's .npy files, those that share a prefix as the arrays of one dump; and the header that every .npy array has.

Only arrays of plain numbers and text are read: an object array is a pickle, and is refused.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from .batches import DumpError, first_line, named_roles
from .names import KNOWN, Roles
from .stored import StoredArray, StoredDump, checked, open_file

# Version of the format: the length field's layout, and the reader of what follows it.
_HEADERS = {
    (1, 0): ("<H", np.lib.format.read_array_header_1_0),
    (2, 0): ("<I", np.lib.format.read_array_header_2_0),
}
MAX_HEADER = 10_000


def array_of_npy(file: IO[bytes], path: Path, name: str, size: int) -> StoredArray:
    """The array whose header ``file``, of ``size`` bytes, begins with. Raises DumpError."""
    try:
        shape, by_column, dtype = header_of(file)
    except Exception as error:  # whatever NumPy's parser of headers trips over: tokens, syntax, recursion, types
        raise DumpError(f"{name} is no .npy array: {first_line(error)}") from error
    array = StoredArray(path, name, file.tell(), shape, dtype, by_column and len(shape) > 1)
    n_bytes = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and size - array.offset < n_bytes:
        raise DumpError(f"{name} is truncated: its shape {shape} needs more bytes than it has")
    if not dtype.hasobject and size - array.offset > n_bytes:
        raise DumpError(f"{name} has {size - array.offset - n_bytes} bytes more than its shape {shape} needs")
    return array


def header_of(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype; the header is read only once its length is known to be sane."""
    layout, reader = _HEADERS[np.lib.format.read_magic(file)]
    length = file.read(struct.calcsize(layout))
    if struct.unpack(layout, length)[0] > MAX_HEADER:
        raise ValueError(f"a header of more than {MAX_HEADER} bytes")
    shape, fortran, dtype = reader(io.BytesIO(length + file.read(struct.unpack(layout, length)[0])))
    if any(n < 0 for n in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype


def npy_array(path: Path, name: str) -> StoredArray:
    """The array in a .npy file. Raises DumpError."""
    with os.fdopen(open_file(path), "rb") as file:
        return array_of_npy(file, path, name, os.fstat(file.fileno()).st_size)


def open_arrays(paths: Iterable[Path], asked: Roles) -> list[StoredDump]:
    """The dumps that .npy files hold together: one for each prefix of their names, in order of the first file.

    ``run1/val_logits.npy`` is array ``logits`` of the dump ``run1/val_``; ``run1/val_other.npy`` belongs to it, too.
    """
    places = {path: _split(path, asked) for path in paths}
    prefixes = sorted((place[0] for place in places.values() if place), key=len)
    found: dict[str, dict[str, Path]] = {}
    for path, place in places.items():
        prefix, name = place or _beside(path, prefixes)
        group = found.setdefault(prefix, {})
        if name in group:
            raise DumpError(f"{group[name]} and {path} are both {name!r} of one dump")
        group[name] = path
    if len(found) > 1 and sum(map(len, found.values())) <= 4 and asked.named:
        # Up to four arrays with names of their own, told apart by flags, are one dump.
        found = {", ".join(found): {name: path for group in found.values() for name, path in group.items()}}
    return [_together(f"{prefix}*.npy", group, asked) for prefix, group in found.items()]


def _together(where: str, paths: dict[str, Path], asked: Roles) -> StoredDump:
    roles = named_roles(asked, paths, where)
    arrays = checked(paths, lambda name: npy_array(paths[name], f"{name} in {paths[name]}"), roles, where)
    return StoredDump(where, arrays, roles)


def _split(path: Path, asked: Roles) -> tuple[str, str] | None:
    """The prefix and the array's name; None where the name says nothing."""
    names = [*asked.named, *(name for known in KNOWN.values() for name in known)]
    for name in names:
        match = re.fullmatch(rf"(|.*[-_.]){re.escape(name)}", path.stem, re.DOTALL)
        if match:
            return _folder(path) + match[1], name
    return None


def _beside(path: Path, prefixes: list[str]) -> tuple[str, str]:
    """The longest of the prefixes that a file has, and the rest of its name; else all of it."""
    whole = _folder(path) + path.stem
    fitting = [prefix for prefix in prefixes if whole.startswith(prefix) and len(prefix) >= len(_folder(path))]
    prefix = fitting[-1] if fitting else _folder(path)
    return prefix, whole[len(prefix) :] or path.stem


def _folder(path: Path) -> str:
    return str(path.parent / "_")[:-1]
