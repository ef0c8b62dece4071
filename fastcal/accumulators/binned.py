"""Sums over bins, and every calibration error that comes from them: one formula each, for any number of slices at once.

All arrays are (..., B): one set of bins, or one for each class, group or resampled data set. What is summed exactly is
rounded once on the way here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..forks import cached_property
from .state import State, floats


@dataclass(eq=False)  # to freeze it takes a microsecond
class Binned:
    """Of each bin: rows, weight, and weighted sums of outcomes y, confidences p and residuals y - p.

    ``weight2``, ``residual2``, ``square2``: sums of squared weights, and of these times the residual and its square
    (None where they were not kept); ``square``: of weighted squared residuals. ``total`` is the weight of all rows,
    also of those in no bin.
    """

    count: Array
    weight: Array
    hits: Array
    confidence: Array
    residual: Array
    weight2: Array
    residual2: Array | None = None
    square2: Array | None = None
    square: Array | None = None
    labels_vary: bool = False  # noise is that of outcomes alone (Kumar et al. 2019), not of residuals

    @cached_property
    def total(self) -> Array:
        """The weight of all rows."""
        return np.asarray(np.add.reduce(self.weight, axis=-1))

    @cached_property
    def gaps(self) -> Array:
        """Mean outcome less mean confidence of each bin; 0 where it is empty."""
        return quotient(self.residual, self.weight, 0.0)

    @cached_property
    def shares(self) -> Array:
        """Each bin's share of the weight; NaN where there is none at all."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.weight / self.total[..., None])

    @cached_property
    def noise(self) -> Array:
        """The estimated variance of each gap, NaN for bins of fewer than two rows.

        That of a mean with weights w: sum w^2 (d - mean d)^2 / (sum w)^2 / (1 - sum w^2 / (sum w)^2), d = y - p, which
        for equal weights is the unbiased sample variance over n. For classes, or where a convention says so, d is the
        outcome alone; where squares were not kept nothing is known.
        """
        if self.labels_vary:
            mean = quotient(self.hits, self.weight, 0.0)
            spread = self.weight2 * mean * (1 - mean)
        elif self.residual2 is None or self.square2 is None:
            return np.full(self.weight.shape, np.nan)
        else:
            mean = quotient(self.residual, self.weight, 0.0)
            spread = self.square2 - 2 * mean * self.residual2 + mean * mean * self.weight2
        with np.errstate(invalid="ignore", divide="ignore"):
            room = self.weight * self.weight - self.weight2
            variance = np.maximum(spread, 0.0) / room
        return np.where((self.count > 1) & (room > 1e-12 * self.weight2), variance, np.nan)

    @cached_property
    def if_calibrated(self) -> Array:
        """The variance that each gap would have were the model calibrated: sum w^2 p (1 - p) / (sum w)^2, p per bin."""
        mean = np.clip(quotient(self.confidence, self.weight, 0.0), 0.0, 1.0)
        return quotient(self.weight2 * mean * (1 - mean), self.weight * self.weight, np.nan)

    def of(self, index: Any) -> Binned:
        """Some of the slices, or of the bins."""
        return self.each(lambda array: array[index])

    def arrays(self) -> dict[str, Array]:
        """All that were kept, by name."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "labels_vary"}
        return {name: array for name, array in found.items() if array is not None}

    def each(self, change: Callable[[Array], Array]) -> Binned:
        """The same with every array changed."""
        changed: dict[str, Any] = {name: change(array) for name, array in self.arrays().items()}
        return replace(self, **changed)

    @classmethod
    def from_state(cls, state: State, *, labels_vary: bool = False, ignored: list[int] | None = None) -> Binned:
        """Of integer sums, and of float pairs where there were weights; bins in ``ignored`` get no gap."""
        count, hits = state["count"].astype(np.float64), state["hits"].astype(np.float64)
        confidence, residual = np.empty(count.shape), np.empty(count.shape)
        digits = state["confidence_signed_sum"].reshape(-1, 3)
        kernels.binning.as_floats(state["hits"].reshape(-1), digits, confidence.reshape(-1), residual.reshape(-1))
        arrays: dict[str, Any] = {
            "weight": count,
            "hits": hits,
            "confidence": confidence,
            "residual": residual,
            "weight2": count,
        }
        if "square_sum" in state:
            square = floats(state["square_sum"])
            arrays |= {"residual2": residual, "square2": square, "square": square}
        rows = state["count"]
        if "weighted_count" in state:
            rows = rows + state["weighted_count"]
            pairs = np.moveaxis(state["weighted_pair"].view(np.float64), -2, 0)
            names = ("weight", "hits", "confidence", "weight2", "residual2", "square2", "square")
            for name, pair in zip(names, pairs, strict=False):
                if name in arrays:
                    arrays[name] = arrays[name] + (pair[..., 0] + pair[..., 1])
            high, low = np.moveaxis(pairs[1] - pairs[2], -1, 0)
            arrays["residual"] = residual + (high + low)
        if ignored:
            rows = rows.copy()
            arrays["residual"][..., ignored] = rows[..., ignored] = 0
        return cls(rows, **arrays, labels_vary=labels_vary)


def is_sound(state: State) -> bool:
    """Whether sums over bins from outside can be those of rows: each within what so many rows, or weights, come to."""
    count, hits = state["count"], state["hits"]
    sums = [floats(state["confidence_signed_sum"])] + ([floats(state["square_sum"])] if "square_sum" in state else [])
    sound = (hits <= count).all() and all(((one >= -0.01 * count) & (one <= 2.0 * count)).all() for one in sums)
    if "weighted_count" in state:
        weight, outcome, confidence, weight2, *more = np.moveaxis(
            state["weighted_pair"].view(np.float64)[..., 0], -1, 0
        )
        full = state["weighted_count"] > 0
        sound = sound and (weight >= 0).all() and (outcome >= 0).all() and (outcome <= weight * (1 + 1e-9)).all()
        sound = sound and (abs(confidence) <= 2 * weight).all() and (weight2 >= 0).all() and not weight[~full].any()
        if more:
            residual2, square2, square = more
            sound = sound and (abs(residual2) <= 2 * weight2).all() and (square2 >= 0).all() and (square >= 0).all()
            sound = sound and (square2 <= 4 * weight2).all() and (square <= 4 * weight).all()
    return bool(sound)


def quotient(a: Array, b: Array, empty: float) -> Array:
    """a / b, and ``empty`` where b is 0."""
    if a.ndim == 0 and b.ndim == 0:  # as NumPy has it, in a tenth of the time
        divisor = float(b)
        return np.asarray(float(a) / divisor if divisor else empty)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b == 0, empty, a / b)


def l1(bins: Binned) -> Array:
    """sum_b w_b |acc_b - conf_b|."""
    return _over(np.add.reduce(np.abs(bins.residual), axis=-1), bins)


def l2_squared(bins: Binned) -> Array:
    """sum_b w_b (acc_b - conf_b)^2."""
    return _over((bins.residual * bins.gaps).sum(axis=-1), bins)


def largest(bins: Binned) -> Array:
    """max_b |acc_b - conf_b| over occupied bins."""
    return np.where(bins.total > 0, np.abs(bins.gaps).max(axis=-1, initial=0.0), np.nan)


def signed(bins: Binned) -> Array:
    """Mean confidence less mean outcome."""
    return _over(-bins.residual.sum(axis=-1), bins)


def over(bins: Binned) -> Array:
    """sum_b w_b max(conf_b - acc_b, 0)."""
    return _over(np.maximum(-bins.residual, 0.0).sum(axis=-1), bins)


def under(bins: Binned) -> Array:
    """sum_b w_b max(acc_b - conf_b, 0)."""
    return _over(np.maximum(bins.residual, 0.0).sum(axis=-1), bins)


def debiased_l2_squared(bins: Binned) -> Array:
    """sum_b w_b times what each bin's squared gap is without bias; bins of one row add nothing.

    With d = y - p that is sum_{i != j} w_i w_j d_i d_j / sum_{i != j} w_i w_j, for equal weights gap^2 - s^2 / n with
    the unbiased sample variance of d. For classes, and where a convention says so, s^2 is that of the outcomes alone
    (Kumar, Liang, Ma 2019, section 5), which is the same where all p of a bin are equal.
    """
    if bins.square2 is None or bins.labels_vary:
        squared = bins.gaps**2 - bins.noise
    else:
        room = bins.weight**2 - bins.weight2
        squared = np.where(np.isnan(bins.noise), np.nan, quotient(bins.residual**2 - bins.square2, room, np.nan))
    terms = np.where(np.isnan(squared), 0.0, bins.weight * squared)
    return _over(terms.sum(axis=-1), bins)


def debiased_l1(bins: Binned) -> Array:
    """sum_b w_b (2 |gap_b| - E|N(gap_b, noise_b)|): less the bias that resampling shows (Kumar et al. 2019, appendix).

    The expectation of a folded normal in closed form. Bins of one row are taken as they are.
    """
    noise = np.nan_to_num(bins.noise)
    if bins.labels_vary:  # over n, not over n - 1
        noise = noise * np.maximum(1 - quotient(bins.weight2, bins.weight**2, 0.0), 0.0)
    gap = np.abs(bins.gaps)
    return _over((bins.weight * (2 * gap - folded(gap, np.sqrt(noise)))).sum(axis=-1), bins)


def l1_if_calibrated(bins: Binned) -> Array:
    """sum_b w_b E|N(0, v_b)|: what l1 would be of a calibrated model with these confidences."""
    deviation = np.sqrt(np.nan_to_num(bins.if_calibrated))
    return _over((bins.weight * math.sqrt(2 / math.pi) * deviation).sum(axis=-1), bins)


def folded(mean: Array, deviation: Array) -> Array:
    """E|X| of a normal X (the folded normal's mean; Leone, Nelson, Nottingham 1961)."""
    from scipy.special import ndtr

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        z = np.where(deviation > 0, mean / deviation, np.inf)
        found = deviation * math.sqrt(2 / math.pi) * np.exp(-z * z / 2) + mean * (1 - 2 * ndtr(-z))
    return np.where(deviation > 0, found, np.abs(mean))


def resolution_term(bins: Binned) -> Array:
    """RES: sum_b w_b (acc_b - mean outcome)^2."""
    mean = quotient(bins.hits.sum(axis=-1), bins.total, np.nan)
    accuracy = quotient(bins.hits, bins.weight, 0.0)
    return np.asarray((bins.shares * (accuracy - mean[..., None]) ** 2).sum(axis=-1))


def uncertainty_term(bins: Binned) -> Array:
    """UNC: mean outcome (1 - mean outcome)."""
    mean = quotient(bins.hits.sum(axis=-1), bins.total, np.nan)
    return np.asarray(mean * (1 - mean))


def mean_square(bins: Binned) -> Array:
    """The weighted mean of squared residuals; NaN where squares were not kept."""
    return np.full(bins.total.shape, np.nan) if bins.square is None else _over(bins.square.sum(axis=-1), bins)


class BrierDecomposition(NamedTuple):
    """brier = reliability - resolution + uncertainty + within_bin; refinement = uncertainty - resolution.

    >>> import fastcal as fc
    >>> found = fc.brier_decomposition([0, 1], [0.25, 0.75], n_bins=2)
    >>> found.reliability, found.resolution, found.uncertainty
    (0.0625, 0.25, 0.25)
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    refinement: float
    within_bin: float

    @classmethod
    def of(cls, bins: Binned, brier: float) -> BrierDecomposition:
        """The terms over bins, summed over classes if there are several."""
        if not bins.total.any():
            return cls(*[math.nan] * 6)
        terms = l2_squared(bins), resolution_term(bins), uncertainty_term(bins)
        rel, res, unc = (float(np.sum(np.nan_to_num(term))) for term in terms)
        return cls(brier, rel, res, unc, unc - res, brier - (rel - res + unc))

    def undefined(self) -> BrierDecomposition:
        """NaN throughout."""
        return type(self)(*[math.nan] * len(self))

    def to_dict(self) -> dict[str, float]:
        """The terms by name."""
        return self._asdict()


def _over(sums: Array, bins: Binned) -> Array:
    return quotient(sums, bins.total, np.nan)
