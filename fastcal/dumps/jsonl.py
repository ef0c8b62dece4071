"""JSON lines: an object a row, with a list of scores or a number a class, a label, and what else it may hold.

pyarrow reads blocks of whole lines on all cores, ten times as fast as the module json. What it does not take, or takes
otherwise than is meant here (numbers as text, a key twice, rows of different lengths, no row a line), is read again
line by line by the module json: that says what a line means, and what is wrong with it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from . import lines as text
from . import lm_eval
from .batches import Batch, Dump, DumpError, named_roles
from .columns import arrow, score_columns
from .labels import Texts, batch_of
from .lines import Block, Lines, Readable, first_line_end, last_line_end, opened
from .names import Roles
from .records import MISSING, Refused, is_number, is_text, keys_of, numbered, record_of, value_at
from .records import Path as Keys
from .texts import TextDump, as_labels, group_array, missing_label, no_number, number, objects, quoted, whole
from .turning import side_by_side

# What the module json makes of a line may take 20 times its bytes.
MAX_LINE = 16 << 20


# Labels, scores, weights and slices of the same rows.
Columns = tuple[Array | Texts | None, Array, Array | None, Array | None]


class JsonDump(TextDump):
    """Lines with an object each."""

    longest = MAX_LINE

    def __init__(self, name: str, asked: Roles, path: Path | None, lines: Lines, record: dict[str, Any]) -> None:
        super().__init__(name, named_roles(asked, record, name), path, None if path else lines)
        columns, self.one_a_class = score_columns(self.roles.scores, list(record), name)
        self._scores = [keys_of(column, record) for column in columns]
        self._labels, self._weights, self._groups = (
            None if given is None else keys_of(given, record)
            for given in (self.roles.labels, self.roles.weights, self.roles.groups)
        )
        self._part = text.PART
        self._width = len(columns) if self.one_a_class else None  # numbers in a list; None where there is no list
        others = [keys for keys in (self._labels, self._weights, self._groups) if keys is not None]
        # The first value of each column says by what type pyarrow reads it.
        self._kinds = {keys: self._found(record, keys, lines.line) for keys in (*self._scores, *others)}
        first = self._kinds[self._scores[0]]
        if isinstance(first, list) and not self.one_a_class:
            self._width = len(first)
            if not 0 < len(first) <= MAX_CLASSES:
                raise DumpError(f"{name}: {self.roles.scores} holds {len(first)} numbers; expected 1 to {MAX_CLASSES}")
        self._is_list = self._width is not None and not self.one_a_class
        if self._is_list:
            self._kinds[self._scores[0]] = first[0]
        for keys in self._kinds.keys() - {self._labels, self._groups}:
            if isinstance(self._kinds[keys], bool):
                self._kinds[keys] = math.nan  # true is no score and no weight

    def _rows(self, lines: Lines) -> Generator[Batch, None, None]:
        first_row = 0
        for block in lines.blocks(last_line_end):
            columns = self._by_columns(block) or self._by_rows(block)
            if len(columns[1]):
                batch = batch_of(*columns, self.roles, self.name, first_row)
                first_row += batch.n_read
                yield batch

    def _by_columns(self, block: Block) -> Columns | None:
        """Labels, scores, weights and groups by pyarrow; None for what it does not read as the module json does."""
        import pyarrow as pa

        try:
            table = self._table(block)
            if table is None or not _are_lines(table.num_rows, block):
                return None
            scores = [self._numbers(_column(table, keys)) for keys in self._scores]
            labels = None if self._labels is None else self._label_column(_column(table, self._labels))
            weights = None if self._weights is None else self._numbers(_column(table, self._weights), missing=False)
            groups = None if self._groups is None else _group_column(_column(table, self._groups))
        except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError):
            return None  # AttributeError: a column that is asked to lie within another
        return labels, side_by_side(scores) if self.one_a_class else scores[0], weights, groups

    def _table(self, block: Block) -> Any:
        import pyarrow as pa
        import pyarrow.json as pj

        kinds: dict[str, Any] = {}
        for keys, value in self._kinds.items():
            inside = kinds
            for key in keys[:-1]:
                inside = inside.setdefault(key, {})
            inside[keys[-1]] = pa.list_(_kind(value)) if self._is_list and keys in self._scores else _kind(value)
        form = pj.ParseOptions(explicit_schema=pa.schema(_fields(kinds)), unexpected_field_behavior="ignore")
        while True:
            try:
                reading = pj.ReadOptions(block_size=self._part)
                return pj.read_json(pa.BufferReader(block.view()), read_options=reading, parse_options=form)
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or self._part >= block.stop - block.start:
                    return None
                self._part = min(4 * self._part, block.stop - block.start)

    def _numbers(self, column: Any, *, missing: bool = True) -> Array:
        """A column of numbers, or of lists of them; raises ValueError for what the line that it stands in decides."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = _one_chunk(column)
        if column.null_count and not missing:
            raise ValueError
        is_list = pa.types.is_list(column.type)
        if is_list:
            if column.null_count or (np.diff(column.offsets.to_numpy()) != self._width).any():
                raise ValueError
            column = column.flatten()
        if pa.types.is_string(column.type):
            column = pc.cast(column, pa.float64())
        values: Array = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return values.reshape(-1, self._width or 1) if is_list else values

    def _label_column(self, column: Any) -> Array | Texts:
        import pyarrow as pa

        column = _one_chunk(column)
        if column.null_count:
            raise ValueError
        if not pa.types.is_string(column.type):
            return whole(column.to_numpy(zero_copy_only=False).astype(np.float64))
        category = column.dictionary_encode()
        labels, bad = as_labels(category.dictionary.to_pylist(), self.roles.classes)
        if bad is not None:
            raise ValueError
        places = category.indices.to_numpy()
        return Texts(places, labels) if isinstance(labels, list) else labels[places]

    def _by_rows(self, block: Block) -> Columns:
        """The same by the module json. Raises DumpError for the first line that is not as it should be."""
        scores, weights = array("d"), array("d")
        labels: list[Any] = []
        groups: list[Any] = []
        for line, given in numbered(block):
            record = record_of(given, f"{self.name}: line {line}")
            row = [self._found(record, keys, line) for keys in self._scores]
            scores.extend(self._score_row(row[0] if self._is_list else row, line))
            if self._labels is not None:
                labels.append(self._label(self._found(record, self._labels, line), line))
            if self._weights is not None:
                weights.append(self._number(self._found(record, self._weights, line), self.roles.weights, line))
            if self._groups is not None:
                groups.append(self._group(self._found(record, self._groups, line), line))
        made = np.array(scores)
        return (
            None if self._labels is None else _label_array(labels),
            made if self._width is None else made.reshape(-1, self._width),
            None if self._weights is None else np.array(weights),
            None if self._groups is None else group_array(groups),
        )

    def _found(self, record: dict[str, Any], keys: Keys, line: int) -> Any:
        where = f"{self.name}: line {line}"
        try:
            value = value_at(record, keys, MISSING)
        except Refused as problem:
            raise DumpError(f"{where}: {problem}") from None
        if value is MISSING:
            raise DumpError(f"{where} has no {'.'.join(keys)!r}")
        if isinstance(value, str) and not is_text(value):
            raise DumpError(f"{where}: {'.'.join(keys)} is not UTF-8")
        return value

    def _score_row(self, values: Any, line: int) -> list[float]:
        name = self.roles.scores
        if not isinstance(values, list):
            raise DumpError(f"{self.name}: line {line}: {name} is {quoted(values)}; expected a list of numbers")
        if len(values) != (self._width or 1):
            raise DumpError(f"{self.name}: line {line}: {name} holds {len(values)} numbers, the first {self._width}")
        return [math.nan if value is None else self._number(value, name, line) for value in values]

    def _number(self, value: Any, name: str | None, line: int) -> float:
        if is_number(value):
            return float(value)
        made = number(value) if isinstance(value, str) else None
        if made is None:
            raise no_number(self.name, line, name, value)
        return made

    def _label(self, value: Any, line: int) -> Any:
        """A class by name where classes have them, else a number."""
        if value is None or (isinstance(value, str) and not value.strip()):
            raise missing_label(self.name, line, self.roles.labels)
        if isinstance(value, str):
            labels, bad = as_labels([value], self.roles.classes)
            if bad is None:
                return labels[0]
        elif isinstance(value, bool) or is_number(value):
            return value
        raise no_number(self.name, line, self.roles.labels, value, is_label=True)

    def _group(self, value: Any, line: int) -> Any:
        if isinstance(value, str | bool) or is_number(value):
            return value
        raise DumpError(f"{self.name}: line {line}: {self.roles.groups} is {quoted(value)}; expected text or a number")


