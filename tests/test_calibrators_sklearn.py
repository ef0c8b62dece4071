"""scikit-learn's protocol: its own checks, clone, pipelines, searches.

The checks bring rows of any number of features. A calibrator takes one column a class: :class:`Columns` makes them, as
minus half the squared distance to each class's mean, which is the logit of equal spheres, and their softmax for methods
that take probabilities. It checks what every classifier has to check of X and y; labels go to the calibrator, which
fits and predicts, as they come.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from unittest import SkipTest

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal import FitWarning, HistogramBinning, TemperatureScaling
from fastcal.calibrators import held_out
from fastcal.calibrators.methods import CLASSES, METHODS, class_of, for_scores
from fastcal.calibrators.rows import table

pytest.importorskip("sklearn", minversion="1.8")
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data


class Columns(ClassifierMixin, BaseEstimator):
    """A calibrator of one column a class, made of any columns."""

    def __init__(self, method="temperature"):
        self.method = method

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if not weights.any():
            raise ValueError("sample_weight is all zero: no row is left")
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError("a classifier needs two classes; got 1 class")
        of_class = [weights * (y == label) for label in self.classes_]
        self.means_ = np.array([w @ X / max(w.sum(), 1e-100) for w in of_class])
        self.calibrator_ = for_scores(self.method, self._input())
        self.calibrator_.set_params(classes=self.classes_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            self.calibrator_.fit(self._scores(X), y, None if sample_weight is None else weights)
        return self

    def _input(self):
        return "logits" if for_scores(self.method, "logits").default_input == "logits" else "probs"

    def _scores(self, X):
        logits = -((X[:, None, :].astype(np.float64) - self.means_) ** 2).sum(axis=2) / 2
        if self._input() == "logits":
            return logits
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict_proba(self, X):
        check_is_fitted(self)
        return self.calibrator_.predict_proba(self._scores(validate_data(self, X, reset=False)))

    def predict(self, X):
        check_is_fitted(self)
        return self.calibrator_.predict(self._scores(validate_data(self, X, reset=False)))


# name of a check -> why it fails, of each method
SEPARABLE = {
    "check_sample_weight_equivalence_on_dense_data": "its 15 rows can be told apart, so that no fit of finite weights "
    "has the least NLL; where ours stop differs by 1e-6, and the check allows 1e-7"
}
EXPECTED = dict.fromkeys(["vector", "matrix", "dirichlet", "beta"], SEPARABLE)
# One that takes logits, one that is fitted by steps to logarithms, one of binned columns: all checks of these.
METHODS_CHECKED = ["temperature", "beta", "isotonic"] if JIT else ["temperature"]
# Of the others those that depend on more than what all share; the rest look at X and y, which Columns does.
OF_METHODS = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weights_not_overwritten",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_train",
    "check_classifiers_classes",
    "check_methods_subset_invariance",
    "check_methods_sample_order_invariance",
    "check_fit_idempotent",
    "check_fit2d_1sample",
    "check_fit2d_1feature",
    "check_estimators_pickle",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_parameters_default_constructible",
}


def expected(estimator):
    return EXPECTED.get(estimator.method, {})


@parametrize_with_checks(
    [Columns(method) for method in METHODS_CHECKED], expected_failed_checks=expected, xfail_strict=False
)
def test_checks_of_scikit_learn(estimator, check):
    with suppress(SkipTest):  # of checks that need pandas, or an array API that scipy was not told of
        check(estimator)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in METHODS_CHECKED] if JIT else [])
def test_checks_of_scikit_learn_that_depend_on_the_method(method):
    wanted = OF_METHODS - EXPECTED.get(method, {}).keys()
    done = set()
    for estimator, check in estimator_checks_generator(Columns(method)):
        if check.func.__name__ in wanted:
            check(estimator)
            done.add(check.func.__name__)
    assert done == wanted


def rows(n=60, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes))
    return 2 * logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("name", CLASSES)
def test_clone_and_parameters(name):
    made = class_of(name)(classes=["a", "b", "c"], n_threads=1)
    again = clone(made)
    assert type(again) is type(made)
    assert again.get_params() == made.get_params() == made.get_params(deep=False)
    assert made.set_params(n_threads=2) is made
    assert made.n_threads == 2
    assert again.n_threads == 1
    assert repr(made) == f"{name}(classes=['a', 'b', 'c'], n_threads=2)"
    assert is_classifier(made)
    with pytest.raises(ValueError, match=f"'nope' is no parameter of {name}; it has"):
        made.set_params(nope=1)
    tags = made.__sklearn_tags__()
    assert (tags.estimator_type, tags.target_tags.required, tags.input_tags.sparse) == ("classifier", True, False)
    with pytest.raises(NotFittedError, match=f"this {name} is not fitted yet"):
        made.predict_proba([[0.0, 1.0, 2.0]])
    with pytest.raises(NotFittedError):
        check_is_fitted(made)


def test_in_a_pipeline_in_a_search_and_out_of_fold():
    scores, y = rows()
    pipeline = make_pipeline(FunctionTransformer(lambda X: X / 2), TemperatureScaling()).fit(scores, y)
    assert pipeline.predict_proba(scores).shape == scores.shape
    assert pipeline.score(scores, y) == TemperatureScaling().fit(scores, y).score(scores, y)
    search = GridSearchCV(TemperatureScaling(), {"bounds": [(0.5, 0.51), (1e-3, 1e3)]}, scoring="neg_log_loss", cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # on the narrow bounds
        search.fit(scores, y)
    assert search.best_params_ == {"bounds": (1e-3, 1e3)}
    found = cross_val_predict(TemperatureScaling(), scores, y, cv=3, method="predict_proba")
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_accuracy_with_weights_and_labels_of_text():
    scores, y = rows()
    labels = np.array(["no", "perhaps", "yes"])
    made = TemperatureScaling(classes=labels).fit(scores, labels[y])
    assert made.predict(scores).dtype.kind == "U"
    right = labels[y] == made.predict(scores)
    assert made.score(scores, labels[y]) == right.mean()
    weights = np.arange(60.0)
    assert made.score(scores, labels[y], weights) == pytest.approx(weights @ right / weights.sum())
    objects = TemperatureScaling(classes=labels.astype(object)).fit(scores, labels[y].astype(object))
    assert objects.temperature_ == made.temperature_
    with pytest.raises(ValueError, match="leaves no row to score"):
        made.score(scores, labels[y], 0 * weights)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"sample_weight\[3\] is .*; a weight is"):
            made.score(scores, labels[y], np.r_[1, 1, 1, wrong, weights[4:]])
    labels[0] = "changed"
    assert made.classes_.tolist() == ["no", "perhaps", "yes"]
    labels[0] = "no"
    with pytest.raises(ValueError, match=r"y_true\[0\] is maybe; labels are no, perhaps, yes"):
        made.score(scores[:1], ["maybe"])


class Sparse:
    """As scipy's matrices, to what asks how they are stored."""

    def tocsr(self):
        return self


