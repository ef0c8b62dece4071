"""`fastcal info`: what is installed, and what files hold; `fastcal warmup`: what is compiled before it is needed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from commands import command, fails
from conftest import JIT

import fastcal as fc
from fastcal.dumps.opening import SAMPLE
from fastcal.runs import info, warming

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("rich", reason="the command line needs the cli extra")

P, Y = np.array([0.2, 0.7, 0.9, 0.4]), np.array([0, 1, 1, 0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", probs=np.stack([1 - P, P], axis=1).astype("f4"), labels=Y, w=np.ones(4), extra=P)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys, *arguments):
    done = command(capsys, "info", *arguments, "--json", "-")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_versions_extras_and_kernels(capsys):
    found = told(capsys)
    assert found["fastcal"] == fc.__version__
    for name in ("numpy", "numba", "scipy", "llvmlite"):
        assert found[name] == importlib.metadata.version(name)
    assert found["extras"]["cli"]["typer"] == importlib.metadata.version("typer")
    assert found["threads"] >= 1
    assert found["memory_bytes"] > 1 << 28
    if JIT:
        kept = found["kernels"]
        assert Path(kept["folder"]).is_dir() == (kept["files"] > 0)
    printed = command(capsys, "info").out
    for word in (fc.__version__, "compiled kernels", "threads", "extra cli", "vector instructions"):
        assert word in printed


def test_extras_are_those_of_the_project():
    path = Path(fc.__file__).parent.parent / "pyproject.toml"
    extras = tomllib.loads(path.read_text())["project"]["optional-dependencies"]
    for extra, names in info.EXTRAS.items():
        wanted = {re.match(r"[\w-]+", one)[0] for one in extras[extra]}
        assert wanted == ({"dask"} if extra == "dask" else set(names))  # dask[distributed] is two


def test_an_extra_that_is_missing_is_told_how_to_install(capsys, monkeypatch):
    monkeypatch.setitem(info.EXTRAS, "io", ("surely-not-installed",))
    assert told(capsys)["extras_missing"] == [
        name for name, needed in info.EXTRAS.items() if any(info._version(one) is None for one in needed)
    ]
    assert 'not installed: pip install "fastcal[io]"' in command(capsys, "info").out


def test_what_a_dump_holds(folder, capsys):
    (found,) = told(capsys, "a.npz", "--weights", "w")["files"]
    arrays = found.pop("arrays")
    assert found == {
        "file": "a.npz",
        "kind": "dump",
        "format": "npz",
        "bytes": (folder / "a.npz").stat().st_size,
        "files": ["a.npz"],
        "pieces": found["pieces"],
        "n": 4,
        "scores_are": "probabilities",
        "n_classes": 2,
    }
    assert arrays == {
        "labels": {"array": "labels", "row_shape": [], "dtype": "int64"},
        "probs": {"array": "probs", "row_shape": [2], "dtype": "float32"},
        "weights": {"array": "w", "row_shape": [], "dtype": "float64"},
    }
    printed = command(capsys, "info", "a.npz").out
    for words in ("a.npz", "probs: 2 a row, float32", "labels: one a row, int64", "scores are"):
        assert words in printed


def test_a_dump_without_labels_is_told_of(folder, capsys):
    np.savez("scores.npz", logits=np.zeros((5, 3)))
    (found,) = told(capsys, "scores.npz")["files"]
    assert (found["n_classes"], list(found["arrays"])) == (3, ["logits"])


def test_folders_and_text_labels(folder, capsys):
    (folder / "sub").mkdir()
    np.savez(folder / "sub" / "text.npz", logits=np.eye(2), labels=np.array(["yes", "no"]))
    fails(command(capsys, "info", "sub"), "sub/text.npz: labels holds text; say --classes A,B,...")
    (found,) = told(capsys, "sub", "--classes", "yes,no")["files"]
    assert (found["file"], found["n"]) == ("sub/text.npz", 2)
    np.savez(folder / "sub" / "text.npz", logits=np.eye(2), labels=np.array(["yes", "7"]))
    (found,) = told(capsys, "sub", "--classes", "yes,no", "--ignore-index", "7")["files"]
    assert found["n_classes"] == 2


def test_what_a_state_holds(folder, capsys):
    state = fc.Evaluation(groups=True, n_bins=7).update(Y, P, groups=["a", "b", "a", "b"])
    (folder / "run.state").write_bytes(state.to_bytes())
    (folder / "other.state").write_bytes(fc.ScoreAccumulator().update(Y, P).to_bytes())
    found, other = told(capsys, "run.state", "other.state")["files"]
    assert (found["kind"], found["class"], found["n"], found["n_classes"]) == ("state", "Evaluation", 4, 2)
    assert (found["settings"]["n_bins"], found["settings"]["groups"]) == (7, True)
    assert (other["class"], "n" in other) == ("ScoreAccumulator", False)
    assert "settings: n bins" in command(capsys, "info", "run.state").out


def test_the_run_of_a_checkpoint(folder, capsys):
    done = command(capsys, "report", "a.npz", "--state", "run.state")
    assert done.code == 0, done.err
    (found,) = told(capsys, "run.state")["files"]
    assert found["run"]["complete"] is True
    assert [Path(path).name for path in found["run"]["inputs"]] == ["a.npz"]
    assert found["n"] == 4


def test_what_a_calibrator_holds(folder, capsys):
    fitted = fc.TemperatureScaling().fit([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 1])
    fitted.save("t.json")
    (found,) = told(capsys, "t.json")["files"]
    assert (found["kind"], found["class"]) == ("calibrator", "TemperatureScaling")
    assert found["fitted"]["temperature_"] == fitted.temperature_
    assert found["fitted"]["n_rows_"] == 3
    logits = np.random.default_rng(1).normal(size=(200, 3))
    fc.TemperatureScaling().fit(logits, np.append(logits[:150].argmax(axis=1), [0, 1] * 25), held_out=0.5).save(
        "h.json"
    )
    (found,) = told(capsys, "h.json")["files"]
    assert found["figures"]["after"]["n"] == 100
    vector = fc.VectorScaling().fit(np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 3)
    vector.save("v.json")
    (found,) = told(capsys, "v.json")["files"]
    assert found["fitted"]["weight_"] == "float64 (3,)"
    assert "TemperatureScaling" in command(capsys, "info", "t.json").out


def test_damaged_and_foreign_files_are_one_line(folder, capsys):
    state = fc.Evaluation().update(Y, P).to_bytes()
    (folder / "cut.state").write_bytes(state[:-9])
    (folder / "text.txt").write_text("hello")
    (folder / "t.json").write_bytes(b'{"format": "fastcal-calibrator"}\n')
    fails(command(capsys, "info", "cut.state"), "cut.state: not a fastcal state: damaged")
    fails(command(capsys, "info", "text.txt"), "text.txt")
    fails(command(capsys, "info", "t.json"), "t.json is not a fastcal calibrator")
    fails(command(capsys, "info", "nowhere.npz"), "nowhere.npz does not exist")
    fails(command(capsys, "info", "--json", "no/such/x"), "no/such/x cannot be written")


def sealed(**header):
    line = {"format": "fastcal-state", "version": 2, "sha256": hashlib.sha256(b"").hexdigest(), "arrays": [], **header}
    return json.dumps(line).encode() + b"\n"


def deep(n):
    return json.loads("[" * n + "]" * n)


HOSTILE = {
    "no settings": {"class": "Looks"},
    "settings that are none": {"class": "Looks", "settings": [1]},
    "deep settings": {"class": "Looks", "settings": {"a": deep(400), "b": {"c": deep(400)}}},
    "a run that is none": {"class": "Looks", "settings": {}, "run": 5},
    "a run of nothing": {"class": "Looks", "settings": {}, "run": {"inputs": [[1]], "seconds": deep(300)}},
    "a class that is none": {"class": deep(300), "settings": {}},
    "markup": {"class": "\x1b[31m[bold]", "settings": {"[red]\x07": "\u202e[/]"}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_states_are_told_of_or_one_line(folder, capsys, name):
    (folder / "x.state").write_bytes(sealed(**HOSTILE[name]))
    done = command(capsys, "info", "x.state")
    assert "\x1b" not in done.out + done.err
    assert "\u202e" not in done.out + done.err
    if done.code:
        fails(done, "x.state")
    else:
        assert "state" in done.out
        assert len(done.out) < 5000


def test_hostile_names_do_not_reach_the_terminal(folder, capsys):
    name = "\x1b[31m[bold]red\u202e.npz"
    (folder / name).write_bytes((folder / "a.npz").read_bytes())
    printed = command(capsys, "info", name).out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "\\x1b[31m[bold]red\\u202e.npz" in printed


# warmup

AFTER = """
import sys
from fastcal import kernels
from fastcal.cli.app import run
def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("fastcal.kernels.")]
    found = [(m.__name__, n, f) for m in modules for n, f in vars(m).items() if hasattr(f, "signatures")]
    return {(module, name, str(one)) for module, name, f in found for one in f.signatures}
