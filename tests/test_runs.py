"""Runs over dumps: any cut into pieces, any threads, the same bits and the same errors."""

from __future__ import annotations

import os
import pickle
import threading
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_of_runs import MemoryDump, rows, whole

import fastcal as fc
from fastcal.dumps import Batch, DumpError
from fastcal.runs import Looks, Run, evaluate, tasks_of
from fastcal.runs.ahead import Ahead
from fastcal.runs.evaluating import EVERY
from fastcal.runs.extent import Extent
from fastcal.runs.fingerprint import Watched, fingerprint, places
from fastcal.runs.position import Position
from fastcal.runs.tasks import run_task
from fastcal.runs.working import chains

N = 60
LABELS, SCORES = rows(N)


@st.composite
def cut_dumps(draw, **fixed):
    """All rows, in one or more dumps of one or more pieces each."""
    stops = sorted({N, *draw(st.lists(st.integers(0, N), max_size=3))})
    dumps, start = [], 0
    for k, stop in enumerate(stops):
        cuts = sorted({0, *draw(st.lists(st.integers(0, stop - start), max_size=4))})
        some = slice(start, stop)
        columns = {name: array[some] for name, array in fixed.items()}
        batch, counted = draw(st.integers(4, 20)), draw(st.booleans())
        dump = MemoryDump(LABELS[some], SCORES[some], name=f"d{k}", cuts=cuts, batch=batch, counted=counted, **columns)
        dump.shared = draw(st.booleans())
        dumps.append(dump)
        start = stop
    return dumps


@settings(max_examples=25 if JIT else 8)
@given(dumps=cut_dumps(), n_threads=st.integers(1, 4), bootstrap=st.sampled_from([None, 3]))
def test_cuts_and_threads_do_not_show(dumps, n_threads, bootstrap):
    found = evaluate(dumps, fc.Evaluation(bootstrap=bootstrap), n_threads=n_threads)
    assert found.to_bytes() == whole(LABELS, SCORES, bootstrap=bootstrap)


@settings(max_examples=10 if JIT else 4)
@given(data=st.data(), n_threads=st.integers(1, 3))
def test_weights_and_slices_come_along(data, n_threads):
    weights, groups = np.arange(N) % 4, np.array(["a", "b", "c"])[np.arange(N) % 3]
    dumps = data.draw(cut_dumps(weights=weights, groups=groups))
    found = evaluate(dumps, fc.Evaluation(groups=True), n_threads=n_threads)
    assert found.to_bytes() == whole(LABELS, SCORES, weights=weights, groups=groups)


def test_rows_that_are_ignored_do_not_count():
    ignored = np.arange(N) % 3 == 1
    dumps = [MemoryDump(LABELS, SCORES, ignored=ignored, cuts=(0, 20, 41))]
    found = evaluate(dumps, fc.Evaluation(), n_threads=2)
    assert found.to_bytes() == whole(LABELS[~ignored], SCORES[~ignored])
    told = []
    evaluate(dumps, fc.Evaluation(), told.append)
    assert sum(told) == N  # of all that were read


@pytest.mark.parametrize("batch", [5, 7, 60])
def test_numbers_of_rows_are_those_of_the_file(batch):
    """However it is read: rows that are left out have theirs, too."""
    ignored = np.arange(N) % 3 == 1
    dump = MemoryDump(LABELS, SCORES, ignored=ignored, cuts=(0, 20, 41), batch=batch)
    found = evaluate([dump], fc.Evaluation(bootstrap=4), n_threads=2)
    expected = fc.Evaluation(bootstrap=4)
    for row in np.flatnonzero(~ignored):
        expected.update(LABELS[row : row + 1], SCORES[row : row + 1], row=int(row))
    assert found.to_bytes() == expected.to_bytes()
    for wrong in (np.arange(3), np.arange(N) * 1.0, np.arange(N) - 1):
        with pytest.raises(ValueError, match="row is an array"):
            fc.Evaluation(bootstrap=4).update(LABELS, SCORES, row=wrong)


def test_a_run_adds_to_what_was_seen_before():
    seen = fc.Evaluation().update(LABELS[:5], SCORES[:5])
    found = evaluate([MemoryDump(LABELS[5:], SCORES[5:], cuts=(0, 9))], seen)
    assert found is seen
    assert found.to_bytes() == whole(LABELS, SCORES)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_of_several_errors_the_first_in_the_order_of_rows_is_raised(n_threads):
    scores = SCORES.copy()
    scores[[25, 57]] = 7
    for fails, message in (
        ((), r"memory: p\[25, 0\] is 7; probabilities lie in \[0, 1\]"),
        ((12,), "the disk is gone"),
        ((30,), r"memory: p\[25, 0\] is 7"),
    ):
        dump = MemoryDump(LABELS, scores, cuts=range(0, N, 4), batch=2, fails=fails)
        with pytest.raises((DumpError, OSError), match=message):
            evaluate([dump], fc.Evaluation(), n_threads=n_threads)


