"""The slow, obvious twins of the calibration errors: lists of rows, one formula each, sums by ``math.fsum``.

Nothing here is shared with the library, nothing is fast, and nothing is checked: inputs are taken to be valid. A *row*
is a tuple (weight, outcome, confidence); a *bin* is a list of rows. Rows of weight 0 count as absent.
"""

from __future__ import annotations

import bisect
import itertools
import math

import numpy as np
from oracle import softmax
from oracle_canonical import canonical_error
from oracle_conventions import by_convention

# One problem: which confidence is compared with which outcome


def problems(y_true, y_prob, target="auto", from_logits=False):
    """The (outcomes, confidences) whose error is taken: one pair, or for "class-wise" one of each class."""
    y_true, y_prob = np.asarray(y_true).astype(int), np.asarray(y_prob)
    if from_logits and y_prob.ndim == 1:
        y_prob = softmax(np.stack([np.zeros(len(y_prob)), y_prob.astype(float)], axis=1))[:, 1]
    elif from_logits:
        y_prob = softmax(y_prob.astype(float))
    if target == "auto":
        target = "positive" if y_prob.ndim == 1 else "top-label"
    if target == "positive":
        return [(y_true, y_prob if y_prob.ndim == 1 else y_prob[:, 1])]
    if y_prob.ndim == 1:
        y_prob = np.stack([1 - y_prob, y_prob], axis=1)
    if target == "top-label":
        return [((y_prob.argmax(axis=1) == y_true).astype(int), y_prob.max(axis=1))]
    return [((y_true == k).astype(int), y_prob[:, k]) for k in range(y_prob.shape[1])]


def rows_of(y, p, weights=None):
    """(weight, outcome, confidence) of each row, those of weight 0 left out."""
    weights = np.ones(len(y)) if weights is None else np.asarray(weights)
    return [(float(w), int(o), float(c)) for w, o, c in zip(weights, y, p, strict=True) if w > 0]


# Sums over one bin


def weight(rows):
    return math.fsum(w for w, _, _ in rows)


def accuracy(rows):
    return math.fsum(w * y for w, y, _ in rows) / weight(rows)


def confidence(rows):
    return math.fsum(w * p for w, _, p in rows) / weight(rows)


def gap(rows):
    """accuracy - confidence; 0 for no rows."""
    return math.fsum(w * (y - p) for w, y, p in rows) / weight(rows) if rows else 0.0


def variance(rows):
    """That of the weighted mean of d = y - p: sum w^2 (d - mean)^2 / (sum w)^2 / (1 - sum w^2 / (sum w)^2).

    For equal weights s^2 / n with the unbiased s^2. NaN for fewer than two rows.
    """
    if len(rows) < 2:
        return math.nan
    spread = math.fsum((w * (y - p - gap(rows))) ** 2 for w, y, p in rows)
    return spread / weight(rows) ** 2 / (1 - concentration(rows))


def pairs(rows):
    """The mean of d_i d_j over pairs of different rows, weighted by w_i w_j."""
    first, second = math.fsum(w * (y - p) for w, y, p in rows), math.fsum((w * (y - p)) ** 2 for w, y, p in rows)
    return (first**2 - second) / (weight(rows) ** 2 * (1 - concentration(rows)))


def variance_of_labels(rows):
    """That of the mean of the outcomes alone: accuracy (1 - accuracy) / (n - 1) for equal weights."""
    if len(rows) < 2:
        return math.nan
    return accuracy(rows) * (1 - accuracy(rows)) * concentration(rows) / (1 - concentration(rows))


def concentration(rows):
    """sum w^2 / (sum w)^2, which is 1 / n for equal weights."""
    return math.fsum(w * w for w, _, _ in rows) / weight(rows) ** 2


# Bins


def binned(y, p, edges, closed="right", weights=None):
    """Rows in the bins (lo, hi], the first also with its lower edge, or [lo, hi), the last also with its upper one.

    What is below the first edge is in the first bin, what is above the last one in the last.
    """
    bins = [[] for _ in range(len(edges) - 1)]
    inner = [float(edge) for edge in edges[1:-1]]
    place = bisect.bisect_left if closed == "right" else bisect.bisect_right
    for row in rows_of(y, p, weights):
        bins[place(inner, row[2])].append(row)
    return bins


def quantile(p, q, weights):
    """``np.quantile(p, q)`` with weights: the score at the position q (W - W / n) of the cumulative weight.

    Tied scores count as one row with their summed weight, of which the last W / n (or all, if that is less) leads over
    to the next score.
    """
    rows = sorted((float(score), float(w)) for score, w in zip(p, weights, strict=True) if w > 0)
    total = math.fsum(w for _, w in rows)
    share = total / len(rows)
    position = q * (total - share)
    scores = sorted({score for score, _ in rows})
    for score, following in zip(scores, [*scores[1:], scores[-1]], strict=True):
        end = math.fsum(w for s, w in rows if s <= score)
        if position < end or score == scores[-1]:
            ramp = min(math.fsum(w for s, w in rows if s == score), share)
            return score + (following - score) * min(max(position - (end - ramp), 0.0) / ramp, 1.0)
    raise AssertionError


