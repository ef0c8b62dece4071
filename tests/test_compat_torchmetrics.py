"""``fastcal.compat.torchmetrics`` beside torchmetrics itself: the same results, kinds of errors, dtypes and shapes."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

pytest.importorskip("torch", reason="needs the bench extra")
pytest.importorskip("torchmetrics", reason="needs the bench extra")

import torch
import torchmetrics.classification as their_classes
import torchmetrics.functional.classification as theirs
from conftest import JIT
from torchmetrics import MetricCollection
from torchmetrics.functional import calibration_error as their_calibration_error

import fastcal.compat.torchmetrics as compat
from fastcal.compat.torchmetrics import classification as our_classes
from fastcal.compat.torchmetrics import functional
from fastcal.compat.torchmetrics.functional import classification as ours

N = 60 if JIT else 20
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# What their sums are rounded to, and so how far results are from exact ones.
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-12, torch.float16: 4e-3, torch.bfloat16: 3e-2}
FUNCTIONS = {"auroc": 1e-5, "average_precision": 1e-5}

generator = torch.Generator().manual_seed(1)
Y = torch.randint(0, 2, (N,), generator=generator)
P = torch.rand(N, generator=generator, dtype=torch.float64)
BINARY = {
    "probabilities": P,
    "logits": (P - 0.5) * 12,
    "just outside": P.clone().index_fill(0, torch.tensor([3]), 1 + 1e-3),
    "ends": (P > 0.5).double(),
    "on edges": (P * 15).round() / 15,
    "nan": P.where(P > 0.2, torch.tensor(float("nan"), dtype=torch.float64)),
    "all nan": P * float("nan"),
    "infinite": torch.where(P > 0.5, float("inf"), -float("inf")),
}
Q = torch.rand(N, 4, generator=generator, dtype=torch.float64)
K = torch.randint(0, 4, (N,), generator=generator)
MULTICLASS = {
    "probabilities": Q.softmax(1),
    "no distributions": Q,
    "logits": (Q - 0.5) * 9,
    "far logits": (Q - 0.5) * 900,
    "certain": torch.nn.functional.one_hot(K, 4).double(),
    "ties": torch.full_like(Q, 0.25),
    "nan": Q.masked_fill(P[:, None] < 0.2, float("nan")),
}


def same(found, expected, rtol):
    """Equal but for rounding, in shape and dtype; where theirs is an integer 0, ours is a float."""
    if expected.dtype == torch.int64:
        assert expected == 0
        assert found.is_floating_point()
        expected = expected.to(found.dtype)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol, equal_nan=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", BINARY)
def test_binary_calibration_error(dtype, kind):
    preds = BINARY[kind].to(dtype)
    ignored = Y.clone()
    ignored[::7] = -1
    for norm in ("l1", "l2", "max"):
        for n_bins, target, ignore_index in ((15, Y, None), (10, ignored, -1), (1, Y.float(), None), (15, Y.bool(), 0)):
            settings = {"n_bins": n_bins, "norm": norm, "ignore_index": ignore_index}
            expected = theirs.binary_calibration_error(preds, target, **settings)
            same(ours.binary_calibration_error(preds, target, **settings), expected, ROUNDING[dtype])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", MULTICLASS)
def test_multiclass_calibration_error(dtype, kind):
    preds = MULTICLASS[kind].to(dtype)
    ignored = K.clone()
    ignored[::7] = -100
    for norm in ("l1", "l2", "max"):
        for n_bins, target, ignore_index in ((15, K, None), (7, ignored, -100), (15, K, 0)):
            settings = {"num_classes": 4, "n_bins": n_bins, "norm": norm, "ignore_index": ignore_index}
            expected = theirs.multiclass_calibration_error(preds, target, **settings)
            same(ours.multiclass_calibration_error(preds, target, **settings), expected, 2e-6)
    images, labels = preds.reshape(2, -1, 4).movedim(-1, 1), K.reshape(2, -1)
    expected = theirs.multiclass_calibration_error(images, labels, 4)
    same(ours.multiclass_calibration_error(images, labels, 4), expected, 2e-6)


def test_many_bins_of_few_bits():
    for dtype, n_bins in ((torch.bfloat16, 300), (torch.float16, 3000)):  # some of their edges are equal
        preds = P.to(dtype)
        settings = {"n_bins": n_bins, "norm": "max"}
        expected = theirs.binary_calibration_error(preds, Y, **settings)
        same(ours.binary_calibration_error(preds, Y, **settings), expected, ROUNDING[dtype])


@pytest.mark.parametrize("name", ["BinaryCalibrationError", "MulticlassCalibrationError"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_classes(name, dtype):
    binary = name.startswith("Binary")
    for kind, preds in (BINARY if binary else MULTICLASS).items():
        target, settings = (Y, {}) if binary else (K, {"num_classes": 4})
        pair = [getattr(module, name)(**settings, norm="l2", n_bins=6) for module in (our_classes, their_classes)]
        other = getattr(our_classes, name)(**settings, norm="l2", n_bins=6)
        for part in (slice(0, 11), slice(11, N)):
            values = [metric(preds[part].to(dtype), target[part]) for metric in pair]
            same(*values, 1e-12 if binary and dtype == torch.float64 else 2e-6)
            if part.start:
                other.update(preds[part].to(dtype), target[part])
        same(pair[0].compute(), pair[1].compute(), 2e-6), kind
        merged = getattr(our_classes, name)(**settings, norm="l2", n_bins=6)
        merged.update(preds[:11].to(dtype), target[:11])
        merged._computed = None
        merged.merge_state(other)
        same(merged.compute(), pair[0].compute(), 0)
        for metric in pair:
            metric.reset()
            metric.set_dtype(torch.float32)
            metric.update(preds.to(dtype), target)
        same(pair[0].compute(), pair[1].compute(), 2e-6)


def test_classes_are_good_citizens():
    metrics = {"a": our_classes.BinaryCalibrationError(), "b": our_classes.BinaryCalibrationError(norm="max")}
    metrics["c"] = our_classes.BinaryCalibrationError(ignore_index=0)
    together = MetricCollection(metrics)
    together.update(P, torch.ones_like(Y))
    together.update(P, Y)
    assert sorted(sorted(group) for group in together.compute_groups.values()) == [["a", "b"], ["c"]]
    alone = our_classes.BinaryCalibrationError(ignore_index=0)
    alone.update(P, torch.ones_like(Y))
    alone.update(P, Y)
    assert together.compute()["c"] == alone.compute()
    assert isinstance(compat.CalibrationError(task="binary"), our_classes.BinaryCalibrationError)
    three = compat.CalibrationError(task="multiclass", num_classes=3, norm="max")
    assert isinstance(three, compat.MulticlassCalibrationError)
    assert three.num_classes == 3
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close(alone.plot()[0])
    with pytest.raises(AttributeError, match="no attribute 'Accuracy'"):
        compat.Accuracy  # noqa: B018
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(our_classes.BinaryCalibrationError(norm="l2").compute(), torch.tensor(0.0), 0)


@pytest.mark.parametrize("figure", FUNCTIONS)
def test_rankings(figure):
    of_two, of_many = (getattr(module, f"binary_{figure}") for module in (ours, theirs)), f"multiclass_{figure}"
    mine, their = of_two
    for dtype in (torch.float32, torch.float64):
        for kind in ("probabilities", "logits", "ends", "on edges", "infinite"):
            preds = BINARY[kind].to(dtype)
            same(mine(preds, Y), their(preds, Y), FUNCTIONS[figure])
            same(mine(preds, Y, ignore_index=-3), their(preds, Y, ignore_index=-3), FUNCTIONS[figure])
            for labels in (torch.zeros_like(Y), torch.ones_like(Y)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    same(mine(preds, labels), their(preds, labels), FUNCTIONS[figure])
        for kind in ("probabilities", "no distributions", "logits", "certain", "ties"):
            preds = MULTICLASS[kind].to(dtype)
            for average in ("macro", "weighted", "none", None):
                for target in (K, K.clamp(min=1), torch.zeros_like(K)):
                    settings = {"num_classes": 4, "average": average, "ignore_index": None}
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        expected = getattr(theirs, of_many)(preds, target, **settings)
                        same(getattr(ours, of_many)(preds, target, **settings), expected, FUNCTIONS[figure])
    with pytest.warns(UserWarning, match="target has no positive rows"):
        mine(P, torch.zeros_like(Y))
    same(getattr(ours, f"binary_{figure}")(P.bfloat16(), Y), their(P.bfloat16(), Y), 1e-5)
    by_task = getattr(functional, figure)
    assert by_task(P, Y, task="binary") == mine(P, Y)
    assert by_task(Q, K, task="multiclass", num_classes=4) == getattr(ours, of_many)(Q, K, 4)
    with pytest.raises(NotImplementedError, match="thresholds is 5"):
        mine(P, Y, thresholds=5)
    with pytest.raises(ValueError, match="task is 'multilabel'"):
        by_task(P, Y, task="multilabel")


def test_max_fpr_is_theirs():
    with pytest.raises(NotImplementedError, match=r"max_fpr is 0\.5"):
        ours.binary_auroc(P, Y, max_fpr=0.5)


def test_functions_by_task():
    found = functional.calibration_error(P, Y, task="binary", norm="max")
    same(found, their_calibration_error(P, Y, task="binary", norm="max"), 1e-12)
    found = functional.calibration_error(Q, K, task="multiclass", num_classes=4)
    same(found, their_calibration_error(Q, K, task="multiclass", num_classes=4), 2e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "settings"),
    [
        ("binary_calibration_error", (P, Y), {"n_bins": 0}),
        ("binary_calibration_error", (P, Y), {"n_bins": 2.5}),
        ("binary_calibration_error", (P, Y), {"norm": "l3"}),
        ("binary_calibration_error", (P, Y), {"ignore_index": "no"}),
        ("binary_calibration_error", (P, Y[1:]), {}),
        ("binary_calibration_error", (P, Y + 1), {}),
        ("binary_calibration_error", (P, Y.float() / 2), {}),
        ("binary_calibration_error", (P, Y - 1), {"ignore_index": 0}),
        ("binary_calibration_error", (Y, Y), {}),
        ("multiclass_calibration_error", (Q, K), {"num_classes": 1}),
        ("multiclass_calibration_error", (Q, K), {"num_classes": 5}),
        ("multiclass_calibration_error", (Q.long(), K), {"num_classes": 4}),
        ("multiclass_calibration_error", (Q, K), {"num_classes": 4, "norm": "no", "validate_args": False}),
        ("calibration_error", (P, Y), {"task": "no"}),
        ("calibration_error", (Q, K), {"task": "multiclass"}),
        ("binary_auroc", (P, Y.float()), {}),
        ("binary_auroc", (P, Y + 1), {}),
        ("binary_auroc", (Y, Y), {}),
        ("multiclass_auroc", (Q, K), {"num_classes": 4, "average": "micro"}),
        ("multiclass_average_precision", (Q, K), {"num_classes": 5}),
        ("multiclass_average_precision", (Q, torch.arange(N)), {"num_classes": 4}),
    ],
)
def test_errors_are_of_the_same_kind(name, arguments, settings):
    with pytest.raises((ValueError, RuntimeError)) as expected:
        (their_calibration_error if name == "calibration_error" else getattr(theirs, name))(*arguments, **settings)
    with pytest.raises(type(expected.value)) as found:
        getattr(ours, name)(*arguments, **settings)
    assert type(found.value) is type(expected.value)
    cls = name.replace("calibration_error", "CalibrationError").title().replace("_", "").replace("error", "Error")
    if hasattr(our_classes, cls) and settings.get("task") is None:
        with pytest.raises(type(expected.value)):
            getattr(our_classes, cls)(**settings)(*arguments)


def test_what_is_no_tensor_here():
    with pytest.raises(TypeError, match="preds is a list"):
        ours.binary_calibration_error([0.5], Y)
    with pytest.raises(TypeError, match=r"preds is on meta; call preds.cpu\(\) first"):
        ours.binary_auroc(P.to("meta"), Y)
    with pytest.raises(ValueError, match=r"y_true\[0\] is 7"):  # where torchmetrics counts it
        ours.binary_calibration_error(P[:1], torch.tensor([7]), validate_args=False)


def test_no_rows():
    for norm in ("l1", "l2", "max"):
        arguments = P[:0], Y[:0]
        same(
            ours.binary_calibration_error(*arguments, norm=norm),
            theirs.binary_calibration_error(*arguments, norm=norm),
            0,
        )
        rows = Q[:0], K[:0], 4
        expected = torch.tensor(float("nan") if norm == "l1" else 0.0)  # theirs fails in the largest of none
        same(ours.multiclass_calibration_error(*rows, norm=norm), expected, 0)


def test_functions_do_without_torchmetrics():
    code = "import fastcal.compat.torchmetrics.functional.classification, sys; sys.exit('torchmetrics' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
