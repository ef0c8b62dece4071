"""Predictions and targets of a model in torch as the rows that accumulators take."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import DataError

# What accumulators call the arguments, and what torchmetrics calls them.
NAMES = {"y_prob": "preds", "score": "preds", "members": "preds", "y_true": "target"}


class Batch:
    """``preds`` (N,), (N, C) or (N, C, ...) and ``target`` (N,) or (N, ...) as arrays that share the tensors' memory.

    ``ignore_index``: rows of that target are left out, in a copy of the others. ``move``: tensors of another device
    than the CPU are copied there; without it they raise TypeError. bfloat16 is handed on as a tensor.
    """

    def __init__(
        self, preds: Any, target: Any, sample_weight: Any = None, *, ignore_index: int | None = None, move: bool = False
    ) -> None:
        scores, labels = local("preds", preds, move=move), local("target", target, move=move)
        weights = None if sample_weight is None else local("sample_weight", sample_weight, move=move)
        self.class_axis = scores.ndim > 2 and scores.ndim == labels.ndim + 1
        if self.class_axis:
            scores = scores.movedim(1, -1)
        self.lead = tuple(labels.shape)
        self.n_classes = scores.shape[-1] if scores.ndim == labels.ndim + 1 else 2
        self.kept: np.ndarray[Any, Any] | None = None
        if ignore_index is not None and tuple(scores.shape[: labels.ndim]) == self.lead:
            kept = labels.reshape(-1) != ignore_index
            if not bool(kept.all()):
                self.kept = kept.nonzero().reshape(-1).numpy()
                scores = scores.reshape(len(kept), *scores.shape[labels.ndim :])[kept]
                labels = labels.reshape(-1)[kept]
                weights = weights if weights is None or tuple(weights.shape) != self.lead else weights.reshape(-1)[kept]
        self.y_true, self.y_prob = array(labels), array(scores)
        self.sample_weight = None if weights is None else array(weights)

    def error(self, error: DataError) -> DataError:
        """The same error in the caller's terms: argument, place, and where rows were left out, their own number."""
        name, index = NAMES.get(error.argument, error.argument), error.index
        if index and self.kept is not None:
            place = np.unravel_index(int(self.kept[index[0]]), self.lead)
            index = (*(int(i) for i in place), *index[1:])
        if self.class_axis and name == "preds" and len(index) == len(self.lead) + 1:
            index = (index[0], index[-1], *index[1:-1])
        return DataError(name, index, renamed(error.problem))


def renamed(text: str) -> str:
    """A message with the names of the arguments as they are here."""
    return re.sub(r"\b(y_prob|y_true)\b|^(score|members)\b", lambda name: NAMES[name[0]], text)


def local(argument: str, tensor: Any, *, move: bool) -> Tensor:
    """A tensor on the CPU without its gradient; raises TypeError for what is no tensor, or is elsewhere."""
    if not isinstance(tensor, Tensor):
        hint = "torch.as_tensor takes arrays without a copy"
        raise TypeError(f"{argument} is a {type(tensor).__name__}; expected a torch.Tensor ({hint})")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise TypeError(f"{argument} is sparse, nested or quantized; expected a dense tensor of numbers")
    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        if not move:
            hint = "or make the metric with move=True, which does so at every update"
            raise TypeError(f"{argument} is on {tensor.device}; call {argument}.cpu() first, {hint}")
        tensor = tensor.cpu()
    return tensor.resolve_neg().resolve_conj()


def array(tensor: Tensor) -> Any:
    """Its memory as an array; bfloat16, of which NumPy knows nothing, stays a tensor."""
    return tensor if tensor.dtype == torch.bfloat16 else tensor.numpy()
