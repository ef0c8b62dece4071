"""The slow, obvious twins of what tells rows out of the distribution: every pair, every threshold, long double."""

from __future__ import annotations

import math

import numpy as np

LONG = np.longdouble


def valid_ood_region(uncertainty_in, uncertainty, *, epsilon=0.05):
    """All N x M comparisons, and the share of each row of them."""
    inside, given = (np.asarray(one, float) for one in (uncertainty_in, uncertainty))
    more = (given[:, None] > inside[None, :]).mean(axis=1)
    return more > 1 - epsilon + 1e-12


def softmax_extrapolation(uncertainty_in, uncertainty, *, epsilon=0.05):
    inside, given = (np.asarray(one, float) for one in (uncertainty_in, uncertainty))
    return (given[:, None] < inside[None, :]).mean(axis=1) > 1 - epsilon + 1e-12


def valid_ood_share(uncertainty_in, uncertainty, *, epsilon=0.05):
    return valid_ood_region(uncertainty_in, uncertainty, epsilon=epsilon).mean()


def softmax_saturation(logits, *, epsilon=1e-3, temperature=1.0):
    """1 - max p from the other classes' share."""
    rows = np.asarray(logits, LONG).reshape(-1, np.shape(logits)[-1]) / LONG(temperature)
    n = 0
    for row in rows:
        others = np.exp(np.delete(row, row.argmax()) - row.max()).sum()
        n += others / (1 + others) <= epsilon
    return n / len(rows)


def activation_norm(features):
    z = np.asarray(features, LONG)
    return np.sqrt((z * z).sum(axis=-1))


def activation_familiarity(features, class_weights):
    """Every pair of a row and a class."""
    z, w = np.asarray(features, LONG), np.asarray(class_weights, LONG)
    cosines = [(z * one).sum(axis=-1) / (activation_norm(z) * activation_norm(one)) for one in w]
    return np.max(cosines, axis=0)


def mental_model_confidence(norm, familiarity, n_classes):
    norm, familiarity = np.asarray(norm, LONG), np.asarray(familiarity, LONG)
    return 1 / (1 + (n_classes - 1) * np.exp(-norm * (LONG(1) / (n_classes - 1) + familiarity)))


def ood_metrics(score_in, score_out):
    """From the shares at or above every threshold."""
    inside, out = (np.asarray(one, float) for one in (score_in, score_out))
    won = (inside[:, None] > out[None, :]) + 0.5 * (inside[:, None] == out[None, :])
    thresholds = sorted({*inside, *out}, reverse=True)
    tpr, fpr = (np.array([(one >= t).mean() for t in thresholds]) for one in (inside, out))
    wrong = [(1 - a) / 2 + b / 2 for a, b in zip(tpr, fpr, strict=True)]
    return {
        "auroc": won.mean(),
        "aupr_in": average_precision(inside, out),
        "aupr_out": average_precision(-out, -inside),
        "fpr95": fpr[np.flatnonzero(tpr >= 0.95 - 1e-12)[0]],
        "detection_error": min([0.5, *wrong]),
    }


def average_precision(positives, negatives):
    """The mean over positives of the precision of all rows that score at least as high."""
    return math.fsum(
        (positives >= one).sum() / ((positives >= one).sum() + (negatives >= one).sum()) for one in positives
    ) / len(positives)


def auroc_error(score_in, score_out):
    """DeLong's: each row's share of pairs won, and the variances of those."""
    inside, out = (np.asarray(one, float) for one in (score_in, score_out))
    won = (inside[:, None] > out[None, :]) + 0.5 * (inside[:, None] == out[None, :])
    rows, columns = won.mean(axis=1), won.mean(axis=0)
    return math.sqrt(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))
