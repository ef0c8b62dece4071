"""Columns of Arrow's record batches as arrays: rows of scores, labels, weights and slices.

Copies nothing that it can show as it lies.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from typing import Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from .batches import Batch, DumpError
from .labels import Texts, batch_of
from .names import Roles, listed
from .turning import side_by_side


def arrow(what: str) -> Any:
    """The module pyarrow, without which ``what`` is not read."""
    try:
        import pyarrow
    except ImportError as error:
        raise DumpError(f'reading {what} needs pyarrow: install "fastcal[io]"') from error
    return pyarrow


def score_columns(name: str, available: Collection[str], where: str) -> tuple[list[str], bool]:
    """The named column; or several, one a class: NAME_0, NAME_1, ... or those of a list with commas."""
    if name in available:
        return [name], False
    if "," in name:
        return [part.strip() for part in name.split(",")], True
    numbered = re.compile(re.escape(name) + r"_(\d+)", re.ASCII)
    classes = sorted(int(match[1]) for match in map(numbered.fullmatch, available) if match)
    if classes != list(range(len(classes))):
        last = classes[-1]
        raise DumpError(f"{where} has a column {name}_{last}, but not every one from {name}_0 to it")
    return [f"{name}_{k}" for k in classes] or [name], bool(classes)


class ScoreColumns:
    """Which columns of a schema are the scores, and the rows (n, K) or values (n,) that a record batch has of them.

    ``is_list``: whether they are in a list column; ``width``: how many values its rows have, where that is known.
    """

    def __init__(self, name: str, schema: Any, where: str) -> None:
        self.names, self.one_a_class = score_columns(name, schema.names, where)
        self._where = where
        self.width: int | None = None
        check_columns(self.names, schema, where)
        self.is_list = not self.one_a_class and is_list(schema.field(self.names[0]).type)
        if self.one_a_class and len(self.names) > MAX_CLASSES:
            raise DumpError(
                f"{where} has {len(self.names)} columns of scores; a row holds at most {MAX_CLASSES} values"
            )
        if self.one_a_class and any(is_list(schema.field(name).type) for name in self.names):
            raise DumpError(f"{self.names[0]} to {self.names[-1]} in {where} hold lists; expected one number a class")

    def of(self, batch: Any, first_row: int = 0) -> Array:
        """The scores of a record batch, of which the first row is number ``first_row``. Raises DumpError."""
        if self.one_a_class:
            return self.some(batch, self.names, first_row)
        (name,) = self.names
        column = plain(batch.column(batch.schema.get_field_index(name)))
        return self._rows(column, first_row) if self.is_list else numbers(column, name, self._where, first_row)

    def some(self, batch: Any, names: list[str], first_row: int) -> Array:
        """The scores of some classes."""
        columns = [plain(batch.column(batch.schema.get_field_index(name))) for name in names]
        found = [numbers(column, name, self._where, first_row) for column, name in zip(columns, names, strict=True)]
        return side_by_side(found)

    def dtype(self, schema: Any) -> np.dtype[Any]:
        """The type that holds the scores of all classes."""
        import pyarrow as pa

        kinds = {schema.field(name).type for name in self.names}
        floats = [np.dtype(f"f{kind.bit_width // 8}") for kind in kinds if pa.types.is_floating(kind)]
        return np.result_type(*floats) if len(floats) == len(kinds) else np.dtype(np.float64)

    def _rows(self, column: Any, first_row: int) -> Array:
        import pyarrow as pa

        (name,) = self.names
        if column.null_count:
            raise missing(column, name, self._where, first_row)
        start, n_values, width = self._place(column, first_row)
        flat = plain(column.values.slice(start, n_values))  # flatten() would be the same by way of pyarrow.compute
        if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
            raise DumpError(f"{name} in {self._where} has lists of {flat.type}; expected lists of floats")
        if flat.null_count and pa.types.is_integer(flat.type):
            flat = flat.cast(pa.float64())
        values: Array = flat.to_numpy(zero_copy_only=False)  # missing floats become NaN
        return values.reshape(len(column), width)

    def _place(self, column: Any, first_row: int) -> tuple[int, int, int]:
        """Where the values of a list column begin, how many there are, and how many a row has."""
        import pyarrow as pa

        n, (name,) = len(column), self.names
        if pa.types.is_fixed_size_list(column.type):
            width = column.type.list_size
            start = column.offset * width
        else:
            offsets = column.offsets.to_numpy()
            start = int(offsets[0]) if n else 0
            width = self.width or (int(offsets[1]) - start if n else 1)
            same = n == 0 or np.array_equal(offsets[1:] - offsets[:-1], np.broadcast_to(offsets.dtype.type(width), n))
            if not same:
                lengths = np.diff(offsets)
                row = int(np.flatnonzero(lengths != width)[0])
                given = f"{name}[{first_row + row}] has {lengths[row]} values"
                raise DumpError(f"{self._where}: {given}, other rows have {width}")
        if not 0 < width <= MAX_CLASSES:
            raise DumpError(f"{self._where}: {name} has rows of {width} values; a row holds 1 to {MAX_CLASSES}")
        return start, n * width, width


class ColumnReader:
    """Batches of the columns that play a part in record batches of a schema. Raises DumpError where there are none."""

    def __init__(self, schema: Any, roles: Roles, where: str) -> None:
        self.scores = ScoreColumns(roles.scores, schema, where)
        self.others = list(dict.fromkeys(roles.named[1:]))
        check_columns(self.others, schema, where)
        self.columns = list(dict.fromkeys([*self.scores.names, *self.others]))
        self._roles = roles
        self._where = where

    def valid(self, batch: Any) -> Any:
        """The columns that are needed, held against their description: pyarrow believes a message's offsets."""
        needed = batch.select(self.columns)
        needed.validate(full=True)
        return needed

    def batch(self, batch: Any, first_row: int, scores: Array | None = None) -> Batch:
        """The rows of a record batch, of which the first is number ``first_row``; ``scores`` if they are known."""
        roles, where = self._roles, self._where

        def column(name: str) -> Any:
            return plain(batch.column(batch.schema.get_field_index(name)))

        return batch_of(
            None if roles.labels is None else labels(column(roles.labels), roles.labels, where, first_row),
            self.scores.of(batch, first_row) if scores is None else scores,
            None if roles.weights is None else numbers(column(roles.weights), roles.weights, where, first_row),
            None if roles.groups is None else slices(column(roles.groups), roles.groups, where, first_row),
            roles,
            where,
            first_row,
        )


