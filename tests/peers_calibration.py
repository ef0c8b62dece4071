"""The field's calibration errors away from the edges of bins, and probmetrics' figures; see peers.py.

There systems with conventions of their own agree; what each does on an edge is held by test_conventions.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import peers_conventions as systems
from peers import CALIBRATION_ERRORS, N_BINS, ROWS, Peer

CONFIDENCES = ("confidences",)
IN_ITS_DTYPE = "works in the dtype of the input"
IN_FLOAT32 = "works in float32"

SYSTEMS = {
    "scikit-learn": systems.sklearn,
    "uncertainty-calibration": systems.verified,
    "mapie": lambda norm, n_bins: systems.mapie(norm, n_bins + 1),  # it counts edges
    "relplot": systems.relplot,
    "calibre": systems.calibre,
    "tensorflow-probability": systems.tfp,
}


def probmetrics(name, takes, tolerance, because, *, logits=False, **options):
    """The metric of a class of probmetrics, from labels and probabilities or logits."""

    def compute(y_true, scores, sample_weight):
        from probmetrics import metrics
        from probmetrics.distributions import CategoricalDirac, CategoricalLogits, CategoricalProbs
        from torch import from_numpy

        given = (CategoricalLogits if logits else CategoricalProbs)(from_numpy(scores))
        labels = CategoricalDirac(from_numpy(y_true), given.get_n_classes())
        return getattr(metrics, name)(**options).compute(labels, given).item()

    return Peer(compute, ("probmetrics", "torch", "torchmetrics"), takes, tolerance, because)


def errors(norm):
    """Every system's error over equal bins, of the norm "l1", "l2" or "max"."""
    found = {name: make(norm, N_BINS) for name, make in SYSTEMS.items()}
    found = {name: replace(peer, takes=(*peer.takes, "wide rows")) for name, peer in found.items() if peer is not None}
    theirs = probmetrics("CalibrationError", ("rows",), (1e-6, 1e-6), "", n_bins=N_BINS, norm=norm)
    like = CALIBRATION_ERRORS[norm]["torchmetrics"]  # which it calls
    return {**CALIBRATION_ERRORS[norm], **found, "probmetrics": replace(theirs, drift=like.drift, because=like.because)}


def sklearn_quantile(y_true, scores, sample_weight):
    """ECE from scikit-learn's curve over bins that hold as many rows each; how many these are is counted here."""
    from sklearn.calibration import calibration_curve

    y, p = systems.top_label(y_true, scores)
    accuracy, confidence = calibration_curve(y, p, n_bins=N_BINS, strategy="quantile")
    edges = np.quantile(p, np.linspace(0, 1, N_BINS + 1))
    count = np.bincount(np.searchsorted(edges[1:-1], p))
    return abs(accuracy - confidence) @ count[count > 0] / len(p)


def mapie_gaps(y_true, p):
    """Its cumulative gaps of rows in order, of which both of its statistics are multiples."""
    from mapie.metrics.calibration import cumulative_differences

    return cumulative_differences(y_true, p, noise_amplitude=0)


def mapie_ks(y_true, p, sample_weight):
    return abs(mapie_gaps(y_true, p)).max()


def mapie_kuiper(y_true, p, sample_weight):
    """Its own range leaves out the 0 that the gaps begin with."""
    gaps = mapie_gaps(y_true, p)
    return max(gaps.max(), 0) - min(gaps.min(), 0)


def mapie_spiegelhalter(y_true, p, sample_weight):
    """Its p-value is of one side, and left out."""
    from mapie.metrics.calibration import spiegelhalter_statistic

    return {"statistic": spiegelhalter_statistic(y_true, p)}


def calibre_curve(y_true, p, sample_weight):
    from calibre.metrics import calibration_curve

    accuracy, confidence, count = calibration_curve(y_true, p, n_bins=N_BINS)
    return {"accuracy": accuracy, "confidence": confidence, "count": count}


def calibre_brier_score(y_true, p, sample_weight):
    from calibre.metrics import brier_score

    return brier_score(y_true, p)


def mapie(compute):
    return Peer(compute, ("mapie",), CONFIDENCES, (1e-6, 1e-12), IN_ITS_DTYPE)


def calibre(compute):
    return Peer(compute, ("calibre",), CONFIDENCES, (1e-6, 1e-12), "sums in the dtype of the input")


CURVES = {"calibre": calibre(calibre_curve)}
BRIER = {
    "calibre": calibre(calibre_brier_score),
    # that of one probability a row is a sum there, not a mean
    "probmetrics": probmetrics("BrierLoss", ROWS, (5e-6, 1e-12), IN_ITS_DTYPE),
}
NLL = {
    "probmetrics": probmetrics("LogLoss", (*ROWS, *CONFIDENCES), (5e-6, 1e-12), IN_ITS_DTYPE),
    "probmetrics, logits": probmetrics("LogLoss", ("logits", "wide logits"), (5e-6, 1e-12), IN_ITS_DTYPE, logits=True),
}
ACCURACY = {"probmetrics": probmetrics("Accuracy", (*ROWS, *CONFIDENCES), (1e-7, 1e-7), IN_FLOAT32)}
EQUAL_MASS = {
    "scikit-learn": Peer(sklearn_quantile, ("sklearn",), ("rows", "confidences"), (1e-6, 1e-12), IN_ITS_DTYPE)
}
CLASSWISE = {
    "uncertainty-calibration": replace(systems.verified("l1", N_BINS, target="class-wise"), takes=ROWS),
    "mapie": replace(systems.mapie("l1", N_BINS + 1, target="class-wise"), takes=ROWS),
}
KS = {
    "mapie": mapie(mapie_ks),
    "probmetrics": probmetrics("KolmogorovSmirnovCalibrationMetric", CONFIDENCES, (1e-6, 1e-6), IN_FLOAT32),
}
KUIPER = {
    "mapie": mapie(mapie_kuiper),
    "probmetrics": probmetrics("KuiperCalibrationMetric", CONFIDENCES, (1e-6, 1e-6), IN_FLOAT32),
}
SPIEGELHALTER = {"mapie": replace(mapie(mapie_spiegelhalter), tolerance=(5e-6, 1e-12))}
