"""The reliability curve: bins of confidence with their accuracy, its interval, and where it would lie if calibrated."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from ..arrays import Array
from .binned import Binned, quotient


@dataclass(frozen=True)
class ReliabilityCurve:
    """Bins (lo, hi] of confidence, the first also with 0: how often the outcome came true in each.

    ``edges`` (B + 1,); all others (B,): ``count`` rows, ``weight``, mean ``confidence`` and ``accuracy``, NaN in empty
    bins; ``error``, the standard error of accuracy - confidence, NaN for fewer than two rows; ``lower`` and ``upper``,
    the interval of the accuracy at ``level`` (Wilson 1927); ``band_low`` and ``band_high``, between which it would lie
    at that level were the model calibrated (binomial quantiles; Broecker and Smith 2007). With weights n is
    (sum w)^2 / sum w^2.

    >>> import fastcal as fc
    >>> curve = fc.reliability_curve([0, 1], [0.25, 0.75], n_bins=2)
    >>> curve.count.tolist(), curve.accuracy.tolist()
    ([1, 1], [0.0, 1.0])
    """

    edges: Array
    count: Array
    weight: Array
    confidence: Array
    accuracy: Array
    error: Array
    lower: Array
    upper: Array
    band_low: Array
    band_high: Array
    level: float = 0.95

    @classmethod
    def of(cls, bins: Binned, edges: Array, level: float = 0.95) -> ReliabilityCurve:
        """Of sums over bins."""
        confidence = quotient(bins.confidence, bins.weight, math.nan)
        accuracy = quotient(bins.hits, bins.weight, math.nan)
        n = quotient(bins.weight**2, bins.weight2, math.nan)
        lower, upper = wilson(accuracy, n, level)
        low, high = binomial(np.clip(confidence, 0.0, 1.0), n, level)
        return cls(
            edges=edges.copy(),
            count=bins.count.astype(np.int64),
            weight=bins.weight.copy(),
            confidence=confidence,
            accuracy=accuracy,
            error=np.sqrt(bins.noise),
            lower=lower,
            upper=upper,
            band_low=low,
            band_high=high,
            level=level,
        )

    def undefined(self) -> ReliabilityCurve:
        """The same bins with NaN for what their rows say."""
        nan = np.full(len(self.count), math.nan)
        names = ("confidence", "accuracy", "error", "lower", "upper", "band_low", "band_high")
        changed: dict[str, Any] = {name: nan.copy() for name in names}
        return replace(self, **changed)

    def to_dict(self) -> dict[str, Any]:
        """The arrays, as lists."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}

    def plot(self, ax: Any = None) -> Any:
        """Draw the reliability diagram, on new axes or on ``ax``; returns the Axes. Needs matplotlib.

        Accuracy with its interval and the gap to confidence in each bin, the consistency band, and a histogram of
        confidence with the rows of each bin.

        >>> import fastcal as fc
        >>> fc.reliability_curve([0, 1], [0.25, 0.75]).plot().get_ylabel()
        'accuracy'
        """
        # by name: the figures' layer lies above this one
        return importlib.import_module("fastcal.report.diagram").draw(self, ax)


def wilson(share: Array, n: Array, level: float) -> tuple[Array, Array]:
    """The score interval of a share of n (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def binomial(p: Array, n: Array, level: float) -> tuple[Array, Array]:
    """Quantiles of the share of n that come true, each with probability p."""
    from scipy.special import bdtrik

    ends = []
    for q in ((1 - level) / 2, (1 + level) / 2):
        with np.errstate(invalid="ignore", divide="ignore"):
            k = np.ceil(bdtrik(q, n, p) - 1e-9)
            share = np.clip(np.where(np.isnan(k), 0.0, k) / n, 0.0, 1.0)
        # p = 0 and 1 have no quantile function; below q = (1 - p)^n it is 0
        ends.append(np.where((p <= 0) | (p >= 1), p, share))
    return ends[0], ends[1]
