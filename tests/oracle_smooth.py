"""The slow, obvious twin of the smooth calibration error: kernels summed over rows, integrated, solved for s.

Where f has one sign the integral of |f| is that of f, and the integral of a Gaussian is a difference of two normal
distribution functions: no quadrature stands between the definition and the number, only the search for changes of sign.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

LIMIT = 16.0  # logits beyond it count as at it


def places(p, s, kernel):
    """Where the rows' Gaussians stand (N, M): one each, or with its images in the mirrors at 0 and 1."""
    if kernel == "logit":
        with np.errstate(divide="ignore"):
            return np.clip(np.log(p) - np.log1p(-p), -LIMIT, LIMIT)[:, None] / 4
    far = max(1, math.ceil(5 * s))  # what is left out is more than 8 s away
    return np.concatenate([[2.0 * k + p, 2.0 * k - p] for k in range(-far, far + 1)]).T


def shares(y, p, sample_weight):
    """w_i (y_i - p_i) / sum w."""
    w = np.ones(len(p)) if sample_weight is None else np.asarray(sample_weight, float)
    return w * (y - p) / w.sum()


def smoothed(t, centres, r, s):
    """sum_i r_i K_s(t, p_i), of one t or of many."""
    z = (np.asarray(t)[..., None, None] - centres) / s
    return np.exp(-0.5 * z * z).sum(axis=-1) @ r / (s * math.sqrt(2 * math.pi))


def primitive(t, centres, r, s):
    """Its integral up to t."""
    return ndtr((np.asarray(t)[..., None, None] - centres) / s).sum(axis=-1) @ r


def ends(centres, s, kernel):
    return (0.0, 1.0) if kernel == "identity" else (centres.min() - 9 * s, centres.max() + 9 * s)


def smooth_ece_at(y, p, s, *, kernel="identity", sample_weight=None, points=8):
    """int |sum_i w_i K_s(t, p_i) (y_i - p_i) / sum_i w_i| dt; changes of sign are sought at ``points`` a bandwidth."""
    y, p = np.asarray(y, float), np.asarray(p, float)
    r, centres = shares(y, p, sample_weight), places(p, s, kernel)
    low, high = ends(centres, s, kernel)
    near = np.linspace(low, high, max(math.ceil(points * (high - low) / s), 64) + 1)
    positive = smoothed(near, centres, r, s) > 0
    crossings = [
        brentq(smoothed, near[i], near[i + 1], (centres, r, s), xtol=1e-15)
        for i in np.flatnonzero(positive[1:] != positive[:-1])
        if smoothed(near[i], centres, r, s) * smoothed(near[i + 1], centres, r, s) < 0
    ]
    whole = primitive(np.sort([*near, *crossings]), centres, r, s)
    return float(abs(np.diff(whole)).sum())


def trapezoids(y, p, s, *, kernel="identity", sample_weight=None, n=20001):
    """The same integral, by trapezoids."""
    y, p = np.asarray(y, float), np.asarray(p, float)
    r, centres = shares(y, p, sample_weight), places(p, s, kernel)
    t = np.linspace(*ends(centres, s, kernel), n)
    return float(np.trapezoid(abs(smoothed(t, centres, r, s)), t))


def smooth_ece(y, p, *, kernel="identity", sample_weight=None):
    """The s at which the integral is s, to 1e-12: halved until it is above, then between the last two."""

    def above(s):
        return smooth_ece_at(y, p, s, kernel=kernel, sample_weight=sample_weight) - s

    if not shares(np.asarray(y, float), np.asarray(p, float), sample_weight).any():
        return 0.0
    low = 0.5
    while above(low) < 0:
        low /= 2
    return brentq(above, low, 2 * low + 1e-9, xtol=1e-12)
