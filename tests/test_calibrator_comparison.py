"""Methods compared by cross-validation: figures by hand, intervals that cover, failures that stop nobody."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal.calibrators import comparing, judging
from fastcal.calibrators.forms import Form
from fastcal.calibrators.held_out import rows_by_class, shuffled
from fastcal.calibrators.methods import METHODS

N = 300 if JIT else 60
FIGURES = ("nll", "brier", "ece", "classwise_ece", "accuracy")


def rows(n=N, n_classes=3, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes))
    return scale * logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def by_hand(calibrator, scores, y, folds, weights=None):
    """Out-of-fold probabilities, one fold after the other."""
    found = np.empty(scores.shape)
    for train, test in folds:
        one = type(calibrator)(**calibrator.get_params())
        found[test] = one.fit(scores[train], y[train], None if weights is None else weights[train]).predict_proba(
            scores[test]
        )
    return found


def of(y, probabilities, weights=None):
    report = fc.Evaluation().update(y, probabilities, sample_weight=weights).compute()
    return {name: report[name] for name in FIGURES}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_figures_and_differences_by_hand(binary, weighted):
    scores, y = rows(n_classes=2 if binary else 3)
    scores = scores[:, 1] - scores[:, 0] if binary else scores
    weights = (np.arange(N) % 4).astype(float) if weighted else None
    folds = [(np.flatnonzero(np.arange(N) % 3 != k), np.flatnonzero(np.arange(N) % 3 == k)) for k in range(3)]
    made = {"one": fc.TemperatureScaling(), "other": fc.TemperatureScaling(bounds=(1.5, 1.6))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        found = fc.cross_validate_calibrators(scores, y, methods=made, cv=folds, sample_weight=weights)
        outs = {name: by_hand(one, scores, y, folds, weights) for name, one in made.items()}
    outs["none"] = 1 / (1 + np.exp(-scores)) if binary else fc.softmax(scores)
    w = np.ones(N) if weights is None else weights
    losses = {}
    for name, p in outs.items():
        assert found[name].figures == pytest.approx(of(y, p, weights), rel=1e-9), name
        of_label = np.where(y == 1, p, 1 - p) if binary else p[np.arange(N), y]
        brier = (1 - of_label) ** 2 if binary else ((p - np.eye(3)[y]) ** 2).sum(axis=1)
        losses[name] = {"nll": -np.log(of_label), "brier": brier}
    for name in made:
        for kind in ("nll", "brier"):
            d = losses[name][kind] - losses["none"][kind]
            mean = (w * d).sum() / w.sum()
            error = math.sqrt((w**2 * (d - mean) ** 2).sum() / (w.sum() ** 2 - (w**2).sum()))
            expected = (mean, mean - 1.959964 * error, mean + 1.959964 * error)
            assert found[name].differences[kind] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found["none"].differences == {}
    assert found.best == found.ranking[0] == min(outs, key=lambda name: found[name].figures["nll"])
    assert (found.n, found.n_classes, found.n_folds, found.level) == (N, 2 if binary else 3, 3, 0.95)


def test_intervals_are_those_of_a_single_evaluation():
    y = np.arange(N) % 3  # half of them predicted right, at confidences of .91 and .79: no gap is in doubt
    scores = np.where(np.arange(N)[:, None] % 5 < 2, 3.0, 2.0) * np.eye(3)[(y + np.arange(N) % 2) % 3]
    found = fc.cross_validate_calibrators(scores, y, methods=["temperature"])["none"]
    expected = fc.Evaluation(from_logits=True).update(y, scores).compute()["intervals"]
    for name in ("nll", "brier", "accuracy"):
        assert found.intervals[name] == pytest.approx(getattr(expected, name), rel=1e-9)
    assert expected.ece_applies
    assert found.intervals["ece"] == pytest.approx(expected.ece, rel=1e-9)
    low, high = found.intervals["classwise_ece"]
    assert 0 <= low < found.figures["classwise_ece"] < high <= 1
    wide = fc.cross_validate_calibrators(scores, y, methods=["temperature"], level=0.999)["none"]
    for name in FIGURES:
        assert wide.intervals[name][0] <= found.intervals[name][0] < found.intervals[name][1] <= wide.intervals[name][1]


def test_the_jackknife_by_hand():
    scores, y = rows(scale=1.1)
    found = fc.cross_validate_calibrators(scores, y, methods=["temperature"], random_state=5)["none"]
    assert not fc.Evaluation(from_logits=True).update(y, scores).compute()["intervals"].ece_applies
    groups = np.array_split(shuffled(N, 5), judging.GROUPS)
    for name in ("ece", "classwise_ece"):
        left = []
        for group in groups:
            kept = np.setdiff1d(np.arange(N), group)
            left.append(of(y[kept], fc.softmax(scores[kept]))[name])
        error = math.sqrt(19 / 20 * ((np.array(left) - np.mean(left)) ** 2).sum())
        half = 2.0930240544 * error  # Student's t of 19 degrees of freedom
        value = found.figures[name]
        assert found.intervals[name] == pytest.approx((max(value - half, 0), value + half), rel=1e-6)


@pytest.mark.skipif(not JIT, reason="many rows")
def test_jackknifed_intervals_hold_the_mean_of_other_rows_figures():
    """Deterministic; of 80 data sets at each of six settings 96 to 100 % did."""
    n, form = 25, Form("logits", "logits", minus_inf=True)
    seen = []
    for seed in range(n):
        table = comparing.table(*rows(n=600, scale=1.3, seed=seed), None, None)
        seen.append(judging.Judge(table, form, seed, 0.95, 1).baseline)
    for name in ("ece", "classwise_ece", "nll"):
        mean = np.mean([one.figures[name] for one in seen])
        held = sum(one.intervals[name][0] <= mean <= one.intervals[name][1] for one in seen)
        assert held >= 0.88 * n, name


@given(st.integers(2, 6), st.integers(0, 3), st.lists(st.integers(0, 2), min_size=6, max_size=40))
def test_folds_hold_each_row_once_and_each_class_evenly(n_folds, seed, labels):
    labels = np.array(labels)
    table = comparing.table(np.zeros((len(labels), 3)), labels, None, None)
    folds = comparing._folds(table, n_folds, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(labels)))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1
    for k in range(3):
        of_class = [(labels[test] == k).sum() for _, test in folds]
        assert max(of_class) - min(of_class) <= 1
    for train, test in folds:
        np.testing.assert_array_equal(np.union1d(train, test), np.arange(len(labels)))
        assert not np.intersect1d(train, test).size
    assert (labels[rows_by_class(labels, seed)] == np.sort(labels)).all()


@pytest.mark.skipif(not JIT, reason="every method is fitted")
@pytest.mark.filterwarnings("error")
def test_every_method_is_compared():
    scores, y = rows(n=200)
    found = fc.cross_validate_calibrators(scores, y, cv=2)
    assert sorted(found.ranking) == sorted([*METHODS, "none"])
    for result in found.results:
        assert result.error is None, result.error
        for name in FIGURES:
            low, high = result.intervals[name]
            assert not low > result.figures[name]
            assert not high < result.figures[name]
    some = ["temperature", "isotonic", "histogram"]
    probs = fc.cross_validate_calibrators(fc.softmax(scores), y, cv=2, input="probs", methods=some)
    for name in ("none", *some):
        assert probs[name].figures == pytest.approx(found[name].figures, rel=1e-6)
    again = fc.cross_validate_calibrators(scores, y, cv=2, n_threads=1, methods=some)
    for name in ("none", *some):
        assert again[name].figures == found[name].figures
    texts = {"classes": ["x", "y", "z"], "methods": some}
    named = fc.cross_validate_calibrators(scores, np.array(["x", "y", "z"])[y], cv=2, **texts)
    assert [one.figures for one in named.results] == [found[name].figures for name in named.ranking]


def test_matrices_are_not_tried_unasked_where_they_have_too_many_parameters():
    few = comparing._chosen(None, "logits", 100, None)
    many = comparing._chosen(None, "logits", 101, None)
    assert set(few) - set(many) == {"matrix", "dirichlet"}
    assert list(comparing._chosen(["matrix"], "logits", 101, None)) == ["matrix"]
    assert comparing._chosen(["vector"], "probs", 3, 2)["vector"].get_params()["clip"] == 2**-25
    mixed = comparing._chosen([fc.TemperatureScaling(), "platt"], "logits", 3, None)
    assert list(mixed) == ["temperature", "platt"]
    assert list(comparing._chosen("platt", "logits", 3, None)) == ["platt"]


class Breaks(fc.TemperatureScaling):
    """Fits the first fold, warns in the second, and breaks in the third."""

    n_fits = 0

    def _estimate(self, rows):
        type(self).n_fits += 1
        if type(self).n_fits == 2:
            warnings.warn("something\nelse", UserWarning, stacklevel=1)
            fc.calibrators.base.warn("it ends on a bound")
        if type(self).n_fits == 3:
            fc.calibrators.base.warn("it breaks")
            raise ZeroDivisionError("two\nlines")
        return super()._estimate(rows)


def test_a_method_that_warns_or_breaks_says_so_and_stops_nobody():
    scores, y = rows()
    Breaks.n_fits = 0
    methods = {
        "breaks": Breaks(),
        "temperature": fc.TemperatureScaling(),
        "tight": fc.TemperatureScaling(bounds=(5, 6)),
    }
    with pytest.warns(UserWarning, match="something"):
        found = fc.cross_validate_calibrators(scores, y, methods=methods, cv=4)
    assert found.ranking[-1] == "breaks"
    assert found["breaks"].error == "fold 2: ZeroDivisionError: two lines"
    assert found["breaks"].warnings == ("fold 1: it ends on a bound", "fold 2: it breaks")
    assert (found["breaks"].figures, found["breaks"].differences) == ({}, {})
    assert len(found["tight"].warnings) == 4
    assert found["tight"].warnings[0].startswith("fold 0: ")
    assert found["temperature"].error is None
    assert "failed: fold 2: ZeroDivisionError" in str(found)
    assert "(4 warnings)" in str(found)
    assert not hasattr(methods["temperature"], "temperature_")


class Nothing(fc.TemperatureScaling):
    """Gives no probabilities."""

    def _applier(self):
        return lambda _, out: out.fill(np.nan)


def test_a_method_of_no_probabilities_stops_nobody():
    found = fc.cross_validate_calibrators(*rows(), methods={"nothing": Nothing(), "temperature": "temperature"}, cv=2)
    assert found["nothing"].error.startswith("DataError: ")
    assert found["temperature"].error is None


def test_sure_logits_have_the_nll_that_they_have():
    """Beyond 37 a probability is 1, beyond 745 that of another class 0; the loss is neither infinite nor rounded."""
    scores, y = rows(n_classes=2)
    scores[:2], y[:2] = [[0, 50], [-900, 0]], 0
    pairs = fc.cross_validate_calibrators(scores, y, methods="platt", cv=2)["none"]
    expected = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(N), y]
    assert pairs.figures["nll"] == pytest.approx(expected.mean(), rel=1e-12)
    found = fc.cross_validate_calibrators(scores[:, 1] - scores[:, 0], y, methods="temperature", cv=2)
    assert found["none"].figures["nll"] == pytest.approx(expected.mean(), rel=1e-12)
    difference = found["temperature"].figures["nll"] - found["none"].figures["nll"]
    assert found["temperature"].differences["nll"][0] == pytest.approx(difference, rel=1e-9)


def test_infinite_nll_has_no_interval_and_is_ranked_last():
    scores, y = rows()
    p = fc.softmax(scores)
    p[0] = np.eye(3)[(y[0] + 1) % 3]
    found = fc.cross_validate_calibrators(p, y, methods=["isotonic", "temperature", "venn-abers"], input="probs", cv=3)
    assert found["none"].figures["nll"] == math.inf
    assert found["venn-abers"].differences["nll"][0] == -math.inf
    assert np.isnan(found["venn-abers"].differences["nll"][1:]).all()
    assert math.isfinite(found["venn-abers"].differences["brier"][1])
    assert found.best == "venn-abers"
    assert json.loads(json.dumps(found.to_dict()))["best"] == "venn-abers"


def test_table():
    scores, y = rows()
    lines = str(fc.cross_validate_calibrators(scores, y, methods=["temperature"], cv=3)).splitlines()
    assert lines[0] == f"{N} rows, 3 classes, 3 folds; nll less that of none, 95 %"
    assert lines[1].split() == ["nll", "brier", "ece", "classwise_ece", "accuracy", "difference"]
    assert {line.split()[0] for line in lines[2:]} == {"none", "temperature"}
    assert len({line.index(".") for line in lines[2:]}) == 1


def test_splitters_and_folds_that_leave_rows_out():
    scores, y = rows()

    class Last:
        def split(self, X, y):
            assert X.shape == (N, 1)
            return iter([(range(N - 20), np.arange(N) >= N - 20)])

    found = fc.cross_validate_calibrators(scores, y, methods=["temperature"], cv=Last())
    fitted = fc.TemperatureScaling().fit(scores[:-20], y[:-20])
    assert found.n == 20
    assert found["temperature"].figures == pytest.approx(of(y[-20:], fitted.predict_proba(scores[-20:])))


def test_few_rows_and_a_missing_class():
    scores, y = rows(n=40)
    found = fc.cross_validate_calibrators(scores[:4], [0, 0, 1, 1], methods=["histogram"], cv=2)
    assert found.n == 4
    one = fc.cross_validate_calibrators(scores, y, methods=["temperature"], cv=[(range(1, 40), [0])])
    assert np.isnan(one["none"].intervals["ece"]).all()
    assert one["none"].figures["accuracy"] in (0.0, 1.0)
    few = y < 2
    assert fc.cross_validate_calibrators(scores[few], y[few], methods=["isotonic"], cv=2)["isotonic"].error is None


SCORES, LABELS = rows(n=30)
BAD = {
    "one fold": ({"cv": 1}, ValueError, "cv is 1; expected 2 to 30 folds, of 30 rows"),
    "too many folds": ({"cv": 31}, ValueError, "cv is 31; expected 2 to 30"),
    "folds of text": ({"cv": "five"}, ValueError, "cv "),
    "no folds": ({"cv": []}, ValueError, "expected a number of folds, a splitter, or pairs"),
    "no two": ({"cv": [([0], [1], [2])]}, ValueError, "expected a number of folds, a splitter, or pairs"),
    "no pairs": ({"cv": 2.5}, ValueError, "cv is 2.5; expected a number of folds"),
    "a row twice": ({"cv": [([0], [1]), ([0], [1])]}, ValueError, "cv tests a row twice"),
    "a row of its own fit": ({"cv": [([0, 1], [1, 2])]}, ValueError, "tests rows which it fits"),
    "nothing to fit": ({"cv": [([], [1, 2])]}, ValueError, "has a fold without rows"),
    "beyond": ({"cv": [([0], [30])]}, ValueError, "indices that are none of 30 rows"),
    "halves": ({"cv": [([0], [1.5])]}, ValueError, "indices that are none of 30 rows"),
    "level": ({"level": 1.0}, ValueError, "level is 1.0"),
    "seed": ({"random_state": -1}, ValueError, "random_state is -1; expected an integer from 0 up"),
    "no method": ({"methods": []}, ValueError, r"methods is \[\]; expected at least one"),
    "an unknown method": (
        {"methods": ["sigmoid"]},
        ValueError,
        "method is 'sigmoid'; expected a calibrator, or one of",
    ),
    "a number": ({"methods": [3]}, TypeError, "methods has a int; expected calibrators, or names"),
    "one twice": ({"methods": ["platt", fc.PlattScaling()]}, ValueError, "methods has 'platt' twice"),
    "none": ({"methods": {"none": "platt"}}, ValueError, "methods has 'none' twice; name them apart"),
    "a bad parameter": ({"methods": [fc.TemperatureScaling(bounds=3)]}, (TypeError, ValueError), "bounds"),
    "input": ({"input": "odds"}, ValueError, "input is 'odds'; expected"),
    "classes": ({"classes": [0, 1]}, ValueError, "y_true.*|classes has 2 labels, scores have 3 classes"),
    "threads": ({"n_threads": 0}, ValueError, "n_threads is 0"),
    "probabilities": ({"input": "probs"}, ValueError, r"scores\[0, .\] is .*; probabilities lie in \[0, 1\]"),
    "no weight": ({"sample_weight": np.zeros(30)}, ValueError, "sample_weight is 0 in every row"),
    "weights": ({"sample_weight": np.r_[np.ones(29), np.nan]}, ValueError, r"sample_weight\[29\] is nan; a weight is"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_compared(name):
    options, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        fc.cross_validate_calibrators(SCORES, LABELS, **{"methods": ["temperature"], **options})


def test_scores_that_cannot_be_compared():
    bad = SCORES.copy()
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"scores\[4, 1\] is nan"):
        fc.cross_validate_calibrators(bad, LABELS)
    with pytest.raises(ValueError, match="scores is empty"):
        fc.cross_validate_calibrators(bad[:0], LABELS[:0])
    with pytest.raises(ValueError, match=r"y_true\[0\] is 7; labels are"):
        fc.cross_validate_calibrators(SCORES, LABELS + 7)
    with pytest.raises(KeyError, match="platt"):
        fc.cross_validate_calibrators(SCORES, LABELS, methods=["temperature"], cv=2)["platt"]


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    Breaks.n_fits = 2
    scores, y = rows()
    p = fc.softmax(scores)
    p[0] = np.eye(3)[(y[0] + 1) % 3]
    methods = {"temperature": fc.TemperatureScaling(input="probs"), "venn-abers": fc.VennAbers(), "breaks": Breaks()}
    found = fc.cross_validate_calibrators(p, y, methods=methods, input="probs", cv=3)
    axes = found.plot()
    assert [ax.get_xlabel() for ax in axes] == ["nll", "ece"]
    names = [text.get_text() for text in axes[0].get_yticklabels()]
    assert names == [result.name for result in found.results if result.error is None]
    assert "breaks" not in names
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1]
    assert "inf" in [text.get_text() for text in axes[0].texts]
    points = [line.get_xdata()[0] for line in axes[1].get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(points, [found[name].figures["ece"] for name in names])
    ax = plt.subplots()[1]
    assert found.plot("brier", ax) == [ax]
    with pytest.raises(ValueError, match="names is 'auroc'; expected some of nll"):
        found.plot("auroc")
    with pytest.raises(ValueError, match=r"names is \(\); expected"):
        found.plot(())
    with pytest.raises(ValueError, match="axes are 1, for 2 figures"):
        found.plot(axes=ax)
    with pytest.raises(TypeError, match="axes holds what is no matplotlib Axes"):
        found.plot("nll", axes=3)
    for figure in plt.get_fignums():
        plt.figure(figure).canvas.draw()
    plt.close("all")
