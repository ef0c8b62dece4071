"""Metrics for torch in one process: equal to the functions on all rows, and good citizens of torchmetrics."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the bench extra")
pytest.importorskip("torchmetrics", reason="needs the bench extra")

import torch
import torchmetrics
from torch_metrics import (
    LABELS,
    LOGITS,
    OUTCOMES,
    PROBS,
    SETTINGS,
    SINGLE,
    WEIGHTS,
    N,
    batches,
    kinds,
)
from torchmetrics import MetricCollection, MetricTracker
from torchmetrics.wrappers import BootStrapper, MinMaxMetric, Running

import fastcal as fc
from fastcal.integrations import torch as ft

METRICS = pytest.mark.parametrize("name", kinds())
ENDS = ((), (1,), (13, 30), (0, 5, 5, 20, 21))


def filled(name, at=(13, 30)):
    make, rows, weighted = kinds()[name]
    metric = make()
    for batch in batches(rows, weighted, at):
        metric.update(*batch)
    return metric


def same(ours, expected, rtol=0.0):
    """Results that are equal: of weights but for rounding."""
    if isinstance(expected, dict):
        assert ours.keys() == expected.keys()
        for name, value in expected.items():
            same(ours[name], value, rtol)
        return
    torch.testing.assert_close(ours, expected, rtol=rtol, atol=rtol, equal_nan=True)


@pytest.mark.parametrize(("settings", "is_sums"), SETTINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_those_of_the_function(settings, is_sums, weighted):
    quantiles = settings.get("binning") == "quantile"
    if weighted and quantiles and settings.get("debiased"):
        metric = ft.CalibrationError(**settings)
        metric.update(PROBS, LABELS, WEIGHTS)
        with pytest.raises(ValueError, match="without weights"):
            metric.compute()
        return
    weights = WEIGHTS if weighted else None
    expected = fc.calibration_error(LABELS, PROBS, sample_weight=weights, **settings)
    rtol = 1e-12 if weighted or quantiles else 0.0
    assert list(ft.CalibrationError(**settings).metric_state) == (["kind", "sums", "pairs"] if is_sums else ["state"])
    for ends in ENDS:
        metric = ft.CalibrationError(**settings)
        for batch in batches((PROBS, LABELS), weighted, ends):
            metric.update(*batch)
        found = metric.compute()
        assert found.dtype == torch.float64
        assert found.shape == ()
        assert found.item() == pytest.approx(expected, rel=rtol, abs=rtol)


def test_forms_of_rows():
    one, log_odds = fc.calibration_error(OUTCOMES, SINGLE), SINGLE.logit()
    two = torch.stack([1 - SINGLE, SINGLE], dim=1)
    settings = {"auto": SINGLE, "positive": SINGLE}
    for target, preds in settings.items():
        assert ft.CalibrationError(target=target)(preds, OUTCOMES) == one
    assert ft.CalibrationError(target="positive")(two, OUTCOMES).item() == pytest.approx(one, rel=1e-6)
    assert ft.CalibrationError(target="positive")(two, OUTCOMES, WEIGHTS) == fc.calibration_error(
        OUTCOMES, two, target="positive", sample_weight=WEIGHTS
    )
    assert ft.CalibrationError(target="positive")(SINGLE.reshape(2, -1), OUTCOMES.reshape(2, -1)) == one
    top = fc.calibration_error(OUTCOMES, SINGLE, target="top-label")
    assert ft.CalibrationError(target="top-label")(SINGLE, OUTCOMES) == top
    assert ft.CalibrationError(from_logits=True)(log_odds, OUTCOMES) == fc.ece(OUTCOMES, log_odds, from_logits=True)
    logits = ft.CalibrationError(from_logits=True)
    assert logits(LOGITS, LABELS) == fc.ece(LABELS, LOGITS, from_logits=True)
    images = PROBS.reshape(2, -1, 3).movedim(-1, 1)  # (N, C, d), as convolutions give them
    assert ft.CalibrationError()(images, LABELS.reshape(2, -1)) == fc.ece(LABELS, PROBS)
    with pytest.raises(ValueError, match="target has shape"):  # not taken for single probabilities
        ft.CalibrationError()(PROBS, torch.nn.functional.one_hot(LABELS, 3))


def test_rows_that_are_ignored():
    labels, kept = LABELS.clone(), torch.arange(N) % 3 != 0
    labels[~kept] = -100
    expected = fc.ece(LABELS[kept], PROBS[kept], sample_weight=WEIGHTS[kept])
    assert ft.CalibrationError(ignore_index=-100)(PROBS, labels, WEIGHTS) == expected
    assert ft.CalibrationError(ignore_index=-1)(PROBS, LABELS, WEIGHTS) == fc.ece(LABELS, PROBS, sample_weight=WEIGHTS)
    images = PROBS.reshape(2, -1, 3).movedim(-1, 1), labels.reshape(2, -1), WEIGHTS.reshape(2, -1)
    assert ft.CalibrationError(ignore_index=-100)(*images) == expected
    groups = torch.arange(N) % 2
    report = ft.Evaluation(groups=True, ignore_index=-100)
    report.update(PROBS, labels, groups=groups)
    by_hand = fc.Evaluation(groups=True).update(LABELS[kept], PROBS[kept], groups=groups[kept].numpy()).compute()
    assert report.report()["groups"].to_dict() == by_hand["groups"].to_dict()
    for wrong in (groups[1:], torch.cat([groups, groups]).tolist()):
        with pytest.raises(fc.DataError, match=r"groups has shape \([0-9]+,\), expected \([0-9]+,\)"):
            report.update(PROBS, labels, groups=wrong)
    report.update(PROBS[:2], LABELS[:2], groups=[0, 1])


def test_the_report():
    weights = None
    metric = ft.Evaluation(n_bins=10, bootstrap=3)
    for batch in batches((PROBS, LABELS), False, (13,)):
        metric.update(*batch)
    expected = fc.Evaluation(n_bins=10, bootstrap=3).update(LABELS, PROBS, sample_weight=weights).compute()
    found = metric.compute()
    assert {"ece", "nll", "brier", "accuracy", "n"} <= found.keys()
    for name, value in found.items():
        assert value.dtype == (torch.int64 if isinstance(expected[name], int) else torch.float64)
        assert value.item() == expected[name] or math.isnan(value)
    assert metric.report().to_json() == expected.to_json()


def test_figures_of_any_accumulator():
    ranking = fc.RankingAccumulator().update(OUTCOMES, SINGLE).compute()
    assert ft.AUROC()(SINGLE, OUTCOMES) == ranking["auroc"] == fc.auroc(OUTCOMES, SINGLE)
    assert ft.AveragePrecision()(SINGLE, OUTCOMES) == fc.average_precision(OUTCOMES, SINGLE)
    assert ft.AURC()(PROBS, LABELS) == fc.aurc(LABELS, PROBS)
    assert ft.NLL(from_logits=True)(LOGITS, LABELS) == fc.nll(LABELS, LOGITS, from_logits=True)
    assert ft.Accuracy()(PROBS, LABELS) == fc.accuracy(LABELS, PROBS)
    assert ft.BrierScore()(SINGLE, OUTCOMES, WEIGHTS) == fc.brier_score(OUTCOMES, SINGLE, sample_weight=WEIGHTS)
    found = ft.AccumulatorMetric(fc.RankingAccumulator())(SINGLE, OUTCOMES)
    assert {name: value.item() for name, value in found.items()} == {name: ranking[name] for name in found}
    negated = ft.AccumulatorMetric(fc.RankingAccumulator(), lambda seen: -seen.compute()["auroc"])
    assert negated(SINGLE, OUTCOMES) == -ranking["auroc"]
    members, away = torch.stack([PROBS, PROBS.flip(1)]), torch.arange(N) % 2 == 0
    seen = fc.UncertaintyAccumulator().update(LABELS.numpy(), members.numpy(), out_of_distribution=away.numpy())
    metric = ft.Uncertainty()
    metric.update(members, LABELS, out_of_distribution=away)
    assert metric.compute()["mutual_information_ood_auroc"] == seen.compute()["mutual_information"]["ood_auroc"]


@METRICS
def test_forward_gives_the_batch_and_adds_it(name):
    make, rows, weighted = kinds()[name]
    metric = make()
    for batch in batches(rows, weighted, (60,) if N > 60 else (20,)):
        alone = make()
        alone.update(*batch)
        same(metric(*batch), alone.compute())
    assert metric.update_count == 2
    same(metric.compute(), filled(name).compute(), 1e-12)


@METRICS
def test_copies_pickles_and_clones(name):
    metric = filled(name)
    value, batch = metric.compute(), batches(*kinds()[name][1:], (3,))[0]
    copies = [pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric), metric.clone()]
    for one in copies:
        same(one.compute(), value)
        one._computed = None
        same(one.compute(), value)
        one.update(*batch)
    same(metric.compute(), value)
    assert len({hash(one) for one in (metric, *copies)}) == 4
    assert hash(metric) == hash(metric)


@METRICS
def test_state_dict(name):
    metric, fresh = filled(name), kinds()[name][0]()
    assert metric.state_dict() == {}
    metric.persistent(True)
    saved = metric.state_dict()
    fresh.persistent(True)
    fresh.load_state_dict(saved)
    fresh._update_count = 1
    same(fresh.compute(), metric.compute())
    for broken in ({key: one[:-1] for key, one in saved.items()}, {key: one.float() for key, one in saved.items()}):
        with pytest.raises(RuntimeError, match=r"fastcal state|cannot merge"):
            fresh.load_state_dict(broken)
        same(fresh.compute(), metric.compute())


@METRICS
def test_merged_states(name):
    make, rows, weighted = kinds()[name]
    parts = [make() for _ in range(3)]
    for part, batch in zip(parts, batches(rows, weighted, (13, 30)), strict=True):
        part.update(*batch)
    whole = make()
    for part in (make(), *parts[1:], parts[0]):
        whole.merge_state(part)
    same(whole.compute(), filled(name).compute(), 1e-12 if weighted else 0.0)
    again = make()
    again.merge_state(whole.metric_state)
    same(again.compute(), whole.compute())
    again.merge_state(parts[0])  # a value was computed already
    expected = make()
    for part in (whole, parts[0]):
        expected.merge_state(part)
    same(again.compute(), expected.compute())
    with pytest.raises(ValueError, match=r"no 'kind'|no 'state'"):
        whole.merge_state({})
    other = make(ignore_index=5) if name != "uncertainty" else ft.Uncertainty(from_logits=True)
    with pytest.raises(ValueError, match="cannot merge"):
        whole.merge_state(other)
    with pytest.raises(ValueError, match="instance of"):
        whole.merge_state(torchmetrics.SumMetric())


@METRICS
def test_moves_and_dtypes_leave_states_alone(name):
    metric = filled(name)
    value, before = metric.compute(), {key: one.clone() for key, one in metric.metric_state.items()}
    module = torch.nn.Module()
    module.metric = metric
    for change in (metric.half, metric.double, metric.float, module.half, module.double):
        change()
    metric.set_dtype(torch.float16)
    module.to(torch.float16)
    metric.to("cpu")
    for key, one in before.items():
        assert one.dtype in (torch.int64, torch.uint8)
        assert torch.equal(metric.metric_state[key], one)
    metric._computed = None
    same(metric.compute(), value)


@METRICS
def test_reset_is_exact(name):
    metric, fresh = filled(name), kinds()[name][0]()
    metric.reset()
    for key, one in fresh.metric_state.items():
        assert torch.equal(metric.metric_state[key], one)
    assert metric.update_count == 0
    metric.update(*batches(*kinds()[name][1:], (13,))[0])
    fresh.update(*batches(*kinds()[name][1:], (13,))[0])
    same(metric.compute(), fresh.compute())


def collection(**settings):
    metrics = {
        "l1": ft.CalibrationError(),
        "max": ft.CalibrationError(norm="max"),
        "left": ft.CalibrationError(closed="left"),
        "ignoring": ft.CalibrationError(ignore_index=2),
        "nll": ft.NLL(),
        "brier": ft.BrierScore(),
        "quantile": ft.CalibrationError(binning="quantile"),
    }
    return MetricCollection(metrics, **settings)


@pytest.mark.parametrize("settings", [{}, {"compute_groups": False}, {"prefix": "val/", "postfix": "_1"}])
def test_collections(settings):
    metrics = collection(**settings)
    first = LABELS[:20].clamp(max=1)  # none that is ignored: states are equal at first
    for _ in range(2):
        metrics.update(PROBS[:20], first)
        metrics.update(PROBS[20:], LABELS[20:])
        labels = torch.cat([first, LABELS[20:]])
        expected = {name: one(PROBS, labels) for name, one in collection().items()}
        name = settings.get("prefix", "") + "{}" + settings.get("postfix", "")
        same(metrics.compute(), {name.format(key): value for key, value in expected.items()})
        metrics.reset()
    if settings.get("compute_groups", True):
        groups = sorted(sorted(group) for group in metrics.compute_groups.values())
        assert groups == [["brier", "nll"], ["ignoring"], ["l1", "max"], ["left"], ["quantile"]]
    assert set(metrics(PROBS, LABELS)) == {
        settings.get("prefix", "") + key + settings.get("postfix", "") for key in expected
    }


def test_wrappers_of_torchmetrics():
    for make in (ft.CalibrationError, lambda: ft.CalibrationError(target="class-wise")):
        running = Running(make(), window=2)
        tracker = MetricTracker(make(), maximize=False)
        for batch in batches((PROBS, LABELS), False, (10, 20)):
            running.update(*batch)
            tracker.increment()
            tracker.update(*batch)
        assert running.compute() == make()(PROBS[10:], LABELS[10:])
        assert tracker.compute_all()[1] == make()(PROBS[10:20], LABELS[10:20])
        extremes = MinMaxMetric(make())
        extremes.update(PROBS, LABELS)
        assert extremes.compute()["max"] == make()(PROBS, LABELS)
        resampled = BootStrapper(make(), num_bootstraps=2)
        resampled.update(PROBS, LABELS)
        assert 0 <= resampled.compute()["mean"] <= 1
        twice = make() + make()
        twice.update(PROBS, LABELS)
        assert twice.compute() == 2 * make()(PROBS, LABELS)


def test_plots():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    metric = filled("sums")
    figure, axes = metric.plot()
    assert axes.get_ylim()[0] <= metric.compute() <= axes.get_ylim()[1]
    pyplot.close(figure)
    figure, axes = metric.plot([metric.compute(), metric.compute() / 2])
    assert len(axes.lines) >= 1
    pyplot.close(figure)


def test_accumulators_are_handed_out_as_copies():
    metric = filled("sums")
    seen = metric.accumulator()
    value = metric.compute().item()
    assert seen.figure("ece") == value
    seen.update(LABELS.numpy(), PROBS.numpy().copy()[:, ::-1])
    metric._computed = None
    assert metric.compute() == value


def test_results_are_float64_and_gradients_end_here():
    preds = PROBS.clone().requires_grad_()
    value = ft.CalibrationError()(preds, LABELS)
    assert not value.requires_grad
    assert value.dtype == torch.float64
    assert not ft.CalibrationError.is_differentiable
    np.testing.assert_array_equal(value.numpy(), fc.ece(LABELS.numpy(), PROBS.numpy()))
