"""`fastcal.warmup` and `fastcal warmup`: what was warmed compiles nothing any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import command, fails
from conftest import JIT

import fastcal as fc
from fastcal.dumps.opening import SAMPLE
from fastcal.runs import compiled, warming

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("rich", reason="the command line needs the cli extra")

# Numba tells of every kernel that it compiles; our cache of those that it had on disk, which are none of a cold one's.
WARMED = """
import sys
sys.path.insert(0, sys.argv[1])
import warnings
import comparisons, test_comparisons
from numba.core import event
import numpy as np
import fastcal as fc
from fastcal.kernels import caching
fc.warmup(dtypes=["float64"], classes=[1, 2, 10])
fc.warmup(dtypes=["float16", "bfloat16"], classes=[10], what=["rows"])
before = len(caching.LOADED)
warnings.simplefilter("ignore")
with event.install_recorder("numba:compile") as compiling:
    for row in comparisons.TABLE:
        for kind in set(row.takes) - {"wide rows", "wide logits"}:
            for weighted in (False, True) if row.weights else (False,):
                row(test_comparisons.data(kind, "float64", weighted))
                if compiling.buffer or len(caching.LOADED) > before:
                    raise SystemExit(f"{row.name} {kind} {weighted}: {caching.COMPILED[-1:]} {caching.LOADED[before:]}")
    bits = np.arange(60, dtype=np.uint16).reshape(6, 10)
    for half in ({"logits": bits.view(np.float16)}, {"logits": bits, "dtype": "bfloat16"}):
        for function in (fc.softmax, fc.log_softmax, fc.logsumexp, fc.softmax_summary):
            function(**half)
    assert not compiling.buffer and len(caching.LOADED) == before, caching.LOADED[before:]
    fc.softmax(np.zeros((3, 10), np.float32))
    assert compiling.buffer or len(caching.LOADED) > before, "another kind of rows does need others"
"""


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_no_public_function_compiles_anything_after_a_warmup():
    done = subprocess.run(
        [sys.executable, "-c", WARMED, str(Path(__file__).parent)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


AFTER = """
import sys
from numba.core import event
from fastcal.cli.app import run
from fastcal.kernels import caching
kinds = ["--dtype", "float32", "--classes", "10", "--logits", "--method", "temperature"]
run(["warmup", "--plain", *kinds, "--json", "warm.json"])
before = len(caching.LOADED)
with event.install_recorder("numba:compile") as compiling:
    run(["report", "--sample", "--json", "out.json"])
    run(["fit", "temperature", sys.argv[1], "-o", "t.json"])
    run(["apply", "t.json", sys.argv[1], "-o", "applied.npz"])
print("NEW", len(compiling.buffer), caching.LOADED[before:])
"""


@pytest.mark.skipif(not JIT or os.environ.get("FASTCAL_CACHE") == "0", reason="nothing is compiled")
def test_a_report_after_warmup_compiles_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "-c", AFTER, str(SAMPLE)], capture_output=True, text=True, check=True)
    assert (tmp_path / "applied.npz").is_file()
    assert "\nNEW 0 []\n" in done.stdout
    found = json.loads((tmp_path / "warm.json").read_text())
    names = ["report: float32 logits, 10 classes", "fit temperature: float32 logits, 10 classes"]
    assert [step["name"] for step in found["steps"]] == names
    assert found["compiled"] == sum(step["compiled"] for step in found["steps"])
    assert Path(found["kernels"]["folder"]).is_dir()


def test_every_step_of_a_warmup_runs():
    told = []
    steps = fc.warmup(
        classes=(1, 3),
        dtypes=("float64",),
        forms=("probs",),
        what=("report", "calibrators"),
        methods=["temperature", "ensemble-temperature"],
        on_step=told.append,
    )
    names = [step.name for step in steps]
    assert told == steps
    assert [(step.number, step.total) for step in steps] == [(i + 1, 9) for i in range(9)]
    assert len(names) == len(set(names)) == 2 * 3 + 2 + 1
    assert "fit ensemble-temperature: float64 probs, 3 classes" in names
    assert "weights, groups, bootstrap: float64 probs, binary" in names


def test_halves_are_warmed_where_they_have_kernels_of_their_own():
    names = [step.name for step in fc.warmup(classes=[1], dtypes=["bfloat16"], forms=["probs"])]
    assert names == [f"{part}: bfloat16 probs, binary" for part in ("rows", "order", "ensembles", "ood")]


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_processes_share_the_work():
    alone = fc.warmup(classes=[1], dtypes=["float64"], what=["selective", "ood"])
    shared = fc.warmup(classes=[1], dtypes=["float64"], what=["selective", "ood"], jobs=2)
    assert sorted(step.name for step in shared) == sorted(step.name for step in alone)
    assert [step.number for step in shared] == [1, 2, 3, 4]
    assert fc.warmup(what=[], jobs=2) == []


def test_what_was_not_begun_is_not_after_an_error(monkeypatch):
    class Pool(ThreadPoolExecutor):
        def __init__(self, jobs, context):
            super().__init__(jobs)

    def one(asked, number):
        begun.append(number)
        time.sleep(0.01)
        return "step", 0.0, 0

    def stop(step):
        raise KeyboardInterrupt

    begun = []
    monkeypatch.setattr(warming, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(warming, "_one", one)
    with pytest.raises(KeyboardInterrupt):
        fc.warmup(jobs=2, on_step=stop)
    assert len(begun) < 20


WRONG = {
    "dtype is 'int8'": {"dtypes": ["int8"]},
    "dtype is 'float32'; expected a list of": {"dtypes": "float32"},
    "classes is 0": {"classes": [0]},
    "form is 'odds'": {"forms": ["odds"]},
    "what is 'all'; expected one of report, rows": {"what": ["all"]},
    "method is 'magic'": {"methods": ["magic"]},
    "jobs is 0": {"jobs": 0},
}


@pytest.mark.parametrize("words", WRONG)
def test_warmups_that_are_none(words):
    with pytest.raises(ValueError, match=words):
        fc.warmup(**WRONG[words])


def test_commands_that_are_none(capsys, monkeypatch):
    for options, words in (
        (("--dtype", "int8"), "dtype is 'int8'"),
        (("--what", "all"), "what is 'all'"),
        (("--jobs", "0"), "jobs is 0"),
        (("--logits", "--probs"), "--logits and --probs"),
        (("--json", "no/such/x"), "no/such/x cannot be written"),
    ):
        if JIT or "--logits" in options:
            fails(command(capsys, "warmup", *options), words)
    monkeypatch.setattr(compiled, "cache", lambda: {"folder": None, "files": 0, "bytes": 0})
    fails(command(capsys, "warmup", "--plain"), "compiled kernels are kept nowhere")


def test_a_terminal_shows_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(compiled, "cache", lambda: {"folder": "here", "files": 3, "bytes": 10})
    few = ("--what", "ood", "--classes", "1", "--dtype", "float64", "--probs")
    done = command(capsys, "warmup", *few)
    assert (done.code, done.err) == (0, "")
    assert "compiled kernels: here (3 files, 10 bytes)" in done.out
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "1 of 1, ood: float64 probs, binary" in command(capsys, "warmup", *few).err


def test_steps_are_what_the_command_names():
    assert set(warming.WHAT) == {"report", "rows", "metrics", "order", "ensembles", "ood", "selective", "calibrators"}
