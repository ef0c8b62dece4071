"""A column more in Parquet and Arrow files: what pyarrow reads is written again as it is, schema and metadata too."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from .adding import Addition, is_column_of, source_of, suffix_of
from .ahead import ahead
from .batches import Dump, DumpError, first_line, rows_per_batch
from .columns import ScoreColumns, is_list

# Bytes of a row group that are held, with the addition: up to that they stay as large as they are, larger ones are cut.
GROUP_BYTES = 80 << 20
# Groups of a file of which the largest has so many bytes are made while the one before is written: two are held.
SMALL_GROUP = 20 << 20
BATCH_BYTES = 8 << 20
MOST_ROWS = 1 << 16


def add(dump: Dump, out: Path, addition: Addition) -> int:
    """See :func:`fastcal.dumps.adding.add`."""
    import pyarrow as pa

    source = source_of(dump)
    write = _to_parquet if suffix_of(source) in (".parquet", ".pq") else _to_arrow
    try:
        return write(dump, source, out, addition)
    except (DumpError, OSError):
        raise
    except (pa.ArrowException, ValueError, KeyError, RuntimeError) as error:
        raise DumpError(f"{source} is damaged: {first_line(error)}") from error


class _Columns:
    """The columns that are added to batches of a schema: in the layout of the scores' own."""

    def __init__(self, dump: Dump, schema: Any, addition: Addition) -> None:
        import pyarrow as pa

        self._dump, self._addition = dump, addition
        self._row = 0
        self._scores = ScoreColumns(dump.roles.scores, schema, dump.name)
        addition.check_new(schema.names, dump.name)
        kind = schema.field(self._scores.names[0]).type
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        value = kind.value_type if is_list(kind) else kind
        single = not self._scores.one_a_class and (pa.types.is_float32(value) or pa.types.is_float16(value))
        real = pa.float32() if single or self._all_single(schema) else pa.float64()
        if self._scores.one_a_class:
            fields = [pa.field(f"{addition.name}_{k}", real) for k in range(len(self._scores.names))]
        else:
            fields = [pa.field(addition.name, _with_values(kind, real))]
        kept = [i for i, name in enumerate(schema.names) if not _taken(name, addition.name)]
        self.kept = kept
        self._fields = fields
        self.scores = self._scores.names
        self.schema = pa.schema([*(schema.field(i) for i in kept), *fields], schema.metadata)

    def _all_single(self, schema: Any) -> bool:
        """Whether every column of scores is of floats of single precision or less: side by side the widest decides."""
        import pyarrow as pa

        kinds = [schema.field(name).type for name in self._scores.names]
        return all(pa.types.is_float32(kind) or pa.types.is_float16(kind) for kind in kinds)

    def to(self, batch: Any) -> Any:
        """The batch with the addition."""
        import pyarrow as pa

        scores = self._scores.of(batch, self._row)
        found = self._addition.of(scores, self._dump, self._row)
        self._row += len(batch)
        if self._scores.one_a_class:
            added = [pa.array(found[:, k], field.type) for k, field in enumerate(self._fields)]
        else:
            added = [_column(found, self._fields[0].type)]
        columns = [*(batch.column(i) for i in self.kept), *added]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    @property
    def n_rows(self) -> int:
        """Rows so far."""
        return self._row


def _taken(name: str, stem: str) -> bool:
    return name == stem or is_column_of(name, stem)


def _with_values(kind: Any, real: Any) -> Any:
    """A type like the scores' own, of floats."""
    import pyarrow as pa

    if not is_list(kind):
        return real
    value = kind.value_field.with_type(real)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(value, kind.list_size)
    return pa.large_list(value) if pa.types.is_large_list(kind) else pa.list_(value)


def _column(found: Any, kind: Any) -> Any:
    """Rows (n,) or (n, K) as a column of a type."""
    import numpy as np
    import pyarrow as pa

    if not is_list(kind):
        return pa.array(found, kind)
    n, n_columns = found.shape
    values = pa.array(found.reshape(-1), kind.value_type)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    large = pa.types.is_large_list(kind)
    offsets = pa.array(np.arange(n + 1, dtype=np.int64 if large else np.int32) * n_columns)
    made = pa.LargeListArray if large else pa.ListArray
    return made.from_arrays(offsets, values, type=kind)


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _to_parquet(dump: Dump, source: Path, out: Path, addition: Addition) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with closing(pq.ParquetFile(source, buffer_size=1 << 16, pre_buffer=False)) as file:
        columns = _Columns(dump, file.schema_arrow, addition)
        with pq.ParquetWriter(out, columns.schema, **_settings(file, columns)) as writer:
            with closing(_groups(file, columns)) as groups:
                for group in groups:
                    writer.write_table(pa.Table.from_batches(group, columns.schema), sum(map(len, group)))
                    group.clear()
                    pa.default_memory_pool().release_unused()  # else it keeps 150 MB of 100 that were in use
            for key, value in (file.metadata.metadata or {}).items():
                if key != b"ARROW:schema" and key not in (columns.schema.metadata or {}):
                    writer.add_key_value_metadata({key: value})
    return columns.n_rows


