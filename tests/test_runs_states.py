"""State files: those of other runs, damaged ones, made up ones, and those that somebody else is at."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_of_runs import MemoryDump, rows, whole

import fastcal as fc
from fastcal.accumulators.serial import _seal, kind_and_run
from fastcal.dumps import DumpError, Roles, open_dumps
from fastcal.runs import StateError, evaluate
from fastcal.runs.checkpoint import Checkpoint, only_run
from fastcal.runs.merging import merged, open_state, state_bytes

N = 60
LABELS, SCORES = rows(N)


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
    "half": (lambda data: data[: len(data) // 2], "is no state to go on from: .*its checksum differs"),
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
    "position": (
        lambda data: edited(data, resealed(lambda run: run.update(position=[]))),
        "no state to go on from: the position",
    ),
    "times": (lambda data: edited(data, resealed(lambda run: run.update(seconds="x"))), "no state to go on from: its"),
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


def test_a_file_of_somebody_elses_that_is_called_as_the_lock_stays(begun):
    (begun / "s.lock").write_text("what is to be installed")
    evaluate(opened(begun), fc.Evaluation(), state=begun / "s")
    assert (begun / "s.lock").read_text() == "what is to be installed"


def test_a_file_that_changes_while_it_is_read_leaves_no_complete_state(begun):
    def change(rows):
        change_content(begun)

    with pytest.raises(DumpError, match=r"b\.npz changed while it was read"):
        evaluate(opened(begun), fc.Evaluation(), change, state=begun / "s")
    _, run = kind_and_run((begun / "s").read_bytes())
    assert run["complete"] is False


def test_a_disk_that_is_full_leaves_the_last_state(begun, monkeypatch):
    before = (begun / "s").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastcal.runs.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="s cannot be written: No space left on device"):
        evaluate(opened(begun), fc.Evaluation(), state=begun / "s")
    assert (begun / "s").read_bytes() == before
    assert sorted(path.name for path in begun.iterdir()) == ["a.npz", "b.npz", "c.npz", "s"]


def test_a_header_holds_many_files(tmp_path):
    names = [tmp_path / f"some-file-of-many-{k:05}.npz" for k in range(3)]
    for name in names:
        name.write_bytes(b"x")
    dumps = [MemoryDump(LABELS, SCORES, files=names * 5000)]
    kept = Checkpoint(tmp_path / "s", dumps, [])
    kept.save(fc.Evaluation().update(LABELS, SCORES).to_bytes(), {"done": []}, 1.0, True)
    _, run = kind_and_run((tmp_path / "s").read_bytes())
    assert len(run["inputs"][0]) == 15000


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("version", "fastcal", "inputs", "roles", "cut", "position", "started", "seconds", "complete")


@settings(max_examples=100 if JIT else 30)
@given(
    changes=st.dictionaries(st.sampled_from(NAMES), ANY, min_size=1, max_size=3), gone=st.sets(st.sampled_from(NAMES))
)
def test_a_run_that_somebody_made_up_is_one_line_or_a_run(made_up, changes, gone):
    folder, dumps, data = made_up

    def change(run):
        run.update(changes)
        for name in gone - changes.keys():
            del run[name]

    (folder / "made-up").write_bytes(edited(data, resealed(change)))
    with suppress(StateError):
        evaluate(dumps, fc.Evaluation(), state=folder / "made-up")
    (folder / "made-up").write_bytes(edited(data, resealed(change)))
    with suppress(StateError):
        opened_state = open_state(folder / "made-up")
        total = merged([opened_state], partial=True)
        assert total.to_bytes() == fc.Evaluation.from_bytes(data).to_bytes()
        kind_and_run(state_bytes(total, [opened_state]))


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """A complete state of one small file, and its dump."""
    folder = tmp_path_factory.mktemp("made-up")
    (folder / "input").write_bytes(b"what is read")
    dumps = [MemoryDump(LABELS, SCORES, files=[folder / "input"])]
    evaluate(dumps, fc.Evaluation(), state=folder / "s")
    return folder, dumps, (folder / "s").read_bytes()


def test_a_run_that_waits_for_a_pipe_can_be_stopped(tmp_path):
    more = threading.Event()

    class Waiting(MemoryDump):
        def read(self, piece, skip=0):
            yield from super().read(piece, skip)
            more.wait(60)

    def stop(rows):
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            evaluate([Waiting(LABELS, SCORES)], fc.Evaluation(), stop, n_threads=2)
        assert not [thread for thread in threading.enumerate() if thread.name == "fastcal"]
    finally:
        more.set()
