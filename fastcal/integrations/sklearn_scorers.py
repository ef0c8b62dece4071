"""Scorers: fastcal's metrics for ``cross_validate``, ``GridSearchCV`` and whatever else takes ``scoring``."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer as scorer_of_sklearn
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils.validation import check_is_fitted

from .sklearn_labels import in_places

__all__ = ["SCORERS", "get_scorer", "make_scorer", "scorers"]

RESPONSES = ("predict_proba", "decision_function")


class Metric:
    """A metric of fastcal by its name, as scikit-learn's scorers call metrics: with ``sample_weight`` in its signature.

    Found at the first call; pickled as its name.
    """

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name

    def __call__(self, y_true: Any, y_prob: Any, *, sample_weight: Any = None, **options: Any) -> float:
        return self.figure(y_true, y_prob, sample_weight=sample_weight, **options)

    def figure(self, y_true: Any, y_prob: Any, **options: Any) -> float:
        """What fastcal's function says."""
        return float(getattr(importlib.import_module("fastcal"), self.name)(y_true, y_prob, **options))


class Ranking(Metric):
    """A figure of how scores rank positives above negatives; of rows the mean over classes, each against the rest."""

    def figure(self, y_true: Any, y_prob: Any, **options: Any) -> float:
        """See :meth:`Metric.figure`."""
        options.pop("from_logits", None)  # of two classes the order of logits is that of their probabilities
        if np.ndim(y_prob) == 1:
            return super().figure(y_true, y_prob, **options)
        found = [super(Ranking, self).figure(y_true == k, y_prob[:, k], **options) for k in range(y_prob.shape[1])]
        return math.fsum(found) / len(found)


class Scorer(_BaseScorer):  # type: ignore[misc]
    """A scorer that knows the estimator's classes: labels go to its columns, whatever they are called.

    scikit-learn's own scorers give a metric labels and probabilities, and leave it to guess which column is whose.
    """

    def _score(self, method_caller: Any, estimator: Any, X: Any, y_true: Any, **options: Any) -> float:
        self._warn_overlap(message="Given to make_scorer and as metadata, which counts.", kwargs=options)
        check_is_fitted(estimator)
        classes = getattr(estimator, "classes_", None)
        if not is_classifier(estimator) or not isinstance(classes, np.ndarray):
            raise ValueError(f"{type(estimator).__name__} is no classifier of one label a row")
        settings = {**self._kwargs, **options}
        pos_label = settings.pop("pos_label", None)
        response: str = self._response_method
        if not hasattr(estimator, response):
            raise ValueError(_what_is_missing(estimator, response))
        if len(classes) != 2 and pos_label is not None:
            raise ValueError(
                f"pos_label is {pos_label!r}; it belongs to two classes, of which there are {len(classes)}"
            )
        scores = np.asarray(method_caller(estimator, response, X, pos_label=pos_label))
        places = in_places(np.asarray(y_true), classes)
        if len(classes) == 2 and pos_label is not None and pos_label == classes[0]:
            places = 1 - places
        if response == "decision_function":
            settings["from_logits"] = True
        return float(self._sign * self._score_func(places, scores, **settings))


