"""Intervals: names, functions and options of ``confidence_interval``, and those of the report."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import JIT
from few import LABELS, ROWS, N, P, W, Y
from scipy.stats import norm

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import rows as chunking

FEW = {"n_resamples": 60, "random_state": 3}

NAMES = {
    "accuracy": lambda y, p, w: fc.accuracy(y, p, sample_weight=w),
    "nll": lambda y, p, w: fc.nll(y, p, sample_weight=w),
    "log_loss": lambda y, p, w: fc.nll(y, p, sample_weight=w),
    "brier": lambda y, p, w: fc.brier_score(y, p, sample_weight=w),
    "brier_score": lambda y, p, w: fc.brier_score(y, p, sample_weight=w),
    "ece": lambda y, p, w: fc.ece(y, p, sample_weight=w),
    "mce": lambda y, p, w: fc.mce(y, p, sample_weight=w),
    "rmsce": lambda y, p, w: fc.rmsce(y, p, sample_weight=w),
    "ece_debiased": lambda y, p, w: fc.calibration_error(y, p, debiased=True, sample_weight=w),
    "rmsce_debiased": lambda y, p, w: fc.calibration_error(y, p, norm="l2", debiased=True, sample_weight=w),
    "squared_ce_debiased": lambda y, p, w: fc.calibration_error(
        y, p, norm="l2", debiased=True, squared=True, sample_weight=w
    ),
    "signed_calibration_error": lambda y, p, w: fc.signed_calibration_error(y, p, sample_weight=w),
}
IN_REPORT = ("confidence", "entropy", "overconfidence", "underconfidence")
FUNCTIONS = ("accuracy", "nll", "log_loss", "brier_score", "ece", "mce", "rmsce", "signed_calibration_error")


# Estimates and ways


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["confidences", "rows"])
@pytest.mark.parametrize("name", [*NAMES, *IN_REPORT])
def test_the_estimate_of_a_name_is_the_figure_itself(name, kind, weighted):
    y, p = (Y, P) if kind == "confidences" else (LABELS, ROWS)
    w = W if weighted else None
    found = fc.confidence_interval(name, y, p, sample_weight=w, **FEW)
    if name in IN_REPORT:
        expected = fc.Evaluation(classwise=False).update(y, p, sample_weight=w).compute()[name]
    else:
        expected = NAMES[name](y, p, w)
    assert found.estimate == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert found.method == "bootstrap"
    assert found.low <= found.high
    if name in ("accuracy", "nll", "log_loss", "brier", "brier_score", "confidence", "signed_calibration_error"):
        assert found.low < found.estimate < found.high  # these are means, without bias


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_its_name(name):
    by_name = fc.confidence_interval(name, LABELS, ROWS, **FEW)
    assert fc.confidence_interval(getattr(fc, name), LABELS, ROWS, **FEW) == by_name
    assert by_name.method == "bootstrap"


OPTIONS = {
    "bins": {"n_bins": 4},
    "edges": {"binning": [0, 0.2, 0.7, 1]},
    "closed": {"closed": "left"},
    "a convention": {"convention": "netcal"},
    "another convention": {"convention": "mapie"},
    "a norm": {"norm": "l2"},
    "the largest": {"norm": "max"},
    "debiased": {"debiased": True},
    "debiased and squared": {"norm": "l2", "debiased": True, "squared": True},
    "threads": {"n_threads": 2},
    "quantiles": {"binning": "quantile", "n_bins": 5},
    "debiased, of quantiles": {"binning": "quantile", "n_bins": 5, "debiased": True},
    "a norm of classes": {"norm": "l2", "target": "class-wise"},
    "debiased, of classes": {"norm": "l2", "debiased": True, "squared": True, "target": "class-wise"},
    "the largest of classes": {"norm": "max", "target": "class-wise"},
    "a norm of cells": {"norm": "l2", "target": "canonical", "n_bins": 3},
    "a threshold": {"threshold": 0.6, "norm": "l2"},
    "squared": {"norm": "l2", "squared": True},
}
BLOCKED = ("bins", "edges", "closed", "a convention", "another convention", "a norm", "the largest", "threads")
BLOCKED += ("debiased", "debiased and squared")


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_the_function_are_those_of_the_interval(name):
    options = OPTIONS[name]
    few = {"n_resamples": 20, "random_state": 0}
    found = fc.confidence_interval(fc.calibration_error, LABELS, ROWS, **few, **options)
    assert found.estimate == pytest.approx(fc.calibration_error(LABELS, ROWS, **options), abs=1e-13)
    assert found.method == ("bootstrap" if name in BLOCKED else "rows")
    weighted = fc.confidence_interval(fc.calibration_error, LABELS, ROWS, sample_weight=W, **few, **options)
    assert weighted.estimate == pytest.approx(
        fc.calibration_error(LABELS, ROWS, sample_weight=W, **options), rel=1e-12, abs=1e-13
    )


def test_options_that_make_another_figure():
    by_name = fc.confidence_interval("squared_ce_debiased", Y, P, n_bins=5, **FEW)
    options = {"norm": "l2", "debiased": True, "squared": True, "n_bins": 5}
    assert fc.confidence_interval(fc.calibration_error, Y, P, **options, **FEW) == by_name
    normal = fc.confidence_interval(fc.calibration_error, Y, P, **options, method="normal")
    assert normal == fc.confidence_interval("squared_ce_debiased", Y, P, n_bins=5, method="normal")


def test_logits_have_the_intervals_of_their_probabilities():
    logits = np.log(ROWS)
    for name in ("nll", "ece"):
        ours = fc.confidence_interval(name, LABELS, logits, from_logits=True, **FEW)
        assert ours[:3] == pytest.approx(fc.confidence_interval(name, LABELS, ROWS, **FEW)[:3], rel=1e-9)


def median_gap(y_true, y_prob, *, scale=1.0, sample_weight=None):
    weights = 1.0 if sample_weight is None else sample_weight
    return float(np.median(weights * abs(y_true - y_prob)) * scale)


def test_any_function_is_resampled_by_rows():
    found = fc.confidence_interval(median_gap, Y, P, scale=2.0, **FEW)
    assert found.method == "rows"
    assert found.estimate == median_gap(Y, P, scale=2.0)
    assert found.low < found.estimate < found.high
    weighted = fc.confidence_interval(median_gap, Y, P, sample_weight=W, **FEW)
    assert weighted.estimate == median_gap(Y, P, sample_weight=W)
    as_lists = fc.confidence_interval(lambda y, p: median_gap(np.array(y), np.array(p)), Y.tolist(), P.tolist(), **FEW)
    assert as_lists.estimate == median_gap(Y, P)


def test_rows_of_a_mean_are_resampled_as_blocks_of_them_are():
    """The same figure both ways: estimates equal, widths alike."""
    few = {"n_resamples": 400 if JIT else 20, "random_state": 1}
    blocks = fc.confidence_interval("brier", Y, P, **few)
    by_rows = fc.confidence_interval(lambda y, p: np.mean((p - y) ** 2), Y, P, **few)
    assert by_rows.estimate == pytest.approx(blocks.estimate, rel=1e-12)
    if JIT:
        assert by_rows.high - by_rows.low == pytest.approx(blocks.high - blocks.low, rel=0.2)


# Closed forms


def test_the_normal_interval_of_a_mean_is_the_textbooks():
    scores = (P - Y) ** 2
    half = norm.ppf(0.95) * scores.std(ddof=1) / np.sqrt(N)
    found = fc.confidence_interval("brier", Y, P, method="normal", level=0.9)
    assert found == (
        pytest.approx(scores.mean()),
        pytest.approx(scores.mean() - half),
        pytest.approx(scores.mean() + half),
        "normal",
    )
    losses = -np.log(np.where(Y == 1, P, 1 - P))
    half = norm.ppf(0.975) * losses.std(ddof=1) / np.sqrt(N)
    found = fc.confidence_interval("nll", Y, P, method="normal")
    assert (found.low, found.high) == (pytest.approx(losses.mean() - half), pytest.approx(losses.mean() + half))


def test_the_normal_interval_of_a_weighted_mean():
    """sum w^2 (x - mean)^2 / ((sum w)^2 - sum w^2), which for equal weights is s^2 / n."""
    scores = (P - Y) ** 2
    mean = W @ scores / W.sum()
    half = norm.ppf(0.975) * np.sqrt((W**2) @ (scores - mean) ** 2 / (W.sum() ** 2 - W @ W))
    found = fc.confidence_interval("brier", Y, P, method="normal", sample_weight=W)
    assert found[:3] == pytest.approx((mean, mean - half, mean + half), rel=1e-9)


def test_the_interval_of_accuracy_is_wilsons():
    found = fc.confidence_interval("accuracy", Y, P, method="normal", level=0.9)
    z, share = norm.ppf(0.95), fc.accuracy(Y, P)
    for end in (found.low, found.high):  # where the share is as many standard errors of the end away
        assert abs(share - end) == pytest.approx(z * np.sqrt(end * (1 - end) / N), rel=1e-9)
    certain = fc.confidence_interval("accuracy", [1] * 20, [0.9] * 20, method="normal")
    assert 0.8 < certain.low < certain.high == 1.0


def test_equal_weights_are_no_weights():
    for name in ("accuracy", "nll", "brier", "squared_ce_debiased"):
        plain = fc.confidence_interval(name, Y, P, method="normal")
        weighted = fc.confidence_interval(name, Y, P, method="normal", sample_weight=np.full(N, 2.5))
        assert weighted[:3] == pytest.approx(plain[:3], rel=1e-9)


def test_ece_has_a_normal_interval_only_where_every_gap_is_clear():
    with pytest.raises(ValueError, match="every bin's gap to exceed 3 standard errors"):
        fc.confidence_interval("ece", Y, P, method="normal")
    y, p = [1] * 40 + [0] * 50, [0.3] * 40 + [0.7] * 50
    y[0], y[40] = 0, 1
    found = fc.confidence_interval("ece", y, p, method="normal", n_bins=2)
    errors = np.where(np.array(p) < 0.5, 1, -1) * (np.array(y) - p)
    half = norm.ppf(0.975) * errors.std(ddof=1) / np.sqrt(90)
    assert found.estimate == pytest.approx(fc.ece(y, p, n_bins=2)) == pytest.approx(errors.mean())
    assert (found.low, found.high) == pytest.approx((errors.mean() - half, errors.mean() + half), rel=0.01)
    report = fc.Evaluation(n_bins=2).update(y, p).compute()["intervals"]
    assert report.ece_applies
    assert report.ece == (found.low, found.high)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_reports_intervals_are_those_of_the_function(weighted):
    w = W if weighted else None
    report = fc.Evaluation().update(LABELS, ROWS, sample_weight=w).compute()["intervals"]
    assert report.level == 0.95
    for name in ("accuracy", "nll", "brier", "squared_ce_debiased"):
        found = fc.confidence_interval(name, LABELS, ROWS, method="normal", sample_weight=w)
        assert getattr(report, name) == (found.low, found.high)


def test_intervals_of_the_report_stream():
    whole = fc.Evaluation().update(LABELS, ROWS).compute()["intervals"]
    cut = N // 3
    parts = fc.Evaluation().update(LABELS[cut:], ROWS[cut:]) + fc.Evaluation().update(LABELS[:cut], ROWS[:cut])
    assert parts.compute()["intervals"] == whole
    assert json.loads(json.dumps(whole.to_dict()))["accuracy"] == list(whole.accuracy)


def test_intervals_of_no_rows_or_of_nan_are_nan():
    for report in (
        fc.Evaluation().compute(),
        fc.Evaluation(nan_policy="propagate").update([0, 1], [0.2, np.nan]).compute(),
    ):
        found = report["intervals"]
        for name in ("accuracy", "nll", "brier", "squared_ce_debiased", "ece_band"):
            assert np.isnan(getattr(found, name)).all(), name
        assert found.ece is None
        assert not found.ece_applies


def test_higher_levels_are_wider():
    for method in ("normal", "bootstrap"):
        widths = []
        for level in (0.5, 0.9, 0.99):
            found = fc.confidence_interval("brier", Y, P, level=level, method=method, n_resamples=300, random_state=0)
            widths.append(found.high - found.low)
        assert widths == sorted(widths)
        assert widths[2] > 1.3 * widths[1] > 1.6 * widths[0]


def test_intervals_stay_within_what_a_figure_can_be():
    y, p = [1] * 30, [0.999] * 30
    for name in ("ece", "mce", "rmsce", "accuracy", "overconfidence"):
        found = fc.confidence_interval(name, y, p, **FEW)
        assert 0 <= found.low <= found.high <= 1
    infinite = fc.confidence_interval("nll", [1, 0] * 20, [1.0, 1.0] * 20, **FEW)
    assert infinite.estimate == np.inf
    assert np.isnan([infinite.low, infinite.high]).all()


# What is refused, and what is left out


BAD = {
    "a level of 1": ({"level": 1.0}, ValueError, "level is 1.0"),
    "a level in percent": ({"level": 95}, ValueError, "level is 95; expected a number between 0 and 1"),
    "one resample": ({"n_resamples": 1}, ValueError, "n_resamples is 1; expected an integer of at least 2"),
    "half a resample": ({"n_resamples": 2.5}, ValueError, "n_resamples is 2.5"),
    "True resamples": ({"n_resamples": True}, ValueError, "n_resamples is True"),
    "another method": ({"method": "jackknife"}, ValueError, "method is 'jackknife'; expected one of bootstrap, normal"),
    "a seed below 0": ({"random_state": -1}, ValueError, "random_state is -1"),
    "a seed beyond 2^63": ({"random_state": 2**63}, ValueError, "random_state is"),
    "a real seed": ({"random_state": 0.5}, ValueError, "random_state is 0.5"),
    "a bool as seed": ({"random_state": True}, ValueError, "random_state is True"),
    "another metric": ({"metric": "aurc"}, ValueError, "metric is 'aurc'; expected a function, or one of accuracy"),
    "no metric": ({"metric": 3}, TypeError, "metric is 3; expected a name or a function"),
    "an unknown option": ({"n_bin": 5}, TypeError, "n_bin"),
    "a bad option": ({"n_bins": 0}, ValueError, "n_bins is 0"),
    "a name with options for rows": ({"binning": "quantile"}, ValueError, "give the function itself"),
    "a name of classes": ({"target": "class-wise"}, ValueError, "give the function itself"),
    "no closed form": ({"metric": "mce", "method": "normal"}, ValueError, "method='normal' knows accuracy, nll"),
    "no closed form of a function": ({"metric": median_gap, "method": "normal"}, ValueError, "method='normal' knows"),
    "no closed form of classes": (
        {"metric": "squared_ce_debiased", "method": "normal", "target": "class-wise"},
        ValueError,
        "class-wise|normal",
    ),
    "no closed form of quantiles": (
        {"metric": "squared_ce_debiased", "method": "normal", "binning": "quantile"},
        ValueError,
        "quantile|normal",
    ),
    "weights that are none": ({"sample_weight": [-1.0] * N}, fc.DataError, "sample_weight"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    options, error, message = BAD[name]
    options = {"metric": "ece", "random_state": 0, **options}
    with pytest.raises(error, match=message):
        fc.confidence_interval(options.pop("metric"), LABELS, ROWS, **options)


@pytest.mark.parametrize("metric", ["accuracy", median_gap])
def test_no_rows_have_no_interval(metric):
    with pytest.raises(fc.DataError):
        fc.confidence_interval(metric, [], [], random_state=0)


@pytest.mark.parametrize("method", ["bootstrap", "normal"])
def test_rows_of_nan_are_left_out_or_make_it_nan(method):
    p = P.copy()
    p[::7] = np.nan
    kept = ~np.isnan(p)
    options = {"method": method, "n_resamples": 50, "random_state": 0}
    with pytest.raises(fc.DataError, match=r"y_prob\[0\] is nan"):
        fc.confidence_interval("brier", Y, p, **options)
    found = fc.confidence_interval("brier", Y, p, nan_policy="omit", **options)
    assert found.estimate == pytest.approx(fc.brier_score(Y[kept], P[kept]), rel=1e-12)
    assert np.isfinite(found[1:3]).all()
    propagated = fc.confidence_interval("brier", Y, p, nan_policy="propagate", **options)
    assert np.isnan(propagated[:3]).all()


def test_a_threshold_counts_in_every_way_that_takes_it():
    y, p = [1] * 40 + [0] * 50, [0.3] * 40 + [0.7] * 50
    expected = fc.calibration_error(y, p, norm="l2", squared=True, debiased=True, threshold=0.5)
    try:
        found = fc.confidence_interval("squared_ce_debiased", y, p, threshold=0.5, method="normal")
    except ValueError as error:
        assert "threshold" in str(error)  # noqa: PT017 - refused is as good
    else:
        assert found.estimate == pytest.approx(expected)


# The same again


def test_a_seed_gives_the_same_interval_and_another_one_another():
    for metric in ("ece", median_gap):
        one = fc.confidence_interval(metric, Y, P, n_resamples=30, random_state=5)
        assert fc.confidence_interval(metric, Y, P, n_resamples=30, random_state=np.int64(5)) == one
        other = fc.confidence_interval(metric, Y, P, n_resamples=30, random_state=6)
        assert (one.estimate, one.method) == (other.estimate, other.method)
        assert one != other
        unseeded = {fc.confidence_interval(metric, Y, P, n_resamples=30) for _ in range(6)}
        assert len(unseeded) > 1


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_do_not_show(monkeypatch, n_threads):
    one = fc.confidence_interval("ece", LABELS, ROWS, n_threads=1, **FEW)
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 10)
    assert fc.confidence_interval("ece", LABELS, ROWS, n_threads=n_threads, **FEW) == one
