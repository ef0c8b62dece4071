"""What each of several processes finds: metrics of torch over gloo, with rows that are spread unevenly."""

from __future__ import annotations

import sys
import warnings

import torch
import torch.distributed as dist
from torch_metrics import LABELS, PROBS, SINGLE, batches, kinds, plain
from torchmetrics import MetricCollection

from fastcal.compat.torchmetrics.classification import MulticlassCalibrationError
from fastcal.integrations import torch as ft

# Ends of the batches; those of each process. The last one leaves a process without any.
SPREADS = {"uneven": ((7, 50), ((0, 2), (1,))), "one has all": ((30,), ((0, 1), ()))}


def found(rank):
    """Results by name: the same on every rank."""
    results = {}
    for name, (make, rows, weighted) in kinds().items():
        for spread, (at, shares) in SPREADS.items():
            metric, all_batches = make(), batches(rows, weighted, at)
            for number in shares[rank]:
                metric.update(*all_batches[number])
            results[name, spread] = plain(metric.compute())
            before = metric.metric_state
            assert metric.update_count == len(shares[rank])
            metric.reset()
            assert all(len(one) == len(metric._defaults[key]) for key, one in metric.metric_state.items())
            del before
        results[name, "alone"] = plain(_alone(make, rows, weighted)) if rank == 0 else None
        on_step = make(dist_sync_on_step=True)
        results[name, "step"] = plain(on_step(*batches(rows, weighted, (40,))[rank]))
        results[name, "after step"] = plain(on_step.compute())
    theirs = MulticlassCalibrationError(3, dist_sync_on_step=False)
    theirs.update(PROBS[:20] if rank else PROBS[20:], LABELS[:20] if rank else LABELS[20:])
    results["theirs"] = plain(theirs.compute())
    both = MetricCollection({"a": ft.CalibrationError(), "b": ft.CalibrationError(norm="max"), "c": ft.AURC()})
    both.update(PROBS[:20] if rank else PROBS[20:], LABELS[:20] if rank else LABELS[20:])
    results["collection"] = plain(both.compute())
    results["report"] = repr(both["a"].report()["n"])
    results["errors"] = errors(rank)
    return results


def _alone(make, rows, weighted):
    """Of this process only: nothing is synchronised."""
    metric = make(sync_on_compute=False)
    metric.update(*batches(rows, weighted, (40,))[0])
    return metric.compute()


def by_class():
    return ft.CalibrationError(target="class-wise")


def errors(rank):
    """What is said where processes do not fit together; on all of them."""
    said = []
    for metrics, given in (
        ((ft.CalibrationError(), ft.CalibrationError()), ((PROBS, LABELS), (PROBS[:, :2].softmax(1), LABELS % 2))),
        ((by_class(), by_class()), ((PROBS, LABELS), (PROBS[:, :2].softmax(1), LABELS % 2))),
        ((ft.BrierScore(), ft.BrierScore()), ((PROBS, LABELS), (SINGLE, LABELS % 2))),
        ((ft.CalibrationError(n_bins=5), ft.CalibrationError(n_bins=6)), ((PROBS, LABELS), (PROBS, LABELS))),
        ((ft.AUROC(), ft.AUROC(n_cells=1024)), ((SINGLE, LABELS % 2), (SINGLE, LABELS % 2))),
    ):
        metric = metrics[rank]
        metric.update(*given[rank])
        state = {name: one.clone() for name, one in metric.metric_state.items()}
        try:
            metric.compute()
            said.append(None)
        except ValueError as error:
            said.append(str(error))
        assert all(torch.equal(one, metric.metric_state[name]) for name, one in state.items())
    return said


def main(rank, store, out):
    """One process of two."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    with warnings.catch_warnings():  # of compute before update, where a process has no rows
        warnings.simplefilter("ignore")
        torch.save(found(rank), out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
