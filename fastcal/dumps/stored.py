"""Arrays that lie in files as they are, at some offset: of .npy and safetensors files and uncompressed archives.

Rows are copied from the file's pages, 4 MB at a time, into memory that stays in the caches: 25 GB/s on two threads,
where mapped pages are read at 30. Mapped pages count as the process's memory, and the file's being cut short by
somebody else's write would kill the process; copied, that is an error like another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from .batches import Batch, Dump, DumpError, Piece, rows_per_batch, shown
from .blocks import block
from .labels import batch_of
from .names import Roles, listed

PIECE_BYTES = 64 << 20
MAX_TEXT = 1 << 14  # bytes of a text in an array of texts


@dataclass(frozen=True)
class StoredArray:
    """An array of plain numbers (or text) in a file: rows one after the other, or column by column."""

    path: Path
    name: str  # as messages have it: which array of which file
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_column: bool = False
    is_bfloat16: bool = False  # ``dtype`` is uint16, the bits

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as it is stored."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def as_rows(self, n_axes: int) -> StoredArray:
        """The same with ``n_axes`` axes, the leading ones made one."""
        lead = len(self.shape) - n_axes + 1
        return replace(self, shape=(math.prod(self.shape[:lead]), *self.shape[lead:]))

    def read(self, file: int, start: int, n: int) -> Array:
        """Rows ``start`` to ``start + n`` from an open file; raises DumpError where it ends before."""
        if self.by_column:
            n_rows, n_columns = self.shape
            array = block((n_columns, n), self.dtype)
            for k in range(n_columns):
                self._fill(file, array[k], self.offset + (k * n_rows + start) * self.dtype.itemsize)
            return array.T
        array = block((n, *self.shape[1:]), self.dtype)
        if array.nbytes:
            self._fill(file, array, self.offset + start * self.row_bytes)
        if not self.is_bfloat16:
            return array
        wide = block(array.shape, np.dtype(np.uint32))
        np.left_shift(array, np.uint32(16), out=wide, dtype=np.uint32)
        return wide.view(np.float32)

    def _fill(self, file: int, array: Array, position: int) -> None:
        view = bytes_of(array)
        done = 0
        while done < len(view):
            try:
                count = read_at(file, view[done:], position + done)
            except OSError as error:
                raise DumpError(f"{self.name} cannot be read: {error.strerror}") from error
            if not count:
                raise DumpError(f"{self.name} is truncated")
            done += count


def bytes_of(array: Array) -> memoryview:
    """The memory of a contiguous array."""
    flat: Any = array.reshape(-1).view(np.uint8)
    return memoryview(flat)


def read_at(file: int, view: memoryview, position: int) -> int:
    """Bytes of an open file from a position on, as many as come at once."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [view], position)
    os.lseek(file, position, os.SEEK_SET)  # each reader has the file opened for itself
    part = os.read(file, len(view))
    view[: len(part)] = part
    return len(part)


class StoredDump(Dump):
    """Arrays that lie in files as they are; ``arrays`` is :func:`checked`'s."""

    def __init__(self, name: str, arrays: dict[str, StoredArray], roles: Roles) -> None:
        self.name = name
        self.roles = roles
        self._arrays = arrays
        self.files = tuple(dict.fromkeys(array.path for array in self._arrays.values()))

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        n = self._arrays["scores"].shape[0]
        step = rows_per_batch(self._arrays["scores"].row_bytes, PIECE_BYTES)
        stops = range(step, n + step, step)
        return [Piece(stop - step, min(stop, n), stop - step, min(stop, n) - stop + step) for stop in stops]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        arrays = self._arrays
        files: dict[Path, int] = {}
        try:
            for array in arrays.values():
                if array.path not in files:
                    files[array.path] = open_file(array.path)
            size = rows_per_batch(sum(array.row_bytes for array in arrays.values()))
            for start in range(piece.start + skip, piece.stop, size):
                n = min(size, piece.stop - start)
                read = {role: array.read(files[array.path], start, n) for role, array in arrays.items()}
                weights, groups = read.get("weights"), read.get("groups")
                yield batch_of(read.get("labels"), read["scores"], weights, groups, self.roles, self.name, start)
        finally:
            for file in files.values():
                os.close(file)


def open_file(path: Path) -> int:
    """A descriptor of a file to read; raises DumpError."""
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror}") from error


def checked(
    available: Collection[str], load: Callable[[str], StoredArray], roles: Roles, where: str
) -> dict[str, StoredArray]:
    """The arrays by role, all of as many rows: leading axes of scores (N, ..., K) are rows too. Raises DumpError."""
    found = {}
    for role in ("scores", "labels", "weights", "groups"):
        name = getattr(roles, role)
        if name is None:
            continue
        if name not in available:
            raise DumpError(f"{where} has no array {name!r}; it has {listed(sorted(available))}")
        found[role] = check_kind(load(name), text=role in ("labels", "groups"))
    scores = found["scores"]
    if len(scores.shape) > 1 and not 0 < scores.shape[-1] <= MAX_CLASSES:
        raise DumpError(f"{scores.name} has shape {scores.shape}; a row holds at most {MAX_CLASSES} values")
    lead = scores.shape[: max(1, len(scores.shape) - 1)]
    for role, array in found.items():
        if role != "scores" and array.shape != lead:
            raise DumpError(f"{array.name} has shape {array.shape}, {scores.name} has {scores.shape}")
        if array.by_column and (len(array.shape) > 2 or role != "scores"):
            raise DumpError(f"{array.name} is stored column by column; save it as np.ascontiguousarray makes it")
        found[role] = array.as_rows(min(len(array.shape), 2) if role == "scores" else 1)
    return found


def check_kind(array: StoredArray, *, text: bool = False) -> StoredArray:
    """The array, if it holds real numbers, or text where that is taken, an entry a row; else raises DumpError."""
    if array.dtype.hasobject:
        raise DumpError(f"{array.name} holds Python objects, a pickle, which is never read; save it as numbers")
    if array.dtype.kind not in ("biufU" if text else "biuf") or array.dtype.itemsize > MAX_TEXT:
        raise DumpError(f"{array.name} has dtype {shown(array.dtype)[:60]}; expected real numbers")
    if not array.shape:
        raise DumpError(f"{array.name} has shape (); expected one entry a row")
    return array
