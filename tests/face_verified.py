"""uncertainty-calibration's signatures over ours, so that its own tests can run against us."""

from __future__ import annotations

import math

import numpy as np
from calibration.utils import get_equal_bins
from peers_conventions import top_label

import fastcal as fc

__all__ = ["get_calibration_error", "get_ece", "get_ece_em", "get_selective_stats", "lower_bound_scaling_ce"]

NORMS = {1: "l1", 2: "l2"}


def get_ece(probs, labels, debias=False, num_bins=15):
    assert not debias
    outcome, confidence = top_label(np.asarray(labels), np.asarray(probs))
    return fc.ece(outcome, confidence, n_bins=num_bins, convention="verified")


def get_ece_em(probs, labels, debias=False, num_bins=15):
    return lower_bound_scaling_ce(probs, labels, 1, debias, num_bins, get_equal_bins, "top-label")


def lower_bound_scaling_ce(probs, labels, p=2, debias=True, num_bins=15, binning_scheme=None, mode="marginal"):
    assert binning_scheme is get_equal_bins
    assert mode == "top-label"
    outcome, confidence = top_label(np.asarray(labels), np.asarray(probs))
    options = {"binning": "quantile", "n_bins": num_bins, "norm": NORMS[p], "debiased": debias}
    return fc.calibration_error(outcome, confidence, **options)


def get_calibration_error(probs, labels, p=2, debias=True, mode="marginal"):
    """A bin for each number that there is: its edges lie halfway between two."""
    labels, probs = np.asarray(labels), np.asarray(probs)
    if mode == "top-label" or probs.ndim == 1:
        columns = [top_label(labels, probs)]
    else:
        columns = [(labels == k, probs[:, k]) for k in range(probs.shape[1])]
    found = []
    for outcome, confidence in columns:
        numbers = np.unique(confidence)
        edges = np.concatenate([[0.0], (numbers[1:] + numbers[:-1]) / 2, [1.0]])
        found.append(fc.calibration_error(outcome, confidence, binning=edges, norm=NORMS[p], debiased=debias))
    return float(np.mean(found)) if p == 1 else math.sqrt(np.mean(np.square(found)))


def get_selective_stats(probs, correct):
    """1 - AURC, and the accuracy of the first tenth and one row more."""
    rows = np.asarray(correct), np.ones(len(correct))
    coverage = (int(0.1 * len(correct)) + 1) / len(correct)
    return tuple(
        1 - one
        for one in (
            fc.aurc(*rows, confidence=probs),
            fc.risk_at_coverage(*rows, confidence=probs, coverage=coverage),
        )
    )
