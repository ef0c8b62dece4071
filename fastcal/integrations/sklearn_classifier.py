"""A scikit-learn classifier with calibrated probabilities, by any of fastcal's methods."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import LeaveOneOut, check_cv
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_method_params,
    _check_sample_weight,
    _check_y,
    check_is_fitted,
    has_fit_parameter,
    indexable,
)

from ..arrays import Array
from ..calibrators.base import Calibrator
from ..calibrators.methods import CLIP, made
from .sklearn_labels import in_places

__all__ = ["CalibratedClassifier"]

# What is taken, by the method's input: the first that the estimator has.
LOGITS_FIRST = ("decision_function", "predict_proba")
PROBS_FIRST = ("predict_proba", "decision_function")


class CalibratedClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose probabilities are calibrated.

    ``estimator``: a classifier with ``decision_function`` or ``predict_proba``. ``method``: temperature, vector,
    matrix, dirichlet, ensemble-temperature, platt, beta, histogram, isotonic, bbq or venn-abers, or a calibrator of
    fastcal, of which a copy is fitted. Methods that take logits get ``decision_function`` as logits, or else
    probabilities, those that take probabilities the other way round; a calibrator that was made with ``input`` gets
    what it says. By name, a method that takes logarithms counts probabilities below 2^-25 as that (``clip``).

    ``cv``: "prefit" for an estimator that is fitted (a FrozenEstimator is), to rows that it has not seen, or the folds:
    None for 5, a number, a splitter, or pairs of indices. With ``ensemble`` each fold's estimator is fitted to the
    other folds and its calibrator to this one, and probabilities are means over the pairs; without, one calibrator is
    fitted to the scores of all folds, each by an estimator that has not seen it, and the estimator to all rows.
    ``n_jobs``: folds at a time, as in scikit-learn.

    Fitted: ``classes_``, labels of any kind; ``calibrated_classifiers_``, pairs of estimator and calibrator.
    """

    def __init__(
        self,
        estimator: Any,
        method: Any = "temperature",
        *,
        cv: Any = None,
        ensemble: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.ensemble = ensemble
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Fit estimator and calibrator to rows ``X``, labels ``y`` (N,) and weights of both; returns self.

        ``fit_params`` go to the estimator; where scikit-learn's metadata routing is on, they and weights go to the
        estimator and the splitter as these ask for them. The calibrator has the weights in any case. Raises ValueError
        for folds that do not hold every class, and where there are fewer than two; warns where the estimator takes no
        weights, which are then the calibrator's only.
        """
        if not isinstance(self.ensemble, bool | np.bool_):
            raise ValueError(f"ensemble is {self.ensemble!r}; expected True or False")
        calibrator = self._calibrator()
        labels = _check_y(y, estimator=self)
        check_classification_targets(labels)
        X, labels = indexable(X, labels)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        if self._is_prefit():
            check_is_fitted(self.estimator)
            classes = np.asarray(self.estimator.classes_)
            pairs = [_Pair(self.estimator, calibrator).fit(X, in_places(labels, classes), weights)]
        else:
            classes = np.unique(labels)
            pairs = self._cross_validated(calibrator, X, labels, classes, weights, fit_params)
        self.classes_, self.calibrated_classifiers_ = classes, pairs
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(pairs[0].estimator, name):
                setattr(self, name, getattr(pairs[0].estimator, name))
            elif name in vars(self):  # of an earlier fit
                delattr(self, name)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Calibrated probabilities (N, K), columns in the order of ``classes_``."""
        check_is_fitted(self)
        total = sum(pair.predict_proba(X) for pair in self.calibrated_classifiers_)
        return np.asarray(total / len(self.calibrated_classifiers_))

    def predict(self, X: Any) -> Array:
        """The class of the largest probability, of equals the first."""
        places = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[places])

    def _calibrator(self) -> Calibrator:
        if isinstance(self.method, Calibrator):
            # columns are in the order of classes_, whose places are what the calibrator is fitted to
            return clone(self.method).set_params(classes=None)  # type: ignore[no-any-return]
        return made(self.method, clip=CLIP)

    def _is_prefit(self) -> bool:
        frozen = type(self.estimator).__name__ == "FrozenEstimator"
        return frozen or (isinstance(self.cv, str) and self.cv == "prefit")

    def _cross_validated(
        self,
        calibrator: Calibrator,
        X: Any,
        labels: Array,
        classes: Array,
        weights: Array | None,
        fit_params: dict[str, Any],
    ) -> list[_Pair]:
        if len(classes) < 2:
            raise ValueError("the number of classes has to be greater than one; got 1 class")
        fit_params, split_params = self._routed(weights, fit_params)
        if isinstance(self.cv, LeaveOneOut):
            raise ValueError("LeaveOneOut cross-validation has no fold that holds all classes")
        cv = check_cv(self.cv, labels, classifier=True)
        if not hasattr(self.cv, "split") and hasattr(cv, "n_splits"):
            rarest = int(np.unique(labels, return_counts=True)[1].min())
            if rarest < cv.n_splits and (self.cv is None or isinstance(self.cv, int)):
                raise ValueError(
                    f"Requesting {cv.n_splits}-fold cross-validation but provided less than {cv.n_splits} examples for "
                    f"at least one class: there are {rarest}"
                )
        folds = list(cv.split(X, labels, **split_params))
        encoded = in_places(labels, classes)
        parallel = Parallel(n_jobs=self.n_jobs)
        fitted = parallel(delayed(_fitted)(clone(self.estimator), X, labels, fit_params, train) for train, _ in folds)
        for one in fitted:
            if not np.array_equal(one.classes_, classes):
                raise ValueError("a fold's estimator was fitted without some class; let every fold hold all classes")
        if self.ensemble:
            pairs = [_Pair(one, clone(calibrator)) for one in fitted]
            given = [None if weights is None else weights[test] for _, test in folds]
            done: list[_Pair] = parallel(
                delayed(_Pair.fit)(pair, _rows(pair.estimator, X, test, train), encoded[test], some)
                for pair, (train, test), some in zip(pairs, folds, given, strict=True)
            )
            return done
        return [self._on_all(calibrator, fitted, folds, X, labels, encoded, weights, fit_params)]

    def _routed(self, weights: Array | None, fit_params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the estimator's ``fit`` and the splitter's ``split`` are given beside rows and labels."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", sample_weight=weights, **fit_params)
            return dict(routed.estimator.fit), dict(routed.splitter.split)
        if weights is None:
            return fit_params, {}
        if has_fit_parameter(self.estimator, "sample_weight"):
            return {**fit_params, "sample_weight": weights}, {}
        warnings.warn(
            f"{type(self.estimator).__name__} takes no sample_weight: weights are used for calibration only",
            UserWarning,
            stacklevel=4,
        )
        return fit_params, {}

    def get_metadata_routing(self) -> MetadataRouter:
        """Who is given what: ``fit`` has weights of its own, and passes on what estimator and splitter ask for."""
        router = MetadataRouter(owner=self).add_self_request(self)
        for callee, of in (("fit", {"estimator": self.estimator}), ("split", {"splitter": self.cv})):
            router.add(method_mapping=MethodMapping().add(caller="fit", callee=callee), **of)
        return router

    def _on_all(
        self,
        calibrator: Calibrator,
        fitted: list[Any],
        folds: list[Any],
        X: Any,
        labels: Array,
        encoded: Array,
        weights: Array | None,
        fit_params: dict[str, Any],
    ) -> _Pair:
        """One calibrator, of scores by estimators that had not seen them, for the estimator of all rows."""
        tested = np.concatenate([test for _, test in folds])
        if len(np.unique(tested)) != len(tested):
            raise ValueError("with ensemble=False no row may be in two test folds")
        last = _Pair(_fitted(clone(self.estimator), X, labels, fit_params, None), calibrator)
        last.choose()
        parts = [last.scores(_rows(one, X, *fold[::-1]), one) for one, fold in zip(fitted, folds, strict=True)]
        last.calibrator.fit(np.concatenate(parts), encoded[tested], None if weights is None else weights[tested])
        return last

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.pairwise = inner.input_tags.pairwise
        return tags