def cut(whole: Any, row: int, skip: int, step: int) -> Generator[tuple[Any, int], None, None]:
    """Parts of a record batch whose first row is number ``row``, after ``skip``, and the number of each one's first."""
    for start in range(skip, len(whole), step):
        yield whole.slice(start, step), row + start


def check_columns(names: Collection[str], schema: Any, where: str) -> None:
    """Raise DumpError for a name that no column has, or two."""
    for name in names:
        if schema.get_field_index(name) < 0:
            if name in schema.names:
                raise DumpError(f"{where} has more than one column {name!r}")
            raise DumpError(f"{where} has no column {name!r}; it has {listed(schema.names)}")


def is_list(kind: Any) -> bool:
    """Whether a column holds a list a row."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):  # a tensor a row
        kind = kind.storage_type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def plain(column: Any) -> Any:
    """A column without what only says how its values are laid out, but for dictionaries of text."""
    import pyarrow as pa

    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_run_end_encoded(column.type):
        import pyarrow.compute as pc

        column = pc.run_end_decode(column)
    if pa.types.is_dictionary(column.type) and not _is_text(column.type.value_type):
        column = column.dictionary_decode()
    return column


def numbers(column: Any, name: str, where: str, first_row: int) -> Array:
    """A column of numbers. Missing floats are NaN; raises DumpError for other missing ones, and for what is none."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
        kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DumpError(f"{name} in {where} has type {str(kind)[:60]}; expected numbers or lists of numbers")
    if column.null_count and not pa.types.is_floating(kind):
        raise missing(column, name, where, first_row)
    array: Array = column.to_numpy(zero_copy_only=False)
    return array


def labels(column: Any, name: str, where: str, first_row: int) -> Array | Texts:
    """A column of numbers or text, each of them there."""
    texts = _texts(column, name, where, first_row)
    if texts is not None:
        return texts
    if column.null_count:
        raise missing(column, name, where, first_row)
    return numbers(column, name, where, first_row)


def slices(column: Any, name: str, where: str, first_row: int) -> Array:
    """The same of slices, text as objects."""
    found = labels(column, name, where, first_row)
    return found.objects() if isinstance(found, Texts) else found


def missing(column: Any, name: str, where: str, first_row: int) -> DumpError:
    """The error of a value that is not there."""
    row = first_row + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
    return DumpError(f"{where}: {name}[{row}] is missing")


def _texts(column: Any, name: str, where: str, first_row: int) -> Texts | None:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        if not _is_text(column.type):
            return None
        column = column.dictionary_encode()
    elif len(column.dictionary) > len(column):  # of few of them
        column = column.dictionary_decode().dictionary_encode()
    if column.null_count:
        raise missing(column, name, where, first_row)
    names = column.dictionary.to_pylist()
    places = column.indices.to_numpy(zero_copy_only=False)
    if None in names and (places == names.index(None)).any():
        row = first_row + int(np.flatnonzero(places == names.index(None))[0])
        raise DumpError(f"{where}: {name}[{row}] is missing")
    return Texts(places, names)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kinds = pa.types.is_string, pa.types.is_large_string, getattr(pa.types, "is_string_view", lambda _: False)
    return any(is_kind(kind) for is_kind in kinds)
