"""Somebody else's ways to the figures of two sets; see peers.py."""

from __future__ import annotations

import numpy as np


def sklearn_ood(y_true, scores, sample_weight=None):
    """Four sorts of the same rows: what everybody writes."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    fpr, tpr, _ = roc_curve(y_true, scores, drop_intermediate=False)
    return {
        "auroc": roc_auc_score(y_true, scores),
        "aupr_in": average_precision_score(y_true, scores),
        "aupr_out": average_precision_score(1 - y_true, -scores),
        "fpr95": fpr[np.argmax(tpr >= 0.95)],
        "detection_error": ((1 - tpr) / 2 + fpr / 2).min(),
    }


def numpy_familiarity(features, class_weights):
    """All rows divided by their norms, and all cosines at once."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    weights = class_weights / np.linalg.norm(class_weights, axis=1, keepdims=True)
    return (unit @ weights.T).max(axis=1)


def numpy_norm(y_true, features, sample_weight):
    return np.linalg.norm(features, axis=1)


def torch_norm(y_true, features, sample_weight):
    import torch

    return torch.linalg.vector_norm(torch.from_numpy(features), dim=1).numpy()


def numpy_familiarity_of_classes(y_true, features, sample_weight):
    """The first few rows as class weights."""
    return numpy_familiarity(features, features[:5])
