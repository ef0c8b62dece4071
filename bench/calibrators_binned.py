"""Calibrators that go one against the rest, fitted and applied, against their peers.

Answers are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import fastcal as fc
from fastcal.engine import thread_count

from .race import Call, Trial

ISOTONIC, ISOTONIC_APPLIED = "IsotonicCalibration.fit", "IsotonicCalibration.predict_proba"
HISTOGRAM, EQUAL_MASS, HISTOGRAM_APPLIED = (
    "HistogramBinning.fit",
    "its fit, equal mass",
    "HistogramBinning.predict_proba",
)
BBQ = "BBQ.fit"
SOFTMAX, BINARY = "x 100 float32 softmax rows", "float32 P(y = 1)"

TRIALS = [
    Trial(
        ISOTONIC,
        SOFTMAX,
        200_000,
        dict.fromkeys(("scikit-learn", "scikit-learn, threads", "scikit-learn, processes"), 15),
        "read",
        408,
        fewer=20,
    ),
    Trial(ISOTONIC_APPLIED, SOFTMAX, 1_000_000, {}, "copy", 800, fewer=20),
    Trial(HISTOGRAM, SOFTMAX, 200_000, {}, "read", 408, fewer=20),
    Trial(EQUAL_MASS, SOFTMAX, 200_000, {}, "read", 408, fewer=20),
    Trial(HISTOGRAM_APPLIED, SOFTMAX, 1_000_000, {}, "copy", 800, fewer=20),
    Trial(BBQ, BINARY, 200_000, {}, fewer=5),  # under 0.3 s
    Trial(BBQ, BINARY, 10_000, {}, fewer=1),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    if trial.work == BBQ:
        return bayesian(trial.n_rows)
    scores, labels = softmax_rows(trial.n_rows)
    return {
        ISOTONIC: isotonic,
        ISOTONIC_APPLIED: isotonic_applied,
        HISTOGRAM: histogram,
        EQUAL_MASS: equal_mass,
        HISTOGRAM_APPLIED: histogram_applied,
    }[trial.work](scores, labels)


def softmax_rows(n_rows: int, n_classes: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is too sure of itself, and labels."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((n_rows, n_classes), np.float32)
    truth = fc.softmax(logits)
    labels = (truth.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1).clip(0, n_classes - 1)
    return fc.softmax(logits, temperature=0.8), labels


def fit_columns(scores: np.ndarray, labels: np.ndarray, backend: str | None = None) -> list[Any]:
    """scikit-learn's isotonic regression of each class against the rest; by joblib's ``backend`` or in a loop."""
    import joblib

    columns = (np.ascontiguousarray(scores[:, k]) for k in range(scores.shape[1]))
    if backend is None:
        return [fit_one(column, labels, k) for k, column in enumerate(columns)]
    with joblib.parallel_config(backend):
        jobs = (joblib.delayed(fit_one)(column, labels, k) for k, column in enumerate(columns))
        return list(joblib.Parallel(thread_count())(jobs))


def fit_one(column: np.ndarray, labels: np.ndarray, k: int) -> Any:
    """One of them."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(out_of_bounds="clip").fit(column, labels == k)


def apply_columns(maps: list[Any], scores: np.ndarray) -> np.ndarray:
    """Each column by its map, and rows divided by their sum."""
    mapped = np.stack([one.predict(scores[:, k]) for k, one in enumerate(maps)], axis=1)
    total = mapped.sum(axis=1, keepdims=True)
    mapped = np.divide(mapped, total, out=mapped, where=total > 0)
    mapped[total[:, 0] == 0] = 1 / len(maps)
    return mapped


