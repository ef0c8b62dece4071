"""scikit-learn's own signatures over ours, module by module: change the import, keep the code.

``fastcal.compat.sklearn.metrics``, ``.calibration`` and ``.isotonic`` have every name of scikit-learn's modules: those
that fastcal answers are its own, all others scikit-learn's. Those of ours can be had from here, too.

>>> from fastcal.compat.sklearn.metrics import brier_score_loss, f1_score
>>> brier_score_loss(["no", "yes"], [0.5, 0.75], pos_label="yes"), f1_score([0, 1], [0, 1])
(0.15625, 1.0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration import calibration_curve
    from .isotonic import IsotonicRegression, check_increasing, isotonic_regression
    from .metrics import (
        average_precision_score,
        brier_score_loss,
        log_loss,
        precision_recall_curve,
        roc_auc_score,
        roc_curve,
    )

__all__ = [
    "IsotonicRegression",
    "average_precision_score",
    "brier_score_loss",
    "calibration_curve",
    "check_increasing",
    "isotonic_regression",
    "log_loss",
    "precision_recall_curve",
    "roc_auc_score",
    "roc_curve",
]

_ELSEWHERE = {
    "calibration_curve": "calibration",
    "IsotonicRegression": "isotonic",
    "check_increasing": "isotonic",
    "isotonic_regression": "isotonic",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, 'metrics')}"), name)
