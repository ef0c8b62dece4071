"""Calibration errors as torchmetrics has them: its bins, its place for p = 1 and NaN, its guess of logits."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ...accumulators import binned
from ...accumulators.base import Accumulator, Part
from ...accumulators.bins import Binning
from ...accumulators.reliability import ReliabilityPart
from ...accumulators.state import carry
from .checks import (
    NORMS,
    check_ignore_index,
    check_tensors,
    whole_number,
)

ERRORS = {"l1": binned.l1, "l2": binned.l2_squared, "max": binned.largest}


@lru_cache(maxsize=32)
def bins_of(n_bins: int, dtype: torch.dtype) -> tuple[Binning, np.ndarray[Any, Any]]:
    """Their bins for confidences of a dtype, and the place of each: edges that are equal have no bin between them."""
    edges = torch.linspace(0, 1, n_bins + 1, dtype=dtype).double().numpy()
    last = np.append(edges[1:] > edges[:-1], True)  # of equal edges the last: the bins before it are empty
    return Binning(binning=edges[last], convention="torchmetrics"), np.flatnonzero(last)


class Slots:
    """Counts over ``n_bins`` bins and the one of p = 1: rows, hits, digits of summed confidences, and what was NaN.

    ``unknown``: rows whose confidence is NaN, and the hits among them.
    """

    def __init__(self, n_bins: int, norm: str, ignore_index: int | None, validate_args: bool = True) -> None:
        if validate_args:
            whole_number("n_bins", n_bins, 1)
            check_ignore_index(ignore_index)
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; expected one of {', '.join(NORMS)}")
        self.n_bins, self.norm = n_bins, norm
        self.dtype = torch.get_default_dtype()
        self.count, self.hits = np.zeros((2, n_bins + 1), np.int64)
        self.digits = np.zeros((n_bins + 1, 3), np.int64)
        self.unknown = np.zeros(2, np.int64)

    def add(self, confidences: Tensor, hits: Tensor) -> Self:
        """Count rows (N,) of confidences in [0, 1], or NaN, and whether they are right; returns self."""
        self.dtype = confidences.dtype
        if len(confidences):
            binning, places = bins_of(self.n_bins, confidences.dtype)
            # bfloat16 is widened, which NumPy does not know
            p = (confidences.float() if confidences.dtype == torch.bfloat16 else confidences).numpy()
            parts: dict[str, Part] = {"bins": ReliabilityPart(binning, squares=False)}
            seen = Accumulator(settings={}, parts=parts, nan_policy="omit").update(hits.numpy(), p)
            state = seen.part_state("bins")
            self.count[places] += state["count"]
            self.hits[places] += state["hits"]
            self.digits[places] += state["confidence_signed_sum"]
            if seen.n_nan:
                self.unknown += seen.n_nan, int(hits[confidences.isnan()].sum())
        return self

    def error(self) -> Tensor:
        """The error of what was counted; of nothing it is NaN, or 0 with the other norms."""
        digits = self.digits.copy()
        carry("digits_sum", digits)
        bins = binned.Binned.from_state({"count": self.count, "hits": self.hits, "confidence_signed_sum": digits})
        if self.unknown[0]:
            n, hits = self.unknown
            for array, more in ((bins.count, n), (bins.weight, n), (bins.hits, hits)):
                array[-1] += more
            bins.residual[-1], bins.confidence[-1] = bins.hits[-1], 0.0
        value = float(ERRORS[self.norm](bins))
        if self.norm != "l1":
            value = 0.0 if math.isnan(value) else value
        return torch.tensor(math.sqrt(value) if self.norm == "l2" else value, dtype=self.dtype)


def binary_rows(preds: Tensor, target: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """Confidences (N,) and labels (N,) of rows that count."""
    check_tensors(preds, target)
    preds, target = preds.detach().flatten(), target.flatten()
    if ignore_index is not None:
        kept = target != ignore_index
        preds, target = preds[kept], target[kept]
    return normalised(preds), target


def multiclass_rows(preds: Tensor, target: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """Confidences (N,), float32, and whether the prediction is right (N,), of rows that count."""
    probs, target = class_rows(preds, target, ignore_index)
    if not len(probs):
        return probs.new_empty(0, dtype=torch.float32), target
    confidences, predictions = probs.max(dim=1)
    return confidences.float(), predictions.eq(target)


def class_rows(preds: Tensor, target: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """Probabilities (N, C) and labels (N,) of rows that count."""
    check_tensors(preds, target)
    preds, target = preds.detach().movedim(1, -1).reshape(-1, preds.shape[1]), target.flatten()
    if ignore_index is not None:
        kept = target != ignore_index
        preds, target = preds[kept], target[kept]
    return normalised(preds), target


def normalised(preds: Tensor) -> Tensor:
    """Probabilities as they are; what has a value outside [0, 1], or NaN, is taken for logits, as torchmetrics does."""
    if not preds.numel():
        return preds
    low, high = torch.aminmax(preds)
    if bool((low >= 0) & (high <= 1)):  # neither holds of NaN
        return preds
    return preds.sigmoid() if preds.ndim == 1 else preds.softmax(dim=1)
