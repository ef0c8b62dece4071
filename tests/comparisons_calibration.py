"""Rows of the table of comparisons: calibration errors beyond the plain ones over uniform bins."""

from __future__ import annotations

from functools import partial

import numpy as np
import oracle_calibration as twins
import oracle_canonical
import oracle_kernel
import oracle_smooth
import peers_calibration as field
from cases import Comparison
from peers import PROBS, Peer
from peers_calibration import CONFIDENCES

import fastcal as fc

N_BINS = 15


def without_weights(function):
    """Of one that takes none."""

    def call(y_true, scores, *, from_logits, sample_weight):
        return function(y_true, scores, from_logits=from_logits)

    return call


def estimate(y_true, scores, **options):
    """What an interval is around; the intervals themselves are held to their coverage."""
    return fc.confidence_interval("brier_score", y_true, scores, random_state=0, **options).estimate


def brier(y_true, scores, **options):
    import oracle

    return oracle.brier_score(y_true, scores, **options)


def ours_smooth(y_true, scores, **options):
    return {"smooth_ece": fc.smooth_ece(y_true, scores, **options)}


def smooth(y_true, scores, *, from_logits, sample_weight):
    ((y, p),) = twins.problems(y_true, scores, from_logits=from_logits)
    return {"smooth_ece": oracle_smooth.smooth_ece(y, np.asarray(p, float), sample_weight=sample_weight)}


def numpy_equal_mass(y_true, probs, sample_weight):
    """With NumPy: quantiles, then a sum for each bin."""
    rows = probs.ndim > 1
    p = probs.max(axis=1) if rows else probs
    outcome = probs.argmax(axis=1) == y_true if rows else y_true
    edges = np.unique(np.quantile(p.astype(float), np.linspace(0, 1, N_BINS + 1)))
    index = np.searchsorted(edges[1:-1], p, side="left")
    sums = np.bincount(index, outcome, N_BINS) - np.bincount(index, p, N_BINS)
    return float(abs(sums).sum() / len(p))


def numpy_classwise(y_true, probs, sample_weight):
    """With NumPy: a sum for each bin of each class."""
    found = []
    for k in range(probs.shape[1]):
        p, outcome = probs[:, k], y_true == k
        index = np.searchsorted(np.linspace(0, 1, N_BINS + 1)[1:-1], p, side="left")
        sums = np.bincount(index, outcome, N_BINS) - np.bincount(index, p, N_BINS)
        found.append(abs(sums).sum() / len(p))
    return float(np.mean(found))


BECAUSE = "sums in float64 of confidences in the input's dtype"
EQUAL_MASS = {"numpy": Peer(numpy_equal_mass, (), PROBS, (1e-6, 1e-12), BECAUSE), **field.EQUAL_MASS}
CLASSWISE = {"numpy": Peer(numpy_classwise, (), ("rows", "wide rows"), (1e-6, 1e-12), BECAUSE), **field.CLASSWISE}


def row(name, ours, oracle, peers=None, **more):
    """A comparison under the name of its function."""
    return Comparison(name, name.replace("_", " "), ours, oracle, peers or {}, **{"timed": (), **more})


ROWS = [
    row(
        "adaptive_ece",
        fc.adaptive_ece,
        partial(twins.calibration_error, binning="quantile"),
        EQUAL_MASS,
        timed=("rows", "confidences"),
    ),
    row(
        "classwise_ece",
        fc.classwise_ece,
        partial(twins.calibration_error, target="class-wise"),
        CLASSWISE,
        timed=("rows", "wide rows"),
    ),
    row(
        "tace",
        fc.tace,
        partial(twins.calibration_error, target="class-wise", binning="quantile", threshold=0.01),
    ),
    row("signed_calibration_error", fc.signed_calibration_error, twins.signed_calibration_error),
    row("ks_calibration_error", fc.ks_calibration_error, twins.ks_calibration_error, field.KS, timed=CONFIDENCES),
    row(
        "kuiper_calibration_error",
        fc.kuiper_calibration_error,
        twins.kuiper_calibration_error,
        field.KUIPER,
        timed=CONFIDENCES,
    ),
    row("sweep_ece", fc.sweep_ece, twins.sweep_ece),
    row(
        "spiegelhalter_test",
        fc.spiegelhalter_test,
        lambda *arrays, **options: fc.SpiegelhalterTest(*twins.spiegelhalter_test(*arrays, **options)),
        field.SPIEGELHALTER,
        timed=CONFIDENCES,
    ),
    row("brier_decomposition", fc.brier_decomposition, twins.brier_decomposition),
    row("smooth_ece", ours_smooth, smooth),
    row("canonical_error", fc.canonical_error, oracle_canonical.canonical_error),
    row(
        "kernel_calibration_error",
        without_weights(fc.kernel_calibration_error),
        without_weights(oracle_kernel.kernel_calibration_error),
        weights=False,
    ),
    row(
        "kernel_calibration_test",
        without_weights(fc.kernel_calibration_test),
        without_weights(oracle_kernel.kernel_calibration_test),
        weights=False,
    ),
    row("confidence_interval", estimate, brier),
]
