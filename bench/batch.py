"""What reports of dumps larger than memory cost, beside reading them and nothing else.

Both sides run in one process, turn about, on the same files and the same number of threads; the peak of memory is that
of the command, run by itself. ``python -m bench.batch --folder DIR --rows N`` takes dumps of other sizes than
``python -m bench --full`` does, and leaves them there.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

import fastcal as fc
from fastcal.dumps import Roles, open_dumps
from fastcal.engine import thread_count
from fastcal.runs import evaluate

from . import make_dumps
from .record import Whole

# Rows of 10 classes as Parquet (4 GB) and of 1000 classes as .npy (2 GB).
ROWS, NPY_ROWS = 100_000_000, 500_000

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
    name: str, what: str, at_least: float | None, read: Callable[[], object], paths: list[Path], rounds: int
) -> Whole:
    """How much of a rate of reading a report has, and at how many bytes."""
    n_bytes = sum(path.stat().st_size for path in paths)
    times = [(seconds_of(read), report(paths)) for _ in range(rounds)]
    shares = sorted(alone / ours for alone, ours in times)
    alone, ours = (statistics.median(column) for column in zip(*times, strict=True))
    span = f"{shares[0]:.0%} to {shares[-1]:.0%} in {rounds} rounds"
    span += f"; {ours:.2f} s, reading alone {alone:.2f} s, {n_bytes / 1e9:.1f} GB"
    unit = f"of the rate of {what}"
    return Whole("batch", f"report of {name}", statistics.median(shares), unit, at_least=at_least, note=span)


def fastest_way(paths: list[Path], n_threads: int) -> Callable[[list[Path], int], None]:
    """Which of pyarrow's ways reads the files at the highest rate."""
    ways = [read_row_groups, read_dataset]
    times = {way.__name__: min(seconds_of(lambda way=way: way(paths, n_threads)) for _ in range(3)) for way in ways}
    return min(ways, key=lambda way: times[way.__name__])


def parquet(folder: Path, n_rows: int, n_threads: int) -> Iterator[Whole]:
    """Against pyarrow: on files that the page cache holds, and on all of them."""
    paths = sorted(make_dumps.parquet_folder(folder, n_rows).glob("*.parquet"))
    few = paths[:4]
    way = fastest_way(few, n_threads)
    for these, rounds in ((few, 5), (paths, 2)) if len(paths) > len(few) else ((few, 5),):
        name = f"{min(n_rows / 1e6, len(these) * 10):g} M x 10, Parquet"
        yield beside(name, f"pyarrow ({way.__name__})", 0.7, lambda these=these: way(these, n_threads), these, rounds)


def npy(folder: Path, n_rows: int, n_threads: int) -> Iterator[Whole]:
    """Against a memory-mapped read."""
    paths = make_dumps.npy_pair(folder, n_rows)
    read_mapped(paths[0], n_threads)  # into the page cache
    name = f"{n_rows / 1e6:g} M x 1000, .npy in the page cache"
    yield beside(name, "a mapped read", 0.25, lambda: read_mapped(paths[0], n_threads), paths, 5)


def checkpoints(folder: Path, n_rows: int) -> Iterator[Whole]:
    """What ``--state`` costs at its default interval."""
    paths = sorted(make_dumps.parquet_folder(folder, n_rows).glob("*.parquet"))
    costs = []
    with tempfile.TemporaryDirectory() as place:
        for number in range(5):
            plain = report(paths)
            costs.append(report(paths, Path(place) / f"{number}.state") / plain - 1)
    span = f"{min(costs):+.1%} to {max(costs):+.1%} in {len(costs)} rounds of {plain:.0f} s"
    yield Whole("batch", "checkpoints every 5 seconds", statistics.median(costs), "of the time", 0.02, note=span)


def peaks(folder: Path, n_rows: int, npy_rows: int) -> Iterator[Whole]:
    """The command's peak of resident memory, and its time from start to end."""
    dumps = {
        f"{n_rows / 1e6:g} M x 10, Parquet": [make_dumps.parquet_folder(folder, n_rows)],
        f"{npy_rows / 1e6:g} M x 1000, .npy": make_dumps.npy_pair(folder, npy_rows),
    }
    for name, paths in dumps.items():
        start = perf_counter()
        command = [sys.executable, "-c", PEAK, "report", *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = perf_counter() - start
        peak = int(done.stderr.split()[-1]) * 1024 / 1e6
        yield Whole("batch", f"peak of memory, report of {name}", peak, "MB", 500, note=f"{seconds:.1f} s in all")


def figures(folder: Path | None = None, rows: int = ROWS, npy_rows: int = NPY_ROWS) -> Iterator[Whole]:
    """All of them; dumps are made in ``folder``, unless they are there, or in one that is deleted."""
    n_threads = thread_count()
    with contextlib.ExitStack() as stack:
        there = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastcal-bench-")))
        report([make_dumps.parquet_folder(there, 100_000)])  # compiled
        yield from parquet(there, rows, n_threads)
        yield from npy(there, npy_rows, n_threads)
        yield from checkpoints(there, rows)
        yield from peaks(there, rows, npy_rows)


def main() -> None:
    """Print them."""
    from .printing import print_whole

    parser = argparse.ArgumentParser(prog="python -m bench.batch", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where dumps are, or are made and left")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of Parquet")
    parser.add_argument("--npy-rows", type=int, default=NPY_ROWS, help="rows of .npy")
    options = parser.parse_args()
    for whole in figures(options.folder, options.rows, options.npy_rows):
        print_whole(whole)


if __name__ == "__main__":
    main()
