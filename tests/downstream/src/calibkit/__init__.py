"""Train a classifier, watch its calibration after each epoch, and calibrate it at the end."""

from .figures import classwise_errors, focal_calibration_error, nll_by_temperature
from .models import Model, SoftmaxRegression
from .reporting import evaluate, evaluate_in_threads
from .scaling import CappedTemperature, best_calibrator
from .training import Epoch, Trainer

__all__ = [
    "CappedTemperature",
    "Epoch",
    "Model",
    "SoftmaxRegression",
    "Trainer",
    "best_calibrator",
    "classwise_errors",
    "evaluate",
    "evaluate_in_threads",
    "focal_calibration_error",
    "nll_by_temperature",
]
