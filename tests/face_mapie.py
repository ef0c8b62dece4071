"""mapie's signatures of calibration figures over ours, so that its own tests can run against us."""

from __future__ import annotations

import numpy as np
from mapie.metrics.calibration import length_scale
from scipy.stats import norm

import fastcal as fc

__all__ = [
    "expected_calibration_error",
    "kolmogorov_smirnov_statistic",
    "kuiper_statistic",
    "spiegelhalter_p_value",
    "spiegelhalter_statistic",
]


def expected_calibration_error(y_true, y_scores, num_bins=50, *, classwise=False, class_labels=None):
    """``y_true``: whether a row is right, where ``y_scores`` has columns."""
    options = {"n_bins": num_bins, "convention": "mapie"}
    if classwise:
        return fc.classwise_ece(class_labels, y_scores, **options)
    scores = np.asarray(y_scores)
    return fc.ece(y_true, scores if scores.ndim == 1 else scores.max(axis=1), **options)


def kolmogorov_smirnov_statistic(y_true, y_score):
    return fc.ks_calibration_error(y_true, y_score) / length_scale(y_score)


def kuiper_statistic(y_true, y_score):
    return fc.kuiper_calibration_error(y_true, y_score) / length_scale(y_score)


def spiegelhalter_statistic(y_true, y_score):
    return fc.spiegelhalter_test(y_true, y_score).statistic


def spiegelhalter_p_value(y_true, y_score):
    """Of one side: ours is of both."""
    return norm.sf(spiegelhalter_statistic(y_true, y_score))
