"""Processes of every kind after, or while, fastcal was used: the bits of one, and no deadlock.

Those that import everything anew (spawn, forkserver, loky) take seconds each: ``ci/stress`` tries them.
"""

from __future__ import annotations

import many_at_once
import pytest
from conftest import JIT
from many_at_once import KINDS, NAMES, Job
from public_calls import Rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::fastcal.FitWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

ROWS = Rows(n=300 if JIT else 40, k=3)
SOME = NAMES[::4] if JIT else ["ece", "softmax"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(many_at_once.engine, "SMALL", many_at_once.engine.SMALL)


def compare(kind, n_jobs=3):
    jobs = [Job(tuple(SOME[number::n_jobs]), ROWS, (None, 2)[number % 2], 0) for number in range(n_jobs)]
    jobs = [job for job in jobs if job.names]
    wrong, _ = many_at_once.differences(kind, jobs, many_at_once.alone)
    assert not wrong


@pytest.mark.parametrize(
    "kind", ["fork", "fork while others call", "threads in a forked pool", "Pool, fork", "ProcessPoolExecutor, fork"]
)
def test_forks(kind):
    compare(kind)


def test_data_loader():
    pytest.importorskip("torch", reason="needs the bench extra")
    compare("DataLoader, fork")


def test_all_kinds_are_tried_somewhere():
    in_stress = {kind for kind, how in KINDS.items() if how.new_process}
    here = {"fork", "fork while others call", "threads in a forked pool", "Pool, fork", "ProcessPoolExecutor, fork"}
    threads = {"threads", "thread pool", "pools in threads of a pool", "asyncio", "joblib, threads", "Dask, threads"}
    assert in_stress | here | threads | {"DataLoader, fork"} == set(KINDS)