def isotonic(scores: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    """scikit-learn takes float32 scores closer than 1e-6 for ties, ours with ties="sklearn": those two are compared.

    What is timed is the default, which has more distinct scores to pool: it is compared with fits in float64.
    """
    some = scores[:20_000]
    for ties, given in (("sklearn", scores), ("exact", scores.astype(float))):
        ours = fc.IsotonicCalibration(ties=ties).fit(scores, labels).predict_proba(some)
        theirs = apply_columns(fit_columns(given, labels), some.astype(given.dtype))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    calls: dict[str, Call] = {
        "fastcal": lambda: fc.IsotonicCalibration().fit(scores, labels),
        "scikit-learn": partial(fit_columns, scores, labels),
        "scikit-learn, threads": partial(fit_columns, scores, labels, "threading"),
        "scikit-learn, processes": partial(fit_columns, scores, labels, "loky"),
    }
    alone = calls["scikit-learn"]()
    for name in ("scikit-learn, threads", "scikit-learn, processes"):
        for one, other in zip(alone, calls[name](), strict=True):
            np.testing.assert_array_equal(one.y_thresholds_, other.y_thresholds_)
    return calls


def isotonic_applied(scores: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    """Of maps that were fitted to a part of the rows."""
    part = slice(0, len(scores) // 5)
    ours = fc.IsotonicCalibration(ties="sklearn").fit(scores[part], labels[part])
    maps, out = fit_columns(scores[part], labels[part]), np.empty_like(scores)
    np.testing.assert_allclose(ours.predict_proba(scores), apply_columns(maps, scores), rtol=1e-4, atol=1e-6)
    return {
        "fastcal": lambda: ours.predict_proba(scores, out=out),
        "scikit-learn": lambda: apply_columns(maps, scores),
    }


def bin_columns(scores: np.ndarray, labels: np.ndarray, edges: list[np.ndarray]) -> list[np.ndarray]:
    """NumPy's shares of each class in bins (lo, hi] of its column."""
    shares = []
    for k, own in enumerate(edges):
        bins = np.searchsorted(own[1:-1], scores[:, k])
        count = np.bincount(bins, minlength=len(own) - 1)
        hits = np.bincount(bins[labels == k], minlength=len(own) - 1)
        shares.append(np.where(count > 0, hits / np.maximum(count, 1), (own[1:] + own[:-1]) / 2))
    return shares


def histogram(scores: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    """Uniform bins."""
    edges = [np.linspace(0, 1, 16)] * scores.shape[1]
    theirs = bin_columns(scores, labels, edges)
    np.testing.assert_array_equal(fc.HistogramBinning().fit(scores, labels).values_, np.concatenate(theirs))
    return {
        "fastcal": lambda: fc.HistogramBinning().fit(scores, labels),
        "numpy": lambda: bin_columns(scores, labels, edges),
    }


def equal_mass(scores: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    """Bins of equal mass."""

    def theirs() -> list[np.ndarray]:
        quantiles = np.quantile(scores.astype(float), np.linspace(0, 1, 16), axis=0)
        return bin_columns(scores, labels, [np.unique(column) for column in quantiles.T])

    ours = fc.HistogramBinning(binning="quantile")
    np.testing.assert_allclose(ours.fit(scores, labels).values_, np.concatenate(theirs()), rtol=1e-12)
    return {"fastcal": lambda: ours.fit(scores, labels), "numpy": theirs}


def histogram_applied(scores: np.ndarray, labels: np.ndarray) -> dict[str, Call]:
    """Uniform bins, read off."""
    ours, out = fc.HistogramBinning().fit(scores, labels), np.empty_like(scores)
    values = ours.values_.reshape(scores.shape[1], -1).astype(np.float32)

    def theirs() -> np.ndarray:
        bins = np.searchsorted(np.linspace(0, 1, 16)[1:-1], scores)
        mapped = np.take_along_axis(values.T, bins, axis=0)
        return mapped / mapped.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(ours.predict_proba(scores[:10_000]), theirs()[:10_000], rtol=1e-5)
    return {"fastcal": lambda: ours.predict_proba(scores, out=out), "numpy": theirs}


def bayesian(n_rows: int) -> dict[str, Call]:
    """netcal's scores its models by AIC and keeps those before an elbow: only nearly the same comes of it."""
    rng = np.random.default_rng(0)
    truth = rng.random(n_rows)
    labels = (rng.random(n_rows) < truth).astype(int)
    scores = (truth**2 / (truth**2 + (1 - truth) ** 2)).astype(np.float32)
    calls: dict[str, Call] = {"fastcal": lambda: fc.BBQ().fit(scores, labels)}
    if n_rows > 20_000 or not find_spec("netcal"):
        return calls
    from netcal.binning import BBQ as Theirs

    given = scores.astype(float)
    calls["netcal"] = lambda: Theirs().fit(given, labels)
    ours, theirs = fc.BBQ().fit(scores, labels).predict_proba(scores), calls["netcal"]().transform(given)
    assert abs(ours - truth).mean() <= abs(theirs - truth).mean() <= abs(ours - truth).mean() + 0.02
    return calls
