"""What CSV and JSON lines have in common: columns that are found by name, and values that are written as text."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .batches import Batch, Dump, DumpError, Piece, after
from .lines import MAX_LINE, Lines, opened
from .names import MOST_SHOWN, Roles

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|infinity|nan)", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
_BOOLEANS = {"true": 1, "false": 0}


class TextDump(Dump):
    """One text file, or a stream that can be read once; all of its rows are one piece."""

    longest = MAX_LINE

    def __init__(self, name: str, roles: Roles, path: Path | None, lines: Lines | None) -> None:
        self.name = name
        self.roles = roles
        self.files = () if path is None else (path,)
        self._lines = lines

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        return [Piece(0, 1)]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        return after(skip, self._all())

    def _all(self) -> Generator[Batch, None, None]:
        if self.files:
            with opened(self.files[0]) as file:
                yield from self._rows(Lines(file, self.name, self.longest))
            return
        lines, self._lines = self._lines, None
        if lines is None:
            raise DumpError(f"{self.name} can be read once only")
        yield from self._rows(lines)

    def _rows(self, lines: Lines) -> Generator[Batch, None, None]:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        if not self.files:
            raise DumpError(f"{self.name} cannot be handed to another process; save it as a file")
        return self.__dict__


def number(text: str) -> float | None:
    """The number that text is, spaces around it left out; None for any other."""
    given = text.strip()
    return float(given) if _NUMBER.fullmatch(given) else None


def as_labels(texts: list[str], classes: tuple[str, ...] | None) -> tuple[Array | list[str], int | None]:
    """Labels from text, each by itself, and the first place of one that is none, if there is.

    Where classes have names these, spaces around them left out; else numbers, integers if all are whole; and true and
    false.
    """
    stripped = [text.strip() for text in texts]
    if classes is not None:
        return stripped, next((place for place, text in enumerate(stripped) if not text), None)
    values = np.empty(len(stripped))
    for place, text in enumerate(stripped):
        value = _BOOLEANS.get(text.lower(), number(text))
        if value is None:
            return values, place
        values[place] = value
    return whole(values), None


def whole(values: Array) -> Array:
    """Numbers as integers where they all are."""
    if np.isfinite(values).all() and (abs(values) < 1 << 53).all() and (values == np.trunc(values)).all():
        return values.astype(np.int64)
    return values


def as_group(text: str) -> str | int:
    """A slice from text: an integer where it is written as one, so that slices have their numbers' order."""
    return int(text) if _INTEGER.fullmatch(text) else text


def group_array(values: list[Any]) -> Array:
    """Slices, as integers where they all are."""
    if all(type(value) is int and abs(value) < 1 << 62 for value in values):
        return np.array(values, np.int64)
    return objects(values)


def objects(values: list[Any]) -> Array:
    """An array of the objects in a list."""
    made = np.empty(len(values), object)
    made[:] = values
    return made


def quoted(value: object) -> str:
    """A value for a message."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def missing_label(name: str, line: int, label: str | None) -> DumpError:
    """A row without a label."""
    return DumpError(f"{name}: line {line}: {label} is missing")


def no_number(name: str, line: int, column: str | None, value: object, *, is_label: bool = False) -> DumpError:
    """A value that is none."""
    more = "; for text say --classes A,B,... in the order of the scores' columns" if is_label else ""
    return DumpError(f"{name}: line {line}: {column} is {quoted(value)}, no number{more}")
