"""The command line as a user meets it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcal as fc

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("rich", reason="the command line needs the cli extra")

RNG = np.random.default_rng(2)
PROBS = RNG.dirichlet(np.ones(4), 400)
LABELS = RNG.integers(0, 4, 400)


def run(*arguments, cwd=None, **environment):
    command = [sys.executable, "-m", "fastcal", *map(str, arguments)]
    env = os.environ | {"COLUMNS": "100", **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


@pytest.fixture
def dump(tmp_path):
    np.savez(tmp_path / "dump.npz", probs=PROBS, labels=LABELS)
    return tmp_path / "dump.npz"


def test_report_on_the_sample():
    done = run("report", "--sample")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("bundled sample", "accuracy", "ece", "nll", "reliability", "(0.933, 1.000]"):
        assert word in done.stdout


def test_every_figure_of_the_report_is_printed_and_written(dump):
    done = run("report", dump, "--json", dump.with_suffix(".json"))
    assert done.returncode == 0, done.stderr
    written = json.loads(dump.with_suffix(".json").read_text())
    expected = fc.Evaluation().update(LABELS, PROBS).compute()
    assert written == json.loads(expected.to_json())
    for name, value in written.items():
        if isinstance(value, int | float):
            assert name in done.stdout.split()
            assert (f"{value:,}" if isinstance(value, int) else f"{value:.6f}") in done.stdout.split()
    assert {path.name for path in dump.parent.iterdir()} == {"dump.npz", "dump.json"}


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_slices_conventions_and_bootstrap(tmp_path, kind):
    slices = np.array(["north", "south"])[LABELS % 2]
    path = tmp_path / f"dump.{kind}"
    if kind == "npz":
        np.savez(path, probs=PROBS, labels=LABELS, region=slices)
    else:
        pa = pytest.importorskip("pyarrow", reason="Parquet needs the io extra")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"probs": list(PROBS), "labels": LABELS, "region": slices}), path)
    options = ("--groups", "region", "--convention", "netcal", "--bins", 12, "--bootstrap", 5)
    done = run("report", path, *options, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    expected = fc.Evaluation(groups=True, convention="netcal", n_bins=12, bootstrap=5).update(
        LABELS, PROBS, groups=slices
    )
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(expected.compute().to_json())
    for word in ("worst of 2 slices", "north", "south", "bootstrap", "intervals at 0.95", "calibrated, ECE would lie"):
        assert word in " ".join(done.stdout.split())


def test_bad_options_of_the_report_are_one_line(dump):
    for options, message in (
        (("--groups", "nope"), "no array 'nope'"),
        (("--convention", "mine"), "convention is 'mine'"),
        (("--bootstrap", -1), "bootstrap is -1"),
        (("--bins", 0), "n_bins is 0"),
    ):
        done = run("report", dump, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


def test_threads_do_not_show(dump):
    for threads in ("1", "2"):
        assert run("report", dump, "--json", dump.parent / threads, FASTCAL_NUM_THREADS=threads).returncode == 0
    assert (dump.parent / "1").read_bytes() == (dump.parent / "2").read_bytes()


def test_json_is_strict(tmp_path):
    np.savez(tmp_path / "d.npz", probs=[0.0, 1.0], labels=[1, 1])
    assert run("report", "d.npz", "--json", "r.json", "--bins", "3", cwd=tmp_path).returncode == 0
    text = (tmp_path / "r.json").read_text()
    written = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert written["nll"] == "Infinity"
    assert written["n_zero_probability"] == 1
    assert written["reliability"]["accuracy"] == [1.0, None, 1.0]
    assert written["convention"] == "fastcal"


BAD = [
    ((), "name a dump, or say --sample"),
    (("--sample", "dump.npz"), "--sample takes no dump"),
    (("nowhere.npz",), "nowhere.npz does not exist"),
    (("dump.npz", "--bins", "0"), "n_bins is 0; expected an integer from 1"),
    (("dump.npz", "--bins", "x"), "'--bins'"),
    (("dump.npz", "--threads", "0"), "n_threads is 0"),
    (("dump.npz", "--nan-policy", "drop"), "nan_policy is 'drop'"),
    (("dump.npz", "--probs", "p"), "has no array 'p'"),
    (("dump.npz", "--logits", "a", "--probs", "p"), "--logits and --probs are both given"),
    (("bad.npz",), "bad.npz: probs[1] is 1.5; probabilities lie in [0, 1]"),
    (("dump.npz", "--json", "no/such/folder/r.json"), "no/such/folder/r.json cannot be written: No such file"),
    (("dump.npz", "--frobnicate"), "--frobnicate"),
    (("dump.npz", "logits.npz"), "some dumps hold logits and some probabilities"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_bad_input_is_one_line_and_exit_code_2(dump, arguments, message):
    folder = dump.parent
    np.savez(folder / "bad.npz", probs=[0.5, 1.5], labels=[0, 1])
    np.savez(folder / "logits.npz", logits=np.log(PROBS), labels=LABELS)
    before = sorted(path.name for path in folder.iterdir())
    arguments = arguments if "--json" in arguments else (*arguments, "--json", "out.json")
    done = run("report", *arguments, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("fastcal: ")
    assert message in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_older_report_stays_when_a_new_one_fails(dump):
    out = dump.parent / "out.json"
    out.write_text("old")
    np.savez(dump, probs=PROBS * 2, labels=LABELS)
    assert run("report", dump, "--json", out).returncode == 2
    assert out.read_text() == "old"


def test_bins_without_weight_are_left_empty(dump):
    np.savez(dump, probs=PROBS, labels=LABELS, w=np.where(PROBS.max(axis=1) > 0.7, 0, 1))
    done = run("report", dump, "--weights", "w")
    assert (done.returncode, done.stderr) == (0, "")


def test_awkward_names_and_terminals(dump):
    folder = dump.parent / "x["
    folder.mkdir()
    awkward = folder / "].npz"
    awkward.write_bytes(dump.read_bytes())
    assert "x[/].npz" in run("report", "x[/].npz", cwd=dump.parent).stdout
    plain = run("report", dump, PYTHONIOENCODING="latin-1")
    assert plain.returncode == 0
    assert "accuracy #, confidence |" in plain.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_line(dump):
    command = f"{sys.executable} -m fastcal report {dump} > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_json_goes_through_links_and_into_pipes(dump):
    target, link = dump.parent / "target.json", dump.parent / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    assert run("report", dump, "--json", link).returncode == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["n"] == 400
    pipe = dump.parent / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        assert run("report", dump, "--json", pipe).returncode == 0
        assert json.loads(reader.stdout.read())["n"] == 400


def test_help_and_unknown_commands():
    assert "report" in run().stdout
    assert "--labels" in run("report", "--help").stdout
    done = run("frobnicate")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_without_the_terminal_libraries_it_says_what_to_install(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no typer', name='typer')")
    done = run("report", "--sample", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == 'fastcal: the command line needs typer and rich: install "fastcal[cli]"\n'


def test_the_sample_is_small_and_plain():
    from fastcal.dumps.opening import SAMPLE

    assert Path(SAMPLE).stat().st_size < 200_000
    with np.load(SAMPLE, allow_pickle=False) as arrays:
        assert arrays["logits"].dtype == np.float32
        assert len(arrays["logits"]) == len(arrays["labels"]) > 500


def test_probabilities_out_of_range_are_told_of_the_flag(tmp_path):
    np.savez(tmp_path / "dump.npz", probs=PROBS + 5, labels=LABELS)
    done = run("report", tmp_path / "dump.npz")
    assert done.returncode == 2
    assert done.stderr.endswith("(say --logits NAME if these are logits)\n")
    assert "probs[0, 0] is " in done.stderr
