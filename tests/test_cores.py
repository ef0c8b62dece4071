"""How many threads there are: who says so, what a container allows, and what calls at once leave each other."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from fastcal import cores, engine
from fastcal.cores import Share, in_pool, quota_of, thread_count

FORK = multiprocessing.get_context("fork")
forking = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("FASTCAL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_who_says_how_many_threads(monkeypatch):
    monkeypatch.setattr(cores, "_allowed", lambda: 8)
    assert thread_count() == 8
    assert thread_count(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert thread_count() == 4
    assert thread_count(16) == 16
    monkeypatch.setenv("FASTCAL_NUM_THREADS", "12")
    assert thread_count() == 12
    assert thread_count(2) == 2


@pytest.mark.parametrize(
    ("given", "count"), [("64", 8), ("0", 1), ("", 8), ("all", 8), ("-3", 8), (" 2 ", 2), ("²", 8)]
)
def test_openmp_is_a_bound_and_never_an_error(monkeypatch, given, count):
    monkeypatch.setattr(cores, "_allowed", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert thread_count() == count


@pytest.mark.parametrize("given", ["many", "0", "-1", "2.5"])
def test_a_wrong_number_in_the_environment(monkeypatch, given):
    monkeypatch.setenv("FASTCAL_NUM_THREADS", given)
    with pytest.raises(ValueError, match=f"FASTCAL_NUM_THREADS is '{given}'; expected an integer of at least 1"):
        thread_count()


@pytest.mark.parametrize("given", [0, -1, 2.5, [2], float("nan"), float("inf")])
def test_a_wrong_number_of_threads(given):
    with pytest.raises(ValueError, match=r"n_threads is .*; expected an integer of at least 1"):
        thread_count(given)


def test_affinity_is_respected():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from fastcal import engine; "
    code += "print(engine.thread_count())"
    environment = {k: v for k, v in os.environ.items() if k != "FASTCAL_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "1\n"


# --- containers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "files", "count"),
    [
        (["0::/"], {"cpu.max": "200000 100000"}, 2),
        (["0::/"], {"cpu.max": "150000 100000"}, 2),
        (["0::/"], {"cpu.max": "max 100000"}, sys.maxsize),
        (["0::/"], {}, sys.maxsize),
        (["0::/"], {"cpu.max": "soon"}, sys.maxsize),
        (["0::/"], {"cpu.max": "1 0"}, sys.maxsize),
        (["0::/a/b"], {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        (["0::/a"], {"a/cpu.max": "400000 100000", "cpu.max": "100000 100000"}, 1),
        (["0::/name/of/the/host"], {"cpu.max": "200000 100000"}, 2),
        (["0::/"], {"unified/cpu.max": "500000 100000"}, 5),
        (["4:cpu,cpuacct:/"], {"cpu,cpuacct/cpu.cfs_quota_us": "250000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3),
        (["4:cpuacct,cpu:/x"], {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000"}, 1),
        (["4:cpu:/"], {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, sys.maxsize),
        (["3:cpuset:/", "2:name=systemd:/", ""], {"cpuset/cpu.max": "100000 100000"}, sys.maxsize),
    ],
)
def test_quotas_of_control_groups(tmp_path, lines, files, count):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert quota_of(lines, tmp_path) == count


def test_the_quota_bounds_the_cores(monkeypatch):
    monkeypatch.setattr(cores, "quota", lambda: 1)
    assert thread_count() == 1


# --- pools of processes -----------------------------------------------------------------------------------------------


def seen_in_worker(_=None):
    return in_pool(), thread_count(), thread_count(3)


@forking
@pytest.mark.parametrize("given", [None, "4"])
def test_workers_of_pools_use_one_thread(monkeypatch, given):
    """Also where FASTCAL_NUM_THREADS says more: it is inherited, and means the process that set it."""
    if given:
        monkeypatch.setenv("FASTCAL_NUM_THREADS", given)
    assert not in_pool()
    with FORK.Pool(1) as pool:
        assert pool.apply(seen_in_worker) == (True, 1, 3)
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        assert pool.submit(seen_in_worker).result(60) == (True, 1, 3)


@forking
def test_a_process_by_itself_uses_all(monkeypatch):
    monkeypatch.setattr(cores, "_allowed", lambda: 8)
    queue = FORK.SimpleQueue()
    process = FORK.Process(target=lambda: queue.put(seen_in_worker()))
    process.start()
    assert queue.get() == (False, 8, 3)
    process.join()


def test_a_data_loader_that_is_no_process_of_its_own(monkeypatch):
    info = SimpleNamespace(get_worker_info=lambda: None)
    monkeypatch.setitem(sys.modules, "torch.utils.data", info)
    assert not in_pool()
    info.get_worker_info = lambda: "worker 0"
    assert in_pool()
    monkeypatch.setitem(sys.modules, "torch.utils.data", SimpleNamespace())  # it is being imported
    assert not in_pool()


# --- calls at once ----------------------------------------------------------------------------------------------------


def in_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)


def test_helpers_are_as_many_as_cores_are_left():
    with Share(7, 4) as first:
        assert (first.helpers, cores.threads_at_work()) == (3, 4)
        assert in_thread(lambda: helpers_of(Share(7, 4))) == 0  # its caller works all the same
        assert in_thread(lambda: helpers_of(Share(7, None))) == 7  # it was told how many
        assert in_thread(lambda: helpers_of(Share(7, 8))) == 3
        assert cores.threads_at_work() == 4
    assert cores.threads_at_work() == 0


def helpers_of(share):
    with share:
        return share.helpers


def test_a_call_within_a_call_has_its_caller_counted_already():
    with Share(1, 4), Share(7, 4) as inner:
        assert (inner.helpers, cores.threads_at_work()) == (2, 4)
    assert cores.threads_at_work() == 0
    with Share(0, 4):
        assert cores.threads_at_work() == 1


def test_helpers_come_and_go():
    with Share(3, 4) as first:
        assert not first.one_more()
        assert not first.one_less()
        second = Share(3, 4)
        in_thread(second.__enter__)
        assert (second.helpers, cores.threads_at_work()) == (0, 5)
        assert not second.one_less()  # it has none
        assert not second.one_more()
        assert first.one_less()
        assert not first.one_less()
        assert (first.helpers, cores.threads_at_work()) == (2, 4)
        second.__exit__()
        assert first.one_more()
        assert not first.one_more()
        assert (first.helpers, cores.threads_at_work()) == (3, 4)
    assert cores.threads_at_work() == 0


def test_a_share_that_was_lost_is_given_back():
    share = Share(3, 4)
    in_thread(share.__enter__)
    assert cores.threads_at_work() == 4
    del share
    assert cores.threads_at_work() == 0


def test_many_callers_at_once_are_no_more_threads_than_callers(monkeypatch):
    monkeypatch.setenv("FASTCAL_NUM_THREADS", "4")
    all_here, helpers, most = threading.Barrier(32), set(), []

    def call():
        waited = []

        def make():
            if not waited:  # from here on all 32 are within a call
                waited.append(all_here.wait(60))
            return work

        engine.run(3000, 1 << 30, 10, make)

    def work(start, stop):
        if threading.current_thread().name == "fastcal":
            helpers.add(threading.get_ident())
            most.append(len(helpers))
            helpers.discard(threading.get_ident())

    callers = [threading.Thread(target=call) for _ in range(32)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    assert cores.threads_at_work() == 0
    assert max(most, default=0) <= 3


def test_late_helpers(monkeypatch):
    """A call that began beside others has helpers once they have ended."""
    monkeypatch.setenv("FASTCAL_NUM_THREADS", "2")
    monkeypatch.setattr(engine, "LONG", 0)
    other = Share(1, 2)
    in_thread(other.__enter__)
    seen = set()
    helped = threading.Event()

    def work(start, stop):
        seen.add(threading.current_thread().name)
        if threading.current_thread().name == "fastcal":
            helped.set()
        elif start == 500:
            assert "fastcal" not in seen
            other.__exit__()
        elif start == 520:
            helped.wait(60)

    workers = engine.run(1000, 1 << 30, 10, lambda: work)
    assert len(workers) == 2
    assert "fastcal" in seen
