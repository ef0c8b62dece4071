"""The methods by name: what a file, a command and a comparison may ask for. Nothing else is ever imported by name."""

from __future__ import annotations

import importlib
from typing import Any

from .base import Calibrator
from .forms import Input

# Class -> its module, and its short name.
CLASSES = {
    "TemperatureScaling": ("temperature", "temperature"),
    "EnsembleTemperatureScaling": ("ensemble_temperature", "ensemble-temperature"),
    "VectorScaling": ("vector", "vector"),
    "MatrixScaling": ("matrix", "matrix"),
    "DirichletCalibration": ("dirichlet", "dirichlet"),
    "PlattScaling": ("platt", "platt"),
    "BetaCalibration": ("beta", "beta"),
    "HistogramBinning": ("histogram", "histogram"),
    "IsotonicCalibration": ("isotonic_calibration", "isotonic"),
    "BBQ": ("bbq", "bbq"),
    "VennAbers": ("venn_abers", "venn-abers"),
}
METHODS = {short: name for name, (_, short) in CLASSES.items()}

# What a probability of 0 counts as where its logarithm is needed and the caller named no calibrator of his own: half of
# what single precision tells from 1.
CLIP = 2.0**-25


def class_of(name: str) -> type[Calibrator]:
    """The class of that name; KeyError for any other."""
    module, _ = CLASSES[name]
    found: type[Calibrator] = getattr(importlib.import_module(f"fastcal.calibrators.{module}"), name)
    return found


def made(method: str, **parameters: Any) -> Calibrator:
    """A calibrator by its short name, of the parameters those that it takes; ValueError for no such method."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method is {method!r}; expected a calibrator, or one of {', '.join(METHODS)}")
    found = class_of(METHODS[method])
    return found(**{name: value for name, value in parameters.items() if name in found._parameters()})


def parameters_of(found: type[Calibrator]) -> list[str]:
    """Names of what its constructor takes."""
    return list(found._parameters())


def checked(calibrator: Calibrator) -> Calibrator:
    """The calibrator, once all of its parameters were found in order; ValueError naming the one that is not."""
    calibrator._prepared()
    return calibrator


def for_scores(method: str, given: Input, n_threads: int | None = None) -> Calibrator:
    """The calibrator of that name for scores that are logits, or probabilities, of which some may be 0."""
    clip = {"clip": CLIP} if given == "probs" else {}
    return made(method, input=given, n_threads=n_threads, **clip)
