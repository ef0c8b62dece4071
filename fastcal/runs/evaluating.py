"""All rows of dumps through an accumulator: on threads or on a cluster, with checkpoints where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from .. import engine
from ..dumps import Dump, DumpError
from .checkpoint import Checkpoint, only_run, state_path
from .elsewhere import Cluster, Elsewhere
from .extent import Extent
from .fingerprint import Watched
from .position import Position
from .tasks import OnRows, tasks_of
from .total import Saving, Total
from .working import LOOK, Workers

A = TypeVar("A")

# Seconds between checkpoints.
EVERY = 5.0
# Shorter times between them are taken as this.
SHORTEST = 0.005


class Run:
    """Every row of ``dumps`` into ``accumulator``, once; see :func:`evaluate` for the arguments.

    Afterwards ``n_rows`` is how many were read, ``seconds`` how long that took, in all parts of a run that was resumed,
    ``started`` when the first of them began, and ``was_complete`` whether nothing was left to be read. ``extent`` says
    how far it is.
    """

    def __init__(
        self,
        dumps: Iterable[Dump],
        accumulator: Any,
        *,
        n_threads: int | None = None,
        state: Path | None = None,
        every: float = EVERY,
        cluster: Cluster | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int | float) or not 0 <= every < math.inf:
            raise ValueError(f"every is {every!r}; expected seconds, from 0 up")
        self.dumps = list(dumps)
        self.accumulator = accumulator
        self.tasks = tasks_of(self.dumps)
        self.extent = Extent(self.tasks)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds = 0.0
        self.n_rows = 0
        self.was_complete = False
        self._n_threads = engine.thread_count(n_threads)
        self._state = None if state is None else state_path(state)
        self._every = float(every)
        self._cluster = cluster
        if state is not None and not accumulator.is_empty:
            raise ValueError("the accumulator has seen rows that are not of this run: a state needs an empty one")

    def go(self, on_rows: OnRows | None = None) -> None:
        """Do it; ``on_rows`` is told of rows that were read since it was last told, some times a second."""
        with nullcontext() if self._state is None else only_run(self._state):
            self._go(_Counter(on_rows))
        if self.accumulator.is_empty:
            raise DumpError("no rows")

    def _go(self, counter: _Counter) -> None:
        watched = Watched(path for dump in self.dumps for path in dump.files)
        checkpoint, position = None, Position()
        if self._state is not None:
            checkpoint = Checkpoint(self._state, self.dumps, self.tasks, self._n_threads)
            position = checkpoint.load(self.accumulator)
            self.started, self.was_complete = checkpoint.started, checkpoint.complete
        self.extent.position = position
        total, saving = Total(self.accumulator, position), Saving(checkpoint, self._every, position.n_rows)
        counter.before(position.n_rows)
        if not self.was_complete:
            self._work(total, saving, counter)
            watched.check()
            if checkpoint is not None:
                checkpoint.check_inputs()
                saving.save(total.kept(), complete=True)
        self.n_rows = position.n_rows
        self.seconds = (0.0 if checkpoint is None else checkpoint.seconds) + (
            0.0 if self.was_complete else saving.seconds
        )

    def _work(self, total: Total, saving: Saving, counter: _Counter) -> None:
        tasks = total.position.left(self.tasks)
        if self._cluster is not None:
            Elsewhere(tasks, total, saving).run(self._cluster, counter.tell)
            return
        workers = Workers(tasks, total, self._n_threads)

        def look() -> None:
            counter.tell(workers.n_rows)
            if saving.is_due():
                workers.collect()
                saving.save(total.kept())

        try:
            workers.run(look, LOOK if self._state is None else min(LOOK, max(self._every, SHORTEST)))
        except DumpError:
            raise
        except BaseException:  # Ctrl-C, a disk that fails, no memory: it may be gone on with
            saving.save(total.kept())
            raise


class _Counter:
    """Tells of rows."""

    def __init__(self, on_rows: OnRows | None) -> None:
        self._on_rows = on_rows
        self._before = self._told = 0

    def before(self, n_rows: int) -> None:
        """So many were read in earlier parts of the run."""
        self._before = n_rows
        self.tell(0)

    def tell(self, n_rows: int) -> None:
        """So many were read in this part."""
        rows = self._before + n_rows
        if self._on_rows is not None and rows > self._told:
            self._on_rows(rows - self._told)
            self._told = rows


def evaluate(
    dumps: Iterable[Dump],
    accumulator: A,
    on_rows: OnRows | None = None,
    *,
    n_threads: int | None = None,
    state: Path | None = None,
    every: float = EVERY,
    cluster: Cluster | None = None,
) -> A:
    """Update ``accumulator`` with every row of ``dumps``; ``on_rows`` is told of the rows that were read.

    Pieces of dumps are read by ``n_threads`` threads at once; the result has the bits of one thread's. ``state`` is a
    file that keeps the accumulator and its place among the rows every few seconds (``every``), and is gone on from if
    it is there: ``accumulator`` has to be empty then. Ctrl-C, and whatever ``on_rows`` raises, ends the run after the
    batches that are under way. ``cluster`` does the pieces elsewhere, see elsewhere.py.

    Raises DumpError for a file that cannot be read or that changes meanwhile, for a value that is out of place, naming
    the array and the row of its file, and where there is no row at all: of several the first in the order of the rows.
    Raises StateError, a DumpError, for a state that is none, of another run, or in use.
    """
    Run(dumps, accumulator, n_threads=n_threads, state=state, every=every, cluster=cluster).go(on_rows)
    return accumulator
