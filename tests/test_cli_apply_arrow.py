"""`fastcal apply` on Parquet and Arrow: schema, metadata, row groups, codecs and all other columns stay."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from conftest import JIT
from dump_commands import applied, fitted, list_of, logits_and_labels, ran

from fastcal.dumps import adding_arrow

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytestmark = pytest.mark.skipif(not JIT, reason="kernels have tests of their own")
pa = pytest.importorskip("pyarrow", reason="other formats need the io extra")
import pyarrow.parquet as pq  # noqa: E402 - where there is pyarrow

N, K = 500, 4
LOGITS, LABELS = logits_and_labels(N, K)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a calibrator in it, which is the one that commands are given."""
    monkeypatch.chdir(tmp_path)
    return fitted(K, tmp_path / "cal.json")


# --- Parquet ----------------------------------------------------------------------------------------------------------


def others(n):
    """Columns of all sorts, none of which plays a part."""
    texts = [None if i % 7 == 0 else f'row {i}, "x"\n' for i in range(n)]
    return {
        "id": pa.array(range(n), pa.uint16()),
        "text": pa.array(texts),
        "kind": pa.array([f"k{i % 3}" for i in range(n)]).dictionary_encode(),
        "nested": pa.array([{"a": [i, None], "b": {"c": f"{i}"}} for i in range(n)]),
        "when": pa.array(range(n), pa.timestamp("us", "UTC")),
        "price": pa.array([Decimal(i) / 4 for i in range(n)], pa.decimal128(12, 2)),
        "raw": pa.array([bytes([i % 256]) for i in range(n)]),
        "nan": pa.array(np.where(np.arange(n) % 2, np.nan, -0.0)),
        "labels": pa.array(["text labels, which apply never looks at"] * n),
    }


@pytest.mark.parametrize(("kind", "dtype"), [("list", "f4"), ("large", "f8"), ("fixed", "f4"), ("list", "f2")])
def test_parquet_keeps_columns_metadata_row_groups_and_codecs(work, capsys, kind, dtype):
    logits = LOGITS.astype(dtype)
    columns = others(N)
    table = pa.table({"id": columns.pop("id"), "logits": list_of(logits, kind), **columns})
    table = table.replace_schema_metadata({"who": "we", "pandas": "{}"})
    codecs = {"logits": "zstd", "text": "gzip", "id": "none"}
    leaf = next(name for name in pq_paths(table) if name.startswith("logits"))
    per_leaf = {path: codecs.get(path.split(".")[0], "snappy") for path in pq_paths(table)}
    pq.write_table(table, "d.parquet", row_group_size=150, compression=per_leaf, use_dictionary=["text"])
    applied(capsys, "d.parquet", "out.parquet")

    before, after = pq.ParquetFile("d.parquet"), pq.ParquetFile("out.parquet")
    assert_same(after.read(table.column_names), before.read())
    assert after.schema_arrow.names == [*table.column_names, "probs_calibrated"]
    added = after.read(["probs_calibrated"]).column(0)
    wide = pa.float64() if dtype == "f8" else pa.float32()
    assert added.type == {"list": pa.list_(wide), "large": pa.large_list(wide), "fixed": pa.list_(wide, K)}[kind]
    np.testing.assert_array_equal(np.stack(added.to_numpy()), work.predict_proba(logits), strict=True)
    groups = [(meta.num_row_groups, [meta.row_group(i).num_rows for i in range(4)]) for meta in metadata(before, after)]
    assert groups == [(4, [150, 150, 150, 50])] * 2
    for chunk in chunks(before):
        same = next(other for other in chunks(after) if other.path_in_schema == chunk.path_in_schema)
        assert same.compression == chunk.compression
        assert same.has_dictionary_page == chunk.has_dictionary_page
        assert same.is_stats_set == chunk.is_stats_set
    codec = {chunk.path_in_schema: chunk.compression for chunk in chunks(after)}
    assert codec[leaf] == codec[leaf.replace("logits", "probs_calibrated")] == "ZSTD"


def assert_same(one, other):
    """The same columns and metadata, NaN too."""
    rest = [name for name in one.column_names if name != "nan"]
    assert one.schema.equals(other.schema, check_metadata=True)
    assert one.select(rest).equals(other.select(rest))
    np.testing.assert_array_equal(*(table["nan"].to_numpy().view(np.int64) for table in (one, other)))


def metadata(*files):
    return [file.metadata for file in files]


def chunks(file):
    group = file.metadata.row_group(0)
    return [group.column(i) for i in range(group.num_columns)]


def pq_paths(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table.slice(0, 1), sink)
    return [chunk.path_in_schema for chunk in chunks(pq.ParquetFile(sink.getvalue()))]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "jsonl"])
