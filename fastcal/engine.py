"""Cuts rows into chunks and runs serial kernels over them on threads.

There is no pool: threads live for one call. Starting one costs 50 microseconds, which a call that is worth a thread
does not notice, and nothing is left that a fork could lose, an interpreter's end could wait for, or a second caller
could share. Which thread takes which chunk varies from run to run; states are integers, so no result shows it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .cores import Share, helping, thread_count

__all__ = ["LONG", "SMALL", "Worker", "run", "thread_count"]

Worker = Callable[[int, int], bool | None]
W = TypeVar("W", bound=Worker)

# Below this many bytes of input, work and results a second thread costs more than it gives (about 1 ms of work).
SMALL = 2 << 20
# Seconds after which a call that began with fewer threads than it could use looks for more.
LONG = 0.02


def run(
    n_rows: int, row_bytes: int, rows_per_chunk: int, make_worker: Callable[[], W], n_threads: int | None = None
) -> list[W]:
    """Call workers with every chunk ``(start, stop)`` of ``range(n_rows)``; returns them, with what they saw.

    Each worker is used by one thread only; the first works in the caller's thread, which also makes all of them.
    Chunks are handed out in order, and no more of them once a worker returns True: what lies before that one is done
    all the same. An exception in any of them, or Ctrl-C in the caller, stops the others after their current chunk and
    is raised here. Without ``n_threads`` there are as many threads as the process' other calls leave cores for: helpers
    come as cores become free, and go when others call, each between two chunks.
    """
    n_chunks = -(-n_rows // rows_per_chunk)
    if n_chunks < 2 or n_rows * row_bytes <= SMALL:
        worker = make_worker()
        for start in range(0, n_rows, rows_per_chunk):
            if worker(start, min(start + rows_per_chunk, n_rows)):
                break
        return [worker]
    cores = thread_count(n_threads)
    with Share(min(cores, n_chunks) - 1, cores if n_threads is None else None) as share:
        return _Call(n_rows, rows_per_chunk, make_worker, share).done()


class _Call(Generic[W]):
    """What the threads of one call share."""

    def __init__(self, n_rows: int, rows_per_chunk: int, make_worker: Callable[[], W], share: Share) -> None:
        self.n_rows = n_rows
        self.per_chunk = rows_per_chunk
        self.make_worker = make_worker
        self.share = share
        self.workers: list[W] = []
        self.threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []
        self.taking = threading.Lock()
        self.next = 0
        self.at_work = 0
        self.began = time.perf_counter()

    def done(self) -> list[W]:
        """Work, and wait for the helpers, whatever happens."""
        try:
            self.workers.append(self.make_worker())
            for _ in range(self.share.helpers):
                self.help()
            self.work(self.workers[0])
        except BaseException as error:
            self.failures.append(error)
        for thread in self.threads:
            while thread.is_alive():
                try:
                    thread.join()
                except BaseException as error:  # Ctrl-C while waiting: they end after their chunk
                    self.failures.append(error)
        while self.at_work:  # a join that was interrupted takes its thread for ended (Python before 3.13)
            try:
                time.sleep(0.001)
            except BaseException as error:
                self.failures.append(error)
        if self.failures:
            raise self.failures[0]
        return self.workers

    def is_long(self) -> bool:
        """Whether another thread pays: between two calls of a pool's thread its core is free for a moment only."""
        return self.next + self.per_chunk < self.n_rows and time.perf_counter() - self.began > LONG

    def help(self) -> None:
        """Start a helper; where the system has no more threads to give, the others do its work."""
        worker = self.make_worker()
        self.workers.append(worker)
        thread = threading.Thread(target=self.assist, args=(worker,), name="fastcal")
        self.threads.append(thread)
        try:
            thread.start()
        except RuntimeError:
            self.threads.remove(thread)

    def assist(self, worker: W) -> None:
        """What a helper does."""
        helping()
        with self.taking:
            self.at_work += 1
        try:
            self.work(worker, helps=True)
        except BaseException as error:
            self.failures.append(error)
        finally:
            with self.taking:
                self.at_work -= 1

    def work(self, worker: W, *, helps: bool = False) -> None:
        """Work on chunks while there are any; the caller starts helpers meanwhile, and they end, as cores allow."""
        while not self.failures:
            if helps:
                if self.share.one_less():
                    break
            elif self.is_long() and self.share.one_more():
                self.help()
            with self.taking:
                start = self.next
                self.next = start + self.per_chunk
            if start >= self.n_rows:
                break
            if worker(start, min(start + self.per_chunk, self.n_rows)):
                with self.taking:
                    self.next = self.n_rows
