"""The slow, obvious twin of the squared kernel calibration error: two loops over the rows of a block.

Called as those in ``oracle.py``, with the settings of the kernel besides. (N,) probabilities are rows (1 - p, p).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from oracle import softmax


def probabilities(y_prob, from_logits):
    """Rows (N, K) in float64."""
    scores = np.asarray(y_prob, float)
    if from_logits:
        return softmax(np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores)
    return np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores


def distance_of(p, q, distance):
    """Half the sum of |p_k - q_k|, or the root of the sum of (p_k - q_k)^2."""
    return np.abs(p - q).sum() / 2 if distance == "total-variation" else np.sqrt(((p - q) ** 2).sum())


def term(p, y, q, z, kernel, distance, bandwidth):
    """h = k(p, q) (e_y - p) . (e_z - q)."""
    d = distance_of(p, q, distance) / bandwidth
    k = math.exp(-d if kernel == "laplacian" else -(d**2) / 2)
    classes = np.eye(len(p))
    return k * ((classes[y] - p) @ (classes[z] - q))


def median_distance(p, distance, n_sample):
    """The median over all pairs of ``n_sample`` rows at even steps; the mean where that is 0, then 1."""
    rows = [len(p) * i // n_sample for i in range(n_sample)] if len(p) > n_sample else range(len(p))
    pairs = [distance_of(p[i], p[j], distance) for i in rows for j in rows if i < j]
    return float(np.median(pairs)) or float(np.mean(pairs)) or 1.0


def default_distance(kernel):
    return "total-variation" if kernel == "laplacian" else "euclidean"


def kernel_calibration_test(
    y_true,
    y_prob,
    *,
    from_logits=False,
    sample_weight=None,
    kernel="laplacian",
    distance=None,
    bandwidth=None,
    block_size=2,
    diagonal=False,
):
    """Mean of the blocks' means of h over pairs; with ``diagonal`` over all (i, j), which is biased."""
    p = probabilities(y_prob, from_logits)
    distance = distance or default_distance(kernel)
    if bandwidth is None:
        bandwidth = median_distance(p, distance, min(512, max(16, math.isqrt(2**25 // p.shape[1]))))
    size = min(block_size, len(p))
    blocks = []
    for first in range(0, len(p) - size + 1, size):
        rows = range(first, first + size)
        terms = [
            term(p[i], y_true[i], p[j], y_true[j], kernel, distance, bandwidth)
            for i in rows
            for j in rows
            if diagonal or i < j
        ]
        blocks.append(math.fsum(terms) / len(terms))
    mean = math.fsum(blocks) / len(blocks)
    error, p_value = math.nan, math.nan
    if len(blocks) > 1:
        variance = math.fsum((value - mean) ** 2 for value in blocks) / (len(blocks) - 1)
        error = math.sqrt(variance / len(blocks))
        p_value = 1 - NormalDist().cdf(mean / error) if error else float(mean <= 0)
    return {
        "statistic": mean,
        "standard_error": error,
        "p_value": p_value,
        "bandwidth": bandwidth,
        "n_blocks": len(blocks),
    }


def kernel_calibration_error(y_true, y_prob, **options):
    """The statistic alone."""
    return kernel_calibration_test(y_true, y_prob, **options)["statistic"]


def error_of_a_model(weights, rows, rates, kernel, distance, bandwidth):
    """The squared error itself, where predictions are few: sum_ab w_a w_b k(a, b) (r_a - a) . (r_b - b)."""
    total = 0.0
    for w, p, r in zip(weights, rows, rates, strict=True):
        for v, q, s in zip(weights, rows, rates, strict=True):
            d = distance_of(p, q, distance) / bandwidth
            total += w * v * math.exp(-d if kernel == "laplacian" else -(d**2) / 2) * ((r - p) @ (s - q))
    return total
