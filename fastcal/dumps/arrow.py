"""Arrow's own files through pyarrow: IPC files (Feather, version 2), by record batches, and streams of them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .batches import Batch, Dump, DumpError, Piece, after, first_line, named_roles, pieces_of, rows_per_batch, start_of
from .columns import ColumnReader, arrow, cut
from .names import Roles
from .stored import PIECE_BYTES

FILE_MAGIC = b"ARROW1"
FEATHER_1 = b"FEA1"
STREAM_MAGIC = b"\xff\xff\xff\xff"  # what every message of a stream begins with


def open_dump(path: Path, asked: Roles) -> Dump:
    """The dump in an Arrow file or stream, whichever it is by its first bytes. Raises DumpError."""
    arrow("Arrow")
    try:
        with open(path, "rb") as file:
            first = file.read(len(FILE_MAGIC))
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror}") from error
    if first.startswith(FEATHER_1):
        raise DumpError(f"{path} is Feather of version 1; write it again with pyarrow.feather.write_feather")
    kind = ArrowFileDump if first == FILE_MAGIC else ArrowStreamDump
    with _damage(str(path), "is no Arrow file"), _opened(path, stream=kind is ArrowStreamDump) as reader:
        return kind(path, named_roles(asked, reader.schema.names, str(path)))


class ArrowFileDump(Dump):
    """One IPC file; pieces are record batches.

    Batches are copied from the file, unless one is large: of that, rows are shown where the file is mapped, and its
    pages given back after each batch, so that they do not count as memory.
    """

    def __init__(self, path: Path, roles: Roles) -> None:
        self.name = str(path)
        self.files = (path,)
        self.roles = roles
        self._path = path
        self._counted: list[int] | None = None

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        sizes = self._sizes()
        step = PIECE_BYTES * max(sum(sizes), 1) // max(os.path.getsize(self._path), 1)
        return pieces_of(sizes, step)

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        sizes = self._sizes()
        start, row, skip = start_of(sizes, piece, skip)
        large = PIECE_BYTES * sum(sizes) // max(os.path.getsize(self._path), 1)
        for number in range(start, piece.stop):
            yield from self._batches(number, row, skip, mapped=sizes[number] > large)
            row, skip = row + sizes[number], 0

    def _batches(self, number: int, row: int, skip: int, *, mapped: bool) -> Generator[Batch, None, None]:
        """The rows of a record batch, of which the first is number ``row``, after the first ``skip``."""
        with _damage(self.name), _opened(self._path) as file:
            columns = ColumnReader(file.schema, self.roles, self.name)
            included = [file.schema.get_field_index(name) for name in columns.columns]
        pages = _Pages(self._path) if mapped else None
        with _damage(self.name), _opened(self._path, included, pages) as file:
            whole = columns.valid(file.get_batch(number))
            step = rows_per_batch(columns.scores.of(whole.slice(0, 1), row).nbytes if len(whole) else 1)
        for batch, at in cut(whole, row, skip, step):
            with _damage(self.name):
                made = columns.batch(batch, at)
            yield made
            if pages is not None:
                pages.give_back()

    def _sizes(self) -> list[int]:
        """Rows of each record batch: of a mapped file only what describes them is read, and compressed labels."""
        if self._counted is None:
            with _damage(self.name), _opened(self._path) as file:
                ColumnReader(file.schema, self.roles, self.name)
                shortest = file.schema.get_field_index(self.roles.labels or file.schema.names[0])
            pages, counted = _Pages(self._path), []
            with _damage(self.name), _opened(self._path, [shortest], pages) as file:
                for number in range(file.num_record_batches):
                    counted.append(file.get_batch(number).num_rows)
                    pages.give_back()  # without labels, what was looked at may be the scores
            self._counted = counted
        return self._counted


class ArrowStreamDump(Dump):
    """One IPC stream: a file, or standard input, which is read once."""

    def __init__(self, path: Path | None, roles: Roles, reader: Any = None, name: str = "") -> None:
        self.name = str(path) if path else name
        self.files = (path,) if path else ()
        self.roles = roles
        self._path = path
        self._reader = reader

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        return [Piece(0, 1)]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        return after(skip, self._read())

    def _read(self) -> Generator[Batch, None, None]:
        with _damage(self.name), ExitStack() as stack:
            if self._path is None:
                reader, self._reader = self._reader, None
                if reader is None:
                    raise DumpError(f"{self.name} can be read once only")
            else:
                with _opened(self._path, stream=True) as file:
                    columns = ColumnReader(file.schema, self.roles, self.name)
                    included = [file.schema.get_field_index(name) for name in columns.columns]
                reader = stack.enter_context(_opened(self._path, included, stream=True))
            columns = ColumnReader(reader.schema, self.roles, self.name)
            row = 0
            for whole in map(columns.valid, reader):
                if len(whole):
                    step = rows_per_batch(columns.scores.of(whole.slice(0, 1), row).nbytes)
                    for batch, at in cut(whole, row, 0, step):
                        yield columns.batch(batch, at)
                row += len(whole)

    def __getstate__(self) -> dict[str, Any]:
        if self._path is None:
            raise DumpError(f"{self.name} cannot be handed to another process; save it as a file")
        return self.__dict__


def open_stream(stream: Any, name: str, asked: Roles) -> ArrowStreamDump:
    """The dump in a stream, which is read once. Raises DumpError."""
    pa = arrow("Arrow")
    with _damage(name, "is no Arrow stream"):
        reader = pa.ipc.open_stream(pa.PythonFile(stream, "r"))
        return ArrowStreamDump(None, named_roles(asked, reader.schema.names, name), reader, name)


class _Pages:
    """A file that is mapped, all of it."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def buffer(self) -> Any:
        return arrow("Arrow").py_buffer(self._map)

    def give_back(self) -> None:
        """What was read does not count as this process's memory; it is mapped again where it is looked at again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


@contextmanager
def _opened(
    path: Path, included: list[int] | None = None, pages: _Pages | None = None, *, stream: bool = False
) -> Generator[Any, None, None]:
    """A reader of an IPC file or stream, of some of its columns."""
    pa = arrow("Arrow")
    options = pa.ipc.IpcReadOptions(included_fields=included or [], use_threads=False)
    opening = pa.ipc.open_stream if stream else pa.ipc.open_file
    with (
        pa.OSFile(str(path)) if pages is None else pa.BufferReader(pages.buffer()) as source,
        opening(source, options=options) as reader,
    ):
        yield reader


@contextmanager
def _damage(name: str, what: str = "is damaged") -> Generator[None, None, None]:
    """What pyarrow raises within is a DumpError."""
    pa = arrow("Arrow")
    try:
        yield
    except DumpError:
        raise
    except MemoryError as error:
        raise DumpError(f"{name} {what}, or needs more memory than there is") from error
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise DumpError(f"{name} {what}: {first_line(error)}") from error
