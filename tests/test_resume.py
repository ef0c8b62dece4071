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
from fastcal.accumulators.serial import _seal, kind_and_run
from fastcal.calibrators.files import packed
from fastcal.dumps import DumpError, Roles, open_dumps
from fastcal.runs import Looks, Run, StateError, evaluate, run_task
from fastcal.runs.checkpoint import Checkpoint, only_run

pytest.importorskip("typer", reason="the command line needs the cli extra")
killed_runs = pytest.importorskip("killed_runs", reason="processes are forked here")

N = 60
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


# --- states that are none of this run's -------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path):
    """A run over two files that ended early, and its dumps."""
    for name, start in (("a", 0), ("b", 30)):
        np.savez(
            tmp_path / f"{name}.npz",
            probs=SCORES[start : start + 30],
            other=SCORES[:30],
            labels=LABELS[start : start + 30],
        )
    np.savez(tmp_path / "c.npz", probs=SCORES[:7], labels=LABELS[:7])
    dumps = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(dumps, fc.Evaluation(), interrupt, state=tmp_path / "s", every=0)
    return tmp_path


def opened(folder, names="ab", **roles):
    return open_dumps([folder / f"{name}.npz" for name in names], Roles(**roles))


def interrupt(rows):
    raise KeyboardInterrupt


def change_content(folder):
    """Other content of the same size, at the same time of change."""
    path = folder / "b.npz"
    times = path.stat()
    np.savez(path, probs=SCORES[30:][::-1], other=SCORES[:30], labels=LABELS[30:])
    assert path.stat().st_size == times.st_size
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


