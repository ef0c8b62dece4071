"""``python -m bench.make_dumps FOLDER``: evaluation dumps of any size, for what is measured on them.

Rows are logits of a model that is a little too sure: labels are drawn from their softmax at temperature 1.3.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastcal.engine import thread_count

BLOCK_BYTES = 32 << 20
TEMPERATURE = 1.3


def rows(n_rows: int, n_classes: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of logits (n, K) float32 and labels (n,) int64: the same for the same seed."""
    rng = np.random.default_rng(seed)
    size = max(BLOCK_BYTES // (4 * n_classes), 1)
    for start in range(0, n_rows, size):
        n = min(size, n_rows - start)
        logits = rng.standard_normal((n, n_classes), dtype=np.float32)
        logits *= 3
        cumulated = np.exp(logits / TEMPERATURE).cumsum(axis=1)
        drawn = rng.random((n, 1), dtype=np.float32) * cumulated[:, -1:]
        yield logits, (cumulated < drawn).sum(axis=1).clip(max=n_classes - 1)


def write_parquet(path: Path, n_rows: int, n_classes: int, seed: int, group: int = 1 << 20) -> None:
    """A list column of logits and one of labels, as pyarrow writes them unless told otherwise."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"logits": pa.list_(pa.float32()), "label": pa.int64()})
    with pq.ParquetWriter(path, schema) as writer:
        held: list[pa.RecordBatch] = []
        for logits, labels in rows(n_rows, n_classes, seed):
            offsets = pa.array(np.arange(len(labels) + 1, dtype=np.int32) * n_classes)
            lists = pa.ListArray.from_arrays(offsets, pa.array(logits.ravel()))
            held.append(pa.record_batch([lists, pa.array(labels)], schema=schema))
            if sum(batch.num_rows for batch in held) >= group:
                writer.write_table(pa.Table.from_batches(held), row_group_size=group)
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held), row_group_size=group)


def parquet_folder(folder: Path, n_rows: int, n_classes: int = 10, rows_per_file: int = 10_000_000) -> Path:
    """A folder of Parquet files, made unless it is there."""
    folder = folder / f"parquet-{n_rows}x{n_classes}"
    starts = range(0, n_rows, rows_per_file)
    names = [folder / f"part-{number:03d}.parquet" for number in range(len(starts))]
    if not (folder.is_dir() and all(path.exists() for path in names)):
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(thread_count()) as threads:
            jobs = zip(names, starts, range(len(starts)), strict=True)
            list(threads.map(lambda job: _one(job[0], min(rows_per_file, n_rows - job[1]), n_classes, job[2]), jobs))
    return folder


def _one(path: Path, n_rows: int, n_classes: int, seed: int) -> None:
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        write_parquet(temporary, n_rows, n_classes, seed)
        temporary.rename(path)


def npy_pair(folder: Path, n_rows: int, n_classes: int = 1000) -> list[Path]:
    """Logits and labels in a .npy file each, made unless they are there."""
    folder = folder / f"npy-{n_rows}x{n_classes}"
    paths = [folder / "logits.npy", folder / "labels.npy"]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        scores = np.lib.format.open_memmap(folder / "logits.tmp", "w+", np.float32, (n_rows, n_classes))
        labels = np.empty(n_rows, np.int64)
        done = 0
        for logits, drawn in rows(n_rows, n_classes, 0):
            scores[done : done + len(drawn)] = logits
            labels[done : done + len(drawn)] = drawn
            done += len(drawn)
        scores.flush()
        np.save(paths[1], labels)
        (folder / "logits.tmp").rename(paths[0])
    return paths


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(prog="python -m bench.make_dumps", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=450_000_000, help="rows of the Parquet folder, K = 10")
    parser.add_argument("--npy-rows", type=int, default=2_000_000, help="rows of the .npy pair, K = 1000")
    options = parser.parse_args()
    print(parquet_folder(options.folder, options.rows))
    print(*npy_pair(options.folder, options.npy_rows))


if __name__ == "__main__":
    main()
