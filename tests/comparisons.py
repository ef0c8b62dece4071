"""The one table of comparisons: each public function beside its slow twin and beside the peers that compute the same.

The tests assert equality over ``TABLE`` and the benchmarks time it, so a new metric is one row at the end of this file.
"""

from __future__ import annotations

import comparisons_calibration
import comparisons_calibrators
import comparisons_ensemble
import comparisons_ood
import comparisons_selective
import oracle
import oracle_calibration
import oracle_ordered
import peers
import peers_calibration
import peers_ordered
from cases import KINDS, OURS, Comparison, Data, assert_same, figures, generate
from peers import LOGITS, PROBS, ROWS, Peer, scikit_learn
from peers_ordered import SCORES

import fastcal as fc

__all__ = ["KINDS", "OURS", "TABLE", "Comparison", "Data", "assert_same", "figures", "generate"]


def _summary(y_true, logits, *, from_logits, sample_weight):
    return fc.softmax_summary(logits)


def _of_scores(function):
    def call(y_true, scores, *, from_logits, sample_weight):
        return function(scores)

    return call


def _in_float64(function):
    return _of_scores(lambda scores: function(scores.astype(float)))


def _ordered(function):
    """Of labels, scores of any kind, and weights."""

    def call(y_true, scores, *, from_logits, sample_weight):
        return function(y_true, scores, sample_weight)

    return call


def _evaluation(y_true, scores, *, from_logits, sample_weight):
    return fc.Evaluation(from_logits=from_logits).update(y_true, scores, sample_weight=sample_weight).compute()


def _report_of_the_peer(y_true, scores, *, from_logits, sample_weight):
    """Those parts of the report that torchmetrics has figures of."""
    some = fc.Evaluation(from_logits=from_logits, parts=["scores", "reliability"], squares=False)
    return some.update(y_true, scores, sample_weight=sample_weight).compute()


