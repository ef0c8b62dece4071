"""All rows have as many columns as the very first, whichever worker comes first to a later one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..dumps import Batch, DumpError
from .position import Position
from .tasks import Task

# Seconds between two looks at whether to go on waiting.
LOOK = 0.1


class Columns:
    """Who comes to a first row waits until the tasks before have said how many columns scores have, or had no row.

    So that of dumps that differ the error is that of reading them in order; all begin at once, and nobody waits long.
    """

    def __init__(self, tasks: list[Task], position: Position) -> None:
        self._position = position
        self._order = [task.number for task in tasks]
        self._first = 0  # place of the first of them that may have a row
        self._ended: set[int] = set()
        self._changed = threading.Condition()

    def agree(self, task: Task, batch: Batch, is_over: Callable[[int], bool]) -> bool:
        """Whether to go on with a batch that has rows; raises DumpError for other columns than those before it."""
        shape = batch.scores.shape
        columns = shape[-1] if len(shape) > 1 else 0
        if self._position.columns is None:
            with self._changed:
                while self._position.columns is None and self._order[self._first] != task.number:
                    if is_over(task.number):
                        return False
                    self._changed.wait(LOOK)
                if self._position.columns is None:
                    self._position.columns = columns
                    self._changed.notify_all()
        known = self._position.columns
        if columns != known:
            name, seen = task.dump.roles.scores, f"(N, {known})" if known else "(N,)"
            raise DumpError(f"{task.dump.name}: {name} has shape {shape}; rows before it were {seen}")
        return True

    def ended(self, number: int) -> None:
        """A task has no more rows."""
        if self._position.columns is None:
            with self._changed:
                self._ended.add(number)
                while self._first + 1 < len(self._order) and self._order[self._first] in self._ended:
                    self._first += 1
                self._changed.notify_all()
