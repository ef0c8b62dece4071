"""Many threads that call at once: the bits of one, whatever they call, and nothing left over."""

from __future__ import annotations

import threading

import many_at_once
import pytest
from conftest import JIT
from many_at_once import KINDS, NAMES, Job
from public_calls import Rows

from fastcal import cores

pytestmark = pytest.mark.filterwarnings("ignore::fastcal.FitWarning")

ROWS = Rows(n=300 if JIT else 40, k=3)
SOME = NAMES if JIT else ["ece", "softmax", "adaptive_ece, rows", "Evaluation", "TemperatureScaling.predict_proba"]


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch):
    monkeypatch.setattr(many_at_once.engine, "SMALL", many_at_once.engine.SMALL)
    yield
    assert cores.threads_at_work() == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "fastcal"]


def compare(kind, jobs):
    expected = {job: many_at_once.alone(job) for job in jobs}
    wrong, n_calls = many_at_once.differences(kind, jobs, expected.__getitem__)
    assert n_calls == sum(len(job.names) for job in jobs)
    assert not wrong


def test_32_threads_and_every_public_function():
    """Each is called by two threads at once, on the same arrays; of calibrators the same object predicts."""
    jobs = [Job(tuple(SOME[number % 16 :: 16]), ROWS, n_threads=None, small=0) for number in range(32)]
    compare("threads", [job for job in jobs if job.names])


@pytest.mark.parametrize("name", ["ece", "softmax", "adaptive_ece, rows", "TemperatureScaling.predict_proba"])
def test_32_threads_and_one_function(name):
    compare("threads", [Job((name,), ROWS._replace(n=3000 if JIT else 40), None, 0)] * (32 if JIT else 4))


@pytest.mark.parametrize("kind", ["thread pool", "pools in threads of a pool", "asyncio", "joblib, threads"])
def test_pools_of_threads(kind):
    if not KINDS[kind].is_here:
        pytest.skip(f"needs {KINDS[kind].needs}")
    names = SOME[: 4 if JIT else 2], SOME[-6:] if JIT else SOME[:1]
    compare(kind, [Job(tuple(names[number % 2]), ROWS, (None, 2)[number % 2], 0) for number in range(6)])


def test_threads_of_dask():
    pytest.importorskip("dask", reason="needs the bench extra")
    compare("Dask, threads", [Job(tuple(SOME[:4]), ROWS, None, 0)] * 4)


def test_a_difference_is_seen():
    job = Job(("ece",), ROWS, None, 0)
    assert many_at_once.differences("thread pool", [job], lambda _: ["other bits"]) == (["ece"], 1)
