"""NumPy's own formats, read row by row: .npz archives, and .npy files that belong together.

Rows are read from the (decompressed) stream in order, so that an archive is never inflated as a whole; memory holds one
batch. Only arrays of plain numbers are read: an object array is a pickle, and is refused.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from .batches import Batch, Dump, DumpError, Piece, after, first_line, rows_per_batch
from .names import Roles

# Version of the format: the length field's layout, and the reader of what follows it.
_HEADERS = {
    (1, 0): ("<H", np.lib.format.read_array_header_1_0),
    (2, 0): ("<I", np.lib.format.read_array_header_2_0),
}
MAX_HEADER = 10_000
_DAMAGE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype; the header is read only once its length is known to be sane."""
    layout, reader = _HEADERS[np.lib.format.read_magic(file)]
    length = file.read(struct.calcsize(layout))
    if struct.unpack(layout, length)[0] > MAX_HEADER:
        raise ValueError(f"a header of more than {MAX_HEADER} bytes")
    shape, fortran, dtype = reader(io.BytesIO(length + file.read(struct.unpack(layout, length)[0])))
    if any(n < 0 for n in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran and len(shape) > 1, dtype


class ArrayStream:
    """An array in .npy format, read from a file object from its first row to its last."""

    def __init__(self, file: IO[bytes], name: str, size: int, *, text: bool = False) -> None:
        self.name = name
        self._file = file
        try:
            self.shape, self._by_column, self.dtype = _header(file)
        except Exception as error:  # whatever NumPy's parser of headers trips over: tokens, syntax, recursion, types
            raise DumpError(f"{name} is no .npy array: {first_line(error)}") from error
        if self.dtype.hasobject:
            raise DumpError(f"{name} holds Python objects, a pickle, which is never read; save it as numbers")
        if self.dtype.kind not in ("biufU" if text else "biuf"):
            raise DumpError(f"{name} has dtype {self.dtype}; expected real numbers")
        if not self.shape:
            raise DumpError(f"{name} has shape (); expected one entry a row")
        if math.prod(self.shape[1:]) > MAX_CLASSES:
            raise DumpError(f"{name} has shape {self.shape}; a row holds at most {MAX_CLASSES} values")
        if self._by_column and (len(self.shape) != 2 or isinstance(file, zipfile.ZipExtFile)):
            message = f"{name} is stored column by column; save it with np.ascontiguousarray, or as a .npy of two axes"
            raise DumpError(message)
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._data = file.tell()
        self._done = 0
        if size - self._data < self.shape[0] * self.row_bytes:
            raise DumpError(f"{name} is truncated: its shape {self.shape} needs more bytes than it has")

    def read(self, n: int) -> Array:
        """The next n rows."""
        self._done += n
        if self._by_column:
            return self._columns(n)
        array: Array = np.frombuffer(self._bytes(n * self.row_bytes), self.dtype).reshape(n, *self.shape[1:])
        return array

    def _columns(self, n: int) -> Array:
        """The next n rows of an array stored column by column, a piece of each column after the other."""
        n_rows, n_columns = self.shape
        array = np.empty((n, n_columns), self.dtype, order="F")
        for k in range(n_columns):
            self._file.seek(self._data + (k * n_rows + self._done - n) * self.dtype.itemsize)
            array[:, k] = np.frombuffer(self._bytes(n * self.dtype.itemsize), self.dtype)
        return array

    def _bytes(self, wanted: int) -> bytearray:
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
        except DumpError:
            raise
        except _DAMAGE as error:
            raise DumpError(f"{self.name} is damaged: {first_line(error)}") from error
        return buffer


class NumpyDump(Dump):
    """Arrays in one .npz archive, or in one .npy file each."""

    def __init__(self, name: str, members: dict[str, Any], roles: Roles, files: tuple[Path, ...] = ()) -> None:
        self.files = files
        self.name = name
        self.roles = roles
        self._members = members

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        return [Piece(0, 1)]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        return after(skip, self._read())

    def _read(self) -> Generator[Batch, None, None]:
        with contextlib.ExitStack() as stack:
            scores = self._open(stack, self.roles.scores)
            others = {
                role: self._open(stack, name, text=role == "groups")
                for role in ("labels", "weights", "groups")
                if (name := getattr(self.roles, role)) is not None
            }
            n = scores.shape[0]
            rows_of = scores.shape[: max(1, len(scores.shape) - 1)]
            for other in others.values():
                if other.shape != rows_of:
                    raise DumpError(f"{other.name} has shape {other.shape}, {scores.name} has {scores.shape}")
            size = rows_per_batch(scores.row_bytes)
            for start in range(0, n, size):
                rows = min(size, n - start)
                yield Batch(scores=scores.read(rows), **{role: other.read(rows) for role, other in others.items()})

    def _open(self, stack: contextlib.ExitStack, name: str, *, text: bool = False) -> ArrayStream:
        if name not in self._members:
            raise DumpError(f"{self.name} has no array {name!r}; it has {', '.join(sorted(self._members))}")
        file, size = stack.enter_context(self._members[name]())
        return ArrayStream(file, f"{name} in {self.name}", size, text=text)


def npz_members(path: Path) -> dict[str, Any]:
    """The arrays of an archive: name -> a function that opens it, as a context manager of (file, size)."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if info.filename.endswith(".npy")]
    except (*_DAMAGE, NotImplementedError) as error:
        raise DumpError(f"{path} is no .npz archive: {first_line(error)}") from error

    @contextlib.contextmanager
    def opened(name: str) -> Iterator[tuple[IO[bytes], int]]:
        with contextlib.ExitStack() as stack:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
                member = stack.enter_context(archive.open(name))
            except (*_DAMAGE, RuntimeError, NotImplementedError) as error:  # encrypted, unknown compression
                raise DumpError(f"{name} in {path} cannot be read: {first_line(error)}") from error
            yield member, archive.getinfo(name).file_size

    return {name.removesuffix(".npy"): lambda name=name: opened(name) for name in names}


def npy_member(path: Path) -> Any:
    """A function that opens a .npy file, as a context manager of (file, size)."""

    @contextlib.contextmanager
    def opened() -> Iterator[tuple[IO[bytes], int]]:
        try:
            file = open(path, "rb")  # noqa: SIM115 - closed below; errors of the caller's are not this file's
        except OSError as error:
            raise DumpError(f"{path} cannot be read: {error.strerror}") from error
        with file:
            yield file, os.fstat(file.fileno()).st_size

    return opened
