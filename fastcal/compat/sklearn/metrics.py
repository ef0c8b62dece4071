"""``sklearn.metrics`` over ours: the scores of probabilities and rankings; every other name is scikit-learn's own.

Inputs in which there is nothing to ask back about (arrays, lists or Series of numbers, labels of integers or text) are
ours; all others, wrong ones included, are scikit-learn's, and so are its errors and warnings.

>>> from fastcal.compat.sklearn.metrics import log_loss, roc_auc_score
>>> roc_auc_score(["no", "no", "yes", "yes"], [0.1, 0.4, 0.35, 0.8])
0.75
>>> round(log_loss([0, 1], [[1.0, 0.0], [1.0, 0.0]]), 4)  # probabilities are clipped to [eps, 1 - eps]
18.0218
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn import metrics as theirs

from ...arrays import Array
from ...metrics import ranking
from ...metrics.scoring import brier_score
from ..theirs import floats, hand_on, plain, stands_for
from .labels import binary, places
from .rows import check, losses
from .several import against_each_other, against_rest

__all__ = [
    "average_precision_score",
    "brier_score_loss",
    "log_loss",
    "precision_recall_curve",
    "roc_auc_score",
    "roc_curve",
]


@stands_for(theirs.brier_score_loss)
def brier_score_loss(
    y_true: Any,
    y_proba: Any,
    *,
    sample_weight: Any = None,
    pos_label: Any = None,
    labels: Any = None,
    scale_by_half: Any = "auto",
) -> float:
    """``sklearn.metrics.brier_score_loss``: the mean of (p - y)^2 for (N,), of sum_k (p_k - [k = y])^2 for (N, K).

    ``scale_by_half``: whether the sum over classes is halved; "auto": of fewer than three. Probabilities lie in [0, 1]
    to the last digit. float32 is squared in float32, as in scikit-learn, and summed exactly.
    """
    probs, weights = floats(y_proba), _weights(sample_weight)
    if not (scale_by_half is True or scale_by_half is False or scale_by_half == "auto"):
        hand_on()
    if probs.ndim == 1:
        if not (probs.min() >= 0 and probs.max() <= 1):
            hand_on()
        given = binary(y_true, pos_label, greater=plain(y_true).dtype.kind != "U")
        half = _defined(brier_score(given, probs, sample_weight=weights))
        return half if scale_by_half else 2 * half
    check(probs)
    given = places(y_true, labels, probs.shape[1])
    whole = _defined(brier_score(given, probs, sample_weight=weights))
    halved = probs.shape[1] < 3 if scale_by_half == "auto" else scale_by_half
    return whole / 2 if halved else whole


@stands_for(theirs.log_loss)
def log_loss(
    y_true: Any, y_proba: Any = None, *, normalize: bool = True, sample_weight: Any = None, labels: Any = None
) -> float:
    """``sklearn.metrics.log_loss``: the mean or sum of -log p_y in nats, p clipped to [eps, 1 - eps] of its dtype.

    ``y_true`` (N,) labels of any kind, ``y_proba`` (N,) of the greater of two or (N, K), columns in the order of the
    labels. Of :func:`fastcal.nll`, which clips nothing, this hides that a prediction was certain and wrong.
    """
    probs, weights = floats(y_proba), _weights(sample_weight)
    if normalize not in (True, False) or not isinstance(normalize, bool):
        hand_on()
    if probs.ndim == 1:
        if not (probs.min() >= 0 and probs.max() <= 1):
            hand_on()
        return losses(probs, places(y_true, labels, 2), weights, normalize)
    check(probs)
    return losses(probs, places(y_true, labels, probs.shape[1]), weights, normalize)


@stands_for(theirs.roc_auc_score)
def roc_auc_score(
    y_true: Any,
    y_score: Any,
    *,
    average: Any = "macro",
    sample_weight: Any = None,
    max_fpr: Any = None,
    multi_class: str = "raise",
    labels: Any = None,
) -> Any:
    """``sklearn.metrics.roc_auc_score``: the area under the ROC curve; of (N, K) by classes against the rest or others.

    Ours for (N,) scores and for rows of more than two classes; an area up to ``max_fpr``, several labels a row and
    ``average="micro"`` are scikit-learn's.
    """
    scores, weights = _scores(y_score), _weights(sample_weight)
    if max_fpr is not None:
        hand_on()
    if scores.ndim == 1:
        if average not in ("macro", "micro", "weighted", "samples", None) or multi_class not in ("raise", "ovr", "ovo"):
            hand_on()
        if labels is not None:
            hand_on()
        return ranking.auroc(binary(y_true, greater=True), scores, sample_weight=weights)
    if scores.ndim != 2 or scores.shape[1] < 3:
        hand_on()
    check(floats(scores), rounding=1e-5, outside=True)
    given = places(y_true, labels, scores.shape[1])
    if multi_class == "ovr":
        return against_rest(ranking.auroc, given, scores, average, weights)
    if multi_class == "ovo" and weights is None:
        return against_each_other(ranking.auroc, given, scores, average)
    return hand_on()


@stands_for(theirs.average_precision_score)
def average_precision_score(
    y_true: Any, y_score: Any, *, average: Any = "macro", pos_label: Any = 1, sample_weight: Any = None
) -> Any:
    """``sklearn.metrics.average_precision_score``: sum_n (R_n - R_(n-1)) P_n, nothing interpolated.

    Ours for (N,) scores and for rows of more than two classes, each against the rest; the others are scikit-learn's.
    """
    scores, weights = _scores(y_score), _weights(sample_weight)
    if scores.ndim == 1:
        if average not in ("macro", "micro", "weighted", "samples", None):
            hand_on()
        return ranking.average_precision(binary(y_true, pos_label), scores, sample_weight=weights)
    if scores.ndim != 2 or scores.shape[1] < 3 or pos_label != 1:
        hand_on()
    return against_rest(ranking.average_precision, places(y_true, None, scores.shape[1]), scores, average, weights)


@stands_for(theirs.roc_curve)
def roc_curve(
    y_true: Any, y_score: Any, *, pos_label: Any = None, sample_weight: Any = None, drop_intermediate: bool = True
) -> tuple[Array, Array, Array]:
    """``sklearn.metrics.roc_curve``: ``fpr``, ``tpr`` and ``thresholds``, which fall from infinity.

    With real weights and ``drop_intermediate`` it is scikit-learn's: rounding decides which points lie on a line.
    """
    scores = floats(y_score, 1)
    weights = _curve_weights(sample_weight, drop_intermediate)
    found = ranking.roc_curve(
        binary(y_true, pos_label), scores, sample_weight=weights, drop_intermediate=drop_intermediate
    )
    return found.fpr, found.tpr, found.thresholds.astype(np.float64)


@stands_for(theirs.precision_recall_curve)
def precision_recall_curve(
    y_true: Any, y_score: Any, *, pos_label: Any = None, sample_weight: Any = None, drop_intermediate: bool = False
) -> tuple[Array, Array, Array]:
    """``sklearn.metrics.precision_recall_curve``: ``precision``, ``recall`` and ``thresholds``, which rise.

    With real weights and ``drop_intermediate`` it is scikit-learn's, as in :func:`roc_curve`.
    """
    scores = floats(y_score, 1)
    weights = _curve_weights(sample_weight, drop_intermediate)
    found = ranking.precision_recall_curve(
        binary(y_true, pos_label), scores, sample_weight=weights, drop_intermediate=drop_intermediate
    )
    return found.precision, found.recall, found.thresholds


def _scores(values: Any) -> Array:
    """Any floats: half ones are ranked exactly, too."""
    found = plain(values)
    return found if found.dtype == np.float16 and found.ndim == 1 else floats(found)


def _defined(figure: float) -> float:
    """A mean over rows of some weight."""
    return hand_on() if math.isnan(figure) else figure


def _weights(values: Any) -> Array | None:
    weights = None if values is None else plain(values)
    if weights is not None and weights.dtype.kind not in "biuf":
        hand_on()
    return weights


def _curve_weights(values: Any, drop_intermediate: bool) -> Array | None:
    if not isinstance(drop_intermediate, bool):
        hand_on()
    weights = _weights(values)
    if weights is not None and drop_intermediate and weights.dtype.kind not in "biu":
        hand_on()
    return weights


def __getattr__(name: str) -> Any:
    return getattr(theirs, name)
