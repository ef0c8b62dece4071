"""Out-of-distribution figures against their peers: two sets of scores, and the familiarity of features.

Answers are asserted to be equal before anything is timed. scikit-learn has no intervals: the line with ours is there to
say what they cost.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import peers_ood

import fastcal as fc

from .race import Call, Trial
from .record import Whole

SETS, FAMILIARITY, REGION = "ood_metrics", "activation_familiarity", "valid_ood_region"
SCORES = "x 2 float32 N(1, 1) and N(0, 1)"
NO_INTERVALS = f"{SCORES}, n_resamples=0"
AT_MOST = 64  # MB
# Widths and numbers of classes of features by name.
FEATURES = {
    "x 512 float32, 10 classes": (512, 10),
    "x 512 float32, 100 classes": (512, 100),
    "x 2048 float32, 1000 classes": (2048, 1000),
}

TRIALS = [
    Trial(SETS, NO_INTERVALS, 1_000_000, {"scikit-learn": 6}, "sort", 2),
    Trial(SETS, f"{SCORES}, 1000 resamples", 1_000_000, {}),
    Trial(REGION, SCORES, 1_000_000, {}, "sort", 2),
    *(
        Trial(FAMILIARITY, name, 200_000 if width < 2048 else 20_000, {}, "read", 4 * width)
        for name, (width, _) in FEATURES.items()
    ),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    if trial.work == FAMILIARITY:
        return familiarities(trial)
    rng = np.random.default_rng(0)
    inside, out = (rng.normal(mean, 1, trial.n_rows).astype(np.float32) for mean in (1, 0))
    if trial.work == REGION:
        sets = -inside, -out
        np.testing.assert_array_equal(fc.valid_ood_region(*sets), sorted_region(*sets))
        return {"fastcal": lambda: fc.valid_ood_region(*sets), "np.sort and searchsorted": lambda: sorted_region(*sets)}
    scores, labels = np.concatenate([inside, out]), np.repeat([1, 0], trial.n_rows)
    n_resamples = 0 if trial.given == NO_INTERVALS else 1000
    found = fc.ood_metrics(inside, out, n_resamples=0)
    for name, value in peers_ood.sklearn_ood(labels, scores).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=name)
    return {
        "fastcal": lambda: fc.ood_metrics(inside, out, n_resamples=n_resamples, random_state=0),
        "scikit-learn": lambda: peers_ood.sklearn_ood(labels, scores),
    }


def sorted_region(inside: np.ndarray, given: np.ndarray, epsilon: float = 0.05) -> np.ndarray:
    """The share of the one set below each of the other, by bisection."""
    return np.searchsorted(np.sort(inside), given) / len(inside) > 1 - epsilon


def features(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Features, and the weights of the classes."""
    width, n_classes = FEATURES[trial.given]
    rng = np.random.default_rng(0)
    return rng.standard_normal((trial.n_rows, width), np.float32), rng.standard_normal((n_classes, width), np.float32)


def familiarities(trial: Trial) -> dict[str, Call]:
    """By chunks, and by all cosines at once."""
    z, w = features(trial)
    calls: dict[str, Call] = {
        "fastcal": lambda: fc.activation_familiarity(z, w),
        "numpy": lambda: peers_ood.numpy_familiarity(z, w),
    }
    np.testing.assert_allclose(calls["fastcal"](), calls["numpy"](), atol=2e-6)
    return calls


def memory() -> list[Whole]:
    """What each way to the familiarity takes beyond its input, as NumPy tells it."""
    trial = next(trial for trial in TRIALS if trial.work == FAMILIARITY)
    found = []
    for name, call in familiarities(trial).items():
        tracemalloc.start()
        call()
        what = f"extra memory of {FAMILIARITY}, {trial.words}: {name}"
        most = AT_MOST if name == "fastcal" else None
        found.append(Whole("memory", what, tracemalloc.get_traced_memory()[1] / 1e6, "MB", most))
        tracemalloc.stop()
    return found
