"""Dumps: every layout that is read gives the figures of its arrays; every file that is not gives one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastcal as fc
from fastcal.dumps import DumpError, Roles, batches, open_dumps
from fastcal.runs import evaluate

pa = pytest.importorskip("pyarrow", reason="Parquet needs the io extra")
import pyarrow.parquet as pq  # noqa: E402

RNG = np.random.default_rng(8)
LOGITS = RNG.standard_normal((500, 6)).astype(np.float32) * 3
LABELS = RNG.integers(0, 6, 500)
WEIGHTS = RNG.random(500)
PROBS = np.exp(LOGITS.astype(float)) / np.exp(LOGITS.astype(float)).sum(axis=1, keepdims=True)


@pytest.fixture(params=[1 << 24, 999], ids=["one batch", "many batches"])
def batch_bytes(request, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", request.param)


def report(paths, asked=Roles()):  # noqa: B008 - frozen
    dumps = open_dumps([Path(p) for p in paths], asked)
    return evaluate(dumps, fc.Evaluation(from_logits=dumps[0].roles.from_logits)).compute().to_dict()


def expected(scores=LOGITS, labels=LABELS, weights=None, **options):
    return fc.Evaluation(**options).update(labels, scores, sample_weight=weights).compute().to_dict()


def same(left, right):
    np.testing.assert_equal(left, right)  # NaN of an empty bin equals NaN


@pytest.mark.usefixtures("batch_bytes")
@pytest.mark.parametrize("compressed", [False, True])
def test_npz(tmp_path, compressed):
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "d.npz", logits=LOGITS, labels=LABELS, w=WEIGHTS, other=np.zeros(3))
    same(report([tmp_path / "d.npz"]), expected(from_logits=True))
    same(report([tmp_path / "d.npz"], Roles(weights="w")), expected(weights=WEIGHTS, from_logits=True))
    save(tmp_path / "named.npz", a=PROBS, b=LABELS.astype(np.uint8))
    same(report([tmp_path / "named.npz"], Roles(probs="a", labels="b")), expected(PROBS))
    save(tmp_path / "binary.npz", probs=PROBS[:, 0], labels=LABELS == 0)
    same(report([tmp_path / "binary.npz"]), expected(PROBS[:, 0], LABELS == 0))


@pytest.mark.usefixtures("batch_bytes")
def test_npy_files_that_belong_together(tmp_path):
    for run, part in (("a", slice(0, 200)), ("b", slice(200, 500))):
        np.save(tmp_path / f"{run}_logits.npy", np.asfortranarray(LOGITS[part]) if run == "a" else LOGITS[part])
        np.save(tmp_path / f"{run}_labels.npy", LABELS[part])
    paths = [tmp_path / f"{run}_{name}.npy" for name in ("logits", "labels") for run in "ab"]
    same(report(paths), expected(from_logits=True))
    np.save(tmp_path / "scores.npy", PROBS)
    np.save(tmp_path / "truth.npy", LABELS)
    asked = Roles(probs="scores", labels="truth")
    same(report([tmp_path / "scores.npy", tmp_path / "truth.npy"], asked), expected(PROBS))
    np.save(tmp_path / "val_labels.npy", LABELS)
    same(report([tmp_path / "scores.npy", tmp_path / "val_labels.npy"], Roles(probs="scores")), expected(PROBS))


@pytest.mark.usefixtures("batch_bytes")
@pytest.mark.parametrize("layout", ["list", "large list", "fixed list", "columns", "named columns", "binary", "half"])
def test_parquet(tmp_path, layout):
    flat, table = pa.array(LOGITS.ravel()), {"labels": pa.array(LABELS.astype(np.int32)), "weight": pa.array(WEIGHTS)}
    asked, scores, options = Roles(), LOGITS, {"from_logits": True}
    if layout == "list":
        table["logits"] = pa.array(LOGITS.tolist(), pa.list_(pa.float32()))
    elif layout == "large list":
        table["logits"] = pa.LargeListArray.from_arrays(np.arange(0, 3001, 6), flat)
    elif layout == "fixed list":
        table["logits"] = pa.FixedSizeListArray.from_arrays(flat, 6)
    elif layout == "columns":
        table |= {f"logits_{k}": pa.array(LOGITS[:, k]) for k in range(6)}
    elif layout == "named columns":
        table |= {name: pa.array(LOGITS[:, k]) for k, name in enumerate("uvwxyz")}
        asked = Roles(logits="u, v,w,x,y,z")
    elif layout == "binary":
        table["probs"], scores, options = pa.array(PROBS[:, 0]), PROBS[:, 0], {}
        table["labels"] = pa.array((LABELS == 0).astype(np.int8)).dictionary_encode()
    elif layout == "half":
        scores = LOGITS.astype(np.float16)
        table["logits"] = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), 6)
    pq.write_table(pa.table(table), tmp_path / "d.parquet", row_group_size=130)
    labels = LABELS == 0 if layout == "binary" else LABELS
    same(report([tmp_path / "d.parquet"], asked), expected(scores, labels, **options))
    weighted = Roles(asked.logits, asked.probs, asked.labels, "weight")
    same(report([tmp_path / "d.parquet"], weighted), expected(scores, labels, WEIGHTS, **options))


def test_several_files_are_one_dump_and_errors_name_the_file_and_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 999)
    np.savez(tmp_path / "a.npz", probs=PROBS[:300], labels=LABELS[:300])
    np.savez(tmp_path / "b.npz", probs=PROBS[300:], labels=LABELS[300:])
    same(report([tmp_path / "a.npz", tmp_path / "b.npz"]), expected(PROBS))
    bad = PROBS.copy()
    bad[450, 2] = 1.5
    np.savez(tmp_path / "b.npz", p=bad[300:], truth=LABELS[300:])
    with pytest.raises(DumpError, match=r"b\.npz: p\[150, 2\] is 1\.5; probabilities lie"):
        report([tmp_path / "b.npz"], Roles(probs="p", labels="truth"))
    np.savez(tmp_path / "c.npz", probs=PROBS, labels=np.where(np.arange(500) == 77, 6, LABELS))
    with pytest.raises(DumpError, match=r"c\.npz: labels\[77\] is 6; labels are integers 0 to 5"):
        report([tmp_path / "c.npz"])


def npz(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(array, **changes):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=array.dtype.hasobject)
    data = buffer.getvalue()
    for old, new in changes.items():
        data = data.replace(old.encode(), new.encode().ljust(len(old)))
    return data


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


good = npz(probs=npy(PROBS), labels=npy(LABELS))


def damaged():
    stored = io.BytesIO()
    np.savez(stored, probs=PROBS, labels=LABELS)
    data = bytearray(stored.getvalue())
    data[3000] ^= 255
    return bytes(data)


def damaged_lzma():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("probs.npy", npy(PROBS))
        archive.writestr("labels.npy", npy(LABELS))
    data = bytearray(buffer.getvalue())
    data[2000:3000] = bytes(1000)
    return bytes(data)


def twice():
    buffer = io.BytesIO()
    column = pa.array([0.5])
    pq.write_table(pa.Table.from_arrays([column] * 3, names=["probs", "probs", "labels"]), buffer)
    return buffer.getvalue()


HOSTILE = {
    "empty.npz": (b"", "is no .npz archive"),
    "text.npz": (b"logits,labels\n1,2\n", "is no .npz archive"),
    "cut.npz": (good[: len(good) // 2], "is no .npz archive"),
    "flipped.npz": (damaged(), "probs in .* is damaged: Bad CRC"),
    "nothing.npz": (npz(), "neither logits nor probabilities by name (nothing)"),
    "pickle.npz": (npz(probs=npy(np.array([print], object)), labels=npy(LABELS)), "holds Python objects, a pickle"),
    "text-array.npz": (npz(probs=npy(np.array(["a"])), labels=npy(LABELS)), "dtype <U1; expected real numbers"),
    "no-array.npz": (npz(probs=b"hello", labels=npy(LABELS)), "probs in .* is no .npy array"),
    "scalar.npz": (npz(probs=npy(np.array(1.0)), labels=npy(LABELS)), "has shape (); expected one entry a row"),
    "lying.npz": (npz(probs=npy(PROBS, **{"(500, 6)": "(9e9, 6)"}), labels=npy(LABELS)), "is no .npy array"),
    "absurd.npz": (npz(probs=npy(PROBS[:1], **{"(1, 6), }": "(1, 6000"}), labels=npy(LABELS)), "is no .npy array"),
    "short.npz": (npz(probs=npy(PROBS)[:-80], labels=npy(LABELS)), "is truncated: its shape (500, 6) needs"),
    "evil-header.npz": (npz(probs=npy(PROBS, **{"'descr'": "'d'+''"}), labels=npy(LABELS)), "is no .npy array"),
    "lengths.npz": (
        npz(probs=npy(PROBS), labels=npy(LABELS[1:])),
        r"labels in .* has shape \(499,\), probs in .* has \(500, 6\)",
    ),
    "both.npz": (npz(probs=npy(PROBS), logits=npy(LOGITS), labels=npy(LABELS)), "has both logits and probabilities"),
    "labels.npz": (npz(probs=npy(PROBS), label=npy(LABELS), targets=npy(LABELS)), "several arrays that may be labels"),
    "unlabelled.npz": (npz(probs=npy(PROBS)), "has no labels by name (probs); say --labels NAME"),
    "columns.npz": (npz(probs=npy(np.asfortranarray(PROBS)), labels=npy(LABELS)), "stored column by column"),
    "no-rows.npz": (npz(probs=npy(PROBS[:0]), labels=npy(LABELS[:0])), "no rows"),
    "wide.npz": (npz(probs=npy(np.zeros((0, 1 << 25))), labels=npy(LABELS[:0])), "a row holds at most 1048576"),
    "alone_probs.npy": (npy(PROBS), "has no labels by name"),
    "empty.parquet": (b"", "is no Parquet file"),
    "text.parquet": (b"PAR1 but not really PAR1", "is no Parquet file"),
    "cut.parquet": (parquet(probs=PROBS[:, 0], labels=LABELS)[:-20], "is no Parquet file"),
    "types.parquet": (parquet(probs=["a", "b"], labels=[0, 1]), "probs in .* has type string; expected numbers"),
    "ragged.parquet": (parquet(probs=[[0.5, 0.5], [1.0]], labels=[0, 1]), "probs[1] has 1 values, other rows have 2"),
    "missing-row.parquet": (parquet(probs=[[0.5, 0.5], None], labels=[0, 1]), "probs[1] is missing"),
    "missing-label.parquet": (parquet(probs=[[0.5, 0.5]] * 2, labels=[0, None]), "labels[1] is missing"),
    "missing-value.parquet": (parquet(probs=[[0.5, None]] * 2, labels=[0, 1]), r"probs[0, 1] is nan"),
    "far-gap.parquet": (parquet(probs_0=[0.5], probs_9=[0.5], labels=[0]), "a column probs_9, but not every one"),
    "lists-a-class.parquet": (parquet(probs_0=[[0.5]], probs_1=[0.5], labels=[0]), "hold lists; expected one number"),
    "twice.parquet": (twice(), "has more than one column 'probs'"),
    "negative.npz": (
        npz(probs=npy(PROBS, **{"(500, 6)": "(-9, 6)"}), labels=npy(LABELS)),
        "is no .npy array: shape (-",
    ),
    "header-bomb.npz": (npz(probs=b"\x93NUMPY\x02\x00" + b"\xff" * 3_000_000, labels=npy(LABELS)), "a header of more"),
    "wide-labels.npz": (
        npz(probs=npy(PROBS), labels=npy(np.zeros((500, 9)))),
        r"labels in .* has shape \(500, 9\), pr",
    ),
    "lzma.npz": (damaged_lzma(), "probs.npy in .* is compressed by lzma; save it as numpy.savez_compressed does"),
    "gap.parquet": (
        parquet(probs_0=[0.5], probs_2=[0.5], labels=[0]),
        "a column probs_2, but not every one from probs_0 to it",
    ),
    "unlabelled.parquet": (parquet(probs=[0.5]), "has no labels by name"),
    "model.pkl": (pickle.dumps({"probs": PROBS}), "is a pickle, which is never read; save its arrays with"),
    "model.pt": (b"", "is a pickle, which is never read"),
    "table.xls": (b"probs,labels\n", "is none of .npy, .npz, .parquet"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    data, message = HOSTILE[name]
    (tmp_path / name).write_bytes(data)
    pattern = message if ".*" in message else message.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")
    with pytest.raises(DumpError, match=pattern) as caught:
        report([tmp_path / name])
    assert "\n" not in str(caught.value)


def test_one_numbered_column_is_a_row_of_one_class(tmp_path):
    (tmp_path / "d.parquet").write_bytes(parquet(probs_0=[0.9, 0.1], labels=[0, 1]))
    with pytest.raises(DumpError, match=r"labels\[1\] is 1|probs\[0\] sums to 0.9"):
        report([tmp_path / "d.parquet"])


def test_paths_and_names_that_lead_nowhere(tmp_path):
    (tmp_path / "d.npz").write_bytes(good)
    (tmp_path / "d.parquet").write_bytes(parquet(probs=[0.5], labels=[0]))
    (tmp_path / "empty").mkdir()
    for paths, asked, message in (
        ([tmp_path / "x.npz"], Roles(), "x.npz does not exist"),
        ([tmp_path / "empty"], Roles(), "is a folder without a file of a known format; it holds nothing"),
        ([tmp_path / "d.npz"], Roles(probs="q"), "has no array 'q'; it has labels, probs"),
        ([tmp_path / "d.npz"], Roles(weights="w"), "has no array 'w'; it has labels, probs"),
        ([tmp_path / "d.parquet"], Roles(probs="q"), "has no column 'q'; it has probs, labels"),
        ([tmp_path / "d.npz"], Roles(logits="a", probs="b"), "--logits and --probs are both given"),
    ):
        with pytest.raises(DumpError, match=message):
            report(paths, asked)


def test_a_bomb_is_read_in_bounded_memory(tmp_path):
    """Half a gigabyte of zeros in 2 MB: the batches come, one at a time, for as long as somebody asks."""
    header = io.BytesIO()
    n = 1 << 20
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (n, 64)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("probs.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(64):
                member.write(bytes(n * 8))
        archive.writestr("labels.npy", npy(np.zeros(n, np.int8)))
    (dump,) = open_dumps([tmp_path / "bomb.npz"], Roles())
    first = next(dump.batches())
    assert first.scores.nbytes <= batches.BATCH_BYTES
    with pytest.raises(DumpError, match=r"bomb.npz: probs\[0\] sums to 0"):
        evaluate([dump], fc.Evaluation())