def equal_mass_edges(p, n_bins, weights=None):
    """n_bins + 1 quantiles, duplicates dropped; a single score is a bin of its own."""
    p = np.asarray(p, float)
    levels = np.linspace(0, 1, n_bins + 1)
    if weights is None:
        edges = np.unique(np.quantile(p, levels))
    else:
        edges = np.unique([quantile(p, q, weights) for q in levels])
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def bins_of(y, p, *, n_bins=None, binning="uniform", closed=None, weights=None):
    """The bins of fastcal's own rule."""
    if not isinstance(binning, str):
        return binned(y, p, binning, closed or "right", weights)
    n_bins = 15 if n_bins is None else n_bins
    edges = np.linspace(0, 1, n_bins + 1) if binning == "uniform" else equal_mass_edges(p, n_bins, weights)
    return binned(y, p, edges, closed or "right", weights)


# Errors over bins


def folded_normal(mean, sd):
    """E|X| of a normal X."""
    if sd == 0:
        return abs(mean)
    z = mean / sd
    return sd * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + mean * math.erf(z / math.sqrt(2))


def error(bins, in_none=(), *, norm="l1", debiased=False, labels=False):
    """The error over bins, of "l2" its square; NaN for no rows at all.

    ``labels``: the variance is that of the outcomes (else of y - p), in "l1" over n (else over n - 1).
    """
    total = math.fsum([weight(rows) for rows in bins] + [weight(in_none)])
    if total == 0:
        return math.nan
    bins = [rows for rows in bins if rows]
    if norm == "max":
        return max((abs(gap(rows)) for rows in bins), default=0.0)
    terms = []
    for rows in bins:
        g, noise = abs(gap(rows)), variance_of_labels(rows) if labels else variance(rows)
        if norm == "l1" and debiased and len(rows) > 1:
            over_n = 1 - concentration(rows) if labels else 1
            g = 2 * g - folded_normal(g, math.sqrt(noise * over_n))
        if norm == "l2":
            unbiased = (g * g - noise if labels else pairs(rows)) if len(rows) > 1 else 0.0
            g = unbiased if debiased else g * g
        terms.append(weight(rows) * g)
    return math.fsum(terms) / total


def calibration_error(
    y_true,
    y_prob,
    *,
    n_bins=None,
    binning="uniform",
    norm="l1",
    target="auto",
    closed=None,
    convention=None,
    debiased=False,
    squared=False,
    threshold=0.0,
    from_logits=False,
    sample_weight=None,
):
    """Every option of ``fastcal.calibration_error``. Class-wise: the mean over classes, "l2" the root of the mean."""
    if target == "canonical":
        given = {"n_bins": n_bins or 15, "from_logits": from_logits, "sample_weight": sample_weight}
        return canonical_error(y_true, y_prob, norm=norm, squared=squared, **given)
    errors = []
    for y, p in problems(y_true, y_prob, target, from_logits):
        if convention == "torchmetrics" and np.ndim(y_prob) > 1 and target != "class-wise":
            p = p.astype(np.float32)  # noqa: PLW2901 - as it does, whatever the dtype of the rows
        kept = p > (threshold if threshold > 0 else -1)
        weights = None if sample_weight is None else np.asarray(sample_weight, float)[kept]
        if convention is None:
            own = {"n_bins": n_bins, "binning": binning, "closed": closed}
            bins, none = bins_of(y[kept], p[kept], **own, weights=weights), []
        else:
            bins, none = by_convention(y[kept], p[kept], convention, n_bins, weights)
        found = error(
            bins, none, norm=norm, debiased=debiased, labels=target == "class-wise" or convention == "verified"
        )
        errors.append(max(found, 0.0) if target == "class-wise" and convention == "verified" else found)
    if not all(math.isnan(e) for e in errors):  # a class of which no row is counted adds 0, unless it is so with all
        errors = [0.0 if math.isnan(e) else e for e in errors]
    value = math.fsum(errors) / len(errors)
    return math.sqrt(max(0.0, value)) if norm == "l2" and not squared else value


def _one(y_true, y_prob, **options):
    ((y, p),) = problems(y_true, y_prob, options.pop("target", "auto"), options.pop("from_logits", False))
    weights = options.pop("sample_weight", None)
    return y, p, weights, options


