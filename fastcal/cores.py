"""How many threads a call may use: what the process is allowed, and what its other calls leave.

Calls know of each other through one count of the threads at work, so that a pool's 32 threads that all call at once are
32 threads, and not 32 times as many as there are cores. What a call computes never depends on it.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from pathlib import Path
from types import TracebackType

GROUPS = Path("/sys/fs/cgroup")


def thread_count(n_threads: int | None = None) -> int:
    """``n_threads``, or 1 in a worker of a pool of processes, or FASTCAL_NUM_THREADS, or the cores there are.

    The cores are those of the process' CPU affinity and of its control groups' quota, at most OMP_NUM_THREADS. Raises
    ValueError for an ``n_threads`` or a FASTCAL_NUM_THREADS that is no integer of at least 1.
    """
    if n_threads is not None:
        return _checked("n_threads", n_threads)
    given = os.environ.get("FASTCAL_NUM_THREADS")
    count = _checked("FASTCAL_NUM_THREADS", given) if given else None
    if in_pool():
        return 1
    return min(_allowed(), _openmp()) if count is None else count


def _checked(name: str, value: int | str) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        count = 0
    if count < 1 or (not isinstance(value, str) and count != value):
        raise ValueError(f"{name} is {value!r}; expected an integer of at least 1")
    return count


def in_pool() -> bool:
    """Whether this process is one of several that share the work.

    It is one of a ``multiprocessing.Pool`` or another daemonic one, of a ``ProcessPoolExecutor``, or of a PyTorch
    ``DataLoader``. No module is imported to find out: a process that has not got it is no worker of it.
    """
    processes = sys.modules.get("multiprocessing.process")
    process = processes.current_process() if processes is not None else None
    if process is not None and process.daemon:
        return True
    target = getattr(process, "_target", None)
    if target is not None and getattr(target, "__module__", None) == "concurrent.futures.process":
        return True
    worker_info = getattr(sys.modules.get("torch.utils.data"), "get_worker_info", None)
    return worker_info is not None and worker_info() is not None


def _openmp() -> int:
    """The bound that pools of processes set for what they start: joblib's, Dask's and PyTorch's all use this one."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(int(first), 1) if first.isdecimal() else sys.maxsize


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), quota())
    return os.cpu_count() or 1


@functools.cache
def quota() -> int:
    """Cores' worth of time that the process' control groups leave it, rounded up; read once."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return sys.maxsize
    return quota_of(lines, GROUPS)


def quota_of(lines: list[str], groups: Path) -> int:
    """The least quota of the groups that the lines of /proc/self/cgroup name, and of those that hold them.

    A container may see its own group as the root, or the names of its host's under the root of its own: every folder
    on the way up counts, where it is there.
    """
    least = sys.maxsize
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in [groups / controllers, groups / "cpu"] if controllers else [groups, groups / "unified"]:
            inner = Path(path.lstrip("/"))
            for folder in [inner, *inner.parents]:
                least = min(least, _quota_in(root / folder))
    return least


def _quota_in(folder: Path) -> int:
    try:
        if (folder / "cpu.max").exists():
            time, period = (folder / "cpu.max").read_text().split()
        else:
            time = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        # "max" and -1 are none
        return -(-int(time) // int(period)) if int(time) > 0 else sys.maxsize
    except (OSError, ValueError, ZeroDivisionError):
        return sys.maxsize


class _Use:
    """The threads at work in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0


_use = _Use()


def threads_at_work() -> int:
    """Callers and helpers of all calls that are worth more than one thread."""
    return _use.threads


_thread = threading.local()


class Share:
    """The threads of one call: the caller's, and ``helpers`` beside it while no more threads than cores are at work.

    ``most``: helpers that the call could use. ``cores``: threads that all calls together may use, None for a call that
    was told how many to take. A call within a call has its caller counted already.
    """

    def __init__(self, most: int, cores: int | None) -> None:
        self.helpers = 0
        self._counted = 0
        self._most = most
        self._cores = cores
        self._use = _use

    def __enter__(self) -> Share:
        use, caller = self._use, 0 if getattr(_thread, "counted", False) else 1
        with use.lock:  # nothing in here can be interrupted: it makes no call
            helpers = self._most
            if self._cores is not None:
                left = self._cores - use.threads - caller
                helpers = left if left < helpers else helpers
                helpers = 0 if helpers < 0 else helpers
            use.threads += helpers + caller
            self.helpers, self._counted = helpers, helpers + caller
        if caller:
            _thread.counted = True
        self._caller = caller
        return self

    def one_more(self) -> bool:
        """Whether a core has become free for another helper, which the caller then has."""
        use = self._use
        if self._cores is None or self.helpers == self._most or use.threads >= self._cores:
            return False
        with use.lock:
            if use.threads >= self._cores:
                return False
            use.threads += 1
            self._counted += 1
            self.helpers += 1
        return True

    def one_less(self) -> bool:
        """Whether a helper has to end, for more callers have come than there are cores; it is one less then."""
        use = self._use
        if self._cores is None or use.threads <= self._cores:
            return False
        with use.lock:
            if use.threads <= self._cores or not self.helpers:
                return False
            use.threads -= 1
            self._counted -= 1
            self.helpers -= 1
        return True

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._caller:
            _thread.counted = False
        self._end()

    def _end(self) -> None:
        if self._counted:
            with self._use.lock:
                self._use.threads -= self._counted
                self._counted = 0

    __del__ = _end  # Ctrl-C may come between the end of the work and that of the share


def helping() -> None:
    """Say that this thread is a helper: it is counted where it came from."""
    _thread.counted = True


def _after_fork() -> None:
    """A child has one thread, and none of its parent's calls but those that the fork itself was made in."""
    global _use, _thread
    _use, _thread = _Use(), threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
