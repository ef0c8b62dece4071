"""Logits of an overconfident model and their labels, few enough for plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT

compiled = pytest.mark.skipif(not JIT, reason="says nothing of kernels that the others leave open, and is slow")
N = 150 if JIT else 40


def logits(n=N, k=3, seed=0, dtype=np.float64):
    """Rows z (n, k) and labels drawn from a softmax of a linear map of z."""
    rng = np.random.default_rng(seed)
    z = 2.0 * rng.standard_normal((n, k))
    mix = 0.4 * np.eye(k) + 0.1 * rng.standard_normal((k, k))
    y = (z @ mix.T + 0.3 * np.arange(k) / k + rng.gumbel(size=(n, k))).argmax(axis=1)
    y[:k] = np.arange(k)  # no class is missing
    return z.astype(dtype), y


def binary(n=N, seed=1):
    """Scores z (n,) and labels."""
    rng = np.random.default_rng(seed)
    z = 2.0 * rng.standard_normal(n)
    return z, (0.6 * z + 0.2 + rng.logistic(size=n) > 0).astype(int)


def parameters(fitted):
    """(2, K) or (K, K + 1), as the oracle takes them."""
    if fitted.weight_.ndim == 1:
        return np.stack([fitted.weight_, fitted.bias_])
    return np.hstack([fitted.weight_, fitted.bias_[:, None]])
