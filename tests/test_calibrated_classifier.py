"""CalibratedClassifier: an estimator and any of the methods, fitted to scores that the estimator had not seen."""

from __future__ import annotations

import pickle
import warnings
from contextlib import suppress
from unittest import SkipTest

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal.calibrators.methods import CLIP, METHODS, class_of

pytest.importorskip("sklearn", minversion="1.8")
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneOut, StratifiedKFold, cross_val_predict
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastcal.integrations.sklearn import CalibratedClassifier

pytestmark = pytest.mark.filterwarnings("ignore::fastcal.FitWarning")


# a solver that takes a sixth of the time of the others here
CHECKED = CalibratedClassifier(LogisticRegression(C=0.05, solver="newton-cholesky"), "temperature", cv=2)


@parametrize_with_checks([CHECKED] if JIT else [])
def test_checks_of_scikit_learn(estimator, check):
    with suppress(SkipTest):  # of checks that need pandas, or an array API that scipy was not told of
        check(estimator)


def rows(n=240, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = (X @ rng.normal(size=(4, n_classes)) + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    return X, y


class Fewer(ClassifierMixin, BaseEstimator):
    """LogisticRegression without its decision function, and without weights."""

    def fit(self, X, y):
        self.fitted_ = LogisticRegression().fit(X, y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_method_on_prefit_estimators(method, n_classes):
    X, y = rows(n_classes=n_classes)
    model = LogisticRegression().fit(X[:100], y[:100])
    found = CalibratedClassifier(model, method, cv="prefit").fit(X[100:], y[100:])
    cls = class_of(METHODS[method])
    logits = cls.default_input == "logits"
    scores = model.decision_function(X) if logits else model.predict_proba(X)
    clip = {"clip": CLIP} if "clip" in cls._parameters() else {}
    by_hand = cls(**clip).fit(scores[100:], y[100:]).predict_proba(scores)
    by_hand = np.column_stack([1 - by_hand, by_hand]) if by_hand.ndim == 1 else by_hand
    np.testing.assert_array_equal(found.predict_proba(X), by_hand)
    np.testing.assert_array_equal(found.predict(X), by_hand.argmax(axis=1))
    frozen = CalibratedClassifier(FrozenEstimator(model), cls(**clip)).fit(X[100:], y[100:])
    np.testing.assert_array_equal(frozen.predict_proba(X), by_hand)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("ensemble", [True, False])
def test_folds_by_hand(n_classes, ensemble):
    X, y = rows(n_classes=n_classes)
    labels = np.array(["b", "c", "a"])[y]
    weights = 1.0 + np.arange(len(y)) % 3
    cv = StratifiedKFold(3, shuffle=True, random_state=1)
    found = CalibratedClassifier(LogisticRegression(), "vector", cv=cv, ensemble=ensemble).fit(X, labels, weights)
    assert found.classes_.tolist() == sorted(set(labels))
    places = np.searchsorted(found.classes_, labels)
    folds = list(cv.split(X, labels))
    models = [LogisticRegression().fit(X[train], labels[train], weights[train]) for train, _ in folds]
    vector = fc.VectorScaling
    if ensemble:
        parts = []
        for model, (_, test) in zip(models, folds, strict=True):
            one = vector().fit(model.decision_function(X[test]), places[test], weights[test])
            parts.append(one.predict_proba(model.decision_function(X)))
        expected = sum(parts) / 3
        assert len(found.calibrated_classifiers_) == 3
    else:
        order = np.concatenate([test for _, test in folds])
        scores = np.concatenate(
            [model.decision_function(X[test]) for model, (_, test) in zip(models, folds, strict=True)]
        )
        whole = LogisticRegression().fit(X, labels, weights)
        expected = vector().fit(scores, places[order], weights[order]).predict_proba(whole.decision_function(X))
        assert len(found.calibrated_classifiers_) == 1
    expected = np.column_stack([1 - expected, expected]) if expected.ndim == 1 else expected
    np.testing.assert_allclose(found.predict_proba(X), expected, rtol=1e-12)
    np.testing.assert_array_equal(found.predict(X), found.classes_[expected.argmax(axis=1)])
    assert found.score(X, labels) > 1 / n_classes
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).predict_proba(X), found.predict_proba(X))


def test_the_peer_with_the_same_folds():
    X, y = rows(400, 2)
    cv = list(StratifiedKFold(4).split(X, y))
    ours = CalibratedClassifier(Fewer(), "isotonic", cv=cv).fit(X, y)
    peer = CalibratedClassifierCV(Fewer(), method="isotonic", cv=cv).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-6)
    ours = CalibratedClassifier(LogisticRegression(), "temperature", cv=cv).fit(X, y)
    peer = CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=cv).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-3)  # theirs stops early


def test_which_scores_are_taken():
    X, y = rows(n_classes=2)

    def taken(estimator, method):
        pair = CalibratedClassifier(estimator.fit(X, y), method, cv="prefit").fit(X, y).calibrated_classifiers_[0]
        return pair.response, pair.calibrator.input

    assert taken(LogisticRegression(), "dirichlet") == ("decision_function", "logits")
    assert taken(LogisticRegression(), "platt") == ("predict_proba", "probs")
    assert taken(LinearSVC(), "platt") == ("decision_function", "logits")
    assert taken(LinearSVC(), "isotonic") == ("decision_function", "logits")
    assert taken(Fewer(), "temperature") == ("predict_proba", "probs")
    assert taken(LogisticRegression(), fc.PlattScaling(input="logits")) == ("decision_function", "logits")
    assert taken(LogisticRegression(), fc.TemperatureScaling(input="probs")) == ("predict_proba", "probs")
    with pytest.raises(TypeError, match="LinearSVC has no predict_proba"):
        taken(LinearSVC(), fc.PlattScaling(input="probs"))


