"""`fastcal apply`: every format keeps what it held, and what is added has the bits of one call on all rows."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from dump_commands import fitted, logits_and_labels, names_in, ran, refused

import fastcal as fc
from fastcal.dumps import adding_arrow, lines

pytest.importorskip("typer", reason="the command line needs the cli extra")
pa = pytest.importorskip("pyarrow", reason="other formats need the io extra")
import pyarrow.parquet as pq  # noqa: E402 - where there is pyarrow

N, K = 500, 4
LOGITS, LABELS = logits_and_labels(N, K)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a calibrator in it, which is the one that commands are given."""
    monkeypatch.chdir(tmp_path)
    return fitted(K, tmp_path / "cal.json")


def applied(capsys, source, out, *options):
    code, said, problems = ran(capsys, "apply", "cal.json", source, "-o", out, *options)
    assert (code, problems) == (0, []), problems
    assert said.endswith("added\n")


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


def list_of(values, kind):
    flat = pa.array(values.reshape(-1))
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    offsets = np.arange(len(values) + 1) * values.shape[1]
    made = pa.LargeListArray if kind == "large" else pa.ListArray
    return made.from_arrays(pa.array(offsets.astype(np.int64 if kind == "large" else np.int32)), flat)


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


@pytest.mark.parametrize("suffix", ["arrow", "feather", "arrows"])
@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
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


# --- NumPy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_keeps_its_members_byte_by_byte(work, capsys, compressed):
    more = {
        "labels": LABELS,
        "names": np.array(["ä", "b"]),
        "mask": LOGITS > 0,
        "z": np.array([1j]),
        "none": np.empty(0),
    }
    (np.savez_compressed if compressed else np.savez)("d.npz", logits=LOGITS, **more)
    applied(capsys, "d.npz", "out.npz")
    with zipfile.ZipFile("d.npz") as before, zipfile.ZipFile("out.npz") as after:
        for info in before.infolist():
            assert after.getinfo(info.filename).CRC == info.CRC
        assert after.getinfo("probs_calibrated.npy").compress_type == before.getinfo("logits.npy").compress_type
    with np.load("out.npz") as arrays:
        assert set(arrays) == {"logits", *more, "probs_calibrated"}
        np.testing.assert_array_equal(arrays["probs_calibrated"], work.predict_proba(LOGITS), strict=True)

    assert "has 'probs_calibrated' already" in refused(capsys, "apply", "cal.json", "out.npz", "-o", "b.npz")
    fc.TemperatureScaling().fit(LOGITS[:50], LABELS[:50]).save("cal.json")
    applied(capsys, "out.npz", "b.npz", "--overwrite")
    other = fc.load_calibrator("cal.json").predict_proba(LOGITS)
    with np.load("b.npz") as arrays:
        assert list(arrays) == ["logits", *more, "probs_calibrated"]
        np.testing.assert_array_equal(arrays["probs_calibrated"], other, strict=True)
        np.testing.assert_array_equal(arrays["names"], more["names"], strict=True)


@pytest.mark.parametrize("shape", [(125, K), (5, 25, K), (0, K)])
@pytest.mark.parametrize("dtype", ["f4", "f2", ">f8"])
def test_arrays_have_the_shape_of_the_scores(work, capsys, shape, dtype):
    logits = np.resize(LOGITS, shape).astype(dtype)
    np.savez("d.npz", logits=logits)
    np.save("val_logits.npy", np.asfortranarray(logits) if len(shape) == 2 else logits)
    applied(capsys, "d.npz", "out.npz")
    applied(capsys, "val_logits.npy", "p.npy")
    expected = work.predict_proba(logits)
    if not logits.size:
        expected = expected.astype(np.float32)  # of no rows the type is not known
    np.testing.assert_array_equal(np.load("out.npz")["probs_calibrated"], expected, strict=True)
    np.testing.assert_array_equal(np.load("p.npy"), expected, strict=True)


def test_a_pickle_is_not_passed_on(work, capsys):
    np.savez("d.npz", logits=LOGITS, meta=np.array([{"a": 1}], object))
    assert "meta.npy in d.npz holds Python objects, a pickle" in refused(
        capsys, "apply", "cal.json", "d.npz", "-o", "o.npz"
    )


