"""Rows to Parquet and Arrow: a list of scores a row, and a column each for what else there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .batches import rows_per_batch
from .columns import arrow
from .writing import Columns, Settings, Sink

GROUP_BYTES = 32 << 20  # of scores in a row group, or record batch: what a thread reads by itself


class _Table(Sink):
    """What both formats share: rows are held until they are a group."""

    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        pa = arrow(f"and writing {suffix}")
        self._scores = settings.scores
        row_bytes = first.scores[:1].nbytes
        self._rows = settings.group_rows or max(rows_per_batch(row_bytes, GROUP_BYTES) // 1024 * 1024, 1024)
        kinds = {settings.scores: _kind(first.scores), **{name: _kind(values) for name, values in first.others()}}
        self._schema = pa.schema(list(kinds.items()))
        self._held: list[Any] = []
        self._n_held = 0
        self._writer = self._opened(path, suffix)

    def _opened(self, path: Path, suffix: str) -> Any:
        raise NotImplementedError

    def _group(self, table: Any) -> None:
        raise NotImplementedError

    def write(self, rows: Columns) -> None:
        """See :meth:`Sink.write`."""
        import pyarrow as pa

        columns = {self._scores: rows.scores, **dict(rows.others())}
        made = [_column(columns[field.name], field.type) for field in self._schema]
        batch = pa.RecordBatch.from_arrays(made, schema=self._schema)
        while len(batch):
            part = batch.slice(0, self._rows - self._n_held)
            batch = batch.slice(len(part))
            self._held.append(part)
            self._n_held += len(part)
            if self._n_held == self._rows:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._group(pa.Table.from_batches(self._held, self._schema))
            self._held, self._n_held = [], 0
            pa.default_memory_pool().release_unused()

    def finish(self) -> None:
        """See :meth:`Sink.finish`."""
        self._flush()
        self._writer.close()

    def close(self) -> None:
        """See :meth:`Sink.close`."""
        self._writer.close()


class ParquetSink(_Table):
    """Parquet. Scores have no dictionary, which would be as large as they are, and no bounds, which nobody asks for."""

    def _opened(self, path: Path, suffix: str) -> Any:
        import pyarrow.parquet as pq

        others = [name for name in self._schema.names if name != self._scores]
        return pq.ParquetWriter(path, self._schema, use_dictionary=others, write_statistics=others)

    def _group(self, table: Any) -> None:
        self._writer.write_table(table, len(table))


class ArrowSink(_Table):
    """Arrow files, and streams (.arrows); those called .feather are compressed as Feather's own writer does."""

    def _opened(self, path: Path, suffix: str) -> Any:
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(compression="lz4" if suffix == ".feather" else None)
        opened = pa.ipc.new_stream if suffix == ".arrows" else pa.ipc.new_file
        return opened(str(path), self._schema, options=options)

    def _group(self, table: Any) -> None:
        for batch in table.combine_chunks().to_batches():
            self._writer.write_batch(batch)


def _kind(values: Array) -> Any:
    import pyarrow as pa

    if values.dtype.kind in "OU":
        return pa.string()
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.list_(kind) if values.ndim > 1 else kind


def _column(values: Array, kind: Any) -> Any:
    """Rows (n,) or (n, K) as a column."""
    import pyarrow as pa

    if values.dtype.kind in "OU":
        return pa.array([str(value) for value in values.tolist()], kind)
    flat = np.array(values, order="C")  # its own: the dump's memory may be read into again
    if values.ndim == 1:
        return pa.array(flat, kind)
    n, n_columns = values.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(n_columns))
    return pa.ListArray.from_arrays(offsets, pa.array(flat.reshape(-1), kind.value_type), type=kind)


SINKS: dict[str, type[Sink]] = {
    ".parquet": ParquetSink,
    ".pq": ParquetSink,
    **dict.fromkeys((".arrow", ".feather", ".ipc", ".arrows"), ArrowSink),
}
