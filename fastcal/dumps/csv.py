"""CSV and TSV through pyarrow, in blocks of whole lines: typed, the columns needed, all cores.

The first line names the columns. pyarrow's own streaming reader uses one core; its reader of whole texts uses all, so
that is given one block after the other. A block that it refuses is gone through again row by row, for the message.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from . import lines as text
from .batches import Batch, DumpError, first_line, named_roles
from .columns import arrow, score_columns
from .labels import Texts, batch_of
from .lines import Block, Lines, Readable, opened
from .names import Roles, listed
from .texts import TextDump, as_group, as_labels, group_array, missing_label, no_number, number, objects
from .turning import side_by_side

# What stands for a missing number, beside NaN: what pandas and what R write. Each word more costs every column of
# every block: pyarrow's own list doubles the time that a thousand columns take.
MISSING = ("", "NA")
MOST_COLUMNS = MAX_CLASSES + 1000
# A column of a part of a block costs as much as reading 100 numbers. 1 000 columns of 4 MB take 0.7 of the time that
# those of 1 MB do; a million columns took 10 GB.
COLUMN = 4096
MOST_BLOCK = 8 << 20
MOST_SCORES = 10_000
_SPACE = ord(" ")
_QUOTE, _LINE_ENDS = ord('"'), (ord("\n"), ord("\r"))


class CsvDump(TextDump):
    """One text of columns; ``separator`` is a comma or a tab."""

    def __init__(self, name: str, asked: Roles, separator: str, path: Path | None, lines: Lines) -> None:
        self._separator = separator
        self._names = _header(lines, separator)
        super().__init__(name, named_roles(asked, self._names, name), path, None if path else lines)
        self._scores, self.one_a_class = score_columns(self.roles.scores, self._names, name)
        if len(self._scores) > MOST_SCORES:
            most = f"{MOST_SCORES} are read of text; Parquet and .npz hold more"
            raise DumpError(f"{name} has {len(self._scores)} columns of scores, at most {most}")
        self._part = max(text.PART, COLUMN * len(self._scores))
        self._others = [n for n in (self.roles.labels, self.roles.weights, self.roles.groups) if n is not None]
        self._places = {given: place for place, given in enumerate(self._names)}
        for used in (*self._scores, *self._others):
            if used not in self._places:
                raise DumpError(f"{name} has no column {used!r}; it has {listed(self._names)}")
        if len(self._places) < len(self._names):
            seen: set[str] = set()
            twice = {given for given in self._names if given in seen or seen.add(given)}  # type: ignore[func-returns-value]
            for used in (*self._scores, *self._others):
                if used in twice:
                    raise DumpError(f"{name} has more than one column {used!r}")

    def _rows(self, lines: Lines) -> Generator[Batch, None, None]:
        if self.files and _header(lines, self._separator) != self._names:
            raise DumpError(f"{self.name} has changed while it was read")
        lines.block = max(lines.block, min(COLUMN * len(self._scores), MOST_BLOCK))
        first_row = 0
        for block in lines.blocks(partial(whole_rows, self._separator.encode())):
            batch = self._batch(block, first_row)
            if batch is not None:
                first_row += batch.n_read
                yield batch

    def _batch(self, block: Block, first_row: int) -> Batch | None:
        if block.view()[0] <= _SPACE and block.data.isspace():
            return None
        if block.last and block.has(b'"') and len(_quotes(self._separator.encode(), block.view())) % 2:
            raise DumpError(f"{self.name}: a quote in the lines from {block.line} on is never closed")
        table = self._table(block)
        columns = [table.column(str(self._places[name])).to_numpy() for name in self._scores]
        labels, weights, groups = (
            None if name is None else table.column(str(self._places[name]))
            for name in (self.roles.labels, self.roles.weights, self.roles.groups)
        )
        return batch_of(
            None if labels is None else self._labels(labels, block),
            side_by_side(columns) if self.one_a_class else columns[0],
            None if weights is None else weights.to_numpy(),
            None if groups is None else _groups(groups),
            self.roles,
            self.name,
            first_row,
        )

    def _table(self, block: Block) -> Any:
        import pyarrow as pa
        import pyarrow.csv as pc

        category = pa.dictionary(pa.int32(), pa.string())
        kinds = {str(self._places[name]): pa.float64() for name in (*self._scores, *self._others)}
        kinds |= {str(self._places[name]): category for name in (self.roles.labels, self.roles.groups) if name}
        columns = pc.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), null_values=MISSING, strings_can_be_null=False
        )
        form = pc.ParseOptions(delimiter=self._separator, newlines_in_values=block.has(b'"'))
        while True:
            try:
                reading = pc.ReadOptions(column_names=list(map(str, range(len(self._names)))), block_size=self._part)
                return pc.read_csv(
                    pa.BufferReader(block.view()), read_options=reading, parse_options=form, convert_options=columns
                )
            except (pa.ArrowException, OSError, ValueError) as error:
                if "straddling" in str(error) and self._part < block.stop - block.start:
                    self._part = min(4 * self._part, block.stop - block.start)
                    continue
                raise self._problem(block) or DumpError(
                    f"{self.name}: lines from {block.line} on: {first_line(error)}"
                ) from error

    def _labels(self, column: Any, block: Block) -> Array | Texts:
        codes, texts = _categories(column)
        labels, bad = as_labels(texts, self.roles.classes)
        if bad is None:
            return Texts(codes, labels) if isinstance(labels, list) else labels[codes]
        row = int(np.flatnonzero(codes == bad)[0])
        line = next((line for at, (line, _) in enumerate(self._records(block)) if at == row), block.line)
        if not texts[bad].strip():
            raise missing_label(self.name, line, self.roles.labels)
        raise no_number(self.name, line, self.roles.labels, texts[bad], is_label=True)

    def _records(self, block: Block) -> Iterator[tuple[int, list[str]]]:
        """The rows of a block and the number of each one's first line: slow, for messages."""
        given = io.StringIO(block.data.decode(errors="surrogateescape"), newline="")
        reader = csv.reader(given, delimiter=self._separator)
        before = 0
        for fields in reader:
            if fields:
                yield block.line + before, fields
            before = reader.line_num

    def _problem(self, block: Block) -> DumpError | None:
        """What is wrong with the first bad row of a block."""
        numbers = [name for name in (*self._scores, self.roles.weights) if name is not None]
        texts = [name for name in (self.roles.labels, self.roles.groups) if name is not None]
        try:
            for line, fields in self._records(block):
                if len(fields) != len(self._names):
                    given = f"{self.name}: line {line} has {len(fields)} columns"
                    return DumpError(f"{given}, the first line has {len(self._names)}")
                for name in numbers:
                    value = fields[self._places[name]]
                    if number(value) is None and value.strip() not in MISSING:
                        return no_number(self.name, line, name, value)
                for name in texts:
                    if not fields[self._places[name]].isprintable() and _not_utf8(fields[self._places[name]]):
                        return DumpError(f"{self.name}: line {line}: {name} is not UTF-8")
        except csv.Error:  # a field of more than the module takes
            return None
        return None