def test_safetensors(work, capsys):
    tensors = pytest.importorskip("safetensors.numpy", reason="needs the bench extra")
    given = {"a": np.arange(3, dtype=np.int8), "logits": LOGITS, "z": np.ones((2, 2))}
    tensors.save_file(given, "d.safetensors", metadata={"who": "we"})
    applied(capsys, "d.safetensors", "out.safetensors")
    applied(capsys, "out.safetensors", "again.safetensors", "--overwrite")
    from safetensors import safe_open

    for path in ("out.safetensors", "again.safetensors"):
        with safe_open(path, "numpy") as file:
            assert file.metadata() == {"who": "we"}
            assert set(file.keys()) == {*given, "probs_calibrated"}
            for name, value in given.items():
                np.testing.assert_array_equal(file.get_tensor(name), value, strict=True)
            np.testing.assert_array_equal(file.get_tensor("probs_calibrated"), work.predict_proba(LOGITS), strict=True)


# --- text -------------------------------------------------------------------------------------------------------------

ROWS = LOGITS[:6].astype(np.float64)
NOTES = ["plain", " spaced ", '"quoted, with ""more"""', '"two\nlines"', "007", '"1.50"']


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("block", [40, 1 << 20])
def test_tables_keep_their_text(work, capsys, monkeypatch, tmp_path, end, separator, block):
    monkeypatch.setattr(lines, "BLOCK", block)
    names = [f"logits_{k}" for k in range(K)]
    rows = [[f"{value:.3e}" for value in row] for row in ROWS]
    given = [separator.join(["note", *names, '"la""bel"'])]
    given += [separator.join([note, *row, "x"]) for note, row in zip(NOTES, rows, strict=True)]
    given.insert(3, "")
    suffix = "tsv" if separator == "\t" else "csv"
    source = b"\xef\xbb\xbf" + end.join(given).encode()
    (tmp_path / f"d.{suffix}").write_bytes(source)
    applied(capsys, f"d.{suffix}", f"out.{suffix}", "--name", "cal")
    probs = work.predict_proba(np.array(rows, np.float64))
    written = (tmp_path / f"out.{suffix}").read_bytes().decode()
    expected = [given[0] + separator + separator.join(f"cal_{k}" for k in range(K))]
    texts = iter(written.removeprefix("\ufeff").split(end)[1:])
    row = 0
    for line in given[1:]:
        text = next(texts)
        if line == "":
            assert text == ""
            continue
        while not text.startswith(line):  # a line end within quotes
            text += end + next(texts)
        assert [float(value) for value in text.removeprefix(line + separator).split(separator)] == probs[row].tolist()
        row += 1
    assert written.startswith("\ufeff" + expected[0] + end)
    assert row == len(ROWS)

    applied(capsys, f"out.{suffix}", f"again.{suffix}", "--name", "cal", "--overwrite")
    assert (tmp_path / f"again.{suffix}").read_bytes() == (tmp_path / f"out.{suffix}").read_bytes()
    with gzip.open(f"d.{suffix}.gz", "wb") as file:
        file.write(source)
    applied(capsys, f"d.{suffix}.gz", f"out.{suffix}.gz", "--name", "cal")
    with gzip.open(f"out.{suffix}.gz") as file:
        assert file.read().decode() == written


LINES = [
    '{"id": 12345678901234567890, "logits": %s, "x": 1.50, "s": "\\u00e4 }", "n": {"b": [1, {}]}}',
    '  {"logits": %s , "id":1e5 }  ',
    "",
    '{"a\\"b": null, "logits":%s}\r',
]


@pytest.mark.parametrize("last", ["\n", ""])
def test_json_lines_keep_their_text(work, capsys, tmp_path, last):
    given = [line % json.dumps(row.tolist()) if line else line for line, row in zip(LINES, ROWS, strict=False)]
    (tmp_path / "d.jsonl").write_text("\n".join(given) + last, newline="")
    applied(capsys, "d.jsonl", "out.jsonl")
    written = (tmp_path / "out.jsonl").read_bytes().decode().split("\n")
    assert (written.pop() == "") == bool(last) or not last
    probs = iter(work.predict_proba(ROWS[[0, 1, 3]]))
    for before, after in zip(given, (tmp_path / "out.jsonl").read_bytes().decode().split("\n"), strict=False):
        if not before:
            assert after == before
            continue
        head = before.rstrip()[:-1].rstrip()
        assert after.startswith(head + ', "probs_calibrated": [')
        assert after.endswith(before[len(before.rstrip()) :])
        assert json.loads(after)["probs_calibrated"] == next(probs).tolist()
    assert "has 'probs_calibrated' already" in refused(capsys, "apply", "cal.json", "out.jsonl", "-o", "b.jsonl")
    applied(capsys, "out.jsonl", "b.jsonl", "--overwrite")
    assert [json.loads(line) for line in Path("b.jsonl").read_text().splitlines() if line.strip()] == [
        json.loads(line) for line in Path("out.jsonl").read_text().splitlines() if line.strip()
    ]
    assert "12345678901234567890" in Path("b.jsonl").read_text().splitlines()[0]


