"""Threads, processes and pools of every kind that call at once: each returns what its calls answered."""

from __future__ import annotations

import asyncio
import faulthandler
import importlib.util
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import public_calls
from public_calls import Rows, answer

import fastcal as fc
from fastcal import engine

LIMIT = 120  # seconds that anything may take: what takes longer waits for something that does not come
HERE = str(Path(__file__).parent)


class Job(NamedTuple):
    """Some calls on some rows."""

    names: tuple[str, ...]
    rows: Rows
    n_threads: int | None = None
    small: int = engine.SMALL  # work of fewer bytes is the caller's alone


def done(job):
    """What the calls of a job answer, in the thread that asks."""
    if job.small != engine.SMALL:
        engine.SMALL = job.small
    return [answer(name, job.rows, job.n_threads) for name in job.names]


def done_quietly(job):
    """The same in another process, whose filters of warnings are its own."""
    warnings.simplefilter("ignore", fc.FitWarning)
    return done(job)


# --- threads ----------------------------------------------------------------------------------------------------------


def threads(jobs):
    """One thread a job, which all begin at once."""
    start = threading.Barrier(len(jobs))
    answers = [None] * len(jobs)

    def call(number):
        try:
            start.wait(LIMIT)
            answers[number] = done(jobs[number])
        except BaseException as error:
            answers[number] = error

    callers = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(len(jobs))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LIMIT)
        assert not caller.is_alive(), "a deadlock"
    return answers


def thread_pool(jobs):
    """The standard library's pool, of fewer threads than jobs."""
    with ThreadPoolExecutor(max(len(jobs) // 2, 1)) as pool:
        return list(pool.map(done, jobs))


def nested_threads(jobs):
    """A pool in each thread of a pool."""

    def inner(some):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(done, some))

    with ThreadPoolExecutor(2) as pool:
        return [one for some in pool.map(inner, [jobs[::2], jobs[1::2]]) for one in some], [*jobs[::2], *jobs[1::2]]


def in_asyncio(jobs):
    """asyncio.to_thread."""

    async def gathered():
        return await asyncio.gather(*(asyncio.to_thread(done, job) for job in jobs))

    return asyncio.run(gathered())


def joblib_threads(jobs):
    """joblib's threads."""
    import joblib

    return joblib.Parallel(4, backend="threading")(joblib.delayed(done)(job) for job in jobs)


def dask_threads(jobs):
    """Dask's threads."""
    import dask

    return list(dask.compute(*(dask.delayed(done, pure=False)(job) for job in jobs), scheduler="threads"))


# --- forks ------------------------------------------------------------------------------------------------------------


def fork(jobs):
    """A process forked from one that has called."""
    return [_forked(job) for job in jobs]


def fork_while_calling(jobs):
    """Processes forked while other threads are within calls."""
    over = threading.Event()
    failures = []

    def call(job):
        try:
            expected = done(job)
            while not over.is_set():
                assert done(job) == expected
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=call, args=(job,), daemon=True) for job in jobs]
    for caller in callers:
        caller.start()
    try:
        return [_forked(job) for job in jobs]
    finally:
        over.set()
        for caller in callers:
            caller.join(LIMIT)
        if failures:
            raise failures[0]


def _forked(job):
    reading, writing = os.pipe()
    with _no_warnings_of_forks():
        child = os.fork()
    if child == 0:
        try:
            faulthandler.enable(sys.__stderr__)  # a test's own has no file
            os.write(writing, pickle.dumps(done_quietly(job)))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], LIMIT)
    data = os.read(reading, 1 << 16) if ready else b""
    os.close(reading)
    if not ready:
        os.kill(child, signal.SIGABRT)  # it shows where it is
    _, status = os.waitpid(child, 0)
    assert data, f"a forked process ended with {status}" if ready else "a deadlock in a forked process"
    return pickle.loads(data)


def _nested_in_process(jobs):
    """Jobs in threads of a process."""
    warnings.simplefilter("ignore", fc.FitWarning)
    return thread_pool(jobs)


def nested(jobs):
    """Pools of threads in a pool of forked processes."""
    with _no_warnings_of_forks(), multiprocessing.get_context("fork").Pool(2) as pool:
        halves = pool.map_async(_nested_in_process, [jobs[::2], jobs[1::2]]).get(LIMIT)
    return [one for half in halves for one in half], [*jobs[::2], *jobs[1::2]]


def pool_of(method):
    """multiprocessing.Pool."""

    def pool(jobs):
        with _no_warnings_of_forks(), multiprocessing.get_context(method).Pool(2) as processes:
            return processes.map_async(done_quietly, jobs, chunksize=1).get(LIMIT)

    return pool


