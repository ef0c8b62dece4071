"""The slow, obvious twins of the kernels and metrics: one formula each, in float64, over the whole array at once.

Nothing here is shared with the library, nothing is fast, and nothing is checked: inputs are taken to be valid.
Functions with a public twin have its name, and all take ``(y_true, y_prob, *, n_bins=15, from_logits=False,
sample_weight=None)``, so that the table in ``comparisons.py`` can call them alike.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy.special import betainc

# Sums


def exact_sum(values):
    """The sum of finite numbers as if computed without any rounding, then rounded once."""
    return float(sum(Fraction(float(value)) for value in values))


def mean(values, sample_weight=None):
    """sum w v / sum w; a row of weight 0 adds nothing, even where its value is infinite."""
    values = np.asarray(values, float)
    weights = np.ones(len(values)) if sample_weight is None else np.asarray(sample_weight, float)
    values, weights = values[weights > 0], weights[weights > 0]
    return math.fsum(values * weights) / math.fsum(weights)


# One row of scores (N, K)


def softmax(logits):
    """exp z_k / sum_j exp z_j, with the maximum taken off first so that nothing overflows."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(logits):
    """z_k - log sum_j exp z_j, with the maximum taken off first."""
    d = logits - logits.max(axis=1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=1, keepdims=True))


def logsumexp(logits):
    """log sum_k exp z_k."""
    return np.logaddexp.reduce(logits, axis=1)


def entropy_of_rows(probs):
    """-sum_k p_k log p_k in nats, with 0 log 0 = 0."""
    return -(probs * np.log(probs, where=probs > 0, out=np.zeros_like(probs))).sum(axis=1)


