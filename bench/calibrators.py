"""Calibrators beside their peers, each kind's trials in its own module; and what each method makes of the sample."""

from __future__ import annotations

import numpy as np

import fastcal as fc
from fastcal.dumps.opening import SAMPLE

from . import calibrators_binary, calibrators_binned, calibrators_linear, calibrators_temperature
from .race import Call, Trial

KINDS = (calibrators_temperature, calibrators_linear, calibrators_binned, calibrators_binary)
TRIALS = [trial for kind in KINDS for trial in kind.TRIALS]
FIGURES = ("nll", "ece", "classwise_ece", "brier", "accuracy")


def contenders(trial: Trial) -> dict[str, Call]:
    """Those of its kind."""
    return next(kind for kind in KINDS if trial.work in {one.work for one in kind.TRIALS}).contenders(trial)


def methods() -> fc.CalibratorComparison:
    """Every method on the bundled sample, each row calibrated by a fit to the other folds."""
    with np.load(SAMPLE, allow_pickle=False) as sample:
        return fc.cross_validate_calibrators(sample["logits"], sample["labels"], input="logits")


def table_of_methods(found: fc.CalibratorComparison) -> list[str]:
    """A line a method, the lowest NLL first."""
    head = [name.replace("_", "-") for name in FIGURES]
    table = [
        f"| {found.n} rows, {found.n_folds} folds | {' | '.join(head)} | nll less that of none |",
        "|---" * (len(FIGURES) + 2) + "|",
    ]
    for result in found.results:
        figures = " | ".join(f"{result.figures[name]:.4f}" for name in FIGURES)
        change = "" if not result.differences else "{:+.4f} ({:+.4f} to {:+.4f})".format(*result.differences["nll"])
        table.append(f"| {result.name} | {figures} | {change} |")
    return table
