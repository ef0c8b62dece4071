"""The state of measures of uncertainty: counts in fixed cells by kind of row, exact moments, least and largest."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fastcal import kernels as typed_kernels

from ..arrays import Array
from ..forks import cached_property
from .state import State, integer

kernels: Any = typed_kernels  # unpacked arguments cannot be counted

# The measures of an ensemble: never negative, 0 where the model is certain. States of these alone have no cells below:
# one more name here would change what the cells of written states are.
MEASURES = (
    "max_probability",
    "softmax_variance",
    "predictive_entropy",
    "expected_entropy",
    "mutual_information",
    "variation_ratio",
)
# Kinds of rows, as the kernel numbers them.
KINDS = ("correct", "wrong", "unlabelled", "out")
CORRECT, WRONG, UNLABELLED, OUT, SKIPPED = range(5)

MAX_COUNT = 1 << 61  # rows of a state: as many again can be added
EMPTY_BOUNDS = ((1 << 63) - 1, -(1 << 63))
# Exponents of two at which cells end: the logarithm of 8.8 million classes is 16, and entropies above it share a cell.
HIGHEST, HIGHEST_SIGNED = 4, 20


@dataclass(frozen=True)
class Grid:
    """Where cells lie (see kernels/uncertainty.py): from 0 up, or to both sides of 0."""

    signed: bool

    @cached_property
    def top(self) -> int:
        """Places from 0 to the cell of the largest finite numbers; the next is that of infinity."""
        cells, exponent = kernels.uncertainty, HIGHEST_SIGNED if self.signed else HIGHEST
        return int(cells.FIRST_FINE + ((exponent - cells.SPLIT) << cells.FINE_BITS))

    @property
    def zero(self) -> int:
        """The cell of 0."""
        return self.top + 1 if self.signed else 0

    @property
    def size(self) -> int:
        """Cells."""
        return self.zero + self.top + 2

    @cached_property
    def edges(self) -> Array:
        """(size + 1,): cells are [lo, hi) above 0 and (lo, hi] below; that of 0 holds nothing else."""
        cells = kernels.uncertainty
        above = np.empty(self.top + 3)
        fine = np.arange(self.top - cells.FIRST_FINE + 1, dtype=np.int64) << (52 - cells.FINE_BITS)
        coarse = np.arange(cells.FIRST_FINE - cells.FIRST, dtype=np.int64) << (52 - cells.COARSE_BITS)
        above[: cells.FIRST] = 0.0, math.ulp(0.0)
        above[cells.FIRST : cells.FIRST_FINE] = (coarse + ((1023 + cells.LOWEST) << 52)).view(np.float64)
        above[cells.FIRST_FINE : self.top + 1] = (fine + ((1023 + cells.SPLIT) << 52)).view(np.float64)
        above[self.top + 1 :] = math.inf
        return np.concatenate([-above[:0:-1], above[1:]]) if self.signed else above

    def cell(self, value: float) -> int:
        """The cell of a number above 0."""
        return int(np.searchsorted(self.edges[: self.zero + self.top + 2], value, side="right")) - 1


@dataclass
class UncertaintyState:
    """Arrays that the kernel adds to, in place; see kernels/uncertainty.py for what they hold."""

    names: tuple[str, ...]
    grid: Grid
    counts: Array  # (measures, cells, kinds)
    held: Array  # (measures, cells)
    limbs: Array  # (measures, kinds, 2, digits)
    bounds: Array  # (measures, kinds, 2)
    rows: Array  # (kinds + 1,): of each kind, and left out

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> Self:
        """Of no rows."""
        grid = grid_of(names)
        n, size = len(names), grid.size
        return cls(
            names,
            grid,
            np.zeros((n, size, len(KINDS)), np.int64),
            np.full((n, size), kernels.uncertainty.NOTHING),
            np.zeros((n, len(KINDS), 2, kernels.exact.N_LIMBS), np.int64),
            np.tile(np.array(EMPTY_BOUNDS, np.int64), (n, len(KINDS), 1)),
            np.zeros(len(KINDS) + 1, np.int64),
        )

    @property
    def arrays(self) -> tuple[Array, ...]:
        """As the kernels take them."""
        return self.counts, self.held, self.limbs, self.bounds, self.rows

    def become(self, other: Self) -> None:
        """Take over what another of the same measures holds."""
        for own, theirs in zip(self.arrays, other.arrays, strict=True):
            own[...] = theirs

    def copy(self) -> Self:
        """Another one."""
        return dataclasses.replace(
            self, **{name: getattr(self, name).copy() for name in ("counts", "held", "limbs", "bounds", "rows")}
        )

    def of(self, measure: int) -> Self:
        """A view of one measure; what it counts of rows is its own."""
        part = slice(measure, measure + 1)
        views = {name: getattr(self, name)[part] for name in ("counts", "held", "limbs", "bounds")}
        return dataclasses.replace(self, names=self.names[part], **views, rows=np.zeros_like(self.rows))

    @property
    def totals(self) -> list[int]:
        """Rows of each kind, and left out."""
        return [int(n) for n in self.rows]

    def sums(self, measure: int, kind: int) -> tuple[int, int]:
        """The sums of finite numbers and of their squares, in units of 2^-1074."""
        low, high = self.limbs[measure, kind]
        return integer(low), integer(high)

    def to_arrays(self) -> State:
        """What is written: the cells that hold rows, and all else as it is."""
        cells = np.flatnonzero(self.held != kernels.uncertainty.NOTHING)
        return {
            "cells": cells.astype(np.int64),
            "counts": self.counts.reshape(-1, len(KINDS))[cells],
            "held": self.held.reshape(-1)[cells],
            "moments_sum": self.limbs,
            "bounds": self.bounds,
            "rows": self.rows,
        }

    @classmethod
    def from_arrays(cls, names: tuple[str, ...], arrays: State) -> Self:
        """Read what was written; raises ValueError for arrays that contradict themselves or each other."""
        state = cls.empty(names)
        n = len(arrays["cells"]) if "cells" in arrays and arrays["cells"].ndim == 1 else 0
        shapes = {"cells": (n,), "counts": (n, len(KINDS)), "held": (n,)}
        shapes |= {"moments_sum": state.limbs.shape, "bounds": state.bounds.shape, "rows": state.rows.shape}
        if {name: array.shape for name, array in arrays.items()} != shapes:
            raise ValueError("not a fastcal state: its arrays are not those of uncertainty")
        cells, counts = arrays["cells"], arrays["counts"]
        most = state.held.size
        if not ((cells[1:] > cells[:-1]).all() and (n == 0 or (cells[0] >= 0 and cells[-1] < most))):
            raise ValueError("not a fastcal state: its cells are none, or not in order")
        counted = (counts >= 0).all() and (counts <= MAX_COUNT).all() and counts.any(axis=1).all()
        if not counted or (arrays["held"] == kernels.uncertainty.NOTHING).any():
            raise ValueError("not a fastcal state: it counts what cannot be counted")
        state.counts.reshape(-1, len(KINDS))[cells] = counts
        state.held.reshape(-1)[cells] = arrays["held"]
        state.limbs[...], state.bounds[...] = arrays["moments_sum"], arrays["bounds"]
        state.rows[...] = arrays["rows"]
        state.check()
        return state

    def check(self) -> None:
        """Raise ValueError where counts, sums and bounds cannot be those of the same rows."""
        digits = self.limbs[..., :-1] >> kernels.exact.LIMB_BITS
        totals = self.totals
        sound = not digits.any() and min(totals) >= 0 and sum(totals) <= MAX_COUNT
        sound = sound and (sum(totals) > 0) == bool(self.names)
        for measure in range(len(self.names)):
            counted = [_total(self.counts[measure, :, kind]) for kind in range(len(KINDS))]
            sound = sound and counted == totals[:-1] and self._held_soundly(measure)
            sound = sound and all(self._sound(measure, kind, n) for kind, n in enumerate(counted))
        if not sound:
            raise ValueError("not a fastcal state: its counts and sums contradict each other")

    def _held_soundly(self, measure: int) -> bool:
        """Whether the only number that a cell held lies in it, and none is beyond what the measure can be."""
        held, edges = self.held[measure], self.grid.edges
        single = np.flatnonzero((held != kernels.uncertainty.NOTHING) & (held != kernels.uncertainty.DIFFERENT))
        values = held[single].view(np.float64)
        inside = (values >= edges[single]) & (values <= edges[single + 1])  # nor NaN
        several = self.counts[measure][held == kernels.uncertainty.DIFFERENT].sum(axis=1)
        possible = True
        if self.names[measure] in MEASURES:
            possible = not (self.counts[measure, : self.grid.zero].any() or self.counts[measure, -1].any())
        return bool(inside.all() and (several != 1).all() and possible)

    def _sound(self, measure: int, kind: int, n: int) -> bool:
        """Whether a kind's least and largest lie in its outermost cells, and its sums between what these make of n."""
        bounds = self.bounds[measure, kind]
        if n == 0:
            return bounds.tolist() == list(EMPTY_BOUNDS) and not self.limbs[measure, kind].any()
        cells = np.flatnonzero(self.counts[measure, :, kind])
        low, high = value_of(bounds)
        edges = self.grid.edges
        inside = edges[cells[0]] <= low <= edges[cells[0] + 1] and edges[cells[-1]] <= high <= edges[cells[-1] + 1]
        if not inside or low > high:
            return False
        finite = n - sum(self.infinite(measure, kind))
        total, square = self.sums(measure, kind)
        size = max(-low, high)
        # the next float above that of a square, which may be rounded down
        most = math.nextafter(size * size, math.inf) if size < kernels.uncertainty.BEYOND else kernels.exact.LARGEST
        unsquared = size < 1e-150 or math.isinf(size) or not finite  # an infinite one says nothing of the others
        sound = 0 <= square <= finite * _units(float(most)) and (square > 0 or unsquared)
        beyond = kernels.exact.LARGEST  # of infinite ones, others are no larger than this
        least, largest = (_units(float(np.clip(value, -beyond, beyond))) * finite for value in (low, high))
        return sound and least <= total <= largest

    def infinite(self, measure: int, kind: int) -> tuple[int, int]:
        """How many numbers of a kind are minus and plus infinity."""
        counts = self.counts[measure, :, kind]
        return (int(counts[0]) if self.grid.signed else 0), int(counts[-1])


@functools.cache
def _grid(signed: bool) -> Grid:
    return Grid(signed)


def grid_of(names: Sequence[str]) -> Grid:
    """Cells from 0 up where all measures are known to be there."""
    return _grid(not set(names) <= set(MEASURES))


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Measures in the one order that states have, each once."""
    found = set(names)
    return tuple([name for name in MEASURES if name in found] + sorted(found - set(MEASURES)))


def value_of(keys: Array) -> list[float]:
    """Numbers of the keys that the kernel compares."""
    bits = np.where(keys < 0, keys ^ np.int64((1 << 63) - 1), keys)
    return [float(value) for value in bits.view(np.float64)]


def _total(counts: Array) -> int:
    """The sum of counts up to 2^61, however many there are."""
    return (int((counts >> 32).sum()) << 32) + int((counts & 0xFFFFFFFF).sum())


def _units(value: float) -> int:
    """A finite number in units of 2^-1074."""
    top, bottom = value.as_integer_ratio()
    return (top << 1074) // bottom
