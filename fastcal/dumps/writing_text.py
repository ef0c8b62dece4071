"""Rows to CSV, TSV and JSON lines, in the fewest digits that say each number."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np

from ..arrays import Array
from .adding_text import quoted, text_file, texts
from .columns import arrow
from .writing import Columns, Settings, Sink


class _Text(Sink):
    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        arrow(f"and writing {suffix}")
        self._scores = settings.scores
        self._stack = contextlib.ExitStack()
        self._file = self._stack.enter_context(text_file(path, suffix))

    def finish(self) -> None:
        """See :meth:`Sink.finish`."""
        self._stack.close()

    def close(self) -> None:
        """See :meth:`Sink.close`."""
        self._stack.close()


class CsvSink(_Text):
    """A table: a column a class, probs_0, probs_1, ..., or one of binary scores."""

    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        super().__init__(path, suffix, first, settings)
        self._between = b"\t" if suffix.startswith(".tsv") else b","
        scores = [self._scores]
        if first.scores.ndim > 1:
            scores = [f"{self._scores}_{k}" for k in range(first.scores.shape[1])]
        names = [*scores, *(name for name, _ in first.others())]
        self._file.write(quoted(names, self._between) + b"\n")

    def write(self, rows: Columns) -> None:
        """See :meth:`Sink.write`."""
        columns = [texts(_single(rows.scores), self._between)]
        columns += [self._cells(values) for _, values in rows.others()]
        self._file.write(b"\n".join(map(self._between.join, zip(*columns, strict=True))) + b"\n")

    def _cells(self, values: Array) -> list[bytes]:
        if values.dtype.kind not in "OU":
            return texts(values, b"")
        special = re.compile(rf'["\r\n{re.escape(self._between.decode())}]|^\s*$|^\s|\s$')
        found = {}
        for value in dict.fromkeys(values.tolist()):
            text = str(value)
            found[value] = ('"' + text.replace('"', '""') + '"' if special.search(text) else text).encode()
        return [found[value] for value in values.tolist()]


class JsonSink(_Text):
    """An object a row."""

    def write(self, rows: Columns) -> None:
        """See :meth:`Sink.write`."""
        binary = rows.scores.ndim == 1
        lists = _spelled(rows.scores, b"" if binary else b", ")
        columns = [(self._scores, lists if binary else [b"[%b]" % one for one in lists])]
        for name, values in rows.others():
            if values.dtype.kind in "OU":
                spelled = {value: json.dumps(str(value)).encode() for value in dict.fromkeys(values.tolist())}
                columns.append((name, [spelled[value] for value in values.tolist()]))
            else:
                columns.append((name, _spelled(values, b"")))
        form = ", ".join(f'"{name}": %b' for name, _ in columns).encode()
        form = b"{" + form + b"}"
        self._file.write(b"\n".join(form % row for row in zip(*(column for _, column in columns), strict=True)) + b"\n")


def _spelled(values: Array, between: bytes) -> list[bytes]:
    """Numbers as JSON has them, NaN and infinities as Python's module json writes and reads them."""
    values = _single(values)
    found = texts(values, between)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return found
    words = {b"nan": b"NaN", b"inf": b"Infinity", b"-inf": b"-Infinity"}
    odd = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    for row in odd.tolist():
        parts = found[row].split(between) if between else [found[row]]
        found[row] = between.join(words.get(part, part) for part in parts)
    return found


def _single(values: Array) -> Array:
    """Half floats as single ones, whose digits are no more."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


SINKS: dict[str, type[Sink]] = {
    **{suffix + packed: CsvSink for suffix in (".csv", ".tsv") for packed in ("", ".gz", ".zst")},
    **{suffix + packed: JsonSink for suffix in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst")},
}
