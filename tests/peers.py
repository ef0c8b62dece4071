"""Somebody else's ways to the same figures: the peers that the table of comparisons names.

Each is called with ``(y_true, scores, sample_weight)`` and imports its library itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

N_BINS = 15

# Kinds of input (see comparisons.py) that peers take.
ROWS = ("rows", "wide rows")
LOGITS = ("logits", "wide logits")
PROBS = (*ROWS, "confidences")


# The figures that come from running sums over bins; a single result is named "value".
DRIFTING = ("ece", "mce", "rmsce", "value")


@dataclass(frozen=True)
class Peer:
    """Somebody else's way to the same figures, on the kinds of input that it takes.

    ``tolerance`` is that for float32 and for float64 input, ``drift`` what each row adds to it for the figures of bins
    (``DRIFTING``); ``because`` says what they are owed to.
    """

    compute: Callable[[np.ndarray, np.ndarray, np.ndarray | None], Any]
    libraries: tuple[str, ...]
    takes: tuple[str, ...]
    tolerance: tuple[float, float]
    because: str
    drift: float = 0.0
    weights: bool = False

    def tolerance_for(self, scores: np.ndarray) -> dict[str, float]:
        """By figure; "" is any other."""
        base = self.tolerance[scores.dtype == np.float64]
        return {"": base, **dict.fromkeys(DRIFTING, base + self.drift * len(scores))}


def available(peer: Peer) -> bool:
    """Whether the libraries that a peer needs are installed."""
    return all(importlib.util.find_spec(library) is not None for library in peer.libraries)


def scikit_learn(compute, takes, because="sums in the dtype of the input"):
    return Peer(compute, ("sklearn",), takes, (5e-6, 1e-12), because, weights=True)


def sklearn_log_loss(y_true, probs, sample_weight):
    from sklearn.metrics import log_loss

    labels = np.arange(probs.shape[1] if probs.ndim > 1 else 2)
    return log_loss(y_true, probs, labels=labels, sample_weight=sample_weight)


def sklearn_brier_score(y_true, probs, sample_weight):
    from sklearn.metrics import brier_score_loss

    if probs.ndim == 1:
        return brier_score_loss(y_true, probs, sample_weight=sample_weight)
    return brier_score_loss(y_true, probs, labels=np.arange(probs.shape[1]), sample_weight=sample_weight)


def sklearn_accuracy(y_true, probs, sample_weight):
    from sklearn.metrics import accuracy_score

    prediction = probs.argmax(axis=1) if probs.ndim > 1 else (probs > 0.5).astype(np.int64)
    return accuracy_score(y_true, prediction, sample_weight=sample_weight)


def sklearn_calibration_curve(y_true, p, sample_weight):
    from sklearn.calibration import calibration_curve

    accuracy, confidence = calibration_curve(y_true, p, n_bins=N_BINS)  # leaves empty bins out; here none is
    return {"accuracy": accuracy, "confidence": confidence}


def sklearn_takes_rows() -> bool:
    """Whether the installed scikit-learn has the Brier score of several classes (since 1.7)."""
    if importlib.util.find_spec("sklearn") is None:
        return False
    from importlib.metadata import version

    return tuple(map(int, version("scikit-learn").split(".")[:2])) >= (1, 7)


# After a million rows of one bin torchmetrics' ECE and MCE are off by 3e-4 and 6e-4.
DRIFT = {"drift": 1e-9, "because": "ECE and MCE come from running sums in float32, where small terms get lost"}


def torchmetrics(compute, tolerance, **reason):
    return Peer(compute, ("torch", "torchmetrics"), PROBS, (tolerance, tolerance), **reason)


def torchmetrics_calibration_error(norm):
    def compute(y_true, probs, sample_weight):
        from torch import from_numpy
        from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

        p, y = from_numpy(probs), from_numpy(y_true)
        options = {"n_bins": N_BINS, "norm": norm, "validate_args": False}
        if probs.ndim == 1:
            return float(binary_calibration_error(p, y, **options))
        return float(multiclass_calibration_error(p, y, probs.shape[1], **options))

    return compute


def torchmetrics_accuracy(y_true, probs, sample_weight):
    from torch import from_numpy
    from torchmetrics.functional.classification import binary_accuracy, multiclass_accuracy

    p, y = from_numpy(probs), from_numpy(y_true)
    if probs.ndim == 1:
        return float(binary_accuracy(p, y, validate_args=False))
    return float(multiclass_accuracy(p, y, probs.shape[1], average="micro", validate_args=False))


def netcal(metric):
    def compute(y_true, probs, sample_weight):
        import netcal.metrics

        return getattr(netcal.metrics, metric)(bins=N_BINS).measure(probs, y_true)

    return Peer(compute, ("netcal",), PROBS, (1e-6, 1e-12), "means in float64 of confidences in the input's dtype")


def numpy_calibration_error(reduce):
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


def with_numpy(compute, takes):
    return Peer(compute, (), takes, (5e-6, 1e-12), "sums in the dtype of the input")


def numpy_nll(y_true, probs, sample_weight):
    return float(-np.log(probs[np.arange(len(probs)), y_true]).mean())


def numpy_brier_score(y_true, probs, sample_weight):
    if probs.ndim == 1:
        return float(((probs - y_true) ** 2).mean())
    squares = np.einsum("ij,ij->i", probs, probs)
    return float((squares - 2 * probs[np.arange(len(probs)), y_true] + 1).mean())


def numpy_accuracy(y_true, probs, sample_weight):
    prediction = probs.argmax(axis=1) if probs.ndim > 1 else probs > 0.5
    return float((prediction == y_true).mean())


def torch_cross_entropy(y_true, logits, sample_weight):
    from torch import from_numpy
    from torch.nn.functional import cross_entropy

    return float(cross_entropy(from_numpy(logits), from_numpy(y_true)))


def torch_summary(y_true, logits, sample_weight):
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


def scipy_summary(y_true, logits, sample_weight):
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


def torchmetrics_report(y_true, logits, sample_weight):
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
        "torchmetrics": torchmetrics(torchmetrics_calibration_error("l1"), 1e-6, **DRIFT),
        "netcal": netcal("ECE"),
        "numpy": numpy_calibration_error(lambda gaps, count: gaps.sum() / count.sum()),
    },
    "l2": {"torchmetrics": torchmetrics(torchmetrics_calibration_error("l2"), 1e-6, **DRIFT)},
    "max": {
        "torchmetrics": torchmetrics(torchmetrics_calibration_error("max"), 1e-6, **DRIFT),
        "netcal": netcal("MCE"),
        "numpy": numpy_calibration_error(lambda gaps, count: (gaps[count > 0] / count[count > 0]).max()),
    },
}


# Row by row


def torch_softmax(y_true, logits, sample_weight):
    import torch

    return torch.softmax(torch.from_numpy(logits), -1).numpy()


def torch_log_softmax(y_true, logits, sample_weight):
    import torch

    return torch.log_softmax(torch.from_numpy(logits), -1).numpy()


def torch_logsumexp(y_true, logits, sample_weight):
    import torch

    return torch.logsumexp(torch.from_numpy(logits), -1).numpy()


def torch_entropy(y_true, probs, sample_weight):
    import torch

    return torch.special.entr(torch.from_numpy(probs)).sum(-1).numpy()


def scipy_softmax(y_true, logits, sample_weight):
    from scipy.special import softmax

    return softmax(logits, axis=-1)


def scipy_log_softmax(y_true, logits, sample_weight):
    from scipy.special import log_softmax

    return log_softmax(logits, axis=-1)


def scipy_logsumexp(y_true, logits, sample_weight):
    from scipy.special import logsumexp

    return logsumexp(logits, axis=-1)


def scipy_entropy(y_true, probs, sample_weight):
    """What scipy.stats.entropy does, less its renormalisation, which ours does not do."""
    from scipy.special import entr

    return entr(probs).sum(axis=-1)


def row_by_row(of_torch, of_scipy, takes):
    """torch and scipy, for a function of each row."""
    because = "works in the dtype of the input"
    return {
        "torch": Peer(of_torch, ("torch",), takes, (5e-6, 1e-12), because),
        "scipy": Peer(of_scipy, ("scipy",), takes, (5e-6, 1e-12), because),
    }