def test_samples_of_lm_eval(work, capsys, tmp_path):
    lines_ = []
    for doc in range(6):
        n = 2 + doc % 3
        for chosen in ("none", "other"):
            values = (ROWS[doc, :n] + (chosen == "other")).tolist()
            responses = [[str(value), "False"] for value in values]
            sample = {"doc_id": doc, "target": "1", "filter": chosen, "filtered_resps": responses}
            lines_.append(json.dumps(sample))
    (tmp_path / "samples_arc_2024-01-01T00-00-00.jsonl").write_text("\n".join(lines_) + "\n")
    applied(capsys, "samples_arc_2024-01-01T00-00-00.jsonl", "out.jsonl")
    for before, after in zip(lines_, Path("out.jsonl").read_text().splitlines(), strict=True):
        sample = json.loads(after)
        added = sample.pop("probs_calibrated")
        assert sample == json.loads(before)
        scores = np.full((1, K), -np.inf)
        scores[0, : len(added)] = [float(value) for value, _ in sample["filtered_resps"]]
        np.testing.assert_array_equal(work.predict_proba(scores)[0, : len(added)], added)
        assert len(added) == len(sample["filtered_resps"])


# --- places -----------------------------------------------------------------------------------------------------------


def test_folders_and_patterns(work, capsys, tmp_path):
    source = tmp_path / "in"
    (source / "a").mkdir(parents=True)
    np.savez(source / "x.npz", logits=LOGITS)
    np.savez(source / "a" / "x.npz", logits=LOGITS[:9])
    np.save(source / "a" / "val_logits.npy", LOGITS)
    np.save(source / "a" / "val_labels.npy", LABELS)
    applied(capsys, "in", "out")
    expected = ["a", "a/val_probs_calibrated.npy", "a/x.npz", "x.npz"]
    assert names_in(tmp_path / "out") == expected
    assert len(np.load("out/a/x.npz")["probs_calibrated"]) == 9
    applied(capsys, "in/*/*.npz", "two")
    assert names_in(tmp_path / "two") == ["a", "a/x.npz"]
    code, _, problems = ran(capsys, "apply", "cal.json", "in/x.npz", "in/a/val_logits.npy", "-o", "three")
    assert (code, problems) == (0, [])
    assert names_in(tmp_path / "three") == ["val_probs_calibrated.npy", "x.npz"]
    assert "exists" in refused(capsys, "apply", "cal.json", "in", "-o", "out")
    applied(capsys, "in", "out", "--force")
    assert "would go to same/x.npz" in refused(capsys, "apply", "cal.json", "in/x.npz", "in/a/x.npz", "-o", "same")
    np.savez(source / "wrong.npz", logits=LOGITS[:, :3])
    assert "wrong.npz: logits has shape" in refused(capsys, "apply", "cal.json", "in", "-o", "new")
    assert not (tmp_path / "new").exists()


def test_places_that_are_refused(work, capsys, tmp_path):
    np.savez("d.npz", logits=LOGITS)
    (tmp_path / "old.npz").write_bytes(b"old")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "kept.npz").write_bytes(b"kept")
    (tmp_path / "near.npz").symlink_to("old.npz")
    (tmp_path / "far.npz").symlink_to(tmp_path / "far" / "kept.npz")
    (tmp_path / "nowhere.npz").symlink_to("not-there.npz")
    (tmp_path / "same.npz").hardlink_to("d.npz")
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "sub").mkdir(parents=True)
    np.savez(tmp_path / "in" / "sub" / "kept.npz", logits=LOGITS)
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "far")
    before = names_in(tmp_path)
    for arguments, message in (
        (("d.npz", "-o", "old.npz"), "old.npz exists; say --force"),
        (("d.npz", "-o", "d.npz", "--force"), "d.npz is read"),
        (("d.npz", "-o", "same.npz", "--force"), "same.npz is read"),
        (("d.npz", "-o", "far.npz", "--force"), "far.npz is a link to"),
        (("d.npz", "-o", "nowhere.npz", "--force"), "nowhere.npz is a link to not-there.npz"),
        (("d.npz", "-o", "no/folder.npz"), "no/folder.npz cannot be written: No such file"),
        (("d.npz", "-o", "out.csv"), "out.csv has to end in .npz"),
        (("in", "-o", "old.npz"), "old.npz is a file; several dumps go to a folder"),
        (("in", "-o", "out"), "out/sub is a link out of out"),
        (("in", "-o", "in", "--force"), "is read; write to another place"),
    ):
        assert message in refused(capsys, "apply", "cal.json", *arguments), arguments
        assert names_in(tmp_path) == before
    applied(capsys, "d.npz", "near.npz", "--force")
    assert (tmp_path / "near.npz").is_symlink()
    assert "probs_calibrated" in np.load("old.npz")
    assert (tmp_path / "far" / "kept.npz").read_bytes() == b"kept"