TABLE = [
    Comparison("Evaluation", "whole report", _evaluation, oracle.evaluation, timed=()),  # see bench/calibration.py
    Comparison(
        "Evaluation",
        "report of their figures",
        _report_of_the_peer,
        oracle.report_over_bins,
        {
            "torch + torchmetrics": Peer(
                peers.torchmetrics_report,
                ("torch", "torchmetrics"),
                LOGITS,
                (1e-6, 1e-6),
                **peers.DRIFT,
            )
        },
        timed=LOGITS,
    ),
    Comparison(
        "softmax_summary",
        "softmax summary",
        _summary,
        oracle.softmax_summary,
        {
            "torch": Peer(peers.torch_summary, ("torch",), LOGITS, (5e-6, 1e-12), "works in the dtype of the input"),
            "scipy": Peer(peers.scipy_summary, ("scipy",), LOGITS, (5e-6, 1e-12), "works in the dtype of the input"),
        },
        takes=LOGITS,
        weights=False,
        timed=LOGITS,
    ),
    Comparison(
        "softmax",
        "softmax",
        _of_scores(fc.softmax),
        _in_float64(oracle.softmax),
        peers.row_by_row(peers.torch_softmax, peers.scipy_softmax, LOGITS),
        takes=LOGITS,
        weights=False,
        timed=(),  # see bench/courses.py, also for the entropy
    ),
    Comparison(
        "log_softmax",
        "log softmax",
        _of_scores(fc.log_softmax),
        _in_float64(oracle.log_softmax),
        peers.row_by_row(peers.torch_log_softmax, peers.scipy_log_softmax, LOGITS),
        takes=LOGITS,
        weights=False,
        timed=("logits", "wide logits"),
    ),
    Comparison(
        "logsumexp",
        "log-sum-exp",
        _of_scores(fc.logsumexp),
        _in_float64(oracle.logsumexp),
        peers.row_by_row(peers.torch_logsumexp, peers.scipy_logsumexp, LOGITS),
        takes=LOGITS,
        weights=False,
        timed=("logits", "wide logits"),
    ),
    Comparison(
        "entropy",
        "entropy",
        _of_scores(fc.entropy),
        _in_float64(oracle.entropy_of_rows),
        peers.row_by_row(peers.torch_entropy, peers.scipy_entropy, ROWS),
        takes=ROWS,
        weights=False,
        timed=(),
    ),
    Comparison("ece", "ECE", fc.ece, oracle.ece, peers_calibration.errors("l1"), timed=("rows", "confidences")),
    Comparison("rmsce", "RMSCE", fc.rmsce, oracle.rmsce, peers_calibration.errors("l2")),
    Comparison("mce", "MCE", fc.mce, oracle.mce, peers_calibration.errors("max")),
    Comparison(
        "calibration_error",
        "calibration error",
        fc.calibration_error,
        oracle_calibration.calibration_error,
        peers.CALIBRATION_ERRORS["l1"],
        timed=("confidences",),
    ),
    Comparison(
        "reliability_curve",
        "reliability curve",
        fc.reliability_curve,
        oracle.reliability_curve,
        {
            "scikit-learn": Peer(
                peers.sklearn_calibration_curve, ("sklearn",), ("confidences",), (1e-6, 1e-12), "sums in float64"
            ),
            **peers_calibration.CURVES,
        },
        timed=("confidences",),
    ),
    Comparison(
        "nll",
        "NLL",
        fc.nll,
        oracle.nll,
        {
            "scikit-learn": peers.scikit_learn(peers.sklearn_log_loss, PROBS),
            "numpy": peers.with_numpy(peers.numpy_nll, ROWS),
            "torch": Peer(
                peers.torch_cross_entropy, ("torch",), LOGITS, (5e-6, 1e-12), "sums in the dtype of the input"
            ),
            **peers_calibration.NLL,
        },
        timed=("rows", "confidences", "logits"),
    ),
    Comparison(
        "brier_score",
        "Brier score",
        fc.brier_score,
        oracle.brier_score,
        {
            "scikit-learn": peers.scikit_learn(
                peers.sklearn_brier_score, PROBS if peers.sklearn_takes_rows() else ("confidences",)
            ),
            "numpy": peers.with_numpy(peers.numpy_brier_score, PROBS),
            **peers_calibration.BRIER,
        },
        timed=("rows", "confidences"),
    ),
    Comparison(
        "accuracy",
        "accuracy",
        fc.accuracy,
        oracle.accuracy,
        {
            "scikit-learn": peers.scikit_learn(peers.sklearn_accuracy, PROBS),
            "torchmetrics": peers.torchmetrics(peers.torchmetrics_accuracy, 1e-7, because="returns a float32"),
            "numpy": peers.with_numpy(peers.numpy_accuracy, PROBS),
            **peers_calibration.ACCURACY,
        },
    ),
    Comparison(
        "isotonic_regression",
        "isotonic regression",
        _ordered(lambda y, _, w: fc.isotonic_regression(y, weights=w).x),
        oracle_ordered.sequence,
        {"scipy": Peer(peers_ordered.scipy_isotonic, ("scipy",), SCORES, (1e-12, 1e-12), "sums plainly", weights=True)},
        takes=SCORES,
        timed=(),  # see bench/order.py, also for the fit that follows
    ),
    Comparison(
        "IsotonicRegression",
        "isotonic fit and predict",
        _ordered(lambda y, scores, w: fc.IsotonicRegression().fit_transform(scores, y, w)),
        oracle_ordered.estimator,
        {"scikit-learn": scikit_learn(peers_ordered.sklearn_isotonic, SCORES, "ties what is closer than 1e-15")},
        takes=SCORES,
        timed=(),
    ),
    Comparison(
        "auroc",
        "AUROC",
        _ordered(lambda y, scores, w: fc.auroc(y, scores, sample_weight=w)),
        oracle_ordered.auroc,
        peers_ordered.ranking("roc_auc_score", "binary_auroc") | peers_ordered.AUROC,
        takes=SCORES,
        timed=("confidences",),
    ),
    Comparison(
        "average_precision",
        "average precision",
        _ordered(lambda y, scores, w: fc.average_precision(y, scores, sample_weight=w)),
        oracle_ordered.average_precision,
        peers_ordered.ranking("average_precision_score", "binary_average_precision"),
        takes=SCORES,
        timed=(),
    ),
    Comparison(
        "fpr_at_tpr",
        "FPR at 95 % TPR",
        _ordered(lambda y, scores, w: fc.fpr_at_tpr(y, scores, sample_weight=w)),
        oracle_ordered.fpr_at_tpr,
        {"scikit-learn": scikit_learn(peers_ordered.sklearn_at_most, SCORES), **peers_ordered.AT_MOST},
        takes=SCORES,
        timed=("confidences",),
    ),
    Comparison(
        "roc_curve",
        "ROC curve",
        _ordered(lambda y, scores, w: fc.roc_curve(y, scores, sample_weight=w, drop_intermediate=False)),
        oracle_ordered.roc_curve,
        {"scikit-learn": scikit_learn(peers_ordered.sklearn_roc, SCORES), **peers_ordered.ROC},
        takes=SCORES,
        timed=("confidences",),
    ),
    Comparison(
        "precision_recall_curve",
        "precision-recall curve",
        _ordered(lambda y, scores, w: fc.precision_recall_curve(y, scores, sample_weight=w)),
        oracle_ordered.precision_recall_curve,
        {
            "scikit-learn": scikit_learn(peers_ordered.sklearn_precision_recall, SCORES),
            **peers_ordered.PRECISION_RECALL,
        },
        takes=SCORES,
        timed=("confidences",),
    ),
    Comparison(
        "score_decomposition",
        "CORP decomposition",
        _ordered(lambda y, scores, w: fc.score_decomposition(y, scores, sample_weight=w)),
        oracle_ordered.score_decomposition,
        takes=("confidences",),
        timed=(),
    ),
    Comparison(
        "corp_curve",
        "CORP reliability diagram",
        _ordered(lambda y, scores, w: fc.corp_curve(y, scores, sample_weight=w)),
        oracle_ordered.corp_curve,
        takes=("confidences",),
        timed=(),
    ),
    *comparisons_calibration.ROWS,
    *comparisons_calibrators.ROWS,
    *comparisons_ensemble.ROWS,
    *comparisons_ood.ROWS,
    *comparisons_selective.ROWS,
]
