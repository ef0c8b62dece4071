"""Calibration errors and the reliability curve.

All share one definition of the bins: (lo, hi], the first also with 0, edges ``np.linspace(0, 1, n_bins + 1)``; 15 by
default (Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017). For (N,) scores the outcome is
the label and the confidence P(y = 1); for (N, K) scores the outcome is whether the largest class is the label.
"""

from __future__ import annotations

from typing import Any, Literal, Unpack

from ..accumulators.reliability import ReliabilityAccumulator, ReliabilityCurve
from .one_shot import BinOptions, one_shot

NORMS = {"l1": "ece", "l2": "rmsce", "max": "mce"}


def calibration_error(
    y_true: Any, y_prob: Any, *, norm: Literal["l1", "l2", "max"] = "l1", **options: Unpack[BinOptions]
) -> float:
    """Binned calibration error: sum_b w_b |acc_b - conf_b| ("l1"), its quadratic mean ("l2"), the largest gap ("max").

    ``y_true`` (N,) integer labels, ``y_prob`` (N,) or (N, K) probabilities (logits with ``from_logits=True``). Options:
    ``n_bins`` (15), ``sample_weight`` (N,), ``nan_policy`` ("raise", "omit", "propagate"), ``n_threads``. Returns a
    probability. Raises DataError, a ValueError, for values or shapes that are not these, and for no rows.

    >>> import fastcal as fc
    >>> fc.calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}; expected one of {', '.join(NORMS)}")
    value: float = one_shot(ReliabilityAccumulator, NORMS[norm], y_true, y_prob, options)
    return value


def ece(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> float:
    """Expected calibration error: sum_b w_b |acc_b - conf_b| over bins of confidence (Guo et al. 2017, eq. 3).

    Arguments and options as in :func:`calibration_error`.

    >>> import fastcal as fc
    >>> fc.ece([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, norm="l1", **options)


def mce(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> float:
    """Maximum calibration error: max_b |acc_b - conf_b| over occupied bins (Guo et al. 2017, eq. 5).

    Arguments and options as in :func:`calibration_error`.

    >>> import fastcal as fc
    >>> fc.mce([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.5], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, norm="max", **options)


def rmsce(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> float:
    """Root mean square calibration error: sqrt(sum_b w_b (acc_b - conf_b)^2) (Kumar, Liang, Ma 2019).

    Arguments and options as in :func:`calibration_error`. It is not debiased.

    >>> import fastcal as fc
    >>> fc.rmsce([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, norm="l2", **options)


def reliability_curve(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> ReliabilityCurve:
    """Accuracy against mean confidence in bins of confidence (DeGroot and Fienberg 1983).

    Arguments and options as in :func:`calibration_error`. Returns ``edges`` (B + 1,) and, for each bin, ``count``,
    ``weight``, ``confidence`` and ``accuracy``; the last two are NaN where a bin is empty.

    >>> import fastcal as fc
    >>> fc.reliability_curve([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2).accuracy.tolist()
    [0.5, 1.0]
    """
    curve: ReliabilityCurve = one_shot(ReliabilityAccumulator, "reliability", y_true, y_prob, options)
    return curve
