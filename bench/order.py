"""Figures of sorted scores against their peers: isotonic fits and predictions, and rankings.

Answers are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

import fastcal as fc

from .race import Call, Trial

ROWS = 10_000_000
FIT, PREDICT, SEQUENCE = "IsotonicRegression.fit", "IsotonicRegression.predict", "isotonic_regression"
UNIFORM = "float32 uniform, y 0/1 ~ Bernoulli(score)"
BY_CLASS = "float64 uniform, int64 labels"

# Inputs of isotonic_regression by name, from scores that rise.
SEQUENCES: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "float64 scores, sorted": lambda _, scores: scores,
    "float64 labels 0/1, by score": lambda rng, scores: (rng.random(len(scores)) < scores).astype(float),
    "float64 sorted + N(0, 1)": lambda rng, scores: scores + rng.standard_normal(len(scores)),
}


TRIALS = [
    # 1000 rows may be no slower; more than ROWS take scikit-learn as many times as long, and 4 GB
    Trial(FIT, UNIFORM, 1000, {"scikit-learn": 1}, "sort", 1, fewer=1),
    *(Trial(FIT, UNIFORM, n, {}, "sort", 1, fewer=1 if n < 10**6 else None) for n in (10**4, 10**5, 10**6)),
    Trial(FIT, UNIFORM, ROWS, {"scikit-learn": 20, "np.sort": 1 / 3}, "sort", 1),
    Trial(FIT, f"{UNIFORM}, weights", ROWS, {"scikit-learn": 8}, "sort", 1),
    Trial(PREDICT, "float32 uniform, unsorted", ROWS, {"scikit-learn": 12}, "copy", 8),
    *(Trial(SEQUENCE, name, ROWS, {"scipy": 1.5}, "copy", 16, of=name) for name in SEQUENCES),
    Trial("auroc", BY_CLASS, 2_000_000, {"scikit-learn": 8, "torchmetrics": 4}, "sort", 1),
    Trial("average_precision", BY_CLASS, 2_000_000, {"scikit-learn": 8, "torchmetrics": 4}, "sort", 1),
]


def bernoulli(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform float32 scores and float64 labels 0 and 1, each 1 with the probability of its score."""
    rng = np.random.default_rng(0)
    scores = rng.random(n_rows, np.float32)
    return scores, (rng.random(n_rows, np.float32) < scores).astype(float)


def fit_ours(scores: np.ndarray, y: np.ndarray, weight: np.ndarray | None, ties: str = "exact") -> Any:
    """A fitted fastcal.IsotonicRegression."""
    return fc.IsotonicRegression(out_of_bounds="clip", ties=ties).fit(scores, y, weight)


def fit_theirs(scores: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """A fitted sklearn.isotonic.IsotonicRegression."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(out_of_bounds="clip").fit(scores, y, weight)


FITS = {"fastcal": fit_ours, "scikit-learn": fit_theirs}


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    if trial.work == FIT:
        calls = fits(trial.n_rows, weighted="weights" in trial.given)
        return {name: calls[name] for name in {"fastcal": 0, "scikit-learn": 0, **trial.aims}}
    if trial.work == PREDICT:
        return predictions(trial.n_rows)
    if trial.work == SEQUENCE:
        return sequences(trial.of, trial.n_rows)
    return rankings(trial.work, trial.n_rows)


def fits(n_rows: int, *, weighted: bool = False) -> dict[str, Call]:
    """Fits of the whole estimator, and a sort of the scores alone.

    scikit-learn takes float32 scores closer than 1e-6 for ties, ours with ties="sklearn": those two are compared. What
    is timed is the default, which has more distinct scores to pool: it is compared with a fit to the scores in float64.
    """
    scores, y = bernoulli(n_rows)
    weight = 1 - np.random.default_rng(1).random(n_rows, np.float32) if weighted else None
    some = scores[:1_000_000]
    for ties, given in (("sklearn", scores), ("exact", scores.astype(float))):
        ours, theirs = fit_ours(scores, y, weight, ties), fit_theirs(given, y, weight)
        np.testing.assert_allclose(ours.predict(some), theirs.predict(some.astype(given.dtype)), rtol=1e-5, atol=1e-6)
    return {
        "fastcal": lambda: fit_ours(scores, y, weight),
        "scikit-learn": lambda: fit_theirs(scores, y, weight),
        "np.sort": lambda: np.sort(scores),
    }


def predictions(n_rows: int) -> dict[str, Call]:
    """Of the same fit, at scores that were not fitted; those beyond the fitted range are clipped."""
    scores, y = bernoulli(n_rows)
    ours, theirs = fit_ours(scores, y, None, "sklearn"), fit_theirs(scores, y, None)
    given = np.random.default_rng(2).random(n_rows, np.float32)
    np.testing.assert_allclose(ours.predict(given), theirs.predict(given), rtol=1e-5, atol=1e-6)
    return {"fastcal": lambda: ours.predict(given), "scikit-learn": lambda: theirs.predict(given)}


def sequences(name: str, n_rows: int) -> dict[str, Call]:
    """Fits of numbers that are in order already."""
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(0)
    y = SEQUENCES[name](rng, np.sort(rng.random(n_rows)))
    np.testing.assert_allclose(fc.isotonic_regression(y).x, isotonic_regression(y).x, rtol=1e-9, atol=1e-11)
    return {"fastcal": lambda: fc.isotonic_regression(y), "scipy": lambda: isotonic_regression(y)}


def rankings(work: str, n_rows: int) -> dict[str, Call]:
    """Areas under the curves of ROC, or of precision and recall."""
    from sklearn import metrics

    rng = np.random.default_rng(0)
    scores = rng.random(n_rows)
    labels = (rng.random(n_rows) < scores).astype(np.int64)
    ours, scikit_learn = {
        "auroc": (fc.auroc, metrics.roc_auc_score),
        "average_precision": (fc.average_precision, metrics.average_precision_score),
    }[work]
    calls: dict[str, Call] = {
        "fastcal": lambda: ours(labels, scores),
        "scikit-learn": lambda: scikit_learn(labels, scores),
    }
    np.testing.assert_allclose(calls["fastcal"](), calls["scikit-learn"](), rtol=1e-10)
    if find_spec("torchmetrics"):
        import torch
        from torchmetrics.functional import classification

        given, theirs = (torch.from_numpy(scores), torch.from_numpy(labels)), getattr(classification, f"binary_{work}")
        calls["torchmetrics"] = lambda: theirs(*given, validate_args=False)
        np.testing.assert_allclose(calls["fastcal"](), float(calls["torchmetrics"]()), rtol=1e-5)  # it works in float32
    return calls
