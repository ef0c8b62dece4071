"""What metrics for torch take, what they refuse, and that a refusal changes nothing."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("torch", reason="needs the bench extra")
pytest.importorskip("torchmetrics", reason="needs the bench extra")

import torch
from torch_metrics import LABELS, OUTCOMES, PROBS, SINGLE, WEIGHTS, N

import fastcal as fc
from fastcal.integrations import torch as ft

NAN = float("nan")


def nested():
    with warnings.catch_warnings():  # that it is a prototype
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([PROBS[0], PROBS[1]])


def with_value(tensor, place, value):
    changed = tensor.clone()
    changed[place] = value
    return changed


def one_hot(labels):
    return torch.nn.functional.one_hot(labels, 3)


REFUSED = {
    "out of range": (with_value(PROBS, (17, 1), 1.2), LABELS, None, r"preds\[17, 1\] is 1.2"),
    "nan": (with_value(PROBS, (3, 0), NAN), LABELS, None, r"preds\[3, 0\] is nan"),
    "inf": (with_value(PROBS, (3, 0), float("inf")), LABELS, None, r"preds\[3, 0\] is inf"),
    "not a distribution": (PROBS * 0.5, LABELS, None, r"preds\[0\] sums to 0.5"),
    "no such class": (PROBS, with_value(LABELS, 5, 3), None, r"target\[5\] is 3; labels are integers 0 to 2"),
    "no integer": (PROBS, with_value(LABELS.float(), 5, 0.5), None, r"target\[5\] is 0.5"),
    "one-hot": (PROBS, one_hot(LABELS), None, "target has shape .* not one-hot rows"),
    "too few labels": (PROBS, LABELS[1:], None, "target has shape"),
    "too few weights": (PROBS, LABELS, WEIGHTS[1:], "sample_weight has shape"),
    "negative weight": (PROBS, LABELS, with_value(WEIGHTS, 4, -1.0), r"sample_weight\[4\] is -1"),
    "no dimension": (torch.tensor(0.5), torch.tensor(1), None, "has shape"),
    "other classes": (torch.tensor([[0.5, 0.5]]), torch.tensor([1]), None, "preds has shape .* rows before it were"),
}
OF_ANOTHER_KIND = {
    "a list": ([[0.5, 0.5]], LABELS, "preds is a list; expected a torch.Tensor"),
    "an array": (PROBS.numpy(), LABELS, "preds is a ndarray"),
    "complex": (PROBS.to(torch.complex64), LABELS, "preds has dtype complex"),
    "sparse": (PROBS.to_sparse(), LABELS, "preds is sparse"),
    "nested": (nested(), LABELS[:2], "preds is sparse, nested or quantized"),
    "elsewhere": (PROBS.to("meta"), LABELS, r"preds is on meta; call preds.cpu\(\) first, or make .* move=True"),
    "labels elsewhere": (PROBS, LABELS.to("meta"), r"target is on meta; call target.cpu\(\) first"),
}


@pytest.mark.parametrize("how", ["update", "forward"])
@pytest.mark.parametrize("settings", [{}, {"target": "class-wise"}, {"binning": "quantile"}])
def test_refusals_change_nothing(how, settings):
    metric = ft.CalibrationError(**settings)
    metric.update(PROBS, LABELS)
    before = {key: one.clone() for key, one in metric.metric_state.items()}
    call = metric.update if how == "update" else metric
    for why, (preds, target, weights, said) in REFUSED.items():
        alone = how == "forward" and why == "other classes"  # which fit together, and not with those before
        with pytest.raises(ValueError if alone else fc.DataError, match="cannot merge: scores have" if alone else said):
            call(preds, target, weights)
    for preds, target, said in OF_ANOTHER_KIND.values():
        with pytest.raises(TypeError, match=said):
            call(preds, target)
    assert metric.update_count == 1
    for key, one in before.items():
        assert torch.equal(metric.metric_state[key], one)
    assert metric.compute() == fc.calibration_error(LABELS, PROBS, **settings)
    metric.update(PROBS, LABELS)


def test_places_are_those_of_the_tensors_given():
    images = PROBS.reshape(2, -1, 3).movedim(-1, 1)
    with pytest.raises(fc.DataError, match=r"preds\[1, 2, 4\] is 1.5"):
        ft.CalibrationError()(with_value(images, (1, 2, 4), 1.5), LABELS.reshape(2, -1))
    labels = with_value(LABELS, slice(0, 5), -100)
    for preds, target, said in (
        (with_value(PROBS, (7, 2), 1.5), labels, r"preds\[7, 2\] is 1.5"),
        (PROBS, with_value(labels, 9, 7), r"target\[9\] is 7"),
        (with_value(images, (1, 2, 4), 1.5), labels.reshape(2, -1), r"preds\[1, 2, 4\] is 1.5"),
    ):
        with pytest.raises(fc.DataError, match=said):
            ft.CalibrationError(ignore_index=-100)(preds, target)
    with pytest.raises(fc.DataError, match=r"preds\[3\] is inf"):
        ft.AUROC()(with_value(SINGLE, 3, float("inf")), OUTCOMES)


def test_rows_of_nan_follow_the_policy():
    preds = with_value(PROBS, (3, 0), NAN)
    kept = torch.arange(N) != 3
    left_out = ft.CalibrationError(nan_policy="omit")
    assert left_out(preds, LABELS) == fc.ece(LABELS[kept], PROBS[kept])
    for settings in ({}, {"target": "class-wise"}, {"binning": "quantile"}, {"target": "canonical", "n_bins": 3}):
        assert ft.CalibrationError(nan_policy="propagate", **settings)(preds, LABELS).isnan()
    positive = ft.CalibrationError(target="positive", nan_policy="omit")
    two = torch.stack([1 - SINGLE, SINGLE], dim=1)
    assert positive(with_value(two, (3, 0), NAN), OUTCOMES) == fc.ece(OUTCOMES[kept], two[kept], target="positive")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtypes(dtype):
    rows, single = PROBS.to(dtype), SINGLE.to(dtype)
    for settings in ({}, {"target": "class-wise"}, {"convention": "torchmetrics"}):
        wide = rows if dtype != torch.bfloat16 else rows.float()
        if dtype == torch.bfloat16:  # which sums to 1 within 1e-2 only
            wide = wide.double()
            wide = wide / wide.sum(dim=1, keepdim=True)
        found = ft.CalibrationError(**settings)(rows, LABELS).item()
        assert found == pytest.approx(
            fc.calibration_error(LABELS, wide, **settings), abs=0.02 if wide is not rows else 0
        )
    assert ft.CalibrationError()(single, OUTCOMES) == fc.ece(OUTCOMES, single.double())


def test_memory_layouts_and_labels():
    expected = ft.CalibrationError()(PROBS, LABELS)
    wide = torch.zeros(N, 6)
    wide[:, ::2] = PROBS
    for preds in (wide[:, ::2], PROBS.t().contiguous().t(), PROBS.flip(0).flip(0), torch._neg_view(-PROBS)):
        assert ft.CalibrationError()(preds, LABELS) == expected
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.float32):
        assert ft.CalibrationError()(PROBS, LABELS.to(dtype)) == expected
    assert ft.CalibrationError()(SINGLE, OUTCOMES.bool()) == fc.ece(OUTCOMES, SINGLE)
    assert ft.CalibrationError()(torch.nn.Parameter(PROBS), LABELS) == expected


def test_no_rows():
    metric = ft.CalibrationError(target="positive")
    metric.update(torch.empty(0), torch.empty(0, dtype=torch.long))
    metric.update(torch.empty(0, 2), torch.empty(0, dtype=torch.long))
    assert metric.compute().isnan()
    ignoring = ft.CalibrationError(ignore_index=1)
    assert ignoring(PROBS, torch.ones(N, dtype=torch.long)).isnan()


class Elsewhere(torch.Tensor):
    """A tensor that says it is on another device, and counts its copies."""

    copies = 0

    @property
    def device(self):
        return torch.device("cuda", 1)

    def detach(self):
        return self

    def cpu(self):
        Elsewhere.copies += 1
        return torch.Tensor(self.numpy(force=True))


def test_tensors_of_another_device_are_moved_if_that_is_said():
    preds = PROBS.clone().as_subclass(Elsewhere)
    with pytest.raises(TypeError, match=r"preds is on cuda:1; call preds.cpu"):
        ft.CalibrationError()(preds, LABELS)
    assert Elsewhere.copies == 0
    assert ft.CalibrationError(move=True)(preds, LABELS) == fc.ece(LABELS, PROBS)
    assert Elsewhere.copies == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"norm": "l3"}, "norm is 'l3'"),
        ({"squared": True}, "squared=True belongs to norm='l2'"),
        ({"debiased": True, "norm": "max"}, "debiased=True belongs"),
        ({"debiased": 1}, "debiased is 1"),
        ({"target": "labels"}, "target is 'labels'"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"binning": "equal"}, "binning is 'equal'"),
        ({"binning": "quantile", "closed": "left"}, "no other closed"),
        ({"binning": "quantile", "target": "class-wise"}, "has no state to merge"),
        ({"n_cells": 2048}, "n_cells is 2048"),
        ({"target": "canonical", "debiased": True}, "target='canonical' takes"),
        ({"nan_policy": "skip"}, "nan_policy is 'skip'"),
        ({"ignore_index": 1.5}, "ignore_index is 1.5"),
        ({"num_classes": 0}, "num_classes is 0; expected an integer from 1 up"),
        ({"move": 1}, "move is 1"),
        ({"sync": True}, "Unexpected keyword arguments"),
    ],
)
def test_settings_that_there_are_not(settings, said):
    with pytest.raises(ValueError, match=said):
        ft.CalibrationError(**settings)


def test_other_arguments_that_there_are_not():
    for wrong in ("ece", fc.Evaluation, fc.Evaluation().update([0], [0.5])):
        with pytest.raises(TypeError, match="expected an accumulator of fastcal that has seen no rows"):
            ft.AccumulatorMetric(wrong)
    with pytest.raises(TypeError, match="unexpected keyword"):
        ft.Evaluation(bins=3)
    with pytest.raises(TypeError, match="takes no ignore_index"):
        ft.Uncertainty(ignore_index=3)
    for preds, target in ((PROBS, LABELS), (SINGLE, OUTCOMES)):
        with pytest.raises(fc.DataError, match=r"preds has . classes; num_classes is 4"):
            ft.CalibrationError(num_classes=4)(preds, target)
    with pytest.raises(fc.DataError, match="groups are not kept"):
        ft.Evaluation().update(PROBS, LABELS, groups=OUTCOMES)


def test_fixed_numbers_of_cells():
    metric = ft.CalibrationError(binning="quantile", n_cells=1024)
    assert metric(SINGLE, OUTCOMES).item() == pytest.approx(fc.adaptive_ece(OUTCOMES, SINGLE), rel=1e-12)


def test_shared_memory_is_not_copied():
    batch = ft.Batch(PROBS, LABELS, WEIGHTS)
    assert batch.y_prob.ctypes.data == PROBS.data_ptr()
    assert batch.y_true.ctypes.data == LABELS.data_ptr()
    assert batch.sample_weight.ctypes.data == WEIGHTS.data_ptr()
