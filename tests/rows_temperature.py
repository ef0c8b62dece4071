"""Overconfident logits, and fits of them that warn of nothing, or of one thing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal import kernels
from fastcal.calibrators import temperature

SHAPES = (
    [(65, 3), (130, 10), (200, 0), (64, 2), (63, 4), (70, 129), (200, 17)] if JIT else [(65, 3), (66, 0), (16, 129)]
)


def sample(n, n_classes, scale=1.7, seed=0, dtype=np.float32, noise=0.1):
    """Logits that are ``scale`` times what they should be, and labels; (N,) for no classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, max(n_classes, 2)))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    wrong = rng.random(n) < noise
    labels[wrong] = rng.integers(0, max(n_classes, 2), wrong.sum())
    logits = (scale * logits).astype(dtype)
    return (logits if n_classes else logits[:, 1] - logits[:, 0]), labels


def fit(scores, labels, weights=None, **settings):
    """A fit that warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fc.TemperatureScaling(**settings).fit(scores, labels, weights)


def sums(scores, labels, weights, beta, kernel="derivatives", *arguments):
    """What a kernel adds up."""
    kernel = getattr(kernels.temperature, kernel)
    table = scores.reshape(len(scores), -1)
    into = np.zeros(kernels.temperature.N_SUMS + 2 if not arguments else kernels.temperature.N_MIXED + 1)
    given = [temperature.read_only(np.ascontiguousarray(a)) for a in (table, labels, weights)]
    kernel(*given, beta, *arguments, *temperature.scratch_for(table), into)
    return into


def ended(scores, labels, message, weights=None, **settings):
    """A fit that warns of one thing."""
    with pytest.warns(fc.FitWarning, match=message) as found:
        fitted = fc.TemperatureScaling(**settings).fit(scores, labels, weights)
    assert len(found) == 1
    assert all(np.isfinite([fitted.temperature_, fitted.nll_, fitted.gradient_norm_]))
    p = fitted.predict_proba(scores)
    assert ((p >= 0) & (p <= 1)).all()
    return fitted