kinds = ["--dtype", "float32", "--classes", "10", "--logits", "--method", "temperature"]
run(["warmup", "--plain", *kinds, "--json", "warm.json"])
before = compiled()
run(["report", "--sample", "--json", "out.json"])
run(["fit", "temperature", sys.argv[1], "-o", "t.json"])
run(["apply", "t.json", sys.argv[1], "-o", "applied.npz"])
print("NEW", sorted(compiled() - before))
run(["report", "double.npz", "--json", "out.json"])
print("OTHERS", len(compiled() - before) > 0)
"""


@pytest.mark.skipif(not JIT or os.environ.get("FASTCAL_CACHE") == "0", reason="nothing is compiled")
def test_a_report_after_warmup_compiles_nothing(folder):
    np.savez("double.npz", probs=np.stack([1 - P, P], axis=1), labels=Y)
    done = subprocess.run([sys.executable, "-c", AFTER, str(SAMPLE)], capture_output=True, text=True, check=True)
    assert (folder / "applied.npz").is_file()
    assert "\nNEW []\n" in done.stdout
    assert "\nOTHERS True\n" in done.stdout, "another kind of rows does need others"
    found = json.loads((folder / "warm.json").read_text())
    names = ["report: float32 logits, 10 classes", "fit temperature: float32 logits, 10 classes"]
    assert [step["name"] for step in found["steps"]] == names
    assert Path(found["kernels"]["folder"]).is_dir()


def test_every_step_of_a_warmup_runs():
    told = []
    steps = warming.warm(
        classes=(1, 3),
        dtypes=("float64",),
        forms=("probs",),
        methods=["temperature", "ensemble-temperature"],
        on_step=told.append,
    )
    names = [step.name for step in steps]
    assert told == steps
    assert len(names) == len(set(names)) == 2 * 3 + 2 + 1
    assert "fit ensemble-temperature: float64 probs, 3 classes" in names
    assert "weights, groups, bootstrap: float64 probs, binary" in names


def test_warmups_that_are_none(capsys):
    for options, words in (
        (("--dtype", "int8"), "dtype is 'int8'"),
        (("--classes", "0"), "classes is 0"),
        (("--method", "magic"), "method is 'magic'"),
        (("--logits", "--probs"), "--logits and --probs"),
        (("--json", "no/such/x"), "no/such/x cannot be written"),
    ):
        if JIT or "--logits" in options:
            fails(command(capsys, "warmup", *options), words)


def test_without_a_cache_there_is_nothing_to_warm(capsys, monkeypatch):
    monkeypatch.setattr(info, "cache", lambda: {"folder": None, "files": 0, "bytes": 0})
    fails(command(capsys, "warmup", "--plain"), "compiled kernels are kept nowhere")


def test_the_sample_is_a_dump_like_any_other(capsys):
    (found,) = told(capsys, SAMPLE)["files"]
    assert (found["n"], found["n_classes"], found["scores_are"]) == (899, 10, "logits")
