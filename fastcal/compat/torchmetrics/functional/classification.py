"""``torchmetrics.functional.classification``: the metrics that fastcal has, see :mod:`fastcal.compat.torchmetrics`.

Rankings are those of all thresholds: ``thresholds`` and ``max_fpr`` are not there.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import ranking
from ..checks import check_binary_tensors, check_class_shapes, task_of, whole_number
from ..slots import Slots, binary_rows, multiclass_rows

__all__ = [
    "auroc",
    "average_precision",
    "binary_auroc",
    "binary_average_precision",
    "binary_calibration_error",
    "calibration_error",
    "multiclass_auroc",
    "multiclass_average_precision",
    "multiclass_calibration_error",
]


def binary_calibration_error(
    preds: Tensor,
    target: Tensor,
    n_bins: int = 15,
    norm: str = "l1",
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The calibration error of P(y = 1): ``preds`` and ``target`` (N, ...), a tensor of the dtype of ``preds``.

    >>> import torch
    >>> binary_calibration_error(torch.tensor([0.25, 0.25, 0.55, 0.75]), torch.tensor([0, 0, 1, 1]), n_bins=2)
    tensor(0.3000)
    """
    slots = Slots(n_bins, norm, ignore_index, validate_args)
    if validate_args:
        check_binary_tensors(preds, target, ignore_index)
    return slots.add(*binary_rows(preds, target, ignore_index)).error()


def multiclass_calibration_error(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    n_bins: int = 15,
    norm: str = "l1",
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The calibration error of the largest probability: ``preds`` (N, C, ...), ``target`` (N, ...), a float32 tensor.

    >>> import torch
    >>> preds = torch.tensor([[0.25, 0.75], [0.75, 0.25]])
    >>> multiclass_calibration_error(preds, torch.tensor([1, 0]), num_classes=2, n_bins=2)
    tensor(0.2500)
    """
    if validate_args:
        whole_number("num_classes", num_classes, 2)
    slots = Slots(n_bins, norm, ignore_index, validate_args)
    if validate_args:
        check_class_shapes(preds, target, num_classes)
    return slots.add(*multiclass_rows(preds, target, ignore_index)).error()


def calibration_error(
    preds: Tensor,
    target: Tensor,
    task: str,
    n_bins: int = 15,
    norm: str = "l1",
    num_classes: int | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """:func:`binary_calibration_error` or :func:`multiclass_calibration_error`, by ``task``."""
    if task_of(task) == "binary":
        return binary_calibration_error(preds, target, n_bins, norm, ignore_index, validate_args)
    classes = whole_number("num_classes", num_classes, 1)
    return multiclass_calibration_error(preds, target, classes, n_bins, norm, ignore_index, validate_args)


def binary_auroc(
    preds: Tensor,
    target: Tensor,
    max_fpr: float | None = None,
    thresholds: Any = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The area under the ROC curve; 0, with a warning, where a label is missing.

    >>> import torch
    >>> binary_auroc(torch.tensor([0, 0.5, 0.7, 0.8]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5000)
    """
    ranking.check_whole_curve(thresholds, max_fpr)
    return ranking.binary("auroc", preds, target, ignore_index, validate_args)


def binary_average_precision(
    preds: Tensor,
    target: Tensor,
    thresholds: Any = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The average precision; 0, with a warning, where no label is 1.

    >>> import torch
    >>> binary_average_precision(torch.tensor([0, 0.5, 0.7, 0.8]), torch.tensor([0, 1, 1, 0]))
    tensor(0.5833)
    """
    ranking.check_whole_curve(thresholds)
    return ranking.binary("average_precision", preds, target, ignore_index, validate_args)


def multiclass_auroc(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    average: str | None = "macro",
    thresholds: Any = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The area under the ROC curve of each class against the rest, or their mean: "macro", or "weighted" by labels.

    >>> import torch
    >>> multiclass_auroc(torch.tensor([[0.75, 0.25], [0.25, 0.75]]), torch.tensor([0, 1]), num_classes=2)
    tensor(1.)
    """
    ranking.check_whole_curve(thresholds)
    return ranking.multiclass("auroc", preds, target, num_classes, average, ignore_index, validate_args)


def multiclass_average_precision(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    average: str | None = "macro",
    thresholds: Any = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """The average precision of each class against the rest, NaN of a class without labels, or their mean.

    >>> import torch
    >>> multiclass_average_precision(torch.tensor([[0.75, 0.25], [0.25, 0.75]]), torch.tensor([0, 1]), num_classes=2)
    tensor(1.)
    """
    ranking.check_whole_curve(thresholds)
    return ranking.multiclass("average_precision", preds, target, num_classes, average, ignore_index, validate_args)


def auroc(
    preds: Tensor,
    target: Tensor,
    task: str,
    thresholds: Any = None,
    num_classes: int | None = None,
    num_labels: int | None = None,  # noqa: ARG001 - of multilabel tasks, which are not here
    average: str | None = "macro",
    max_fpr: float | None = None,
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """:func:`binary_auroc` or :func:`multiclass_auroc`, by ``task``."""
    if task_of(task) == "binary":
        return binary_auroc(preds, target, max_fpr, thresholds, ignore_index, validate_args)
    classes = whole_number("num_classes", num_classes, 1)
    return multiclass_auroc(preds, target, classes, average, thresholds, ignore_index, validate_args)


def average_precision(
    preds: Tensor,
    target: Tensor,
    task: str,
    thresholds: Any = None,
    num_classes: int | None = None,
    num_labels: int | None = None,  # noqa: ARG001 - of multilabel tasks, which are not here
    average: str | None = "macro",
    ignore_index: int | None = None,
    validate_args: bool = True,
) -> Tensor:
    """:func:`binary_average_precision` or :func:`multiclass_average_precision`, by ``task``."""
    if task_of(task) == "binary":
        return binary_average_precision(preds, target, thresholds, ignore_index, validate_args)
    classes = whole_number("num_classes", num_classes, 1)
    return multiclass_average_precision(preds, target, classes, average, thresholds, ignore_index, validate_args)
