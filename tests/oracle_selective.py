"""The slow, obvious twins of selective prediction: all orders of ties, one after the other, in fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np


def judged(y_true, scores, *, from_logits=False, confidence=None):
    """Of each row the confidence in its prediction, in the precision of the input, and whether that is wrong."""
    y_true, scores = np.asarray(y_true), np.asarray(scores)
    scores = scores.astype(np.float32 if scores.dtype.itemsize <= 4 and scores.dtype.kind == "f" else np.float64)
    rows = scores if scores.ndim > 1 else np.stack([1 - scores, scores], axis=1)
    if from_logits:
        z = scores if scores.ndim > 1 else np.stack([np.zeros_like(scores), scores], axis=1)
        z = z - z.max(axis=1, keepdims=True)
        rows = np.exp(z.astype(float)) / np.exp(z.astype(float)).sum(axis=1, keepdims=True)
    wrong = rows.argmax(axis=1) != y_true  # the first of equals: of (N,) class 0 where p is 1/2
    own = np.minimum(rows.max(axis=1), 1)
    return (own if confidence is None else np.asarray(confidence)).astype(float), wrong.astype(int)


def areas_of_order(wrong):
    """AURC and AUGRC of rows in this order."""
    n = len(wrong)
    errors = list(itertools.accumulate(map(int, wrong)))
    return sum(Fraction(e, i + 1) for i, e in enumerate(errors)) / n, Fraction(sum(errors), n * n)


def areas_over_orders(confidence, wrong):
    """Their means over all orders in which no row comes before a more confident one: a few rows only."""
    levels = sorted(set(confidence.tolist()), reverse=True)
    ties = [itertools.permutations(wrong[confidence == level].tolist()) for level in levels]
    found = [areas_of_order(list(itertools.chain(*one))) for one in itertools.product(*ties)]
    return tuple(sum(one) / len(found) for one in zip(*found, strict=True))


def weights_of(wrong, sample_weight):
    return np.ones(len(wrong)) if sample_weight is None else np.asarray(sample_weight, float)


def ranked(confidence, wrong, sample_weight=None):
    """From the highest confidence down: it, the weight of its rows and of its errors."""
    w = weights_of(wrong, sample_weight)
    levels = sorted(set(confidence[w > 0].tolist()), reverse=True)
    weight = [math.fsum(w[confidence == level]) for level in levels]
    errors = [math.fsum(w[(confidence == level) & (wrong == 1)]) for level in levels]
    return np.array(levels), np.array(weight), np.array(errors)


def areas(confidence, wrong, sample_weight=None):
    """AURC and AUGRC of groups of equal confidence, of weights in units of their mean; with mpmath's digamma."""
    _, weight, errors = ranked(confidence, wrong, sample_weight)
    return areas_of_groups(weight, errors, int((weights_of(wrong, sample_weight) > 0).sum()))


def areas_of_groups(weight, errors, n):
    """Of groups from the highest confidence down. Sums over j = 1..n of (E + j e / n) / (N + j), and of E + j e / n."""
    with mpmath.workdps(60):
        unit = mpmath.fsum(map(mpmath.mpf, weight)) / n
        before, wrong, risks, generalized = (mpmath.mpf(0),) * 4
        for w, e in zip(weight, errors, strict=True):
            rows, bad = mpmath.mpf(float(w)) / unit, mpmath.mpf(float(e)) / unit
            harmonic = mpmath.psi(0, before + rows + 1) - mpmath.psi(0, before + 1)
            risks += bad + (wrong - bad / rows * before) * harmonic
            generalized += rows * wrong + bad * (rows + 1) / 2
            before, wrong = before + rows, wrong + bad
        return float(risks / n), float(generalized / n / n)


def aurc(y_true, scores, *, from_logits=False, sample_weight=None, confidence=None):
    return areas(*judged(y_true, scores, from_logits=from_logits, confidence=confidence), sample_weight)[0]


def augrc(y_true, scores, *, from_logits=False, sample_weight=None, confidence=None):
    return areas(*judged(y_true, scores, from_logits=from_logits, confidence=confidence), sample_weight)[1]


def e_aurc(y_true, scores, *, from_logits=False, sample_weight=None, confidence=None):
    confidence, wrong = judged(y_true, scores, from_logits=from_logits, confidence=confidence)
    w = weights_of(wrong, sample_weight)
    good, bad = math.fsum(w[wrong == 0]), math.fsum(w[wrong == 1])
    groups = [(weight, errors) for weight, errors in ((good, 0.0), (bad, bad)) if weight]
    best = areas_of_groups(*zip(*groups, strict=True), int((w > 0).sum()))[0]
    return areas(confidence, wrong, sample_weight)[0] - best


def risk_coverage_curve(y_true, scores, *, from_logits=False, sample_weight=None, confidence=None):
    confidence, wrong = judged(y_true, scores, from_logits=from_logits, confidence=confidence)
    w = weights_of(wrong, sample_weight)
    levels, _, _ = ranked(confidence, wrong, sample_weight)
    kept = np.array([math.fsum(w[confidence >= level]) for level in levels])
    bad = np.array([math.fsum(w[(confidence >= level) & (wrong == 1)]) for level in levels])
    total = math.fsum(w)
    return {"coverage": kept / total, "risk": bad / kept, "generalized_risk": bad / total, "threshold": levels}


def risk_at_coverage(y_true, scores, *, coverage=0.8, **options):
    curve = risk_coverage_curve(y_true, scores, **options)
    reached = [i for i, share in enumerate(curve["coverage"]) if share >= coverage - 1e-12]
    return curve["risk"][reached[0]]


def coverage_at_risk(y_true, scores, *, risk=0.05, **options):
    curve = risk_coverage_curve(y_true, scores, **options)
    return max((c for c, r in zip(curve["coverage"], curve["risk"], strict=True) if r <= risk + 1e-12), default=0.0)
