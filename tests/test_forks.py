"""Forks: what a child must not wait for, and what a fork itself waits for."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from types import SimpleNamespace

import pytest

from fastcal import cores, forks
from fastcal.cores import Share

FORK = multiprocessing.get_context("fork")
forking = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@forking
def test_a_child_counts_anew():
    with Share(3, 4), FORK.Pool(1) as pool:
        assert pool.apply(cores.threads_at_work) == 0


def child_answers(work):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


@forking
def test_a_guard_that_another_thread_held_when_the_process_was_forked():
    guard = forks.Guard("it was being changed")
    held, over = threading.Event(), threading.Event()

    def hold():
        with guard, guard:
            held.set()
            over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)

    def take():
        try:
            with guard:
                return "taken"
        except RuntimeError as error:
            return str(error)

    assert child_answers(take) == "'it was being changed'"
    threading.Timer(0.05, over.set).start()
    assert take() == "taken", "in the parent it is waited for"
    holder.join()
    assert child_answers(take) == "'taken'"


def test_a_guard_is_waited_for_in_a_child_whose_threads_take_it(monkeypatch):
    """Its holder says that it is of this process after it has taken it, which another thread may not see at once."""
    guard = forks.Guard("it was being changed")
    monkeypatch.setattr(forks, "_generation", forks._generation + 1)  # as in a child
    held, over = threading.Event(), threading.Event()

    def hold():
        guard._lock.acquire()
        held.set()
        over.wait(0.3)
        guard._generation = forks._generation
        over.wait(1.2)  # longer than a thread of another process is waited for
        guard._lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    with guard:
        holder.join()


@forking
def test_forks_wait_for_linear_algebra_and_compilers():
    lock = sys.modules["numba.core.compiler_lock"].global_compiler_lock if "numba" in sys.modules else threading.RLock()
    order = []
    begun = threading.Event()

    def work():
        with lock, forks.linear_algebra():
            begun.set()
            threading.Event().wait(0.1)
            order.append("done")

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait(60)

    def at_once():
        with lock, forks.linear_algebra():
            return order

    assert child_answers(at_once) == "['done']"
    worker.join()
    assert at_once() == ["done"]


@forking
def test_a_fork_waits_for_no_linear_algebra_that_was_interrupted(monkeypatch):
    monkeypatch.setattr(forks, "LONGEST", 0.05)
    thread = threading.get_ident()
    forks._linear.threads |= {thread, thread + 1}  # as Ctrl-C may leave it, of this thread or of another
    try:
        assert child_answers(lambda: forks._linear.threads) == "set()"
        forks._linear.threads.remove(thread + 1)
        monkeypatch.setattr(forks, "LONGEST", None)
        assert child_answers(forks._linear.is_over) == "True"
        with forks.linear_algebra():
            assert forks._linear.threads == {thread}
        assert not forks._linear.threads
    finally:
        forks._linear.threads.clear()


def test_a_fork_whose_waiting_was_interrupted_gives_back_what_it_holds(monkeypatch):
    class Held:
        n = 0

        def acquire(self):
            self.n += 1

        def release(self):
            self.n -= 1

        def interrupted(self, *_):
            raise KeyboardInterrupt

        wait_for = interrupted

    compiler, changed = Held(), Held()
    monkeypatch.setitem(sys.modules, "numba.core.compiler_lock", SimpleNamespace(global_compiler_lock=compiler))
    monkeypatch.setattr(forks, "_linear", SimpleNamespace(changed=changed, is_over=None))
    for never in (None, changed):
        if never:
            never.acquire = never.interrupted
        with pytest.raises(KeyboardInterrupt):
            forks._before()
        assert compiler.n == 1
        forks._in_parent()
        assert (compiler.n, changed.n) == (0, 0)


def test_kept_memory_after_a_fork():
    from fastcal import memory

    memory._lock.acquire()  # as another thread may
    try:
        assert child_answers(lambda: memory._lock.acquire(blocking=False)) == "True"
    finally:
        memory._lock.release()
