"""The row kernels and the whole report against their slow twins, on random rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from hypothesis import given
from strategies import rows

import fastcal as fc
from fastcal import arrays, kernels
from fastcal.accumulators.rows import Rows

COLUMNS = ("confidence", "margin", "entropy", "logsumexp", "nll", "brier")
EPS = {np.float32: 2.0**-24, np.float64: 2.0**-53}


def worked(drawn):
    """What the kernels say of drawn rows, as one chunk."""
    batch = arrays.predictions(drawn.labels, drawn.scores, from_logits=drawn.from_logits)
    found = Rows(batch)
    found.fill(0, len(drawn))
    return found


@given(rows(weighted=False))
def test_every_column_of_a_row(drawn):
    found = worked(drawn)
    expected = oracle.rows(drawn.labels, drawn.scores, from_logits=drawn.from_logits)
    eps = EPS[drawn.scores.dtype.type]
    n_classes = drawn.scores.shape[1] if drawn.scores.ndim > 1 else 2
    scale = np.abs(np.float64(drawn.scores)).max()
    # z - m is rounded to eps |z - m|, which moves e^(z - m) by at most eps / e of the largest: log K in all at most.
    of_probabilities = 6 * eps * (1 + np.log(n_classes))
    of_logits = of_probabilities + 2 * eps * scale
    for column, name in enumerate(COLUMNS):
        if name == "logsumexp" and not drawn.from_logits:
            continue
        values = np.float64(found.table[column])
        absolute = of_logits if name in ("nll", "logsumexp") and drawn.from_logits else of_probabilities
        np.testing.assert_allclose(values, expected[name], rtol=8 * eps, atol=absolute, err_msg=name)
    clear = expected["margin"] > of_probabilities
    np.testing.assert_array_equal(found.prediction[clear], expected["prediction"][clear])
    np.testing.assert_array_equal(found.hits[kernels.rows.CORRECT][clear], expected["correct"][clear])
    np.testing.assert_array_equal(found.hits[kernels.rows.OUTCOME][clear], expected["outcome"][clear])
    assert found.faults[kernels.rows.N_BAD] == found.faults[kernels.rows.N_NAN] == 0


@given(rows())
def test_the_report_of_the_rows_is_the_oracles(drawn):
    """The accumulators alone: their input is the kernels' own rows, so the figures must agree to the last digits."""
    if drawn.weights is not None and not drawn.weights.any():
        drawn.weights[0] = 1
    report = fc.Evaluation(from_logits=drawn.from_logits)
    report.update(drawn.labels, drawn.scores, sample_weight=drawn.weights)
    report = report.compute()
    found = worked(drawn)
    table = np.float64(found.table)
    weights = np.ones(len(drawn)) if drawn.weights is None else np.float64(drawn.weights)

    assert report["n"] == len(drawn)
    assert report["accuracy"] == pytest.approx(oracle.mean(found.hits[kernels.rows.CORRECT], weights), rel=1e-14)
    for column, name in ((4, "nll"), (5, "brier"), (2, "entropy"), (0, "confidence")):
        assert report[name] == pytest.approx(oracle.mean(table[column], weights), rel=1e-14, abs=1e-18), name

    index = oracle.bin_index(table[0], np.linspace(0, 1, 16))
    shares, gaps = [], []
    for b in range(15):
        inside = index == b
        curve = report.reliability
        assert curve.count[b] == np.count_nonzero(inside)
        if weights[inside].any():
            outcome = oracle.mean(found.hits[kernels.rows.OUTCOME][inside], weights[inside])
            confidence = oracle.mean(table[0][inside], weights[inside])
            assert curve.accuracy[b] == pytest.approx(outcome, rel=1e-14)
            assert curve.confidence[b] == pytest.approx(confidence, rel=1e-14, abs=1e-18)
            assert curve.weight[b] == pytest.approx(weights[inside].sum(), rel=1e-13)
            shares.append(weights[inside].sum())
            gaps.append(abs(outcome - confidence))
        else:
            assert np.isnan([curve.accuracy[b], curve.confidence[b]]).all()
    assert report["ece"] == pytest.approx(np.average(gaps, weights=shares), rel=1e-12, abs=1e-15)
    assert report["mce"] == pytest.approx(max(gaps), rel=1e-12, abs=1e-15)


