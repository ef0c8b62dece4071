"""What is measured about the machine and about whole processes: read bandwidth, start-up, compilation, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable


@dataclass(frozen=True)
class Figure:
    """A number about a whole process and the most that it may be; ``value`` is None where it could not be measured."""

    name: str
    what: str
    value: float | None
    unit: str
    at_most: float | None = None
    note: str = ""


class Bystanders:
    """How many cores other processes kept busy since this was made.

    A thread of ours that has to wait for its turn costs what it waits for; torch's threads, which wait for each other
    after every operation, can then take ten times as long. Such figures say nothing about either side.
    """

    def __init__(self) -> None:
        self._start = perf_counter(), self._busy() - self._own()

    def cores(self) -> float:
        """Busy cores, those of this process and its finished children left out; 0 where nothing tells (no /proc)."""
        start, before = self._start
        return max(self._busy() - self._own() - before, 0) / (perf_counter() - start)

    @staticmethod
    def _busy() -> float:
        try:
            user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
        except OSError:
            return 0
        return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _own() -> float:
        return sum(os.times()[:4])


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


def first_calls(repeats: int) -> list[Figure]:
    """A fresh process that calls every kernel of the report: with an empty cache, and again with that cache."""
    cold, warm, numba = [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            numba.append(seconds("-c", "import numba"))
            cold.append(seconds("-m", "bench.first_calls", NUMBA_CACHE_DIR=folder))
            warm.append(seconds("-m", "bench.first_calls", NUMBA_CACHE_DIR=folder))
    unit = statistics.median(numba)
    found = []
    for what, times, at_most in (("empty cache", cold, 15), ("filled cache", warm, None)):
        value = statistics.median(times)
        note = f"{value:.2f} s, import numba {unit:.2f} s"
        found.append(Figure("cold", f"all kernels once, {what}", value / unit, "x import numba", at_most, note))
    return found


def sample_report(repeats: int) -> list[Figure]:
    """``fastcal report --sample`` with compiled kernels."""
    programs = {"ours": ("-m", "fastcal", "report", "--sample"), "numba": ("-c", "import numba")}
    what = "fastcal report --sample, warm"
    try:
        times = turn_about(programs, repeats)
    except RuntimeError as error:
        return [Figure("sample", what, None, "x import numba", 3, f"it fails: {error}")]
    note = f"{times['ours']:.2f} s against {times['numba']:.2f} s"
    return [Figure("sample", what, times["ours"] / times["numba"], "x import numba", 3, note)]


def extra_memory(names: Sequence[str]) -> list[Figure]:
    """Peak memory of the whole report beyond its input, 1 M x 10 float32 logits: ours and the peers'."""
    if not Path("/proc/self/clear_refs").exists():
        return [Figure("memory", "extra memory of the report", None, "MB", 32, "is read from Linux's /proc")]
    return [
        Figure(
            "memory",
            f"extra memory of the report, {name}",
            int(run("-m", "bench.memory", name)) / 1e6,
            "MB",
            32 if name == "fastcal" else None,
        )
        for name in ("fastcal", *names)
    ]


def logits_memory() -> list[Figure]:
    """Peak memory of softmax_summary on 4 GB of logits, beyond the input and the results, in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        return [Figure("logits", "extra memory of softmax_summary", None, "MB", 64, "is read from Linux's /proc")]
    what = "extra memory of softmax_summary, 4 GB of logits"
    return [Figure("logits", what, int(run("-m", "bench.memory", "softmax_summary")) / 1e6, "MB", 64)]


def fit_memory() -> list[Figure]:
    """Peak memory of an isotonic fit of 10 M rows beyond them, ours and scikit-learn's, in processes of their own."""
    what, unit = "extra memory of an isotonic fit, 10 M rows", "bytes a row"
    if not Path("/proc/self/clear_refs").exists():
        return [Figure("fit-memory", what, None, unit, 24, "is read from Linux's /proc")]
    return [
        Figure("fit-memory", f"{what}, {name}", int(run("-m", "bench.memory", "fit", name)) / 1e7, unit, at_most)
        for name, at_most in (("fastcal", 24), ("scikit-learn", None))
    ]
