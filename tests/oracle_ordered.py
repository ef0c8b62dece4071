"""The slow, obvious twins of what needs scores in their order: quadratic definitions, none of which sorts or pools.

Called as those in ``oracle.py``; ``from_logits`` says nothing here, where scores are any numbers.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def weights_of(y, sample_weight):
    return np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)


def isotonic(y, weights=None):
    """x_i = max over j <= i of min over k >= i of the weighted mean of y_j .. y_k (Robertson, Wright, Dykstra 1988)."""
    y = np.asarray(y, np.longdouble)
    weights = weights_of(y, weights).astype(np.longdouble)
    sums, totals = np.append(0, np.cumsum(y * weights)), np.append(0, np.cumsum(weights))
    x = np.full(len(y), -np.inf, np.longdouble)
    for j in range(len(y)):
        means = (sums[j + 1 :] - sums[j]) / (totals[j + 1 :] - totals[j])
        least = np.minimum.accumulate(means[::-1])[::-1]
        x[j:] = np.maximum(x[j:], least)
    return x.astype(float)


def isotonic_fractions(y, weights):
    """The same, without any rounding."""
    y, weights = ([Fraction(float(value)) for value in values] for values in (y, weights))
    x = []
    for i in range(len(y)):
        best = None
        for j in range(i + 1):
            least = min(
                sum(a * b for a, b in zip(y[j : k + 1], weights[j : k + 1], strict=True)) / sum(weights[j : k + 1])
                for k in range(i, len(y))
            )
            best = least if best is None else max(best, least)
        x.append(best)
    return x


def isotonic_of_scores(scores, y, sample_weight=None, *, increasing=True):
    """Each distinct score, and the fitted value there: ties are one point, at their weighted mean."""
    weights = weights_of(y, sample_weight)
    scores, y, weights = (np.asarray(values)[weights > 0] for values in (scores, y, weights))
    distinct = np.array(sorted(set(scores.tolist())))
    total = np.array([math.fsum(weights[scores == score]) for score in distinct])
    sign = 1 if increasing else -1
    means = [math.fsum((weights * np.asarray(y, float))[scores == score]) for score in distinct] / total
    return distinct, sign * isotonic(sign * means, total), total


def sequence(y_true, scores, *, from_logits, sample_weight):
    """The fit to labels in the order they come."""
    return isotonic(y_true, sample_weight)


def estimator(y_true, scores, *, from_logits, sample_weight):
    """The fitted value of each row."""
    distinct, fitted, _ = isotonic_of_scores(scores, y_true, sample_weight)
    return fitted[np.searchsorted(distinct, scores)]


def auroc(y_true, scores, *, from_logits=False, sample_weight=None):
    """Over all pairs of a positive and a negative: 1 in order, 1/2 tied."""
    weights = weights_of(y_true, sample_weight)
    up, down = scores[y_true == 1], scores[y_true == 0]
    pair = weights[y_true == 1][:, None] * weights[y_true == 0][None, :]
    won = (up[:, None] > down[None, :]) + 0.5 * (up[:, None] == down[None, :])
    return math.fsum((pair * won).ravel()) / math.fsum(pair.ravel())


def steps(y_true, scores, sample_weight):
    """From the highest distinct score down: it, and the weights of negatives and positives at or above it."""
    weights = weights_of(y_true, sample_weight)
    kept = weights > 0
    y_true, scores, weights = y_true[kept], scores[kept], weights[kept]
    thresholds = np.array(sorted(set(scores.tolist()), reverse=True))
    missed = np.array([math.fsum(weights[(scores >= t) & (y_true == 0)]) for t in thresholds])
    hits = np.array([math.fsum(weights[(scores >= t) & (y_true == 1)]) for t in thresholds])
    return thresholds, missed, hits


def average_precision(y_true, scores, *, from_logits=False, sample_weight=None):
    _, missed, hits = steps(y_true, scores, sample_weight)
    return math.fsum(np.diff(hits, prepend=0) / hits[-1] * hits / (hits + missed))


def fpr_at_tpr(y_true, scores, *, from_logits=False, sample_weight=None, tpr=0.95):
    _, missed, hits = steps(y_true, scores, sample_weight)
    first = next(i for i in range(len(hits)) if hits[i] / hits[-1] >= tpr - 1e-12)
    return missed[first] / missed[-1]


def roc_curve(y_true, scores, *, from_logits=False, sample_weight=None):
    """All points, and infinity with (0, 0) first."""
    thresholds, missed, hits = steps(y_true, scores, sample_weight)
    return {
        "fpr": np.append(0, missed / missed[-1]),
        "tpr": np.append(0, hits / hits[-1]),
        "thresholds": np.append(np.inf, thresholds),
    }


def precision_recall_curve(y_true, scores, *, from_logits=False, sample_weight=None):
    thresholds, missed, hits = steps(y_true, scores, sample_weight)
    return {
        "precision": np.append((hits / (hits + missed))[::-1], 1),
        "recall": np.append((hits / hits[-1])[::-1], 0),
        "thresholds": thresholds[::-1],
    }


def score_decomposition(y_true, p, *, from_logits=False, sample_weight=None, score="brier"):
    """The mean scores of the predictions, of the fit and of the base rate, row by row."""
    weights = weights_of(y_true, sample_weight)

    def mean_score(predicted):
        if score == "brier":
            rows = (predicted - y_true) ** 2
        else:
            with np.errstate(divide="ignore"):
                rows = -np.log(np.where(y_true == 1, predicted, 1 - predicted))
        return math.fsum((weights * rows)[weights > 0]) / math.fsum(weights)

    p = np.asarray(p, float)
    given = mean_score(p)
    fitted = mean_score(estimator(y_true, p, from_logits=False, sample_weight=sample_weight))
    base = mean_score(np.full(len(p), math.fsum(weights * y_true) / math.fsum(weights)))
    return {
        "score": given,
        "miscalibration": given - fitted,
        "discrimination": base - fitted,
        "uncertainty": base,
    }


def corp_curve(y_true, p, *, from_logits=False, sample_weight=None):
    """Runs of equal fitted values."""
    distinct, fitted, total = isotonic_of_scores(p, y_true, sample_weight)
    starts = np.flatnonzero(np.append(True, np.diff(fitted) > 1e-9))
    stops = np.append(starts[1:], len(fitted))
    x = np.unique(np.append(distinct[starts], distinct[stops - 1]))
    return {
        "first": distinct[starts],
        "last": distinct[stops - 1],
        "event_rate": fitted[starts],
        "weight": np.array([total[a:b].sum() for a, b in zip(starts, stops, strict=True)]),
        "x": x,
        "fitted": fitted[np.searchsorted(distinct, x)],
    }
