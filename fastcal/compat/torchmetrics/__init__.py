"""torchmetrics' calibration and ranking metrics over ours: change the import, keep the code.

``torchmetrics`` becomes ``fastcal.compat.torchmetrics`` in ``from torchmetrics.functional.classification import
binary_calibration_error``, ``from torchmetrics.classification import MulticlassCalibrationError``, and so on. Their
conventions, and so their results but for the rounding of their float32 sums:

- bins [a, b) between ``torch.linspace(0, 1, n_bins + 1)`` of the confidences' dtype, p = 1 in one more bin of its own;
- values are taken for logits if any of the update lies outside [0, 1], or is NaN: then sigmoid or softmax is applied to
  all of it. It is the only place in fastcal where that is guessed, because theirs does;
- confidences that are NaN then are counted in the bin of p = 1, whose mean confidence is 0;
- rows (N, C) need not sum to 1.

The functions need torch only; the classes are torchmetrics' Metric, with counts for a state instead of all rows.

>>> import torch
>>> from fastcal.compat.torchmetrics.functional import calibration_error
>>> calibration_error(torch.tensor([0.25, 0.25, 0.55, 0.75]), torch.tensor([0, 0, 1, 1]), task="binary", n_bins=2)
tensor(0.3000)
"""

from __future__ import annotations

from typing import Any

__all__ = ["BinaryCalibrationError", "CalibrationError", "MulticlassCalibrationError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import classification  # which imports torchmetrics: the functions do without

    return getattr(classification, name)
