"""What every reader yields, and the parts that a dump can be read in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..arrays import Array
from .names import Roles

# Bytes of scores in a batch: enough work for a thread, little enough for its caches and to hold several.
BATCH_BYTES = 4 << 20


class DumpError(ValueError):
    """A file that cannot be read as a dump: which, and why."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a dump."""

    labels: Array
    scores: Array
    weights: Array | None = None
    groups: Array | None = None

    @property
    def n_rows(self) -> int:
        """Rows."""
        return len(self.labels)


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


def rows_per_batch(row_bytes: int, n_bytes: int | None = None) -> int:
    """Rows of which the scores take about ``n_bytes``, or BATCH_BYTES."""
    return max(1, (n_bytes or BATCH_BYTES) // max(row_bytes, 1))


def after(skip: int, batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
    """The batches without their first ``skip`` rows: for formats in which no row can be found but by reading."""
    with closing(batches):
        for batch in batches:
            if skip >= batch.n_rows:
                skip -= batch.n_rows
                continue
            columns = batch.labels, batch.scores, batch.weights, batch.groups
            yield Batch(*(None if column is None else column[skip:] for column in columns)) if skip else batch  # type: ignore[arg-type]
            skip = 0