def signed_parts(y_true, y_prob, **options):
    """(mean confidence - mean outcome, overconfidence sum_b w_b max(conf_b - acc_b, 0), underconfidence)."""
    y, p, weights, options = _one(y_true, y_prob, **options)
    bins = [rows for rows in bins_of(y, p, weights=weights, **options) if rows]
    total = math.fsum(weight(rows) for rows in bins)
    over = math.fsum(weight(rows) * max(-gap(rows), 0.0) for rows in bins) / total
    under = math.fsum(weight(rows) * max(gap(rows), 0.0) for rows in bins) / total
    return -gap(rows_of(y, p, weights)), over, under


def signed_calibration_error(y_true, y_prob, **options):
    """Mean confidence - mean outcome."""
    return signed_parts(y_true, y_prob, **options)[0]


def if_calibrated(y, p, weights=None):
    """ECE to expect if calibrated: sum_b w_b sqrt(2 v_b / pi), v_b = conf_b (1 - conf_b) sum w^2 / (sum w)^2."""
    bins = [rows for rows in bins_of(y, p, weights=weights) if rows]
    total = math.fsum(weight(rows) for rows in bins)
    spread = [confidence(rows) * (1 - confidence(rows)) * concentration(rows) for rows in bins]
    return math.fsum(weight(r) * math.sqrt(2 * v / math.pi) for r, v in zip(bins, spread, strict=True)) / total


def curve(y_true, y_prob, **options):
    """(weight, confidence, accuracy, standard error of their difference) of each bin; NaN where there is none."""
    y, p, weights, options = _one(y_true, y_prob, **options)
    found = []
    for rows in bins_of(y, p, weights=weights, **options):
        means = (confidence(rows), accuracy(rows)) if rows else (math.nan, math.nan)
        found.append((weight(rows), *means, math.sqrt(variance(rows))))
    return found


# Without bins (or with bins of their own: ``n_bins`` plays no part)


def cumulative(y_true, y_prob, from_logits, sample_weight):
    """0, and the sums of w (y - p) / W over the rows up to each score, in order of the scores."""
    ((y, p),) = problems(y_true, y_prob, from_logits=from_logits)
    rows = rows_of(y, p, sample_weight)
    sums = [0.0]
    for score in sorted({c for _, _, c in rows}):
        sums.append(math.fsum(w * (o - c) for w, o, c in rows if c <= score) / weight(rows))
    return sums


def ks_calibration_error(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """max_k |sum_{i <= k} (y_i - p_i)| / N."""
    return max(abs(s) for s in cumulative(y_true, y_prob, from_logits, sample_weight))


def kuiper_calibration_error(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """max_k - min_k of the same sums, 0 included."""
    sums = cumulative(y_true, y_prob, from_logits, sample_weight)
    return max(sums) - min(sums)


def sweep_ece(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """The equal-mass error with the most bins up to which every number of bins has non-decreasing accuracies."""
    ((y, p),) = problems(y_true, y_prob, from_logits=from_logits)
    kept = bins_of(y, p, n_bins=1, binning="quantile", weights=sample_weight)
    for more in range(2, len(p) + 1):
        bins = bins_of(y, p, n_bins=more, binning="quantile", weights=sample_weight)
        accuracies = [accuracy(rows) for rows in bins if rows]
        if any(b < a for a, b in itertools.pairwise(accuracies)):
            break
        kept = bins
    return error(kept)


def spiegelhalter_test(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """(z, p-value): sum w (y - p)(1 - 2p) / sqrt(sum w^2 (1 - 2p)^2 p (1 - p)), two-sided."""
    ((y, p),) = problems(y_true, y_prob, from_logits=from_logits)
    rows = rows_of(y, p, sample_weight)
    top = math.fsum(w * (o - c) * (1 - 2 * c) for w, o, c in rows)
    z = top / math.sqrt(math.fsum((w * (1 - 2 * c)) ** 2 * c * (1 - c) for w, _, c in rows))
    return z, math.erfc(abs(z) / math.sqrt(2))


def brier_decomposition(y_true, y_prob, **options):
    """Murphy's terms over bins: brier = reliability - resolution + uncertainty + within_bin, each by its formula."""
    y, p, weights, options = _one(y_true, y_prob, **options)
    bins = [rows for rows in bins_of(y, p, weights=weights, **options) if rows]
    rows = [row for rows in bins for row in rows]
    total, base = weight(rows), accuracy(rows)
    within = [
        w * ((c - confidence(inside)) ** 2 - 2 * (c - confidence(inside)) * (o - accuracy(inside)))
        for inside in bins
        for w, o, c in inside
    ]
    uncertainty = base * (1 - base)
    resolution = math.fsum(weight(inside) * (accuracy(inside) - base) ** 2 for inside in bins) / total
    return {
        "brier": math.fsum(w * (c - o) ** 2 for w, o, c in rows) / total,
        "reliability": math.fsum(weight(inside) * gap(inside) ** 2 for inside in bins) / total,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "refinement": uncertainty - resolution,
        "within_bin": math.fsum(within) / total,
    }
