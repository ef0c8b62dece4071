"""Laws of metrics for torch: however rows are spread over batches and processes, the result has the same bits."""

from __future__ import annotations

import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the bench extra")
pytest.importorskip("torchmetrics", reason="needs the bench extra")

import torch
from torch_metrics import LABELS, PROBS, N, batches, kinds
from torchmetrics.utilities.exceptions import TorchMetricsUserError

import fastcal as fc
from fastcal.integrations import torch as ft


def synced(metrics):
    """The result of the first, as if each were a process of its own."""
    first = metrics[0]

    def gathered(tensor, group=None):
        assert group is None
        name = next(name for name in first._defaults if getattr(first, name) is tensor)
        return [getattr(metric, name) for metric in metrics]

    before = {name: one.clone() for name, one in first.metric_state.items()}
    first.dist_sync_fn, first.distributed_available_fn = gathered, lambda: True
    found = first.compute()
    for name, one in before.items():
        assert torch.equal(first.metric_state[name], one)
    return found


def repeated(n):
    """Gathers what so many processes have that all have the same."""

    def gathered(tensor, group):
        return [tensor] * n

    return gathered


def same(ours, expected, rtol):
    if isinstance(expected, dict):
        for name, value in expected.items():
            same(ours[name], value, rtol)
        return
    torch.testing.assert_close(ours, expected, rtol=rtol, atol=rtol, equal_nan=True)


@pytest.mark.parametrize("name", kinds())
@settings(max_examples=12 if JIT else 2)
@given(
    ends=st.lists(st.integers(0, N), max_size=5).map(sorted), ranks=st.lists(st.integers(0, 2), min_size=6, max_size=6)
)
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_any_spread_gives_the_same(name, ends, ranks):
    make, rows, weighted = kinds()[name]
    rtol = 1e-12 if weighted else 0.0
    metrics = [make() for _ in range(3)]
    for rank, batch in zip(ranks, batches(rows, weighted, ends), strict=False):
        if len(batch[0]):
            metrics[rank].update(*batch)
    whole = make()
    whole.update(*batches(rows, weighted, ())[0])
    same(synced(metrics), whole.compute(), rtol)
    same(synced(metrics[::-1]), whole.compute(), rtol)
    merged = make()
    for metric in metrics:
        merged.merge_state(metric)
    same(merged.compute(), whole.compute(), rtol)


@pytest.mark.parametrize("name", kinds())
def test_many_processes_do_not_overflow(name):
    make, rows, weighted = kinds()[name]
    many = 3000 if name in ("sums", "weighted sums", "scores") else 5  # of digits that were not carried before
    metric = make()
    metric.update(*batches(rows, weighted, ())[0])
    alone = {key: one.item() for key, one in (metric.compute() if name in ("report", "uncertainty") else {}).items()}
    value = metric.compute()
    metric._computed = None
    metric.dist_sync_fn, metric.distributed_available_fn = repeated(many), lambda: True
    found = metric.compute()
    if alone:
        assert found["n"].item() == many * alone["n"]
        return
    if name not in ("quantiles", "squares", "any", "selective"):  # of rows: those are of how many there are, too
        torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12)


def test_syncing_by_hand():
    metric = ft.CalibrationError(distributed_available_fn=lambda: True, dist_sync_fn=repeated(2))
    metric.update(PROBS, LABELS)
    once = metric.accumulator().compute()["n"]
    metric.sync(dist_sync_fn=metric.dist_sync_fn)
    assert metric.accumulator().compute()["n"] == 2 * once
    with pytest.raises(TorchMetricsUserError, match="synced"):
        metric(PROBS, LABELS)
    metric.unsync()
    assert metric.accumulator().compute()["n"] == once
    assert metric.report()["n"] == 2 * once
    assert metric.accumulator().compute()["n"] == once
    assert metric.compute() == fc.ece(LABELS, PROBS)
