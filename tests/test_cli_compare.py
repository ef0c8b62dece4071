"""`fastcal compare`: two dumps side by side, however they are cut, named and typed; and what cannot be compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import command, fails
from scipy.special import softmax

import fastcal as fc
from fastcal.dumps import batches

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("rich", reason="the command line needs the cli extra")

RNG = np.random.default_rng(6)
N = 1000
Z = RNG.normal(size=(N, 3))
LABELS = (Z + RNG.gumbel(size=(N, 3))).argmax(axis=1)
A, B = softmax(Z, axis=1), 2.5 * Z
W = RNG.integers(0, 4, N)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", probs=A, labels=LABELS, w=W)
    np.savez(tmp_path / "b.npz", logits=B, labels=LABELS.astype(np.int16))
    np.savez(tmp_path / "both.npz", probs=A, other=softmax(B, axis=1), labels=LABELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(capsys, *arguments):
    done = command(capsys, "compare", *arguments, "--json", "-")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def expected(**options):
    found = fc.compare(LABELS, A, B, from_logits=(False, True), **options)
    return json.loads(found.to_json())


def test_figures_are_those_of_the_function(folder, capsys):
    assert compared(capsys, "a.npz", "b.npz") == expected()
    assert compared(capsys, "a.npz", "b.npz", "--weights", "w") == expected(sample_weight=W)
    assert compared(capsys, "a.npz", "b.npz", "--level", "0.8", "--bins", 9) == expected(level=0.8, n_bins=9)
    for threads in (1, 2):
        assert compared(capsys, "a.npz", "b.npz", "--threads", threads) == expected()


def test_what_is_printed(folder, capsys):
    done = command(capsys, "compare", "a.npz", "b.npz", "--json", "out.json")
    assert (done.code, done.err) == (0, "")
    assert json.loads((folder / "out.json").read_text()) == expected()
    found = fc.compare(LABELS, A, B, from_logits=(False, True))
    assert found.better_calibrated == "A"
    for words in ("A: a.npz", "B: b.npz", "A is better calibrated, by squared_ce_debiased (1,000 rows)"):
        assert words in done.out
    for name in found:
        line = next(line for line in done.out.splitlines() if line.startswith(name))
        numbers = [f"{found[name].a:.6f}", f"{found[name].b:.6f}", f"{found[name].difference:+.6f}"]
        assert line.split()[1:4] == numbers
    for words in ("McNemar's exact test", "No interval for ece", "not adjusted for there being several"):
        assert words in " ".join(done.out.split())
    same = command(capsys, "compare", "a.npz", "a.npz")
    assert "which one is better calibrated is not sure" in same.out


def test_two_models_in_one_file(folder, capsys):
    options = ("--probs", "probs", "--probs-b", "other")
    found = compared(capsys, "both.npz", "both.npz", *options)
    whole = json.loads(fc.compare(LABELS, A, softmax(B, axis=1)).to_json())
    assert found == whole


def test_rows_are_paired_however_either_side_is_cut(folder, capsys, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="Parquet needs the io extra")
    import pyarrow.parquet as pq

    (folder / "shards").mkdir()
    for k, (start, stop) in enumerate([(0, 1), (1, 700), (700, 700), (700, N)]):
        table = pa.table({"logits": list(B[start:stop]), "labels": LABELS[start:stop]})
        pq.write_table(table, folder / "shards" / f"{k}.parquet", row_group_size=37)
    monkeypatch.setattr(batches, "BATCH_BYTES", 1000)
    assert compared(capsys, "a.npz", "shards") == expected()
    flipped = LABELS.copy()
    flipped[703] = (flipped[703] + 1) % 3
    np.savez("c.npz", probs=A, labels=flipped)
    done = command(capsys, "compare", "c.npz", "shards")
    fails(done, f"c.npz row 703 is labelled {flipped[703]} and", "3.parquet row 3 ", "in the same order")


def test_ignored_rows_are_left_out_of_both(folder, capsys):
    marked = np.where(np.arange(N) % 10 == 0, -100, LABELS)
    np.savez("am.npz", probs=A, labels=marked)
    np.savez("bm.npz", logits=np.where(marked[:, None] < 0, np.nan, B), labels=marked)
    kept = marked >= 0
    whole = fc.compare(LABELS[kept], A[kept], B[kept], from_logits=(False, True))
    assert compared(capsys, "am.npz", "bm.npz", "--ignore-index", -100) == json.loads(whole.to_json())
    marked[11] = (LABELS[11] + 1) % 3
    np.savez("cm.npz", probs=A, labels=marked)
    fails(command(capsys, "compare", "cm.npz", "bm.npz", "--ignore-index", -100), "cm.npz row 11 is", "bm.npz row 11 ")


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


BAD = {
    "fewer rows": ({"logits": B[:900], "labels": LABELS[:900]}, ("A has more rows than B", "a.npz has a row 900")),
    "more rows": (
        {"logits": np.concatenate([B, B[:1]]), "labels": np.append(LABELS, LABELS[0])},
        ("B has more rows than A", "x.npz has a row 1000"),
    ),
    "other labels": ({"logits": B, "labels": np.roll(LABELS, 1)}, ("a.npz row", "x.npz row", "is labelled")),
    "NaN": ({"logits": changed(B, (7, 2), np.nan), "labels": LABELS}, ("x.npz: logits[7, 2] is nan", "no row out")),
    "range": ({"probs": changed(A, (8, 0), 2.0), "labels": LABELS}, ("x.npz: probs[8, 0] is 2; prob",)),
    "classes": (
        {"logits": B[:, :2], "labels": LABELS},
        ("a.npz has probs of shape (N, 3), x.npz has logits of shape (N, 2)",),
    ),
    "one column": ({"probs": A[:, 0], "labels": LABELS}, ("x.npz has probs of shape (N,): a comparison",)),
    "nothing": ({"logits": B[:0], "labels": LABELS[:0]}, ("A has more rows than B",)),
    "no labels": ({"logits": B}, ("x.npz has no labels by name",)),
    "text": ({"logits": B.astype(str), "labels": LABELS}, ("x.npz",)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_compared_is_one_line(folder, capsys, name):
    arrays, words = BAD[name]
    np.savez("x.npz", **arrays)
    fails(command(capsys, "compare", "a.npz", "x.npz", "--json", "out.json"), *words)
    assert not (folder / "out.json").exists()


def test_bad_labels_weights_and_options(folder, capsys):
    np.savez("l.npz", probs=A, labels=changed(LABELS, 5, 3), w=W)
    np.savez("w.npz", probs=A, labels=LABELS, w=changed(W, 6, -1))
    np.savez("none.npz", probs=A[:0], labels=LABELS[:0])
    fails(command(capsys, "compare", "l.npz", "l.npz"), "l.npz: labels[5] is 3; labels are integers 0 to 2")
    fails(command(capsys, "compare", "w.npz", "b.npz", "--weights", "w"), "w.npz: w[6] is -1")
    fails(command(capsys, "compare", "none.npz", "none.npz"), "no rows")
    for options, word in (
        (("a.npz",), "Missing argument 'B'"),
        (("a.npz", "nowhere.npz"), "nowhere.npz does not exist"),
        (("a.npz", "b.npz", "--level", "2"), "level is 2.0"),
        (("a.npz", "b.npz", "--bins", "0"), "n_bins is 0"),
        (("a.npz", "b.npz", "--json", "no/such/x"), "no/such/x cannot be written"),
    ):
        fails(command(capsys, "compare", *options), word)
