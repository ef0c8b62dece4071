"""Metrics for torch in two processes: the same bits as in one, however rows are spread."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from conftest import JIT

pytest.importorskip("torch", reason="needs the bench extra")
pytest.importorskip("torchmetrics", reason="needs the bench extra")

import torch
from torch_metrics import LABELS, PROBS, batches, kinds, plain

from fastcal.compat.torchmetrics.classification import MulticlassCalibrationError
from fastcal.integrations import torch as ft

pytestmark = pytest.mark.skipif(not JIT, reason="two processes of plain Python say nothing new of kernels")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the two processes found: one start for all tests."""
    for make, rows, weighted in kinds().values():  # compiled once, and not in both processes at a time
        make()(*batches(rows, weighted, ())[0])
    MulticlassCalibrationError(3)(PROBS, LABELS)
    folder = tmp_path_factory.mktemp("distributed")
    script = Path(__file__).with_name("distributed_torch.py")
    outs = [folder / f"{rank}.pt" for rank in range(2)]
    arguments = [[sys.executable, script, str(rank), folder / "store", out] for rank, out in enumerate(outs)]
    said = [folder / f"{rank}.txt" for rank in range(2)]
    processes = []
    for one, text in zip(arguments, said, strict=True):
        with text.open("w") as file:
            processes.append(subprocess.Popen(one, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"}))
    end = time.monotonic() + 300
    while time.monotonic() < end and any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes):  # the other one waits for it in vain
            break
        time.sleep(0.02)
    for process in processes:
        process.kill()
    codes = [process.wait() for process in processes]
    assert codes == [0, 0], "".join(text.read_text() for text in said)
    return [torch.load(out, weights_only=False) for out in outs]


def same(value, expected, rtol=0.0):
    """Equal, of weights but for rounding."""
    if isinstance(expected, dict):
        assert value.keys() == expected.keys()
        for name, one in expected.items():
            same(value[name], one, rtol)
        return
    assert value[0] == expected[0]
    if value[1] != expected[1]:
        assert float(value[1]) == pytest.approx(float(expected[1]), rel=rtol, abs=rtol)


@pytest.mark.parametrize("name", kinds())
def test_as_one_process(found, name):
    make, rows, weighted = kinds()[name]
    rtol = 1e-12 if weighted else 0.0
    whole = make()
    whole.update(*batches(rows, weighted, ())[0])
    first = make()
    first.update(*batches(rows, weighted, (40,))[0])
    for rank in range(2):
        for spread in ("uneven", "one has all", "step", "after step"):
            same(found[rank][name, spread], plain(whole.compute()), rtol)
    same(found[0][name, "alone"], plain(first.compute()), rtol)


def test_collections_and_the_class_of_compat(found):
    theirs = MulticlassCalibrationError(3)
    theirs.update(PROBS, LABELS)
    alone = {"a": ft.CalibrationError(), "b": ft.CalibrationError(norm="max"), "c": ft.AURC()}
    for rank in range(2):
        same(found[rank]["theirs"], plain(theirs.compute()))
        same(found[rank]["collection"], {name: plain(one(PROBS, LABELS)) for name, one in alone.items()})
        assert found[rank]["report"] == repr(len(PROBS))


def test_what_does_not_fit_together_is_said_in_all_processes(found):
    for rank in range(2):
        classes, of_bytes, single, settings, cells = found[rank]["errors"]
        assert classes == "cannot merge: scores have 2 columns in one process and 3 in another"
        assert of_bytes == "cannot merge: scores have 3 columns here and 2 there"
        assert single == "cannot merge: scores have 0 columns in one process and 3 in another"
        assert settings == "cannot merge: the processes have metrics with other settings"
        assert cells.startswith("cannot merge: n_cells is ")


def test_no_rows_at_all():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (make, _, _) in kinds().items():
            value = make().compute()
            assert isinstance(value, dict) or bool(value.isnan()), name