def open_dump(path: Path, asked: Roles) -> Dump:
    """The dump in a file of JSON lines. Raises DumpError."""
    arrow(str(path))
    with opened(path) as file:
        return open_lines(Lines(file, str(path), MAX_LINE, head=True), asked, path)


def open_stream(stream: Readable, name: str, asked: Roles) -> Dump:
    """The dump in a stream, which is read once. Raises DumpError."""
    arrow(name)
    return open_lines(Lines(stream, name, MAX_LINE), asked)


def open_lines(lines: Lines, asked: Roles, path: Path | None = None) -> Dump:
    """The dump in lines of which none was taken yet. Raises DumpError."""
    lines.skip_blank()
    if lines.starts_with(b"["):
        # The harness wrote its samples so once.
        if path is None or not lm_eval.is_asked(asked) or not lm_eval.begins(path):
            raise DumpError(f"{lines.name} is one array; expected an object a line")
        return lm_eval.LmEvalDump(path, asked)
    first = lines.peek(first_line_end)
    if not first.data:
        raise DumpError(f"{lines.name} is empty; expected an object a line")
    record = record_of(first.data, f"{lines.name}: line {first.line}")
    if lm_eval.is_sample(record) and lm_eval.is_asked(asked):
        if path is None:
            raise DumpError(f"{lines.name} holds samples of lm-evaluation-harness, which are read twice; save them")
        return lm_eval.LmEvalDump(path, asked)
    return JsonDump(lines.name, asked, path, lines, record)


