"""The slow, obvious twins of the measures of ensembles: a formula each, over whole arrays, in any precision.

``members`` (M, N, K) are probabilities; ``distributions`` makes them of logits. Rows are distributions.
"""

from __future__ import annotations

import numpy as np


def distributions(logits):
    """exp z_k / sum_j exp z_j."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def shares(n_members, weights, dtype=float):
    """Weights divided by their sum."""
    w = np.ones(n_members, dtype) if weights is None else np.asarray(weights).astype(dtype)
    return w / w.sum()


def entropies(probs):
    """-sum_k p_k log p_k, with 0 log 0 = 0."""
    return -(probs * np.log(probs, where=probs > 0, out=np.zeros_like(probs))).sum(axis=-1)


def uncertainty(members, weights=None):
    """Every measure by its name."""
    w = shares(len(members), weights, members.dtype)
    mean = np.einsum("m,mnk->nk", w, members)
    votes = np.zeros(mean.shape, w.dtype)
    for weight, probs in zip(w, members, strict=True):
        votes[np.arange(len(probs)), probs.argmax(axis=-1)] += weight
    expected = np.einsum("m,mn->n", w, entropies(members))
    return {
        "prediction": mean.argmax(axis=-1),
        "max_probability": mean.max(axis=-1),
        "softmax_variance": np.einsum("m,mnk->nk", w, (members - mean) ** 2).mean(axis=-1),
        "predictive_entropy": entropies(mean),
        "expected_entropy": expected,
        "mutual_information": entropies(mean) - expected,
        "variation_ratio": 1 - votes.max(axis=-1),
    }


def divergence(p, q):
    """KL(p || q) = sum_k p_k log(p_k / q_k)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * (np.log(p) - np.log(q)), 0).sum(axis=-1)


def mean_divergence_to_the_mean(members, weights=None):
    """What mutual information is, too."""
    w = shares(len(members), weights, members.dtype)
    mean = np.einsum("m,mnk->nk", w, members)
    return sum(weight * divergence(p, mean) for weight, p in zip(w, members, strict=True))


def disagreement(members, kind, weights=None):
    """The mean over all pairs of different members."""
    w = shares(len(members), weights, members.dtype)
    total, of_pairs = np.zeros(members.shape[1], members.dtype), 0
    for m, p in enumerate(members):
        for n, q in enumerate(members):
            if m != n:
                one = (
                    divergence(p, q) if kind == "kl" else (divergence(p, (p + q) / 2) + divergence(q, (p + q) / 2)) / 2
                )
                total = total + w[m] * w[n] * one
                of_pairs += w[m] * w[n]
    return total / of_pairs if of_pairs else total
