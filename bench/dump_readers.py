"""``python -m bench.dump_readers``: batches of binary dumps, beside what reading the same bytes takes at the least.

Bare loops over pyarrow and ``preadv`` against ``for batch in dump.read(piece)``, with the same rows a batch and the
same number of threads, turn about in one process, files in the page cache.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastcal.dumps import Dump, Roles, open_dumps
from fastcal.dumps.batches import BATCH_BYTES
from fastcal.dumps.parquet import BUFFER
from fastcal.engine import thread_count

ROWS = 3_000_000
GROUP = 1 << 18
ROUNDS = 7


@dataclass(frozen=True)
class Line:
    """Seconds of the bare loop and of ours, medians, and the quartiles of their ratio."""

    name: str
    n_rows: int
    n_bytes: int
    bare: float
    ours: float
    low: float
    high: float

    def __str__(self) -> str:
        share = f"{self.bare / self.ours:.0%} of the bare loop's rate ({self.low:.0%} to {self.high:.0%})"
        speed = f"{self.ours / self.n_rows * 1e9:.1f} ns a row, {self.n_bytes / self.ours / 1e9:.1f} GB/s"
        return f"{self.name:34} {share}; {speed}"


def shared(work: Callable[[Any], None], parts: Iterable[Any], n_threads: int) -> float:
    """Seconds that threads take for all parts."""
    start = perf_counter()
    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(work, parts))
    return perf_counter() - start


def ours(dump: Dump, n_threads: int) -> float:
    """Seconds of all batches."""

    def read(piece: Any) -> None:
        for _ in dump.read(piece):
            pass

    return shared(read, dump.pieces(), n_threads)


def copied(path: Path, n_threads: int) -> float:
    """Seconds of copying a file's bytes into one buffer a thread."""
    size = path.stat().st_size

    def read(part: tuple[int, int]) -> None:
        file, buffer = os.open(path, os.O_RDONLY), memoryview(bytearray(BATCH_BYTES))
        for position in range(*part, len(buffer)):
            os.preadv(file, [buffer], position)
        os.close(file)

    edges = [size * k // n_threads for k in range(n_threads + 1)]
    return shared(read, list(pairwise(edges)), n_threads)


def decoded(path: Path, columns: list[str], rows: int, n_threads: int) -> float:
    """Seconds of pyarrow's decoding, each thread whole row groups."""

    def read(group: int) -> None:
        with pq.ParquetFile(path, buffer_size=max(BUFFER // len(columns), 1 << 12), pre_buffer=False) as file:
            for _ in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                pass

    return shared(read, range(pq.ParquetFile(path).num_row_groups), n_threads)


def contenders(folder: Path) -> Iterator[tuple[str, Path, int, Callable[[int], float]]]:
    """Name, file, rows and the bare loop."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((ROWS // 100, 1000), np.float32)
    np.save(folder / "wide_logits.npy", wide)
    np.save(folder / "wide_labels.npy", np.zeros(len(wide), np.int64))
    logits, labels = rng.standard_normal((ROWS, 10), np.float32), rng.integers(0, 10, ROWS)
    rows = BATCH_BYTES // 80
    lists = pa.table({"labels": labels, "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), 10)})
    pq.write_table(lists, folder / "list.parquet", row_group_size=GROUP)
    columns = {f"logits_{k}": np.ascontiguousarray(logits[:, k]) for k in range(10)}
    pq.write_table(pa.table({"labels": labels, **columns}), folder / "columns.parquet", row_group_size=GROUP)
    del wide, logits, lists
    path = folder / "wide_logits.npy"
    yield ".npy, K = 1000", path, ROWS // 100, lambda n: copied(folder / "wide_logits.npy", n)
    yield (
        "Parquet, list of 10",
        folder / "list.parquet",
        ROWS,
        lambda n: decoded(folder / "list.parquet", ["labels", "logits"], rows, n),
    )
    names = ["labels", *columns]
    yield (
        "Parquet, 10 columns",
        folder / "columns.parquet",
        ROWS,
        lambda n: decoded(folder / "columns.parquet", names, rows, n),
    )


def run(rounds: int = ROUNDS, n_threads: int | None = None) -> list[Line]:
    """The lines of the table; the arrays are asserted to be the same before anything is timed."""
    found = []
    threads = thread_count(n_threads)
    with tempfile.TemporaryDirectory() as name:
        for what, path, n_rows, bare in contenders(Path(name)):
            paths = [path, path.with_name("wide_labels.npy")] if path.suffix == ".npy" else [path]
            (dump,) = open_dumps(paths, Roles())
            first = next(dump.read(dump.pieces()[0]))
            assert first.scores.dtype == np.float32
            assert sum(piece.n_rows or 0 for piece in dump.pieces()) == n_rows
            times = [(bare(threads), ours(dump, threads)) for _ in range(rounds)]
            alone, taken = (statistics.median(column) for column in zip(*times, strict=True))
            low, _, high = statistics.quantiles([one / other for one, other in times])
            found.append(Line(what, n_rows, path.stat().st_size, alone, taken, low, high))
    return found


if __name__ == "__main__":
    for line in run():
        print(line)
