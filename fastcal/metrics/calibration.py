"""Calibration errors over bins, and the reliability curve.

All share one definition of the bins: (lo, hi], the first also with 0, edges ``np.linspace(0, 1, n_bins + 1)``; 15 by
default (Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017). For (N,) scores the outcome is
the label and the confidence P(y = 1); for (N, K) scores the outcome is whether the largest class is the label.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Unpack, cast

import numpy as np

from ..accumulators import binned
from ..accumulators.binned import BrierDecomposition
from ..accumulators.classwise import mean_of_classes
from ..accumulators.curve import ReliabilityCurve
from .binning import Question, bins_at_once, residuals_at_once
from .canonical import canonical_error
from .one_shot import BinOptions, ErrorOptions, Options
from .scoring import brier_score

Norm = Literal["l1", "l2", "max"]
BOOLS = (bool, np.bool_)
NORMS = ("l1", "l2", "max")


def calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    norm: Norm = "l1",
    debiased: bool = False,
    squared: bool = False,
    **options: Unpack[BinOptions],
) -> float:
    """Binned calibration error: sum_b w_b |acc_b - conf_b| ("l1"), its quadratic mean ("l2"), the largest gap ("max").

    ``y_true`` (N,) integer labels, ``y_prob`` (N,) or (N, K) probabilities (logits with ``from_logits=True``). Options:

    - ``target``: "positive" (p = P(y = 1); for (N,)), "top-label" (the largest p and whether it is right; for (N, K)),
      "class-wise" (each p_k and whether k is the label; the mean over classes, for "l2" the root of the mean of
      squares), "canonical" (whole rows, see below). "auto": the first for (N,), the second for (N, K).
    - ``binning``: "uniform", with ``n_bins`` (15); "quantile": edges ``np.quantile``, ties together; or edges from 0 to
      1. ``closed``: "right", or "left" for bins [lo, hi). Weighted quantiles lie at q (W - W / N) of the cumulated
      weight W. Quantiles of each class take a column of memory at a time (of logits: their whole softmax).
    - ``convention``: as "guo", "sklearn", "verified", "torchmetrics", "netcal", "robustness-metrics", "tfp", "mapie",
      "relplot" or "calibre" has it, with that system's bins, default ``n_bins``, and places of 0 and 1.
    - ``debiased``: "l2" without bias, sum_b w_b (gap_b^2 - s_b^2 / n_b), s_b^2 the variance of y - p in the bin (for
      "verified" and class-wise of y alone, as Kumar, Liang, Ma 2019 have it, which leaves a bias where p varies in a
      bin); "l1" less the bias that resampling shows, 2 |gap| - E|N(gap, s^2 / n)| in each bin.
    - ``squared``: "l2" without the root; debiased, it may be negative.
    - ``threshold``: only p above it count, in a class-wise error each p_k.
    - ``sample_weight`` (N,), ``nan_policy`` ("raise", "omit", "propagate"), ``n_threads``.

    "canonical" bins whole rows by ceil(n_bins p_k) and takes the total variation distance of outcomes and confidences
    in each occupied cell. Returns a probability. Raises DataError, a ValueError, for values or shapes that are not
    these, and for no rows.

    >>> import fastcal as fc
    >>> fc.calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    if norm == "l1" and debiased is squared is False:
        residuals = residuals_at_once(y_true, y_prob, options)
        if residuals is not None:
            return float(np.add.reduce(np.abs(residuals))) / len(y_true)
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}; expected one of {', '.join(NORMS)}")
    if squared and norm != "l2":
        raise ValueError(f"squared=True belongs to norm='l2', not to {norm!r}")
    if debiased and norm == "max":
        raise ValueError("debiased=True belongs to norm='l1' or 'l2', not to 'max'")
    for name, given in (("debiased", debiased), ("squared", squared)):
        if not isinstance(given, BOOLS):
            raise ValueError(f"{name} is {given!r}; expected True or False")
    at_once = bins_at_once(y_true, y_prob, options, squares=bool(debiased))
    if at_once is not None:
        value = _of_bins(at_once.sums, norm, debiased=debiased)
        return _root(value) if norm == "l2" and not squared else value
    question = Question(y_true, y_prob, **options, squares=bool(debiased))
    if question.target == "canonical":
        return _canonical(question, norm, squared=squared, debiased=debiased)
    if question.target == "class-wise":
        value = _of_classes(question.classes(), norm, debiased=debiased, verified=question.convention == "verified")
    else:
        value = _of_bins(question.bins().sums, norm, debiased=debiased)
    if question.undefined:
        return math.nan
    return _root(value) if norm == "l2" and not squared else value


