"""Somebody else's calibration errors, a system for each convention: what the rules of oracle_conventions.py must equal.

``CONVENTIONS[name](norm, n_bins, **more)`` is a :class:`peers.Peer`, or None where that system has no such figure;
``n_bins=None`` leaves the system to its own default. robustness-metrics needs TensorFlow and does not install here.
"""

from __future__ import annotations

import itertools
import math
from unittest import mock

import numpy as np
from oracle_conventions import torch_linspace
from peers import Peer

BOTH = ("rows", "confidences")
EXACT = (1e-12, 1e-12)
IN_THEIR_DTYPE = (2e-6, 1e-12)


def top_label(y_true, scores):
    """(outcome, confidence): for systems that take one score a row."""
    if scores.ndim == 1:
        return y_true, scores
    return (scores.argmax(axis=1) == y_true).astype(int), scores.max(axis=1)


def _bins(n_bins, name):
    return {} if n_bins is None else {name: n_bins}


def sklearn(norm, n_bins):
    """scikit-learn has the curve alone; how many rows are in its bins is counted here."""

    def compute(y_true, scores, sample_weight):
        from sklearn.calibration import calibration_curve

        y, p = top_label(y_true, scores)
        accuracy, confidence = calibration_curve(y, p, **_bins(n_bins, "n_bins"))
        edges = np.linspace(0, 1, (n_bins or 5) + 1)
        count = np.bincount(np.searchsorted(edges[1:-1], p))
        count = count[count > 0]
        gaps = abs(accuracy - confidence)
        return {
            "l1": gaps @ count / len(p),
            "l2": math.sqrt(gaps**2 @ count / len(p)),
            "max": gaps.max(),
        }[norm]

    return Peer(compute, ("sklearn",), BOTH, EXACT, "sums in float64")


def verified(norm, n_bins, debiased=False, target="auto"):
    if norm == "max" or (norm == "l1" and debiased):  # debiased l1 is a mean of random numbers there
        return None

    def compute(y_true, scores, sample_weight):
        from calibration import get_ece
        from calibration.utils import get_equal_prob_bins, lower_bound_scaling_ce

        mode = "marginal" if target == "class-wise" else "top-label"
        if norm == "l1":
            return float(get_ece(scores, y_true, mode=mode, **_bins(n_bins, "num_bins")))
        options = {"p": 2, "debias": debiased, "binning_scheme": get_equal_prob_bins, "mode": mode}
        return float(lower_bound_scaling_ce(scores, y_true, **options, **_bins(n_bins, "num_bins")))

    return Peer(compute, ("calibration",), BOTH, IN_THEIR_DTYPE, "means of the rows' confidences in their dtype")


def verified_debiased_l1(n_bins, resamples=20_000, seed=0):
    """The mean over resamples, which the closed form is the limit of."""

    def compute(y_true, scores, sample_weight):
        from calibration.utils import bin as into_bins
        from calibration.utils import get_equal_prob_bins, normal_debiased_ce

        y, p = top_label(y_true, scores)
        state = np.random.RandomState(seed)
        with mock.patch("numpy.random.normal", state.normal):
            bins = into_bins(list(zip(p, y, strict=True)), get_equal_prob_bins(p, n_bins))
            return float(normal_debiased_ce(bins, power=1, resamples=resamples))

    return Peer(compute, ("calibration",), BOTH, (2e-3, 2e-3), "a mean of random numbers")


def verified_square(n_bins):
    """Squared debiased l2, before the root is taken."""

    def compute(y_true, scores, sample_weight):
        from calibration.utils import bin as into_bins
        from calibration.utils import get_equal_prob_bins, unbiased_square_ce

        y, p = top_label(y_true, scores)
        return float(unbiased_square_ce(into_bins(list(zip(p, y, strict=True)), get_equal_prob_bins(p, n_bins))))

    return Peer(compute, ("calibration",), BOTH, EXACT, "sums in float64")


def torchmetrics(norm, n_bins):
    def compute(y_true, scores, sample_weight):
        from torch import from_numpy
        from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

        p, y = from_numpy(scores), from_numpy(y_true)
        options = {"norm": norm, **_bins(n_bins, "n_bins")}
        if scores.ndim == 1:
            return float(binary_calibration_error(p, y, **options))
        return float(multiclass_calibration_error(p, y, scores.shape[1], **options))

    because = "sums of (N,) in the dtype of the input, of rows in float32"
    return Peer(compute, ("torch", "torchmetrics"), BOTH, IN_THEIR_DTYPE, because)


def netcal(norm, n_bins):
    if norm == "l2":
        return None

    def compute(y_true, scores, sample_weight):
        import netcal.metrics

        metric = netcal.metrics.ECE if norm == "l1" else netcal.metrics.MCE
        return metric(**_bins(n_bins, "bins")).measure(scores, y_true)

    return Peer(compute, ("netcal",), BOTH, EXACT, "sums in float64")


