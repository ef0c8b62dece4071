"""Runs that are killed, stopped or fail, and are gone on with: the figures of a run that nothing ever happened to."""

from __future__ import annotations

import json
import os
import pickle
import signal

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_of_runs import MemoryDump, rows, whole

import fastcal as fc
from fastcal.accumulators.serial import kind_and_run
from fastcal.calibrators.files import packed
from fastcal.dumps import DumpError
from fastcal.runs import Looks, Run, StateError, evaluate, run_task

pytest.importorskip("typer", reason="the command line needs the cli extra")
forked = pytest.importorskip("forked", reason="processes are forked here")
killed_runs = pytest.importorskip("killed_runs", reason="processes are forked here")

N = 60
FILES = 200
LABELS, SCORES = rows(N)
KILLS = 20


# --- in one process ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("states")


@pytest.fixture
def given_file(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"what is read")
    return path


@settings(max_examples=15 if JIT else 4)
@given(
    fails=st.sets(st.integers(0, N - 1), max_size=4),
    cuts=st.sets(st.integers(1, N - 1), max_size=4),
    batch=st.integers(4, 20),
    n_threads=st.integers(1, 3),
    counted=st.booleans(),
    bootstrap=st.sampled_from([None, 2]),
)
def test_a_run_that_fails_anywhere_and_is_gone_on_with(place, fails, cuts, batch, n_threads, counted, bootstrap):
    file, state = place / "input", place / "state"
    file.write_bytes(b"what is read")
    state.unlink(missing_ok=True)
    parts = (slice(0, 25), slice(25, N))
    dumps = [
        MemoryDump(
            LABELS[part],
            SCORES[part],
            files=[file],
            batch=batch,
            counted=counted,
            shared=True,
            cuts=sorted({0, *(cut - part.start for cut in cuts if part.start < cut < part.stop)}),
            fails={row - part.start for row in fails if part.start <= row < part.stop},
        )
        for part in parts
    ]
    told = []
    for _ in range(len(fails) + 1):
        try:
            evaluate(dumps, fc.Evaluation(bootstrap=bootstrap), n_threads=n_threads, state=state, every=0)
        except OSError:
            continue
        break
    found = evaluate(dumps, fc.Evaluation(bootstrap=bootstrap), told.append, state=state)
    assert found.to_bytes() == whole(LABELS, SCORES, bootstrap=bootstrap)
    assert sum(told) == N
    assert fc.Evaluation.from_bytes(state.read_bytes()).to_bytes() == found.to_bytes()
    assert sum(dump.rows_read for dump in dumps) >= N


def test_what_is_done_is_not_read_again(tmp_path, given_file):
    dump = MemoryDump(LABELS, SCORES, files=[given_file], cuts=range(0, N, 10), batch=5, fails={33})
    with pytest.raises(OSError, match="the disk is gone"):
        evaluate([dump], fc.Evaluation(), n_threads=1, state=tmp_path / "s", every=0)
    assert dump.rows_read == 30
    run = Run([dump], fc.Evaluation(), n_threads=1, state=tmp_path / "s")
    run.go()
    assert dump.rows_read == N
    assert (run.n_rows, run.was_complete) == (N, False)
    again = Run([dump], fc.Evaluation(), state=tmp_path / "s")
    again.go()
    assert dump.rows_read == N
    assert (again.n_rows, again.was_complete, again.started) == (N, True, run.started)
    assert again.seconds == pytest.approx(run.seconds, abs=0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "s"]


def test_whole_runs_of_several_looks_resume_too(tmp_path, given_file):
    scaling = fc.TemperatureScaling(input="probs").fit(SCORES, LABELS)

    def looks(calibrator=scaling):
        return Looks({"report": fc.Evaluation(), "after": fc.Evaluation()}, calibrator, ("after",))

    dump = MemoryDump(LABELS, SCORES, files=[given_file], batch=5, fails={33})
    with pytest.raises(OSError, match="the disk is gone"):
        evaluate([dump], looks(), state=tmp_path / "s", every=0)
    with pytest.raises(StateError, match="--html and --calibrator keep more than other runs do"):
        evaluate([dump], Looks({"report": fc.Evaluation()}), state=tmp_path / "s")
    with pytest.raises(StateError, match="of other figures, or of another calibrator"):
        evaluate(
            [dump], looks(fc.TemperatureScaling(input="probs").fit(SCORES[:30], LABELS[:30])), state=tmp_path / "s"
        )
    found = evaluate([dump], looks(), state=tmp_path / "s")
    assert found.to_bytes() == looks().update(LABELS, SCORES).to_bytes()
    assert pickle.dumps(packed(scaling)) == pickle.dumps(packed(scaling))


