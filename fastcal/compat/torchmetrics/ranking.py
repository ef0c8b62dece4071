"""AUROC and average precision as torchmetrics has them, of all thresholds."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from ...metrics import ranking
from .checks import (
    AVERAGES,
    check_binary_tensors,
    check_class_shapes,
    check_classes,
    check_ignore_index,
    whole_number,
)
from .slots import binary_rows, class_rows

FIGURES: dict[str, Any] = {"auroc": ranking.auroc, "average_precision": ranking.average_precision}


def check_whole_curve(thresholds: Any, max_fpr: Any = None) -> None:
    """Raise NotImplementedError for a curve of given thresholds, or a part of one."""
    if thresholds is not None or max_fpr is not None:
        name, value = ("thresholds", thresholds) if thresholds is not None else ("max_fpr", max_fpr)
        raise NotImplementedError(f"{name} is {value!r}; fastcal takes all thresholds, import torchmetrics' for others")


def binary(figure: str, preds: Tensor, target: Tensor, ignore_index: int | None, validate: bool) -> Tensor:
    """A figure of P(y = 1), in torch's default dtype."""
    if validate:
        check_ignore_index(ignore_index)
        check_binary_tensors(preds, target, ignore_index)
        _check_labels(target)
    scores, labels = binary_rows(preds, target, ignore_index)
    positive = labels == 1
    return torch.tensor(_figure(figure, scores, positive, absent=0.0), dtype=_dtype(figure, scores, [positive]))


def multiclass(
    figure: str,
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    average: str | None,
    ignore_index: int | None,
    validate: bool,
) -> Tensor:
    """A figure of each class against the rest, or their mean, in torch's default dtype."""
    if validate:
        whole_number("num_classes", num_classes, 2)
        check_ignore_index(ignore_index)
        check_class_shapes(preds, target, num_classes)
        _check_labels(target)
        check_classes(target, num_classes, ignore_index)
    if average not in AVERAGES:
        raise ValueError(f"average is {average!r}; expected one of {AVERAGES}")
    probs, labels = class_rows(preds, target, ignore_index)
    # theirs takes the rows of one label 0 for those of a binary problem without positives
    absent = 0.0 if figure == "auroc" or not bool(labels.any()) else math.nan
    classes = [labels == k for k in range(num_classes)]
    figures = [_figure(figure, probs[:, k], positive, absent) for k, positive in enumerate(classes)]
    found = torch.tensor(figures, dtype=_dtype(figure, probs, classes))
    if average in (None, "none"):
        return found
    known = ~found.isnan()
    if not known.all():
        warnings.warn(f"{figure} is nan for some classes, which the {average} average leaves out", stacklevel=4)
    if average == "macro":
        return found[known].mean()
    weights = torch.stack([positive.sum() for positive in classes])[known].to(found.dtype)
    return (found[known] * weights).sum() / weights.sum()


def _check_labels(target: Tensor) -> None:
    if target.is_floating_point():
        raise ValueError(f"target has dtype {target.dtype}; expected integers")


def _dtype(figure: str, scores: Tensor, classes: list[Tensor]) -> torch.dtype:
    """torch's default, a quotient of counts; where a rate is missing torchmetrics has it in the scores' dtype."""
    default = torch.get_default_dtype()
    whole = all(bool(positive.any()) and not bool(positive.all()) for positive in classes)
    return default if whole or figure != "auroc" else torch.promote_types(default, scores.dtype)


def _figure(figure: str, scores: Tensor, positive: Tensor, absent: float) -> float:
    """A figure of one class; ``absent`` where it does not exist, with the warning that torchmetrics gives."""
    n = int(positive.sum())
    lacking = "positive" if not n else "negative" if n == len(positive) and figure == "auroc" else ""
    if lacking:
        if not math.isnan(absent):
            warnings.warn(f"target has no {lacking} rows, {figure} is {absent:g}", stacklevel=5)
        return absent
    values = scores.float() if scores.dtype == torch.bfloat16 else scores
    return float(FIGURES[figure](positive.numpy(), values.numpy()))
