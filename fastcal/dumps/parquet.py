"""Parquet through pyarrow: a list column of scores, or one column a class; the columns needed, by row groups.

Each piece is decoded on the thread that reads it: of a list column pyarrow's own threads leave one core idle.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..arrays import MAX_CLASSES, Array
from .batches import Batch, Dump, DumpError, Piece, first_line, named_roles, rows_per_batch
from .columns import ColumnReader, ScoreColumns, arrow, is_list
from .names import Roles
from .stored import PIECE_BYTES

# Bytes that are read at once of a file, shared by its columns: by itself pyarrow reads all of a row group's, 240 MB of
# ten files; with as much for each of 10 columns it took 25 MB of ten.
BUFFER = 1 << 18
LEAST_BUFFER = 1 << 12
# The description of a file's columns and row groups is read as a whole, and takes some ten times its bytes.
MAX_FOOTER = 16 << 20


def open_dump(path: Path, asked: Roles) -> ParquetDump:
    """The dump in a Parquet file. Raises DumpError; no row is read yet."""
    return ParquetDump(path, named_roles(asked, parquet_columns(path), str(path)))


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns; raises DumpError."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def list_columns(path: Path) -> list[str]:
    """Names of the columns that hold lists: rows of scores."""
    with _opened(path) as file:
        return [field.name for field in file.schema_arrow if is_list(field.type)]


class ParquetDump(Dump):
    """One Parquet file."""

    def __init__(self, path: Path, roles: Roles) -> None:
        self.name = str(path)
        self.files = (path,)
        self.roles = roles
        self._path = path

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`: row groups, small ones together."""
        with _opened(self._path) as file:
            scores = ScoreColumns(self.roles.scores, file.schema_arrow, self.name)
            sizes = _group_sizes(file)
            step = rows_per_batch(self._row_bytes(file, scores), PIECE_BYTES)
        pieces, start, first_row, n = [], 0, 0, 0
        for stop, size in enumerate(sizes, 1):
            n += size
            if n >= step or stop == len(sizes):
                pieces.append(Piece(start, stop, first_row, n))
                start, first_row, n = stop, first_row + n, 0
        return pieces

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        with _opened(self._path) as file, self._damage():
            reader = ColumnReader(file.schema_arrow, self.roles, self.name, _width(file, self.roles.scores))
            row_bytes = self._row_bytes(file, reader.scores)
            sizes = _group_sizes(file)
        start, row = piece.start, piece.first_row
        while start < piece.stop and skip >= sizes[start]:
            skip -= sizes[start]
            row += sizes[start]
            start += 1
        groups = range(start, piece.stop)
        for batch in self._record_batches(reader.columns, groups, rows_per_batch(row_bytes)):
            n = len(batch)
            if skip < n:
                with self._damage():
                    made = reader.batch(batch.slice(skip) if skip else batch, row + skip)
                yield made
            skip, row = max(skip - n, 0), row + n

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        with _opened(self._path) as file:
            return int(file.metadata.num_rows)

    def scores(self, n_bytes: int) -> Generator[Array, None, None]:
        """The scores alone, about so many bytes at a time."""
        with _opened(self._path) as file, self._damage():
            columns = ScoreColumns(self.roles.scores, file.schema_arrow, self.name, _width(file, self.roles.scores))
            rows = rows_per_batch(self._row_bytes(file, columns), n_bytes)
            groups = range(file.metadata.num_row_groups)
        row = 0
        for batch in self._record_batches(columns.names, groups, rows):
            with self._damage():
                made = columns.of(batch, row)
            yield made
            row += len(batch)

    def _record_batches(self, columns: list[str], groups: Sequence[int], rows: int) -> Generator[Any, None, None]:
        with _opened(self._path, max(BUFFER // len(columns), LEAST_BUFFER)) as file:
            batches = file.iter_batches(batch_size=rows, row_groups=list(groups), columns=columns, use_threads=False)
            while True:
                with self._damage():
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch

    def _row_bytes(self, file: Any, scores: ScoreColumns) -> int:
        """About how many bytes of scores a row takes."""
        return 8 * (len(scores.names) if scores.one_a_class else _width(file, scores.names[0]) or 1)

    @contextmanager
    def _damage(self) -> Generator[None, None, None]:
        """What pyarrow raises within is a DumpError."""
        pa = arrow("Parquet")
        try:
            yield
        except DumpError:
            raise
        except MemoryError as error:
            raise DumpError(f"{self.name} is damaged, or its pages need more memory than there is") from error
        except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
            raise DumpError(f"{self.name} is damaged: {first_line(error)}") from error


@contextmanager
def _opened(path: Path, n_bytes: int = BUFFER) -> Generator[Any, None, None]:
    pa = arrow("Parquet")
    import pyarrow.parquet as pq

    try:
        status = os.stat(path)
        description = _description(path, status.st_size, status.st_mtime_ns)
        file = pq.ParquetFile(path, metadata=description, buffer_size=n_bytes, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DumpError(f"{path} is no Parquet file: {first_line(error)}") from error
    with file:
        yield file


@lru_cache(maxsize=8)
def _description(path: Path, size: int, _modified: int) -> Any:
    """What a file's end says of its columns and row groups; read once, however many pieces there are."""
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        file.seek(max(size - 8, 0))
        n_bytes = int.from_bytes(file.read(4), "little")
        if file.read(4) in (b"PAR1", b"PARE") and n_bytes > min(size, MAX_FOOTER):
            raise ValueError(f"the description of its columns and row groups takes {n_bytes} bytes")
        file.seek(0)
        return pq.ParquetFile(file, pre_buffer=False).metadata


def _group_sizes(file: Any) -> list[int]:
    """Rows of each row group."""
    return [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]


def _width(file: Any, name: str) -> int | None:
    """How many values a row of a list column holds, by the first row group's description; None where rows differ."""
    metadata = file.metadata
    leaf = next((i for i in range(metadata.num_columns) if _top(metadata.schema.column(i).path) == name), None)
    for group in range(metadata.num_row_groups if leaf is not None else 0):
        rows = metadata.row_group(group)
        if rows.num_rows > 0:
            width, left_over = divmod(rows.column(leaf).num_values, rows.num_rows)
            return width if not left_over and 0 < width <= MAX_CLASSES else None
    return None


def _top(path: str) -> str:
    return path.split(".", maxsplit=1)[0]
