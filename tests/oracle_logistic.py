"""Slow twins of Platt scaling and of beta calibration: objectives as they are written down, minimised by scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


def sigmoid(eta):
    return expit(eta)


def objective(theta, features, targets, weights):
    """The weighted mean of -t log p - (1 - t) log(1 - p), its gradient and its Hessian."""
    eta = features @ theta
    p = expit(eta)
    share = weights / weights.sum()
    value = share @ (np.logaddexp(0, eta) - targets * eta)
    return value, features.T @ (share * (p - targets)), (features.T * (share * p * (1 - p))) @ features


def minimum(features, targets, weights, free=None):
    """The coefficients where the objective is least, those that are not ``free`` being 0."""
    chosen = np.ones(features.shape[1], bool) if free is None else np.asarray(free)
    given = features[:, chosen]
    found = minimize(
        lambda theta: objective(theta, given, targets, weights)[:2],
        np.zeros(given.shape[1]),
        method="trust-exact",
        jac=True,
        hess=lambda theta: objective(theta, given, targets, weights)[2],
        options={"gtol": 1e-12, "maxiter": 200},
    )
    theta = np.zeros(features.shape[1])
    theta[chosen] = found.x
    return theta


def platt(scores, y, weights=None):
    """Slope and intercept of Platt's fit."""
    scores, y = np.asarray(scores, float), np.asarray(y)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    n1, n0 = weights[y == 1].sum(), weights[y == 0].sum()
    targets = np.where(y == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    return minimum(np.stack([scores, np.ones(len(y))], axis=1), targets, weights)


def beta_features(p, parameters, clip):
    p = np.clip(np.asarray(p, float), clip, 1 - clip)
    one, other, constant = np.log(p), -np.log1p(-p), np.ones(len(p))
    if parameters == "abm":
        return np.stack([one, other, constant], axis=1)
    if parameters == "am":
        return np.stack([one + other, constant], axis=1)
    return np.stack([one + np.log(2), other - np.log(2)], axis=1)


def beta(p, y, parameters="abm", weights=None, clip=2.0**-52):
    """(a, b, c) of the best fit with a, b >= 0, among those with every choice of slopes held at 0; and its NLL."""
    y = np.asarray(y)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    features = beta_features(p, parameters, clip)
    n_slopes = 1 if parameters == "am" else 2
    rest = (True,) * (features.shape[1] - n_slopes)
    best = None
    for slopes in product([True, False], repeat=n_slopes):
        free = slopes + rest
        theta = minimum(features, y, weights, free) if any(free) else np.zeros(features.shape[1])
        value = objective(theta, features, y, weights)[0]
        if (theta[:n_slopes] >= 0).all() and (best is None or value < best[1]):
            best = theta, value
    theta, value = best
    a, b = theta[0], theta[n_slopes - 1]
    return (a, b, (a - b) * np.log(2) if parameters == "ab" else theta[-1]), value
