"""The slow, obvious twin of the canonical calibration error: a dictionary of cells, a row at a time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from oracle import softmax


def rows_of(y_prob, from_logits=False):
    """Rows (N, K) in float64, within [0, 1]: (N,) probabilities p are (1 - p, p) in their own precision."""
    scores = np.asarray(y_prob)
    if from_logits:
        scores = scores.astype(float)
        return softmax(scores if scores.ndim > 1 else np.stack([0 * scores, scores], axis=1))
    if scores.ndim == 1:
        scores = np.stack([1 - scores, scores], axis=1)
    return np.clip(scores.astype(float), 0, 1)


def bins_of(row, n_bins):
    """The bin of each class: (lo, hi], the first also with 0."""
    edges = np.linspace(0, 1, n_bins + 1)
    return tuple(max(int(np.searchsorted(edges, p, "left")) - 1, 0) for p in row.tolist())


def cells(y_true, y_prob, *, n_bins=15, from_logits=False, sample_weight=None):
    """Of each cell the sum of weights, and of weight times (outcome - p) for each class, without any rounding.

    Probabilities count in units of 2^-62, weights in units of 2^-1074 (all float64 are whole in those).
    """
    weights = np.ones(len(y_true)) if sample_weight is None else sample_weight
    found = {}
    for y, row, w in zip(y_true, rows_of(y_prob, from_logits), weights, strict=True):
        if w == 0:
            continue
        total, gaps = found.get(bins_of(row, n_bins), (0, [0] * len(row)))
        numerator, denominator = float(w).as_integer_ratio()
        weight = numerator * (2**1074 // denominator)
        ps = [round(p * 2.0**62) for p in row.tolist()]
        gaps = [gap + weight * ((int(k == y) << 62) - p) for k, (gap, p) in enumerate(zip(gaps, ps, strict=True))]
        found[bins_of(row, n_bins)] = total + weight, gaps
    return {
        key: (Fraction(weight, 2**1074), [Fraction(gap, 2 ** (1074 + 62)) for gap in gaps])
        for key, (weight, gaps) in found.items()
    }


def canonical_error(y_true, y_prob, *, norm="l1", squared=False, **options):
    """sum_c w_c 1/2 sum_k |gap_ck|; sqrt(sum_c w_c sum_k gap_ck^2); max_c 1/2 sum_k |gap_ck|."""
    found = cells(y_true, y_prob, **options).values()
    total = float(sum(weight for weight, _ in found))
    gaps = [(float(weight) / total, [float(gap / weight) for gap in gaps]) for weight, gaps in found]
    distances = [(share, math.fsum(map(abs, cell)) / 2) for share, cell in gaps]
    if norm == "l1":
        return math.fsum(share * distance for share, distance in distances)
    if norm == "max":
        return max(distance for _, distance in distances)
    square = math.fsum(share * gap * gap for share, cell in gaps for gap in cell)
    return square if squared else math.sqrt(square)