def _kind(value: Any) -> Any:
    """The type of a column whose first value this is."""
    import pyarrow as pa

    return pa.string() if isinstance(value, str) else pa.bool_() if isinstance(value, bool) else pa.float64()


def _fields(kinds: dict[str, Any]) -> list[Any]:
    import pyarrow as pa

    return [pa.field(key, pa.struct(_fields(kind)) if isinstance(kind, dict) else kind) for key, kind in kinds.items()]


def _column(table: Any, keys: Keys) -> Any:
    import pyarrow.compute as pc

    column = table.column(keys[0])
    return pc.struct_field(column, list(keys[1:])) if len(keys) > 1 else column


def _one_chunk(column: Any) -> Any:
    whole = column.combine_chunks()
    if hasattr(whole, "num_chunks"):
        if whole.num_chunks != 1:
            raise ValueError
        whole = whole.chunk(0)
    return whole


def _group_column(column: Any) -> Array:
    """Numbers, or text."""
    import pyarrow as pa

    column = _one_chunk(column)
    if column.null_count:
        raise ValueError
    if pa.types.is_string(column.type):
        category = column.dictionary_encode()
        groups: Array = objects(category.dictionary.to_pylist())[category.indices.to_numpy()]
        return groups
    if pa.types.is_boolean(column.type):
        return objects(column.to_pylist())
    return whole(column.to_numpy(zero_copy_only=False))


def _are_lines(n: int, block: Block) -> bool:
    """Whether n objects are one a line, blank lines left out."""
    is_cut = block.view()[-1] != ord("\n")
    return n == block.n_ends + is_cut or n == sum(1 for _ in numbered(block))


def _label_array(labels: list[Any]) -> Array:
    """Numbers, or text if one of them is that: a number then is its text."""
    if not any(isinstance(label, str) for label in labels):
        return whole(np.array(labels, np.float64))
    texts = [
        label if isinstance(label, str) else str(int(label)) if float(label).is_integer() else str(label)
        for label in labels
    ]
    return objects(texts)
