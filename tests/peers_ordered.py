"""Somebody else's ways to what needs scores in their order; see peers.py."""

from __future__ import annotations

import numpy as np
from peers import Peer, scikit_learn
from peers_calibration import probmetrics

SCORES = ("confidences", "log-odds")


def scipy_isotonic(y_true, scores, sample_weight):
    from scipy.optimize import isotonic_regression

    return isotonic_regression(y_true, weights=sample_weight).x


def sklearn_isotonic(y_true, scores, sample_weight):
    """At float64, where scikit-learn ties only what is closer than 1e-15."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression().fit(scores.astype(float), y_true, sample_weight).predict(scores)


def of_sklearn(name, **options):
    def compute(y_true, scores, sample_weight):
        import sklearn.metrics

        return getattr(sklearn.metrics, name)(y_true, scores, sample_weight=sample_weight, **options)

    return compute


def sklearn_roc(y_true, scores, sample_weight):
    from sklearn.metrics import roc_curve

    fpr, tpr, thresholds = roc_curve(y_true, scores, sample_weight=sample_weight, drop_intermediate=False)
    return {"fpr": fpr, "tpr": tpr, "thresholds": thresholds}


def sklearn_precision_recall(y_true, scores, sample_weight):
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(y_true, scores, sample_weight=sample_weight)
    return {"precision": precision, "recall": recall, "thresholds": thresholds}


def of_torchmetrics(name):
    def compute(y_true, scores, sample_weight):
        import torch
        import torchmetrics.functional.classification as functional

        return float(getattr(functional, name)(torch.from_numpy(scores), torch.from_numpy(y_true)))

    return compute


def ranking(sklearn_name, torchmetrics_name=None):
    peers = {"scikit-learn": scikit_learn(of_sklearn(sklearn_name), SCORES)}
    if torchmetrics_name:
        peers["torchmetrics"] = Peer(
            of_torchmetrics(torchmetrics_name),
            ("torch", "torchmetrics"),
            ("confidences",),
            (2e-6, 2e-6),
            "returns a float32",
        )
    return peers


def scipy_auroc(y_true, scores, sample_weight):
    """Mann and Whitney's U over all pairs."""
    from scipy.stats import mannwhitneyu

    positive, negative = scores[y_true == 1], scores[y_true == 0]
    return mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))


def torchmetrics_at_most(y_true, scores, sample_weight):
    import torch
    from torchmetrics.functional.classification import binary_specificity_at_sensitivity

    given = torch.from_numpy(scores), torch.from_numpy(y_true)
    return 1 - float(binary_specificity_at_sensitivity(*given, min_sensitivity=0.95)[0])


def torchmetrics_curve(name, *figures):
    def compute(y_true, scores, sample_weight):
        import torch
        import torchmetrics.functional.classification as functional

        found = getattr(functional, name)(torch.from_numpy(scores), torch.from_numpy(y_true))
        return {figure: values.numpy() for figure, values in zip(figures, found, strict=False)}

    return compute


def torchmetrics(compute):
    """Of probabilities: others would be put through a sigmoid."""
    return {
        "torchmetrics": Peer(
            compute, ("torch", "torchmetrics"), ("confidences",), (2e-6, 2e-6), "counts and shares in float32"
        )
    }


AUROC = {
    "scipy": Peer(scipy_auroc, ("scipy",), SCORES, (5e-7, 1e-12), "halves of ranks are float32 for float32 scores"),
    "probmetrics": probmetrics("AUROCOneVsRest", ("confidences",), (2e-6, 2e-6), "returns a float32"),
}
AT_MOST = torchmetrics(torchmetrics_at_most)
ROC = torchmetrics(torchmetrics_curve("binary_roc", "fpr", "tpr"))  # its thresholds begin with 1
PRECISION_RECALL = torchmetrics(
    torchmetrics_curve("binary_precision_recall_curve", "precision", "recall", "thresholds")
)


def sklearn_at_most(y_true, scores, sample_weight):
    """FPR at the first point of the curve that reaches 95 %."""
    found = sklearn_roc(y_true, scores, sample_weight)
    return found["fpr"][np.argmax(found["tpr"] >= 0.95)]