OTHERS = {
    "settings": (lambda folder: (opened(folder), fc.Evaluation(n_bins=7)), "made with other options: .*n_bins is 7"),
    "class": (lambda folder: (opened(folder), fc.ScoreAccumulator()), "it is a state of Evaluation, not of Score"),
    "order": (lambda folder: (opened(folder, "ba"), fc.Evaluation()), "same files in another order"),
    "more files": (lambda folder: (opened(folder, "abc"), fc.Evaluation()), "of other input files: it has 2, not 3"),
    "other files": (lambda folder: (opened(folder, "ac"), fc.Evaluation()), "of other input files: it has .*b.npz"),
    "arrays": (
        lambda folder: (opened(folder, probs="other"), fc.Evaluation()),
        "of other arrays: probs probs, not other",
    ),
    "content": (
        lambda folder: (change_content(folder), opened(folder), fc.Evaluation())[1:],
        "b.npz has changed since",
    ),
    "time": (
        lambda folder: (os.utime(folder / "a.npz", ns=(1, 1)), opened(folder), fc.Evaluation())[1:],
        "a.npz was written or touched since",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_state_of_another_run_is_refused_and_kept(begun, what):
    before = (begun / "s").read_bytes()
    make, message = OTHERS[what]
    dumps, accumulator = make(begun)
    with pytest.raises(StateError, match=f"(?s){message}.*; name another --state, or remove it"):
        evaluate(dumps, accumulator, state=begun / "s")
    assert (begun / "s").read_bytes() == before
    assert accumulator.is_empty


def test_files_may_be_called_otherwise(begun, monkeypatch):
    monkeypatch.chdir(begun)
    relative = open_dumps(
        [begun.joinpath("a.npz").relative_to(begun), begun.joinpath("b.npz").relative_to(begun)], Roles()
    )
    assert evaluate(relative, fc.Evaluation(), state=begun / "s").to_bytes() == whole(LABELS, SCORES)


def edited(data, change):
    line, _, payload = data.partition(b"\n")
    header = json.loads(line)
    change(header)
    return json.dumps(header).encode() + b"\n" + payload


def resealed(change):
    """A header that somebody wrote on purpose: its checksum is right."""

    def edit(header):
        change(header["run"])
        run = header.pop("run")
        run.pop("sha256")
        header["run"] = {**run, "sha256": _seal(header, run)}

    return edit


DAMAGED = {
    "empty": (lambda _: b"", "no header"),
    "text": (lambda _: b"hello\n" * 9, "no header"),
    "half": (lambda data: data[: len(data) // 2], "its checksum differs"),
    "flipped": (lambda data: data[:-9] + b"x" + data[-8:], "its checksum differs"),
    "run": (
        lambda data: edited(data, lambda header: header["run"].update(complete=True)),
        "checksum of its run differs",
    ),
    "run of text": (lambda data: edited(data, lambda header: header.update(run="x")), "checksum of its run differs"),
    "no run": (lambda data: edited(data, lambda header: header.pop("run")), "does not say of which rows"),
    "version": (
        lambda data: edited(data, resealed(lambda run: run.update(version=9))),
        "of another version of fastcal",
    ),
    "fastcal": (lambda data: edited(data, resealed(lambda run: run.update(fastcal="0.0.1"))), "begun by fastcal 0.0.1"),
    "cut": (lambda data: edited(data, resealed(lambda run: run.update(cut="x"))), "read in other pieces"),
    "position": (lambda data: edited(data, resealed(lambda run: run.update(position=[]))), "the position of its run"),
    "times": (lambda data: edited(data, resealed(lambda run: run.update(seconds="x"))), "made with other options"),
    "no inputs": (lambda data: edited(data, resealed(lambda run: run.update(inputs=[["x"]]))), "of other input files"),
    "no roles": (
        lambda data: edited(data, resealed(lambda run: run.update(roles=None))),
        "of other arrays: nobody knows",
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_state_is_refused_and_kept(begun, what):
    damage, message = DAMAGED[what]
    data = damage((begun / "s").read_bytes())
    (begun / "s").write_bytes(data)
    with pytest.raises(StateError, match=f"(?s){message}.*; name another --state") as caught:
        evaluate(opened(begun), fc.Evaluation(), state=begun / "s")
    assert "\n" not in str(caught.value)
    assert (begun / "s").read_bytes() == data


def test_a_state_at_which_another_run_is(begun):
    with only_run(begun / "s"), pytest.raises(StateError, match="is in use by another run"):
        evaluate(opened(begun), fc.Evaluation(), state=begun / "s")
    (begun / "s.lock").write_bytes(b"")  # of a run that was killed
    evaluate(opened(begun), fc.Evaluation(), state=begun / "s")
    assert not (begun / "s.lock").exists()


def test_a_file_that_changes_while_it_is_read_leaves_no_complete_state(begun):
    def change(rows):
        change_content(begun)

    with pytest.raises(DumpError, match=r"b\.npz changed while it was read"):
        evaluate(opened(begun), fc.Evaluation(), change, state=begun / "s")
    _, run = kind_and_run((begun / "s").read_bytes())
    assert run["complete"] is False


def test_a_header_holds_many_files(tmp_path):
    names = [tmp_path / f"some-file-of-many-{k:05}.npz" for k in range(3)]
    for name in names:
        name.write_bytes(b"x")
    dumps = [MemoryDump(LABELS, SCORES, files=names * 5000)]
    kept = Checkpoint(tmp_path / "s", dumps, [])
    kept.save(fc.Evaluation().update(LABELS, SCORES).to_bytes(), {"done": []}, 1.0, True)
    _, run = kind_and_run((tmp_path / "s").read_bytes())
    assert len(run["inputs"][0]) == 15000


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of small files: half a second of work in pieces of a few milliseconds."""
    folder = tmp_path_factory.mktemp("many")
    labels, scores = rows(250 * 40, 10)
    for k in range(250):
        some = slice(40 * k, 40 * (k + 1))
        np.savez(folder / f"{k:03}.npz", probs=scores[some].astype(np.float32), labels=labels[some])
    killed_runs.preload()
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
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".lock"]


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
    assert 0 < len(run["position"]["done"][0][1]) < 250
    process = killed_runs.start(*command, out=out)
    process.join()
    assert process.exitcode == 0
    assert fc.Evaluation.from_bytes(state.read_bytes()).to_bytes() == expected
    assert json.loads((tmp_path / "json").read_text())["n"] == 10_000