def test_errors_name_the_row_of_the_file_where_rows_are_ignored():
    scores = SCORES.copy()
    scores[25] = 7
    ignored = np.arange(N) % 2 == 0
    for cuts in ((0,), (0, 11, 24)):
        dump = MemoryDump(LABELS, scores, ignored=ignored, cuts=cuts, batch=6)
        with pytest.raises(DumpError, match=r"p\[25, 0\] is 7"):
            evaluate([dump], fc.Evaluation())


@pytest.mark.parametrize("n_threads", [1, 3])
def test_other_columns_are_an_error_of_the_later_rows(n_threads):
    empty = MemoryDump(LABELS[:0], SCORES[:0, :2], name="empty")
    first, binary = MemoryDump(LABELS, SCORES, name="a", cuts=(0, 30)), MemoryDump(LABELS > 0, SCORES[:, 0], name="b")
    with pytest.raises(DumpError, match=r"b: p has shape \(7,\); rows before it were \(N, 3\)"):
        evaluate([empty, first, binary, first], fc.Evaluation(), n_threads=n_threads)
    with pytest.raises(DumpError, match=r"a: p has shape \(7, 3\); rows before it were \(N,\)"):
        evaluate([empty, empty, binary, first], fc.Evaluation(), n_threads=n_threads)


def test_no_rows_are_an_error():
    for dumps in ([], [MemoryDump(LABELS[:0], SCORES[:0])]):
        with pytest.raises(DumpError, match="no rows"):
            evaluate(dumps, fc.Evaluation())


def test_whatever_tells_of_rows_may_end_the_run():
    class Enough(Exception):
        pass

    def enough(rows):
        raise Enough

    dump = MemoryDump(LABELS, SCORES, cuts=range(0, N, 3))
    with pytest.raises(Enough):
        evaluate([dump], fc.Evaluation(), enough, n_threads=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastcal")]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "5"])
def test_times_between_checkpoints_are_seconds(value):
    with pytest.raises(ValueError, match="every is"):
        evaluate([], fc.Evaluation(), every=value)
    assert EVERY == 5.0


def test_tasks_are_plain_data_and_know_their_first_row():
    dumps = [
        MemoryDump(LABELS[:10], SCORES[:10], cuts=(0, 4)),
        MemoryDump(LABELS[:6], SCORES[:6], counted=False),
        MemoryDump(LABELS[:5], SCORES[:5], cuts=(0, 2)),
    ]
    tasks = tasks_of(dumps)
    assert [task.number for task in tasks] == [0, 1, 2, 3, 4]
    assert [task.first_row for task in tasks] == [0, 4, 10, None, None]
    assert [[task.number for task in chain] for chain in chains(tasks, True)] == [[0], [1], [2, 3, 4]]
    assert [[task.number for task in chain] for chain in chains(tasks, False)] == [[0], [1], [2], [3], [4]]
    total, copies = fc.Evaluation(bootstrap=1), pickle.loads(pickle.dumps(tasks))
    with pytest.raises(DumpError, match="its first row's number is not known"):
        run_task(copies[3], total)
    told = []
    for task in (*copies[:3], copies[3].from_row(16), copies[4].from_row(18)):
        run_task(task, total, told.append)
    assert sum(told) == 21
    parts = np.r_[0:10, 0:6, 0:5]
    assert total.to_bytes() == whole(LABELS[parts], SCORES[parts], bootstrap=1)


@given(st.dictionaries(st.integers(0, 30), st.integers(0, 9)), st.dictionaries(st.integers(31, 50), st.integers(1, 9)))
def test_positions_come_back(done, within):
    position = Position(done, within, 3)
    assert Position.from_json(position.to_json()) == position
    assert position.n_rows == sum(done.values()) + sum(within.values())


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"done": [[0, [-1]]], "within": [], "columns": None},
        {"done": [[0, ["x"]]], "within": [], "columns": None},
        {"done": [[1.5, [1]]], "within": [], "columns": None},
        {"done": [[0, [3]]], "within": [[0, 2]], "columns": 1},
        {"done": [], "within": [[0]], "columns": None},
        {"done": [], "within": []},
        {"done": [], "within": [], "columns": -2},
    ],
)
def test_a_position_that_is_none_is_an_error(data):
    with pytest.raises(ValueError, match="the position of its run"):
        Position.from_json(data)


