"""Temperature scaling by its definition, in long doubles: NLL, its derivatives, the least of it by bisection."""

from __future__ import annotations

import numpy as np

REAL = np.longdouble


def as_rows(logits):
    """Logits in long doubles; binary ones (N,) as rows (0, z)."""
    logits = np.asarray(logits, REAL)
    return np.stack([np.zeros(len(logits), REAL), logits], axis=1) if logits.ndim == 1 else logits


def probabilities(logits, temperature=1.0):
    """softmax(z / T)."""
    logits = as_rows(logits)
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / REAL(temperature))
    return powers / powers.sum(axis=1, keepdims=True)


def row_terms(logits, labels, temperature):
    """Of every row: the NLL, and beta^j times its first three derivatives in beta = 1 / T."""
    found = []
    for row, label in zip(as_rows(logits), labels, strict=True):
        u = (row - row.max()) / REAL(temperature)
        p = np.exp(u)
        total = p.sum()
        p /= total
        u = np.where(p > 0, u, 0)
        mean = (p * u).sum()
        near, away = u - mean, (row[label] - row.max()) / REAL(temperature)
        found.append((np.log(total) - away, mean - away, (p * near**2).sum(), (p * near**3).sum()))
    return np.array(found, REAL).reshape(-1, 4)


def means(logits, labels, temperature, weights=None):
    """Weighted means of ``row_terms``."""
    weights = np.ones(len(labels), REAL) if weights is None else np.asarray(weights, REAL)
    return (weights[:, None] * row_terms(logits, labels, temperature)).sum(axis=0) / weights.sum()


def least(logits, labels, weights=None, low=1e-3, high=1e3):
    """The temperature of the least mean NLL, to double precision: where its slope changes sign."""
    low, high = REAL(low), REAL(high)
    while high > low * (1 + REAL(1e-15)):
        middle = np.sqrt(low * high)
        if means(logits, labels, middle, weights)[1] > 0:
            low = middle
        else:
            high = middle
    return float(low)


def components(logits, labels, temperature):
    """What a mixture mixes, at the labels: (3, N) of softmax(z / T), softmax(z) and 1 / K."""
    at = np.arange(len(labels)), np.asarray(labels)
    parts = probabilities(logits, temperature), probabilities(logits)
    return np.stack([*(part[at] for part in parts), np.full(len(labels), REAL(1) / parts[0].shape[1])])


def mixture(logits, labels, temperature, shares, weights=None):
    """The mean NLL of a mixture, and the means of c_j / p, whose negatives are its gradient."""
    parts = components(logits, labels, temperature)
    weights = np.ones(len(labels), REAL) if weights is None else np.asarray(weights, REAL)
    p = np.asarray(shares, REAL) @ parts
    return -(weights * np.log(p)).sum() / weights.sum(), (weights * parts / p).sum(axis=1) / weights.sum()