def tfp(norm, n_bins):
    """It takes logits alone: its softmax is replaced, so that it sees the probabilities themselves.

    And so is one of its sums, which TensorFlow has, but its stand-in in NumPy has not.
    """
    if norm != "l1":
        return None

    def compute(y_true, scores, sample_weight):
        from tensorflow_probability.substrates.numpy.stats import calibration

        rows = scores if scores.ndim > 1 else np.stack([1 - scores, scores], axis=1)
        predicted = rows.argmax(axis=1) if scores.ndim > 1 else np.ones(len(rows), np.int64)
        stand_ins = {"unsorted_segment_sum": lambda data, ids, n: np.bincount(ids, data, n).astype(data.dtype)}
        with (
            mock.patch.multiple(calibration.tf.math, **stand_ins),
            mock.patch.object(calibration.tf.nn, "softmax", lambda logits, **_: logits),
        ):
            given = {"logits": rows, "labels_true": y_true, "labels_predicted": predicted}
            return float(calibration.expected_calibration_error(n_bins or 15, **given))

    return Peer(compute, ("tensorflow_probability",), BOTH, (2e-6, 2e-6), "counts and shares in float32")


def mapie(norm, n_bins, target="auto"):
    if norm != "l1":
        return None

    def compute(y_true, scores, sample_weight):
        from mapie.metrics.calibration import expected_calibration_error

        if target == "class-wise":
            options = {"classwise": True, "class_labels": y_true, **_bins(n_bins, "num_bins")}
            return expected_calibration_error(y_true, scores, **options)
        y, _ = top_label(y_true, scores)
        return expected_calibration_error(y, scores, **_bins(n_bins, "num_bins"))

    return Peer(compute, ("mapie",), BOTH, IN_THEIR_DTYPE, "sums in the dtype of the input")


def relplot(norm, n_bins):
    if norm != "l1":
        return None

    def compute(y_true, scores, sample_weight):
        from relplot.metrics import binnedECE

        y, p = top_label(y_true, scores)
        return float(binnedECE(p, y, **_bins(n_bins, "nbins")))

    return Peer(compute, ("relplot",), BOTH, IN_THEIR_DTYPE, "sums in the dtype of the input")


def calibre(norm, n_bins):
    if norm == "l2":
        return None

    def compute(y_true, scores, sample_weight):
        from calibre.metrics import expected_calibration_error, maximum_calibration_error

        metric = expected_calibration_error if norm == "l1" else maximum_calibration_error
        y, p = top_label(y_true, scores)
        return float(metric(y, p, **_bins(n_bins, "n_bins")))

    return Peer(compute, ("calibre",), BOTH, IN_THEIR_DTYPE, "sums in the dtype of the input")


def guo(norm, n_bins):
    """Their class is in no package: its published rule, with torch's edges and torch's comparisons."""
    if norm != "l1":
        return None

    def compute(y_true, scores, sample_weight):
        import torch

        outcome, confidence = (torch.from_numpy(a) for a in top_label(y_true, scores))
        edges = torch.linspace(0, 1, (n_bins or 15) + 1).tolist()
        found = 0.0
        for low, high in itertools.pairwise(edges):
            inside = confidence.gt(low) & confidence.le(high)
            found += abs(float(confidence[inside].double().sum() - outcome[inside].sum()))
        return found / len(outcome)

    return Peer(compute, ("torch",), BOTH, EXACT, "sums in float64")


def shaky_edges(name, norm, n_bins, dtype):
    """Edges close to which a system does not do what its rule says: (edge, up to which distance).

    This machine's torch may put an edge an ulp away from where its formula does, by its vector instructions. netcal
    takes its means over bins with edges in the dtype of the scores, but its counts over bins with edges in float64: a
    float32 score on an edge that was rounded down is counted in one bin and averaged in another.
    """
    dtype = np.dtype(dtype).type
    if name == "netcal" and norm == "l1":
        edges = np.linspace(0, 1, n_bins + 1)
        return [(float(dtype(edge)), 0.0) for edge in edges if dtype(edge) < edge]
    if name not in ("guo", "torchmetrics"):
        return []
    import torch

    dtype = np.float32 if name == "guo" else dtype
    found = torch.linspace(0, 1, n_bins + 1, dtype=torch.float32 if dtype is np.float32 else torch.float64)
    pairs = zip(found.tolist(), torch_linspace(n_bins, dtype), strict=True)
    return [(float(ours), 4 * float(np.finfo(dtype).eps)) for their, ours in pairs if their != ours]


CONVENTIONS = {
    "guo": guo,
    "sklearn": sklearn,
    "verified": verified,
    "torchmetrics": torchmetrics,
    "netcal": netcal,
    "tfp": tfp,
    "mapie": mapie,
    "relplot": relplot,
    "calibre": calibre,
}


def tolerance(name, peer, scores):
    """Of that system on these scores."""
    if name == "torchmetrics" and scores.ndim > 1:
        return 2e-6
    return peer.tolerance[scores.dtype == np.float64]


BEYOND_ONE = ("guo", "verified", "netcal", "tfp", "mapie", "relplot", "calibre")  # those that take p = 1.0000001
