"""Two models of the same rows, row by row in NumPy: what `fc.compare` sums up, written out."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_softmax, softmax
from scipy.stats import norm

N_BINS = 15


def rows_of(y, scores, from_logits):
    """Of each row: confidence, outcome, whether it is predicted right, NLL, Brier score."""
    scores = np.asarray(scores, float)
    if scores.ndim == 1:
        p = 1 / (1 + np.exp(-scores)) if from_logits else scores
        with np.errstate(divide="ignore"):
            nll = np.logaddexp(0, np.where(y == 1, -scores, scores)) if from_logits else -np.log(np.where(y, p, 1 - p))
        return p, y.astype(float), (p > 0.5) == y, nll, (p - y) ** 2
    p = softmax(scores, axis=1) if from_logits else scores
    with np.errstate(divide="ignore"):
        logs = log_softmax(scores, axis=1) if from_logits else np.log(p)
    right = p.argmax(axis=1) == y
    one_hot = np.eye(p.shape[1])[y]
    return p.max(axis=1), right.astype(float), right, -logs[np.arange(len(y)), y], ((p - one_hot) ** 2).sum(axis=1)


def interval(x, w, level, mean=None):
    """The normal interval of a weighted mean of x."""
    total = w.sum()
    mean = (w * x).sum() / total if mean is None else mean
    room = total**2 - (w**2).sum()
    spread = (w**2 * (x - (w * x).sum() / total) ** 2).sum()
    half = norm.ppf((1 + level) / 2) * math.sqrt(spread / room)
    return mean - half, mean + half


class Bins:
    """One model's rows in bins (lo, hi], with the debiased square of each gap as a sum over pairs of rows."""

    def __init__(self, p, outcome, w):
        self.k = np.clip(np.searchsorted(np.linspace(0, 1, N_BINS + 1)[1:-1], p, side="left"), 0, N_BINS - 1)
        self.d, self.w = outcome - p, w
        self.gap, self.share, self.pairs, self.noise, self.clear = (np.zeros(N_BINS) for _ in range(5))
        self.clear += 1
        for b in range(N_BINS):
            d, v = self.d[self.k == b], w[self.k == b]
            if not v.sum():
                continue
            self.gap[b], self.share[b] = (v * d).sum() / v.sum(), v.sum() / w.sum()
            room = v.sum() ** 2 - (v**2).sum()
            if room > 0:
                products = np.outer(v * d, v * d)
                self.pairs[b] = (products.sum() - np.trace(products)) / room
                self.noise[b] = (v**2 * (d - self.gap[b]) ** 2).sum() / room
            self.clear[b] = room > 0 and abs(self.gap[b]) > 3 * math.sqrt(self.noise[b])
        self.squared = (self.share * self.pairs).sum()
        self.ece = (self.share * abs(self.gap)).sum()
        self.rmsce = math.sqrt((self.share * self.gap**2).sum())

    def lines(self, name):
        """What each row adds to a figure, to the first order."""
        g = self.gap[self.k]
        if name == "ece":
            return np.sign(g) * self.d
        squares = 2 * g * self.d - g**2
        return squares if name == "squared_ce_debiased" else squares / (2 * self.rmsce)


def second_order(a, b):
    """Twice the squared covariances of gaps, of each model with itself less those of one with the other."""
    own = sum(((one.share * one.noise) ** 2).sum() for one in (a, b))
    shared = 0.0
    for i in range(N_BINS):
        for j in range(N_BINS):
            mine, theirs, both = a.k == i, b.k == j, (a.k == i) & (b.k == j)
            rooms = [a.w[rows].sum() ** 2 - (a.w[rows] ** 2).sum() for rows in (mine, theirs)]
            if min(rooms) > 0:
                products = a.w[both] ** 2 * (a.d[both] - a.gap[i]) * (b.d[both] - b.gap[j])
                shared += a.share[i] * b.share[j] * products.sum() ** 2 / (rooms[0] * rooms[1])
    return 2 * own - 4 * shared


def compare(y_true, prob_a, prob_b, *, from_logits=False, sample_weight=None, level=0.95):
    """(a, b, difference, interval) by figure; the interval is None where ECE and its root have none."""
    y = np.asarray(y_true)
    w = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
    both = from_logits if isinstance(from_logits, tuple) else (from_logits, from_logits)
    sides = [rows_of(y, scores, logits) for scores, logits in zip((prob_a, prob_b), both, strict=True)]
    found = {}
    for name, k in (("accuracy", 2), ("nll", 3), ("brier", 4)):
        a, b = (np.asarray(side[k], float) for side in sides)
        found[name] = [(w * a).sum() / w.sum(), (w * b).sum() / w.sum(), (w * (a - b)).sum() / w.sum()]
        if name == "accuracy":
            n = w.sum() ** 2 / (w**2).sum()
            only = [((w * one).sum() / w.sum() * n + 1) / (n + 2) for one in (a > b, b > a)]
            half = norm.ppf((1 + level) / 2) * math.sqrt((sum(only) - (only[0] - only[1]) ** 2) / (n + 2))
            middle, mean = only[0] - only[1], found[name][2]
            found[name].append((min(max(middle - half, -1), mean), max(min(middle + half, 1), mean)))
        else:
            found[name].append(interval(a - b, w, level))
    a, b = (Bins(*side[:2], w) for side in sides)
    found["squared_ce_debiased"] = [a.squared, b.squared, a.squared - b.squared]
    x = a.lines("squared_ce_debiased") - b.lines("squared_ce_debiased")
    first_order = interval(x, w, level, 0.0)[1]
    half = max(first_order, norm.ppf((1 + level) / 2) * math.sqrt(max(second_order(a, b), 0)))
    found["squared_ce_debiased"].append((a.squared - b.squared - half, a.squared - b.squared + half))
    for name in ("ece", "rmsce"):
        values = [getattr(one, name) for one in (a, b)]
        clear = a.clear.all() and b.clear.all()
        ends = interval(a.lines(name) - b.lines(name), w, level, values[0] - values[1]) if clear else None
        found[name] = [*values, values[0] - values[1], ends]
    return found