def make_scorer(
    metric: str | Callable[..., float],
    *,
    greater_is_better: bool = False,
    response_method: str = "predict_proba",
    pos_label: Any = None,
    **options: Any,
) -> Scorer:
    """A scorer of a metric of fastcal, by name, or of any function ``(y_true, y_prob, *, sample_weight)``.

    The metric gets labels as places in ``estimator.classes_``, and P(y = classes_[1]) (N,) of two classes, or of
    ``pos_label`` if that is given, or rows (N, K) of more; ``options`` as they are. Without ``greater_is_better`` the
    score is the negative of the figure. ``response_method`` "decision_function": scores that are logits, as
    those of a logistic regression are; nothing says so of an estimator, hence it is never taken for lack of
    ``predict_proba``. The metric then gets ``from_logits=True``.

    Weights come as ``sample_weight``, by ``set_score_request`` where metadata routing is on. Raises ValueError, at
    scoring, for an estimator that is no classifier or lacks the method, and for a label that it has not seen.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from fastcal.integrations.sklearn import make_scorer
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]] * 10, ["no", "no", "yes", "yes"] * 10
    >>> scorer = make_scorer("ece", n_bins=10, convention="torchmetrics")
    >>> cross_val_score(LogisticRegression(), X, y, scoring=scorer, cv=2).round(3).tolist()
    [-0.156, -0.156]
    """
    if response_method not in RESPONSES:
        raise ValueError(f"response_method is {response_method!r}; expected {' or '.join(RESPONSES)}")
    if not (isinstance(metric, str) or callable(metric)):
        raise TypeError(f"metric is {metric!r}; expected a name or a function")
    if isinstance(metric, str):
        metric = (Ranking if metric in ("auroc", "average_precision") else Metric)(_known(metric))
    if pos_label is not None:
        options["pos_label"] = pos_label
    return Scorer(metric, 1 if greater_is_better else -1, options, response_method)


def get_scorer(name: str) -> Any:
    """A scorer by its name: one of :data:`SCORERS`, or else scikit-learn's own. A copy, as scikit-learn gives.

    Raises ValueError for a name that neither has.

    >>> from fastcal.integrations.sklearn import get_scorer
    >>> get_scorer("neg_ece")
    make_scorer(ece, greater_is_better=False, response_method='predict_proba')
    """
    return copy.deepcopy(SCORERS[name]) if name in SCORERS else scorer_of_sklearn(name)


def scorers(*names: str) -> dict[str, Any]:
    """Scorers by name, fastcal's and scikit-learn's side by side, as ``scoring=`` takes several.

    (scikit-learn has no place for names of others: what ``scoring=`` may be called is fixed as its modules load.)

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from fastcal.integrations.sklearn import scorers
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]] * 10, ["no", "no", "yes", "yes"] * 10
    >>> sorted(cross_validate(LogisticRegression(), X, y, scoring=scorers("neg_ece", "neg_log_loss")))
    ['fit_time', 'score_time', 'test_neg_ece', 'test_neg_log_loss']
    """
    return {name: get_scorer(name) for name in names}


def _what_is_missing(estimator: Any, response: str) -> str:
    hint = ""
    if response == "predict_proba" and hasattr(estimator, "decision_function"):
        hint = "; if its decision_function gives logits: make_scorer(..., response_method='decision_function')"
    return f"{type(estimator).__name__} has no {response}" + hint


def _known(name: str) -> str:
    if not callable(getattr(importlib.import_module("fastcal"), name, None)):
        raise ValueError(f"metric is {name!r}, which fastcal does not have")
    return name


# Names as scikit-learn has them: what is better small is negative, and says so.
ERRORS = {
    "neg_ece": "ece",
    "neg_mce": "mce",
    "neg_rmsce": "rmsce",
    "neg_adaptive_ece": "adaptive_ece",
    "neg_classwise_ece": "classwise_ece",
    "neg_tace": "tace",
    "neg_sweep_ece": "sweep_ece",
    "neg_smooth_ece": "smooth_ece",
    "neg_ks_calibration_error": "ks_calibration_error",
    "neg_kuiper_calibration_error": "kuiper_calibration_error",
    "neg_brier": "brier_score",
    "neg_nll": "nll",
    "neg_aurc": "aurc",
    "neg_e_aurc": "e_aurc",
    "neg_augrc": "augrc",
}


SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {name: make_scorer(metric) for name, metric in ERRORS.items()}
    | {"auroc": make_scorer("auroc", greater_is_better=True)}
)
"""Scorers by name: ``neg_ece``, ``neg_classwise_ece``, ``neg_smooth_ece``, ``neg_nll``, ``auroc`` and the like.

Of two classes the calibration errors are of P(y = classes_[1]), of more of the largest probability.
"""
