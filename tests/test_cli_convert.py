"""`fastcal convert`: the same rows in every format, from every format."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
from conftest import JIT
from dump_commands import logits_and_labels, names_in, ran, refused

from fastcal.dumps import Roles, open_dumps, writing_arrow, writing_numpy
from fastcal.dumps.opening import SAMPLE

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytestmark = pytest.mark.skipif(not JIT, reason="kernels have tests of their own")
pa = pytest.importorskip("pyarrow", reason="other formats need the io extra")

N, K = 300, 3
LOGITS, LABELS = logits_and_labels(N, K)
WEIGHTS = np.random.default_rng(1).random(N)
SLICES = np.array(["north", 'so"uth', "a,b", "tab\there", "ünï", "7"])[np.arange(N) % 6]
TEXT = ["csv", "tsv", "jsonl", "csv.gz", "tsv.zst", "jsonl.gz", "ndjson"]
BINARY = ["parquet", "pq", "arrow", "feather", "arrows", "npz"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", logits=LOGITS, labels=LABELS, w=WEIGHTS, region=SLICES)
    return tmp_path


def converted(capsys, *arguments):
    code, out, problems = ran(capsys, "convert", *arguments)
    assert (code, problems) == (0, []), problems
    return out


def rows_of(path, **roles):
    """Scores, labels, weights and slices of a file."""
    from pathlib import Path

    (dump,) = open_dumps([Path(path)], Roles(**roles))
    batches = list(dump.batches())
    found = []
    for name in ("scores", "labels", "weights", "groups"):
        columns = [np.array(getattr(batch, name)) for batch in batches]
        found.append(None if columns[0].dtype == object and columns[0].shape == () else np.concatenate(columns))
    return found


@pytest.mark.parametrize("suffix", [*BINARY, *TEXT])
def test_every_format_and_back(work, capsys, suffix):
    converted(capsys, "d.npz", "-o", f"c.{suffix}", "--weights", "w", "--groups", "region")
    scores, labels, weights, groups = rows_of(f"c.{suffix}", weights="weights", groups="groups")
    wide = np.float64 if suffix in TEXT else np.float32
    # text has the fewest digits that say a float32, which as a float64 is another number
    assert scores.dtype == wide
    np.testing.assert_array_equal(scores.astype(np.float32), LOGITS)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(weights, WEIGHTS)
    assert [str(group) for group in groups] == SLICES.tolist()
    converted(
        capsys, f"c.{suffix}", "-o", "back.npz", "--weights", "weights", "--groups", "groups", "--dtype", "float32"
    )
    with np.load("back.npz") as arrays:
        assert list(arrays) == ["logits", "labels", "weights", "groups"]
        np.testing.assert_array_equal(arrays["logits"], LOGITS, strict=True)
        np.testing.assert_array_equal(arrays["labels"], LABELS, strict=True)
        np.testing.assert_array_equal(arrays["weights"], WEIGHTS, strict=True)
        np.testing.assert_array_equal(arrays["groups"].astype(str), SLICES)
    assert not [name for name in names_in(work) if "fastcal" in name]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("suffix", ["parquet", "npz", "safetensors", "jsonl"])
@pytest.mark.parametrize("binary", [False, True])
def test_types_odd_numbers_and_binary_scores(work, capsys, dtype, suffix, binary):
    given = np.array([[0.0, -0.0], [np.inf, -np.inf], [np.nan, 1.0], [6e-8, 0.1], [1 / 3, 65504]])
    given = (given[:, 0] if binary else given).astype(dtype)
    np.savez("odd.npz", logits=given.astype(np.float64), labels=np.array([0.0, 1, 1, 0, 1]))
    converted(capsys, "odd.npz", "-o", f"c.{suffix}", "--dtype", dtype)
    scores, labels, *_ = rows_of(f"c.{suffix}")
    expected = np.float64 if suffix in ("csv", "jsonl") else dtype
    assert scores.dtype == expected
    np.testing.assert_array_equal(
        scores.astype(dtype).view(f"u{given.itemsize}") << 1 >> 1, (given + 0).view(f"u{given.itemsize}") << 1 >> 1
    )
    np.testing.assert_array_equal(np.signbit(scores), np.signbit(given))
    np.testing.assert_array_equal(labels, [0, 1, 1, 0, 1])


def test_folders_of_arrays(work, capsys):
    said = converted(capsys, "d.npz", "-o", "out", "--weights", "w", "--groups", "region")
    assert said == "out: 300 rows\n"
    assert names_in(work / "out") == ["groups.npy", "labels.npy", "logits.npy", "weights.npy"]
    np.testing.assert_array_equal(np.load("out/logits.npy"), LOGITS, strict=True)
    np.testing.assert_array_equal(np.load("out/groups.npy"), SLICES, strict=True)
    converted(capsys, "out", "-o", "again.npz")
    np.testing.assert_array_equal(np.load("again.npz")["labels"], LABELS)
    assert "out exists; name a folder that is not there yet" in refused(capsys, "convert", "d.npz", "-o", "out")
    (work / "empty").mkdir()
    converted(capsys, "d.npz", "-o", "empty")
    assert names_in(work / "empty") == ["labels.npy", "logits.npy"]


def test_safetensors_and_bfloat16(work, capsys):
    tensors = pytest.importorskip("safetensors.numpy", reason="needs the bench extra")
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="needs the test extra")
    half = LOGITS.astype(ml_dtypes.bfloat16)
    tensors.save_file({"logits": half, "labels": LABELS}, "half.safetensors")
    converted(capsys, "half.safetensors", "-o", "c.safetensors")
    found = tensors.load_file("c.safetensors")
    np.testing.assert_array_equal(found["logits"], half.astype(np.float32), strict=True)
    np.testing.assert_array_equal(found["labels"], LABELS, strict=True)
    problem = refused(capsys, "convert", "d.npz", "--groups", "region", "-o", "x.safetensors")
    assert "slices are text, and .safetensors holds numbers only" in problem


def test_row_groups_and_batches(work, capsys, monkeypatch):
    import pyarrow.parquet as pq

    converted(capsys, "d.npz", "-o", "c.parquet", "--row-group-rows", "120")
    meta = pq.ParquetFile("c.parquet").metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [120, 120, 60]
    converted(capsys, "d.npz", "-o", "c.arrow", "--row-group-rows", "299")
    reader = pa.ipc.open_file("c.arrow")
    assert [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)] == [299, 1]
    monkeypatch.setattr(writing_arrow, "GROUP_BYTES", 1)
    converted(capsys, "d.npz", "d.npz", "d.npz", "d.npz", "-o", "d.parquet")
    meta = pq.ParquetFile("d.parquet").metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [1024, 176]


def test_dumps_are_written_one_after_the_other(work, capsys):
    np.savez("more.npz", logits=LOGITS[:7].astype(np.float64), labels=LABELS[:7].astype(np.float32))
    converted(capsys, "d.npz", "more.npz", "-o", "c.npz")
    with np.load("c.npz") as arrays:
        np.testing.assert_array_equal(arrays["logits"], np.concatenate([LOGITS, LOGITS[:7]]), strict=True)
        np.testing.assert_array_equal(arrays["labels"], np.concatenate([LABELS, LABELS[:7]]), strict=True)


def test_leading_axes_become_rows_and_text_labels_numbers(work, capsys):
    words = np.array(["x", "y", "z"])[LABELS].astype("U4").reshape(30, 10)
    words[0, :2] = "-100"
    np.savez("deep.npz", logits=LOGITS.reshape(30, 10, K), labels=words.reshape(30, 10))
    code, _, problems = ran(
        capsys, "convert", "deep.npz", "-o", "c.npz", "--classes", "x,y,z", "--ignore-index", "-100"
    )
    assert (code, problems) == (0, [])
    with np.load("c.npz") as arrays:
        np.testing.assert_array_equal(arrays["logits"], LOGITS[2:], strict=True)
        np.testing.assert_array_equal(arrays["labels"], LABELS[2:], strict=True)


def test_the_same_rows_give_the_same_bytes(work, capsys):
    for suffix in ("npz", "parquet", "arrow", "jsonl", "csv"):
        converted(capsys, "d.npz", "-o", f"a.{suffix}")
        converted(capsys, "d.npz", "-o", f"b.{suffix}")
        assert (work / f"a.{suffix}").read_bytes() == (work / f"b.{suffix}").read_bytes()


def test_what_is_refused(work, capsys):
    with open("p.pkl", "wb") as file:
        pickle.dump({"logits": LOGITS}, file)
    np.savez("probs.npz", probs=np.full((4, K), 1 / 3), labels=[0, 1, 2, 0])
    np.savez("wide.npz", logits=LOGITS[:, :2], labels=LABELS % 2)
    np.savez("bare.npz", logits=LOGITS)
    np.savez("none.npz", logits=LOGITS[:0], labels=LABELS[:0])
    np.savez("big.npz", logits=LOGITS * 1e5, labels=LABELS)
    np.savez("long.npz", logits=LOGITS, labels=LABELS, region=np.array(["x" * 2000] * N))
    np.savez("soft.npz", logits=LOGITS, labels=np.full(N, 0.5))
    np.savez("number.npz", logits=LOGITS, labels=LABELS, region=LABELS)
    (work / "old.npz").write_bytes(b"old")
    (work / "far").mkdir()
    (work / "link.npz").symlink_to(work / "far" / "x.npz")
    before = names_in(work)
    for arguments, message in (
        (("p.pkl", "-o", "c.npz"), "p.pkl is a pickle, which is never read"),
        (("d.npz", "-o", "old.npz"), "old.npz exists; say --force"),
        (("d.npz", "-o", "d.npz", "--force"), "d.npz is read; write"),
        (("d.npz", "-o", "link.npz", "--force"), "link.npz is a link to"),
        (("d.npz", "-o", "no/c.npz"), "No such file"),
        (("d.npz", "-o", "no/folder"), "No such file"),
        (("d.npz", "-o", "c.pkl"), "c.pkl is of no format that is written"),
        (("d.npz", "-o", "c.npz", "--dtype", "int8"), "--dtype is 'int8'"),
        (("big.npz", "-o", "c.npz", "--dtype", "float16"), "beyond the range of float16"),
        (("d.npz", "probs.npz", "-o", "c.npz"), "some dumps hold logits and some probabilities"),
        (("d.npz", "wide.npz", "-o", "c.npz"), "wide.npz has rows of 2 scores, those before have 3"),
        (("d.npz", "soft.npz", "-o", "c.npz"), "soft.npz: labels holds fractions, and whole numbers before them"),
        (("bare.npz", "-o", "c.npz"), "no labels by name"),
        (("d.npz", "number.npz", "--groups", "region", "-o", "c.npz"), "number.npz has slices of another kind"),
        (("none.npz", "-o", "c.npz"), "no rows"),
        (("long.npz", "--groups", "region", "-o", "c.npz"), "2000 characters"),
        (("d.npz", "--no-labels", "--labels", "labels", "-o", "c.npz"), "--labels and --no-labels"),
        (("d.npz", "-o", "c.parquet", "--row-group-rows", "0"), "row-group-rows"),
    ):
        assert message in refused(capsys, "convert", *arguments), arguments
        assert names_in(work) == before
    assert not any(name.startswith(".fastcal") for name in os.listdir(work))
    converted(capsys, "bare.npz", "--no-labels", "-o", "old.npz", "--force", "--json", "said.json")
    assert list(np.load("old.npz")) == ["logits"]
    assert json.loads((work / "said.json").read_text()) == {"output": "old.npz", "rows": N, "dumps": ["bare.npz"]}


@pytest.mark.skipif(os.name != "posix", reason="limits")
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "parquet", "arrow", "jsonl.gz", ""])
def test_a_full_disk_leaves_no_file(work, capsys, suffix):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = names_in(work)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    out = f"o.{suffix}" if suffix else "o"
    try:
        problem = refused(capsys, "convert", "d.npz", "-o", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert problem.startswith(f"{out} cannot be written: ")
    assert names_in(work) == before


def test_text_slices_of_different_lengths_are_widened(work, tmp_path):
    path = tmp_path / "groups.npy"
    file = writing_numpy._ArrayFile(path, np.dtype("<U1"), ())
    for part in (["a"], ["four", ""], ["ü"]):
        file.write(np.array(part, object))
    file.finish()
    np.testing.assert_array_equal(np.load(path), np.array(["a", "four", "", "ü"]), strict=True)


def test_the_bundled_dump(work, capsys):
    assert converted(capsys, "--sample", "-o", "sample.npz") == "sample.npz: 899 rows\n"
    with np.load("sample.npz") as written, np.load(SAMPLE) as bundled:
        assert set(written) == set(bundled) == {"labels", "logits"}
        for name in written:
            assert np.array_equal(written[name], bundled[name])
            assert written[name].dtype == bundled[name].dtype


def test_a_dump_or_the_bundled_one(work, capsys):
    assert refused(capsys, "convert", "-o", "out.npz") == "name a dump, or say --sample"
    assert refused(capsys, "convert", "d.npz", "--sample", "-o", "out.npz") == "--sample takes no dump"
    assert names_in(work) == ["d.npz"]
