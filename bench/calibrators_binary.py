"""Figures of binary calibrators against their peers: Venn-Abers predictors, Platt scaling and beta calibration.

Answers are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from comparisons import generate

import fastcal as fc

from .race import Call, Trial

VENN_ABERS, PLATT, BETA = "VennAbers.fit, predict_proba", "PlattScaling.fit", "BetaCalibration.fit"
UNIFORM = "float64 uniform, y 0/1 ~ Bernoulli(score ** 1.3)"
BOTH = "float64 uniform, and as many test points"
SOFTMAX = "x 100 float32 softmax rows"

TRIALS = [
    Trial(VENN_ABERS, BOTH, 200_000, {"venn-abers": 20}, "sort", 2),
    Trial(PLATT, UNIFORM, 200_000, {"scikit-learn": 1}),
    Trial(PLATT, SOFTMAX, 200_000, {}),
    Trial(BETA, UNIFORM, 200_000, {"betacal": 1}),
    Trial(BETA, SOFTMAX, 200_000, {}),
]


def scores(n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64 scores, labels that are not calibrated to them, and other scores."""
    rng = np.random.default_rng(0)
    given = rng.random(n_rows)
    return given, (rng.random(n_rows) < given**1.3).astype(np.int64), rng.random(n_rows)


def as_rows(p: np.ndarray) -> np.ndarray:
    """Two columns, as the peers take them."""
    return np.stack([1 - p, p], axis=1)


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    if trial.given == SOFTMAX:
        given = generate("rows", trial.n_rows, 100, np.float32)
        method = {PLATT: fc.PlattScaling, BETA: fc.BetaCalibration}[trial.work]
        return {"fastcal": lambda: method().fit(given.scores, given.y_true)}
    return {VENN_ABERS: venn_abers, PLATT: platt, BETA: beta}[trial.work](trial)


def venn_abers(trial: Trial) -> dict[str, Call]:
    """Inductive predictors: fit, and the merged probabilities of as many test points."""
    p, y, test = scores(trial.n_rows)
    calls: dict[str, Call] = {"fastcal": lambda: fc.VennAbers().fit(p, y).predict_proba(test)}
    if find_spec("venn_abers"):
        from venn_abers import VennAbers  # which tells NumPy to be silent about divisions by 0

        def theirs() -> Any:
            model = VennAbers()
            model.fit(as_rows(p), y)
            return model.predict_proba(as_rows(test))

        calls["venn-abers"] = theirs
        found, pairs = theirs()
        np.testing.assert_allclose(calls["fastcal"](), found[:, 1], rtol=1e-12)
        ours = fc.VennAbers().fit(p, y).predict_interval(test)
        np.testing.assert_allclose(np.stack(ours, axis=1), pairs, rtol=1e-12)
    return calls


def platt(trial: Trial) -> dict[str, Call]:
    """Slope and intercept; scikit-learn stops at 1e-4 of them."""
    from sklearn.calibration import _SigmoidCalibration

    p, y, _ = scores(trial.n_rows)
    ours, theirs = fc.PlattScaling().fit(p, y), _SigmoidCalibration().fit(p, y)
    np.testing.assert_allclose([ours.slope_, ours.intercept_], [-theirs.a_, -theirs.b_], rtol=1e-3)
    return {"fastcal": lambda: fc.PlattScaling().fit(p, y), "scikit-learn": lambda: _SigmoidCalibration().fit(p, y)}


def beta(trial: Trial) -> dict[str, Call]:
    """a, b and m; betacal stops at 1e-4 of scikit-learn's logistic regression."""
    p, y, _ = scores(trial.n_rows)
    calls: dict[str, Call] = {"fastcal": lambda: fc.BetaCalibration().fit(p, y)}
    if find_spec("betacal"):
        from betacal import BetaCalibration

        def theirs() -> Any:
            with warnings.catch_warnings():  # it turns all of them off
                return BetaCalibration(parameters="abm").fit(p.reshape(-1, 1), y)

        calls["betacal"] = theirs
        np.testing.assert_allclose(calls["fastcal"]().predict_proba(p), theirs().predict(p), atol=1e-3)
    return calls
