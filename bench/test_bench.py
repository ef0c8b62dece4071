"""The table of comparisons under pytest-benchmark: ``pytest bench``; each answer is asserted before it is timed."""

from __future__ import annotations

import pytest
from comparisons import TABLE
from peers import available

from .race import QUICK, contenders, data, use_all_cores

pytest.importorskip("pytest_benchmark")


def cases():
    for row in TABLE:
        for kind in row.timed:
            peers = [name for name, peer in row.peers_for(kind).items() if available(peer)]
            for name in ("fastcal", *peers):
                yield pytest.param(row, kind, name, id=f"{row.name}-{kind}-{name}")


@pytest.mark.parametrize(("row", "kind", "name"), list(cases()))
def test_bench(benchmark, row, kind, name):
    use_all_cores()
    benchmark.group = f"{row.work}: {kind}"
    benchmark.pedantic(contenders(row, data(kind, *QUICK[kind]))[name], rounds=5, warmup_rounds=1)