def _root(value: float) -> float:
    return value if math.isnan(value) else math.sqrt(max(value, 0.0))


def _of_bins(bins: binned.Binned, norm: str, *, debiased: bool) -> float:
    if norm == "max":
        return float(binned.largest(bins))
    if norm == "l1":
        return float(binned.debiased_l1(bins) if debiased else binned.l1(bins))
    return float(binned.debiased_l2_squared(bins) if debiased else binned.l2_squared(bins))


def _of_classes(bins: binned.Binned, norm: str, *, debiased: bool, verified: bool) -> float:
    errors = {
        ("l1", False): binned.l1,
        ("l1", True): binned.debiased_l1,
        ("l2", False): binned.l2_squared,
        ("l2", True): binned.debiased_l2_squared,
        ("max", False): binned.largest,
    }[norm, debiased](bins)
    if verified and norm == "l2":
        errors = np.maximum(errors, 0.0)
    return mean_of_classes(errors, bins)


def _canonical(question: Question, norm: Norm, *, squared: bool, debiased: bool) -> float:
    uniform = isinstance(question.binning, str) and question.binning == "uniform"
    if debiased or question.closed == "left" or question.convention or not uniform:
        raise ValueError("target='canonical' takes uniform bins (lo, hi] only, and no debiased")
    options: Any = {} if question.n_bins is None else {"n_bins": question.n_bins}
    return canonical_error(
        question.y_true,
        question.y_prob,
        norm=norm,
        squared=squared,
        from_logits=question.from_logits,
        sample_weight=question.sample_weight,
        nan_policy=question.nan_policy,
        n_threads=question.n_threads,
        **options,
    )


def ece(y_true: Any, y_prob: Any, **options: Unpack[ErrorOptions]) -> float:
    """Expected calibration error: sum_b w_b |acc_b - conf_b| over bins of confidence (Guo et al. 2017, eq. 3).

    Arguments and options as in :func:`calibration_error`.

    >>> import fastcal as fc
    >>> fc.ece([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, norm="l1", **options)


def mce(y_true: Any, y_prob: Any, **options: Unpack[ErrorOptions]) -> float:
    """Maximum calibration error: max_b |acc_b - conf_b| over occupied bins (Guo et al. 2017, eq. 5).

    Arguments and options as in :func:`calibration_error`.

    >>> import fastcal as fc
    >>> fc.mce([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.5], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, norm="max", **options)


