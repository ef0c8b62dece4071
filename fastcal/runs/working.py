"""Threads that take pieces of dumps in order, each with an accumulator of its own, which it adds to the total.

A worker adds what it has seen when a checkpoint is due, at the next batch, and at its end: merging states of a megabyte
takes as long as evaluating a thousand rows, so not after every piece. What it adds are exact sums, so that neither the
number of workers nor who took which piece, nor when they were merged, shows in the result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

from ..dumps import Batch
from .ahead import Ahead, Stopped
from .columns import Columns
from .tasks import Adding, Task, numbers_rows, until_it_fails
from .total import Total

# Seconds between two looks of the thread that waits, and for which it waits for workers to stop, or to add.
LOOK = 0.1
STOPPING = 5.0
ADDING = 1.0


def chains(tasks: Iterable[Task], numbered: bool) -> Iterator[list[Task]]:
    """Tasks that have to be done one after the other: where rows are numbered, and only reading tells how many."""
    chain: list[Task] = []
    for task in tasks:
        if chain and not (numbered and task.first_row is None):
            yield chain
            chain = []
        chain.append(task)
    if chain:
        yield chain


class Workers:
    """Runs tasks on threads; the caller's only waits, so that Ctrl-C finds it there."""

    def __init__(self, tasks: list[Task], total: Total, n_threads: int) -> None:
        found = list(chains(tasks, numbers_rows(total.accumulator)))
        self.total = total
        self.columns = Columns(tasks, total.position)
        self.epoch = 0
        self._chains = iter(found)
        self._changed = threading.Condition()
        self._stopping = False
        self._failures: dict[int, BaseException] = {}
        count = max(1, min(n_threads, len(found)))
        self._workers = [Worker(self, n_threads // count) for _ in range(count)]
        self._working = set(self._workers)

    @property
    def n_rows(self) -> int:
        """Rows read so far."""
        return sum(worker.n_rows for worker in self._workers)

    def run(self, look: Callable[[], None], seconds: float = LOOK) -> None:
        """Do all tasks, calling ``look`` every so many seconds; raises what the earliest of those that failed raised.

        Whatever ``look`` raises, and Ctrl-C, stops the workers after their batch; what they have seen is in the total.
        """
        threads = [threading.Thread(target=worker.run, name="fastcal", daemon=True) for worker in self._workers]
        try:
            for thread in threads:
                thread.start()
            while not self._wait(lambda: not self._working, seconds):
                look()
            look()
        except BaseException:
            self._stop()
            self._working.difference_update(w for w, t in zip(self._workers, threads, strict=True) if t.ident is None)
            self._wait(lambda: not self._working, STOPPING)  # no longer: one may be waiting for a pipe
            raise
        if self._failures:
            raise self._failures[min(self._failures)]

    def collect(self) -> None:
        """Have every worker add what it has seen to the total; those that take long over a batch are not waited for."""
        with self._changed:
            self.epoch += 1
        self._wait(lambda: all(worker.epoch == self.epoch for worker in self._working), ADDING)

    def _wait(self, until: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(until, seconds)

    def _stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # --- what workers call ------------------------------------------------------------------------------------------

    def next_chain(self) -> list[Task] | None:
        """The next tasks, if any is to be done yet."""
        with self._changed:
            return None if self._stopping or self._failures else next(self._chains, None)

    def is_over(self, number: int) -> bool:
        """Whether a task is not to be gone on with: all stop, or an earlier one has failed."""
        return self._stopping or any(failed < number for failed in tuple(self._failures))

    def told(self, worker: Worker) -> None:
        """A worker has added what it had."""
        with self._changed:
            worker.epoch = self.epoch
            self._changed.notify_all()

    def ended(self, worker: Worker, number: int, failure: BaseException | None) -> None:
        """A worker has come to its end, or failed at a task."""
        with self._changed:
            if failure is not None:
                self._failures[number] = failure
            self._working.discard(worker)
            self._changed.notify_all()


class Worker:
    """One thread's work."""

    def __init__(self, workers: Workers, n_threads: int) -> None:
        self.epoch = 0
        self.n_rows = 0
        self._workers = workers
        self._accumulator = until_it_fails(workers.total.accumulator.empty(n_threads))
        self._ahead = n_threads > 1
        self._done: dict[int, int] = {}
        self._within: dict[int, int] = {}
        self._number = 0
        self._sound = True

    def run(self) -> None:
        """Take tasks until there is none. What was seen before a file failed is added all the same."""
        failure: BaseException | None = None
        try:
            while (chain := self._workers.next_chain()) is not None:
                self._run_chain(chain)
        except Stopped:
            pass
        except BaseException as error:
            failure = error
        try:
            if self._sound:
                self._add()
        except BaseException as error:
            failure = failure or error
        self._workers.ended(self, self._number, failure)

    def _run_chain(self, chain: list[Task]) -> None:
        first_row = None
        for task in chain:
            known = task if first_row is None else task.from_row(first_row)
            rows = self._run_task(known)
            first_row = None if known.first_row is None else known.first_row + rows

    def _run_task(self, task: Task) -> int:
        """Returns the task's rows, with those that were done already."""
        workers, self._number = self._workers, task.number
        adding = Adding(task, self._accumulator)

        def read() -> Generator[Batch, None, None]:
            return task.dump.read(task.piece, task.skip)

        with closing(Ahead(read, lambda: workers.is_over(task.number)) if self._ahead else read()) as source:
            for batch in source:
                if workers.is_over(task.number):
                    raise Stopped
                if batch.n_rows and not workers.columns.agree(task, batch, workers.is_over):
                    raise Stopped
                self._sound = False
                adding(batch)
                self._sound = True
                self._within[task.number] = adding.done
                self.n_rows += batch.n_read
                if workers.epoch != self.epoch:
                    self._add()
        self._within.pop(task.number, None)
        self._done[task.number] = adding.done
        workers.columns.ended(task.number)
        return adding.done

    def _add(self) -> None:
        """Add what was seen since the last time to the total."""
        if self._done or self._within:
            self._workers.total.add(self._accumulator, self._done, self._within)
            self._accumulator.reset()
            self._done, self._within = {}, {}
        self._workers.told(self)
