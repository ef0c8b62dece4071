"""``fastcal merge``, and what else of a run's state shows on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from rows_of_runs import MemoryDump, rows, whole

import fastcal as fc
from fastcal.accumulators.serial import kind_and_run, with_run
from fastcal.dumps import Roles, open_dumps
from fastcal.runs import Looks, Run, StateError, evaluate
from fastcal.runs.checkpoint import only_run
from fastcal.runs.extent import Extent
from fastcal.runs.merging import class_of, merged, open_state
from fastcal.runs.provenance import HASHED_WHOLE, provenance, source_files

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("rich", reason="the command line needs the cli extra")

from fastcal.cli.app import run
from fastcal.cli.output import progress
from fastcal.cli.progress import RowProgress, _clock, _rate

LABELS, SCORES = rows(90)


@pytest.fixture
def shards(tmp_path):
    """Three files, and the state of a run over each."""
    for k in range(3):
        some = slice(30 * k, 30 * (k + 1))
        np.savez(tmp_path / f"{k}.npz", probs=SCORES[some], labels=LABELS[some])
        evaluate(open_dumps([tmp_path / f"{k}.npz"], Roles()), fc.Evaluation(), state=tmp_path / f"s{k}")
    return tmp_path


@pytest.fixture
def fastcal(monkeypatch, capsys):
    """The command line, in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        try:
            code = run([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def figures(out):
    """What is printed below the title."""
    lines = out.splitlines()
    return lines[next(k for k, line in enumerate(lines) if line.startswith("n ")) :]


def test_states_of_shards_are_that_of_all_rows(shards, fastcal):
    states = [shards / f"s{k}" for k in (2, 0, 1)]
    code, out, err = fastcal("merge", *states, "-o", shards / "all", "--json", shards / "json")
    assert (code, err) == (0, "")
    assert fc.Evaluation.from_bytes((shards / "all").read_bytes()).to_bytes() == whole(LABELS, SCORES)
    expected = fc.Evaluation().update(LABELS, SCORES).compute()
    assert json.loads((shards / "json").read_text()) == json.loads(expected.to_json())
    files = [shards / f"{k}.npz" for k in range(3)]
    assert figures(out) == figures(fastcal("report", *files)[1])
    _, kept = kind_and_run((shards / "all").read_bytes())
    assert [[one[0] for one in dump] for dump in kept["inputs"]] == [[str(files[k])] for k in (2, 0, 1)]
    code, again, err = fastcal("merge", shards / "all")
    assert (code, figures(again), err) == (0, figures(out), "")


def test_the_same_input_in_two_states_is_refused(shards, fastcal):
    fastcal("merge", shards / "s0", shards / "s1", "-o", shards / "two")
    code, out, err = fastcal("merge", shards / "two", shards / "s1")
    assert (code, out) == (2, "")
    assert err == (
        f"fastcal: {shards / '1.npz'} is in {shards / 'two'} and in {shards / 's1'}; say --allow-overlap to count its "
        "rows twice\n"
    )
    code, out, _ = fastcal("merge", shards / "two", shards / "s1", "--allow-overlap")
    assert code == 0
    assert figures(out)[0].split()[1] == "90"


def test_a_run_that_ended_early_is_said_to_have(shards, fastcal):
    def stop(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(open_dumps([shards / "0.npz"], Roles()), fc.Evaluation(), stop, state=shards / "early", every=0)
    code, out, err = fastcal("merge", shards / "early", shards / "s1")
    assert (code, out) == (2, "")
    assert "early is of a run that ended early, after 30 rows; say --partial to take it" in err
    code, out, err = fastcal("merge", shards / "early", shards / "s1", "--partial", "-o", shards / "both")
    assert (code, err) == (0, f"fastcal: {shards / 'early'} is of a run that ended early\n")
    assert open_state(shards / "both").is_partial
    assert figures(out)[0].split()[1] == "60"


def test_what_cannot_be_merged_is_one_line(shards, fastcal):
    (shards / "other").write_bytes(fc.Evaluation(n_bins=7).update(LABELS, SCORES).to_bytes())
    (shards / "columns").write_bytes(fc.Evaluation().update(LABELS > 0, SCORES[:, 0]).to_bytes())
    (shards / "scores").write_bytes(fc.ScoreAccumulator().update(LABELS, SCORES).to_bytes())
    (shards / "text").write_text("hello")
    data = (shards / "s0").read_bytes()
    (shards / "half").write_bytes(data[: len(data) // 2])
    (shards / "unknown").write_bytes(data.replace(b'"class": "Evaluation"', b'"class": "Mergeable"', 1))
    for other, message in (
        ("other", "cannot merge: n_bins is"),
        ("columns", "scores have"),
        ("scores", "is a state of ScoreAccumulator, "),
        ("text", "text: not a fastcal state: no header"),
        ("half", "half: not a fastcal state: damaged, its checksum differs"),
        ("unknown", "damaged, the checksum of its run differs"),
        ("nowhere", "nowhere does not exist"),
        (".", "is no plain file"),
    ):
        code, out, err = fastcal(
            "merge", shards / "s0", shards / other, "-o", shards / "out", "--json", shards / "json"
        )
        assert (code, out) == (2, ""), other
        assert message in err
        assert err.count("\n") == 1
        assert not (shards / "out").exists()
        assert not (shards / "json").exists()


def test_states_of_any_accumulator_merge(shards, fastcal):
    weights = SCORES[:, 0]
    made = {
        "ranking": fc.RankingAccumulator().update(LABELS > 0, weights),
        "isotonic": fc.IsotonicAccumulator().update(LABELS > 0, weights),
        "reliability": fc.ReliabilityAccumulator().update(LABELS, SCORES),
    }
    for name, one in made.items():
        (shards / name).write_bytes(one.to_bytes())
        code, out, err = fastcal("merge", shards / name, "-o", shards / "out")
        assert (code, err) == (0, "")
        assert type(one).from_bytes((shards / "out").read_bytes()).to_bytes() == one.to_bytes()
        assert ("auroc" in out) == (name == "ranking")
    code, out, err = fastcal("merge", shards / "isotonic")
    assert (code, out) == (2, "")
    assert "there is no report on a state of IsotonicAccumulator" in err
    with pytest.raises(ValueError, match="'Part', which is no accumulator"):
        class_of("Part")


def test_states_of_several_looks_merge(shards, fastcal):
    fc.TemperatureScaling(input="probs").fit(SCORES, LABELS).save(shards / "calibrator")
    command = ("--calibrator", shards / "calibrator")
    for k in range(3):
        assert fastcal("report", shards / f"{k}.npz", *command, "--state", shards / f"c{k}")[0] == 0
    code, out, err = fastcal(
        "merge", *(shards / f"c{k}" for k in range(3)), "--json", shards / "merged", "-o", shards / "o"
    )
    assert (code, err) == (0, "")
    files = [shards / f"{k}.npz" for k in range(3)]
    again = fastcal("report", *files, *command, "--json", shards / "whole")[1]
    assert [line for line in figures(again) if ".npz" not in line] == [
        line for line in figures(out) if "/c" not in line
    ]
    assert (shards / "merged").read_text() == (shards / "whole").read_text()
    assert json.loads((shards / "whole").read_text())["calibrated"]["n"] == 90
    assert isinstance(open_state(shards / "o").accumulator, Looks)
    with pytest.raises(StateError, match=r"is a state of Evaluation, .* one of Looks"):
        merged([open_state(shards / "c0"), open_state(shards / "s1")])


def test_runs_by_hand_are_states_too(shards):
    data = fc.Evaluation().update(LABELS, SCORES).to_bytes()
    (shards / "hand").write_bytes(data)
    opened = open_state(shards / "hand")
    assert (opened.run, opened.inputs, opened.is_partial) == (None, [], False)
    assert kind_and_run(with_run(data, {"a": 1.5})) == ("Evaluation", {"a": 1.5})
    assert fc.Evaluation.from_bytes(with_run(data, {"a": 1})).to_bytes() == data


# --- report --------------------------------------------------------------------------------------------------------


def test_a_complete_state_is_the_report(shards, fastcal):
    files = [shards / f"{k}.npz" for k in range(3)]
    first = fastcal("report", *files, "--state", shards / "run", "--json", shards / "a")
    stamp = (shards / "run").stat().st_mtime_ns
    assert fastcal("report", *files, "--state", shards / "run", "--json", shards / "b") == first
    assert first == fastcal("report", *files)
    assert (shards / "a").read_text() == (shards / "b").read_text()
    assert (shards / "run").stat().st_mtime_ns == stamp
    code, out, err = fastcal("report", *files, "--state", shards / "run", "--bins", 7)
    assert (code, out) == (2, "")
    assert "run was made with other options: cannot merge: n_bins is 7 here and 15 there; name another --state" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--state", "no/such/s"), "no/such/s cannot be written: No such file"),
        (("--state", "."), "it is a folder"),
        (("--every", "-1"), "every is -1.0; expected seconds"),
        (("--html", "no/such/page"), "no/such/page cannot be written: No such file"),
        (("--calibrator", "0.npz"), "0.npz"),
        (("--workers", "1", "--dask", "tcp://127.0.0.1:1"), "say one of them"),
    ],
)
def test_bad_options_of_a_run_are_one_line(shards, fastcal, monkeypatch, options, message):
    monkeypatch.chdir(shards)
    before = sorted(path.name for path in shards.iterdir())
    code, out, err = fastcal("report", "0.npz", *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(path.name for path in shards.iterdir()) == before


def test_two_runs_at_once_are_refused(shards, fastcal):
    with only_run(shards / "run"):
        code, out, err = fastcal("report", shards / "0.npz", "--state", shards / "run")
    assert (code, out) == (2, "")
    assert err == f"fastcal: {shards / 'run'} is in use by another run; wait for its end, or name another --state\n"


def test_standard_input_has_no_state(tmp_path):
    command = [sys.executable, "-m", "fastcal", "report", "-", "--state", str(tmp_path / "s")]
    text = "labels,probs\n1,0.5\n0,0.25\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fastcal: standard input cannot be read again: --state needs files\n"
    assert not list(tmp_path.iterdir())


def test_ctrl_c_before_anything_is_read_ends_with_130(shards, fastcal, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastcal.dumps.open_dumps", stop)
    assert fastcal("report", shards / "0.npz")[0] == 130


def test_a_page_says_where_its_figures_come_from(shards, fastcal):
    pytest.importorskip("jinja2", reason="pages need the plot extra")
    code, _, err = fastcal("report", shards / "0.npz", "--html", shards / "page.html", "--bins", 10)
    assert (code, err) == (0, "")
    page = (shards / "page.html").read_text()
    assert source_files(open_dumps([shards / "0.npz"], Roles()))[0].sha256 in page
    assert "n_bins" in page


def test_where_figures_come_from(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    with large.open("wb") as file:
        file.truncate(HASHED_WHOLE + 1)
    found = provenance(
        [MemoryDump(LABELS, SCORES, files=[small, large, small])],
        options={"a": 1},
        convention="fastcal",
        n_rows=90,
        started="2026-01-01T00:00:00+00:00",
        seconds=2.0,
    )
    assert [(one.size, one.sampled) for one in found.files] == [(3, False), (HASHED_WHOLE + 1, True)]
    assert found.files[0].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found.rows_per_second == 45
    assert found.to_dict()["files"][0]["name"] == str(small)
    assert {"python", "numpy", "numba"} <= found.versions.keys()


# --- a terminal ----------------------------------------------------------------------------------------------------


def test_progress_says_how_fast_and_how_long(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    clock = iter(np.arange(0, 100, 5.0))
    monkeypatch.setattr("fastcal.cli.progress.time.monotonic", lambda: float(next(clock)))
    task = MemoryDump(LABELS, SCORES, cuts=(0, 30))
    extent = Run([task], fc.Evaluation()).extent
    extent.n_bytes = 900_000
    shown = RowProgress(extent)
    with shown as tell:
        told = []
        for n in (30, 15, 15):
            tell(n)
            told.append(shown._progress.tasks[0].fields["said"])
    assert told[0] == "30 rows, 33%"
    assert told[1] == "45 rows, 50%, 3 rows/s, 30 kB/s, 0:15 left"
    assert told[2] == "60 rows, 67%, 3 rows/s, 30 kB/s, 0:10 left"
    plain = RowProgress()
    with plain as tell:
        tell(7)
        assert plain._progress.tasks[0].fields["said"] == "7 rows"
    assert Extent([]).share(3) is None


def test_numbers_and_times_are_short():
    rows = [_rate(n, "rows") for n in (0.5, 999.4, 999.6, 123456, 2.5e7, 7e9)]
    assert rows == ["0.5 rows/s", "999 rows/s", "1 k rows/s", "123 k rows/s", "25 M rows/s", "7 G rows/s"]
    assert [_rate(n, "B") for n in (12, 2.5e7)] == ["12 B/s", "25 MB/s"]
    assert [_clock(n) for n in (0, 59.6, 61, 3725)] == ["0:00", "1:00", "1:01", "1:02:05"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal is opened here")
def test_progress_is_shown_on_terminals_only(shards, monkeypatch):
    files = [str(shards / f"{k}.npz") for k in range(3)]
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "fastcal", "report", *files]
    with os.fdopen(main, "rb") as seen:
        env = os.environ | {"TERM": "xterm", "NO_COLOR": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=False, env=env)
        os.set_blocking(main, False)
        text = seen.read() or b""
        os.close(terminal)
    assert done.returncode == 0
    assert b" rows" in text
    assert b"\x1b[3" not in text  # no colours
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(progress(), RowProgress)
    assert not isinstance(progress(quiet=True), RowProgress)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert not isinstance(progress(), RowProgress)
