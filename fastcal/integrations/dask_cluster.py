"""Tasks of a run on processes of this machine, or on the workers of a Dask cluster: what the commands do with them.

The client hands out groups of tasks and merges each group's state as it comes: 100 of 1 MB a second, so that some
hundred workers keep one client busy. Groups take a second or so; the last ones are smaller, so that no worker is left
with one while the others are done. Only what is under way is held: two groups a thread, and their states.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from ..dumps import DumpError
from ..dumps.batches import first_line
from ..runs import Task, run_task
from ..runs.tasks import OnRows, numbers_rows, until_it_fails
from .dask_sources import library
from .dask_states import restored

# Told of tasks that are done, and of the state of all that are.
OnState = Callable[[list[int], Any], None]
A = TypeVar("A")

GROUP_SECONDS = 1.0
AHEAD = 2  # groups a thread of the cluster: one that runs, one that waits for it
CONNECT_SECONDS = 5
WORKER_SECONDS = 10  # for a first worker


class ClusterError(OSError):
    """A cluster that cannot be reached, or that does not do what it should: why, in one line."""


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do: some tasks, and what it needs to be like to do them."""

    tasks: list[Task]
    template: Any
    version: str
    folder: str
    sizes: dict[Path, int]


@dataclass(frozen=True)
class Done:
    """The state of an order's rows, how many these were, and how long they took."""

    data: bytes
    n_rows: int
    seconds: float


@dataclass(frozen=True)
class Stopped:
    """Why an order was not carried out: in which task, and whether its data are to blame."""

    number: int
    message: str
    of_data: bool = True


def run_on_cluster(
    tasks: list[Task],
    looks: A,
    *,
    workers: int | None = None,
    address: str | None = None,
    on_rows: OnRows | None = None,
    on_state: OnState | None = None,
) -> A:
    """Add the rows of ``tasks`` to ``looks``, or one accumulator, and return it; elsewhere than in this process.

    On ``workers`` processes of this machine, or on the cluster at ``address``.
    ``address``: that of a scheduler, "tcp://host:8786"; its workers read the files at the paths that they have here.
    ``workers``: processes of one thread each, which are started for the run, listen on the loopback interface alone,
    and end with it. ``on_rows`` is told of rows that are done, ``on_state`` of the tasks that are, by number, and of
    ``looks`` with their rows. Tasks of a worker that is lost are done by others; no bit shows it.

    Raises DumpError for the first, in their order, of the tasks that fail, ClusterError for a cluster that cannot be
    reached or whose workers have another version of fastcal, ModuleNotFoundError without Dask.
    """
    for task in tasks:
        if not task.dump.files:
            raise DumpError(f"{task.dump.name} can be read by this process only")
    with ExitStack() as held:
        client = held.enter_context(_client(workers, address))
        _Run(client, tasks, looks, on_rows, on_state).whole()
    return looks


@contextmanager
def _client(workers: int | None, address: str | None) -> Iterator[Any]:
    """A client of the cluster; one of this machine is started and ended with it."""
    if (workers is None) == (address is None):
        raise ValueError("say how many workers, or the address of a cluster")
    with ExitStack() as held:
        held.enter_context(quiet())
        if workers is not None:
            address = held.enter_context(own_cluster(workers)).scheduler_address
        connect = _client_class()
        try:
            client = connect(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, ImportError) as error:
            raise ClusterError(f"no Dask scheduler at {address!r}: {first_line(error)}") from None
        held.callback(client.close, timeout=CONNECT_SECONDS)
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise ClusterError(f"the cluster at {address} has no workers") from None
        yield client


def _client_class() -> Any:
    """A client that says nothing at its end if it never was connected; Dask's waits and prints a traceback."""
    base: Any = library("distributed").Client

    class Client(base):  # type: ignore[misc]
        def __del__(self) -> None:
            if self.status == "running":
                super().__del__()

    return Client


