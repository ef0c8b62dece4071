"""The table of comparisons under pytest-benchmark: ``pytest bench``; each answer is asserted before it is timed."""

from __future__ import annotations

import pytest
from peers import available

from . import table
from .race import use_all_cores

pytest.importorskip("pytest_benchmark")
pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own


def cases():
    for trial in table.TRIALS:
        row, kind, _ = trial.of
        peers = [name for name, peer in row.peers_for(kind).items() if available(peer)]
        for name in ("fastcal", *peers):
            yield pytest.param(trial.sized(quick=True), name, id=f"{row.name}-{kind}-{name}")


@pytest.mark.parametrize(("trial", "name"), list(cases()))
def test_bench(benchmark, trial, name):
    use_all_cores()
    benchmark.group = f"{trial.work}: {trial.words}"
    benchmark.pedantic(table.contenders(trial)[name], rounds=5, warmup_rounds=1)
