"""fastcal in scikit-learn: a calibrated classifier, scorers, and reliability diagrams of estimators.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.model_selection import cross_validate
>>> from fastcal.integrations.sklearn import CalibratedClassifier, scorers
>>> X, y = [[0.0], [1.0], [2.0], [3.0]] * 10, ["no", "no", "yes", "no", "yes"] * 8
>>> model = CalibratedClassifier(LogisticRegression(), "temperature", cv=2).fit(X, y)
>>> model.predict_proba([[1.5]]).shape
(1, 2)
>>> cross_validate(model, X, y, scoring=scorers("neg_ece", "neg_log_loss"), cv=2)["test_neg_ece"].shape
(2,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from .sklearn_classifier import CalibratedClassifier
    from .sklearn_scorers import SCORERS, get_scorer, make_scorer, scorers
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    said = 'fastcal.integrations.sklearn needs scikit-learn: install "fastcal[sklearn]"'
    raise ModuleNotFoundError(said, name=error.name) from error

if TYPE_CHECKING:
    from .sklearn_display import CalibrationDisplay

__all__ = ["SCORERS", "CalibratedClassifier", "CalibrationDisplay", "get_scorer", "make_scorer", "scorers"]


def __getattr__(name: str) -> Any:
    if name != "CalibrationDisplay":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .sklearn_display import (
        CalibrationDisplay,
    )  # it takes sklearn.calibration, and that the support vector machines

    return CalibrationDisplay
