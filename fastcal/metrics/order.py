"""Calibration errors without bins, or with bins of the data's own choice: from confidences in their order."""

from __future__ import annotations

from typing import Any, Unpack

from ..accumulators.order import OrderAccumulator
from ..accumulators.spiegelhalter import SpiegelhalterAccumulator, SpiegelhalterTest
from .one_shot import Options, one_shot, seen_once


def ks_calibration_error(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> float:
    """max_k |sum_{i <= k} (y_i - p_i)| / N, rows in the order of p, equal ones together (Gupta et al. 2021).

    The Kolmogorov-Smirnov distance of cumulated outcomes and confidences. ``y_true`` (N,) integer labels, ``y_prob``
    (N,) P(y = 1), or (N, K) rows, of which the largest p is taken and whether it is right (logits with
    ``from_logits=True``). Options: ``sample_weight`` (N,), ``nan_policy``, ``n_threads``. Raises DataError, a
    ValueError, for values or shapes that are not these, and for no rows. Takes 48 bytes a row beyond its input, with
    weights 160; :class:`OrderAccumulator` streams it in a few megabytes.

    >>> import fastcal as fc
    >>> fc.ks_calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75])
    0.25
    """
    return _exact("ks_calibration_error", y_true, y_prob, options)


def kuiper_calibration_error(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> float:
    """max_k C_k - min_k C_k, C_k = sum_{i <= k} (y_i - p_i) / N in the order of p, C_0 = 0 (Tygert 2021).

    The largest absolute sum of y - p over any interval of p. Arguments as in :func:`ks_calibration_error`.

    >>> import fastcal as fc
    >>> fc.kuiper_calibration_error([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75])
    0.125
    """
    return _exact("kuiper_calibration_error", y_true, y_prob, options)


def sweep_ece(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> float:
    """ECE over as many equal-mass bins as keep accuracies from falling (ECE sweep; Roelofs et al. 2022).

    The most bins, up to 4096, for which the accuracies rise with the confidence, as they do for all fewer bins; bins
    as in :func:`adaptive_ece`. Arguments as in :func:`ks_calibration_error`.

    >>> import fastcal as fc
    >>> fc.sweep_ece([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75])
    0.25
    """
    return _exact("sweep_ece", y_true, y_prob, options)


def spiegelhalter_test(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> SpiegelhalterTest:
    """z = sum (y - p)(1 - 2 p) / sqrt(sum (1 - 2 p)^2 p (1 - p)), standard normal if calibrated (Spiegelhalter 1986).

    ``.statistic`` and ``.p_value``, two-sided; NaN where all p are 0, 1/2 or 1. With weights w each term has w, in the
    variance w^2. Arguments as in :func:`ks_calibration_error`.

    >>> import fastcal as fc
    >>> fc.spiegelhalter_test([0, 0, 1, 1], [0.2, 0.4, 0.6, 0.8]).p_value > 0.05
    True
    """
    seen = seen_once(SpiegelhalterAccumulator, y_true, y_prob, options)
    return SpiegelhalterTest(*(seen.figure(name) for name in FIGURES))


FIGURES = ("spiegelhalter_z", "spiegelhalter_p")


def _exact(figure: str, y_true: Any, y_prob: Any, options: Options) -> float:
    settings: Any = {**options, "n_cells": None}
    value: float = one_shot(OrderAccumulator, figure, y_true, y_prob, settings)
    return value