def test_sparse_scores_are_refused():
    scores, y = rows()
    for call in (
        lambda: TemperatureScaling().fit(Sparse(), y),
        lambda: TemperatureScaling().fit(scores, y).score(Sparse(), y),
    ):
        with pytest.raises(TypeError, match="scores is a sparse matrix; expected an array"):
            call()


# --- rows held out ----------------------------------------------------------------------------------------------------


def by_hand(probabilities, y):
    report = fc.Evaluation().update(y, probabilities).compute()
    return {name: report[name] for name in ("n", "accuracy", "nll", "brier", "ece", "classwise_ece")}


@pytest.mark.parametrize("binary", [False, True])
def test_figures_of_rows_held_out(binary):
    scores, y = rows(400, 2 if binary else 3)
    scores = scores[:, 1] - scores[:, 0] if binary else scores
    fitted = TemperatureScaling().fit(scores[:300], y[:300], held_out=(scores[300:], y[300:]))
    assert fitted.temperature_ == TemperatureScaling().fit(scores[:300], y[:300]).temperature_
    before = 1 / (1 + np.exp(-scores)) if binary else fc.softmax(scores)
    assert fitted.figures_["before"] == pytest.approx(by_hand(before[300:], y[300:]), rel=1e-12)
    assert fitted.figures_["after"] == pytest.approx(by_hand(fitted.predict_proba(scores[300:]), y[300:]), rel=1e-12)
    batches = TemperatureScaling().fit_batches([(scores[:300], y[:300])], held_out=[scores[300:], y[300:]])
    assert batches.figures_ == fitted.figures_
    assert TemperatureScaling().fit(scores, y).figures_ is None