class _Pair:
    """An estimator and the calibrator of its scores."""

    def __init__(self, estimator: Any, calibrator: Calibrator) -> None:
        self.estimator = estimator
        self.calibrator = calibrator
        self.response = ""

    def fit(self, X: Any, y: Array, weights: Array | None) -> _Pair:
        """Fit the calibrator to the fitted estimator's scores."""
        self.choose()
        self.calibrator.fit(self.scores(X), y, weights)
        return self

    def choose(self) -> None:
        """Which of the estimator's methods gives the scores; the calibrator is told what they are."""
        said, taken = self.calibrator.input, self.calibrator.taken
        if said is not None:
            wanted: tuple[str, ...] = ("decision_function",) if said == "logits" else ("predict_proba",)
        else:
            wanted = LOGITS_FIRST if taken in ("logits", "log-probs") else PROBS_FIRST
        for name in wanted:
            if hasattr(self.estimator, name):
                self.response = name
                self.calibrator.set_params(input="logits" if name == "decision_function" else "probs")
                return
        raise TypeError(f"{type(self.estimator).__name__} has no {' or '.join(wanted)}")

    def scores(self, X: Any, estimator: Any = None) -> Array:
        """What is calibrated: (N,) of a binary decision_function, else (N, K)."""
        one = self.estimator if estimator is None else estimator
        found = np.asarray(getattr(one, self.response)(X))
        n_classes = len(one.classes_)
        if found.ndim == 2 and found.shape[1] != n_classes:
            raise ValueError(
                f"{self.response} of {type(one).__name__} gives {found.shape[1]} columns for {n_classes} classes; "
                "expected one a class"
            )
        return found

    def predict_proba(self, X: Any) -> Array:
        """Calibrated probabilities (N, K), float64."""
        found = self.calibrator.predict_proba(self.scores(X)).astype(np.float64)
        return np.column_stack([1.0 - found, found]) if found.ndim == 1 else found


def _rows(estimator: Any, X: Any, rows: Any, fitted: Any) -> Any:
    """Some rows of X; of kernels between rows, those with the rows that the estimator was fitted to."""
    return _safe_split(estimator, X, None, rows, fitted)[0]


def _fitted(estimator: Any, X: Any, labels: Array, fit_params: dict[str, Any], rows: Any) -> Any:
    """The estimator, fitted to some rows, or to all."""
    fit_params = _check_method_params(X, fit_params, indices=rows)
    if rows is not None:
        X, labels = _safe_split(estimator, X, labels, rows)
    return estimator.fit(X, labels, **fit_params)