def executor_of(method):
    """concurrent.futures' processes."""

    def pool(jobs):
        context = multiprocessing.get_context(method)
        with _no_warnings_of_forks(), ProcessPoolExecutor(2, mp_context=context) as processes:
            return list(processes.map(done_quietly, jobs, timeout=LIMIT))

    return pool


def loky(jobs):
    """joblib's processes."""
    import joblib

    return joblib.Parallel(2, backend="loky", timeout=LIMIT)(joblib.delayed(done_quietly)(job) for job in jobs)


class Answers:
    """A data set whose samples are answers."""

    def __init__(self, jobs):
        self.jobs = jobs

    def __len__(self):
        return len(self.jobs)

    def __getitem__(self, number):
        return done_quietly(self.jobs[number])


def loader_of(method):
    """PyTorch's DataLoader."""

    def loader(jobs):
        from torch.utils.data import DataLoader

        options = {"num_workers": 2, "multiprocessing_context": method, "timeout": LIMIT, "batch_size": None}
        with _no_warnings_of_forks():
            return list(DataLoader(Answers(jobs), **options))

    return loader


@contextmanager
def _no_warnings_of_forks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks beside threads, since Python 3.12
        yield


# --- caches -----------------------------------------------------------------------------------------------------------

COLD = """
import sys; sys.path.insert(0, {here!r})
import warnings; warnings.simplefilter("ignore")
from many_at_once import Job, Rows, done
from public_calls import fc
from fastcal import kernels
answers = done(Job({names!r}, Rows(*{rows!r}), {n_threads!r}, {small!r}))
assert not ({warm!r} and kernels.caching.COMPILED), kernels.caching.COMPILED
print(*answers)
"""


def cold(jobs, folder=None):
    """Processes that begin at once, with an empty cache for all of them; then one more, which loads all from it."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        first = [_cold(job, cache) for job in jobs]
        found = [_printed(process) for process in first]
        found += [_printed(_cold(jobs[0], cache, warm=True))]
    return found, [*jobs, jobs[0]]


def _cold(job, cache, *, warm=False):
    code = COLD.format(here=HERE, warm=warm, **job._replace(rows=tuple(job.rows))._asdict())
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "FASTCAL_CACHE": "1", "FASTCAL_CACHE_DIR": cache, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _printed(process):
    out, problems = process.communicate(timeout=2 * LIMIT)
    assert process.returncode == 0, problems
    return out.split()


class Kind(NamedTuple):
    """A way to call."""

    call: Callable
    weight: int = 10  # how often it is chosen
    needs: str | None = None
    new_process: bool = False  # one that imports all anew, in seconds

    @property
    def is_here(self):
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


KINDS = {
    "threads": Kind(threads, 60),
    "thread pool": Kind(thread_pool, 20),
    "pools in threads of a pool": Kind(nested_threads, 20),
    "asyncio": Kind(in_asyncio),
    "joblib, threads": Kind(joblib_threads, needs="joblib"),
    "Dask, threads": Kind(dask_threads, needs="dask"),
    "fork": Kind(fork, 30),
    "fork while others call": Kind(fork_while_calling, 60),
    "threads in a forked pool": Kind(nested, 15),
    "Pool, fork": Kind(pool_of("fork"), 15),
    "Pool, spawn": Kind(pool_of("spawn"), 2, new_process=True),
    "Pool, forkserver": Kind(pool_of("forkserver"), 2, new_process=True),
    "ProcessPoolExecutor, fork": Kind(executor_of("fork")),
    "ProcessPoolExecutor, spawn": Kind(executor_of("spawn"), 2, new_process=True),
    "loky": Kind(loky, 2, needs="joblib", new_process=True),
    "DataLoader, fork": Kind(loader_of("fork"), needs="torch"),
    "DataLoader, spawn": Kind(loader_of("spawn"), 2, needs="torch", new_process=True),
    "cold compile": Kind(cold, 1, new_process=True),
}


def differences(kind, jobs, expected):
    """Call, and compare with what one thread answered before: names of what differs, and how many calls there were."""
    found = KINDS[kind].call(jobs)
    answers, asked = found if isinstance(found, tuple) else (found, jobs)
    assert len(answers) == len(asked)
    wrong = []
    for job, given in zip(asked, answers, strict=True):
        if isinstance(given, BaseException):
            raise given
        wrong += [name for name, one, other in zip(job.names, given, expected(job), strict=True) if one != other]
    return wrong, sum(len(job.names) for job in asked)


def alone(job):
    """The reference: one thread, before anything else."""
    return [_alone(name, job.rows) for name in job.names]


_answers: dict[tuple[str, Rows], str] = {}


def _alone(name, rows):
    if (name, rows) not in _answers:
        _answers[name, rows] = answer(name, rows, 1)
    return _answers[name, rows]


NAMES = public_calls.NAMES
