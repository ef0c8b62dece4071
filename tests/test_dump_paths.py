"""What paths stand for: files, folders, patterns and standard input; and what is said of those that are nothing."""

from __future__ import annotations

import ast
import errno
import io
import json
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastcal as fc
from fastcal.dumps import DumpError, Roles, formats, open_dumps
from fastcal.dumps.labels import class_names

pa = pytest.importorskip("pyarrow", reason="Parquet and Arrow need the io extra")
import pyarrow.parquet as pq  # noqa: E402

PROBS = np.random.default_rng(3).dirichlet(np.ones(3), 20)
LABELS = np.arange(20) % 3


def save(path, part=slice(0, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, probs=PROBS[part], labels=LABELS[part])
    else:
        pq.write_table(table(part), path)


def table(part=slice(0, 20)):
    return pa.table({"probs": PROBS[part].tolist(), "labels": LABELS[part]})


def names(dumps, folder):
    return [str(dump.name).replace(f"{folder}{os.sep}", "") for dump in dumps]


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.parquet", "b/1.npz", "a.npz", "c.parquet", ".hidden.npz", "_SUCCESS", "b/_metadata", "notes.txt"):
        if name.endswith((".npz", ".parquet")):
            save(tmp_path / name)
        else:
            (tmp_path / name).write_text("{}")
    save(tmp_path / "_delta" / "x.npz")
    (tmp_path / "results.json").write_text("{}")
    for name, array in (("probs", PROBS), ("labels", LABELS)):
        np.save(tmp_path / "b" / f"val_{name}.npy", array)
    return tmp_path


def test_a_folder_is_its_files_in_order(folder):
    np.save(folder / "b" / "val_other.npy", np.zeros(2))  # nobody asks for it
    dumps = open_dumps([folder], Roles())
    assert names(dumps, folder) == ["a.npz", "b/1.npz", "b/2.parquet", "b/val_*.npy", "c.parquet"]
    for dump in dumps:
        np.testing.assert_allclose(np.concatenate([batch.scores for batch in dump.batches()]), PROBS)


def test_patterns_and_order(folder):
    dumps = open_dumps([folder / "c.parquet", folder / "b" / "*.npy", folder / "*.npz", folder / "c.parquet"], Roles())
    assert names(dumps, folder) == ["c.parquet", "b/val_*.npy", "a.npz", "c.parquet"]
    assert names(open_dumps([folder / "**" / "*.npz"], Roles()), folder) == ["_delta/x.npz", "a.npz", "b/1.npz"]
    assert names(open_dumps([folder / "?"], Roles()), folder) == ["b/1.npz", "b/2.parquet", "b/val_*.npy"]
    save(folder / "odd[1].npz")
    assert names(open_dumps([folder / "odd[1].npz"], Roles()), folder) == ["odd[1].npz"]


def test_paths_that_are_nothing(folder, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "notes.txt").write_text("")
    (tmp_path / "some" / "results.json").write_text("{}")
    for path, message in (
        (folder / "x*", "x.* matches no file"),
        (folder / "x.npz", "x.npz does not exist"),
        (tmp_path / "some", "is a folder without a file of a known format; it holds notes.txt, results.json"),
        (folder / "notes.txt", "notes.txt is none of .npy, .npz, .parquet"),
        (Path("a\0b"), "cannot be read: embedded null byte|does not exist"),
        (folder / ("x" * 5000), "cannot be read: .*File name too long|does not exist"),
    ):
        with pytest.raises(DumpError, match=message) as caught:
            open_dumps([path], Roles())
        assert str(caught.value).isprintable()
    arrays = [folder / "b" / "val_probs.npy", folder / "b" / "val_labels.npy"]
    with pytest.raises(DumpError, match=r"val_probs\.npy is given twice"):
        open_dumps([*arrays, arrays[0]], Roles())


def test_what_may_not_be_read(tmp_path, monkeypatch):
    """The superuser may read all, so the system is made to say no."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for name in ("a.npz", "a.parquet", "a.csv", "a.arrow"):
        save(tmp_path / name) if name in ("a.npz", "a.parquet") else (tmp_path / name).write_bytes(b"")
        with monkeypatch.context() as patched:
            patched.setattr("os.open", refuse)
            patched.setattr("builtins.open", refuse)
            with pytest.raises(DumpError, match="Permission denied") as caught:
                open_dumps([tmp_path / name], Roles())
        assert str(caught.value).startswith(str(tmp_path / name))


def as_input(monkeypatch, data, *, terminal=False):
    stream = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stream)


def bytes_of(kind):
    buffer = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table(), buffer)
    elif kind == "npz":
        np.savez(buffer, probs=PROBS, labels=LABELS)
    elif kind in ("arrow file", "arrow stream"):
        opened = pa.ipc.new_file if kind == "arrow file" else pa.ipc.new_stream
        with opened(buffer, table().schema) as writer:
            writer.write_table(table(), max_chunksize=7)
    elif kind == "json lines":
        buffer.write(
            b"".join(
                json.dumps({"probs": list(p), "labels": int(y)}).encode() + b"\n"
                for p, y in zip(PROBS, LABELS, strict=True)
            )
        )
    elif kind == "csv":
        rows = [",".join(map(repr, map(float, p))) + f",{y}" for p, y in zip(PROBS, LABELS, strict=True)]
        buffer.write("\n".join(["probs_0,probs_1,probs_2,labels", *rows]).encode())
    elif kind == "safetensors":
        header = json.dumps(
            {
                "probs": {"dtype": "F64", "shape": [20, 3], "data_offsets": [0, 480]},
                "labels": {"dtype": "I64", "shape": [20], "data_offsets": [480, 640]},
            }
        ).encode()
        buffer.write(len(header).to_bytes(8, "little") + header + PROBS.tobytes() + LABELS.tobytes())
    return buffer.getvalue()


KINDS = ["parquet", "npz", "arrow file", "arrow stream", "json lines", "csv", "safetensors"]


@pytest.mark.parametrize("kind", KINDS)
def test_standard_input_is_told_by_how_it_begins(kind, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    as_input(monkeypatch, bytes_of(kind))
    (dump,) = open_dumps([Path("-")], Roles())
    assert dump.name == "standard input"
    assert dump.files == ()
    found = list(dump.batches())
    np.testing.assert_allclose(np.concatenate([batch.scores for batch in found]), PROBS)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in found]), LABELS)
    spooled = kind in ("parquet", "npz", "arrow file", "safetensors")
    assert len(list(tmp_path.iterdir())) == spooled
    if not spooled:
        with pytest.raises(DumpError, match="standard input can be read once only"):
            list(dump.batches())
    del dump, found
    assert not list(tmp_path.iterdir())


def test_standard_input_that_is_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = io.BytesIO()
    np.save(array, PROBS)
    for data, message in (
        (b"", "standard input is empty"),
        (array.getvalue(), "standard input is a single .npy array"),
        (bytes_of("parquet")[:-9], "standard input is no Parquet file"),
        (bytes_of("npz")[:-9], "standard input is no .npz archive"),
        (bytes_of("arrow stream")[:40], "standard input is no Arrow stream"),
    ):
        as_input(monkeypatch, data)
        with pytest.raises(DumpError, match=message):
            open_dumps([Path("-")], Roles())
    assert not list(tmp_path.iterdir())
    as_input(monkeypatch, b"", terminal=True)
    with pytest.raises(DumpError, match="standard input is a terminal"):
        open_dumps([Path("-")], Roles())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    as_input(monkeypatch, bytes_of("npz"))
    with pytest.raises(DumpError, match="standard input cannot be kept in"):
        open_dumps([Path("-")], Roles())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_is_read_as_standard_input_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def write():
        with open(tmp_path / "pipe", "wb") as pipe:
            pipe.write(bytes_of("parquet"))

    writer = threading.Thread(target=write)
    writer.start()
    (dump,) = open_dumps([tmp_path / "pipe"], Roles())
    writer.join()
    np.testing.assert_allclose(next(dump.batches()).scores, PROBS)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".pickle", ".joblib"])
def test_pickles_are_refused_with_a_command(tmp_path, suffix):
    path = tmp_path / f"it's $(a) model{suffix}"
    path.write_bytes(b"")
    with pytest.raises(DumpError, match="is a pickle, which is never read; save its arrays with") as caught:
        open_dumps([path], Roles())
    message = str(caught.value)
    assert message.isprintable()
    assert ("weights_only=True" in message) == (suffix in (".pt", ".pth"))
    assert ("only if it is your own" in message) == (suffix not in (".pt", ".pth"))
    program, option, code, source, target = shlex.split(message[message.index("python -c") :])
    assert (program, option, source) == ("python", "-c", str(path))
    assert target == str(path.with_suffix(".npz"))
    ast.parse(code)


def test_the_command_for_pickles_works(tmp_path):
    import pickle

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"probs": PROBS, "labels": LABELS}))
    with pytest.raises(DumpError) as caught:
        open_dumps([path], Roles())
    command = shlex.split(str(caught.value)[str(caught.value).index("python -c") :])
    subprocess.run([sys.executable, *command[1:]], check=True)
    (dump,) = open_dumps([tmp_path / "model.npz"], Roles())
    np.testing.assert_array_equal(next(dump.batches()).scores, PROBS)


def test_the_command_for_torch_works(tmp_path):
    torch = pytest.importorskip("torch", reason="torch comes with the bench extra")
    tensors = {"probs": torch.tensor(PROBS).bfloat16(), "labels": torch.tensor(LABELS)}
    torch.save(tensors, tmp_path / "model.pt")
    with pytest.raises(DumpError) as caught:
        open_dumps([tmp_path / "model.pt"], Roles())
    code, source, target = shlex.split(str(caught.value)[str(caught.value).index("python -c") :])[2:]
    found = {}
    arguments = SimpleNamespace(argv=["-c", source, target])
    exec(code.replace("import sys, numpy, torch; ", ""), {"sys": arguments, "numpy": np, "torch": torch}, found)
    (dump,) = open_dumps([tmp_path / "model.npz"], Roles())
    batch = next(dump.batches())
    np.testing.assert_array_equal(batch.scores, tensors["probs"].float().numpy())
    np.testing.assert_array_equal(batch.labels, LABELS)


@pytest.mark.parametrize("text", ["", "a", "a,,b", "a,b,a", " , "])
def test_classes_that_are_none(text):
    with pytest.raises(DumpError, match="expected two or more different names"):
        class_names(text)


def test_class_names():
    assert class_names(None) is None
    assert class_names("a, b b,c") == ("a", "b b", "c")


def test_names_do_not_reach_a_terminal_as_they_are(tmp_path):
    path = tmp_path / "evil\x1b[31m\n\u202ename.npz"
    np.savez(path, **{"pro\x1bbs": PROBS, "labels\r": LABELS})
    with pytest.raises(DumpError) as caught:
        open_dumps([path], Roles())
    assert str(caught.value).isprintable()
    assert r"evil\x1b[31m\n\u202ename.npz" in str(caught.value)
    (dump,) = open_dumps([path], Roles(probs="pro\x1bbs", labels="labels\r"))
    assert dump.name.isprintable()
    np.testing.assert_array_equal(next(dump.batches()).scores, PROBS)


def test_every_suffix_has_its_reader():
    for suffix in formats.READERS:
        assert formats.suffix_of(Path(f"A.b{suffix.upper()}")) == suffix
        assert callable(formats.reader(suffix).open_dump)


def test_batches_for_a_fit(tmp_path):
    labels = np.where(np.arange(20) == 7, -1, LABELS)
    np.savez(tmp_path / "a.npz", probs=PROBS, labels=labels, w=np.arange(20.0))
    np.savez(tmp_path / "none.npz", probs=PROBS[:2], labels=np.array([-1, -1]), w=np.zeros(2))
    read = fc.read_batches(tmp_path, ignore_index=-1, weights="w")
    assert not read.from_logits
    for _ in range(2):
        ((scores, found, weights),) = read
        np.testing.assert_array_equal(scores, np.delete(PROBS, 7, axis=0))
        np.testing.assert_array_equal(found, np.delete(LABELS, 7))
        np.testing.assert_array_equal(weights, np.delete(np.arange(20.0), 7))
    np.savez(tmp_path / "a.npz", probs=PROBS, labels=np.array(["c", "b", "a"])[LABELS])
    ((_, found),) = fc.read_batches(tmp_path / "a.npz", classes=["c", "b", "a"])
    np.testing.assert_array_equal(found, LABELS)
