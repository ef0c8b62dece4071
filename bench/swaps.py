"""Faces of other libraries against what they stand for: a changed import may not make anything slower.

Answers are asserted to be equal before anything is timed; both are called in turns, with all cores.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .race import Call, Trial

FEW, MANY, CLASSES = 100, 1_000_000, 10
METRICS, CALIBRATION = "sklearn.metrics", "sklearn.calibration"
SPECIAL, STATS, OPTIMIZE = "scipy.special", "scipy.stats", "scipy.optimize"
NO_SLOWER = 1.0  # also of what is handed on to the original, which costs 1 to 3 us more than the original alone


@dataclass(frozen=True)
class Swap:
    """A function by its module and name, on what, with which options."""

    module: str
    name: str
    given: str
    options: Mapping[str, Any] | None = None
    largest: int = MANY


SWAPS = [
    Swap(METRICS, "roc_auc_score", "binary"),
    Swap(METRICS, "roc_auc_score", "text"),
    Swap(METRICS, "roc_auc_score", "classes", {"multi_class": "ovr"}, MANY // 10),
    Swap(METRICS, "average_precision_score", "binary"),
    Swap(METRICS, "roc_curve", "binary"),
    Swap(METRICS, "precision_recall_curve", "binary"),
    Swap(METRICS, "brier_score_loss", "binary"),
    Swap(METRICS, "brier_score_loss", "classes"),
    Swap(METRICS, "log_loss", "binary"),
    Swap(METRICS, "log_loss", "classes"),
    Swap(CALIBRATION, "calibration_curve", "binary"),
    Swap(CALIBRATION, "calibration_curve", "binary", {"strategy": "quantile"}),
    *(
        Swap(SPECIAL, name, "rows", {"axis": axis})
        for name in ("softmax", "log_softmax", "logsumexp")
        for axis in (1, None, 0)
    ),
    Swap(STATS, "entropy", "weights", {"axis": 1}),
    Swap(STATS, "entropy", "weights"),
    Swap(OPTIMIZE, "isotonic_regression", "line", None, 10 * MANY),
]


def _trial(swap: Swap, n_rows: int) -> Trial:
    said = ", ".join(f"{key}={value!r}" for key, value in (swap.options or {}).items())
    title = f"{swap.module}.{swap.name}" + (f", {said}" if said else "")
    few = n_rows == FEW
    return Trial(title, swap.given, n_rows, {"the original": NO_SLOWER}, few=few, fewer=1 if few else 10, of=swap)


TRIALS = [_trial(swap, n_rows) for swap in SWAPS for n_rows in (FEW, swap.largest)]


def arguments(given: str, n_rows: int) -> tuple[np.ndarray, ...]:
    """Seeded inputs of each kind."""
    rng = np.random.default_rng(0)
    if given in ("binary", "text"):
        p = rng.random(n_rows)
        hits = (rng.random(n_rows) < p).astype(int)
        return (hits if given == "binary" else np.array(["no", "yes"])[hits]), p
    if given == "classes":
        p = rng.dirichlet(np.ones(CLASSES), n_rows)
        return (p.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1).clip(max=CLASSES - 1), p
    if given == "line":
        return (np.linspace(0, 1, n_rows) + rng.standard_normal(n_rows) * 0.1,)
    rows = rng.standard_normal((n_rows, CLASSES))
    return (rows if given == "rows" else abs(rows),)


def contenders(trial: Trial) -> dict[str, Call]:
    """A face and its original, whose answers are equal."""
    swap = trial.of
    ours = getattr(importlib.import_module(f"fastcal.compat.{swap.module}"), swap.name)
    given, options = arguments(trial.given, trial.n_rows), dict(swap.options or {})
    for mine, theirs in zip(*(_parts(call(*given, **options)) for call in (ours, ours.original)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    return {"fastcal": lambda: ours(*given, **options), "the original": lambda: ours.original(*given, **options)}


def _parts(found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        return [found["x"]]
    return list(found) if isinstance(found, tuple) else [found]
