"""All rows of dumps through an accumulator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from ..dumps import Dump, DumpError
from .tasks import OnRows, run_task, tasks_of

A = TypeVar("A")


def evaluate(dumps: Iterable[Dump], accumulator: A, on_rows: OnRows | None = None) -> A:
    """Update ``accumulator`` with every row of ``dumps``; ``on_rows`` is told of the rows of each batch.

    Raises DumpError for a file that cannot be read, for a value that is out of place, naming the array and the row of
    its file, and where there is no row at all.
    """
    for task in tasks_of(dumps):
        run_task(task, accumulator, on_rows)
    if accumulator.is_empty:  # type: ignore[attr-defined]
        raise DumpError("no rows")
    return accumulator