@given(rows(weighted=False, max_rows=80))
def test_labels_change_nothing_else(drawn):
    """Without labels the other columns are the same, to the bit."""
    labelled = worked(drawn)
    batch = arrays.predictions(drawn.labels, drawn.scores, from_logits=drawn.from_logits)
    bare = Rows(replace(batch, labels=arrays.LabelColumn("", np.empty(0, np.int64), np.dtype(np.int64))))
    bare.fill(0, len(drawn))
    np.testing.assert_array_equal(bare.prediction, labelled.prediction)
    np.testing.assert_array_equal(bare.table[:4], labelled.table[:4])


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("n_classes", [0, 3, 130])
def test_faults_are_counted_and_the_first_is_kept(from_logits, n_classes):
    drawn = np.full((200, n_classes) if n_classes else 200, 1 / max(n_classes, 2))
    labels = np.zeros(200, int)
    drawn[[40, 70]] = np.nan
    labels[[90, 130, 199]] = [-1, 999, max(n_classes, 2)]
    if n_classes:
        drawn[150, 1] = np.nan
    found = Rows(arrays.predictions(labels, drawn, from_logits=from_logits))
    for start, stop in ((100, 200), (0, 100)):
        found.fill(start, stop)
    counted = dict(zip(("n_nan", "first_nan", "n_bad", "first_bad"), found.faults.tolist(), strict=True))
    assert counted == {"n_nan": 2 + (n_classes > 0), "first_nan": 40, "n_bad": 3, "first_bad": 90}
    assert np.isnan(found.table[0]).tolist() == [row in (40, 70) for row in range(100)]
    assert (found.prediction < 0).tolist() == [row in (40, 70) for row in range(100)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 10, 130])
def test_a_confident_row_keeps_its_digits(dtype, n_classes):
    """NLL, Brier score and entropy far below the rounding of 1 - p, where a softmax first would give 0."""
    logits = np.zeros((3, n_classes), dtype)
    logits[:, 1] = [20, 40, 80]
    found = fc.ScoreAccumulator(from_logits=True)
    for row, gap in enumerate([20.0, 40.0, 80.0]):
        found.reset().update([1], logits[row : row + 1])
        rest = (n_classes - 1) * np.exp(-gap)
        figures = found.compute()
        assert figures["nll"] == pytest.approx(rest, rel=1e-6 + rest)
        assert figures["brier"] == pytest.approx(rest * rest * (1 + 1 / (n_classes - 1)), rel=1e-5 + 3 * rest)
        assert figures["entropy"] == pytest.approx(rest * (1 + gap), rel=1e-5 + rest)


@pytest.mark.parametrize("n_classes", [1, 2, 3, 64, 65, 128, 129, 1000])
def test_ties_predict_the_first(n_classes):
    for first in {0, n_classes // 2, n_classes - 1}:
        logits = np.full((2, n_classes), -1.0, np.float32)
        logits[:, first:] = 7.0
        summary = fc.softmax_summary(logits)
        assert summary.prediction.tolist() == [first, first]
        tied = n_classes - first
        assert summary.margin[0] == (0 if tied > 1 else 1 if n_classes == 1 else summary.margin[1])
        if tied > 1:
            assert summary.confidence[0] == pytest.approx(1 / (tied + first * np.exp(-8)), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 3.0])
def test_temperature(temperature):
    logits = np.random.default_rng(0).standard_normal((100, 7)) * 5
    summary = fc.softmax_summary(logits, temperature=temperature)
    expected = oracle.rows_from_logits(np.zeros(100, int), logits, temperature)
    for name in ("confidence", "margin", "entropy", "logsumexp"):
        np.testing.assert_allclose(getattr(summary, name), expected[name], rtol=1e-13, atol=1e-14)


def test_float32_and_float64_agree_to_rounding():
    rng = np.random.default_rng(4)
    logits = (rng.standard_normal((2000, 10)) * 5).astype(np.float32)
    labels = rng.integers(0, 10, 2000)
    single = fc.Evaluation(from_logits=True).update(labels, logits).compute()
    double = fc.Evaluation(from_logits=True).update(labels, logits.astype(float)).compute()
    for name in ("accuracy", "nll", "brier", "entropy", "confidence", "ece"):
        assert single[name] == pytest.approx(double[name], rel=2e-6)


def test_a_row_with_nan_needs_no_label():
    logits = np.zeros((5, 3))
    logits[2, 1] = np.nan
    none = arrays.LabelColumn("", np.empty(0, np.int64), np.dtype(np.int64))
    found = Rows(replace(arrays.predictions(np.zeros(5, int), logits, from_logits=True), labels=none))
    found.fill(0, 5)
    assert (found.prediction < 0).tolist() == [False, False, True, False, False]
