"""``python -m bench.batch``: what reports of dumps larger than memory cost, beside reading them and nothing else.

Both sides run in one process, turn about, on the same files and the same number of threads; the peak of memory is that
of the command, run by itself. With ``--readme`` the table goes into the README.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np

import fastcal as fc
from fastcal.dumps import Roles, open_dumps
from fastcal.engine import thread_count
from fastcal.runs import evaluate

from . import dask_cluster, make_dumps, readme


@dataclass(frozen=True)
class Line:
    """One line of the table: what was measured, what it is to be, and how it varied."""

    name: str
    measured: str
    aim: str
    note: str


# Ends in the peak of its own memory, which a parent's would otherwise be counted into.
PEAK = """
import re, sys
from fastcal.cli.app import run
code = run(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(code)
"""


# --- what reading alone takes -----------------------------------------------------------------------------------------


def read_row_groups(paths: list[Path], n_threads: int) -> None:
    """Every row group decoded by pyarrow, each thread its own ones, in batches of 16 384 rows."""
    import pyarrow.parquet as pq

    groups = [(path, group) for path in paths for group in range(pq.ParquetFile(path).num_row_groups)]

    def read(one: tuple[Path, int]) -> None:
        file = pq.ParquetFile(one[0], buffer_size=1 << 18, pre_buffer=False)
        for _ in file.iter_batches(1 << 14, row_groups=[one[1]], columns=["logits", "label"], use_threads=False):
            pass

    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(read, groups))


def read_dataset(paths: list[Path], n_threads: int) -> None:
    """The same by pyarrow's own scanner."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    pa.set_cpu_count(n_threads)
    pa.set_io_thread_count(n_threads)
    for _ in ds.dataset(paths, format="parquet").to_batches(columns=["logits", "label"]):
        pass


def read_mapped(path: Path, n_threads: int) -> None:
    """The largest number of a memory-mapped array, each thread a part of it."""
    mapped = np.load(path, mmap_mode="r")
    edges = np.linspace(0, len(mapped), n_threads + 1).astype(int)
    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(lambda k: mapped[edges[k] : edges[k + 1]].max(), range(n_threads)))


# --- side by side -----------------------------------------------------------------------------------------------------


def report(paths: list[Path], state: Path | None = None) -> float:
    """Seconds of a whole report from logits."""
    start = perf_counter()
    dumps = open_dumps(paths, Roles())
    evaluate(dumps, fc.Evaluation(from_logits=True), **({} if state is None else {"state": state})).compute()
    return perf_counter() - start


def seconds_of(work: Callable[[], object]) -> float:
    """Of one run."""
    start = perf_counter()
    work()
    return perf_counter() - start


def beside(
    name: str, what: str, aim: str, read: Callable[[], object], paths: list[Path], rounds: int
) -> Iterator[Line]:
    """How much of a rate of reading a report has, and at how many bytes."""
    n_bytes = sum(path.stat().st_size for path in paths)
    times = [(seconds_of(read), report(paths)) for _ in range(rounds)]
    shares = sorted(alone / ours for alone, ours in times)
    alone, ours = (statistics.median(column) for column in zip(*times, strict=True))
    span = f"{shares[0]:.0%} to {shares[-1]:.0%} in {rounds} rounds"
    span += f"; {ours:.2f} s, reading alone {alone:.2f} s, {n_bytes / 1e9:.1f} GB"
    yield Line(f"report of {name}", f"{statistics.median(shares):.0%} of the rate of {what}", aim, span)


def fastest_way(paths: list[Path], n_threads: int) -> Callable[[list[Path], int], None]:
    """Which of pyarrow's ways reads the files at the highest rate."""
    ways = [read_row_groups, read_dataset]
    times = {way.__name__: min(seconds_of(lambda way=way: way(paths, n_threads)) for _ in range(3)) for way in ways}
    print({name: round(time, 3) for name, time in times.items()}, "seconds, pyarrow alone", len(paths), "files")
    return min(ways, key=lambda way: times[way.__name__])