def test_reading_ahead_gives_the_same_batches_and_the_error_at_its_place():
    dump = MemoryDump(
        LABELS, SCORES, shared=True, ignored=LABELS == 1, weights=np.arange(N), groups=np.array(["x"] * N)
    )
    piece = dump.pieces()[0]
    kept = [(b.labels.copy(), b.scores.copy(), b.weights.copy(), b.n_read) for b in dump.read(piece)]
    seen = [(b.labels.copy(), b.scores.copy(), b.weights.copy(), b.n_read) for b in Ahead(lambda: dump.read(piece))]
    assert len(seen) == len(kept)
    for one, other in zip(seen, kept, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    dump.fails = {40}
    batches = Ahead(lambda: dump.read(piece))
    assert sum(next(batches).n_read for _ in range(5)) == 35
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_reading_ahead_ends_with_its_reader():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield Batch(LABELS[:1], np.ma.array(SCORES[:1]))
        finally:
            closed.set()

    batches = Ahead(endless)
    assert isinstance(next(batches).scores, np.ma.MaskedArray)
    batches.close()
    assert closed.wait(10)


def test_how_far_a_run_is():
    dump = MemoryDump(LABELS, SCORES, cuts=(0, 30))
    run = Run([dump], fc.Evaluation())
    assert run.extent.n_rows == N
    assert run.extent.share(15) == 0.25
    unknown = Run([MemoryDump(LABELS, SCORES, counted=False)], fc.Evaluation())
    assert unknown.extent.share(15) is None


def test_how_far_a_run_over_files_of_unknown_rows_is(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, size in zip(paths, (100, 300), strict=True):
        path.write_bytes(bytes(size))
    tasks = tasks_of([MemoryDump(LABELS, SCORES, counted=False, files=[path]) for path in paths])
    extent = Extent(tasks)
    assert (extent.n_bytes, extent.share(9)) == (400, 0.0)
    extent.position.take({0: N}, {})
    assert extent.share(70) == 0.25


# --- several looks at the same rows -----------------------------------------------------------------------------------


def looks(calibrator=None):
    made = {"report": fc.Evaluation(), "bins": fc.ReliabilityAccumulator(n_bins=4)}
    return Looks({**made, "after": fc.Evaluation()}, calibrator, ("after",)) if calibrator else Looks(made)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_several_accumulators_see_the_same_rows(n_threads):
    scaling = fc.TemperatureScaling(input="probs").fit(SCORES, LABELS)
    found = evaluate([MemoryDump(LABELS, SCORES, cuts=(0, 17, 40))], looks(scaling), n_threads=n_threads)
    assert list(found) == ["report", "bins", "after"]
    assert found["report"].to_bytes() == whole(LABELS, SCORES)
    assert found["after"].to_bytes() == whole(LABELS, scaling.predict_proba(SCORES))
    assert found["bins"].to_bytes() == fc.ReliabilityAccumulator(n_bins=4).update(LABELS, SCORES).to_bytes()
    again = looks(scaling).restored(found.to_bytes())
    assert again.to_bytes() == found.to_bytes()
    assert again.compute()["after"]["ece"] == found.compute()["after"]["ece"]
    other = fc.TemperatureScaling(input="probs").fit(SCORES[:30], LABELS[:30])
    for one in (looks(), looks(other)):
        with pytest.raises(ValueError, match="of other figures, or of another calibrator"):
            one.restored(found.to_bytes())
        with pytest.raises(ValueError, match="cannot merge"):
            one.merge(found)
    assert found.reset().is_empty


def test_looks_can_be_merged_without_the_calibrator():
    scaling = fc.TemperatureScaling(input="probs").fit(SCORES, LABELS)
    whole_run = looks(scaling).update(LABELS, SCORES)
    halves = [looks(scaling).update(LABELS[i::2], SCORES[i::2]).to_bytes() for i in range(2)]
    left, right = (Looks.from_bytes(half, lambda name: getattr(fc, name)) for half in halves)
    assert left.empty().merge(right).merge(left).to_bytes() == whole_run.to_bytes()
    with pytest.raises(ValueError, match="without the calibrator"):
        left.update(LABELS, SCORES)


# --- files ------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1 << 40))
def test_blocks_lie_in_the_file_and_do_not_overlap(size):
    block = 64 << 10
    found = places(size)
    assert all(b - a >= min(block, size) for a, b in pairwise(found))
    assert len(found) <= 10
    if size:
        assert found[0] == 0
        assert found[-1] + block >= size
        assert found[-1] < size


def test_a_fingerprint_changes_with_size_time_and_content(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(1 << 20))
    before, times = fingerprint(path), path.stat()
    assert fingerprint(path) == before
    with path.open("r+b") as file:
        file.seek((1 << 20) - 1)
        file.write(b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(path).content != before.content
    assert fingerprint(path).mtime_ns == before.mtime_ns
    for wrong, message in ((tmp_path, "is no plain file"), (tmp_path / "none", "cannot be read: No such file")):
        with pytest.raises(DumpError, match=message):
            fingerprint(wrong)


def test_a_pipe_is_no_file_to_know_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DumpError, match="is no plain file"):
        fingerprint(tmp_path / "pipe")


@pytest.mark.parametrize("change", ["append", "rewrite", "remove"])
def test_a_file_that_changes_while_it_is_read_gives_no_figures(tmp_path, change):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    watched = Watched([path, tmp_path / "none"])
    watched.check()

    def on_rows(rows):
        if change == "remove":
            path.unlink(missing_ok=True)
        elif change == "append":
            path.write_bytes(b"123456")
        else:
            os.utime(path, ns=(1, 1))

    with pytest.raises(DumpError, match="changed while it was read; there are no figures of it"):
        evaluate([MemoryDump(LABELS, SCORES, files=[path])], fc.Evaluation(), on_rows)
