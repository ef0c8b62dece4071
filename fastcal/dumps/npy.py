"""NumPy's own formats, read row by row: .npz archives, and .npy files that belong together.

Rows are read from the (decompressed) stream in order, so that an archive is never inflated as a whole; memory holds one
batch. Only arrays of plain numbers are read: an object array is a pickle, and is refused.
"""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from .batches import Batch, Dump, DumpError, rows_per_batch
from .names import Roles

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class ArrayStream:
    """An array in .npy format, read from a file object from its first row to its last."""

    def __init__(self, file: IO[bytes], name: str, size: int) -> None:
        self.name = name
        self._file = file
        try:
            version = np.lib.format.read_magic(file)
            self.shape, fortran, self.dtype = _READERS[version](file)
        except Exception as error:  # whatever NumPy's parser of headers trips over: tokens, syntax, recursion, types
            raise DumpError(f"{name} is no .npy array: {_line(error)}") from error
        if self.dtype.hasobject:
            raise DumpError(f"{name} holds Python objects, a pickle, which is never read; save it as numbers")
        if self.dtype.kind not in "biuf":
            raise DumpError(f"{name} has dtype {self.dtype}; expected real numbers")
        if not self.shape:
            raise DumpError(f"{name} has shape (); expected one entry a row")
        if math.prod(self.shape[1:]) > MAX_CLASSES:
            raise DumpError(f"{name} has shape {self.shape}; a row holds at most {MAX_CLASSES} values")
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        if size - file.tell() < self.shape[0] * self.row_bytes:
            raise DumpError(f"{name} is truncated: its shape {self.shape} needs more bytes than it has")
        self._mapped = self._map() if fortran and len(self.shape) > 1 else None
        self._done = 0

    def _map(self) -> Array:
        """An array stored column by column has no rows to stream: its file is mapped instead."""
        try:
            return np.memmap(self._file, self.dtype, "r", self._file.tell(), self.shape, order="F")
        except (AttributeError, OSError, ValueError):  # inside an archive
            message = f"{self.name} is stored column by column; save it with np.ascontiguousarray, or as .npy"
            raise DumpError(message) from None

    def read(self, n: int) -> Array:
        """The next n rows."""
        self._done += n
        if self._mapped is not None:
            return self._mapped[self._done - n : self._done]
        wanted = n * self.row_bytes
        buffer = bytearray(wanted)
        view = memoryview(buffer)
        filled = 0
        try:
            while filled < wanted:
                part = self._file.read(min(wanted - filled, 1 << 20))
                if not part:
                    raise DumpError(f"{self.name} is truncated")
                view[filled : filled + len(part)] = part
                filled += len(part)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DumpError(f"{self.name} is damaged: {_line(error)}") from error
        array: Array = np.frombuffer(buffer, self.dtype).reshape(n, *self.shape[1:])
        return array


class NumpyDump(Dump):
    """Arrays in one .npz archive, or in one .npy file each."""

    def __init__(self, name: str, members: dict[str, Any], roles: Roles) -> None:
        self.name = name
        self.roles = roles
        self._members = members

    def batches(self) -> Generator[Batch, None, None]:
        """See :meth:`Dump.batches`."""
        with contextlib.ExitStack() as stack:
            scores = self._open(stack, self.roles.scores)
            others = {
                role: self._open(stack, name)
                for role, name in (("labels", self.roles.labels), ("weights", self.roles.weights))
                if name is not None
            }
            n = scores.shape[0]
            for other in others.values():
                if other.shape[0] != n:
                    raise DumpError(f"{other.name} has {other.shape[0]} rows, {scores.name} has {n}")
            size = rows_per_batch(scores.row_bytes)
            for start in range(0, n, size):
                rows = min(size, n - start)
                weights = others["weights"].read(rows) if "weights" in others else None
                yield Batch(others["labels"].read(rows), scores.read(rows), weights)

    def _open(self, stack: contextlib.ExitStack, name: str) -> ArrayStream:
        if name not in self._members:
            raise DumpError(f"{self.name} has no array {name!r}; it has {', '.join(sorted(self._members))}")
        file, size = stack.enter_context(self._members[name]())
        return ArrayStream(file, f"{name} in {self.name}", size)


def npz_members(path: Path) -> dict[str, Any]:
    """The arrays of an archive: name -> a function that opens it, as a context manager of (file, size)."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if info.filename.endswith(".npy")]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise DumpError(f"{path} is no .npz archive: {_line(error)}") from error

    @contextlib.contextmanager
    def opened(name: str) -> Iterator[tuple[IO[bytes], int]]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(name) as member:
                yield member, archive.getinfo(name).file_size
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # encrypted, unknown compression
            raise DumpError(f"{name} in {path} cannot be read: {_line(error)}") from error

    return {name.removesuffix(".npy"): lambda name=name: opened(name) for name in names}


def npy_member(path: Path) -> Any:
    """A function that opens a .npy file, as a context manager of (file, size)."""

    @contextlib.contextmanager
    def opened() -> Iterator[tuple[IO[bytes], int]]:
        try:
            with open(path, "rb") as file:
                yield file, os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DumpError(f"{path} cannot be read: {error.strerror}") from error

    return opened


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
