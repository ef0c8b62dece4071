"""Which rows of a run are done: whole tasks, and how many rows of those that are under way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from .tasks import Task

MAX_ROWS = 1 << 62


@dataclass
class Position:
    """``done``: numbers of tasks and the rows read of each; ``within``: the rows read of those not done.

    ``columns`` is how many columns scores have, 0 for (N,), as soon as the first row of all was seen.
    """

    done: dict[int, int] = field(default_factory=dict)
    within: dict[int, int] = field(default_factory=dict)
    columns: int | None = None

    @property
    def n_rows(self) -> int:
        """Rows read."""
        return sum(self.done.values()) + sum(self.within.values())

    def take(self, done: dict[int, int], within: dict[int, int]) -> None:
        """Move on: what is ``done`` is not under way any more."""
        self.within.update(within)
        for number, rows in done.items():
            self.done[number] = rows
            self.within.pop(number, None)

    def left(self, tasks: Iterable[Task]) -> list[Task]:
        """The tasks that are not done, from where they stand, each with its first row's number if that is known."""
        found: list[Task] = []
        first_row: int | None = 0
        for task in tasks:
            first_row = task.first_row if task.first_row is not None else first_row
            if task.number in self.done:
                first_row = None if first_row is None else first_row + self.done[task.number]
                continue
            found.append(replace(task, skip=self.within.get(task.number, 0), first_row=first_row))
            first_row = None
        return found

    def to_json(self) -> dict[str, Any]:
        """Runs of tasks done one after the other, and their rows; and what is under way."""
        runs: list[list[Any]] = []
        for number in sorted(self.done):
            if runs and runs[-1][0] + len(runs[-1][1]) == number:
                runs[-1][1].append(self.done[number])
            else:
                runs.append([number, [self.done[number]]])
        within = [list(pair) for pair in sorted(self.within.items())]
        return {"done": runs, "within": within, "columns": self.columns}

    @classmethod
    def from_json(cls, data: Any) -> Position:
        """From :meth:`to_json`; raises ValueError for what is none of it."""
        position = cls()
        try:
            for first, rows in data["done"]:
                position.done.update(zip(range(_whole(first), first + len(rows)), map(_whole, rows), strict=True))
            for number, rows in data["within"]:
                position.within[_whole(number)] = _whole(rows)
            position.columns = None if data["columns"] is None else _whole(data["columns"])
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError("the position of its run is none") from error
        if position.done.keys() & position.within.keys():
            raise ValueError("the position of its run contradicts itself")
        return position


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MAX_ROWS:
        raise ValueError(value)
    return value
