"""A piece of a dump through an accumulator: the one step that threads, processes and clusters all take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..arrays import DataError
from ..dumps import Dump, DumpError, Piece

# Told of the rows of every batch, once they are in the accumulator.
OnRows = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """One piece of one of the dumps; ``number`` is its place in the order of all rows."""

    number: int
    dump: Dump
    piece: Piece


def tasks_of(dumps: Iterable[Dump]) -> list[Task]:
    """The pieces of all dumps, in order."""
    pieces = [(dump, piece) for dump in dumps for piece in dump.pieces()]
    return [Task(number, dump, piece) for number, (dump, piece) in enumerate(pieces)]


def run_task(task: Task, accumulator: Any, on_rows: OnRows | None = None, skip: int = 0) -> None:
    """Update ``accumulator`` with the rows of a task after the first ``skip``.

    Raises DumpError for what cannot be read and for a value that is out of place, naming the array and its row.
    """
    roles = task.dump.roles
    names = {"y_true": roles.labels, "y_prob": roles.scores, "sample_weight": roles.weights, "groups": roles.groups}
    row = task.piece.first_row + skip
    with closing(task.dump.read(task.piece, skip)) as batches:
        for batch in batches:
            try:
                more = {} if batch.groups is None else {"groups": batch.groups}
                accumulator.update(batch.labels, batch.scores, sample_weight=batch.weights, **more)
            except DataError as error:
                located = error.located(names[error.argument] or error.argument, row)
                raise DumpError(f"{task.dump.name}: {located}") from error
            except TypeError as error:
                raise DumpError(f"{task.dump.name}: {error}") from error
            row += batch.n_rows
            if on_rows is not None:
                on_rows(batch.n_rows)
