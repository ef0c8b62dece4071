"""`fastcal info`: what is installed, what is compiled, and what files hold."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from commands import command, fails

import fastcal as fc
from fastcal import kernels
from fastcal.dumps.opening import SAMPLE
from fastcal.runs import compiled, info

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
    printed = command(capsys, "info").out
    by = found["threads_by"]
    assert by["cores"] >= by["affinity"] >= 1
    assert found["gil"] in ("always", "on", "off")
    for word in (
        fc.__version__,
        "compiled kernels",
        "gil",
        "threads by: cores",
        "threads",
        "extra cli",
        "vector instructions",
    ):
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


def entry(folder, name, seconds, **other):
    signature = "(Array(float32, 2, 'C', True, aligned=True), Array(int64, 1, 'C', False, aligned=True), none)"
    caching = kernels.caching
    given = {"stamp": caching.fingerprint(), **caching.MAKERS, **other}
    made = caching.Made(f"softmax.{name}", signature, seconds, 1500, "znver4", **given)
    assert caching._write(folder, f"{name}.kernel", made, b"x" * 1500)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    folders = tmp_path / "image", tmp_path / "home"
    entry(folders[0], "fast", 0.25)
    entry(folders[0], "slow", 12.5)
    entry(folders[1], "old", 1.0, stamp="0")
    monkeypatch.setattr(kernels.caching, "folders", lambda: folders)
    monkeypatch.setattr(kernels.caching, "can_be_written", lambda folder: folder == folders[1])
    return folders


def test_compiled_kernels_and_what_they_took(kept, capsys):
    image, home = kept
    found = told(capsys)["kernels"]
    assert (found["folder"], found["files"], found["bytes"], found["seconds"]) == (str(home), 2, 3000, 12.75)
    assert [one["writable"] for one in found["folders"]] == [False, True]
    assert (found["stale_files"], found["stale_bytes"]) == (1, (home / "old.kernel").stat().st_size)
    slow = {"kernel": "softmax.slow", "signature": "(const float32[:, :], int64[:], none)", "seconds": 12.5}
    assert found["entries"][0] == {**slow, "bytes": 1500, "processor": "znver4"}
    printed = command(capsys, "info", "--kernels").out
    for words in (
        f"{home} (2 files, 3.0 KB)",
        f"read-only {image} (2 files, 3.0 KB)",
        "12.8 s to compile, for znver4",
        "1 files,",
        "fastcal info --prune",
        "12.50 s    1.5 KB  softmax.slow(const float32[:, :], int64[:], none)",
    ):
        assert words in re.sub("  +(?=/)", " ", printed), words


def test_what_nothing_can_use_is_removed_where_that_is_asked_for(kept, capsys):
    assert command(capsys, "info").code == 0
    assert compiled.cache()["stale_files"] == 1
    assert "removed 1 files" in command(capsys, "info", "--prune").out
    assert (compiled.cache()["stale_files"], compiled.cache()["files"]) == (0, 2)
    fails(command(capsys, "info", "x.npz", "--prune"), "--kernels and --prune are about compiled kernels")


def test_an_entry_that_goes_meanwhile_has_no_size(tmp_path):
    assert compiled._size(tmp_path / "gone") == 0


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


def test_the_sample_is_a_dump_like_any_other(capsys):
    (found,) = told(capsys, SAMPLE)["files"]
    assert (found["n"], found["n_classes"], found["scores_are"]) == (899, 10, "logits")
