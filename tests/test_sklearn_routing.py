"""CalibratedClassifier under scikit-learn's metadata routing: weights and groups go where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

pytest.importorskip("sklearn", minversion="1.8")
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.utils.metadata_routing import get_routing_for_object

from fastcal.integrations.sklearn import CalibratedClassifier

N = 90 if JIT else 48

pytestmark = pytest.mark.filterwarnings("ignore::fastcal.FitWarning")


class Recorder(ClassifierMixin, BaseEstimator):
    """Notes what its ``fit`` is given."""

    seen: list = []  # noqa: RUF012 - that of all copies

    def fit(self, X, y, sample_weight=None, marks=None):
        self.seen.append((X[:, 0], sample_weight, marks))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-X[:, 0]))
        return np.stack([1 - p, p], axis=1)


@pytest.fixture
def seen():
    Recorder.seen.clear()
    return Recorder.seen


def given(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 2))
    y = (X[:, 0] + rng.normal(size=N) > 0).astype(int)
    return X, y, rng.random(N) + 0.5, np.arange(N) % 6


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_what_the_estimator_asks_for(asked, ensemble, seen):
    X, y, weight, marks = given()
    with sklearn.config_context(enable_metadata_routing=True):
        inner = Recorder().set_fit_request(sample_weight=asked, marks=True)
        model = CalibratedClassifier(inner, "platt", cv=2, ensemble=ensemble)
        model.fit(X, y, sample_weight=weight, marks=marks)
    assert len(seen) == 2 + (not ensemble)
    for column, weights, marked in seen:
        rows = np.flatnonzero(np.isin(X[:, 0], column))
        np.testing.assert_array_equal(marked, marks[rows])
        assert (weights is not None) == asked
        assert weights is None or np.array_equal(weights, weight[rows])


def test_weights_of_the_calibrator_are_not_asked_for(seen):
    X, y, weight, _ = given()
    plain = CalibratedClassifier(Recorder(), "platt", cv=2).fit(X, y, weight)
    with sklearn.config_context(enable_metadata_routing=True):
        inner = Recorder().set_fit_request(sample_weight=False)
        routed = CalibratedClassifier(inner, "platt", cv=2).fit(X, y, weight)
    np.testing.assert_array_equal(plain.predict_proba(X), routed.predict_proba(X))
    assert not np.array_equal(
        plain.predict_proba(X), CalibratedClassifier(Recorder(), "platt", cv=2).fit(X, y).predict_proba(X)
    )


def test_groups_go_to_the_splitter(seen):
    X, y, _, groups = given()
    with sklearn.config_context(enable_metadata_routing=True):
        CalibratedClassifier(Recorder(), "platt", cv=GroupKFold(3)).fit(X, y, groups=groups)
    assert len(seen) == 3
    for column, _, _ in seen:
        inside = np.isin(X[:, 0], column)
        assert not set(groups[inside]) & set(groups[~inside])


def test_what_nobody_asked_about_raises():
    X, y, weight, groups = given()
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError):
            CalibratedClassifier(Recorder(), "platt", cv=2).fit(X, y, sample_weight=weight)
        with pytest.raises(TypeError, match="groups"):
            CalibratedClassifier(Recorder(), "platt", cv=2).fit(X, y, groups=groups)


def test_without_routing_the_estimator_has_the_rest(seen):
    X, y, weight, marks = given()
    CalibratedClassifier(Recorder(), "platt", cv=2).fit(X, y, weight, marks=marks)
    assert all(marked is not None and weights is not None for _, weights, marked in seen)


def test_it_routes_as_scikit_learns_does():
    X, y, weight, _ = given()
    with sklearn.config_context(enable_metadata_routing=True):
        inner = LogisticRegression().set_fit_request(sample_weight=True)
        ours, theirs = (
            kind(inner, cv=2).set_fit_request(sample_weight=True)
            for kind in (CalibratedClassifier, CalibratedClassifierCV)
        )
        shown = [get_routing_for_object(one)._serialize() for one in (ours, theirs)]
        for one in shown:
            one["$self_request"].pop("score", None)
        assert shown[0].keys() == shown[1].keys()
        assert shown[0]["estimator"] == shown[1]["estimator"]
        accuracy = get_scorer("accuracy").set_score_request(sample_weight=False)
        found = cross_validate(ours, X, y, cv=2, params={"sample_weight": weight}, scoring=accuracy)
    assert np.isfinite(found["test_score"]).all()