def test_a_fraction_is_held_out_of_every_class_and_not_fitted():
    scores, y = rows(401)
    fitted = TemperatureScaling().fit(scores, y, held_out=0.25)
    assert (fitted.figures_["before"]["n"], fitted.n_rows_) == (100, 301)
    assert TemperatureScaling(n_threads=1).fit(scores, y, held_out=0.25).figures_ == fitted.figures_
    held = rows_held_out(scores, y, 0.25)
    for k in range(3):
        assert abs((y[held] == k).sum() - 0.25 * (y == k).sum()) < 1
    rest = TemperatureScaling().fit(scores[~held], y[~held], held_out=(scores[held], y[held]))
    assert (rest.figures_, rest.temperature_) == (fitted.figures_, fitted.temperature_)


def rows_held_out(scores, y, share):
    """Where :meth:`fit` holds them out: numbers of rows as weights say which they are."""
    _, held = held_out.set_aside(table(scores, y, 1.0 + np.arange(len(y)), None), share, None)
    chosen = np.zeros(len(y), bool)
    chosen[held.weights.astype(int) - 1] = True
    return chosen


def test_the_rows_that_are_held_out_stay_the_same_for_ever():
    assert np.flatnonzero(rows_held_out(np.zeros((12, 3)), np.arange(12) % 3, 0.25)).tolist() == [2, 6, 10]
    assert held_out.shuffled(8, 1).tolist() == [0, 2, 4, 6, 3, 5, 7, 1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_half_floats_and_probabilities_held_out(dtype):
    scores, y = rows(300)
    p = fc.softmax(scores).astype(dtype)
    after = HistogramBinning().fit(p, y, held_out=0.5).figures_["after"]
    assert after["nll"] > 0
    before = HistogramBinning().fit(p, y, held_out=0.5).figures_["before"]
    exact = HistogramBinning().fit(fc.softmax(scores), y, held_out=0.5).figures_["before"]
    assert before["nll"] == pytest.approx(exact["nll"], rel=1e-3)


def test_half_floats_beyond_1_by_their_rounding():
    p = np.array([[1.001, -0.0005, 0], [0.2, 0.3, 0.5], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]], np.float16)
    y = np.array([0, 1, 2, 2])
    for given, labels in ((p, y), (p[:, 0], (y == 0).astype(int))):
        before = HistogramBinning().fit(given, labels, held_out=(given, labels)).figures_["before"]
        found = fc.cross_validate_calibrators(given, labels, input="probs", methods="histogram", cv=2)
        assert found["none"].figures["nll"] == pytest.approx(before["nll"], rel=1e-6)


BAD = {
    "true": (True, ValueError, "held_out is True; expected a fraction"),
    "none of them": (0.001, ValueError, "held_out is 0.001, which of 60 rows is 0"),
    "one": (1.0, ValueError, "held_out is 1.0; expected a fraction"),
    "text": ("0.2", ValueError, "held_out is '0.2'; expected"),
    "one array": (([[1.0, 2.0, 3.0]],), TypeError, "held_out is a tuple; expected"),
    "no rows": ((np.ones((0, 3)), []), ValueError, "held-out scores is empty"),
    "two columns": ((np.ones((1, 2)), [0]), ValueError, "held-out scores has 2 columns, the rows to fit 3"),
    "a bad label": ((np.ones((2, 3)), [0, 3]), ValueError, r"held-out y_true\[1\] is 3; labels are integers 0 to 2"),
    "a NaN": (([[1, 2, 3], [1, np.nan, 3]], [0, 1]), ValueError, r"held-out scores\[1, 1\] is nan"),
    "no weight": ((np.ones((2, 3)), [0, 1], [0, 0]), ValueError, "held-out sample_weight is 0 in every row"),
    "a weight": ((np.ones((2, 3)), [0, 1], [1, -1]), ValueError, r"held-out sample_weight\[1\] is -1.0; a weight is"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_held_out(name):
    given, kind, message = BAD[name]
    scores, y = rows()
    fitted = TemperatureScaling().fit(scores, y)
    before = dict(vars(fitted))
    with pytest.raises(kind, match=message):
        fitted.fit(scores, y, held_out=given)
    assert vars(fitted) == before


def test_batches_hold_out_no_fraction():
    scores, y = rows()
    with pytest.raises(TypeError, match="held_out is a float; expected"):
        TemperatureScaling().fit_batches([(scores, y)], held_out=0.2)
