"""What is measured about the machine and about whole processes: bandwidth, start-up, compilation, memory."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from comparisons import TABLE
from peers import available

from .record import Whole

ROOT = Path(__file__).parents[1]
TICKS = 4  # of /proc's clock: by how much a difference of two of its sums of user and system time may be off
PYTHON = sys.executable


class Bystanders:
    """How many cores other processes kept busy since this was made.

    A thread of ours that has to wait for its turn costs what it waits for; torch's threads, which wait for each other
    after every operation, can then take ten times as long. Such figures say nothing about either side.
    """

    def __init__(self) -> None:
        self._start = perf_counter(), self._busy() - self._own()

    def cores(self) -> float:
        """Busy cores, those of this process and its children left out; 0 where nothing tells (no /proc)."""
        start, before = self._start
        blur = TICKS / os.sysconf("SC_CLK_TCK")
        return max(self._busy() - self._own() - before - blur, 0) / (perf_counter() - start)

    @staticmethod
    def _busy() -> float:
        try:
            user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
        except OSError:
            return 0
        return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _own() -> float:
        """Of this process and its children, those that still run included."""
        ticks, me = 0, str(os.getpid())
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it may have ended meanwhile
                _state, parent, *rest = stat.read_text().rpartition(")")[2].split()
                if parent == me:
                    ticks += sum(map(int, rest[9:13]))  # with what they have waited for
        return sum(os.times()[:4]) + ticks / os.sysconf("SC_CLK_TCK")


def read_bandwidth(n_bytes: int, n_threads: int) -> float:
    """Bytes a second at which threads together read an array that no cache holds: the best of several ways and runs."""
    parts = np.array_split(np.ones(n_bytes // 8, np.int64), n_threads)
    ways = (np.maximum.reduce, np.add.reduce, np.bitwise_or.reduce)
    return n_bytes / min(_seconds_on_threads(way, parts) for _ in range(5) for way in ways)


def copy_bandwidth(n_bytes: int, n_threads: int) -> float:
    """Bytes read and written a second by threads that together copy an array: the best of several runs."""
    source, target = np.ones(n_bytes // 8), np.zeros(n_bytes // 8)
    parts = list(zip(np.array_split(target, n_threads), np.array_split(source, n_threads), strict=True))
    return 2 * n_bytes / min(_seconds_on_threads(np.copyto, parts) for _ in range(15))


def sort_speed(n: int) -> float:
    """float32 numbers a second that one np.sort puts in order, which has one thread: the best of several runs."""
    numbers = np.random.default_rng(0).random(n, np.float32)
    return n / min(_seconds_on_threads(np.sort, [(numbers,)]) for _ in range(5))


def roofs(n_threads: int, *, quick: bool) -> dict[str, float]:
    """What bounds any work here; see Run."""
    n_bytes = 1 << (28 if quick else 30)
    return {
        "read": read_bandwidth(n_bytes, n_threads),
        "copy": copy_bandwidth(1 << 28, n_threads),
        "sort": sort_speed(1_000_000 if quick else 10_000_000),
    }


def about(n_threads: int) -> dict[str, Any]:
    """What the machine is called, and what it has."""
    name, memory = platform.processor() or platform.machine(), None
    with contextlib.suppress(OSError):
        name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "threads": n_threads,
        "memory": memory,
        "system": platform.system(),
    }


def _seconds_on_threads(way: Callable[..., Any], parts: Sequence[Any]) -> float:
    arguments = [part if isinstance(part, tuple) else (part,) for part in parts]
    threads = [threading.Thread(target=way, args=given) for given in arguments]
    start = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - start


def run(*arguments: str, **environment: str) -> str:
    """Standard output of a Python process in the repository's root; raises RuntimeError with its last words."""
    result = subprocess.run(
        [PYTHON, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError((result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1])
    return result.stdout


def seconds(*arguments: str, **environment: str) -> float:
    """Wall time of a Python process."""
    start = perf_counter()
    run(*arguments, **environment)
    return perf_counter() - start


def turn_about(programs: Mapping[str, Sequence[str]], repeats: int) -> dict[str, float]:
    """Median wall time of each program; they run in turns, after one run of each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats + 1):
        for name, arguments in programs.items():
            times[name].append(seconds(*arguments))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def first_calls(repeats: int) -> list[Whole]:
    """A fresh process that calls every kernel of the report: with an empty cache, and again with that cache."""
    cold, warm, numba = [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            numba.append(seconds("-c", "import numba"))
            cold.append(seconds("-m", "bench.first_calls", FASTCAL_CACHE_DIR=folder, NUMBA_CACHE_DIR=folder))
            warm.append(seconds("-m", "bench.first_calls", FASTCAL_CACHE_DIR=folder, NUMBA_CACHE_DIR=folder))
    unit = statistics.median(numba)
    found = []
    for what, times, at_most in (("empty cache", cold, 15), ("filled cache", warm, None)):
        value = statistics.median(times)
        note = f"{value:.2f} s, import numba {unit:.2f} s"
        found.append(Whole("cold", f"all kernels once, {what}", value / unit, "x import numba", at_most, note=note))
    return found


def sample_report(repeats: int) -> list[Whole]:
    """``fastcal report --sample`` with compiled kernels."""
    programs = {"ours": ("-m", "fastcal", "report", "--sample"), "numba": ("-c", "import numba")}
    what = "fastcal report --sample, warm"
    try:
        times = turn_about(programs, repeats)
    except RuntimeError as error:
        return [Whole("sample", what, None, "x import numba", 3, note=f"it fails: {error}")]
    note = f"{times['ours']:.2f} s against {times['numba']:.2f} s"
    return [Whole("sample", what, times["ours"] / times["numba"], "x import numba", 3, note=note)]


def report_memory() -> Iterator[Whole]:
    """The whole report of 1 M x 10 float32 logits: ours and the peers'."""
    yield taken("extra memory of the report, fastcal", 32, "bench.memory", "fastcal")
    row = next(row for row in TABLE if row.name == "Evaluation" and row.peers)
    for name, peer in row.peers.items():
        if available(peer):
            yield taken(f"extra memory of the report, {name}", None, "bench.memory", name)


def logits_memory() -> Iterator[Whole]:
    """softmax_summary of 4 GB of logits, its results aside."""
    yield taken("extra memory of softmax_summary, 4 GB of logits", 64, "bench.memory", "softmax_summary")


def fit_memory() -> Iterator[Whole]:
    """An isotonic fit of 10 M rows, ours and scikit-learn's."""
    for name, at_most in (("fastcal", 24), ("scikit-learn", None)):
        what = f"extra memory of an isotonic fit, 10 M rows, {name}"
        yield taken(what, at_most, "bench.memory", "fit", name, unit="bytes a row", in_unit=1e7)


def taken(what: str, at_most: float | None, *module: str, unit: str = "MB", in_unit: float = 1e6) -> Whole:
    """Peak memory beyond the input, which a module prints in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        return Whole("memory", what, None, unit, at_most, note="is read from Linux's /proc")
    return Whole("memory", what, int(run("-m", *module)) / in_unit, unit, at_most)
