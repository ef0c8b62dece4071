"""Rows in 1024 blocks by a hash of their number: what a bootstrap resamples instead of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..forks import linear_algebra
from . import binned
from .binned import Binned
from .bins import Binning
from .groups import GroupPart, figures_of
from .intervals import Interval, is_clear, squared_error_bound, squared_error_terms
from .labels import as_objects
from .rows import Rows
from .state import Figures, State, merged

figure = Figures()

BLOCKS = 1024
LABELS = as_objects(list(range(BLOCKS)))

# What a figure can be, so that no interval leaves it.
WITHIN_ONE = ("accuracy", "confidence", "ece", "mce", "rmsce", "overconfidence", "underconfidence", "rmsce_debiased")
FROM_ZERO = ("nll", "brier", "entropy", "ece_if_calibrated")
OF_GAPS = ("ece", "mce", "rmsce", "overconfidence", "underconfidence", "ece_debiased", "rmsce_debiased")
PLAIN = {"ece_debiased": "ece", "rmsce_debiased": "rmsce"}
LEFT_OUT = ("n", "weight", "n_zero_probability", "ece_if_calibrated")


@dataclass(frozen=True)
class Blocks:
    """Sums of each block."""

    bins: Binned
    counts: Array
    sums: Array

    def resampled(self, n_resamples: int, seed: int) -> dict[str, Array]:
        """Figures of data sets of as many blocks, drawn with replacement: (n_resamples,) each."""
        drawn = np.random.default_rng(seed).integers(0, BLOCKS, (n_resamples, BLOCKS))
        drawn += BLOCKS * np.arange(n_resamples)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_resamples * BLOCKS).reshape(n_resamples, BLOCKS).astype(float)
        held = [*self.bins.arrays().values(), self.counts, self.sums]
        # one product of all side by side takes as long as one of 15 columns
        with linear_algebra():
            product = times @ np.hstack(held)
        sums = iter(np.split(product, np.cumsum([one.shape[1] for one in held[:-1]]), axis=1))
        return figures_of(self.bins.each(lambda _: next(sums)), next(sums), next(sums))

    def together(self) -> Binned:
        """Sums over bins of all blocks."""
        return self.bins.each(lambda one: one.sum(axis=0))

    def whole(self) -> dict[str, Array]:
        """Figures of all blocks together."""
        return figures_of(self.together(), self.counts.sum(axis=0), self.sums.sum(axis=0))

    def interval(self, name: str, whole: dict[str, Array], values: Array, level: float) -> Interval:
        """Of one figure, from its resampled values."""
        if name == "squared_ce_debiased":
            return squared_interval(self, values, level)
        return interval(name, whole, values, level)

    def is_spread(self) -> bool:
        """Whether rows are in about as many blocks as a hash of as many numbers puts them."""
        rows = self.bins.count.sum(axis=-1)
        expected = BLOCKS * -math.expm1(-float(rows.sum()) / BLOCKS)
        return bool(np.count_nonzero(rows) >= expected - 6 * math.sqrt(expected))

    def intervals(self, level: float, n_resamples: int, seed: int) -> dict[str, Interval | None]:
        """Basic bootstrap intervals of every figure; None for what near calibration is mostly noise."""
        found, whole = self.resampled(n_resamples, seed), self.whole()
        names = [name for name in found if name not in LEFT_OUT]
        if not self.is_spread():
            return dict.fromkeys(names, (math.nan, math.nan))
        clear = bool(is_clear(self.together()))
        kept = {name: self.interval(name, whole, found[name], level) for name in names}
        return {name: None if name in OF_GAPS and not clear else ends for name, ends in kept.items()}


def interval(name: str, whole: dict[str, Array], values: Array, level: float) -> Interval:
    """The basic interval of a figure. A debiased one of resampled rows estimates the plain one of the rows."""
    truth = whole[PLAIN[name]] if name in PLAIN else whole[name]
    return basic(name, float(whole[name]), values, level, float(truth))


def squared_interval(blocks: Blocks, values: Array, level: float) -> Interval:
    """Of the debiased squared error: as the closed form's, with the variance that resampling shows.

    The estimate and its spread go together, so that quantiles cover 99 % at calibration and 91 % a little off it.
    """
    bins = blocks.together()
    _, rest = squared_error_terms(bins)
    slope = binned.quotient(np.asarray(max(values.var(ddof=1) - float(rest), 0.0)), binned.l2_squared(bins), 0.0)
    estimate, z = binned.debiased_l2_squared(bins), NormalDist().inv_cdf((1 + level) / 2)
    low, high = (float(squared_error_bound(estimate, slope, rest, side * z)) for side in (-1, 1))
    return low, high


def basic(name: str, estimate: float, values: Array, level: float, truth: float | None = None) -> Interval:
    """The basic bootstrap interval (Davison and Hinkley 1997, 5.2), within what the figure can be.

    How far resampled estimates are from their ``truth``, by default the estimate itself, says how far that is from its
    own: estimate - (quantiles - truth).
    """
    values = values[np.isfinite(values)]
    if not len(values) or not math.isfinite(estimate):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) - (estimate if truth is None else truth)
    least = 0.0 if name in WITHIN_ONE or name in FROM_ZERO else -math.inf
    most = 1.0 if name in WITHIN_ONE else math.inf
    return float(np.clip(estimate - high, least, most)), float(np.clip(estimate - low, least, most))


class BootstrapIntervals(dict[str, Any]):
    """Intervals (low, high) by figure; None for one that does not apply."""

    def to_dict(self) -> dict[str, Any]:
        """Lists."""
        return {name: None if ends is None else list(ends) for name, ends in self.items()}

    def undefined(self) -> BootstrapIntervals:
        """NaN for all of them."""
        return BootstrapIntervals(dict.fromkeys(self, (math.nan, math.nan)))


@figure
def bootstrap(blocks: Blocks) -> BootstrapIntervals:
    """Bootstrap intervals at 0.95, by figure.

    None for figures of absolute gaps unless every bin's exceeds 3 standard errors; ``intervals`` has a band instead.
    """
    return BootstrapIntervals(blocks.intervals(0.95, 1000, 0))


def block_of(numbers: Array, seed: int) -> Array:
    """The blocks of rows of these numbers, where they do not follow each other; see :func:`kernels.grouped.blocks`."""
    x = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(54)).astype(np.int64)


def check_seed(name: str, seed: Any) -> int:
    """A seed as an integer; raises ValueError for what is none."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 63:
        raise ValueError(f"{name} is {seed!r}; expected an integer from 0 to 2^63 - 1")
    return int(seed)


