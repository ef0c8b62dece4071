"""Residuals smoothed over the confidence: the smooth calibration error (Blasiok and Nakkiran 2024).

With r = outcome - p, weights w and a kernel K_s of bandwidth s

    smECE_s = int |sum w K_s(t, p) r / sum w| dt        smECE = the s at which smECE_s = s

which is one s, as smECE_s never grows with s. A state holds the residuals on a grid of nodes (kernels/smoothing.py);
to smooth them is to multiply their Fourier transform by exp(-(s omega)^2 / 2).

identity
    Places are p, and K_s the Gaussian reflected at 0 and 1: even functions around both are sums of cosines, so that the
    nodes and their mirror images stand on a circle.
logit
    Places are log(p / (1 - p)) / 4, as in relplot: a step is never shorter than in p, and as long at 1/2. K_s is the
    Gaussian on the line. Rows beyond +-4 (p within 1.1e-7 of 0 or 1, where float32 ends) count as at +-4: that changes
    smECE_s by at most 2 sum |w r| / sum w, the first sum over those rows: 4e-7 of their share if they are calibrated.

With nodes h apart, smECE_s is off by at most 0.0657 (h / s)^4 mean |r| for *any* rows, by the remainder of cubic
interpolation: 9 / 16 h^4 / 24 times the integral of the kernel's fourth derivative without signs, 2.801 / s^4. So is
smECE, since the slope of smECE_s - s is -1 or steeper. For mean |r| = 1/2 that is, with the identity kernel, 7.3e-6 at
s = 1e-3 and 1.2e-12 at 0.05; with the logit kernel 1e-5 at 0.0074. Rows that do not conspire with the grid are closer
by orders. To this add 2e-9 for the rounding of shares, and what the integral of |.| over points loses where the sign
changes: less than 0.02 smECE_s times the cube of the points' distance over s, which is h / s or 1 / 64.
The least bandwidth is 2 h (identity 2.4e-4, logit 2.0e-3), where the bound is 0.002: for a smECE below that, smECE_2h
stands, which is not more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .base import Accumulator, Options, Part
from .rows import Rows
from .state import Figures, State

figure = Figures()

Kernel = Literal["identity", "logit"]

LARGEST_BANDWIDTH = 100.0
RESOLVED = 2  # cells
FAR = 16  # bandwidths: what is farther than that does not meet on a circle
FINE = 64  # points a bandwidth
WITHIN, LEAST = 1e-13, 1e-9  # the fixed point: how close, and what counts as 0

N_CELLS = 1 << 13
N_NODES = N_CELLS + 3  # one more than cells, and one beyond each end


@dataclass(frozen=True)
class Grid:
    """Nodes at equal distances, of p from 0 to 1 or of its logits up to +-limit; length and step as bandwidths are."""

    limit: float | None
    length: float

    @property
    def step(self) -> float:
        """Distance of two nodes."""
        return self.length / N_CELLS

    @property
    def least(self) -> float:
        """The least bandwidth."""
        return RESOLVED * self.step


GRIDS = {"identity": Grid(None, 1.0), "logit": Grid(16.0, 8.0)}


class Residuals:
    """A state as shares of the whole weight: the residual at each node."""

    def __init__(self, grid: Grid, bandwidth: float | None, state: State) -> None:
        self.grid, self.bandwidth = grid, bandwidth
        units, self.weight = _units(state), float(state["count"][0])
        if "weighted_count" in state:
            units += _floats(state["weighted_residual_pair"]).sum(axis=1)
            self.weight += _floats(state["weighted_weight_pair"]).sum()
        self.nodes = units / (self.weight * 2.0**kernels.smoothing.UNIT_BITS) if self.weight > 0 else units

    def circle(self) -> Array:
        """The residuals on a circle around which they are smoothed."""
        if self.grid.limit:
            ends = FAR * max(self.bandwidth or 1.0, 1.0) / self.grid.step
            circle = np.zeros(1 << math.ceil(math.log2(N_NODES + ends)))
            circle[:N_NODES] = self.nodes
            return circle
        nodes = self.nodes[1:-1].copy()
        nodes[1] += self.nodes[0]
        nodes[-2] += self.nodes[-1]
        nodes[[0, -1]] *= 2  # each is its own mirror image
        return np.concatenate([nodes, nodes[-2:0:-1]]) / 2

    def smoothed(self) -> Callable[[float], float]:
        """smECE_s as a function of s, for s from that of RESOLVED cells up."""
        circle, step = self.circle(), self.grid.step
        n, spectrum = len(circle), np.fft.rfft(circle)
        exponents = -0.5 * (2 * np.pi / step * np.fft.rfftfreq(n)) ** 2

        def integral(s: float) -> float:
            # The values are wanted at FINE points a bandwidth; frequencies beyond theirs are 0 to all digits.
            points = n >> max(0, math.floor(math.log2(s / (FINE * step))))
            few = slice(points // 2 + 1)
            return _integral(np.fft.irfft(spectrum[few] * np.exp(exponents[few] * (s * s)), points))

        return integral


def _units(state: State) -> Array:
    low, high = state["residual_signed_sum"].T.astype(float)
    units: Array = high * 2.0**kernels.exact.LIMB_BITS + low
    return units


def _floats(pairs: Array) -> Array:
    return pairs.view(np.float64)


def _integral(values: Array) -> float:
    """Integral of |f| around a circle on which f has these values at distances of 1.

    Where f changes sign the sum of |f| is put right by the next term of Euler and Maclaurin, |f'| B2(theta), with f
    zero at the share theta of a cell and f' the difference of its ends. Integrals of straight lines between the values
    are off by the square of the distance, a thousand times as much for FINE points a bandwidth.
    """
    following = np.concatenate([values[1:], values[:1]])
    crossing = (values > 0) != (following > 0)
    a, b = abs(values[crossing]), abs(following[crossing])
    return float(abs(values).sum() + ((a + b) / 6 - a * b / (a + b)).sum())


def fixed_point(function: Callable[[float], float]) -> float:
    """The s in [0, 1] at which a function that does not grow is s: by secants of logarithms, kept between bounds.

    ``function(s) - s`` falls by 1 and more where s grows by 1, and so says how far s is off at most. (The Illinois way:
    a bound that stays counts half the next time.)
    """
    least = function(1.0)
    if least >= 1.0 - WITHIN:
        return 1.0
    low, high = math.log(max(least, LEAST)), 0.0  # as the function does not grow, s is not below its value at 1
    value, s = function(math.exp(low)), math.exp(low)
    if value <= s + WITHIN:
        return min(value, s)
    above, below, side = math.log(value) - low, math.log(max(least, LEAST)), 0
    for _ in range(100):
        at = high - below * (high - low) / (below - above)
        s = math.exp(at)
        value = function(s)
        if abs(value - s) <= WITHIN:
            break
        error = math.log(max(value, LEAST)) - at
        if error > 0:
            low, above, below, side = at, error, below / 2 if side > 0 else below, 1
        else:
            high, below, above, side = at, error, above / 2 if side < 0 else above, -1
    return s


@figure
def smooth_ece(residuals: Residuals) -> float:
    """Smooth calibration error: that of residuals smoothed by as much as it comes to.

    The s at which int |sum w K_s(t, p) (y - p) / sum w| dt = s, or the integral at the bandwidth set.
    """
    if not residuals.weight > 0:
        return math.nan
    smoothed, least = residuals.smoothed(), residuals.grid.least
    if residuals.bandwidth is not None:
        return smoothed(residuals.bandwidth)
    return fixed_point(lambda s: smoothed(max(s, least)))


class SmoothPart(Part):
    """Residuals on the grid of a kernel: 131 KB, and as much again once there are weights."""

    figures = figure
    light = True
    optional = frozenset({"weighted_count", "weighted_residual_pair", "weighted_weight_pair"})

    def __init__(self, kernel: Kernel = "identity", bandwidth: float | None = None) -> None:
        if kernel not in GRIDS:
            raise ValueError(f"kernel is {kernel!r}; expected one of {', '.join(GRIDS)}")
        self.kernel, self.grid = kernel, GRIDS[kernel]
        self.bandwidth = None if bandwidth is None else self._resolved(bandwidth)

    def _resolved(self, bandwidth: float) -> float:
        least = self.grid.least
        real = isinstance(bandwidth, int | float | np.integer | np.floating) and not isinstance(bandwidth, bool)
        if not (real and least <= bandwidth <= LARGEST_BANDWIDTH):
            wanted = f"a number from {least} to {LARGEST_BANDWIDTH:g} for the {self.kernel} kernel"
            raise ValueError(f"bandwidth is {bandwidth!r}; expected {wanted}")
        return float(bandwidth)

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        nodes = (N_NODES, 2)
        weighted = {"weighted_count": (1,), "weighted_residual_pair": nodes, "weighted_weight_pair": (1, 2)}
        return {"count": (1,), "residual_signed_sum": nodes, **weighted}

    def start(self, n_columns: int) -> State:
        """Sums in one number a node."""
        return {"count": np.zeros(1, np.int64), "nodes": np.zeros(N_NODES, np.int64)}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        smoothing, limit = kernels.smoothing, self.grid.limit
        p = rows.table[kernels.rows.CONFIDENCE]
        outcome = rows.hits[kernels.rows.OUTCOME]
        if rows.weights is None:
            state["count"] += smoothing.add(p, outcome, limit, state["nodes"])
            return
        if "weighted_count" not in state:
            state["weighted_count"] = np.zeros(1, np.int64)
            state["weighted_residual_pair"] = np.zeros((N_NODES, 2), np.int64)
            state["weighted_weight_pair"] = np.zeros((1, 2), np.int64)
        pairs = _floats(state["weighted_residual_pair"]), _floats(state["weighted_weight_pair"])
        state["weighted_count"] += smoothing.add_weighted(p, outcome, rows.weights, limit, *pairs)

    def collect(self, state: State) -> State:
        """Sums in two digits, which merging cannot overflow."""
        bits, nodes = kernels.exact.LIMB_BITS, state["nodes"]
        collected = {name: array for name, array in state.items() if name != "nodes"}
        collected["residual_signed_sum"] = np.stack([nodes & ((1 << bits) - 1), nodes >> bits], axis=1)
        return collected

    def rows_in(self, state: State) -> int:
        """See :meth:`Part.rows_in`. No node holds more than the residuals of all rows."""
        unit = 2.0**kernels.smoothing.UNIT_BITS
        counts = [int(state["count"][0])]
        sound = (abs(_units(state)) <= counts[0] * unit).all()
        if "weighted_count" in state:
            counts.append(int(state["weighted_count"][0]))
            weight = _floats(state["weighted_weight_pair"])[0, 0]
            sound &= (abs(_floats(state["weighted_residual_pair"])[:, 0]) <= weight * unit * (1 + 1e-9)).all()
        return sum(counts) if sound else -1

    def view(self, state: State) -> Residuals:
        """See :meth:`Part.view`."""
        return Residuals(self.grid, self.bandwidth, state)


class SmoothAccumulator(Accumulator):
    """Streaming smooth calibration error, by the identity kernel or the logit kernel; see ``fastcal.smooth_ece``.

    >>> import fastcal as fc
    >>> acc = fc.SmoothAccumulator(bandwidth=0.5)
    >>> round(acc.update([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75]).compute()["smooth_ece"], 9)
    0.25
    """

    def __init__(
        self, *, kernel: Kernel = "identity", bandwidth: float | None = None, **options: Unpack[Options]
    ) -> None:
        part = SmoothPart(kernel, bandwidth)
        settings = {"kernel": part.kernel, "bandwidth": part.bandwidth}
        super().__init__(settings=settings, parts={"smooth": part}, **options)
