"""Rankings: laws, ties, weights, degenerate and bad input."""

from __future__ import annotations

import numpy as np
import oracle_ordered
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture

import fastcal as fc
from fastcal import kernels

pytestmark = pytest.mark.usefixtures("cut_up")
FIGURES = (fc.auroc, fc.average_precision, fc.fpr_at_tpr)


@st.composite
def ranked(draw):
    """Labels of both classes, scores with ties, weights or none."""
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(n) * 3
    if draw(st.booleans()):
        x = np.round(x)
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    w = draw(st.sampled_from([None, rng.integers(1, 4, n), rng.random(n) + 0.01]))
    return y, x.astype(draw(st.sampled_from([np.float32, np.float64]))), w


@pytest.mark.parametrize("figure", FIGURES)
@given(ranked())
def test_figures_equal_their_definitions(figure, rows):
    y, x, w = rows
    expected = getattr(oracle_ordered, figure.__name__)(y, x, sample_weight=w)
    assert figure(y, x, sample_weight=w) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("curve", [fc.roc_curve, fc.precision_recall_curve])
@given(ranked(), st.booleans())
def test_curves_equal_scikit_learns(curve, rows, drop):
    metrics = pytest.importorskip("sklearn.metrics")
    y, x, w = rows
    ours = curve(y, x, sample_weight=w, drop_intermediate=drop)
    theirs = getattr(metrics, curve.__name__)(y, x, sample_weight=w, drop_intermediate=drop)
    if w is not None and w.dtype.kind == "f" and drop:
        return  # which points lie on a line hangs on rounding
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@given(ranked(), st.integers(0, 99))
def test_order_of_rows_and_strictly_rising_maps_change_nothing(rows, seed):
    y, x, w = rows
    order = np.random.default_rng(seed).permutation(len(x))
    for figure in FIGURES:
        one = figure(y, x, sample_weight=w)
        other = figure(y[order], x[order], sample_weight=None if w is None else w[order])
        assert one == other if w is None else one == pytest.approx(other, rel=1e-12)
        assert figure(y, x * 4, sample_weight=w) == one


@given(ranked())
def test_turning_scores_over_turns_auroc_over(rows):
    y, x, w = rows
    assert fc.auroc(y, -x, sample_weight=w) == pytest.approx(1 - fc.auroc(y, x, sample_weight=w), abs=1e-12)
    assert fc.auroc(1 - y, -x, sample_weight=w) == pytest.approx(fc.auroc(y, x, sample_weight=w), abs=1e-12)
    assert fc.auroc(y, np.zeros(len(x)), sample_weight=w) == pytest.approx(0.5, abs=1e-12)


@given(ranked())
def test_integer_weights_are_rows_repeated(rows):
    y, x, _ = rows
    w = np.arange(len(x)) % 3 + 1
    for figure in FIGURES:
        assert figure(y, x, sample_weight=w) == pytest.approx(figure(np.repeat(y, w), np.repeat(x, w)), rel=1e-12)


@pytest.mark.parametrize("tpr", [0.05, 0.5, 0.9, 0.95, 1.0, np.float32(0.5), 1])
def test_fpr_at_any_tpr(tpr):
    rng = np.random.default_rng(0)
    y, x = np.arange(200) % 2, np.round(rng.random(200), 2)
    assert fc.fpr_at_tpr(y, x, tpr=tpr) == oracle_ordered.fpr_at_tpr(y, x, tpr=float(tpr))


@given(ranked(), st.floats(1e-3, 1e3), st.sampled_from([0.1, 0.5, 0.9, 0.95, 1.0]))
def test_equal_weights_change_nothing(rows, weight, tpr):
    """Whatever rounding makes of their sums."""
    y, x, _ = rows
    w = np.full(len(x), weight)
    assert fc.fpr_at_tpr(y, x, tpr=tpr, sample_weight=w) == pytest.approx(fc.fpr_at_tpr(y, x, tpr=tpr), rel=1e-12)
    assert fc.auroc(y, x, sample_weight=w) == pytest.approx(fc.auroc(y, x), rel=1e-12)
    assert fc.auroc(y, x, sample_weight=w) <= 1


def test_what_is_out_of_reach_is_reached_by_all_rows():
    weights = np.ones(3)
    assert kernels.ranking.reach(weights, weights, 3.1) == 3


def test_thresholds_have_the_dtype_of_the_scores():
    for dtype in (np.float32, np.float64):
        x = np.array([0.1, 0.4, 0.35, 0.8], dtype)
        assert fc.roc_curve([0, 0, 1, 1], x).thresholds.dtype == dtype
        thresholds = fc.precision_recall_curve([0, 0, 1, 1], x).thresholds
        assert thresholds.dtype == dtype
        assert set(thresholds) == set(x)


NAN = float("nan")
BAD = [
    (([0, 1], [0.1, NAN]), r"score\[1\] is nan"),
    (([0, 2], [0.1, 0.2]), r"y_true\[1\] is 2; labels are 0 or 1"),
    (([-1, 1], [0.1, 0.2]), r"y_true\[0\] is -1; labels are 0 or 1"),
    (([0, 0.5], [0.1, 0.2]), r"y_true\[1\] is 0.5"),
    (([0, NAN], [0.1, 0.2]), r"y_true\[1\] is nan"),
    (([1, 1], [0.1, 0.2]), "y_true holds no label 0"),
    (([0, 1, 1], [0.1, 0.2]), r"y_true has shape \(3,\)"),
    (([0, 1], [[0.1, 0.9]] * 2), r"score has shape \(2, 2\)"),
    (([], []), "score is empty"),
    (([0, 1], [0.1, 0.2], [1, -1]), r"sample_weight\[1\] is -1"),
    (([0, 1], [0.1, 0.2], [1, 0]), "y_true holds no label 1"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
@pytest.mark.parametrize("figure", [fc.auroc, fc.fpr_at_tpr, fc.roc_curve])
def test_bad_input(figure, arguments, message):
    y, x, *w = arguments
    with pytest.raises(fc.DataError, match=message):
        figure(y, x, sample_weight=w[0] if w else None)


def test_one_label_may_be_missing_where_only_the_other_counts():
    assert fc.average_precision([1, 1], [0.1, 0.2]) == 1.0
    assert fc.precision_recall_curve([1, 1], [0.1, 0.2]).recall.tolist() == [1.0, 0.5, 0.0]
    for figure in (fc.average_precision, fc.precision_recall_curve):
        with pytest.raises(fc.DataError, match="holds no label 1"):
            figure([0, 0], [0.1, 0.2])


@pytest.mark.parametrize("tpr", [0, 1.5, -1, NAN, "0.9", None])
def test_bad_tpr(tpr):
    with pytest.raises(ValueError, match="tpr is"):
        fc.fpr_at_tpr([0, 1], [0.1, 0.2], tpr=tpr)
