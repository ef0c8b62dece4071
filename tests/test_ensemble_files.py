"""Members in files: the same bits as from arrays, in bounded memory, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from test_ensemble import assert_same_bits, logits_of, probs_of

import fastcal as fc
from fastcal.dumps import DumpError
from fastcal.ensembles import members as doors

PROBS = probs_of(3, 200, 5, np.float32)
LOGITS = logits_of(3, 200, 5, np.float32)
LABELS = np.arange(200)


@pytest.fixture(params=["one batch", "many batches"])
def batch_bytes(request, monkeypatch):
    if request.param == "many batches":
        monkeypatch.setattr(doors, "BATCH_BYTES", 999)


def npy(path, scores, name):
    np.save(path.with_suffix(".npy"), scores)
    return path.with_suffix(".npy")


def fortran(path, scores, name):
    return npy(path, np.asfortranarray(scores), name)


def npz(path, scores, name):
    np.savez_compressed(path.with_suffix(".npz"), **{name: scores, "labels": LABELS, "other": np.zeros((3, 3))})
    return str(path.with_suffix(".npz"))


def npz_only(path, scores, name):
    np.savez(path.with_suffix(".npz"), mine=scores, labels=LABELS, words=np.array([["a", "b"]]))
    return path.with_suffix(".npz")


def parquet(path, scores, name, *, columns=None):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    lists = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), scores.shape[1])
    pq.write_table(pa.table({"labels": np.arange(len(scores)), **(columns or {name: lists})}), path, row_group_size=70)
    return path


def parquet_lists(path, scores, name):
    pa = pytest.importorskip("pyarrow")
    return parquet(
        path.with_suffix(".pq"), scores, name, columns={"mine": pa.array(scores.tolist(), pa.list_(pa.float32()))}
    )


def parquet_columns(path, scores, name):
    return parquet(path.with_suffix(".parquet"), scores, name, columns={f"{name}_{k}": scores[:, k] for k in range(5)})


def array(path, scores, name):
    return scores


WRITERS = [npy, fortran, npz, npz_only, lambda p, s, n: parquet(p.with_suffix(".parquet"), s, n), parquet_lists]
WRITERS += [parquet_columns, array]


@pytest.mark.usefixtures("batch_bytes")
@pytest.mark.parametrize("from_logits", [False, True])
def test_every_kind_of_file_gives_the_same_bits(tmp_path, from_logits):
    scores, name = (LOGITS, "logits") if from_logits else (PROBS, "probs")
    options = {"from_logits": from_logits}
    expected = fc.ensemble_uncertainty(scores, **options)
    for n, write in enumerate(WRITERS):
        files = [(write if m == 1 else npy)(tmp_path / f"{n}-{m}", one, name) for m, one in enumerate(scores)]
        assert_same_bits(fc.ensemble_uncertainty(files, **options), expected)
    weighted = fc.ensemble_uncertainty(files, weights=[1, 0, 3], **options)
    assert_same_bits(weighted, fc.ensemble_uncertainty(scores, weights=[1, 0, 3], **options))


@pytest.mark.usefixtures("batch_bytes")
def test_precision_axes_and_bits_of_files(tmp_path):
    mixed = [PROBS[0].astype(float), PROBS[1], PROBS[2].astype(np.float16)]
    files = [npy(tmp_path / str(m), one, "") for m, one in enumerate(mixed)]
    assert_same_bits(fc.ensemble_uncertainty(files), fc.ensemble_uncertainty(mixed))
    bits = (LOGITS.view(np.uint32) >> 16).astype(np.uint16)
    files = [npy(tmp_path / f"bits-{m}", one, "") for m, one in enumerate(bits)]
    found = fc.ensemble_uncertainty(files, from_logits=True, dtype="bfloat16")
    assert_same_bits(found, fc.ensemble_uncertainty(bits, from_logits=True, dtype="bfloat16"))
    images = PROBS.reshape(3, 20, 2, 5, 5)
    files = [npy(tmp_path / f"images-{m}", one, "") for m, one in enumerate(images)]
    found = fc.ensemble_uncertainty([*files[:2], images[2]])
    assert found.prediction.shape == (20, 2, 5)
    np.testing.assert_array_equal(found.mutual_information, fc.ensemble_uncertainty(images).mutual_information)
    images = images.copy()
    images[1, 13, 1, 2, 4] = 1.5
    files[1] = npy(tmp_path / "wrong", images[1], "")
    with pytest.raises(fc.DataError, match=r"members\[1, 13, 1, 2, 4\] is 1.5"):
        fc.ensemble_uncertainty(files)


class Meanwhile:
    """An array that is looked at while members are opened; another process writes a file anew just then."""

    def __init__(self, values, write):
        self.values, self.write = values, write

    def __array__(self, dtype=None, copy=None):
        self.write()
        return self.values


CHANGED = {
    "an axis": np.full((200, 3, 5), 0.2, np.float32),
    "more classes": np.full((200, 1000), 1e-3, np.float32),
    "fewer classes": np.full((200, 2), 0.5, np.float32),
    "more rows": np.full((201, 5), 0.2, np.float32),
    "fewer rows": PROBS[0, :7],
    "another precision": PROBS[0].astype(float),
}


@pytest.mark.parametrize(
    ("write", "case"),
    [
        (write, case)
        for write in (npy, npz, parquet_lists)
        for case in CHANGED
        if (write, case) != (parquet_lists, "another precision")  # the writer of lists has one
    ],
)
def test_a_file_that_changes_while_it_is_read(tmp_path, case, write):
    """Room for its rows was made by its first header."""
    changed = CHANGED[case]
    if write is parquet_lists:
        pytest.importorskip("pyarrow")
        changed = changed.reshape(len(changed), -1)
    file = write(tmp_path / "a", PROBS[0], "probs")
    members = [file, Meanwhile(PROBS[1], lambda: write(tmp_path / "a", changed, "probs"))]
    for measure in (fc.ensemble_uncertainty, fc.ensemble_disagreement):
        write(tmp_path / "a", PROBS[0], "probs")
        with pytest.raises(DumpError, match=r"a\.(npy|npz|pq) changed while it was read: float"):
            measure(members)


@pytest.mark.parametrize("form", ["wider rows", "fewer rows"])
def test_rows_of_a_file_that_are_not_as_its_header_said(tmp_path, form, monkeypatch):
    files = [npy(tmp_path / str(m), one, "") for m, one in enumerate(PROBS)]
    given = {"wider rows": np.full((200, 6), 0.1, np.float32), "fewer rows": PROBS[0, :9]}[form]
    monkeypatch.setattr("fastcal.dumps.stored.StoredArray.read", lambda *_: given)
    with pytest.raises(DumpError, match=r"0\.npy changed while it was read"):
        fc.ensemble_uncertainty(files)


def test_members_of_weight_0_have_no_say_in_the_precision(tmp_path):
    wide, narrow = npy(tmp_path / "a", PROBS[0].astype(float), ""), npy(tmp_path / "b", PROBS[1], "")
    found = fc.ensemble_uncertainty([wide, narrow], weights=[0, 1])
    assert found.max_probability.dtype == np.float32
    assert_same_bits(found, fc.ensemble_uncertainty([PROBS[0].astype(float), PROBS[1]], weights=[0, 1]))
    assert fc.ensemble_disagreement([wide, narrow], weights=[0, 1]).dtype == np.float32
    counted, _ = doors.opened([wide, narrow, PROBS[2]], False, None).weighted(np.array([0.0, 1.0, 1.0]))
    assert counted.row_bytes == 2 * 5 * 4


def test_no_rows(tmp_path):
    files = [npy(tmp_path / "a", PROBS[0, :0], ""), parquet_columns(tmp_path / "b", PROBS[0, :0], "probs")]
    assert fc.ensemble_uncertainty(files[:1]).prediction.shape == (0,)
    with pytest.raises(fc.DataError, match=r"members\[1\] has shape \(0, 1\)"):  # which says nothing of its columns
        fc.ensemble_uncertainty(files)


def of_bytes(content):
    def write(folder):
        (folder / "bad.npy").write_bytes(content)
        return folder / "bad.npy"

    return write


def of_npz(**arrays):
    def write(folder):
        np.savez(folder / "bad.npz", **arrays)
        return folder / "bad.npz"

    return write


def pickled(folder):
    np.save(folder / "bad.npy", np.array([None, {}]), allow_pickle=True)
    return folder / "bad.npy"


def cut(folder):
    path = npy(folder / "bad", PROBS[0], "")
    path.write_bytes(path.read_bytes()[:-1])
    return path


def a_pickle(folder):
    (folder / "bad.pkl").write_bytes(pickle.dumps(1))
    return folder / "bad.pkl"


def ragged(folder):
    pa = pytest.importorskip("pyarrow")
    rows = [[0.2] * 5] * 199 + [[1.0]]
    return parquet(folder / "bad.parquet", np.zeros((200, 2)), "probs", columns={"probs": pa.array(rows)})


def two_widths(folder):
    pa = pytest.importorskip("pyarrow")
    rows = [[0.2] * 5] * 100 + [[0.5, 0.5]] * 100
    return parquet(folder / "bad.parquet", np.zeros((200, 2)), "probs", columns={"probs": pa.array(rows)})


HOSTILE = {
    "no file": (lambda folder: folder / "none.npy", "does not exist"),
    "a folder": (lambda folder: folder, "is a folder"),
    "another kind": (lambda folder: of_bytes(b"")(folder).rename(folder / "a.txt"), "is none of .npz, .npy, .parquet"),
    "a pickle": (a_pickle, "is a pickle, which is never read"),
    "objects": (pickled, "holds Python objects, a pickle, which is never read"),
    "nonsense": (of_bytes(b"\x93NUMPY\x01\x00\xff\xff"), "is no .npy array"),
    "nothing": (of_bytes(b""), "is no .npy array"),
    "a truncated file": (cut, "is truncated"),
    "no archive": (lambda folder: of_bytes(b"PK")(folder).rename(folder / "a.npz"), "is no .npz archive"),
    "no Parquet": (lambda folder: of_bytes(b"PAR1")(folder).rename(folder / "a.parquet"), "is no Parquet file"),
    "two tables": (of_npz(a=PROBS[0], b=PROBS[1]), "has no single array named 'probs' or .*; of two axes it has a, b"),
    "no table": (of_npz(labels=LABELS), "of two axes it has none"),
    "logits": (of_npz(logits=LOGITS[0]), "of two axes it has logits.*say from_logits=True"),
    "rows of unequal length": (ragged, r"probs\[\d+\] has \d values, other rows have 5"),
    "rows of two lengths": (two_widths, r"probs\[100\] has 2 values, other rows have 5"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_files_that_are_refused(tmp_path, case, monkeypatch):
    write, message = HOSTILE[case]
    if "Parquet" in case or "length" in case:
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(doors, "BATCH_BYTES", 8 * 5 * 100 * 2)
    bad = write(tmp_path)
    with pytest.raises(DumpError, match=message) as raised:
        fc.ensemble_uncertainty([PROBS[0], bad])
    assert str(Path(bad).name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_of_other_shapes(tmp_path):
    files = [npy(tmp_path / "a", PROBS[0], ""), npy(tmp_path / "b", PROBS[1, :5], ""), npy(tmp_path / "c", LABELS, "")]
    with pytest.raises(fc.DataError, match=r"members\[1\] has shape \(5, 5\), members\[0\] has \(200, 5\)"):
        fc.ensemble_uncertainty(files)
    with pytest.raises(fc.DataError, match=r"members\[0\] has shape \(200,\); expected rows"):
        fc.ensemble_uncertainty(files[2:])
    with pytest.raises(fc.DataError, match="weights has 1 entries"):
        fc.ensemble_uncertainty(files[:1] * 2, weights=[1])
