"""Evaluations and fits on a cluster have the bits of one process, whatever the parts and whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dask_dumps
import numpy as np
import pytest
from conftest import JIT
from few import LABELS, ROWS, N
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcal as fc
from fastcal.arrays import DataError
from fastcal.dumps import DumpError
from fastcal.integrations import dask_cluster
from fastcal.integrations.dask import ClusterError, evaluate, fit, run_on_cluster
from fastcal.runs import Looks, tasks_of

dask = pytest.importorskip("dask", reason='needs Dask: install "fastcal[bench]"')
distributed = pytest.importorskip("distributed", reason='needs distributed: install "fastcal[bench]"')
da, db = pytest.importorskip("dask.array"), pytest.importorskip("dask.bag")

pytestmark = pytest.mark.skipif(not JIT, reason="says nothing of kernels that test_dask_sources.py leaves open")

WHOLE = np.arange(1, N + 1) % 4  # weights
GROUPS = np.array(["a", "b", "c"])[np.arange(N) % 3]


@pytest.fixture(scope="module")
def client():
    """Two processes on this machine, forked from one that has its imports: those of a run are started afresh."""
    forked = pytest.importorskip("forked", reason="processes are forked here")
    forked.preload()
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        dask_cluster.quiet(),
        dask_cluster.own_cluster(2) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def here():
    """Tasks in this thread."""
    with dask.config.set(scheduler="synchronous"):
        yield


def arrays(*chunks, given=(LABELS, ROWS)):
    return tuple(da.from_array(array, chunks=size) for array, size in zip(given, chunks, strict=True))


def in_one(labels=LABELS, rows=ROWS, options=None, **more):
    return fc.Evaluation(**(options or {})).update(labels, rows, **more).to_bytes()


# --- arrays ---------------------------------------------------------------------------------------------------------


def test_arrays_in_blocks_of_any_rows_and_columns_have_the_bits_of_one_process(client):
    found = evaluate(arrays(N // 3, (N // 7, 2)))
    assert found.to_bytes() == in_one()
    found = evaluate(arrays(N, (N // 2, 3)), weights=da.from_array(WHOLE, chunks=7), groups=GROUPS, split_every=2)
    assert found.to_bytes() == in_one(options={"groups": True}, sample_weight=WHOLE, groups=GROUPS)
    found = evaluate((*arrays(N // 5, N // 5), WHOLE), bootstrap=7)
    assert found.to_bytes() == in_one(options={"bootstrap": 7}, sample_weight=WHOLE)


@given(
    cuts=st.lists(st.integers(0, N), max_size=8),
    others=st.lists(st.integers(0, N), max_size=3),
    split=st.integers(2, 5),
)
@settings(max_examples=12)
def test_no_cut_of_the_rows_shows(cuts, others, split):
    chunks = [tuple(np.diff([0, *sorted(points), N]).tolist()) for points in (others, cuts)]
    source = arrays((chunks[0],), (chunks[1], (2, 1)))
    with dask.config.set(scheduler="synchronous"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastcal.integrations.dask_states.TASK_BYTES", 1 << 11)
        found = evaluate(source, bootstrap=1, split_every=split)
    assert found.to_bytes() == in_one(options={"bootstrap": 1})


def test_dumps_are_read_by_the_workers(client, tmp_path):
    paths = [tmp_path / f"{i}.npz" for i in range(3)]
    for i, path in enumerate(paths):
        np.savez(path, labels=LABELS[i::3], probs=ROWS[i::3])
    order = np.concatenate([np.arange(N)[i::3] for i in range(3)])
    expected = in_one(LABELS[order], ROWS[order], {"bootstrap": 5})
    assert evaluate(paths, bootstrap=5).to_bytes() == expected
    assert evaluate(str(paths[0]), n_bins=3).to_bytes() == in_one(LABELS[::3], ROWS[::3], {"n_bins": 3})
    assert evaluate(held(paths[0], counted=False), bootstrap=5).to_bytes() == in_one(options={"bootstrap": 5})


def held(file, **more):
    """A dump in seven pieces or so."""
    file.touch()
    return dask_dumps.HeldDump(LABELS, ROWS, file, -(-N // 7), **more)


# --- errors ---------------------------------------------------------------------------------------------------------

BAD = np.where(np.arange(N)[:, None] == N - 2, 1.2, ROWS)


def test_the_first_of_several_errors_is_raised(client, tmp_path):
    worse = np.where(np.arange(N)[:, None] % 20 == 17, 1.2, ROWS)
    for _ in range(2):
        with pytest.raises(DataError, match=r"^y_prob\[17, 0\] is 1.2"):
            evaluate(arrays(9, (9, 3), given=(LABELS, worse)))
    with pytest.raises(DumpError, match=r"^held: piece 2 is damaged$"):
        evaluate(held(tmp_path / "x", broken=(5, 2)))
    path = tmp_path / "bad.npz"
    np.savez(path, labels=LABELS, probs=BAD)
    with pytest.raises(DumpError, match=rf"bad.npz: probs\[{N - 2}, 0\] is 1.2; probabilities"):
        evaluate(path)
    np.savez(path, labels=LABELS[:0], probs=ROWS[:0])
    with pytest.raises(DumpError, match="no rows"):
        evaluate(path)
    with pytest.raises(DumpError, match=r"bad2.npz does not exist"):
        evaluate(tmp_path / "bad2.npz")
    with pytest.raises(ValueError, match="cannot merge: scores have 3 columns here and 2 there"):
        evaluate(db.from_sequence([(LABELS, ROWS), (LABELS % 2, ROWS[:, :2] * 0 + 0.5)], npartitions=2))


# --- workers that are lost, and runs of tasks -----------------------------------------------------------------------


def test_a_worker_that_dies_in_mid_run_changes_nothing(client, tmp_path):
    bag = db.from_sequence([(LABELS[i::5], ROWS[i::5]) for i in range(5)], npartitions=5)
    assert evaluate(bag.map(dask_dumps.deadly, tmp_path / "bag")).to_bytes() == in_one()
    assert (tmp_path / "bag").exists()


def looks(**options):
    return Looks({"report": fc.Evaluation(**options), "rough": fc.Evaluation(n_bins=3)})


def in_turn(tasks, only=None, **options):
    total = looks(**options) if only is None else fc.Evaluation()
    for task in tasks:
        for batch in task.dump.read(task.piece):
            total.update(batch.labels, batch.scores, **({"row": task.first_row} if options else {}))
    return total.to_bytes()


def test_a_run_survives_a_worker_that_is_killed(client, tmp_path):
    tasks = tasks_of([held(tmp_path / "x", seconds=0.05), held(tmp_path / "y", seconds=0.05)])
    victim = min(client.run(os.getpid).values())
    seen, states = [], {}

    def on_rows(n):
        if not seen:
            os.kill(victim, signal.SIGKILL)
        seen.append(n)

    address = client.scheduler_info()["address"]
    found = run_on_cluster(
        tasks,
        looks(),
        address=address,
        on_rows=on_rows,
        on_state=lambda n, total: states.update(dict.fromkeys(n, total)),
    )
    assert found.to_bytes() == in_turn(tasks)
    assert sum(seen) == 2 * N
    assert sorted(states) == list(range(len(tasks)))


def test_a_run_numbers_rows_and_goes_on_from_what_is_there(client, tmp_path):
    address = client.scheduler_info()["address"]
    tasks = tasks_of([held(tmp_path / "x"), held(tmp_path / "y", counted=False)])
    known = tasks_of([held(tmp_path / "x"), held(tmp_path / "y")])
    assert run_on_cluster(tasks, looks(bootstrap=1), address=address).to_bytes() == in_turn(known, bootstrap=1)
    total = run_on_cluster(tasks[:4], looks(), address=address)
    assert run_on_cluster(tasks[4:], total, address=address).to_bytes() == in_turn(known)
    assert total.to_bytes() == in_turn(known)
    one = run_on_cluster(known, fc.Evaluation(), address=address)
    assert one.to_bytes() == in_turn(known, only="report")


def test_the_first_task_that_fails_is_told(client, tmp_path):
    address = client.scheduler_info()["address"]
    tasks = tasks_of([held(tmp_path / "x", broken=(3, 5), seconds=0.01), held(tmp_path / "y", broken=(0,))])
    for _ in range(3):
        with pytest.raises(DumpError, match=r"^held: piece 3 is damaged$"):
            run_on_cluster(tasks, looks(), address=address)
    tasks = tasks_of([held(tmp_path / "x", broken=(1,), counted=False)])
    with pytest.raises(DumpError, match=r"^held: piece 1 is damaged$"):
        run_on_cluster(tasks, looks(bootstrap=1), address=address)


def vanishing(path):
    hand_out = dask_cluster._Run._hand_out

    def after_its_end(self):
        path.unlink(missing_ok=True)
        hand_out(self)

    return after_its_end


def piped(path):
    class Piped(dask_dumps.HeldDump):
        files = ()

    return Piped(LABELS, ROWS, path, N)


def test_workers_that_are_not_what_they_should_be(client, tmp_path, monkeypatch):
    address = client.scheduler_info()["address"]
    tasks = tasks_of([held(tmp_path / "x")])
    run = dask_cluster._Run.__init__

    def larger(self, *given):
        run(self, *given)
        self.sizes = {path: size + 1 for path, size in self.sizes.items()}

    with monkeypatch.context() as patch:
        patch.setattr(dask_cluster._Run, "__init__", larger)
        with pytest.raises(DumpError, match=r"x has 0 bytes for worker tcp://.*, and 1 here"):
            run_on_cluster(tasks, looks(), address=address)
    with monkeypatch.context() as patch:
        patch.setattr(dask_cluster, "_version", lambda: "9")
        with pytest.raises(ClusterError, match=rf"tcp://.* has fastcal {fc.__version__}, this is 9"):
            run_on_cluster(tasks, looks(), address=address)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(DumpError, match=r"^x is relative to .*: give the whole path"):
            run_on_cluster(tasks_of([held(Path("x"))]), looks(), address=address)
    with monkeypatch.context() as patch:
        patch.setattr(dask_cluster._Run, "_hand_out", vanishing(tmp_path / "x"))
        with pytest.raises(
            DumpError, match=r"x is not there for worker tcp://.*: workers read files at the same paths"
        ):
            run_on_cluster(tasks, looks(), address=address)
    with pytest.raises(DumpError, match=r"^held can be read by this process only"):
        run_on_cluster(tasks_of([piped(tmp_path / "x")]), looks(), address=address)
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1)
    for wrong in ("tcp://127.0.0.1:1", "nonsense"):
        with pytest.raises(ClusterError, match=f"^no Dask scheduler at '{wrong}': "):
            run_on_cluster(tasks, looks(), address=wrong)
    for both in ({}, {"workers": 2, "address": address}):
        with pytest.raises(ValueError, match="say how many workers, or the address"):
            run_on_cluster(tasks, looks(), **both)
    with pytest.raises(ValueError, match=r"^workers is 0; expected an integer of at least 1"):
        run_on_cluster(tasks, looks(), workers=0)


def test_workers_of_our_own_listen_on_this_machine_alone_and_end_with_the_run(tmp_path):
    psutil = pytest.importorskip("psutil")
    tasks = tasks_of([held(tmp_path / "x")])
    heard, ours = set(), set()

    def on_rows(n):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        ours.update(one.pid for one in family[1:])
        for one in family:
            heard.update(c.laddr.ip for c in one.net_connections() if c.status == psutil.CONN_LISTEN)

    before = {one.pid for one in psutil.Process().children(recursive=True)}
    with dask.config.set({"distributed.worker.multiprocessing-method": "spawn"}):  # whatever the others here do
        assert run_on_cluster(tasks, looks(), workers=1, on_rows=on_rows).to_bytes() == in_turn(tasks)
    assert heard == {"127.0.0.1"}
    assert not {pid for pid in ours - before if psutil.pid_exists(pid) and is_running(psutil, pid)}


def is_running(psutil, pid):
    try:  # multiprocessing's own resource tracker stays, and is not ours
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_a_fit_on_processes(client):
    scores = np.tile(np.log(ROWS), (20, 10))
    labels = np.tile(LABELS, 20)
    ours = fit(fc.TemperatureScaling(), arrays(700, (700, 30), given=(labels, scores)))
    theirs = fc.TemperatureScaling().fit(scores, labels)
    assert (ours.temperature_, ours.nll_, ours.n_iter_) == (theirs.temperature_, theirs.nll_, theirs.n_iter_)
    platt = fit(fc.PlattScaling(), arrays(N // 3, (N // 2, 3)))
    assert platt.slope_.tobytes() == fc.PlattScaling().fit(ROWS, LABELS).slope_.tobytes()


def test_dask_is_imported_where_it_is_used():
    code = "import sys, fastcal.integrations.dask; assert not {'dask', 'distributed', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