def parquet(folder: Path, n_rows: int, n_threads: int) -> Iterator[Line]:
    """Against pyarrow: on files that the page cache holds, and on all of them."""
    paths = sorted(make_dumps.parquet_folder(folder, n_rows).glob("*.parquet"))
    few = paths[: max(1, min(len(paths), 4))]
    way = fastest_way(few, n_threads)
    cached = f"{len(few) * 10} M x 10, Parquet in the page cache"
    yield from beside(cached, f"pyarrow ({way.__name__})", "", lambda: way(few, n_threads), few, 5)
    whole = f"{n_rows / 1e6:.0f} M x 10, {sum(path.stat().st_size for path in paths) / 1e9:.1f} GB of Parquet"
    yield from beside(whole, f"pyarrow ({way.__name__})", "70 %", lambda: way(paths, n_threads), paths, 2)


def npy(folder: Path, n_rows: int, n_threads: int) -> Iterator[Line]:
    """Against a memory-mapped read."""
    paths = make_dumps.npy_pair(folder, n_rows)
    read_mapped(paths[0], n_threads)  # into the page cache
    name = f"{n_rows / 1e6:g} M x 1000, .npy in the page cache"
    yield from beside(name, "a mapped read", "25 %", lambda: read_mapped(paths[0], n_threads), paths, 5)


def checkpoints(folder: Path, n_rows: int) -> Iterator[Line]:
    """What ``--state`` costs at its default interval."""
    paths = sorted(make_dumps.parquet_folder(folder, n_rows).glob("*.parquet"))[:12]
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        for number in range(5):
            plain = report(paths)
            ratios.append(report(paths, Path(place) / f"{number}.state") / plain - 1)
    span = f"{min(ratios):+.1%} to {max(ratios):+.1%} in {len(ratios)} rounds of {plain:.0f} s"
    yield Line("checkpoints every 5 seconds", f"{statistics.median(ratios):+.1%} of the time", "2 %", span)


def peaks(folder: Path, n_rows: int, npy_rows: int) -> Iterator[Line]:
    """The command's peak of resident memory, and its time from start to end."""
    dumps = {
        f"{n_rows / 1e6:.0f} M x 10, Parquet": [make_dumps.parquet_folder(folder, n_rows)],
        f"{npy_rows / 1e6:g} M x 1000, .npy": make_dumps.npy_pair(folder, npy_rows),
    }
    for name, paths in dumps.items():
        start = perf_counter()
        command = [sys.executable, "-c", PEAK, "report", *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = perf_counter() - start
        peak = int(done.stderr.split()[-1]) / 1000
        yield Line(f"peak of memory, report of {name}", f"{peak:.0f} MB", "500 MB", f"VmHWM; {seconds:.1f} s in all")


def cluster() -> Iterator[Line]:
    """Two workers of one thread against one, see dask_cluster.py."""
    for figure in dask_cluster.figures():
        yield Line(figure.what, f"{figure.value:.2f}x one worker", f"{dask_cluster.AT_LEAST:g}x", figure.note)


def main() -> None:
    """Measure, print, and write the README's table if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.batch", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where dumps are, or are made and left")
    parser.add_argument("--rows", type=int, default=450_000_000, help="rows of Parquet")
    parser.add_argument("--npy-rows", type=int, default=2_000_000, help="rows of .npy")
    parser.add_argument("--only", nargs="+", choices=["parquet", "npy", "checkpoints", "peaks", "dask"])
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    options = parser.parse_args()
    n_threads = thread_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report([make_dumps.parquet_folder(folder, 100_000)])  # compiled
        parts: dict[str, Callable[[], Iterator[Line]]] = {
            "parquet": lambda: parquet(folder, options.rows, n_threads),
            "npy": lambda: npy(folder, options.npy_rows, n_threads),
            "checkpoints": lambda: checkpoints(folder, options.rows),
            "peaks": lambda: peaks(folder, options.rows, options.npy_rows),
            "dask": cluster,
        }
        lines = []
        for name, part in parts.items():
            if options.only is None or name in options.only:
                for line in part():
                    lines.append(line)
                    print(f"{line.name:55} {line.measured:40} aim {line.aim:7} {line.note}", flush=True)
    if options.readme:
        conditions = f"Run of {date.today()}: {n_threads} threads for either side, files on a virtual disk."
        table = [f"| {line.name} | {line.measured} | {line.aim} | {line.note} |" for line in lines]
        readme.put("batch", [conditions, "", "| work | measured | aim | |", "|---|---|---|---|", *table])


if __name__ == "__main__":
    main()
