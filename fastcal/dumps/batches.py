"""What every reader yields, and the parts that a dump can be read in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Array
from .names import Roles, roles

# Bytes of scores in a batch: enough work for a thread, little enough for its caches and to hold several.
BATCH_BYTES = 4 << 20


class DumpError(ValueError):
    """A file that cannot be read as a dump: which, and why, in one line that a terminal shows as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))


def shown(text: object) -> str:
    """Text from a file, or a file's name, with every character that does not print as its escape sequence."""
    given = str(text)
    if given.isprintable():
        return given
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in given)


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a dump, less those that are ignored.

    ``rows`` are the places of its rows among those that were read, where some of these were ignored.
    """

    labels: Array
    scores: Array
    weights: Array | None = None
    groups: Array | None = None
    rows: Array | None = None
    n_ignored: int = 0

    @property
    def n_rows(self) -> int:
        """Rows that count."""
        return len(self.labels)

    @property
    def n_read(self) -> int:
        """Rows of the dump that it stands for: its own and the ignored ones. Positions in a dump count these."""
        return len(self.labels) + self.n_ignored

    def row(self, place: int) -> int:
        """Which of the rows that were read the row at ``place`` is."""
        return place if self.rows is None else int(self.rows[place])

    def after(self, skip: int) -> Batch:
        """The batch without the first ``skip`` of the rows that were read."""
        first = skip if self.rows is None else int(np.searchsorted(self.rows, skip))
        weights, groups = (None if column is None else column[first:] for column in (self.weights, self.groups))
        rows = None if self.rows is None else self.rows[first:] - skip
        n_ignored = self.n_ignored - (skip - first)
        return Batch(self.labels[first:], self.scores[first:], weights, groups, rows, n_ignored)


@dataclass(frozen=True)
class Piece:
    """Rows of a dump that can be read by themselves, on any thread or machine.

    ``start`` and ``stop`` count what the dump's format is cut by: rows, row groups, record batches. ``first_row`` is
    the number of the first row in the dump, ``n_rows`` how many there are: None where only reading tells.
    """

    start: int
    stop: int
    first_row: int = 0
    n_rows: int | None = None


class Dump(ABC):
    """One source of rows: a file, or several that together hold its arrays. Plain data: it can be pickled."""

    name: str
    roles: Roles
    files: tuple[Path, ...]  # what is read; empty for standard input

    @abstractmethod
    def pieces(self) -> list[Piece]:
        """What the rows can be cut into, in order, the same each time: one piece for what is read from start to end.

        Raises DumpError for a file that cannot be opened.
        """

    @abstractmethod
    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """The rows of a piece after the first ``skip``, in order, with bounded memory.

        May be called from several threads at once, for different pieces. Raises DumpError for what is not what it
        should be.
        """

    def batches(self) -> Generator[Batch, None, None]:
        """All rows, in order."""
        for piece in self.pieces():
            with closing(self.read(piece)) as batches:
                yield from batches


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def named_roles(asked: Roles, available: Collection[str], where: str) -> Roles:
    """Which names play which part; raises DumpError where they leave it open."""
    try:
        return roles(asked, available, where)
    except ValueError as error:
        raise DumpError(str(error)) from None


def rows_per_batch(row_bytes: int, n_bytes: int | None = None) -> int:
    """Rows of which the scores take about ``n_bytes``, or BATCH_BYTES."""
    return max(1, (n_bytes or BATCH_BYTES) // max(row_bytes, 1))


def pieces_of(sizes: Sequence[int], step: int) -> list[Piece]:
    """Groups of rows of these sizes as pieces of at least ``step`` rows, but for the last."""
    pieces, start, first_row, n = [], 0, 0, 0
    for stop, size in enumerate(sizes, 1):
        n += size
        if n >= step or stop == len(sizes):
            pieces.append(Piece(start, stop, first_row, n))
            start, first_row, n = stop, first_row + n, 0
    return pieces


def start_of(sizes: Sequence[int], piece: Piece, skip: int) -> tuple[int, int, int]:
    """Which group of a piece to begin with, the number of its first row, and how many of its rows to skip."""
    start, row = piece.start, piece.first_row
    while start < piece.stop and skip >= sizes[start]:
        skip -= sizes[start]
        row += sizes[start]
        start += 1
    return start, row, skip


def after(skip: int, batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
    """The batches without the first ``skip`` rows read: for formats in which no row can be found but by reading."""
    with closing(batches):
        for batch in batches:
            if skip >= batch.n_read:
                skip -= batch.n_read
                continue
            yield batch.after(skip) if skip else batch
            skip = 0
