"""Scorers: fastcal's metrics where scikit-learn takes ``scoring``."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc

pytest.importorskip("sklearn", minversion="1.8")
import sklearn
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if

from fastcal.integrations.sklearn import SCORERS, CalibratedClassifier, get_scorer, make_scorer, scorers

N = 120 if JIT else 40

pytestmark = pytest.mark.filterwarnings("ignore::fastcal.FitWarning")

LABELS = {"text": ["b", "c", "a"], "numbers": [10, 3, 7], "in order": [0, 1, 2]}


class Said(ClassifierMixin, BaseEstimator):
    """Predicts what the columns of X say; classes in order, as scikit-learn has them."""

    def __init__(self, proba=True):
        self.proba = proba

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def _probs(self, X):
        if len(self.classes_) == 2:
            return np.stack([1 - X[:, 0], X[:, 0]], axis=1)
        return X[:, : len(self.classes_)] / X[:, : len(self.classes_)].sum(axis=1, keepdims=True)

    @available_if(lambda self: self.proba)
    def predict_proba(self, X):
        return self._probs(X)

    def decision_function(self, X):
        p = self._probs(X)
        return np.log(p[:, 1] / p[:, 0]) if p.shape[1] == 2 else np.log(p)

    def predict(self, X):
        return self.classes_[self._probs(X).argmax(axis=1)]


def given(n_classes=3, labels="text", n=N, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.05, 0.95, (n, 3))
    names = np.sort(np.array(LABELS[labels][:n_classes]))
    places = rng.integers(0, n_classes, n)
    places[:n_classes] = np.arange(n_classes)
    model = Said().fit(X, names[places])
    p = model.predict_proba(X)
    return model, X, names[places], places, p[:, 1] if n_classes == 2 else p


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", SCORERS)
def test_a_score_is_the_metrics(name, labels, n_classes):
    model, X, y, places, probs = given(n_classes, labels)
    if name == "auroc":
        expected = metrics.roc_auc_score(places, probs, multi_class="ovr")
    else:
        metric = {"neg_brier": "brier_score"}.get(name, name.removeprefix("neg_"))
        expected = -getattr(fc, metric)(places, probs)
    assert SCORERS[name](model, X, y) == pytest.approx(expected, rel=1e-12)
    weight = np.random.default_rng(1).integers(1, 4, N)
    repeated = (np.repeat(one, weight, axis=0) for one in (X, y))
    if name not in ("neg_adaptive_ece", "neg_tace", "neg_sweep_ece", "neg_aurc", "neg_e_aurc", "neg_augrc"):
        # (bins of equal mass, and orders of rows, differ for a row that counts twice and two rows)
        assert SCORERS[name](model, X, y, sample_weight=weight) == pytest.approx(SCORERS[name](model, *repeated))
    else:
        assert SCORERS[name](model, X, y, sample_weight=weight) != SCORERS[name](model, X, y)


def test_the_positive_label_of_two():
    model, X, y, places, p = given(2)
    assert make_scorer("ece", pos_label="c")(model, X, y) == -fc.ece(places, p)
    assert make_scorer("ece", pos_label="b")(model, X, y) == -fc.ece(1 - places, 1 - p)
    with pytest.raises(ValueError, match="pos_label=d is not a valid label"):
        make_scorer("ece", pos_label="d")(model, X, y)
    model, X, y, *_ = given(3)
    with pytest.raises(ValueError, match="pos_label is 'c'; it belongs to two classes, of which there are 3"):
        make_scorer("ece", pos_label="c")(model, X, y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logits_are_logits_where_that_is_said(n_classes):
    model, X, y, *_ = given(n_classes)
    said = make_scorer("nll", response_method="decision_function")
    assert said(model, X, y) == pytest.approx(SCORERS["neg_nll"](model, X, y))
    ranked = make_scorer("auroc", response_method="decision_function", greater_is_better=True)
    if n_classes == 2:
        assert ranked(model, X, y) == SCORERS["auroc"](model, X, y)
        first = make_scorer("nll", response_method="decision_function", pos_label="b")
        assert first(model, X, y) == pytest.approx(said(model, X, y))
    without = Said(proba=False).fit(X, y)
    assert said(without, X, y) == said(model, X, y)
    message = r"Said has no predict_proba; if its decision_function gives logits: make_scorer\(\.\.\., response_method="
    with pytest.raises(ValueError, match=message):
        SCORERS["neg_nll"](without, X, y)


def test_options_and_functions():
    model, X, y, places, p = given(2)
    scorer = make_scorer("ece", n_bins=7, binning="quantile")
    assert scorer(model, X, y) == -fc.ece(places, p, n_bins=7, binning="quantile")
    assert make_scorer(fc.brier_score)(model, X, y) == SCORERS["neg_brier"](model, X, y)
    assert repr(scorer) == (
        "make_scorer(ece, greater_is_better=False, response_method='predict_proba', n_bins=7, binning=quantile)"
    )
    assert make_scorer("average_precision", greater_is_better=True)(model, X, y) == pytest.approx(
        metrics.average_precision_score(places, p)
    )


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"metric": "elbow"}, ValueError, "metric is 'elbow', which fastcal does not have"),
        ({"metric": 3}, TypeError, "metric is 3; expected a name or a function"),
        ({"metric": "ece", "response_method": "predict"}, ValueError, "response_method is 'predict'; expected"),
    ],
)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        make_scorer(**wrong)
    with pytest.raises(ValueError, match="'neg_elbow' is not a valid scoring value"):
        get_scorer("neg_elbow")


def test_estimators_that_cannot_be_scored():
    model, X, y, *_ = given()
    with pytest.raises(NotFittedError):
        SCORERS["neg_ece"](LogisticRegression(), X, y)
    with pytest.raises(ValueError, match="DummyRegressor is no classifier of one label a row"):
        SCORERS["neg_ece"](DummyRegressor().fit(X, np.arange(N)), X, y)
    model.classes_ = [model.classes_, model.classes_]
    with pytest.raises(ValueError, match="Said is no classifier of one label a row"):
        SCORERS["neg_ece"](model, X, y)
    model, X, y, *_ = given()
    y[4] = "d"
    with pytest.raises(ValueError, match=r"y\[4\] is .*'d'.*, which the estimator has not seen"):
        SCORERS["neg_ece"](model, X, y)


def test_scores_that_are_no_probabilities():
    model, X, y, *_ = given(2)
    X[3, 0] = np.nan
    with pytest.raises(fc.DataError, match=r"y_prob\[3\] is nan"):
        SCORERS["neg_nll"](model, X, y)
    with pytest.warns(UserWarning, match="Scoring failed"):
        found = cross_val_score(Said(), X, y, scoring=SCORERS["neg_nll"], cv=2, error_score=-9.0)
    assert sorted(found == -9.0) == [False, True]


def test_copies():
    scorer = make_scorer("ece", n_bins=4)
    model, X, y, *_ = given()
    for other in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert other(model, X, y) == scorer(model, X, y)
    assert get_scorer("neg_ece") is not SCORERS["neg_ece"]
    assert get_scorer("accuracy")(model, X, y) == model.score(X, y)
    with pytest.raises(TypeError):
        SCORERS["neg_ece"] = scorer


def logistic(labels="text"):
    _, X, y, *_ = given(3, labels)
    return LogisticRegression(), X - 0.5, y


def test_in_cross_validate_and_searches():
    model, X, y = logistic()
    names = ("neg_ece", "neg_classwise_ece", "neg_nll", "auroc", "neg_log_loss", "accuracy")
    found = cross_validate(make_pipeline(StandardScaler(), model), X, y, scoring=scorers(*names), cv=3)
    assert set(found) == {"fit_time", "score_time", *(f"test_{name}" for name in names)}
    np.testing.assert_allclose(found["test_neg_nll"], found["test_neg_log_loss"], rtol=1e-12)
    alone = cross_val_score(make_pipeline(StandardScaler(), model), X, y, scoring=SCORERS["neg_ece"], cv=3)
    np.testing.assert_array_equal(alone, found["test_neg_ece"])
    search = GridSearchCV(model, {"C": [0.01, 1.0]}, scoring=scorers("neg_ece", "neg_nll"), refit="neg_nll", cv=2)
    assert search.fit(X, y).best_score_ == search.cv_results_["mean_test_neg_nll"].max()
    assert SCORERS["neg_nll"](search, X, y) == pytest.approx(metrics.get_scorer("neg_log_loss")(search, X, y))
    calibrated = CalibratedClassifier(model, cv=2)
    assert cross_val_score(calibrated, X, y, scoring=SCORERS["neg_nll"], cv=2).shape == (2,)


def test_several_scorers_ask_for_probabilities_once(monkeypatch):
    model, X, y = logistic()
    calls = []
    plain = LogisticRegression.predict_proba
    monkeypatch.setattr(LogisticRegression, "predict_proba", lambda self, X: calls.append(1) or plain(self, X))
    cross_validate(model, X, y, scoring=scorers("neg_ece", "neg_nll", "neg_brier", "auroc"), cv=2)
    assert len(calls) == 2


@pytest.mark.skipif(not JIT, reason="processes compile nothing")
def test_in_processes_of_loky():
    model, X, y = logistic()
    one, two = (cross_val_score(model, X, y, scoring=SCORERS["neg_ece"], cv=2, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_weights_are_routed():
    model, X, y = logistic()
    weight = np.random.default_rng(0).random(N) + 0.1
    asked = get_scorer("neg_nll")
    with pytest.raises(RuntimeError, match="metadata routing"):
        asked.set_score_request(sample_weight=True)
    with sklearn.config_context(enable_metadata_routing=True):
        asked.set_score_request(sample_weight=True)
        unweighted = LogisticRegression().set_fit_request(sample_weight=False)
        options = {"cv": 2, "params": {"sample_weight": weight}}
        theirs = metrics.get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        several = {
            "ours": asked,
            "theirs": theirs,
            "plain": get_scorer("neg_nll").set_score_request(sample_weight=False),
        }
        found = cross_validate(unweighted, X, y, scoring=several, **options)
        np.testing.assert_allclose(found["test_ours"], found["test_theirs"], rtol=1e-12)
        assert (found["test_ours"] != found["test_plain"]).all()
        refused = TypeError, sklearn.exceptions.UnsetMetadataPassedError  # by scikit-learn 1.8, by those since
        for scorer in (metrics.get_scorer("neg_log_loss"), get_scorer("neg_nll")):
            with pytest.raises(refused, match="sample_weight"):
                cross_val_score(unweighted, X, y, scoring=scorer, **options)
    with pytest.warns(UserWarning, match="Given to make_scorer and as metadata"):
        make_scorer("nll", sample_weight=weight)(model.fit(X, y), X, y, sample_weight=weight)


def test_a_name_is_no_scoring_of_scikit_learns():
    model, X, y = logistic()
    with pytest.raises(ValueError, match="scoring"):
        cross_val_score(model, X, y, scoring="neg_ece")


def test_svm_scores_are_no_logits():
    model, X, y = LinearSVC(), *logistic()[1:]
    with pytest.raises(ValueError, match="LinearSVC has no predict_proba"):
        SCORERS["neg_ece"](model.fit(X, y), X, y)
