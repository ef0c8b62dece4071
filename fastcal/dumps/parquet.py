"""Parquet through pyarrow: a list column of scores, or one column a class, read in batches of the columns needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..arrays import Array
from .batches import Batch, Dump, DumpError, Piece, after, first_line, rows_per_batch
from .names import Roles

Read = TypeVar("Read")

# Bytes that are read at once of a file, shared by its columns: by itself pyarrow reads all of a row group's, 240 MB of
# ten files; with as much for each of 10 columns it took 25 MB of ten.
BUFFER = 1 << 18
LEAST_BUFFER = 1 << 12


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns; raises DumpError where one stands for two."""
    names = list(_open(path).schema_arrow.names)
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise DumpError(f"{path} has more than one column {twice[0]!r}")
    return names


def list_columns(path: Path) -> list[str]:
    """Names of the columns that hold lists: rows of scores."""
    import pyarrow as pa

    kinds = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return [field.name for field in _open(path).schema_arrow if any(is_kind(field.type) for is_kind in kinds)]


class ParquetDump(Dump):
    """One Parquet file."""

    def __init__(self, path: Path, roles: Roles) -> None:
        self.name = str(path)
        self.files = (path,)
        self.roles = roles
        self._path = path

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        return [Piece(0, 1)]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        return after(skip, self._all())

    def _all(self) -> Generator[Batch, None, None]:
        labels, weights, groups = self.roles.labels, self.roles.weights, self.roles.groups

        def made(batch: Any, scores: Array) -> Batch:
            return Batch(
                self._values(batch, str(labels)),
                scores,
                None if weights is None else self._values(batch, weights),
                None if groups is None else self._labels(batch, groups),
            )

        others = [name for name in (labels, weights, groups) if name is not None]
        return self._read(others, None, made)

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return int(_open(self._path).metadata.num_rows)

    def scores(self, n_bytes: int) -> Generator[Array, None, None]:
        """The scores alone, about so many bytes at a time."""
        return self._read([], n_bytes, lambda _, scores: scores, alone=False)

    def _read(
        self, others: list[str], n_bytes: int | None, made: Callable[[Any, Array], Read], *, alone: bool = True
    ) -> Generator[Read, None, None]:
        """What is made of batches of the scores' and the other columns, and of their scores.

        Not ``alone``, beside other files, columns are decoded on this thread: pyarrow's own keep memory each (85 MB
        against 51 with ten files) and are no faster there.
        """
        import pyarrow as pa

        file = _open(self._path)
        schema = file.schema_arrow
        scores, one_a_class = self._score_columns(schema.names)
        columns = [*scores, *others]
        missing = [name for name in columns if name not in schema.names]
        if missing:
            raise DumpError(f"{self.name} has no column {missing[0]!r}; it has {', '.join(schema.names[:8])}")
        rows = rows_per_batch(8 * len(scores) if one_a_class else 8 * _width(file, scores[0]), n_bytes)
        file = _open(self._path, max(BUFFER // len(columns), LEAST_BUFFER))
        try:
            for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=alone):
                yield made(batch, self._scores(batch, scores, one_a_class))
        except DumpError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DumpError(f"{self.name} is damaged: {first_line(error)}") from error

    def _score_columns(self, names: list[str]) -> tuple[list[str], bool]:
        """The named column; or several, one a class: NAME_0, NAME_1, ... or those of a list with commas."""
        name = self.roles.scores
        if name in names:
            return [name], False
        if "," in name:
            return [part.strip() for part in name.split(",")], True
        numbered = re.compile(re.escape(name) + r"_(\d+)")
        classes = sorted(int(match[1]) for match in map(numbered.fullmatch, names) if match)
        if classes != list(range(len(classes))):
            last = classes[-1]
            raise DumpError(f"{self.name} has a column {name}_{last}, but not every one from {name}_0 to it")
        return [f"{name}_{k}" for k in classes] or [name], bool(classes)

    def _scores(self, batch: Any, columns: list[str], one_a_class: bool) -> Array:
        values = [self._values(batch, name) for name in columns]
        if not one_a_class:
            return values[0]
        if any(value.ndim > 1 for value in values):
            raise DumpError(f"{columns[0]} to {columns[-1]} in {self.name} hold lists; expected one number a class")
        return np.stack(values, axis=1)

    def _values(self, batch: Any, name: str) -> Array:
        import pyarrow as pa

        column = batch.column(name)
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.dictionary_decode()
            kind = column.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return self._rows(column, name)
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise DumpError(f"{name} in {self.name} has type {kind}; expected numbers or lists of numbers")
        if column.null_count and not pa.types.is_floating(kind):
            raise DumpError(f"{name} in {self.name} has missing values")
        array: Array = column.to_numpy(zero_copy_only=False)  # missing floats become NaN
        return array

    def _labels(self, batch: Any, name: str) -> Array:
        """A column of slices: numbers, or text."""
        import pyarrow as pa

        column = batch.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            return self._values(batch, name)
        if column.null_count:
            raise DumpError(f"{name} in {self.name} has missing values")
        array: Array = column.to_numpy(zero_copy_only=False)
        return array

    def _rows(self, column: Any, name: str) -> Array:
        import pyarrow as pa

        if column.null_count:
            raise DumpError(f"{name} in {self.name} has missing rows")
        flat = column.flatten()
        if not pa.types.is_floating(flat.type):
            raise DumpError(f"{name} in {self.name} has lists of {flat.type}; expected lists of floats")
        if not len(column):
            return np.empty((0, 1), np.float64)
        n_classes, left_over = divmod(len(flat), len(column))
        if not pa.types.is_fixed_size_list(column.type):
            lengths = np.diff(column.offsets.to_numpy())
            if left_over or (lengths != n_classes).any():
                raise DumpError(f"{name} in {self.name} has rows of {lengths.min()} to {lengths.max()} values")
        values: Array = flat.to_numpy(zero_copy_only=False)
        return values.reshape(len(column), n_classes)


def _open(path: Path, n_bytes: int = BUFFER) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DumpError('reading Parquet needs pyarrow: install "fastcal[io]"') from error
    try:
        return pq.ParquetFile(path, buffer_size=n_bytes, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DumpError(f"{path} is no Parquet file: {first_line(error)}") from error


def _width(file: Any, name: str) -> int:
    """About how many values a row of a column holds: values over rows, from the footer."""
    metadata = file.metadata
    values = 0
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            if chunk.path_in_schema.split(".")[0] == name:
                values += chunk.num_values
    return int(max(1, values // max(1, metadata.num_rows)))
