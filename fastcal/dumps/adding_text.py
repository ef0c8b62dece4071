"""Columns and keys more in text files: the bytes of a row stay as they are, and the addition is put at its end."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import Array
from . import csv, lm_eval
from .adding import Addition, Rows, is_column_of, source_of, suffix_of
from .batches import Dump, DumpError, first_line
from .lines import BOM, Lines, last_line_end, opened
from .records import Refused, record_of


def add(dump: Dump, out: Path, addition: Addition) -> int:
    """See :func:`fastcal.dumps.adding.add`."""
    source = source_of(dump)
    suffix = suffix_of(source)
    with text_file(out, suffix) as file, opened(source) as read:
        lines = Lines(read, str(source))
        file.write(BOM if lines.has_bom else b"")
        if suffix.startswith((".csv", ".tsv")):
            return _to_table(dump, lines, file, addition, b"\t" if suffix.startswith(".tsv") else b",")
        if isinstance(dump, lm_eval.LmEvalDump):
            return _to_samples(dump, lines, file, addition)
        return _to_objects(dump, lines, file, addition)


@contextlib.contextmanager
def text_file(path: Path, suffix: str) -> Iterator[IO[bytes]]:
    """A file to write text to, compressed where its suffix says so."""
    codec = {".gz": "gzip", ".zst": "zstd"}.get(Path(suffix).suffix)
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(open(path, "wb"))
        if codec is not None:
            import pyarrow as pa

            file = stack.enter_context(pa.CompressedOutputStream(pa.PythonFile(file, "w"), codec))
        yield file


def texts(values: Array, between: bytes) -> list[bytes]:
    """Rows (n,) or (n, K) in the fewest digits that say each number, with ``between`` in between."""
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = pa.array(values.reshape(-1)).cast(pa.string()).cast(pa.binary())
    if values.ndim == 1:
        whole: list[bytes] = flat.to_pylist()
        return whole
    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
    joined: list[bytes] = pc.binary_join(pa.ListArray.from_arrays(offsets, flat), between).to_pylist()
    return joined


# --- tables -----------------------------------------------------------------------------------------------------------


def _to_table(dump: Dump, lines: Lines, out: IO[bytes], addition: Addition, between: bytes) -> int:
    """A column a class, or one of binary scores: a list in quotes is no column of a table."""
    table = Records(between)
    n_rows = 0
    with Rows(dump, addition) as rows:
        first = rows.take(0)
        lines.skip_blank()
        ((header, end),) = table.split(lines.first(table.header_end).data)
        names = table.fields(header)
        addition.check_new(names, dump.name)
        kept = [k for k, name in enumerate(names) if name != addition.name and not is_column_of(name, addition.name)]
        kept = [] if len(kept) == len(names) else kept
        added = [addition.name] if first.ndim == 1 else [f"{addition.name}_{k}" for k in range(first.shape[1])]
        out.write(table.chosen(header, kept) + between + quoted(added, between) + (end or b"\n"))
        with closing(lines.blocks(table.end)) as blocks:
            for block in blocks:
                records = table.split(block.data)
                count = sum(1 for record, _ in records if record)
                found = iter(texts(rows.take(count), between))
                for record, end in records:
                    row = (table.chosen(record, kept), between, next(found), end or b"\n") if record else (end,)
                    out.write(b"".join(row))
                n_rows += count
        rows.end()
    return n_rows


def quoted(names: list[str], between: bytes) -> bytes:
    """Names as a table's header has them."""
    special = re.compile(rf'["\r\n{re.escape(between.decode())}]')
    found = ['"' + name.replace('"', '""') + '"' if special.search(name) else name for name in names]
    return between.join(name.encode() for name in found)