def test_input_that_is_refused(work, capsys, tmp_path):
    np.savez("d.npz", logits=LOGITS)
    np.savez("probs.npz", probs=np.full((9, K), 1 / K))
    np.savez("wide.npz", logits=LOGITS[:, :3])
    np.savez("binary.npz", logits=LOGITS[:, 0])
    np.savez("nan.npz", logits=np.where(np.arange(N)[:, None] == 450, np.nan, LOGITS))
    (tmp_path / "bad.json").write_text("{}")
    before = names_in(tmp_path)
    for arguments, message in (
        (("cal.json", "probs.npz"), "probs.npz holds probabilities, cal.json was fitted to logits"),
        (("cal.json", "wide.npz"), "wide.npz: logits has shape (1, 3); the calibrator was fitted to 4 classes"),
        (("cal.json", "binary.npz"), "the calibrator was fitted to 4 classes"),
        (("cal.json", "nan.npz"), "nan.npz: logits[450, 0] is nan; expected a finite number"),
        (("bad.json", "d.npz"), "bad.json is not a fastcal calibrator"),
        (("none.json", "d.npz"), "No such file"),
        (("cal.json", "d.npz", "--name", "a/b"), "--name is 'a/b'"),
        (("cal.json", "d.npz", "--name", "logits"), "d.npz has 'logits' already"),
        (("cal.json", "d.npz", "--logits", "x"), "no array 'x'"),
        (("cal.json", "d.npz", "--threads", "0"), "n_threads is 0"),
        (("cal.json", "d.txt"), "d.txt"),
    ):
        assert message in refused(capsys, "apply", *arguments, "-o", "o.npz"), arguments
        assert names_in(tmp_path) == before


def test_json_and_threads(work, capsys):
    np.savez("d.npz", logits=LOGITS)
    code, out, problems = ran(capsys, "apply", "cal.json", "d.npz", "-o", "o.npz", "--json", "-", "--threads", "1")
    assert (code, problems) == (0, [])
    assert json.loads(out) == {
        "calibrator": "cal.json",
        "name": "probs_calibrated",
        "written": [{"dump": "d.npz", "output": "o.npz", "rows": N}],
    }


SLOW = """
import sys, time, fastcal.calibrators.base as base
from fastcal.cli.app import run
as_it_is = base.Calibrator.predict_proba
def slow(self, scores):
    if len(scores) > 1:
        print("within", flush=True)
        time.sleep(1)
    return as_it_is(self, scores)
base.Calibrator.predict_proba = slow
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_leaves_no_file(work, tmp_path, number, code):
    pq.write_table(pa.table({"logits": list_of(LOGITS, "list")}), "d.parquet")
    command = [sys.executable, "-c", SLOW, "apply", "cal.json", "d.parquet", "-o", "new"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "within\n"
        process.send_signal(number)
        assert process.wait(20) == code
        assert "Traceback" not in process.stderr.read()
    left = names_in(tmp_path)
    if number == signal.SIGKILL:
        (temporary,) = (name for name in left if name.startswith("new/"))
        assert temporary.startswith("new/.fastcal-")
        assert temporary.endswith(".tmp")
    else:
        assert left == ["cal.json", "d.parquet"]


@pytest.mark.skipif(os.name != "posix", reason="limits")
@pytest.mark.parametrize("suffix", ["npz", "parquet", "csv"])
def test_a_full_disk_leaves_no_file(work, capsys, tmp_path, suffix):
    import resource

    np.savez("d.npz", logits=LOGITS)
    if suffix != "npz":
        assert ran(capsys, "convert", "d.npz", "--no-labels", "-o", f"d.{suffix}")[0] == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = names_in(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        problem = refused(capsys, "apply", "cal.json", f"d.{suffix}", "-o", f"o.{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert problem.startswith(f"o.{suffix} cannot be written: ")
    assert "too large" in problem.lower()
    assert names_in(tmp_path) == before
