"""The slow, obvious twins of the calibrators that go one against the rest: a class, a bin, a model after the other."""

from __future__ import annotations

import math

import numpy as np
from oracle_calibration import equal_mass_edges
from oracle_ordered import isotonic

TINY = 2.0**-53


def one_against_rest(given, fit_and_apply, scores, labels, weights):
    """Calibrated rows of ``given``: each class by what ``fit_and_apply`` makes of its column, divided by the sum."""
    if scores.ndim == 1:
        return fit_and_apply(scores, labels == 1, weights, given)
    if scores.shape[1] == 2:
        p = fit_and_apply(scores[:, 1], labels == 1, weights, given[:, 1])
        return np.stack([1 - p, p], axis=1)
    mapped = np.stack(
        [fit_and_apply(scores[:, k], labels == k, weights, given[:, k]) for k in range(scores.shape[1])],
        axis=1,
    )
    total = mapped.sum(axis=1, keepdims=True)
    return np.where(total > 0, mapped / np.where(total > 0, total, 1), 1 / scores.shape[1])


def place(edges, p, left=False):
    """The bin of p: the first has all below, the last all above."""
    inner = edges[1:-1]
    return sum(p >= edge for edge in inner) if left else sum(p > edge for edge in inner)


def histogram(edges_of, left=False):
    """Histogram binning with the edges that ``edges_of`` (p, weights) gives."""

    def fit_and_apply(p, y, weights, given):
        edges = edges_of(p, weights)
        w = np.ones(len(p)) if weights is None else weights
        values = []
        for j in range(len(edges) - 1):
            rows = [i for i in range(len(p)) if place(edges, p[i], left) == j and w[i] > 0]
            total = math.fsum(w[i] for i in rows)
            hits = math.fsum(w[i] for i in rows if y[i])
            values.append(hits / total if rows else (edges[j] + edges[j + 1]) / 2)
        return np.array([values[place(edges, q, left)] for q in given])

    return fit_and_apply


def quantile_edges(n_bins):
    """Of equal mass; one bin for scores that are all equal."""

    def edges_of(p, weights):
        edges = equal_mass_edges(p, n_bins, weights)
        return np.array([0.0, 1.0]) if edges[0] == edges[-1] else edges

    return edges_of


def isotonic_map(p, y, weights, given):
    """The least-squares fit of each distinct score, and straight lines between them."""
    w = np.ones(len(p)) if weights is None else weights
    p, y, w = p[w > 0], y[w > 0], w[w > 0]
    scores = sorted(set(p.tolist()))
    total = np.array([math.fsum(w[p == score]) for score in scores])
    mean = np.array([math.fsum((w * y)[p == score]) for score in scores]) / total
    return np.interp(given, scores, isotonic(mean, total))


def ends_of_bins(weight, n_bins):
    """After which group each bin of equal mass ends, empty ones left out."""
    cumulated, ends = [math.fsum(weight[: g + 1]) for g in range(len(weight))], []
    for i in range(1, n_bins + 1):
        after = [g + 1 for g in range(len(weight)) if cumulated[g] * n_bins >= i * cumulated[-1]]
        end = len(weight) if i == n_bins else min(after)
        if not ends or end > ends[-1]:
            ends.append(end)
    return ends


def models_of(p, y, weights):
    """All models: number of bins asked for, score, edges, posterior means."""
    w = np.ones(len(p)) if weights is None else weights
    p, y, w = p[w > 0], y[w > 0], w[w > 0]
    scores = np.array(sorted(set(p.tolist())))
    no = [math.fsum(w[(p == score) & ~y]) for score in scores]
    yes = [math.fsum(w[(p == score) & y]) for score in scores]
    cuts = [0.0, *(scores[:-1] + np.diff(scores) / 2).tolist(), 1.0]
    total = math.fsum(no) + math.fsum(yes)
    most = max(min(math.ceil(10 * np.cbrt(total)), math.ceil(total / 5), len(scores)), 1)
    least = min(max(math.floor(np.cbrt(total) / 10), 1), most)
    models = []
    for n_bins in range(least, most + 1):
        ends = ends_of_bins([a + b for a, b in zip(no, yes, strict=True)], n_bins)
        log_score, means, prior = 0.0, [], 2 / n_bins
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            n, m = math.fsum(no[start:end]), math.fsum(yes[start:end])
            middle = min(max((cuts[start] + cuts[end]) / 2, TINY), 1 - TINY)
            alpha, beta = prior * middle, prior * (1 - middle)
            log_score += math.lgamma(prior) - math.lgamma(n + m + prior)
            log_score += math.lgamma(m + alpha) - math.lgamma(alpha) + math.lgamma(n + beta) - math.lgamma(beta)
            means.append((m + alpha) / (n + m + prior))
        models.append((n_bins, log_score, np.array([cuts[end] for end in [0, *ends]]), means))
    return models


def bbq(p, y, weights, given):
    """The mean of all models, those of next to no weight too."""
    models = models_of(p, y, weights)
    best = max(model[1] for model in models)
    shares = [math.exp(model[1] - best) for model in models]
    found = np.zeros(len(given))
    for share, (_, _, edges, means) in zip(shares, models, strict=True):
        found += share * np.array([means[place(edges, q)] for q in given])
    return found / sum(shares)