def test_one_column_a_class_gets_one_column_a_class(work, capsys, suffix):
    columns = {f"logits_{k}": LOGITS[:, k].astype(np.float64) for k in range(K)}
    if suffix == "jsonl":
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        text = "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
        Path("d.jsonl").write_text(text)
    else:
        write(pa.table(columns), f"d.{suffix}")
    applied(capsys, f"d.{suffix}", f"out.{suffix}")
    code, _, problems = ran(
        capsys, "convert", f"out.{suffix}", "--no-labels", "--probs", "probs_calibrated", "-o", "p.npz"
    )
    assert code == 0, problems
    with np.load("p.npz") as arrays:
        np.testing.assert_array_equal(arrays["probs"], work.predict_proba(LOGITS.astype(np.float64)), strict=True)


def write(table, path):
    """A table as Parquet, Arrow or CSV, as the path says."""
    if path.endswith(".parquet"):
        pq.write_table(table, path)
    elif path.endswith(".csv"):
        import pyarrow.csv

        pyarrow.csv.write_csv(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=170)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "npz", "csv", "jsonl"])
def test_binary_scores_get_one_value(tmp_path, monkeypatch, capsys, suffix):
    monkeypatch.chdir(tmp_path)
    made = fitted(2, "cal.json", binary=True)
    scores = LOGITS[:, 0].astype(np.float64)
    np.savez("d.npz", logits=scores)
    if suffix != "npz":
        assert ran(capsys, "convert", "d.npz", "--no-labels", "-o", f"d.{suffix}")[0] == 0
    applied(capsys, f"d.{suffix}", f"out.{suffix}")
    assert ran(capsys, "convert", f"out.{suffix}", "--no-labels", "--probs", "probs_calibrated", "-o", "p.npz")[0] == 0
    with np.load("p.npz") as arrays:
        np.testing.assert_array_equal(arrays["probs"], made.predict_proba(scores), strict=True)


def test_large_row_groups_are_cut_and_small_ones_made_ahead(work, capsys, monkeypatch):
    pq.write_table(pa.table({"logits": list_of(LOGITS, "list")}), "d.parquet")
    monkeypatch.setattr(adding_arrow, "SMALL_GROUP", 0)
    monkeypatch.setattr(adding_arrow, "BATCH_BYTES", 1000)
    applied(capsys, "d.parquet", "whole.parquet")
    assert pq.ParquetFile("whole.parquet").metadata.num_row_groups == 1
    monkeypatch.setattr(adding_arrow, "GROUP_BYTES", 5000)
    applied(capsys, "d.parquet", "cut.parquet")
    assert pq.ParquetFile("cut.parquet").metadata.num_row_groups > 2
    assert pq.read_table("cut.parquet").equals(pq.read_table("whole.parquet"))


# --- Arrow ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "codec"), [("arrow", None), ("arrow", "zstd"), ("feather", "lz4"), ("arrows", "zstd")]
)
def test_arrow_keeps_batches_metadata_and_codec(work, capsys, suffix, codec, monkeypatch):
    table = pa.table({"logits": list_of(LOGITS, "fixed"), **others(N)}, metadata={"who": "we"})
    batches = table.to_batches(max_chunksize=200)
    opened = pa.ipc.new_stream if suffix == "arrows" else pa.ipc.new_file
    with opened(f"d.{suffix}", table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        for i, batch in enumerate(batches):
            writer.write_batch(batch, custom_metadata={"number": str(i)})
    applied(capsys, f"d.{suffix}", f"out.{suffix}")
    read = read_arrow(f"out.{suffix}")
    assert [(len(batch), dict(given or {})) for batch, given in read] == [
        (n, {b"number": str(i).encode()}) for i, n in enumerate((200, 200, 100))
    ]
    after = pa.Table.from_batches([batch for batch, _ in read])
    assert_same(after.drop_columns(["probs_calibrated"]), table)
    np.testing.assert_array_equal(
        np.stack(after["probs_calibrated"].to_numpy()), work.predict_proba(LOGITS), strict=True
    )
    assert adding_arrow._compression(Path(f"out.{suffix}")) == codec
    monkeypatch.setattr(adding_arrow, "GROUP_BYTES", 20000)
    applied(capsys, f"d.{suffix}", f"cut.{suffix}")
    parts = read_arrow(f"cut.{suffix}")
    assert len(parts) > 3
    assert_same(pa.Table.from_batches([batch for batch, _ in parts]), after)


def read_arrow(path):
    if path.endswith(".arrows"):
        found, reader = [], pa.ipc.open_stream(path)
        while True:
            try:
                found.append(reader.read_next_batch_with_custom_metadata())
            except StopIteration:
                return found
    reader = pa.ipc.open_file(path)
    return [reader.get_batch_with_custom_metadata(i) for i in range(reader.num_record_batches)]