def open_dump(path: Path, asked: Roles) -> CsvDump:
    """The dump in a .csv or .tsv file, compressed or not. Raises DumpError."""
    arrow(str(path))
    separator = "\t" if ".tsv" in path.suffixes[-2:] or path.suffix.lower() == ".tsv" else ","
    with opened(path) as file:
        return CsvDump(str(path), asked, separator, path, Lines(file, str(path), head=True))


def open_lines(lines: Lines, asked: Roles) -> CsvDump:
    """The dump in a stream: separated by tabs where the line of names has tabs and no commas. Raises DumpError."""
    names = lines.peek(header_end).data
    return CsvDump(lines.name, asked, "\t" if b"\t" in names and b"," not in names else ",", None, lines)


def open_stream(stream: Readable, name: str, asked: Roles) -> CsvDump:
    """The dump in a stream, which is read once. Raises DumpError."""
    arrow(name)
    return open_lines(Lines(stream, name), asked)


def _header(lines: Lines, separator: str) -> list[str]:
    lines.skip_blank()
    first = lines.first(header_end).data
    if not first:
        raise DumpError(f"{lines.name} is empty; expected a line with the names of the columns")
    if first.count(separator.encode()) > MOST_COLUMNS:
        raise DumpError(f"{lines.name} has more than {MOST_COLUMNS} columns")
    try:
        names = next(csv.reader([first.decode().rstrip("\r\n")], delimiter=separator, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DumpError(f"{lines.name} has no line of column names: {first_line(error)}") from error
    if all(number(name) is not None for name in names):
        raise DumpError(f"{lines.name} has numbers in its first line; expected the names of the columns")
    return [name.strip() for name in names]


def header_end(data: bytearray, start: int, stop: int) -> int:
    """How many bytes the line of names has: names with line ends are quoted, and quotes in names come in pairs."""
    is_quoted = False
    for match in re.compile(rb'"|\r\n|\n|\r').finditer(data, start, stop):
        if match[0] == b'"':
            is_quoted = not is_quoted
        elif not is_quoted and (match[0] != b"\r" or match.end() < stop):
            return match.end() - start
    return 0


def whole_rows(separator: bytes, data: bytearray, start: int, stop: int) -> int:
    """How many bytes are whole rows: to the last line end that stands in no quotes."""
    if data.find(b'"', start, stop) < 0:
        return max(data.rfind(b"\n", start, stop) + 1 - start, 0)
    quotes = _quotes(separator, memoryview(data)[start:stop])
    while (place := data.rfind(b"\n", start, stop)) >= 0:
        before = int(np.searchsorted(quotes, place - start))
        if before % 2 == 0:
            return place + 1 - start
        stop = start + int(quotes[before - 1])
    return 0


def _quotes(separator: bytes, data: memoryview) -> Array:
    """Where quotes begin and end, one after the other.

    Mostly these are all the quotes there are: a doubled one within ends and begins. It is so if every other one stands
    after a separator, a line end or another quote. Else some are part of a text that has no quotes around it.
    """
    values = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(values == _QUOTE)
    opening = quotes[2 * (quotes[0] == 0) :: 2]
    if np.isin(values[opening - 1], (*_LINE_ENDS, separator[0], _QUOTE)).all():
        return quotes
    fields = re.compile(rb'(?:(?<=[\r\n%s])|\A)"[^"]*+(?:""[^"]*+)*+("?)' % separator)
    found = ((match.start(), match.end() - 1) if match[1] else (match.start(),) for match in fields.finditer(data))
    return np.array([place for places in found for place in places], np.int64)


def _categories(column: Any) -> tuple[Array, list[str]]:
    """Codes of rows, and the texts that they stand for."""
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if hasattr(whole, "num_chunks") else whole
    return whole.indices.to_numpy(), whole.dictionary.to_pylist()


def _groups(column: Any) -> Array:
    codes, texts = _categories(column)
    groups = group_array([as_group(one) for one in texts])
    return groups[codes] if len(groups) else objects([])


def _not_utf8(value: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in value)
