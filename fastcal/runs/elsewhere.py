"""A run's tasks on other machines: what is kept of them while they come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..dumps import DumpError
from .tasks import OnRows, Task, numbers_rows
from .total import Kept, Saving, Total

# Adds tasks to an accumulator on other machines, as fastcal.integrations.dask_cluster.run_on_cluster does: called with
# them, and on_rows= and on_state= to tell of rows, and of numbers of tasks whose rows the accumulator holds now.
Cluster = Callable[..., Any]

# Seconds between two states that are taken: what Ctrl-C, at any point of somebody else's loop, can lose.
KEEP = 1.0


class Elsewhere:
    """Hands tasks to a cluster, and takes a state of the total whenever it holds whole tasks."""

    def __init__(self, tasks: list[Task], total: Total, saving: Saving) -> None:
        self._tasks = {task.number: task for task in tasks}
        self._total = total
        self._saving = saving
        self._kept: Kept | None = None
        self._taken = time.monotonic()
        self._rows = self._told = 0
        unknown = any(task.piece.n_rows is None for task in tasks)
        if saving.is_on and unknown and numbers_rows(total.accumulator):
            raise DumpError("a bootstrap over files whose rows are not counted cannot be resumed on a cluster")

    def run(self, cluster: Cluster, on_rows: OnRows) -> None:
        """Do all tasks. Whatever ends that early, the state is written as it was when it last held whole tasks."""

        def count(n: int) -> None:
            self._rows += n
            on_rows(self._rows)

        try:
            cluster(list(self._tasks.values()), self._total.accumulator, on_rows=count, on_state=self._take)
        except DumpError:
            raise
        except BaseException:
            self._saving.save(self._kept)
            raise

    def _take(self, numbers: list[int], _: Any) -> None:
        """The accumulator holds these tasks, too."""
        tasks = [self._tasks[number] for number in numbers]
        done = {task.number: task.piece.n_rows or task.skip for task in tasks}
        unknown = next((task for task in tasks if task.piece.n_rows is None), None)
        if unknown is not None:  # their rows are told of together
            others = sum(task.piece.n_rows - task.skip for task in tasks if task.piece.n_rows is not None)
            done[unknown.number] += self._rows - self._told - others
        self._told = self._rows
        self._total.position.take(done, {})
        if self._saving.is_on and (self._saving.is_due() or time.monotonic() - self._taken > KEEP):
            self._kept = self._total.kept()
            self._taken = time.monotonic()
            if self._saving.is_due():
                self._saving.save(self._kept)