def test_wrong_rows_leave_no_state(tmp_path, given_file):
    scores = SCORES.copy()
    scores[50] = 7
    dump = MemoryDump(LABELS, scores, files=[given_file], batch=5)
    with pytest.raises(DumpError, match="p\\[50, 0\\] is 7"):
        evaluate([dump], fc.Evaluation(), state=tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["input"]


def test_slices_that_have_no_place_in_a_state_are_an_error(tmp_path, given_file):
    groups = np.full(N, 1j)
    dump = MemoryDump(LABELS, SCORES, files=[given_file], groups=groups)
    with pytest.raises(DumpError, match="no state can hold this run: group 1j cannot be written"):
        evaluate([dump], fc.Evaluation(groups=True), state=tmp_path / "s")


def test_a_state_needs_files_and_an_accumulator_that_has_seen_nothing(tmp_path, given_file):
    with pytest.raises(StateError, match="standard input cannot be read again"):
        evaluate([MemoryDump(LABELS, SCORES)], fc.Evaluation(), state=tmp_path / "s")
    dump = MemoryDump(LABELS, SCORES, files=[given_file])
    with pytest.raises(ValueError, match="has seen rows that are not of this run"):
        evaluate([dump], fc.Evaluation().update(LABELS, SCORES), state=tmp_path / "s")
    for path, message in ((tmp_path, "it is a folder"), (tmp_path / "no" / "s", "No such file or directory")):
        with pytest.raises(OSError, match=message):
            evaluate([dump], fc.Evaluation(), state=path)


class Cluster:
    """Does tasks in groups as fastcal.integrations.dask_cluster does, in one process; stops after some of them."""

    def __init__(self, stop=None, error=KeyboardInterrupt):
        self.stop, self.error = stop, error

    def __call__(self, tasks, accumulator, *, on_rows, on_state):
        for k in range(0, len(tasks), 2):
            if self.stop is not None and k >= self.stop:
                raise self.error
            seen, counts = accumulator.empty(), []
            for task in tasks[k : k + 2]:
                run_task(task, seen, counts.append)
            accumulator.merge(seen)
            on_rows(sum(counts))
            on_state([task.number for task in tasks[k : k + 2]], accumulator)


@pytest.mark.parametrize("counted", [True, False])
def test_a_run_on_a_cluster_that_is_stopped_is_gone_on_with_anywhere(tmp_path, given_file, counted):
    def dump():
        return [MemoryDump(LABELS, SCORES, files=[given_file], cuts=range(0, N, 7), counted=counted)]

    told = []
    with pytest.raises(KeyboardInterrupt):
        evaluate(
            dump(), Looks({"report": fc.Evaluation()}), told.append, state=tmp_path / "s", every=0, cluster=Cluster(5)
        )
    assert sum(told) == 42
    failing = Cluster(2, DumpError("nothing"))
    with pytest.raises(DumpError, match="nothing"):
        evaluate(dump(), Looks({"report": fc.Evaluation()}), state=tmp_path / "s", every=0, cluster=failing)
    run = Run(dump(), Looks({"report": fc.Evaluation()}), state=tmp_path / "s")
    run.go()
    assert run.accumulator.to_bytes() == whole(LABELS, SCORES)
    assert (run.n_rows, run.dumps[0].rows_read) == (N, 4)
    plain = evaluate(dump(), Looks({"report": fc.Evaluation()}), cluster=Cluster())
    assert plain.to_bytes() == whole(LABELS, SCORES)
    if not counted:
        numbered = Looks({"report": fc.Evaluation(bootstrap=1)})
        with pytest.raises(DumpError, match="cannot be resumed on a cluster"):
            evaluate(dump(), numbered, state=tmp_path / "t", cluster=Cluster())


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of small files: a quarter of a second of work in pieces of a millisecond."""
    folder = tmp_path_factory.mktemp("many")
    labels, scores = rows(FILES * 100, 10)
    for k in range(FILES):
        some = slice(100 * k, 100 * (k + 1))
        np.savez(folder / f"{k:03}.npz", probs=scores[some].astype(np.float32), labels=labels[some])
    forked.preload()
    return folder, whole(labels, scores.astype(np.float32))


@pytest.mark.skipif(not JIT, reason="rows of plain Python take too long")
def test_runs_that_are_killed_twenty_times_end_in_the_same_bits(many, tmp_path):
    folder, expected = many
    rng = np.random.default_rng(5)
    kills = late = chains = 0
    reports = set()
    while kills < KILLS or late < 15:
        chains += 1
        state, out = tmp_path / f"state-{chains}", tmp_path / f"out-{chains}"
        command = ("report", folder, "--state", state, "--every", 0.02, "--threads", 1 + chains % 2)
        while True:
            before = changed(state)
            process = killed_runs.start(*command, out=out)
            if kills < KILLS or late < 15:
                early = kills % 7 == 6  # perhaps before it has written anything
                if not early:
                    killed_runs.wait_until(lambda: changed(state) not in (None, before), process)  # noqa: B023
                process.join(float(rng.uniform(0, 0.06)))
                process.kill()
            process.join()
            if process.exitcode != -signal.SIGKILL:
                break
            kills += 1
            if state.exists():
                _, run = kind_and_run(state.read_bytes())
                late += run["complete"] is False and changed(state) != before
        assert process.exitcode == 0, out.read_text()
        assert fc.Evaluation.from_bytes(state.read_bytes()).to_bytes() == expected
        reports.add(out.read_text())
    assert kills >= KILLS
    assert late >= 15
    assert len(reports) == 1
    plain = killed_runs.start("report", folder, out=tmp_path / "plain")
    plain.join()
    assert reports == {(tmp_path / "plain").read_text()}
    kept = {f"{name}-{k}" for name in ("state", "out") for k in range(1, chains + 1)}
    assert {path.name for path in tmp_path.iterdir()} == {"plain", *kept}


def changed(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.skipif(not JIT, reason="rows of plain Python take too long")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_a_checkpoint_and_say_how_to_go_on(many, tmp_path, number, code):
    folder, expected = many
    state, out = tmp_path / "state", tmp_path / "out"
    command = ("report", folder, "--state", state, "--every", 0.01, "--threads", 2, "--json", tmp_path / "json")
    process = killed_runs.start(*command, out=out)
    killed_runs.wait_until(state.exists, process)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == code
    assert out.read_text() == f"fastcal: stopped; {state} holds what is done, the same command goes on from there\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "state"]
    _, run = kind_and_run(state.read_bytes())
    assert 0 < len(run["position"]["done"][0][1]) < FILES
    process = killed_runs.start(*command, out=out)
    process.join()
    assert process.exitcode == 0
    assert fc.Evaluation.from_bytes(state.read_bytes()).to_bytes() == expected
    assert json.loads((tmp_path / "json").read_text())["n"] == FILES * 100
