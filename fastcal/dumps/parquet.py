"""Parquet through pyarrow: a list column of scores, or one column a class; the columns needed, by row groups.

Each piece is decoded on the thread that reads it: of a list column pyarrow's own threads leave one core idle.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..arrays import Array
from .aside import MANY, is_wide, put_aside
from .batches import Batch, Dump, DumpError, Piece, first_line, named_roles, pieces_of, rows_per_batch, start_of
from .columns import ColumnReader, ScoreColumns, arrow, cut, is_list
from .names import Roles
from .stored import PIECE_BYTES

# Bytes that are read at once of a file, shared by its columns: by itself pyarrow reads all of a row group's, 240 MB of
# ten files; with as much for each of 10 columns it took 25 MB of ten.
BUFFER = 1 << 18
LEAST_BUFFER = 1 << 12
# The description of a file's columns and row groups is read as a whole, and takes ten times its bytes of memory, of
# very many columns thirty: 1000 columns in 100 row groups are 10 MB.
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
        self._width: int | None = None

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`: row groups, small ones together."""
        with _opened(self._path) as file:
            scores = ScoreColumns(self.roles.scores, file.schema_arrow, self.name)
            sizes = _group_sizes(file)
        step = rows_per_batch(self._row_bytes(scores), PIECE_BYTES // 4)  # 3 M rows x 10 are enough for two threads
        return pieces_of(sizes, step)

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        with _opened(self._path) as file, self._damage():
            reader = ColumnReader(file.schema_arrow, self.roles, self.name)
            dtype = reader.scores.dtype(file.schema_arrow) if reader.scores.one_a_class else None
            sizes = _group_sizes(file)
        start, row, skip = start_of(sizes, piece, skip)
        groups = range(start, piece.stop)
        row_bytes = self._row_bytes(reader.scores)
        n_columns = len(reader.scores.names)
        if any(is_wide(sizes[group], n_columns) for group in groups):
            for group in groups:
                yield from self._apart(reader, group, sizes[group], dtype, row, skip)
                row, skip = row + sizes[group], 0
            return
        step = rows_per_batch(row_bytes)
        at_once = max([step, *(sizes[group] for group in groups)]) if n_columns >= MANY else step
        for batch in self._record_batches(reader.columns, groups, at_once):
            for part, place in cut(batch, row, skip, step):
                with self._damage():
                    made = reader.batch(part, place)
                yield made
            skip, row = max(skip - len(batch), 0), row + len(batch)

    def _apart(
        self, reader: ColumnReader, group: int, n_rows: int, dtype: Any, row: int, skip: int
    ) -> Generator[Batch, None, None]:
        """The rows of a row group of many columns, of which the first is number ``row``, after ``skip``."""

        def read(columns: list[str], n: int) -> Generator[Any, None, None]:
            return self._record_batches(columns, [group], n)

        def values(batch: Any, names: list[str], place: int) -> Array:
            with self._damage():
                return reader.scores.some(batch, names, row + place)

        names = reader.scores.names
        with put_aside(read, values, names, n_rows, dtype, self.name) as aside:
            step, first = rows_per_batch(len(names) * dtype.itemsize), row
            for batch in read(reader.others or names[:1], 1 << 20):
                for part, place in cut(batch, row, skip, step):
                    with self._damage():
                        made = reader.batch(part, place, aside.rows(place - first, len(part)))
                    yield made
                skip, row = max(skip - len(batch), 0), row + len(batch)

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        with _opened(self._path) as file:
            return int(file.metadata.num_rows)

    def scores(self, n_bytes: int) -> Generator[Array, None, None]:
        """The scores alone, about so many bytes at a time."""
        with _opened(self._path) as file, self._damage():
            columns = ScoreColumns(self.roles.scores, file.schema_arrow, self.name)
            groups = range(file.metadata.num_row_groups)
        rows = rows_per_batch(self._row_bytes(columns), n_bytes)
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

    def _row_bytes(self, scores: ScoreColumns) -> int:
        """About how many bytes of scores a row takes: of a list column that is read off the first row.

        The footer says it, too, but pyarrow ends the process where that is damaged (``parquet::ParquetException``).
        """
        if not scores.is_list:
            return 8 * len(scores.names)
        if self._width is None:
            with _opened(self._path) as file, self._damage():
                sizes = _group_sizes(file)
                first = [group for group, size in enumerate(sizes) if size][:1]
            with closing(self._record_batches(scores.names, first, 1)) as batches:
                found = next(batches, None)
            with self._damage():
                self._width = 1 if found is None else scores.of(found).shape[1]
        scores.width = self._width
        return 8 * self._width

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


@lru_cache(maxsize=2)
def _description(path: Path, size: int, _modified: int) -> Any:
    """What a file's end says of its columns and row groups; read once, however many pieces there are."""
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        file.seek(max(size - 8, 0))
        n_bytes = int.from_bytes(file.read(4), "little")
        if file.read(4) in (b"PAR1", b"PARE") and n_bytes > min(size, MAX_FOOTER):
            raise ValueError(
                f"what describes its columns and row groups takes {n_bytes} bytes; "
                f"larger row groups need less than the {min(size, MAX_FOOTER)} that are read"
            )
        file.seek(0)
        return pq.ParquetFile(file, pre_buffer=False).metadata


def _group_sizes(file: Any) -> list[int]:
    """Rows of each row group."""
    return [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