def test_a_calibrator_that_was_given_is_copied():
    X, y = rows()
    given = fc.HistogramBinning(n_bins=4, classes=["x", "y", "z"])
    found = CalibratedClassifier(LogisticRegression(), given, cv=2).fit(X, y)
    assert not hasattr(given, "classes_")
    assert given.get_params()["classes"] == ["x", "y", "z"]
    assert {pair.calibrator.n_bins for pair in found.calibrated_classifiers_} == {4}


def test_kernels_between_rows():
    X, y = rows()
    cv = list(StratifiedKFold(3).split(X, y))
    ours = CalibratedClassifier(SVC(kernel="precomputed"), cv=cv, ensemble=False).fit(X @ X.T, y)
    same = CalibratedClassifier(SVC(kernel="linear"), cv=cv, ensemble=False).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X @ X.T), same.predict_proba(X), rtol=1e-6)


def test_a_fit_that_fails_leaves_what_was_fitted():
    X, y = rows()
    rare = np.where(np.arange(240) < 1, 7, y)
    model = CalibratedClassifier(LogisticRegression(), cv=2)
    with pytest.raises(ValueError, match="Requesting 2-fold"):
        model.fit(X, rare)
    with pytest.raises(NotFittedError):
        model.predict(X)
    before = model.fit(X, y).predict_proba(X)
    model.feature_names_in_ = np.array(list("abcd"))  # as of a data frame
    with pytest.raises(ValueError, match="Requesting 2-fold"):
        model.fit(X, rare)
    assert model.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_searches_and_jobs():
    X, y = rows()
    grid = {"method": ["temperature", "isotonic"], "estimator__C": [0.1]}
    search = GridSearchCV(CalibratedClassifier(LogisticRegression(), cv=2), grid, cv=2, scoring="neg_log_loss").fit(
        X, y
    )
    assert search.best_params_["method"] == "temperature"
    found = cross_val_predict(search.best_estimator_, X, y, cv=2, method="predict_proba")
    assert found.shape == (240, 3)
    one = CalibratedClassifier(LogisticRegression(), cv=2).fit(X, y).predict_proba(X)
    two = CalibratedClassifier(LogisticRegression(), cv=2, n_jobs=1).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(one, two)


def test_weights_that_the_estimator_does_not_take():
    X, y = rows()
    weights = 1.0 + np.arange(len(y)) % 3
    with pytest.warns(UserWarning, match="Fewer takes no sample_weight: weights are used for calibration only"):
        found = CalibratedClassifier(Fewer(), cv=2).fit(X, y, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = CalibratedClassifier(Fewer(), cv=2).fit(X, y)
    apart = [one.calibrated_classifiers_[0].calibrator.temperature_ for one in (found, other)]
    assert apart[0] != apart[1]


def test_a_class_that_the_calibration_rows_lack():
    X, y = rows()
    model = LogisticRegression().fit(X, y)
    few = y < 2
    found = CalibratedClassifier(model, cv="prefit").fit(X[few], y[few])
    assert found.predict_proba(X).shape == (240, 3)


def test_what_cannot_be_fitted():
    X, y = rows()
    model = LogisticRegression().fit(X, y)

    def fit(*arguments, y=y, **options):
        return CalibratedClassifier(*arguments, **options).fit(X, y)

    with pytest.raises(ValueError, match=r"method is 'sigmoid'; expected a calibrator, or one of temperature, "):
        fit(model, "sigmoid")
    with pytest.raises(ValueError, match="ensemble is 'auto'; expected True or False"):
        fit(model, ensemble="auto")
    with pytest.raises(ValueError, match="Requesting 5-fold cross-validation but provided less than 5 examples"):
        fit(LogisticRegression(), y=np.where(np.arange(240) < 3, 2, y % 2))
    with pytest.raises(ValueError, match="LeaveOneOut"):
        fit(LogisticRegression(), cv=LeaveOneOut())
    with pytest.raises(ValueError, match="greater than one; got 1 class"):
        fit(LogisticRegression(), y=np.zeros(240))
    with pytest.raises(ValueError, match=r"y\[0\] is .*7.*, which the estimator has not seen"):
        fit(model, cv="prefit", y=np.full(240, 7))
    with pytest.raises(ValueError, match="fitted without some class"):
        fit(LogisticRegression(), cv=[(np.flatnonzero(y < 2), np.arange(50))])
    twice = [(np.arange(240), np.arange(50)), (np.arange(240), np.arange(50))]
    with pytest.raises(ValueError, match="no row may be in two test folds"):
        fit(LogisticRegression(), cv=twice, ensemble=False)
    pairs = SVC(decision_function_shape="ovo").fit(*rows(n_classes=4))
    with pytest.raises(ValueError, match="decision_function of SVC gives 6 columns for 4 classes"):
        CalibratedClassifier(pairs, cv="prefit").fit(*rows(n_classes=4))
    with pytest.raises(NotFittedError):
        CalibratedClassifier(LogisticRegression(), cv="prefit").fit(X, y)
    with pytest.raises(NotFittedError):
        CalibratedClassifier(LogisticRegression()).predict_proba(X)
