"""What the public functions return, as mypy sees it: checked with the package, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

import fastcal as fc

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Column = np.ndarray[tuple[int], np.dtype[np.float32]]
y: Array = np.array([0, 1])
p: Array = np.array([0.25, 0.75])
rows: Array = np.array([[0.25, 0.75], [0.5, 0.5]])
out: Column = np.empty(2, np.float32)

# Rows: a result of the caller's keeps its type; numbers give a number; else what comes is an array.
assert_type(fc.softmax(rows), Array)
assert_type(fc.softmax([[0.0, 1.0]], axis=0, temperature=2.0), Array)
assert_type(fc.softmax(rows, out=out), Column)
assert_type(fc.softmax(0.0), np.floating[Any])
assert_type(fc.log_softmax(rows, dtype="bfloat16", n_threads=1), Array)
assert_type(fc.logsumexp(rows, out=out), Column)
assert_type(fc.logsumexp(rows, keepdims=True), Array)
assert_type(fc.entropy(rows, base=2, out=out), Column)
assert_type(fc.softmax_summary(rows).prediction, Array)

# Figures are Python's floats, whatever the options; misspelt ones are errors, which mypy finds to be needed below.
assert_type(fc.ece(y, p, n_bins=10, convention="torchmetrics", sample_weight=p), float)
assert_type(fc.calibration_error(y, rows, target="class-wise", norm="l2", binning=[0, 0.5, 1], debiased=True), float)
assert_type(fc.nll(y, p, nan_policy="omit"), float)
assert_type(fc.log_loss(y, p), float)
assert_type(fc.smooth_ece(y, p, kernel="logit"), float)
assert_type(fc.auroc(y, p), float)
assert_type(fc.aurc(y, p), float)
assert_type(fc.reliability_curve(y, p), fc.ReliabilityCurve)
assert_type(fc.spiegelhalter_test(y, p).statistic, float)
assert_type(fc.confidence_interval("ece", y, p), fc.ConfidenceInterval)
assert_type(fc.score_decomposition(y, p, score="log"), fc.ScoreDecomposition)
fc.ece(y, p, bins=10)  # type: ignore[call-arg]
fc.ece(y, p, convention="theirs")  # type: ignore[arg-type]
fc.ece(y, p, nan_policy="drop")  # type: ignore[arg-type]
fc.tace(y, p, closed="both")  # type: ignore[arg-type]
fc.reliability_curve(y, p, target="top")  # type: ignore[arg-type]
fc.softmax(rows, dtype="float16")  # type: ignore[call-overload]
fc.score_decomposition(y, p, score="nll")  # type: ignore[arg-type]

# Ensembles, out of distribution, selective prediction
found = fc.ensemble_uncertainty([rows, rows])
assert_type(found, fc.EnsembleUncertainty)
assert_type(found.mutual_information, Array)
assert_type(fc.ensemble_disagreement([rows, rows], kind="js"), Array)
assert_type(fc.ood_metrics(p, p), fc.OodMetrics)
assert_type(fc.valid_ood_region(p, p), Array)
assert_type(fc.risk_coverage_curve(y, p), fc.RiskCoverageCurve)
fc.ensemble_disagreement([rows], kind="tv")  # type: ignore[arg-type]

# Streams: update and merge give back what they were called on, compute a report.
acc = fc.Evaluation(from_logits=True).update(y, rows, sample_weight=p)
assert_type(acc, fc.Evaluation)
assert_type(acc.merge(acc), fc.Evaluation)
assert_type(acc + acc, fc.Evaluation)
assert_type(acc.compute(), fc.EvaluationReport)
assert_type(acc.to_bytes(), bytes)
assert_type(fc.Evaluation.from_bytes(b""), fc.Evaluation)
assert_type(fc.RankingAccumulator().update(y, p).compute(), fc.EvaluationReport)
assert_type(fc.IsotonicAccumulator().update(y, p).compute(), fc.IsotonicFit)
assert_type(fc.UncertaintyAccumulator().update(y, rows).compute(), fc.EvaluationReport)

# Fits
assert_type(fc.isotonic_regression(p), fc.IsotonicResult)
assert_type(fc.IsotonicRegression(out_of_bounds="clip").fit(p, y), fc.IsotonicRegression)
assert_type(fc.IsotonicRegression().fit(p, y).predict(p), Array)
scaled = fc.TemperatureScaling(input="logits").fit(rows, y)
assert_type(scaled, fc.TemperatureScaling)
assert_type(scaled.predict_proba(rows), Array)
assert_type(scaled.temperature_, float)
assert_type(fc.cross_validate_calibrators(rows, y), fc.CalibratorComparison)
fc.IsotonicRegression(out_of_bounds="extend")  # type: ignore[arg-type]
fc.TemperatureScaling(input="odds")  # type: ignore[arg-type]
