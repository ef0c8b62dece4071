"""Linear maps of logits, slowly: the objective in plain NumPy, minimised by scipy."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax


def as_rows(scores, normalised=False):
    """Logits (N, K): a binary one z is the row (0, z); their log-softmax where normalised."""
    z = np.asarray(scores, np.float64)
    z = np.stack([np.zeros_like(z), z], axis=1) if z.ndim == 1 else z
    return log_softmax(z, axis=1) if normalised else z


def logits(z, parameters):
    """u of rows, for parameters (2, K) or (K, K + 1)."""
    k = z.shape[1]
    if parameters.shape == (2, k):
        return z * parameters[0] + parameters[1]
    return z @ parameters[:, :k].T + parameters[:, k]


def probabilities(z, parameters):
    return softmax(logits(z, parameters), axis=1)


def objective(z, y, parameters, weights=None, off_diagonal=0.0, intercept=0.0):
    """Mean NLL in nats, with ODIR's penalties."""
    k = z.shape[1]
    nll = -log_softmax(logits(z, parameters), axis=1)[np.arange(len(y)), y]
    value = np.average(nll, weights=weights)
    if parameters.shape != (2, k):
        w, b = parameters[:, :k], parameters[:, k]
        value += off_diagonal / (k * (k - 1)) * (w[~np.eye(k, dtype=bool)] ** 2).sum() + intercept / k * (b**2).sum()
    return value


def differences(function, x, step=1e-6):
    """The gradient by central differences."""
    return np.array([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def minimum(z, y, shape, weights=None, **penalties):
    """The least objective that scipy finds from the identity."""
    k = z.shape[1]
    start = np.stack([np.ones(k), np.zeros(k)]) if shape == (2, k) else np.hstack([np.eye(k), np.zeros((k, 1))])
    found = minimize(
        lambda x: objective(z, y, x.reshape(shape), weights, **penalties),
        start.ravel(),
        method="BFGS",
        options={"gtol": 1e-7, "maxiter": 500},
    )
    return found.fun, found.x.reshape(shape)
