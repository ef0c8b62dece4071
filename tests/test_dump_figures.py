"""Weights, slices and ignored rows through files of every format: figures are those of the arrays, to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import command
from conftest import JIT

import fastcal as fc

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytestmark = pytest.mark.skipif(not JIT, reason="kernels have tests of their own")
pa = pytest.importorskip("pyarrow", reason="other formats need the io extra")
import pyarrow.feather  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

RNG = np.random.default_rng(3)
N, K, IGNORED = 400, 4, -100
LOGITS = RNG.normal(0, 3, (N, K))
LABELS = np.where(RNG.random(N) < 0.2, IGNORED, RNG.integers(0, K, N))
WEIGHTS = RNG.random(N)
GROUPS = np.array(["north", 'so"uth', "a,b", "ünï", "é\n"])[RNG.integers(0, 5, N)]
NAMES = ("ant", "bee", "cat", "d o g")
TEXT = np.array([*NAMES, str(IGNORED)])[LABELS.clip(-1)]


def as_table(labels):
    return pa.table({"logits": LOGITS.tolist(), "label": labels, "w": WEIGHTS, "region": GROUPS})


def as_columns(labels):
    scores = {f"logits_{k}": LOGITS[:, k] for k in range(K)}
    return pa.table({**scores, "label": pa.array(labels).dictionary_encode(), "w": WEIGHTS, "region": GROUPS})


def as_csv(labels, path):
    """By the module csv, as pandas writes it."""
    import csv

    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["region", *(f"logits_{k}" for k in range(K)), "w", "label"])
        for row in range(N):
            writer.writerow([GROUPS[row], *LOGITS[row].tolist(), float(WEIGHTS[row]), labels[row]])


def as_lines(labels, path):
    rows = zip(LOGITS.tolist(), labels.tolist(), WEIGHTS.tolist(), GROUPS.tolist(), strict=True)
    text = (json.dumps(dict(zip(("logits", "label", "w", "region"), row, strict=True))) for row in rows)
    path.write_text("\n".join(text))


def as_arrow(table, path):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=70)


WRITERS = {
    "list.parquet": lambda labels, path: pq.write_table(as_table(labels), path, row_group_size=70),
    "columns.parquet": lambda labels, path: pq.write_table(as_columns(labels), path),
    "d.arrow": lambda labels, path: as_arrow(as_table(labels), path),
    "d.feather": lambda labels, path: pyarrow.feather.write_feather(as_columns(labels), path),
    "d.csv": as_csv,
    "d.jsonl": as_lines,
    "d.npz": lambda labels, path: np.savez(path, logits=LOGITS, label=labels, w=WEIGHTS, region=GROUPS),
}


def in_memory():
    kept = LABELS != IGNORED
    made = fc.Evaluation(from_logits=True, groups=True)
    made.update(LABELS[kept], LOGITS[kept], sample_weight=WEIGHTS[kept], groups=GROUPS[kept])
    return json.loads(made.compute().to_json())


def reported(capsys, path, *arguments):
    done = command(capsys, "report", path, *arguments, "--json", "-")
    assert done.code == 0, done.err
    return json.loads(done.out[: done.out.rindex("\n}") + 2])


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_report_on_a_file_is_that_on_its_arrays(tmp_path, capsys, monkeypatch, name, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastcal.dumps.batches.BATCH_BYTES", 50 * 8 * K)
    monkeypatch.setattr("fastcal.dumps.lines.BLOCK", 5000)
    WRITERS[name](TEXT if text else LABELS, tmp_path / name)
    given = ("--weights", "w", "--groups", "region", "--ignore-index", IGNORED)
    given += ("--classes", ",".join(NAMES)) if text else ()
    expected = in_memory()
    assert reported(capsys, name, *given) == expected
    assert command(capsys, "info", name, *given[-4 if text else -2 :]).code == 0
    for suffix in ("parquet", "csv.gz", "jsonl", "npz"):  # what was ignored is not written, what had names has numbers
        assert command(capsys, "convert", name, "-o", f"o.{suffix}", "--force", *given).code == 0
        assert reported(capsys, f"o.{suffix}", "--weights", "weights", "--groups", "groups") == expected


def test_yes_and_no_as_slices(tmp_path, capsys, monkeypatch):
    """A .safetensors file of another's making has them, and so have ours."""
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", logits=LOGITS, labels=LABELS, flag=WEIGHTS < 0.5)
    given = ("--ignore-index", IGNORED)
    for name in ("o.safetensors", "o.parquet"):
        assert command(capsys, "convert", "d.npz", "-o", name, "--groups", "flag", *given).code == 0
        assert reported(capsys, name, "--groups", "groups") == reported(capsys, "d.npz", "--groups", "flag", *given)
