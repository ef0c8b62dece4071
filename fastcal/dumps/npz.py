"""NumPy's .npz archives: read from their start to their end, never inflated as a whole.

Of large arrays that are stored as they are, rows are read at their place in the file, by several threads. That passes
by the archive's checksums, which would take longer (1.4 GB/s) than all else, and hold for a whole array only.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import IO

from ..arrays import Array
from .batches import Batch, Dump, DumpError, Piece, after, first_line, named_roles, rows_per_batch
from .blocks import block
from .labels import batch_of
from .names import Roles
from .npy import array_of_npy
from .stored import StoredArray, StoredDump, bytes_of, checked, open_file

_DAMAGE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, struct.error)
_UNREADABLE = (*_DAMAGE, RuntimeError, NotImplementedError)  # encrypted, unknown compression
AT_ONCE = 1 << 20
LARGE = 256 << 20  # bytes of an array that several threads should read
_LOCAL_HEADER = 30


def open_dump(path: Path, asked: Roles) -> Dump:
    """The arrays of an archive. Raises DumpError; no row is read yet."""
    members = npz_members(path)
    roles = named_roles(asked, members, str(path))
    arrays = checked(members, lambda name: npz_array(path, members[name], name), roles, str(path))
    scores = arrays["scores"]
    if scores.by_column or scores.shape[0] * scores.row_bytes >= LARGE:
        in_place = {role: _in_place(path, members[getattr(roles, role)], array) for role, array in arrays.items()}
        if all(array is not None for array in in_place.values()):
            return StoredDump(str(path), {role: array for role, array in in_place.items() if array}, roles)
    if scores.by_column:
        raise DumpError(f"{scores.name} is stored column by column; save it with np.ascontiguousarray, or as a .npy")
    return NpzDump(path, {getattr(roles, role): members[getattr(roles, role)] for role in arrays}, arrays, roles)


def npz_members(path: Path) -> dict[str, str]:
    """The arrays of an archive: name -> the member that holds it. Raises DumpError."""
    try:
        with os.fdopen(open_file(path), "rb") as file, zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if info.filename.endswith(".npy")]
    except (*_DAMAGE, NotImplementedError) as error:
        raise (
            error if isinstance(error, DumpError) else DumpError(f"{path} is no .npz archive: {first_line(error)}")
        ) from error
    return {name.removesuffix(".npy"): name for name in names}


def check_compression(info: zipfile.ZipInfo, path: Path) -> None:
    """Raise DumpError for what NumPy does not write: of bzip2 and LZMA, zipfile inflates 1 MB of a bomb to 10 GB."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        kind = zipfile.compressor_names.get(info.compress_type, str(info.compress_type))  # type: ignore[attr-defined]
        raise DumpError(f"{info.filename} in {path} is compressed by {kind}; save it as numpy.savez_compressed does")


@contextlib.contextmanager
def open_member(path: Path, member: str) -> Generator[tuple[IO[bytes], int], None, None]:
    """One member of an archive, and its size."""
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            info = archive.getinfo(member)
            check_compression(info, path)
            file, size = stack.enter_context(archive.open(info)), info.file_size
        except DumpError:
            raise
        except (*_UNREADABLE, KeyError) as error:
            raise DumpError(f"{member} in {path} cannot be read: {first_line(error)}") from error
        yield file, size


def npz_array(path: Path, member: str, name: str) -> StoredArray:
    """The array in a member of an archive; its offset is that in the member's bytes. Raises DumpError."""
    with open_member(path, member) as (file, size):
        return array_of_npy(file, path, f"{name} in {path}", size)


def _in_place(path: Path, member: str, array: StoredArray) -> StoredArray | None:
    """The array as it lies in the file; None for one that is compressed."""
    with os.fdopen(open_file(path), "rb") as file, zipfile.ZipFile(file) as archive:
        info = archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            return None
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    data = info.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
    return replace(array, offset=data + array.offset)


class ArrayStream:
    """An array of an archive, read from its first row to its last."""

    def __init__(self, file: IO[bytes], array: StoredArray) -> None:
        self.array = array
        self._file = file
        self._read_to(array.offset)

    def _read_to(self, wanted: int) -> None:
        """Pass over the header."""
        self._fill(memoryview(bytearray(wanted)))

    def read(self, n: int) -> Array:
        """The next n rows."""
        array = block((n, *self.array.shape[1:]), self.array.dtype)
        if array.nbytes:
            self._fill(bytes_of(array))
        return array

    def finish(self) -> None:
        """Read to the end, where the checksum is held against what was read. Raises DumpError."""
        try:
            while self._file.read(AT_ONCE):
                pass
        except _DAMAGE as error:
            raise DumpError(f"{self.array.name} is damaged: {first_line(error)}") from error

    def _fill(self, view: memoryview) -> None:
        filled = 0
        try:
            while filled < len(view):
                part = self._file.read(min(len(view) - filled, AT_ONCE))
                if not part:
                    raise DumpError(f"{self.array.name} is truncated")
                view[filled : filled + len(part)] = part
                filled += len(part)
        except DumpError:
            raise
        except _DAMAGE as error:
            raise DumpError(f"{self.array.name} is damaged: {first_line(error)}") from error


class NpzDump(Dump):
    """Arrays of an archive, which are read side by side from their start."""

    def __init__(self, path: Path, members: dict[str, str], arrays: dict[str, StoredArray], roles: Roles) -> None:
        self.name = str(path)
        self.roles = roles
        self.files = (path,)
        self._path = path
        self._members = members
        self._arrays = arrays

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        return [Piece(0, 1, 0, self._arrays["scores"].shape[0])]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        return after(skip, self._read())

    def _read(self) -> Generator[Batch, None, None]:
        arrays = self._arrays
        with contextlib.ExitStack() as stack:
            streams = {
                role: ArrayStream(self._opened(stack, getattr(self.roles, role)), array)
                for role, array in arrays.items()
            }
            n_rows = arrays["scores"].shape[0]
            size = rows_per_batch(sum(array.row_bytes for array in arrays.values()))
            for start in range(0, n_rows, size):
                n = min(size, n_rows - start)
                read = {role: stream.read(n) for role, stream in streams.items()}
                labels, weights, groups = read.get("labels"), read.get("weights"), read.get("groups")
                if start + n == n_rows:
                    for stream in streams.values():
                        stream.finish()
                yield batch_of(labels, read["scores"], weights, groups, self.roles, self.name, start)

    def _opened(self, stack: contextlib.ExitStack, name: str) -> IO[bytes]:
        return stack.enter_context(open_member(self._path, self._members[name]))[0]
