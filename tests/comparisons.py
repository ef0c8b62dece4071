"""The one table of comparisons: each public function beside its slow twin and beside the peers that compute the same.

The tests assert equality over ``TABLE`` and the benchmarks time it, so a new metric is one row at the end of this file.

Inputs keep away from what systems in the field disagree about: no confidence lies within 1e-3 of a bin's width of an
edge of 15 bins, 0 and 1 included. There the half-open bins of all peers hold the same rows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import oracle

import fastcal as fc

N_BINS = 15

# How close a result of ours comes to the slow twin: in float32 each row is rounded a few times, by 6e-8 of its value.
OURS = {"float32": 2e-6, "float64": 1e-12}

# Inputs


@dataclass(frozen=True)
class Kind:
    """A form that scores come in."""

    from_logits: bool
    rows: bool  # (N, K) rather than (N,)


KINDS = {
    "rows": Kind(from_logits=False, rows=True),
    "wide rows": Kind(from_logits=False, rows=True),
    "confidences": Kind(from_logits=False, rows=False),
    "logits": Kind(from_logits=True, rows=True),
    "wide logits": Kind(from_logits=True, rows=True),
    "log-odds": Kind(from_logits=True, rows=False),
}
ROWS = ("rows", "wide rows")
LOGITS = ("logits", "wide logits")
PROBS = (*ROWS, "confidences")


@dataclass(frozen=True)
class Data:
    """Labels, scores and perhaps weights of one kind."""

    kind: str
    y_true: np.ndarray
    scores: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def from_logits(self) -> bool:
        return KINDS[self.kind].from_logits

    @property
    def n_bytes(self) -> int:
        arrays = (self.y_true, self.scores, self.sample_weight)
        return sum(array.nbytes for array in arrays if array is not None)


def generate(kind: str, n_rows: int, n_classes: int, dtype: Any, *, weighted: bool = False, seed: int = 0) -> Data:
    """Seeded predictions of an overconfident model, over the whole range of confidence."""
    rng = np.random.default_rng(seed)
    n_drawn = n_rows + n_rows // 20 + 100  # the extra ones stand in for those near an edge
    if KINDS[kind].rows:
        y_true, scores, confidence = _rows(rng, n_drawn, n_classes, np.dtype(dtype), KINDS[kind].from_logits)
    else:
        y_true, scores, confidence = _confidences(rng, n_drawn, np.dtype(dtype), KINDS[kind].from_logits)
    place = confidence * N_BINS
    kept = np.flatnonzero(abs(place - np.rint(place)) > 1e-3)[:n_rows]
    assert len(kept) == n_rows
    weight = rng.exponential(size=n_rows) if weighted else None
    return Data(kind, y_true[kept], scores[kept], weight)


def _rows(rng, n, k, dtype, from_logits):
    favourite = rng.integers(0, k, n)
    y_true = np.where(rng.random(n) < 0.8, favourite, rng.integers(0, k, n))
    logits = rng.standard_normal((n, k), dtype)
    logits[np.arange(n), favourite] += rng.uniform(0, 6 + np.log(k), n).astype(dtype)
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    return y_true, logits if from_logits else probs, probs.max(axis=1)


def _confidences(rng, n, dtype, from_logits):
    p = rng.random(n)
    y_true = (rng.random(n) < 0.2 + 0.6 * p).astype(np.int64)
    return y_true, (np.log(p / (1 - p)) if from_logits else p).astype(dtype), p


# Results


def figures(result: Any) -> dict[str, np.ndarray]:
    """The numbers of a result by name; a single one is named "value"."""
    if is_dataclass(result):
        result = {place.name: getattr(result, place.name) for place in fields(result)}
    if not isinstance(result, Mapping):
        result = {"value": result}
    return {name: np.asarray(value) for name, value in result.items() if not is_dataclass(value)}


def assert_same(ours: Any, expected: Any, tolerance: float) -> None:
    """Every figure of ``expected`` is among ours and equals it, to ``tolerance``, relative or absolute."""
    found = figures(ours)
    for name, value in figures(expected).items():
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


# Peers: called with (y_true, scores, sample_weight), they import their library themselves


@dataclass(frozen=True)
class Peer:
    """Somebody else's way to the same figures, on the kinds of input that it takes.

    ``tolerance`` is that for float32 and for float64 input, ``drift`` what each row adds to it; ``because`` says what
    they are owed to.
    """

    compute: Callable[[np.ndarray, np.ndarray, np.ndarray | None], Any]
    libraries: tuple[str, ...]
    takes: tuple[str, ...]
    tolerance: tuple[float, float]
    because: str
    drift: float = 0.0
    weights: bool = False

    def tolerance_for(self, data: Data) -> float:
        return self.tolerance[data.scores.dtype == np.float64] + self.drift * len(data.scores)


def available(peer: Peer) -> bool:
    """Whether the libraries that a peer needs are installed."""
    return all(importlib.util.find_spec(library) is not None for library in peer.libraries)


def _scikit_learn(compute, takes, because="sums in the dtype of the input"):
    return Peer(compute, ("sklearn",), takes, (5e-6, 1e-12), because, weights=True)


def _sklearn_log_loss(y_true, probs, sample_weight):
    from sklearn.metrics import log_loss

    labels = np.arange(probs.shape[1] if probs.ndim > 1 else 2)
    return log_loss(y_true, probs, labels=labels, sample_weight=sample_weight)


def _sklearn_brier_score(y_true, probs, sample_weight):
    from sklearn.metrics import brier_score_loss

    if probs.ndim == 1:
        return brier_score_loss(y_true, probs, sample_weight=sample_weight)
    return brier_score_loss(y_true, probs, labels=np.arange(probs.shape[1]), sample_weight=sample_weight)


def _sklearn_accuracy(y_true, probs, sample_weight):
    from sklearn.metrics import accuracy_score

    prediction = probs.argmax(axis=1) if probs.ndim > 1 else (probs > 0.5).astype(np.int64)
    return accuracy_score(y_true, prediction, sample_weight=sample_weight)


def _sklearn_calibration_curve(y_true, p, sample_weight):
    from sklearn.calibration import calibration_curve

    accuracy, confidence = calibration_curve(y_true, p, n_bins=N_BINS)  # leaves empty bins out; here none is
    return {"accuracy": accuracy, "confidence": confidence}


def _sklearn_takes_rows() -> bool:
    """Whether the installed scikit-learn has the Brier score of several classes (since 1.7)."""
    if importlib.util.find_spec("sklearn") is None:
        return False
    from importlib.metadata import version

    return tuple(map(int, version("scikit-learn").split(".")[:2])) >= (1, 7)


# After a million rows of one bin torchmetrics' ECE and MCE are off by 3e-4 and 6e-4.
_DRIFT = {"drift": 1e-9, "because": "ECE and MCE come from running sums in float32, where small terms get lost"}


def _torchmetrics(compute, tolerance, **reason):
    return Peer(compute, ("torch", "torchmetrics"), PROBS, (tolerance, tolerance), **reason)


def _torchmetrics_calibration_error(norm):
    def compute(y_true, probs, sample_weight):
        from torch import from_numpy
        from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

        p, y = from_numpy(probs), from_numpy(y_true)
        options = {"n_bins": N_BINS, "norm": norm, "validate_args": False}
        if probs.ndim == 1:
            return float(binary_calibration_error(p, y, **options))
        return float(multiclass_calibration_error(p, y, probs.shape[1], **options))

    return compute


def _torchmetrics_accuracy(y_true, probs, sample_weight):
    from torch import from_numpy
    from torchmetrics.functional.classification import binary_accuracy, multiclass_accuracy

    p, y = from_numpy(probs), from_numpy(y_true)
    if probs.ndim == 1:
        return float(binary_accuracy(p, y, validate_args=False))
    return float(multiclass_accuracy(p, y, probs.shape[1], average="micro", validate_args=False))


def _netcal(metric):
    def compute(y_true, probs, sample_weight):
        import netcal.metrics

        return getattr(netcal.metrics, metric)(bins=N_BINS).measure(probs, y_true)

    return Peer(compute, ("netcal",), PROBS, (1e-6, 1e-12), "means in float64 of confidences in the input's dtype")


def _numpy_calibration_error(reduce):
    """The few lines that people write for want of a library."""

    def compute(y_true, probs, sample_weight):
        if probs.ndim == 1:
            confidence, outcome = probs, y_true
        else:
            prediction = probs.argmax(axis=1)
            confidence, outcome = probs[np.arange(len(probs)), prediction], prediction == y_true
        index = np.minimum((confidence * N_BINS).astype(np.intp), N_BINS - 1)
        count = np.bincount(index, minlength=N_BINS)
        sums = np.bincount(index, outcome, N_BINS) - np.bincount(index, confidence, N_BINS)
        return float(reduce(abs(sums), count))

    return Peer(compute, (), PROBS, (1e-6, 1e-12), "sums in float64 of confidences in the input's dtype")


def _numpy(compute, takes):
    return Peer(compute, (), takes, (5e-6, 1e-12), "sums in the dtype of the input")


def _numpy_nll(y_true, probs, sample_weight):
    return float(-np.log(probs[np.arange(len(probs)), y_true]).mean())


def _numpy_brier_score(y_true, probs, sample_weight):
    if probs.ndim == 1:
        return float(((probs - y_true) ** 2).mean())
    hot = np.eye(probs.shape[1], dtype=probs.dtype)[y_true]
    return float(((probs - hot) ** 2).sum(axis=1).mean())


def _numpy_accuracy(y_true, probs, sample_weight):
    prediction = probs.argmax(axis=1) if probs.ndim > 1 else probs > 0.5
    return float((prediction == y_true).mean())


def _torch_cross_entropy(y_true, logits, sample_weight):
    from torch import from_numpy
    from torch.nn.functional import cross_entropy

    return float(cross_entropy(from_numpy(logits), from_numpy(y_true)))


def _torch_summary(y_true, logits, sample_weight):
    from torch import from_numpy

    z = from_numpy(logits)
    log_p = z.log_softmax(dim=1)
    p = log_p.exp()
    top = p.topk(2, dim=1)
    return {
        "prediction": top.indices[:, 0].numpy(),
        "confidence": top.values[:, 0].numpy(),
        "margin": (top.values[:, 0] - top.values[:, 1]).numpy(),
        "entropy": -(p * log_p).sum(dim=1).numpy(),
        "logsumexp": (z[:, 0] - log_p[:, 0]).numpy(),
    }


def _scipy_summary(y_true, logits, sample_weight):
    from scipy.special import logsumexp
    from scipy.stats import entropy

    total = logsumexp(logits, axis=1)
    p = np.exp(logits - total[:, None])
    ordered = np.partition(p, -2, axis=1)
    return {
        "prediction": p.argmax(axis=1),
        "confidence": ordered[:, -1],
        "margin": ordered[:, -1] - ordered[:, -2],
        "entropy": entropy(p, axis=1),
        "logsumexp": total,
    }


def _torchmetrics_report(y_true, logits, sample_weight):
    """The softmax is taken once, and all figures share it."""
    from torch import from_numpy
    from torch.nn.functional import nll_loss
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

    y = from_numpy(y_true)
    n_classes = logits.shape[1]
    log_p = from_numpy(logits).log_softmax(dim=1)
    p = log_p.exp()
    options = {"num_classes": n_classes, "validate_args": False}
    return {
        "accuracy": float(multiclass_accuracy(p, y, average="micro", **options)),
        "confidence": float(p.amax(dim=1).mean()),
        "ece": float(multiclass_calibration_error(p, y, n_bins=N_BINS, norm="l1", **options)),
        "mce": float(multiclass_calibration_error(p, y, n_bins=N_BINS, norm="max", **options)),
        "nll": float(nll_loss(log_p, y)),
        "brier": float((p.square().sum(dim=1) - 2 * p.gather(1, y[:, None])[:, 0] + 1).mean()),
        "entropy": float(-(p * log_p).sum(dim=1).mean()),
    }


CALIBRATION_ERRORS = {
    "l1": {
        "torchmetrics": _torchmetrics(_torchmetrics_calibration_error("l1"), 1e-6, **_DRIFT),
        "netcal": _netcal("ECE"),
        "numpy": _numpy_calibration_error(lambda gaps, count: gaps.sum() / count.sum()),
    },
    "max": {
        "torchmetrics": _torchmetrics(_torchmetrics_calibration_error("max"), 1e-6, **_DRIFT),
        "netcal": _netcal("MCE"),
        "numpy": _numpy_calibration_error(lambda gaps, count: (gaps[count > 0] / count[count > 0]).max()),
    },
}

# The table


def _summary(y_true, logits, *, from_logits, sample_weight):
    return fc.softmax_summary(logits)


def _evaluation(y_true, scores, *, from_logits, sample_weight):
    return fc.Evaluation(from_logits=from_logits).update(y_true, scores, sample_weight=sample_weight).compute()


@dataclass(frozen=True)
class Comparison:
    """One public name: how it is called, what it must equal, and what it is timed against.

    ``ours`` and ``oracle`` are called alike: ``(y_true, scores, from_logits=..., sample_weight=...)``. The benchmarks
    make a line for each kind of input in ``timed``, and call it ``work``.
    """

    name: str
    work: str
    ours: Callable[..., Any]
    oracle: Callable[..., Any]
    peers: Mapping[str, Peer] = field(default_factory=dict)
    takes: tuple[str, ...] = tuple(KINDS)
    weights: bool = True
    timed: tuple[str, ...] = ("rows",)

    def __str__(self) -> str:
        return self.name

    def __call__(self, data: Data) -> Any:
        return self.ours(data.y_true, data.scores, from_logits=data.from_logits, sample_weight=data.sample_weight)

    def expected(self, data: Data) -> Any:
        return self.oracle(data.y_true, data.scores, from_logits=data.from_logits, sample_weight=data.sample_weight)

    def peers_for(self, kind: str) -> dict[str, Peer]:
        return {name: peer for name, peer in self.peers.items() if kind in peer.takes}


TABLE = [
    Comparison(
        "Evaluation",
        "whole report",
        _evaluation,
        oracle.evaluation,
        {
            "torch + torchmetrics": Peer(
                _torchmetrics_report,
                ("torch", "torchmetrics"),
                LOGITS,
                (1e-6, 1e-6),
                **_DRIFT,
            )
        },
        timed=LOGITS,
    ),
    Comparison(
        "softmax_summary",
        "softmax summary",
        _summary,
        oracle.softmax_summary,
        {
            "torch": Peer(_torch_summary, ("torch",), LOGITS, (5e-6, 1e-12), "works in the dtype of the input"),
            "scipy": Peer(_scipy_summary, ("scipy",), LOGITS, (5e-6, 1e-12), "works in the dtype of the input"),
        },
        takes=LOGITS,
        weights=False,
        timed=LOGITS,
    ),
    Comparison("ece", "ECE", fc.ece, oracle.ece, CALIBRATION_ERRORS["l1"], timed=("rows", "confidences")),
    Comparison("mce", "MCE", fc.mce, oracle.mce, CALIBRATION_ERRORS["max"]),
    Comparison(
        "calibration_error",
        "calibration error",
        fc.calibration_error,
        oracle.calibration_error,
        CALIBRATION_ERRORS["l1"],
        timed=(),
    ),
    Comparison(
        "reliability_curve",
        "reliability curve",
        fc.reliability_curve,
        oracle.reliability_curve,
        {
            "scikit-learn": Peer(
                _sklearn_calibration_curve, ("sklearn",), ("confidences",), (1e-6, 1e-12), "sums in float64"
            )
        },
        timed=("confidences",),
    ),
    Comparison(
        "nll",
        "NLL",
        fc.nll,
        oracle.nll,
        {
            "scikit-learn": _scikit_learn(_sklearn_log_loss, PROBS),
            "numpy": _numpy(_numpy_nll, ROWS),
            "torch": Peer(_torch_cross_entropy, ("torch",), LOGITS, (5e-6, 1e-12), "sums in the dtype of the input"),
        },
        timed=("rows", "logits"),
    ),
    Comparison(
        "brier_score",
        "Brier score",
        fc.brier_score,
        oracle.brier_score,
        {
            "scikit-learn": _scikit_learn(_sklearn_brier_score, PROBS if _sklearn_takes_rows() else ("confidences",)),
            "numpy": _numpy(_numpy_brier_score, PROBS),
        },
    ),
    Comparison(
        "accuracy",
        "accuracy",
        fc.accuracy,
        oracle.accuracy,
        {
            "scikit-learn": _scikit_learn(_sklearn_accuracy, PROBS),
            "torchmetrics": _torchmetrics(_torchmetrics_accuracy, 1e-7, because="returns a float32"),
            "numpy": _numpy(_numpy_accuracy, PROBS),
        },
    ),
]