class BlockPart(GroupPart):
    """Sums of 1024 blocks. A variance estimated from so many has a relative error of sqrt(2 / 1023), 4.4 %."""

    figures = figure

    def __init__(self, binning: Binning, seed: int = 0, *, light: bool = False) -> None:
        super().__init__(binning)
        self.seed = check_seed("seed", seed)
        self.light = light  # sums over bins only

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        return self._shapes(BLOCKS)

    def shapes_of(self, state: State, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes_of`."""
        return self._shapes(BLOCKS)

    def empty(self, n_columns: int) -> State:
        """Blocks without rows."""
        shapes = self._shapes(BLOCKS).items()
        return {name: np.zeros(shape, np.int64) for name, shape in shapes if name not in self.optional}

    def codes(self, rows: Rows) -> tuple[Array, Array]:
        """The block of each row of a chunk."""
        first = rows.predictions.first_row
        if not isinstance(first, int):
            return block_of(first[rows.start : rows.start + rows.n], self.seed), LABELS
        codes = np.empty(rows.n, np.int64)
        kernels.grouped.blocks(np.uint64(first + rows.start), np.uint64(self.seed), codes)
        return codes, LABELS

    def collect(self, state: State) -> State:
        """Carry the sums."""
        collected = super().collect(state)
        collected.pop("labels", None)
        return collected or self.empty(0)

    def merge(self, left: State, right: State) -> State:
        """A new state with what both hold."""
        return merged(left, right)

    def header(self, state: State) -> Any:
        """Nothing."""
        return None

    def restored(self, header: Any) -> State:
        """Nothing: blocks have no labels."""
        raise ValueError("not a fastcal state: blocks with labels")

    def view(self, state: State) -> Any:
        """See :meth:`Part.view`."""
        return Blocks(*self.sums(state))
