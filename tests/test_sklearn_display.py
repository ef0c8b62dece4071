"""CalibrationDisplay: scikit-learn's, with what its users miss."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn", minversion="1.8")
import matplotlib.pyplot as plt
from sklearn.calibration import CalibrationDisplay as Theirs
from sklearn.linear_model import LogisticRegression

from fastcal.integrations import sklearn as integration
from fastcal.integrations.sklearn import CalibrationDisplay

N = 200 if JIT else 50


@pytest.fixture(autouse=True)
def without_a_screen():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def given(n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 3))
    y = (X @ rng.normal(size=(3, n_classes)) + rng.gumbel(size=(N, n_classes))).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return LogisticRegression().fit(X, y), X, y


def same_as_theirs(ours, theirs):
    for name in ("prob_true", "prob_pred", "y_prob"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12)
    assert (ours.estimator_name, ours.pos_label) == (theirs.estimator_name, theirs.pos_label)
    for axis in ("x", "y"):
        np.testing.assert_allclose(getattr(ours.line_, f"get_{axis}data")(), getattr(theirs.line_, f"get_{axis}data")())
    for what in ("get_xlabel", "get_ylabel", "get_legend_handles_labels"):
        mine, other = (getattr(one.ax_, what)() for one in (ours, theirs))
        assert mine[1:] == other[1:] if isinstance(mine, tuple) else mine == other
    assert ours.line_.get_marker() == theirs.line_.get_marker()
    assert ours.figure_ is ours.ax_.figure


@pytest.mark.parametrize(("strategy", "pos_label"), [("uniform", None), ("quantile", 1), ("quantile", 0)])
def test_it_is_scikit_learns(strategy, pos_label):
    model, X, y = given()
    options = {"n_bins": 7, "strategy": strategy, "pos_label": pos_label}
    assert issubclass(CalibrationDisplay, Theirs)
    same_as_theirs(*(one.from_estimator(model, X, y, **options) for one in (CalibrationDisplay, Theirs)))
    p = model.predict_proba(X)[:, 0 if pos_label == 0 else 1]
    options |= {"name": "it", "ref_line": False}
    ours, theirs = (one.from_predictions(y, p, **options, marker="o") for one in (CalibrationDisplay, Theirs))
    same_as_theirs(ours, theirs)
    assert ours.line_.get_marker() == "o"


def test_signatures_begin_with_scikit_learns():
    for name in ("__init__", "plot", "from_estimator", "from_predictions"):
        ours, theirs = (inspect.signature(getattr(one, name)).parameters for one in (CalibrationDisplay, Theirs))
        assert {key: (p.default, p.kind) for key, p in ours.items() if key in theirs} == {
            key: (p.default, p.kind) for key, p in theirs.items()
        }


def test_intervals_and_histogram():
    model, X, y = given()
    shown = CalibrationDisplay.from_estimator(model, X, y)
    curve = fc.reliability_curve(y, model.predict_proba(X)[:, 1], n_bins=5)
    np.testing.assert_array_equal(shown.curve.lower, curve.lower)
    ends = np.array([path.vertices[:, 1] for path in shown.intervals_.get_paths()])
    np.testing.assert_allclose(ends, np.stack([curve.lower, curve.upper], axis=1)[curve.count > 0])
    bars = [bar.get_height() for bar in shown.histogram_ax_.patches]
    np.testing.assert_allclose(bars, curve.count / N)
    shown.figure_.canvas.draw()

    bare = CalibrationDisplay.from_estimator(model, X, y, intervals=False, histogram=False)
    assert bare.intervals_ is None
    assert bare.histogram_ax_ is None


def test_several_on_the_same_axes():
    model, X, y = given()
    first = CalibrationDisplay.from_estimator(model, X, y, name="one", histogram=False)
    second = CalibrationDisplay.from_predictions(y, model.predict_proba(X)[:, 1], name="two", ax=first.ax_)
    assert second.ax_ is first.ax_
    assert second.histogram_ax_ is None
    assert first.ax_.get_legend_handles_labels()[1] == ["Perfectly calibrated", "one", "two"]
    again = second.plot(ax=first.ax_, histogram=True, name="three")
    assert again is second
    assert again.histogram_ax_ is not None


def test_weights():
    model, X, y = given()
    weight = np.random.default_rng(1).integers(1, 5, N)
    p = model.predict_proba(X)[:, 1]
    shown = CalibrationDisplay.from_estimator(model, X, y, sample_weight=weight)
    repeated = CalibrationDisplay.from_predictions(np.repeat(y, weight), np.repeat(p, weight))
    np.testing.assert_allclose(shown.prob_true, repeated.prob_true, rtol=1e-12)
    np.testing.assert_allclose(shown.prob_pred, repeated.prob_pred, rtol=1e-12)


def test_more_than_two_classes():
    model, X, places = given(3)
    names = np.array(["ant", "bee", "cat"])
    model, y = LogisticRegression().fit(X, names[places]), names[places]
    p = model.predict_proba(X)
    top = CalibrationDisplay.from_estimator(model, X, y, target="top-label", n_bins=10)
    curve = fc.reliability_curve(places, p, n_bins=10)
    np.testing.assert_array_equal(top.prob_true, curve.accuracy[curve.count > 0])
    assert (top.ax_.get_xlabel(), top.ax_.get_ylabel()) == ("Mean confidence", "Accuracy")
    one = CalibrationDisplay.from_predictions(y, p, target="class-wise", pos_label="bee")
    curve = fc.reliability_curve(places == 1, p[:, 1], n_bins=5)
    np.testing.assert_array_equal(one.prob_true, curve.accuracy[curve.count > 0])
    assert one.ax_.get_xlabel() == "Mean predicted probability (Positive class: bee)"
    turned = CalibrationDisplay.from_predictions(y, p[:, ::-1], target="top-label", labels=["cat", "bee", "ant"])
    np.testing.assert_array_equal(turned.curve.accuracy, fc.reliability_curve(places, p, n_bins=5).accuracy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "The target y is not binary"),
        ({"target": "all"}, "target is 'all'; expected one of positive, class-wise, top-label"),
        ({"target": "top-label", "strategy": "even"}, "strategy is 'even'"),
        ({"target": "top-label", "pos_label": 1}, "target='top-label' takes none"),
        ({"target": "class-wise"}, r"pos_label is None; target='class-wise' needs one of \[0, 1, 2\]"),
        ({"target": "class-wise", "pos_label": 4}, r"pos_label is 4; target='class-wise' needs one of \[0, 1, 2\]"),
        ({"target": "top-label", "labels": [0, 1]}, r"y_prob has shape \(.*, 3\); expected a column for each of 2"),
        ({"target": "top-label", "labels": [0, 1, 3]}, "which the estimator has not seen"),
        ({"target": "top-label", "n_bins": 0}, "n_bins"),
    ],
)
def test_wrong_arguments(options, message):
    model, X, y = given(3)
    with pytest.raises(ValueError, match=message):
        CalibrationDisplay.from_predictions(y, model.predict_proba(X), **options)


def test_values_that_are_no_probabilities():
    with pytest.raises(fc.DataError, match=r"y_prob\[1\] is 1\.5"):
        CalibrationDisplay.from_predictions([0, 1], [0.5, 1.5])
    with pytest.raises(ValueError, match="strategy"):
        CalibrationDisplay.from_predictions([0, 1], [0.5, 0.5], strategy=3)


def test_a_display_of_numbers_alone_is_scikit_learns():
    shown = CalibrationDisplay([0.0, 1.0], [0.1, 0.9], [0.1, 0.9], estimator_name="it").plot()
    assert shown.curve is shown.intervals_ is shown.histogram_ax_ is None


def test_names_of_the_integration():
    for name in integration.__all__:
        assert getattr(integration, name) is not None
    with pytest.raises(AttributeError, match="no_such"):
        integration.no_such  # noqa: B018