class Records:
    """Text cut into a table's rows: at line ends, but not at those within quotes, which open at a field's start."""

    def __init__(self, between: bytes) -> None:
        mark = re.escape(between)
        field = rb'(?:"[^"]*+(?:""[^"]*+)*+(?:"|\Z)[^%b\r\n]*+|[^"%b\r\n][^%b\r\n]*+|)' % (mark, mark, mark)
        self._between = between
        self._field = re.compile(field)
        self._record = re.compile(rb"(%b(?:%b%b)*+)(\r\n|\n|\r|\Z)" % (field, mark, field))
        self.header_end = csv.header_end
        self.end = partial(csv.whole_rows, between)

    def split(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Rows, each with its line end."""
        if b'"' not in data and b"\r" not in data:
            lines = data.split(b"\n")
            last = lines.pop()
            rows = [(line, b"\n") for line in lines]
            return [*rows, (last, b"")] if last else rows
        found = [(match[1], match[2]) for match in self._record.finditer(data)]
        return [row for row in found if row != (b"", b"")]

    def fields(self, record: bytes) -> list[str]:
        """The text of a row's fields."""
        return [_unquoted(field).decode("utf-8", "replace").strip() for field in self._spans(record)]

    def chosen(self, record: bytes, kept: list[int]) -> bytes:
        """A row's fields of those numbers, as they are; of no numbers, all."""
        if not kept:
            return record
        spans = self._spans(record)
        return self._between.join(spans[k] for k in kept if k < len(spans))

    def _spans(self, record: bytes) -> list[bytes]:
        spans, place = [], 0
        while place <= len(record):
            match = self._field.match(record, place)
            spans.append(match[0] if match else b"")
            place += len(spans[-1]) + len(self._between)
        return spans


def _unquoted(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field[:1] == field[-1:] == b'"' and len(field) > 1 else field


# --- JSON lines -------------------------------------------------------------------------------------------------------


def _to_objects(dump: Dump, lines: Lines, out: IO[bytes], addition: Addition) -> int:
    n_rows = 0
    with Rows(dump, addition) as rows, closing(lines.blocks(last_line_end)) as blocks:
        for block in blocks:
            records = block.data.splitlines(keepends=True) if b"\r" not in block.data else _split_lines(block.data)
            count = sum(1 for record in records if not record.isspace())
            members = _members(rows.take(count), dump, addition)
            for record in records:
                out.write(record if record.isspace() else with_member(record, next(members), addition, dump))
            n_rows += count
        rows.end()
    return n_rows


def _split_lines(data: bytes) -> list[bytes]:
    """Lines, where only a line feed ends one."""
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def _members(values: Array, dump: Dump, addition: Addition) -> Iterator[bytes]:
    """What is added to each object: a list under one key, or a number a class under keys like the scores' own."""
    key = json.dumps(addition.name).encode()
    if values.ndim == 1:
        return (b"%b: %b" % (key, text) for text in texts(values, b""))
    if not getattr(dump, "one_a_class", False):
        return (b"%b: [%b]" % (key, text) for text in texts(values, b", "))
    keys = [json.dumps(f"{addition.name}_{k}").encode() for k in range(values.shape[1])]
    columns = [texts(np.ascontiguousarray(values[:, k]), b"") for k in range(values.shape[1])]
    return (b", ".join(b"%b: %b" % pair for pair in zip(keys, row, strict=True)) for row in zip(*columns, strict=True))


def with_member(record: bytes, member: bytes, addition: Addition, dump: Dump) -> bytes:
    """The text of an object with one member more at its end."""
    body = record.rstrip()
    end = record[len(body) :]
    if addition.name.encode() in body or b"\\u" in body:  # a key may be spelt by its characters' numbers
        body = _without(body, addition, dump)
    if not body.endswith(b"}"):
        raise DumpError(f"{dump.name} holds a line that is no object")
    return b"%b, %b}%b" % (body[:-1].rstrip(), member, end)


def _without(body: bytes, addition: Addition, dump: Dump) -> bytes:
    """An object's text without the members of the addition's name; raises DumpError where they may not go."""
    try:
        found = members_of(body.decode())
    except ValueError as problem:
        raise DumpError(f"{dump.name} holds a line that cannot be taken apart: {first_line(problem)}") from None
    addition.check_new([name for name, _ in found], dump.name)
    kept = [text for name, text in found if name != addition.name and not is_column_of(name, addition.name)]
    return body if len(kept) == len(found) else b"{%b}" % ", ".join(kept).encode()


_SPACE = re.compile(r"[ \t\r\n]*")


def members_of(text: str) -> list[tuple[str, str]]:
    """An object's members in order: name, and text as it is. Raises ValueError for what is none, or too deep."""
    decode = json.JSONDecoder(parse_int=str).raw_decode  # of any number of digits
    found: list[tuple[str, str]] = []
    place = _past_space(text, 0)
    if text[place : place + 1] != "{":
        raise ValueError("no object")
    place = _past_space(text, place + 1)
    try:
        while text[place : place + 1] == '"':
            name, colon = decode(text, place)
            colon = _past_space(text, colon)
            _, end = decode(text, _past_space(text, colon + 1))
            found.append((name, text[place:end]))
            place = _past_space(text, _past_space(text, end) + 1)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text[place:].strip() not in ("", "}"):
        raise ValueError("no object")
    return found


def _past_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


# --- lm-evaluation-harness --------------------------------------------------------------------------------------------


def _to_samples(dump: lm_eval.LmEvalDump, lines: Lines, out: IO[bytes], addition: Addition) -> int:
    """Each sample's log-likelihoods calibrated, of every filter, where the dump's rows are those of one."""
    key = json.dumps(addition.name).encode()
    row = n_lines = 0
    with closing(lines.blocks(last_line_end)) as blocks:
        for block in blocks:
            records = _split_lines(block.data)
            samples = []
            for number, record in enumerate(records, block.line):
                if not record.isspace():
                    samples.append(_log_likelihoods(record, dump, number))
            scores = np.full((len(samples), dump.n_columns), -np.inf)
            for place, sample in enumerate(samples):
                scores[place, : len(sample)] = sample
            found = addition.of(scores, dump, row)
            made = iter(zip(samples, found, strict=True))
            for record in records:
                if record.isspace():
                    out.write(record)
                    continue
                sample, values = next(made)
                (text,) = texts(values[None, : len(sample)], b", ")
                out.write(with_member(record, b"%b: [%b]" % (key, text), addition, dump))
            row += len(samples)
            n_lines += len(samples)
    return n_lines


def _log_likelihoods(record: bytes, dump: lm_eval.LmEvalDump, line: int) -> Array:
    where = f"{dump.name}: line {line}"
    try:
        found = lm_eval.log_likelihoods(record_of(record, where), dump.roles.scores)
    except Refused as problem:
        raise DumpError(f"{where}: {problem}") from None
    if len(found) > dump.n_columns:
        raise DumpError(f"{where} has {len(found)} choices, the calibrator {dump.n_columns} classes")
    return found
