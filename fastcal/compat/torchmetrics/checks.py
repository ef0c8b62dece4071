"""The checks that torchmetrics makes of arguments: what raises there raises here, errors of the same kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NORMS = ("l1", "l2", "max")
AVERAGES = ("macro", "weighted", "none", None)


def task_of(task: Any) -> str:
    """The name of a task that is here; raises ValueError for another."""
    name = str(getattr(task, "value", task)).lower()
    if name not in ("binary", "multiclass"):
        raise ValueError(f"task is {task!r}; expected 'binary' or 'multiclass'")
    return name


def whole_number(name: str, value: Any, least: int) -> int:
    """An integer from ``least`` up; raises ValueError for another."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; expected an integer from {least} up")
    return value


def check_ignore_index(ignore_index: Any) -> None:
    """Raise ValueError for what is neither None nor an integer."""
    if ignore_index is not None and not isinstance(ignore_index, int):
        raise ValueError(f"ignore_index is {ignore_index!r}; expected None or an integer")


def check_tensors(preds: Any, target: Any) -> None:
    """Raise TypeError for what is no tensor on the CPU, ValueError for ``preds`` that are no floats."""
    for name, given in (("preds", preds), ("target", target)):
        if not isinstance(given, Tensor):
            raise TypeError(f"{name} is a {type(given).__name__}; expected a torch.Tensor")
        if given.device.type != "cpu":
            raise TypeError(f"{name} is on {given.device}; call {name}.cpu() first")
    if not preds.is_floating_point():
        raise ValueError(f"preds has dtype {preds.dtype}; expected floats, probabilities or logits")


def check_binary_tensors(preds: Tensor, target: Tensor, ignore_index: int | None) -> None:
    """Raise RuntimeError for shapes that differ, or labels other than 0, 1 and ``ignore_index``."""
    check_tensors(preds, target)
    if preds.shape != target.shape:
        raise RuntimeError(f"preds has shape {tuple(preds.shape)} and target {tuple(target.shape)}; expected the same")
    known = target.new_tensor([0, 1] if ignore_index is None else [0, 1, ignore_index])
    # the least and the largest say it in a fraction of the time, where they do
    if target.numel() and not _within(target, 1) and not bool(torch.isin(target, known).all()):
        found = torch.unique(target).tolist()
        raise RuntimeError(f"target holds {found}; labels are 0 and 1 (and ignore_index)")


def check_classes(target: Tensor, num_classes: int, ignore_index: int | None) -> None:
    """Raise RuntimeError for more different labels than there are classes."""
    if target.numel() and not _within(target, num_classes - 1):
        n = len(torch.unique(target))
        if n > num_classes + (ignore_index is not None):
            raise RuntimeError(f"target holds {n} different labels; num_classes is {num_classes}")


def _within(target: Tensor, most: int) -> bool:
    """Whether labels are integers from 0 to ``most``."""
    if target.is_floating_point() or target.is_complex():
        return False
    low, high = torch.aminmax(target)
    return int(low) >= 0 and int(high) <= most


def check_class_shapes(preds: Tensor, target: Tensor, num_classes: int) -> None:
    """Raise ValueError for shapes that are not (N, C, ...) and (N, ...)."""
    check_tensors(preds, target)
    shapes = f"preds has shape {tuple(preds.shape)} and target {tuple(target.shape)}"
    if preds.ndim != target.ndim + 1 or preds.shape[:1] + preds.shape[2:] != target.shape:
        raise ValueError(f"{shapes}; expected (N, C, ...) and (N, ...)")
    if preds.shape[1] != num_classes:
        raise ValueError(f"{shapes}; num_classes is {num_classes}")
