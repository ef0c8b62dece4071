"""An array more in a .npz archive or a .safetensors file, or in a .npy file of its own."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import Array
from .adding import Addition, made, source_of, suffix_of
from .batches import Dump, DumpError, first_line
from .npy import header_of
from .npz import check_compression

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError)
COPIED = 1 << 20  # bytes that are copied at once


def add(dump: Dump, out: Path, addition: Addition) -> int:
    """See :func:`fastcal.dumps.adding.add`."""
    suffix = suffix_of(source_of(dump))
    if suffix == ".npz":
        return _to_archive(dump, out, addition)
    if suffix == ".safetensors":
        return _to_tensors(dump, out, addition)
    with open(source_of(dump), "rb") as source:
        shape, _ = array_header(source, str(source_of(dump)))
    with open(out, "wb") as file:
        return _write_array(file, dump, addition, shape)


class _Made:
    """The addition to scores of a shape; its last axis and its type are those of the first batch."""

    def __init__(self, dump: Dump, addition: Addition, shape: tuple[int, ...]) -> None:
        self._name = dump.name
        self._batches = made(dump, addition)
        self._first = next(self._batches, np.empty((0, *shape[1:]), np.float32))
        self.dtype = self._first.dtype
        self.shape = shape
        self.n_rows = math.prod(shape[: max(1, len(shape) - 1)])

    @property
    def n_bytes(self) -> int:
        """Of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def write(self, file: IO[bytes]) -> None:
        """All values, little-endian; raises DumpError where they are not those of the header that was written."""
        n_bytes = 0
        for batch in itertools.chain([self._first], self._batches):
            if batch.dtype != self.dtype:
                raise DumpError(f"{self._name} holds {batch.dtype} and {self.dtype}")
            file.write(little(batch).reshape(-1).view(np.uint8).data)
            n_bytes += batch.nbytes
        if n_bytes != self.n_bytes:
            raise DumpError(f"{self._name} does not hold the rows that it had at first; it changed while it was read")


def _write_array(file: IO[bytes], dump: Dump, addition: Addition, shape: tuple[int, ...]) -> int:
    values = _Made(dump, addition, shape)
    write_header(file, values.shape, values.dtype)
    values.write(file)
    return values.n_rows


def array_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of a .npy array; raises DumpError for none, and for a pickle, which is not even passed on."""
    try:
        shape, _, dtype = header_of(file)
    except Exception as error:  # whatever NumPy's parser of headers trips over: tokens, syntax, recursion, types
        raise DumpError(f"{name} is no .npy array: {first_line(error)}") from error
    if dtype.hasobject:
        raise DumpError(f"{name} holds Python objects, a pickle, which is never passed on; save it as numbers")
    return shape, dtype


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """The header of a .npy array whose rows follow one after the other, little-endian."""
    header = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _to_archive(dump: Dump, out: Path, addition: Addition) -> int:
    """The archive's own bytes, with one member more; where that takes another's place, the members one by one."""
    source, member = source_of(dump), f"{addition.name}.npy"
    try:
        with zipfile.ZipFile(source) as archive:
            infos = archive.infolist()
            shape, stored = None, zipfile.ZIP_STORED
            addition.check_new([info.filename.removesuffix(".npy") for info in infos], source)
            for info in infos:
                check_compression(info, source)
                if info.filename.endswith(".npy"):
                    with archive.open(info) as file:
                        found, _ = array_header(file, f"{info.filename} in {source}")
                    if info.filename == f"{dump.roles.scores}.npy":
                        shape, stored = found, info.compress_type
            if shape is None:
                raise DumpError(f"{source} has no array {dump.roles.scores!r}")
            if any(info.filename == member for info in infos):
                _copy_members(archive, [info for info in infos if info.filename != member], out)
            else:
                shutil.copyfile(source, out)
    except DAMAGE as error:
        raise DumpError(f"{source} is damaged: {first_line(error)}") from error
    with zipfile.ZipFile(out, "a") as archive:
        new = zipfile.ZipInfo(member)  # of no date: the same run gives the same bytes
        new.compress_type = stored
        with archive.open(new, "w", force_zip64=True) as file:
            return _write_array(file, dump, addition, shape)


def _copy_members(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], out: Path) -> None:
    with zipfile.ZipFile(out, "w") as copy:
        for info in infos:
            same = zipfile.ZipInfo(info.filename, info.date_time)
            same.compress_type = info.compress_type
            with archive.open(info) as source, copy.open(same, "w", force_zip64=True) as file:
                shutil.copyfileobj(source, file, COPIED)


def _to_tensors(dump: Dump, out: Path, addition: Addition) -> int:
    """The tensors in the order of their bytes, and one more at their end."""
    source = source_of(dump)
    with open(source, "rb") as file, open(out, "wb") as copy:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
        addition.check_new(header, source)
        values = _Made(dump, addition, tuple(header[dump.roles.scores]["shape"]))
        header.pop(addition.name, None)
        tensors = sorted((one["data_offsets"], name) for name, one in header.items() if name != "__metadata__")
        end = 0
        for (start, stop), name in tensors:
            header[name]["data_offsets"] = [end, end + stop - start]
            end += stop - start
        header[addition.name] = tensor(values.dtype, values.shape, end)
        write_tensor_header(copy, header)
        for (start, stop), _ in tensors:
            file.seek(8 + length + start)
            copy_bytes(file, copy, stop - start, str(source))
        values.write(copy)
    return values.n_rows


def tensor(dtype: np.dtype[Any], shape: tuple[int, ...], start: int) -> dict[str, Any]:
    """What a .safetensors header says of an array."""
    size = math.prod(shape) * dtype.itemsize
    return {
        "dtype": "BOOL" if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}",
        "shape": list(shape),
        "data_offsets": [start, start + size],
    }


def write_tensor_header(file: IO[bytes], header: dict[str, Any]) -> None:
    """The header of a .safetensors file, of a length that leaves the data aligned."""
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)


def copy_bytes(source: IO[bytes], out: IO[bytes], n: int, name: str) -> None:
    """The next n bytes of a file."""
    while n:
        part = source.read(min(n, COPIED))
        if not part:
            raise DumpError(f"{name} is truncated")
        out.write(part)
        n -= len(part)


def little(values: Array) -> Array:
    """Values as files hold them."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