def margin_of_rows(probs):
    """The largest p less the next; 1 for a single class."""
    if probs.shape[1] == 1:
        return np.ones(len(probs))
    ordered = np.sort(probs, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def brier_of_rows(y_true, probs):
    """sum_k (p_k - [k = y])^2."""
    return ((probs - np.eye(probs.shape[1])[y_true]) ** 2).sum(axis=1)


def nll_from_logits(y_true, logits):
    """-log softmax(z)_y = log sum_k exp(z_k - z_y), which keeps the digits of an NLL near 0."""
    return np.logaddexp.reduce(logits - logits[np.arange(len(logits)), y_true][:, None], axis=1)


def nll_from_probs(y_true, probs):
    """-log p_y."""
    with np.errstate(divide="ignore"):
        return -np.log(probs[np.arange(len(probs)), y_true])


def rows_from_probs(y_true, probs):
    """Everything that is said of each row of probabilities (N, K)."""
    probs = np.asarray(probs, float)
    prediction = probs.argmax(axis=1)
    return {
        "prediction": prediction,
        "confidence": probs.max(axis=1),
        "margin": margin_of_rows(probs),
        "entropy": entropy_of_rows(probs),
        "nll": nll_from_probs(y_true, probs),
        "brier": brier_of_rows(y_true, probs),
        "correct": prediction == y_true,
        "outcome": prediction == y_true,
    }


def rows_from_logits(y_true, logits, temperature=1.0):
    """The same for rows of logits (N, K): of softmax(z / T), and log sum_k exp(z_k / T)."""
    logits = np.asarray(logits, float) / temperature
    of_probs = rows_from_probs(y_true, softmax(logits))
    return {**of_probs, "nll": nll_from_logits(y_true, logits), "logsumexp": logsumexp(logits)}


# One score (N,) a row: the probability or the log-odds of class 1


def rows_from_confidences(y_true, p):
    """Everything that is said of each probability of class 1; ``confidence`` is p, ``outcome`` the label."""
    y_true, p = np.asarray(y_true), np.asarray(p, float)
    prediction = np.where(p > 0.5, 1, 0)
    with np.errstate(divide="ignore"):
        surprise = np.where(y_true == 1, -np.log(p), -np.log1p(-p))
    return {
        "prediction": prediction,
        "confidence": p,
        "margin": abs(p - (1 - p)),
        "entropy": entropy_of_rows(np.stack([1 - p, p], axis=1)),
        "nll": surprise,
        "brier": (p - y_true) ** 2,
        "correct": prediction == y_true,
        "outcome": y_true == 1,
    }


def rows_from_log_odds(y_true, logits):
    """The same for logits of class 1: p = 1 / (1 + exp(-z)), which is the softmax of the row (0, z)."""
    pairs = np.stack([np.zeros(len(logits)), np.asarray(logits, float)], axis=1)
    of_probs = rows_from_confidences(y_true, softmax(pairs)[:, 1])
    # 1 - p would lose what is known of the smaller of the two.
    of_pairs = {"entropy": entropy_of_rows(softmax(pairs)), "nll": nll_from_logits(y_true, pairs)}
    return {**of_probs, **of_pairs, "logsumexp": logsumexp(pairs)}


def rows(y_true, y_prob, *, from_logits=False):
    """Whichever of the four fits the scores."""
    if np.ndim(y_prob) == 1:
        return (rows_from_log_odds if from_logits else rows_from_confidences)(y_true, y_prob)
    return (rows_from_logits if from_logits else rows_from_probs)(y_true, y_prob)


# Bins


def bin_index(p, edges):
    """The bin (lo, hi] that holds p; the first also holds 0."""
    return np.maximum(np.searchsorted(edges, p, side="left") - 1, 0)


def reliability_curve(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """In each bin: rows, their weight, and the weighted means of confidence and outcome (NaN in empty bins)."""
    row = rows(y_true, y_prob, from_logits=from_logits)
    weights = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight, float)
    edges = np.linspace(0, 1, n_bins + 1)
    index = bin_index(row["confidence"], edges)
    curve = {"edges": edges, "count": [], "weight": [], "confidence": [], "accuracy": []}
    more = {"error": [], "lower": [], "upper": [], "band_low": [], "band_high": []}
    for b in range(n_bins):
        inside = index == b
        empty = not weights[inside].any()
        curve["count"].append(np.count_nonzero(inside))
        curve["weight"].append(math.fsum(weights[inside]))
        curve["confidence"].append(math.nan if empty else mean(row["confidence"][inside], weights[inside]))
        curve["accuracy"].append(math.nan if empty else mean(row["outcome"][inside], weights[inside]))
        found = certainty(row["outcome"][inside], row["confidence"][inside], weights[inside])
        for name, value in zip(more, found, strict=True):
            more[name].append(value)
    return {"level": 0.95, **{name: np.array(values) for name, values in {**curve, **more}.items()}}


def certainty(outcome, confidence, w):
    """Of one bin: standard error of its gap, Wilson's interval of its accuracy, and the consistency band."""
    if not w.any():
        return (math.nan,) * 5
    n, z = w.sum() ** 2 / (w * w).sum(), 1.959963984540054
    gap = outcome - confidence - mean(outcome - confidence, w)
    kept = np.count_nonzero(w) > 1
    error = math.sqrt((w * w * gap * gap).sum() / w.sum() ** 2 / (1 - 1 / n)) if kept else math.nan
    share, p = mean(outcome, w), mean(confidence, w)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    middle = share + z * z / (2 * n)
    lower, upper = ((middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    return error, max(lower, 0), min(upper, 1), binomial(0.025, n, p), binomial(0.975, n, p)


def binomial(q, n, p):
    """The least k with P(X <= k) >= q, over n, which with weights need not be whole."""
    if p in (0, 1):
        return p
    low, high = -1, math.ceil(n)  # P(X <= low) < q <= P(X <= high)
    while high - low > 1:
        k = (low + high) // 2
        low, high = (low, k) if betainc(n - k, k + 1, 1 - p) >= q else (k, high)
    k = high
    return min(k / n, 1.0)


def binned_error(y_true, y_prob, *, norm="l1", n_bins=15, from_logits=False, sample_weight=None):
    """sum_b w_b |acc_b - conf_b| / sum_b w_b ("l1"), or the largest |acc_b - conf_b| ("max"), over occupied bins."""
    curve = reliability_curve(y_true, y_prob, n_bins=n_bins, from_logits=from_logits, sample_weight=sample_weight)
    occupied = curve["weight"] > 0
    gaps = abs(curve["accuracy"] - curve["confidence"])[occupied]
    shares = curve["weight"][occupied]
    return {"l1": mean(gaps, shares), "l2": math.sqrt(mean(gaps**2, shares)), "max": float(gaps.max())}[norm]


def ece(y_true, y_prob, **options):
    """sum_b w_b |acc_b - conf_b| / sum_b w_b."""
    return binned_error(y_true, y_prob, norm="l1", **options)


def mce(y_true, y_prob, **options):
    """The largest |acc_b - conf_b|."""
    return binned_error(y_true, y_prob, norm="max", **options)


def rmsce(y_true, y_prob, **options):
    """sqrt(sum_b w_b (acc_b - conf_b)^2 / sum_b w_b)."""
    return binned_error(y_true, y_prob, norm="l2", **options)


# Means over rows


def nll(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """Mean of -log p_y."""
    return mean(rows(y_true, y_prob, from_logits=from_logits)["nll"], sample_weight)


def brier_score(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """Mean of sum_k (p_k - [k = y])^2, for (N,) of (p - y)^2."""
    return mean(rows(y_true, y_prob, from_logits=from_logits)["brier"], sample_weight)


def accuracy(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """Share of rows whose prediction is the label."""
    return mean(rows(y_true, y_prob, from_logits=from_logits)["correct"], sample_weight)


def mean_entropy(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """Mean entropy in nats."""
    return mean(rows(y_true, y_prob, from_logits=from_logits)["entropy"], sample_weight)


def mean_confidence(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """Mean of the largest p, for (N,) of p."""
    return mean(rows(y_true, y_prob, from_logits=from_logits)["confidence"], sample_weight)


# What has more than one figure


def softmax_summary(y_true, y_prob, *, n_bins=15, from_logits=True, sample_weight=None):
    """The arrays (N,) that ``fastcal.softmax_summary(y_prob)`` has; ``y_true`` plays no part in them."""
    row = rows(y_true, y_prob, from_logits=from_logits)
    return {name: row[name] for name in ("prediction", "confidence", "margin", "entropy", "logsumexp")}


def report_over_bins(y_true, y_prob, **options):
    """The figures of the report that come from means of rows and from uniform bins alone."""
    import oracle_calibration as more

    surprise = rows(y_true, y_prob, from_logits=options["from_logits"])["nll"]
    weights = options["sample_weight"]
    ((y, p),) = more.problems(y_true, y_prob, from_logits=options["from_logits"])
    signed, over, under = more.signed_parts(y_true, y_prob, **options)
    return {
        "n": len(y_true),
        "n_nan": 0,
        "n_classes": np.shape(y_prob)[1] if np.ndim(y_prob) > 1 else 2,
        "n_zero_probability": np.count_nonzero(np.isinf(surprise) & (weights is None or np.asarray(weights) > 0)),
        "accuracy": accuracy(y_true, y_prob, **options),
        "confidence": mean_confidence(y_true, y_prob, **options),
        "ece": ece(y_true, y_prob, **options),
        "mce": mce(y_true, y_prob, **options),
        "rmsce": rmsce(y_true, y_prob, **options),
        "ece_if_calibrated": more.if_calibrated(y, p, weights),
        "signed_calibration_error": signed,
        "overconfidence": over,
        "underconfidence": under,
        "nll": nll(y_true, y_prob, **options),
        "brier": brier_score(y_true, y_prob, **options),
        "entropy": mean_entropy(y_true, y_prob, **options),
    }


def evaluation(y_true, y_prob, **options):
    """The figures of the whole report; some of them take time quadratic in the rows."""
    import oracle_calibration as more
    import oracle_smooth

    ((y, p),) = more.problems(y_true, y_prob, from_logits=options["from_logits"])
    z, p_value = more.spiegelhalter_test(y_true, y_prob, **options)
    squared = {"norm": "l2", "debiased": True}
    return {
        **report_over_bins(y_true, y_prob, **options),
        "ece_debiased": more.calibration_error(y_true, y_prob, debiased=True, **options),
        "squared_ce_debiased": more.calibration_error(y_true, y_prob, squared=True, **squared, **options),
        "rmsce_debiased": more.calibration_error(y_true, y_prob, **squared, **options),
        "classwise_ece": more.calibration_error(y_true, y_prob, target="class-wise", **options),
        "classwise_rmsce": more.calibration_error(y_true, y_prob, target="class-wise", norm="l2", **options),
        "ks_calibration_error": more.ks_calibration_error(y_true, y_prob, **options),
        "kuiper_calibration_error": more.kuiper_calibration_error(y_true, y_prob, **options),
        "adaptive_ece": more.calibration_error(y_true, y_prob, binning="quantile", **options),
        "sweep_ece": more.sweep_ece(y_true, y_prob, **options),
        "order_bound": 0.0,
        "brier_decomposition": list(more.brier_decomposition(y_true, y_prob, **options).values()),
        "smooth_ece": oracle_smooth.smooth_ece(y, np.asarray(p, float), sample_weight=options["sample_weight"]),
        "spiegelhalter_z": z,
        "spiegelhalter_p": p_value,
    }
