"""`fastcal apply`: every format keeps what it held, and what is added has the bits of one call on all rows."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import JIT
from dump_commands import applied, fitted, list_of, logits_and_labels, names_in, ran, refused

import fastcal as fc
from fastcal.dumps import adding_arrow, batches, lines

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


def test_small_batches_give_the_same_bytes(work, capsys, monkeypatch):
    np.savez("d.npz", logits=LOGITS)
    sources = ["d.npz"]
    for suffix in ("csv", "jsonl", "safetensors", "parquet"):
        assert ran(capsys, "convert", "d.npz", "--no-labels", "-o", f"d.{suffix}")[0] == 0
        sources.append(f"d.{suffix}")
    for source in sources:
        applied(capsys, source, f"whole_{source}")
    monkeypatch.setattr(batches, "BATCH_BYTES", 1000)
    monkeypatch.setattr(lines, "BLOCK", 700)
    monkeypatch.setattr(adding_arrow, "BATCH_BYTES", 1000)
    for source in sources:
        applied(capsys, source, f"cut_{source}")
        assert Path(f"cut_{source}").read_bytes() == Path(f"whole_{source}").read_bytes()


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


def test_a_key_is_found_however_it_is_spelt(work, capsys, tmp_path):
    """A name in JSON may be numbers of characters; and what stands in a line beside it is never lost."""
    fitted(2, "cal.json")
    (tmp_path / "d.jsonl").write_text('{"logits": [1, 2], "pr\\u00e9": 1}\n{"logits": [2, 1]}\n')
    done = refused(capsys, "apply", "cal.json", "d.jsonl", "-o", "o.jsonl", "--name", "pré")
    assert "d.jsonl has 'pré' already" in done
    odd = f'{{"logits": [1, 2]}}\n{{"pr\\u00e9": 0, "logits": [1, 2], "big": {"9" * 5000}, "tail": {{}}}}\n'
    (tmp_path / "d.jsonl").write_text(odd)
    applied(capsys, "d.jsonl", "o.jsonl", "--name", "pré", "--overwrite")
    first, second = (tmp_path / "o.jsonl").read_text().splitlines()
    assert first.count("pr\\u00e9") == second.count("pr\\u00e9") == 1
    assert second.startswith(f'{{"logits": [1, 2], "big": {"9" * 5000}, "tail": {{}}, "pr\\u00e9": [')


def test_text_that_is_compressed_otherwise_than_its_name_says(work, capsys, tmp_path):
    fitted(2, "cal.json")
    data = b"\xef\xbb\xbflogits_0,logits_1\n1,2\n"
    (tmp_path / "plain.csv.gz").write_bytes(data)
    (tmp_path / "packed.csv").write_bytes(gzip.compress(data))
    applied(capsys, "plain.csv.gz", "o.csv.gz")
    applied(capsys, "packed.csv", "o.csv")
    assert gzip.decompress((tmp_path / "o.csv.gz").read_bytes()) == (tmp_path / "o.csv").read_bytes()
    assert (tmp_path / "o.csv").read_bytes().startswith(data[:-5] + b",probs_calibrated_0,probs_calibrated_1\n1,2,0.")


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
        time.sleep(0.3)
    return as_it_is(self, scores)
base.Calibrator.predict_proba = slow
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
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