@contextmanager
def own_cluster(workers: int) -> Iterator[Any]:
    """Processes of this machine, one thread each; no page of theirs is served beyond it."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers is {workers!r}; expected an integer of at least 1")
    with tempfile.TemporaryDirectory(prefix="fastcal-", ignore_cleanup_errors=True) as folder, ExitStack() as held:
        with _uninterrupted():
            cluster = library("distributed").LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # None would be the default port
                scheduler_kwargs={"dashboard": False},
                memory_limit=None,  # batches bound it, and pages of mapped files are not ours to count
                local_directory=folder,
                silence_logs=logging.CRITICAL,
            )
            held.enter_context(cluster)
        yield cluster


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C, which a terminal sends to all: this one ends them.

    Threads and processes inherit which signals are blocked, those that Dask starts in place of lost ones, too; but the
    start of Python's resource tracker unblocks this one, and so comes first.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def quiet() -> Iterator[None]:
    """What Dask says of workers that come and go is not said; what matters is raised."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Run:
    """The client's side of a run."""

    def __init__(
        self, client: Any, tasks: list[Task], looks: Any, on_rows: OnRows | None, on_state: OnState | None
    ) -> None:
        self.client = client
        self.waiting = deque(tasks)
        self.looks = looks
        self.on_rows, self.on_state = on_rows, on_state
        self.template = looks.empty(n_threads=1)
        self.under_way: dict[Any, list[Task]] = {}
        self.completed = library("distributed").as_completed(loop=client.loop)
        self.seconds: float | None = None  # that a task takes
        self.stopped: Stopped | None = None
        self.version = _version()
        self.sizes = {path: path.stat().st_size for task in tasks for path in task.dump.files}

    def whole(self) -> None:
        """All tasks."""
        if numbers_rows(self.looks):
            self._number()
        self._hand_out()
        for future in self.completed:
            tasks = self.under_way.pop(future)
            if future.cancelled() and self.stopped:
                continue
            self._take(tasks, _result(future, tasks))
            future.release()
            self._hand_out()
        if self.stopped:
            raise (DumpError if self.stopped.of_data else ClusterError)(self.stopped.message)

    def _take(self, tasks: list[Task], result: Done | Stopped) -> None:
        if isinstance(result, Stopped):
            if self.stopped is None or result.number < self.stopped.number:
                self.stopped = result
            self.waiting.clear()
            later = [future for future, some in self.under_way.items() if some[0].number > self.stopped.number]
            self.client.cancel(later)
            return
        if self.stopped:
            return
        self.seconds = result.seconds / len(tasks)
        self.looks.merge(restored(self.template, result.data))
        if self.on_rows is not None:
            self.on_rows(result.n_rows)
        if self.on_state is not None:
            self.on_state([task.number for task in tasks], self.looks)

    def _hand_out(self) -> None:
        """Keep every thread of the cluster busy."""
        threads = max(sum(self.client.nthreads().values()), 1) if self.waiting else 1
        while self.waiting and len(self.under_way) < AHEAD * threads:
            most = 1 if self.seconds is None else int(GROUP_SECONDS / max(self.seconds, 1e-6))
            share = -(-len(self.waiting) // (AHEAD * threads))
            some = [self.waiting.popleft()]
            # who keeps a position has to know of how many rows a task was: no two of which nobody does
            while len(some) < min(most, share) and some[-1].piece.n_rows is not None:
                some.append(self.waiting.popleft())
            future = self.client.submit(carried_out, self._order(some), pure=False)
            self.under_way[future] = some
            self.completed.add(future)

    def _order(self, tasks: list[Task]) -> Order:
        sizes = {path: self.sizes[path] for task in tasks for path in task.dump.files}
        return Order(tasks, self.template, self.version, os.getcwd(), sizes)

    def _number(self) -> None:
        """Number the first rows of tasks of which nobody knows how many rows lie before: by counting these."""
        tasks = list(self.waiting)
        if all(task.first_row is not None for task in tasks):
            return
        unknown = [task for task in tasks if task.piece.n_rows is None]
        futures = [self.client.submit(rows_in, self._order([task]), pure=False) for task in unknown]
        sizes = {task.number: task.piece.n_rows for task in tasks}
        for task, future in zip(unknown, futures, strict=True):
            found = _result(future, [task])
            if isinstance(found, Stopped):
                raise (DumpError if found.of_data else ClusterError)(found.message)
            sizes[task.number] = found.n_rows + task.skip
        self.waiting.clear()
        row = 0
        for task in tasks:
            first_row = row if task.first_row is None else task.first_row
            self.waiting.append(task.from_row(first_row))
            row = first_row + (sizes[task.number] or 0)


def _result(future: Any, tasks: list[Task]) -> Any:
    """What a future holds; an error that is not one of the data becomes a Stopped."""
    if not future.done():
        library("distributed").wait([future])
    if future.cancelled():
        return Stopped(-1, "the connection to the Dask scheduler was lost", of_data=False)
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "fastcal":
        return Stopped(-1, "a worker of the cluster has no fastcal of this version", of_data=False)
    what = f"{type(error).__name__}: {first_line(error)}"
    return Stopped(tasks[0].number, f"{tasks[0].dump.name}: a worker failed: {what}", of_data=False)


# --- on a worker ----------------------------------------------------------------------------------------------------


def carried_out(order: Order) -> Done | Stopped:
    """An order's tasks, one after the other."""
    start = perf_counter()
    n_rows = 0

    def on_rows(n: int) -> None:
        nonlocal n_rows
        n_rows += n

    if (unfit := _unfit(order)) is not None:
        return unfit
    looks = until_it_fails(order.template.empty(n_threads=1))
    for task in order.tasks:
        try:
            run_task(task, looks, on_rows)
        except (ValueError, OSError) as error:
            return Stopped(task.number, str(error))
    return Done(looks.to_bytes(), n_rows, perf_counter() - start)


def rows_in(order: Order) -> Done | Stopped:
    """How many rows the tasks of an order have."""
    if (unfit := _unfit(order)) is not None:
        return unfit
    n_rows = 0
    for task in order.tasks:
        try:
            n_rows += sum(batch.n_read for batch in task.dump.read(task.piece, task.skip))
        except (ValueError, OSError) as error:
            return Stopped(task.number, str(error))
    return Done(b"", n_rows, 0.0)


def _unfit(order: Order) -> Stopped | None:
    """Why this worker cannot do what is asked: another version, or other files than the client's."""
    number, here = order.tasks[0].number, _address()
    version = _version()
    if version != order.version:
        return Stopped(-1, f"{here} has fastcal {version}, this is {order.version}", of_data=False)
    for path, size in order.sizes.items():
        if not path.is_absolute() and os.getcwd() != order.folder:
            problem = f"{path} is relative to {order.folder}, which is not the folder of {here}: give the whole path"
        elif not path.exists():
            problem = f"{path} is not there for {here}: workers read files at the same paths"
        elif path.stat().st_size != size:
            problem = f"{path} has {path.stat().st_size} bytes for {here}, and {size} here"
        else:
            continue
        first = next(task.number for task in order.tasks if path in task.dump.files)
        return Stopped(max(first, number), problem)
    return None


def _version() -> str:
    return str(importlib.import_module("fastcal").__version__)


def _address() -> str:
    try:
        return f"worker {library('distributed').get_worker().address}"
    except ValueError:
        return "this process"