def rmsce(y_true: Any, y_prob: Any, **options: Unpack[ErrorOptions]) -> float:
    """Root mean square calibration error: sqrt(sum_b w_b (acc_b - conf_b)^2) (Kumar, Liang, Ma 2019).

    Arguments and options as in :func:`calibration_error`. It is not debiased.

    >>> import fastcal as fc
    >>> fc.rmsce([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, norm="l2", **options)


def adaptive_ece(y_true: Any, y_prob: Any, **options: Unpack[ErrorOptions]) -> float:
    """ECE over bins of equal mass: edges are quantiles of the confidences (Nixon et al. 2019; Nguyen, O'Connor 2015).

    Arguments and options as in :func:`calibration_error`. Equal confidences stay together, so that there may be fewer
    bins than asked for; :func:`reliability_curve` with ``binning="quantile"`` shows those that were made.

    >>> import fastcal as fc
    >>> fc.adaptive_ece([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, **_fixed("adaptive_ece", options, binning="quantile"))


def classwise_ece(y_true: Any, y_prob: Any, **options: Unpack[ErrorOptions]) -> float:
    """Mean over classes of the ECE of p_k as a prediction of [y = k] (Kull et al. 2019; SCE of Nixon et al. 2019).

    Arguments and options as in :func:`calibration_error`; :class:`ClasswiseAccumulator` gives the error of each class.

    >>> import fastcal as fc
    >>> fc.classwise_ece([0, 1], [[0.75, 0.25], [0.25, 0.75]], n_bins=2)
    0.25
    """
    return calibration_error(y_true, y_prob, **_fixed("classwise_ece", options, target="class-wise"))


def tace(y_true: Any, y_prob: Any, **options: Unpack[ErrorOptions]) -> float:
    """Thresholded adaptive calibration error: class-wise, equal-mass bins of the p_k above ``threshold`` (Nixon 2019).

    ``threshold``, 0.01 by default. Mean over classes, each over the rows that count; a class without any is 0.
    Arguments and options as in :func:`calibration_error`.

    >>> import fastcal as fc
    >>> fc.tace([0, 1], [[0.75, 0.25], [0.25, 0.75]], n_bins=2)
    0.25
    """
    options.setdefault("threshold", 0.01)
    return calibration_error(y_true, y_prob, **_fixed("tace", options, binning="quantile", target="class-wise"))


def _fixed(name: str, options: ErrorOptions, **own: Any) -> ErrorOptions:
    """Options with those that a short name stands for; raises TypeError where they are given as well."""
    for key, value in own.items():
        if key in options:
            raise TypeError(f"{name} is calibration_error with {key}={value!r}; it takes no {key}")
    return cast(ErrorOptions, {**options, **own})


def signed_calibration_error(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> float:
    """Mean confidence less mean outcome: positive for an overconfident model, negative for an underconfident one.

    What bins too confident and bins not confident enough add to ECE are ``overconfidence`` and ``underconfidence`` of
    :class:`Evaluation`; this is their difference. Arguments and options as in :func:`calibration_error`; class-wise it
    is the mean over classes, which for whole rows is 0.

    >>> import fastcal as fc
    >>> fc.signed_calibration_error([0, 1], [0.75, 0.75])
    0.25
    """
    question = Question(y_true, y_prob, **options)
    if question.target == "canonical":
        raise ValueError("target='canonical' has no signed error")
    if question.target == "class-wise":
        bins = question.classes()
        value = mean_of_classes(binned.signed(bins), bins)
    else:
        value = float(binned.signed(question.bins().sums))
    return math.nan if question.undefined else value


def reliability_curve(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> ReliabilityCurve:
    """Accuracy against mean confidence in bins of confidence (DeGroot and Fienberg 1983).

    Arguments and options as in :func:`calibration_error`, of one set of predictions: "positive" or "top-label".
    Returns ``edges`` (B + 1,) and, for each bin, ``count``, ``weight``, ``confidence``, ``accuracy`` (NaN where it is
    empty), its interval and consistency band: see :class:`ReliabilityCurve`, also for ``plot()``.

    >>> import fastcal as fc
    >>> fc.reliability_curve([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2).accuracy.tolist()
    [0.5, 1.0]
    """
    question = Question(y_true, y_prob, **options, squares=True)
    bins = question.bins()
    curve = ReliabilityCurve.of(bins.sums, bins.edges)
    return curve.undefined() if question.undefined else curve


def brier_decomposition(y_true: Any, y_prob: Any, **options: Unpack[BinOptions]) -> BrierDecomposition:
    """The Brier score in three parts (Murphy 1973), or two: reliability and refinement (Murphy 1972; Sanders 1963).

    REL = sum_b w_b (acc_b - conf_b)^2, RES = sum_b w_b (acc_b - acc)^2, UNC = acc (1 - acc). What confidences vary
    within bins is ``within_bin`` (Stephenson, Coelho, Jolliffe 2008); it is 0 where each bin holds one value. Arguments
    and options as in :func:`calibration_error`: ``target`` "positive" ((p - y)^2), "top-label" (of the confidence), or
    "class-wise" (summed over classes, as :func:`brier_score` of (N, K) is).

    >>> import fastcal as fc
    >>> fc.brier_decomposition([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2).resolution
    0.0625
    """
    question = Question(y_true, y_prob, **options, squares=True)
    if question.target == "canonical":
        raise ValueError("target='canonical' has no such decomposition")
    if question.target == "class-wise":
        if question.threshold or question.convention:
            raise ValueError("target='class-wise' is decomposed over all rows; threshold and convention do not apply")
        bins = question.classes()
        plain: Options = {
            "from_logits": question.from_logits,
            "sample_weight": question.sample_weight,
            "nan_policy": question.nan_policy,
            "n_threads": question.n_threads,
        }
        brier = brier_score(question.y_true, question.y_prob, **plain)
        brier *= 2 if question.y_prob.ndim == 1 else 1
    else:
        bins = question.bins().sums
        brier = float(binned.mean_square(bins))
    found = BrierDecomposition.of(bins, brier)
    return found.undefined() if question.undefined else found
