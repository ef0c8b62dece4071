"""Threads: how many, where they run, what survives a fork, what an exception or Ctrl-C leaves behind."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time

import numpy as np
import pytest

import fastcal as fc
from fastcal import cores, engine

PROBS = np.random.default_rng(0).dirichlet(np.ones(10), 60_000).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 10, len(PROBS))


class Worker:
    def __init__(self):
        self.seen = []
        self.threads = set()

    def __call__(self, start, stop):
        self.seen.append((start, stop))
        self.threads.add(threading.get_ident())


@pytest.mark.parametrize(
    ("n_rows", "chunk", "n_threads"), [(0, 10, 2), (1, 10, 2), (10, 10, 2), (101, 10, 3), (7, 1, 64)]
)
def test_every_row_is_worked_on_once(n_rows, chunk, n_threads):
    workers = engine.run(n_rows, 1 << 30, chunk, Worker, n_threads)
    seen = sorted(part for worker in workers for part in worker.seen)
    assert [row for start, stop in seen for row in range(start, stop)] == list(range(n_rows))
    assert all(stop - start <= chunk for start, stop in seen)
    assert all(len(worker.threads) <= 1 for worker in workers)
    assert len(workers) <= max(n_threads, 1)


def test_small_work_stays_in_the_callers_thread():
    (worker,) = engine.run(1000, 8, 10, Worker, 8)
    assert worker.threads == {threading.get_ident()}


def test_an_exception_stops_the_others_and_is_raised():
    class Failing(Worker):
        def __call__(self, start, stop):
            super().__call__(start, stop)
            if start == 30:
                raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        engine.run(1000, 1 << 30, 10, Failing, 4)
    assert not [thread for thread in threading.enumerate() if thread.name == "fastcal"]


def test_a_worker_that_returns_true_ends_the_handing_out():
    class Finding(Worker):
        def __call__(self, start, stop):
            super().__call__(start, stop)
            return start >= 300

    seen = sorted(part for worker in engine.run(10_000, 1 << 30, 10, Finding, 3) for part in worker.seen)
    assert [start for start, _ in seen[:31]] == list(range(0, 310, 10))
    assert len(seen) <= 33


def test_no_more_threads_to_be_had_is_no_failure(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    workers = engine.run(100, 1 << 30, 10, Worker, 4)
    assert sorted(start for worker in workers for start, _ in worker.seen) == list(range(0, 100, 10))
    assert cores.threads_at_work() == 0


def test_a_worker_that_cannot_be_made_leaves_no_thread():
    made = []

    def make():
        if made:
            raise MemoryError("no room")
        made.append(Worker())
        return made[0]

    with pytest.raises(MemoryError, match="no room"):
        engine.run(1000, 1 << 30, 10, make, 3)
    assert cores.threads_at_work() == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "fastcal"]


def ece_in_child(queue):
    queue.put(fc.ece(LABELS, PROBS, n_threads=2))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_after_use(method):
    expected = fc.ece(LABELS, PROBS, n_threads=2)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=ece_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=120) == expected
    child.join(timeout=60)
    assert child.exitcode == 0


def test_many_threads_calling_at_once_agree_with_one():
    expected = fc.ece(LABELS, PROBS)
    results = []
    callers = [threading.Thread(target=lambda: results.append(fc.ece(LABELS, PROBS))) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [expected] * 16


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_helpers_are_waited_for(times):
    """Who joins a thread of Python 3.11 and is interrupted is told that it has ended."""
    begun, ended = threading.Event(), []

    def work(start, stop):
        if threading.current_thread().name != "fastcal":
            begun.wait(60)
            return
        begun.set()
        for _ in range(times):
            time.sleep(0.05)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        engine.run(2, 1 << 30, 1, lambda: work, 2)
    assert ended
    assert cores.threads_at_work() == 0


def test_ctrl_c_stops_a_long_call_and_leaves_the_state():
    evaluation = fc.Evaluation(n_threads=2).update(LABELS, PROBS)
    before = evaluation.to_bytes()
    long = np.broadcast_to(PROBS[:1], (30_000_000, 10))  # a stride of 0: many rows, no memory
    timer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        evaluation.update(np.broadcast_to(LABELS[:1], 30_000_000), long)
    timer.join()
    assert evaluation.to_bytes() == before
    assert cores.threads_at_work() == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "fastcal"]
