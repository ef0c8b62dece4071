"""The slow, obvious twin of what uncertainty says of rows: pairs are compared one by one, sums are fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

SPLITS = {
    "all": ("correct", "wrong", "unlabelled", "out"),
    "in": ("correct", "wrong", "unlabelled"),
    "out": ("out",),
    "correct": ("correct",),
    "wrong": ("wrong",),
    "unlabelled": ("unlabelled",),
}


def kinds_of(n, correct, out):
    """What each row is called: by whether it is out of distribution, has a label, and has a correct prediction."""
    out = np.broadcast_to(out, n)
    if correct is None:
        return np.where(out, "out", "unlabelled")
    return np.where(out, "out", np.where(np.broadcast_to(correct, n), "correct", "wrong"))


def counts(kinds):
    found = {f"n_{kind}": int((kinds == kind).sum()) for kind in ("correct", "wrong", "unlabelled", "out")}
    labelled = found["n_correct"] + found["n_wrong"]
    accuracy = found["n_correct"] / labelled if labelled else math.nan
    return {**found, "n": len(kinds), "n_in": len(kinds) - found["n_out"], "accuracy": accuracy}


def auroc(low, high):
    """P(one of ``high`` is above one of ``low``) + P(equal) / 2."""
    if not (len(low) and len(high)):
        return math.nan
    below, equal = low[:, None] < high[None], low[:, None] == high[None]
    return float((below + equal / 2).mean())


def fpr_at_95_tpr(low, high):
    """The share of ``high`` at or below the least value at or below which 95 % of ``low`` are."""
    if not (len(low) and len(high)):
        return math.nan
    for threshold in sorted(low):
        if (low <= threshold).sum() >= Fraction(95, 100) * len(low):
            return float((high <= threshold).mean())
    raise AssertionError


def square(value):
    """Exactly, unless its last digits lie below those of float64."""
    return Fraction(value) ** 2 if abs(value) >= 2.0**-480 else Fraction(value * value)


def moments(values):
    if not len(values):
        return {**dict.fromkeys(("mean", "variance", "min", "max"), math.nan), "n": 0}
    if np.isinf(values).any():
        signs = set(np.sign(values[np.isinf(values)]))
        mean, variance = (math.nan if len(signs) > 1 else signs.pop() * math.inf), math.nan
    else:
        n, total = len(values), sum(map(Fraction, values.tolist()))
        squares = sum(map(square, values.tolist()))
        mean, variance = float(total / n), float(max(squares / n - (total / n) ** 2, 0))
        if min(values) == max(values):
            variance = 0.0
        elif max(abs(values)) >= 2.0**511:
            variance = math.nan
    return {"n": len(values), "mean": mean, "variance": variance, "min": min(values), "max": max(values)}


def figures(values, kinds):
    """Of one measure, higher for more uncertain: what the report of it says."""
    values = np.asarray(values, float) + 0.0  # -0 is 0
    of = {split: values[np.isin(kinds, members)] for split, members in SPLITS.items()}
    found = {split: moments(some) for split, some in of.items()}
    for split, some in of.items():
        found[split]["at_limit"] = float((some == 0).mean()) if len(some) else math.nan
    for task, low, high in (("error", "correct", "wrong"), ("ood", "in", "out")):
        found[f"{task}_auroc"] = auroc(of[low], of[high])
        found[f"{task}_fpr_at_95_tpr"] = fpr_at_95_tpr(of[low], of[high])
    return found


def measures(members, weights=None):
    """What an ensemble's probabilities (M, N, K) make of each row, with 1 - max p for the largest probability."""
    members = np.asarray(members, np.longdouble)
    weights = np.ones(len(members)) if weights is None else np.asarray(weights, float)
    weights = (weights / weights.sum())[:, None, None]

    def entropy(p):
        with np.errstate(divide="ignore", invalid="ignore"):
            return -np.where(p > 0, p * np.log(p), 0).sum(axis=-1)

    mean = (weights * members).sum(axis=0)
    votes = weights * (np.arange(members.shape[2]) == members.argmax(axis=2)[..., None])
    expected = (weights[..., 0] * entropy(members)).sum(axis=0)
    return {
        "prediction": mean.argmax(axis=1),
        "max_probability": 1 - mean.max(axis=1),
        "softmax_variance": (weights * (members - mean) ** 2).sum(axis=0).mean(axis=1),
        "predictive_entropy": entropy(mean),
        "expected_entropy": expected,
        "mutual_information": entropy(mean) - expected,
        "variation_ratio": 1 - votes.sum(axis=0).max(axis=1),
    }