def _groups(file: Any, columns: _Columns) -> Generator[list[Any], None, None]:
    """Row groups with the addition, each a list of batches; those of very many bytes in parts."""
    numbers = range(file.metadata.num_row_groups)
    largest = max((file.metadata.row_group(number).total_byte_size for number in numbers), default=0)
    if largest <= SMALL_GROUP:
        return ahead(_made(file, columns, file.iter_batches))
    return _made(file, columns, lambda *given, **more: ahead(file.iter_batches(*given, **more)))


def _made(file: Any, columns: _Columns, batches: Callable[..., Any]) -> Generator[list[Any], None, None]:
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        rows = min(rows_per_batch(group.total_byte_size // max(group.num_rows, 1), BATCH_BYTES), MOST_ROWS)
        held: list[Any] = []
        n_bytes = 0
        for batch in batches(rows, row_groups=[number]):
            held.append(columns.to(batch))
            n_bytes += held[-1].nbytes
            if n_bytes > GROUP_BYTES:
                yield held
                held, n_bytes = [], 0
        if held:
            yield held


def _settings(file: Any, columns: _Columns) -> dict[str, Any]:
    """How the file's columns are stored, for a writer of the same; the addition is compressed as the scores are.

    Leaves of nested columns go by their places: a file may call them otherwise than pyarrow does.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.metadata.num_row_groups:
        return {}
    group = file.metadata.row_group(0)
    leaves: list[list[Any]] = []
    for field in file.schema_arrow:
        first = sum(map(len, leaves))
        leaves.append([group.column(i) for i in range(first, first + _n_leaves(field.type))])
    kept = [chunk for place in columns.kept for chunk in leaves[place]]
    scores = leaves[file.schema_arrow.get_field_index(columns.scores[0])][0]
    sink = pa.BufferOutputStream()
    pq.write_table(columns.schema.empty_table(), sink)
    written = pq.ParquetFile(sink.getvalue()).schema
    paths = [written.column(i).path for i in range(len(written))]
    chunks = [*kept, *([scores] * (len(paths) - len(kept)))]
    codecs = {"UNCOMPRESSED": "NONE"}
    own = list(zip(paths, kept, strict=False))
    return {
        "compression": {
            path: codecs.get(chunk.compression, chunk.compression) for path, chunk in zip(paths, chunks, strict=True)
        },
        "use_dictionary": [path for path, chunk in own if chunk.has_dictionary_page],
        "write_statistics": [path for path, chunk in own if chunk.is_stats_set],
    }


def _n_leaves(kind: Any) -> int:
    """Columns of numbers or text that a column of Parquet is stored as."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _n_leaves(kind.storage_type)
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return sum(map(_n_leaves, inner)) if inner else 1


# --- Arrow ------------------------------------------------------------------------------------------------------------


def _to_arrow(dump: Dump, source: Path, out: Path, addition: Addition) -> int:
    import pyarrow as pa

    with pa.OSFile(str(source)) as file:
        stream = suffix_of(source) == ".arrows" or file.read(6) != b"ARROW1"
        file.seek(0)
        reader = pa.ipc.open_stream(file) if stream else pa.ipc.open_file(file)
        columns = _Columns(dump, reader.schema, addition)
        options = pa.ipc.IpcWriteOptions(compression=_compression(source), emit_dictionary_deltas=True)
        opened = pa.ipc.new_stream if stream else pa.ipc.new_file
        with opened(str(out), columns.schema, options=options) as writer:
            for batch, metadata in _record_batches(reader, stream):
                for part in _parts(batch):
                    writer.write_batch(columns.to(part), custom_metadata=metadata)
    return columns.n_rows


def _record_batches(reader: Any, stream: bool) -> Iterator[tuple[Any, Any]]:
    if not stream:
        for number in range(reader.num_record_batches):
            yield reader.get_batch_with_custom_metadata(number)
        return
    while True:
        try:
            yield reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            return


def _parts(batch: Any) -> Iterator[Any]:
    """A batch as it is; one of very many bytes in parts."""
    n_parts = max(1, -(-batch.nbytes // GROUP_BYTES))
    rows = max(1, -(-len(batch) // n_parts))
    yield from (batch.slice(start, rows) for start in range(0, max(len(batch), 1), rows))


def _compression(path: Path) -> str | None:
    """The codec of a file's first record batch, which pyarrow does not tell: from its message (a flatbuffer)."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        if file.read(8)[:6] != b"ARROW1":
            file.seek(0)
        while True:
            try:
                message = pa.ipc.read_message(file)
            except (EOFError, pa.ArrowException):
                return None
            if message.type == "record batch":
                return _codec_of(message.metadata.to_pybytes())


def _codec_of(data: bytes) -> str | None:
    """Message.header (slot 2) is a RecordBatch, its slot 3 a BodyCompression, whose slot 0 is the codec."""

    def slot(table: int, number: int) -> int:
        vtable = table - struct.unpack_from("<i", data, table)[0]
        place = 4 + 2 * number
        inside = place < struct.unpack_from("<H", data, vtable)[0]
        offset = struct.unpack_from("<H", data, vtable + place)[0] if inside else 0
        return table + offset if offset else 0

    def follow(place: int) -> int:
        return place + int(struct.unpack_from("<I", data, place)[0])

    try:
        batch = slot(follow(0), 2)
        compression = slot(follow(batch), 3) if batch else 0
        if not compression:
            return None
        codec = slot(follow(compression), 0)
        return {0: "lz4", 1: "zstd"}.get(data[codec] if codec else 0)
    except (struct.error, IndexError):
        return None
