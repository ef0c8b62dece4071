"""Evaluations and fits on a cluster have the bits of one process, whatever the parts and whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
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

WHOLE = np.arange(1, N + 1) % 4  # weights
GROUPS = np.array(["a", "b", "c"])[np.arange(N) % 3]


@pytest.fixture(scope="module")
def client():
    """Two processes on this machine."""
    with dask_cluster._quiet(), dask_cluster._own_cluster(2) as cluster, distributed.Client(cluster) as client:
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
@settings(max_examples=12 if JIT else 3)
def test_no_cut_of_the_rows_shows(cuts, others, split):
    chunks = [tuple(np.diff([0, *sorted(points), N]).tolist()) for points in (others, cuts)]
    source = arrays((chunks[0],), (chunks[1], (2, 1)))
    with dask.config.set(scheduler="synchronous"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastcal.integrations.dask_states.TASK_BYTES", 1 << 11)
        found = evaluate(source, bootstrap=1, split_every=split)
    assert found.to_bytes() == in_one(options={"bootstrap": 1})


def test_blocks_of_unknown_rows(here):
    keep = LABELS >= 0
    source = arrays(N // 4, (N // 4, 3))
    unknown = tuple(array[da.from_array(keep, chunks=N // 4)] for array in source)
    assert evaluate(unknown, bootstrap=3).to_bytes() == in_one(options={"bootstrap": 3})
    other = arrays(N // 2, (N // 2, 3))[0][da.from_array(keep, chunks=N // 2)]
    with pytest.raises(DataError, match="y_true has 2 blocks of unknown rows, y_prob 4; say compute_chunk_sizes"):
        evaluate((other, unknown[1]))


def test_a_lazy_evaluation_and_what_an_accumulator_held_before(here):
    first, half = N // 2, fc.Evaluation(n_bins=4).update(LABELS[: N // 2], ROWS[: N // 2])
    before = half.to_bytes()
    rest = arrays(50, (50, 3), given=(LABELS[first:], ROWS[first:]))
    lazy = evaluate(rest, accumulator=half, lazy=True)
    assert dask.is_dask_collection(lazy)
    assert lazy.compute().to_bytes() == in_one(options={"n_bins": 4})
    assert half.to_bytes() == before
    assert evaluate(arrays((0,), ((0,), 2), given=(LABELS[:0], ROWS[:0, :2]))).is_empty


def test_other_accumulators(here):
    scores = ROWS[:, 0]
    source = arrays(N // 3, N // 4, given=(LABELS == 0, scores))
    for made in (fc.RankingAccumulator, fc.SelectiveAccumulator, fc.IsotonicAccumulator, fc.ReliabilityAccumulator):
        assert evaluate(source, accumulator=made()).to_bytes() == made().update(LABELS == 0, scores).to_bytes()
    members = np.stack([ROWS, ROWS[::-1]])
    batches = [(LABELS[i::3], members[:, i::3]) for i in range(3)]
    one = fc.UncertaintyAccumulator()
    for labels, some in batches:
        one.update(labels, some)
    many = evaluate(db.from_sequence(batches, npartitions=2), accumulator=fc.UncertaintyAccumulator())
    assert many.to_bytes() == one.to_bytes()


# --- tables and bags ------------------------------------------------------------------------------------------------


def frame(n_partitions=4, **columns):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    given = {"label": LABELS, "w": WHOLE, "part": GROUPS, **{f"p{k}": ROWS[:, k] for k in range(3)}, **columns}
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_pandas(pd.DataFrame(given), npartitions=n_partitions)


CLASSES = ["p0", "p1", "p2"]


def test_tables_of_one_column_a_class_or_of_lists(here):
    table = frame(rows=list(ROWS))
    assert evaluate(table, probs=CLASSES, bootstrap=2).to_bytes() == in_one(options={"bootstrap": 2})
    expected = in_one(options={"groups": True}, sample_weight=WHOLE, groups=GROUPS)
    assert evaluate(table, probs="rows", weights="w", groups="part").to_bytes() == expected
    empty = table[table.label > 5]
    assert evaluate(empty, probs="rows").is_empty
    some = table.partitions[0]
    concatenated = pytest.importorskip("dask.dataframe").concat([some[some.label > 5], table])
    assert evaluate(concatenated, probs="rows").to_bytes() == in_one()


def test_bags_of_batches_and_of_records(here):
    cuts = [0, 5, 5, N // 2, N]
    pairs = [(LABELS[a:b], ROWS[a:b]) for a, b in pairwise(cuts)]
    assert evaluate(db.from_sequence(pairs, npartitions=3)).to_bytes() == in_one()
    whole = [(*pair, WHOLE[a:b], GROUPS[a:b]) for pair, a, b in zip(pairs, cuts, cuts[1:], strict=False)]
    expected = in_one(options={"groups": True}, sample_weight=WHOLE, groups=GROUPS)
    assert evaluate(db.from_sequence(whole, npartitions=2), groups=True).to_bytes() == expected
    records = [{"y": int(y), "p": row.tolist(), "w": int(w)} for y, row, w in zip(LABELS, ROWS, WHOLE, strict=True)]
    bag = db.from_sequence(records, npartitions=4)
    assert evaluate(bag, probs="p", labels="y", weights="w").to_bytes() == in_one(sample_weight=WHOLE)
    flat = [
        {"label": int(y), **dict(zip(CLASSES, row.tolist(), strict=True))} for y, row in zip(LABELS, ROWS, strict=True)
    ]
    assert evaluate(db.from_sequence(flat, npartitions=3), probs=CLASSES).to_bytes() == in_one()
    binary = [{"label": int(y == 0), "p": float(p)} for y, p in zip(LABELS, ROWS[:, 0], strict=True)]
    assert evaluate(db.from_sequence(binary, npartitions=2), probs="p").to_bytes() == in_one(LABELS == 0, ROWS[:, 0])


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


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda: arrays(9, (9, 3), given=(LABELS, BAD)), {}, rf"^y_prob\[{N - 2}, 0\] is 1.2; probabilities lie in"),
        (lambda: arrays(9, (9, 3), given=(LABELS + 1, ROWS)), {}, r"^y_true\[\d+\] is 3"),
        (lambda: arrays(9, (9, 3), given=(LABELS[1:], ROWS)), {}, rf"^y_true has {N - 1} rows, y_prob {N}"),
        (lambda: arrays((9, 3), 9, given=(ROWS, LABELS)), {}, r"^y_true has shape"),
        (lambda: arrays(9, (9, 3)), {"groups": GROUPS[1:]}, "^groups has"),
        (lambda: arrays(9, (9, 3)), {"probs": "probs"}, "^arrays have no names"),
        (lambda: arrays(9, (9, 3)), {"split_every": 1}, "^split_every is 1; expected"),
        (lambda: arrays(9, (9, 3)), {"accumulator": fc.Evaluation(), "n_bins": 3}, "^n_bins is an option of the acc"),
        (lambda: (*arrays(9, (9, 3)), WHOLE), {"weights": WHOLE}, "^source is a tuple; expected"),
        (lambda: arrays(9, (9, 3)), {"accumulator": fc.Evaluation(groups=True)}, "groups this Evaluation"),
        (frame, {}, "^say probs= or logits="),
        (frame, {"probs": "q"}, "^the DataFrame has no column 'q'; it has label, w, part"),
        (frame, {"probs": CLASSES, "logits": "p0"}, "^logits and probs are both given"),
        (frame, {"probs": CLASSES, "from_logits": True}, "^from_logits contradicts"),
        (lambda: frame(2, p1=BAD[:, 0]), {"probs": CLASSES}, r"^partition 0: y_prob\[0\]"),
        (
            lambda: frame(2, label=np.where(np.arange(N) == N - 1, 7, 0)),
            {"probs": CLASSES},
            r"^partition 1: label\[\d+\] is",
        ),
        (
            lambda: frame(3, rows=[list(row)[: 3 - (i == 1)] for i, row in enumerate(ROWS)]),
            {"probs": "rows"},
            r"^partition 0: rows\[1\] has 2 values; the rows before have 3",
        ),
        (
            lambda: db.from_sequence([{"y": 1}], npartitions=1),
            {"probs": "p"},
            r"^partition 0: p\[0\] is missing; the record has y",
        ),
        (lambda: db.from_sequence([{"y": 1}], npartitions=1), {}, "^say probs= or logits="),
    ],
)
def test_wrong_input_is_named(here, source, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(source(), **options)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda: 5, {}, "^source is a int; expected"),
        (lambda: [], {}, "^source is a list; expected"),
        (
            lambda: db.from_sequence([1, 2], npartitions=1),
            {},
            "^partition 0: the bag holds a int; expected a record, or",
        ),
        (
            lambda: frame(rows=[str(row) for row in ROWS]),
            {"probs": "rows"},
            "^partition 0: rows holds text, .*dataframe.convert-string",
        ),
        (frame, {"probs": {}}, "^the name of scores is"),
        (lambda: ["a.npz", dask_dumps.HeldDump], {}, "^source is a list"),
        (lambda: frame(p0=np.array(["x"] * N, object)), {"probs": "p0"}, "^partition 0: p0 holds text"),
    ],
)
def test_wrong_types_are_named(here, source, options, message):
    with pytest.raises(TypeError, match=message):
        evaluate(source(), **options)


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


def in_turn(tasks, **options):
    total = looks(**options)
    for task in tasks:
        for batch in task.dump.read(task.piece):
            total.update(batch.labels, batch.scores, row=task.first_row if options else None)
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
    scores = np.tile(np.log(ROWS), (20 if JIT else 1, 10))
    labels = np.tile(LABELS, 20 if JIT else 1)
    ours = fit(fc.TemperatureScaling(), arrays(700, (700, 30), given=(labels, scores)))
    theirs = fc.TemperatureScaling().fit(scores, labels)
    assert (ours.temperature_, ours.nll_, ours.n_iter_) == (theirs.temperature_, theirs.nll_, theirs.n_iter_)
    platt = fit(fc.PlattScaling(), arrays(N // 3, (N // 2, 3)))
    assert platt.slope_.tobytes() == fc.PlattScaling().fit(ROWS, LABELS).slope_.tobytes()


def test_dask_is_imported_where_it_is_used():
    code = "import sys, fastcal.integrations.dask; assert not {'dask', 'distributed', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
