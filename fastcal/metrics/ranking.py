"""How well scores rank positives above negatives: AUROC, average precision, and the curves behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import memory
from ..arrays import Array, DataError
from ..ordered.columns import Names, scored_rows
from ..ordered.groups import groups
from ..ordered.ranking import Ranking
from ..stretches import chosen, elementwise, stretches

NAMES = Names("score", "y_true", "sample_weight")


class RocCurve(NamedTuple):
    """False and true positive rates at or above each threshold, from infinity down.

    >>> import fastcal as fc
    >>> fc.roc_curve([0, 1], [0.2, 0.7]).tpr.tolist()
    [0.0, 1.0, 1.0]
    """

    fpr: Array
    tpr: Array
    thresholds: Array


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall at or above each threshold, from the lowest up; the last pair, (1, 0), has no threshold.

    >>> import fastcal as fc
    >>> fc.precision_recall_curve([0, 1], [0.2, 0.7]).recall.tolist()
    [1.0, 1.0, 0.0]
    """

    precision: Array
    recall: Array
    thresholds: Array


def auroc(y_true: Any, score: Any, *, sample_weight: Any = None, n_threads: int | None = None) -> float:
    """Area under the ROC curve: P(score of a positive > that of a negative) + P(they are equal) / 2.

    ``y_true`` (N,) labels 0 and 1, ``score`` (N,) any finite numbers, higher for class 1, ``sample_weight`` (N,), each
    0 or from 1e-100 to 1e100. Exact but for the last rounding without weights (the U statistic of Mann and Whitney
    1947; Hanley and McNeil 1982). Raises DataError, a ValueError, for other values, and where a label is missing: there
    is no pair then.

    >>> import fastcal as fc
    >>> fc.auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return _ranking(y_true, score, sample_weight, n_threads)[0].auroc()


def average_precision(y_true: Any, score: Any, *, sample_weight: Any = None, n_threads: int | None = None) -> float:
    """sum_n (R_n - R_(n-1)) P_n, precision P and recall R at each threshold from the highest down; no interpolation.

    As scikit-learn's ``average_precision_score``. Arguments and errors as in :func:`auroc`; negatives may be missing.

    >>> import fastcal as fc
    >>> round(fc.average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """
    return _ranking(y_true, score, sample_weight, n_threads, needs=(1,))[0].average_precision()


def fpr_at_tpr(
    y_true: Any, score: Any, *, tpr: float = 0.95, sample_weight: Any = None, n_threads: int | None = None
) -> float:
    """False positive rate at the first threshold, from the highest down, whose true positive rate reaches ``tpr``.

    No interpolation. FPR95 of the out-of-distribution literature (Liang, Li, Srikant 2018). Arguments and errors as in
    :func:`auroc`; ``tpr`` above 0, at most 1.

    >>> import fastcal as fc
    >>> fc.fpr_at_tpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """
    if not (isinstance(tpr, int | float | np.number) and 0 < tpr <= 1):
        raise ValueError(f"tpr is {tpr!r}; expected a number above 0 and at most 1")
    return _ranking(y_true, score, sample_weight, n_threads)[0].fpr_at_tpr(float(tpr))


def roc_curve(
    y_true: Any, score: Any, *, sample_weight: Any = None, drop_intermediate: bool = True, n_threads: int | None = None
) -> RocCurve:
    """The ROC curve: ``.fpr``, ``.tpr`` and ``.thresholds``, which fall from infinity.

    ``drop_intermediate`` leaves out points on a straight line between others. As scikit-learn's, also in order and in
    the first point, (0, 0). Arguments and errors as in :func:`auroc`.

    >>> import fastcal as fc
    >>> fc.roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).tpr
    array([0. , 0.5, 0.5, 1. , 1. ])
    """
    ranking, dtype = _ranking(y_true, score, sample_weight, n_threads)
    thresholds, missed, hits = ranking.steps()
    if drop_intermediate and len(thresholds) > 2:
        bends = np.ones(len(thresholds), bool)
        for part in stretches(len(thresholds) - 2):
            around = slice(part.start, part.stop + 2)
            bends[1:-1][part] = (np.diff(missed[around], 2) != 0) | (np.diff(hits[around], 2) != 0)
        thresholds, missed, hits = (chosen(one, bends) for one in (thresholds, missed, hits))
    return RocCurve(
        _after(0.0, lambda of: of / missed[-1], missed),
        _after(0.0, lambda of: of / hits[-1], hits),
        _after(dtype.type(np.inf), lambda one: one.astype(dtype), thresholds),
    )


def precision_recall_curve(
    y_true: Any,
    score: Any,
    *,
    sample_weight: Any = None,
    drop_intermediate: bool = False,
    n_threads: int | None = None,
) -> PrecisionRecallCurve:
    """Precision and recall at every threshold: ``.precision``, ``.recall`` and ``.thresholds``, which rise.

    As scikit-learn's, also in the last pair, (1, 0), and in ``drop_intermediate``, which leaves out the thresholds
    inside a stretch of equal recall. Arguments and errors as in :func:`auroc`; negatives may be missing.

    >>> import fastcal as fc
    >>> fc.precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).recall
    array([1. , 1. , 0.5, 0.5, 0. ])
    """
    ranking, dtype = _ranking(y_true, score, sample_weight, n_threads, needs=(1,))
    thresholds, missed, hits = ranking.steps()
    if drop_intermediate and len(thresholds) > 2:
        step = np.diff(hits) != 0
        bends = np.append(True, np.append(step[:-1] | step[1:], True))
        thresholds, missed, hits = (chosen(one, bends) for one in (thresholds, missed, hits))
    return PrecisionRecallCurve(
        _turned(1.0, lambda of, other: of / (of + other), hits, missed),
        _turned(0.0, lambda of: of / hits[-1], hits),
        elementwise(lambda one: one.astype(dtype), thresholds[::-1]),
    )


def _after(first: Any, function: Callable[..., Array], *values: Array) -> Array:
    """A number, and what a function makes of others."""
    found = memory.empty((len(values[0]) + 1,), np.asarray(first).dtype)
    found[0] = first
    elementwise(function, *values, out=found[1:])
    return found


def _turned(last: Any, function: Callable[..., Array], *values: Array) -> Array:
    """What a function makes of numbers, the last first, and another number."""
    found = memory.empty((len(values[0]) + 1,), np.asarray(last).dtype)
    found[-1] = last
    elementwise(function, *values, out=found[:-1][::-1])
    return found


def _ranking(
    y_true: Any, score: Any, sample_weight: Any, n_threads: int | None, needs: tuple[int, ...] = (0, 1)
) -> tuple[Ranking, np.dtype[Any]]:
    """The ranking, and the dtype that scores are taken in."""
    rows = scored_rows(score, y_true, sample_weight, names=NAMES, labels_only=True, n_threads=n_threads)
    ranking = Ranking(groups(rows, n_threads, by_class=True))
    for label in needs:
        if not (ranking.n_negative, ranking.n_positive)[label]:
            raise DataError("y_true", (), f"holds no label {label} (of a weight above 0)")
    return ranking, rows.scores.dtype
