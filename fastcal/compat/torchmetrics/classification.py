"""``torchmetrics.classification``: calibration errors as classes, see :mod:`fastcal.compat.torchmetrics`.

Their state is counts of fixed size, summed over processes, where theirs is all rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

try:
    from torchmetrics import Metric
except ImportError as error:
    raise ImportError(
        "fastcal.compat.torchmetrics needs torchmetrics for its classes: install fastcal[torch]"
    ) from error

from .checks import check_binary_tensors, check_class_shapes, task_of, whole_number
from .slots import Slots, binary_rows, multiclass_rows

__all__ = ["BinaryCalibrationError", "CalibrationError", "MulticlassCalibrationError"]

STATES = ("count", "hits", "digits", "unknown")
# Confidences of each dtype are in its own bins; the code of what was seen is merged by its maximum.
DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


class _Calibration(Metric):  # type: ignore[misc]
    """Slots, as sums."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    precision: Tensor

    def __init__(self, n_bins: int, norm: str, ignore_index: int | None, validate_args: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        empty = Slots(n_bins, norm, ignore_index, validate_args)
        self.n_bins, self.norm, self.ignore_index, self.validate_args = n_bins, norm, ignore_index, validate_args
        for name in STATES:
            self.add_state(name, torch.from_numpy(getattr(empty, name).copy()), dist_reduce_fx="sum")
        self.add_state("precision", torch.tensor(-1), dist_reduce_fx="max")
        # of metrics with the same states a MetricCollection updates one only: these are states of their own
        rows = -1 if ignore_index is None else ignore_index
        self.add_state("taken", torch.tensor([self._columns(), rows, ignore_index is None]), dist_reduce_fx="max")

    def _columns(self) -> int:
        raise NotImplementedError

    def _slots(self) -> Slots:
        return Slots(self.n_bins, self.norm, self.ignore_index, self.validate_args)

    def _count(self, confidences: Tensor, hits: Tensor) -> None:
        found = self._slots().add(confidences, hits)
        for name in STATES:
            setattr(self, name, getattr(self, name) + torch.from_numpy(getattr(found, name)).to(self.device))
        code = torch.tensor(DTYPES.index(found.dtype), device=self.device)
        self.precision = torch.maximum(self.precision, code)

    def compute(self) -> Tensor:
        """The error of all rows, a tensor of the dtype of their confidences."""
        seen = self._slots()
        for name in STATES:
            setattr(seen, name, getattr(self, name).cpu().numpy().copy())
        code = int(self.precision)
        seen.dtype = DTYPES[code] if code >= 0 else torch.get_default_dtype()
        return seen.error().to(self.device)

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw a value, or several; returns the Figure and the Axes."""
        return self._plot(val, ax)

    def set_dtype(self, dst_type: Any) -> Any:
        """Nothing: the state is counts."""
        return self


class BinaryCalibrationError(_Calibration):
    """:func:`.functional.binary_calibration_error` of a stream.

    >>> import torch
    >>> from fastcal.compat.torchmetrics.classification import BinaryCalibrationError
    >>> BinaryCalibrationError(n_bins=2)(torch.tensor([0.25, 0.25, 0.55, 0.75]), torch.tensor([0, 0, 1, 1]))
    tensor(0.3000)
    """

    def __init__(
        self,
        n_bins: int = 15,
        norm: str = "l1",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(n_bins, norm, ignore_index, validate_args, **kwargs)

    def _columns(self) -> int:
        return 0

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add rows, ``preds`` and ``target`` (N, ...)."""
        if self.validate_args:
            check_binary_tensors(preds, target, self.ignore_index)
        self._count(*binary_rows(preds, target, self.ignore_index))


class MulticlassCalibrationError(_Calibration):
    """:func:`.functional.multiclass_calibration_error` of a stream.

    >>> import torch
    >>> from fastcal.compat.torchmetrics.classification import MulticlassCalibrationError
    >>> MulticlassCalibrationError(num_classes=2)(torch.tensor([[0.25, 0.75], [0.75, 0.25]]), torch.tensor([1, 0]))
    tensor(0.2500)
    """

    plot_legend_name = "Class"

    def __init__(
        self,
        num_classes: int,
        n_bins: int = 15,
        norm: str = "l1",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        if validate_args:
            whole_number("num_classes", num_classes, 2)
        self.num_classes = num_classes
        super().__init__(n_bins, norm, ignore_index, validate_args, **kwargs)

    def _columns(self) -> int:
        return self.num_classes

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add rows, ``preds`` (N, C, ...) and ``target`` (N, ...)."""
        if self.validate_args:
            check_class_shapes(preds, target, self.num_classes)
        self._count(*multiclass_rows(preds, target, self.ignore_index))


class CalibrationError:
    """:class:`BinaryCalibrationError` or :class:`MulticlassCalibrationError`, by ``task``: calling it makes one."""

    def __new__(
        cls,
        task: str,
        n_bins: int = 15,
        norm: str = "l1",
        num_classes: int | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> _Calibration:
        """Make the metric of a task."""
        if task_of(task) == "binary":
            return BinaryCalibrationError(n_bins, norm, ignore_index, validate_args, **kwargs)
        classes = whole_number("num_classes", num_classes, 1)
        return MulticlassCalibrationError(classes, n_bins, norm, ignore_index, validate_args, **kwargs)
