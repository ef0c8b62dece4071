"""Calls on a few rows, where what surrounds the arithmetic takes longer than it: how much a warm call costs.

Answers are asserted to be equal before anything is timed. Of NumPy's three ``bincount`` there are two versions: one
with fastcal's bins (lo, hi], and one that cuts p times 15 off, which puts a p on an edge elsewhere.
"""

from __future__ import annotations

import numpy as np

import fastcal as fc

from .race import Call, Trial

N_BINS = 15
SAME_BINS, CUT_OFF = "numpy, bins (lo, hi]", "numpy, p n cut off"
ROWS, ONE = "x 10 float64 logits", "row of 10 float64 logits"
CONFIDENCES = "float64 confidences, int64 labels"

TRIALS = [
    Trial("ece", CONFIDENCES, 1000, {SAME_BINS: 1, CUT_OFF: 1}, few=True, fewer=1),
    Trial("softmax", ROWS, 100, {"scipy": 3}, few=True, fewer=1),
    Trial("softmax", ONE, 1, {"scipy": 1}, few=True, fewer=1),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    rng = np.random.default_rng(0)
    if trial.work == "ece":
        p = rng.random(trial.n_rows)
        y = (rng.random(trial.n_rows) < p).astype(np.int64)
        calls: dict[str, Call] = {
            "fastcal": lambda: fc.ece(y, p),
            SAME_BINS: lambda: three_counts(y, p, np.searchsorted(np.linspace(0, 1, N_BINS + 1)[1:-1], p)),
            CUT_OFF: lambda: three_counts(y, p, np.minimum((p * N_BINS).astype(np.intp), N_BINS - 1)),
        }
    else:
        from scipy.special import softmax

        z = rng.normal(size=(trial.n_rows, 10))
        given = z[0].copy() if trial.given == ONE else z
        calls = {"fastcal": lambda: fc.softmax(given), "scipy": lambda: softmax(given, axis=-1)}
    answers = {name: call() for name, call in calls.items()}
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["fastcal"], rtol=1e-12)
    return calls


def three_counts(y: np.ndarray, p: np.ndarray, index: np.ndarray) -> float:
    """ECE of rows whose bins are known, in the lines that people write."""
    count = np.bincount(index, minlength=N_BINS)
    gaps = np.bincount(index, y, N_BINS) - np.bincount(index, p, N_BINS)
    return float(np.abs(gaps).sum() / count.sum())
