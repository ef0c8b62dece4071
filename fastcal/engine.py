"""Cuts rows into chunks and runs serial kernels over them on threads.

There is no pool: threads live for one call. Starting one costs 50 microseconds, which a call that is worth a thread
does not notice, and nothing is left that a fork could lose, an interpreter's end could wait for, or a second caller
could share. Which thread takes which chunk varies from run to run; states are integers, so no result shows it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

Worker = Callable[[int, int], bool | None]
W = TypeVar("W", bound=Worker)

# Below this many bytes of input, work and results a second thread costs more than it gives (about 1 ms of work).
SMALL = 2 << 20


def thread_count(n_threads: int | None = None) -> int:
    """``n_threads``, or FASTCAL_NUM_THREADS, or as many as the process may use (its CPU affinity)."""
    name = "n_threads"
    value: int | str | None = n_threads
    if value is None:
        name = "FASTCAL_NUM_THREADS"
        value = os.environ.get(name) or None
    if value is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = 0
    if count < 1 or (not isinstance(value, str) and count != value):
        raise ValueError(f"{name} is {value!r}; expected an integer of at least 1")
    return count


def run(
    n_rows: int, row_bytes: int, rows_per_chunk: int, make_worker: Callable[[], W], n_threads: int | None = None
) -> list[W]:
    """Call workers with every chunk ``(start, stop)`` of ``range(n_rows)``; returns them, with what they saw.

    Each worker is used by one thread only; the first works in the caller's thread. Chunks are handed out in order, and
    no more of them once a worker returns True: what lies before that one is done all the same. An exception in any of
    them, or Ctrl-C in the caller, stops the others after their current chunk and is raised here.
    """
    n_chunks = -(-n_rows // rows_per_chunk)
    count = min(thread_count(n_threads), n_chunks) if n_rows * row_bytes > SMALL else 1
    workers = [make_worker() for _ in range(max(count, 1))]
    taking = threading.Lock()
    taken = 0
    failures: list[BaseException] = []

    def take() -> int:
        nonlocal taken
        with taking:
            taken += 1
            return taken - 1

    def stop() -> None:
        nonlocal taken
        with taking:
            taken = n_chunks

    def work(worker: W) -> None:
        try:
            while not failures and (chunk := take()) < n_chunks:
                if worker(chunk * rows_per_chunk, min((chunk + 1) * rows_per_chunk, n_rows)):
                    stop()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,), name="fastcal") for worker in workers[1:]]
    try:
        for thread in threads:
            thread.start()
        work(workers[0])
        for thread in threads:
            thread.join()
    except BaseException as error:  # no more threads to be had, or Ctrl-C while waiting
        failures.append(error)
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if failures:
        raise failures[0]
    return workers
