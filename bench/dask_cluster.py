"""Two workers against one: ``fastcal report --workers`` over a folder of Parquet in the page cache.

Both clusters, of processes of one thread each, are up and have compiled all kernels before anything is timed; they take
turns, and end in the same bits.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from fastcal import Evaluation
from fastcal.dumps import Dump, Roles, open_dumps
from fastcal.integrations import dask_cluster
from fastcal.runs import Looks, tasks_of

from .record import Whole

FILE_ROWS, CLASSES, GROUPS = 1_000_000, 10, 4
FILES, ROUNDS = 16, 5
AT_LEAST = 1.6


def write(folder: Path, n_files: int) -> int:
    """Files of logits (a column of lists) and labels, four row groups each; returns their bytes.

    All have the same rows: each has pages of its own all the same.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((FILE_ROWS, CLASSES), np.float32)
    labels = (logits / 1.5 + rng.gumbel(size=logits.shape)).argmax(axis=1)
    flat = pa.array(logits.reshape(-1))
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, CLASSES, dtype=np.int32)), flat)
    first = folder / "part-000.parquet"
    pq.write_table(pa.table({"labels": labels, "logits": lists}), first, row_group_size=FILE_ROWS // GROUPS)
    for number in range(1, n_files):
        shutil.copyfile(first, folder / f"part-{number:03}.parquet")
    return sum(path.stat().st_size for path in folder.iterdir())


def report(dumps: list[Dump], address: str) -> bytes:
    """The state of all rows, by the workers of a cluster."""
    looks = Looks({"report": Evaluation(from_logits=True)})
    return dask_cluster.run_on_cluster(tasks_of(dumps), looks, address=address).to_bytes()


def speed(folder: Path | None = None) -> list[Whole]:
    """How much faster two workers are than one; files are written into ``folder``, or the system's, and deleted."""
    with ExitStack() as held:
        there = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="fastcal-bench-", dir=folder)))
        n_bytes = write(there, FILES)
        dumps = open_dumps(sorted(there.iterdir()), Roles())
        clusters = {n: held.enter_context(dask_cluster.own_cluster(n)) for n in (1, 2)}
        runs = {n: partial(report, dumps, cluster.scheduler_address) for n, cluster in clusters.items()}
        states = {n: run() for n, run in runs.items()}  # the pages are read, and kernels compiled
        assert states[1] == states[2]
        times: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for n, run in runs.items():
                start = perf_counter()
                run()
                times[n].append(perf_counter() - start)
        ratios = [one / two for one, two in zip(times[1], times[2], strict=True)]
        seconds = {n: statistics.median(each) for n, each in times.items()}
        rows = FILE_ROWS * len(dumps)
        note = ", ".join(f"{n} worker{'s' * (n > 1)}: {rows / s / 1e6:.1f} M rows/s" for n, s in seconds.items())
        note += f"; quartiles {' to '.join(f'{q:.2f}' for q in statistics.quantiles(ratios, n=4)[::2])}"
        note += f"; {n_bytes / 1e9:.1f} GB"
        what = "report by 2 workers of one thread"
        return [Whole("dask", what, statistics.median(ratios), "x 1 worker", at_least=AT_LEAST, note=note)]
