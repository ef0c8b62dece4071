"""A piece of a dump through an accumulator: the one step that threads, processes and clusters all take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from ..accumulators.evaluation import Evaluation
from ..arrays import DataError
from ..dumps import Batch, Dump, DumpError, Piece
from .looks import Looks

# Told of the rows of every batch, once they are in the accumulator.
OnRows = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """One piece of one of the dumps, or what is left of it. Plain data: it can be pickled.

    ``number`` is its place in the order of all rows, ``skip`` how many of its rows are done already, and ``first_row``
    the number of its first row in all dumps: None where only reading tells.
    """

    number: int
    dump: Dump
    piece: Piece
    skip: int = 0
    first_row: int | None = None

    def from_row(self, first_row: int) -> Task:
        """The same, once the number of its first row is known."""
        return replace(self, first_row=first_row)


def tasks_of(dumps: Iterable[Dump]) -> list[Task]:
    """The pieces of all dumps, in order."""
    tasks: list[Task] = []
    before: int | None = 0  # rows of the dumps before this one
    for dump in dumps:
        pieces = dump.pieces()
        sizes = [piece.n_rows for piece in pieces]
        for k, piece in enumerate(pieces):
            known = before is not None and (k == 0 or None not in sizes[:k])
            first_row = (before or 0) + piece.first_row if known else None
            tasks.append(Task(len(tasks), dump, piece, first_row=first_row))
        before = None if before is None or None in sizes else before + sum(size or 0 for size in sizes)
    return tasks


def numbers_rows(accumulator: Any) -> bool:
    """Whether figures depend on the numbers of rows: those of a bootstrap over blocks of them do."""
    if isinstance(accumulator, Looks):
        return any(numbers_rows(accumulator[name]) for name in accumulator)
    return isinstance(accumulator, Evaluation) and accumulator.numbers_rows


def until_it_fails(accumulator: Any) -> Any:
    """The accumulator, of which nothing is kept once an update has failed: it spares what it would go back to."""
    for one in [accumulator[name] for name in accumulator] if isinstance(accumulator, Looks) else [accumulator]:
        if isinstance(one, Evaluation):
            one.goes_back = False
    return accumulator


def run_task(task: Task, accumulator: Any, on_rows: OnRows | None = None) -> None:
    """Update ``accumulator`` with the rows of a task that are not done yet.

    Raises DumpError for what cannot be read and for a value that is out of place, naming the array and its row.
    """
    add = Adding(task, accumulator)
    with closing(task.dump.read(task.piece, task.skip)) as batches:
        for batch in batches:
            add(batch)
            if on_rows is not None:
                on_rows(batch.n_read)


class Adding:
    """Adds batches of a task, one after the other, to an accumulator."""

    def __init__(self, task: Task, accumulator: Any) -> None:
        self.task = task
        self.accumulator = accumulator
        self.done = task.skip  # rows of the piece so far
        self.numbered = numbers_rows(accumulator)
        if self.numbered and task.first_row is None:
            raise DumpError(
                f"{task.dump.name}: rows are numbered for the bootstrap, and its first row's number is not known"
            )

    def __call__(self, batch: Batch) -> None:
        """Add a batch; raises DumpError for a value that is out of place, naming the array and its row."""
        dump = self.task.dump
        more: dict[str, Any] = {}
        if batch.groups is not None:
            more["groups"] = batch.groups
        if self.numbered:
            first = (self.task.first_row or 0) + self.done
            more["row"] = first if batch.rows is None else first + batch.rows
        try:
            self.accumulator.update(batch.labels, batch.scores, sample_weight=batch.weights, **more)
        except DataError as error:
            raise DumpError(f"{dump.name}: {self._located(error, batch)}") from error
        except TypeError as error:
            raise DumpError(f"{dump.name}: {error}") from error
        self.done += batch.n_read

    def _located(self, error: DataError, batch: Batch) -> DataError:
        """The error, with the dump's own names and numbers of rows."""
        roles = self.task.dump.roles
        names = {
            "y_true": roles.labels,
            "y_prob": roles.scores,
            "scores": roles.scores,
            "sample_weight": roles.weights,
            "groups": roles.groups,
        }
        name = names.get(error.argument) or error.argument
        if not error.index:
            return DataError(name, (), error.problem)
        row = self.task.piece.first_row + self.done + batch.row(error.index[0])
        return DataError(name, (row, *error.index[1:]), error.problem)
