"""Newton's method for many small logistic fits at once: one map a column, all of them by the same passes over rows.

Of each map the weighted mean of softplus(eta) - t eta is minimised, eta = theta . (features, 1), t the target. As t is
one number for all positive rows and one for the others, sum t (features, 1) is known beforehand, and what a pass adds
up does not depend on labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array, DataError
from .base import warn
from .rows import Block, Rows

# Features of some columns of a block's scores: ``prepare(scores, columns, x, v)`` fills x, and v if there are two.
Prepare = Callable[[Array, Array, Array, Array | None], None]

ARMIJO = 1e-4  # of the decrease that the gradient promises, a step has to bring so much
SHORTEST = 2.0**-40
SLACK = 1e-14  # of the objective, below which a decrease is rounding
DAMPING = 1e-12  # of the diagonal of the Hessian: coefficients that rows do not tell apart stay where they are


def positive(labels: Array, n_maps: int, first: int, stop: int) -> tuple[Array, Array]:
    """Of maps ``first`` to ``stop``, the rows that are positive in one, and in which."""
    places = np.flatnonzero((labels >= first) & (labels < stop)) if n_maps > 1 else np.flatnonzero(labels == 1)
    return places, labels[places] if n_maps > 1 else np.zeros(len(places), np.int64)


@dataclass(frozen=True)
class Lines:
    """How the chosen columns of a block lie in lines of lanes."""

    columns: Array  # of the scores
    width: int  # columns with those of zeros that fill a line up
    rows: int  # side by side in a line

    @classmethod
    def of(cls, columns: Array) -> list[Lines]:
        """Lines of at most as many lanes as kernels take, a multiple of 8 lanes each."""
        lanes = kernels.logistic.LANES
        n_parts = -(-len(columns) // lanes)
        found = []
        for part in np.array_split(columns, n_parts):
            n = len(part)
            unit = 1 if n <= 8 else 2 if n <= 16 else 4 if n <= 32 else 8
            width = -(-n // unit) * unit
            found.append(cls(part, width, 8 // unit * (8 // n if n <= 8 else 1)))
        return found

    def spread(self, values: Array) -> Array:
        """One number a column, for each lane."""
        lanes = np.zeros(kernels.logistic.LANES)
        lanes.reshape(-1)[: self.width * self.rows].reshape(self.rows, self.width)[:, : len(values)] = values
        return lanes

    def folded(self, sums: Array) -> Array:
        """Sums of lanes (S, LANES) as those of columns (S, C)."""
        lines = sums[:, : self.width * self.rows].reshape(len(sums), self.rows, self.width)
        columns: Array = lines.sum(axis=1)[:, : len(self.columns)]
        return columns


class Features:
    """Room for the features of a block, for one thread."""

    def __init__(self, prepare: Prepare, two: bool) -> None:
        self.prepare = prepare
        self.x = np.empty(0)
        self.v = np.empty(0) if two else None

    def of(self, block: Block, lines: Lines) -> tuple[Array, Array | None]:
        """x (n, width), and v or None."""
        size = block.n_rows * lines.width
        if len(self.x) < size:
            self.x = np.empty(size)
            self.v = None if self.v is None else np.empty_like(self.x)
        x = self.x[:size].reshape(-1, lines.width)
        v = None if self.v is None else self.v[:size].reshape(-1, lines.width)
        self.prepare(block.scores, lines.columns, x, v)
        return x, v


@dataclass(frozen=True)
class Extremes:
    """Of each map, (M,): the least and the largest score of the positive rows, and of the others.

    Of no rows, inf and -inf; rows of weight 0 are none.
    """

    low1: Array
    high1: Array
    low0: Array
    high0: Array

    @classmethod
    def of(cls, rows: Rows, n_threads: int | None) -> Extremes:
        """By one pass."""
        n_maps = rows.n_maps
        found: list[Array] = []

        def make_adder() -> Callable[[Block, Array], None]:
            seen = np.full((4, n_maps), -np.inf)  # of both kinds of rows the largest -score and the largest score
            found.append(seen)

            def add(block: Block, _: Array) -> None:
                scores, labels = block.scores[:, -n_maps:], block.labels
                if block.weights is not None:
                    there = block.weights > 0
                    scores, labels = scores[there], labels[there]
                places, which = positive(labels, n_maps, 0, n_maps)
                others = scores.copy()
                for i, (sign, worst) in enumerate([(-1.0, np.inf), (1.0, -np.inf)]):
                    np.maximum.at(seen[i], which, sign * scores[places, which].astype(np.float64))
                    others[places, which] = worst
                    least = others.min(axis=0, initial=np.inf) if i == 0 else others.max(axis=0, initial=-np.inf)
                    np.maximum(seen[2 + i], sign * least, out=seen[2 + i])

            return add

        rows.total(1, make_adder, n_threads)
        if not found:
            raise DataError("batches", (), "has no rows")
        low1, high1, low0, high0 = np.max(found, axis=0)
        return cls(-low1, high1, -low0, high0)

    def bounds(self) -> tuple[Array, Array]:
        """The least score of all rows, and the largest; raises DataError if no row has a weight."""
        low, high = np.minimum(self.low0, self.low1), np.maximum(self.high0, self.high1)
        if (low > high).any():
            raise DataError("sample_weight", (0,), "is 0, as all the others; one has to be above 0")
        return low, high


@dataclass(frozen=True)
class Sums:
    """Of each map: sums of the weighted features, (M, D - 1), over all rows and over positive ones, and of weights."""

    all: Array
    positive: Array
    ones: Array  # (M,) the weight of positive rows
    others: Array  # (M,) of the others, not as a difference: 0 where there is none, and never negative

    @classmethod
    def of(cls, rows: Rows, columns: Array, prepare: Prepare, two: bool, n_threads: int | None) -> Sums:
        """By one pass."""
        n_maps, n_features = rows.n_maps, 2 if two else 1
        n_sums = 2 * n_maps * n_features

        def make_adder() -> Callable[[Block, Array], None]:
            features = Features(prepare, two)

            def add(block: Block, into: Array) -> None:
                sums = into[:n_sums].reshape(2, n_maps, n_features)
                into[n_sums:] = np.bincount(block.labels, block.weights, rows.n_classes)
                first = 0
                for lines in Lines.of(columns):
                    stop = first + len(lines.columns)
                    places, which = positive(block.labels, n_maps, first, stop)
                    for i, values in enumerate(features.of(block, lines)):
                        if values is not None:
                            weighted = values if block.weights is None else values * block.weights[:, None]
                            sums[0, first:stop, i] = weighted.sum(axis=0)[: stop - first]
                            picked = weighted[places, which - first]
                            sums[1, first:stop, i] = np.bincount(which - first, picked, stop - first)
                    first = stop

            return add

        found = rows.total(n_sums + rows.n_classes, make_adder, n_threads)
        by_class, sums = found[n_sums:], found[:n_sums].reshape(2, n_maps, n_features)
        before, after = np.append(0.0, by_class[:-1]).cumsum(), np.append(0.0, by_class[:0:-1]).cumsum()[::-1]
        return cls(sums[0], sums[1], by_class[-n_maps:], (before + after)[-n_maps:])


@dataclass
class Fit:
    """What Newton's method has found of each map, and how it ended."""

    theta: Array  # (M, D)
    loss: Array
    gradient: Array  # (M, D)
    n_iter: int = 0

    @classmethod
    def at(cls, theta: Array) -> Fit:
        """Before the first step."""
        return cls(theta, np.full(len(theta), np.inf), np.full(theta.shape, np.inf))

    def norms(self, free: Array) -> Array:
        """The largest entry of each map's gradient with respect to its free coefficients."""
        found: Array = np.where(free, abs(self.gradient), 0.0).max(axis=1)
        return found

    def outcome(self, free: Array, tol: float) -> dict[str, Any]:
        """The attributes that every such fit has; warns of maps that have not converged."""
        norms = self.norms(free)
        missed = norms > tol
        if missed.any():
            warn(
                f"not converged after {self.n_iter} iterations{of_columns(missed)}: the gradient is {norms.max():.2g}, "
                f"tol is {tol:g}"
            )
        return {"converged_": not missed.any(), "n_iter_": self.n_iter, "gradient_norm_": float(norms.max())}


@dataclass(frozen=True)
class Logistic:
    """Fits of maps: of which rows, features and targets."""

    rows: Rows
    columns: Array  # of each map
    prepare: Prepare
    linear: Array  # (M, D) mean of target times (features, 1)
    weight: float  # of all rows
    n_threads: int | None

    def at(self, theta: Array, maps: Array) -> tuple[Array, Array, Array]:
        """Objective (A,), gradient (A, D) and Hessian (A, D, D) of some maps at theirs of ``theta`` (A, D)."""
        two = theta.shape[1] == 3
        layout = kernels.logistic
        parts = Lines.of(self.columns[maps])
        n_sums = layout.N_SUMS if two else layout.ONE_FEATURE
        bounds = np.cumsum([0, *(len(lines.columns) for lines in parts)])
        order = [0, 2, 1] if two else [0, 1]  # slope, intercept, second
        coefficients = [
            np.concatenate(
                [lines.spread(theta[first:stop, i]) for i in order] + ([] if two else [lines.spread(np.zeros(1))])
            )
            for lines, first, stop in zip(parts, bounds[:-1], bounds[1:], strict=True)
        ]

        def make_adder() -> Callable[[Block, Array], None]:
            features = Features(self.prepare, two)

            def add(block: Block, into: Array) -> None:
                sums = into.reshape(n_sums, len(maps))
                for i, lines in enumerate(parts):
                    x, v = features.of(block, lines)
                    weights = None if block.weights is None else np.repeat(block.weights, lines.width)
                    flat = None if v is None else v.reshape(-1)
                    lanes = np.zeros((layout.N_SUMS + 1) * layout.LANES)
                    layout.add(x.reshape(-1), flat, weights, lines.width * lines.rows, coefficients[i], lanes)
                    sums[:, bounds[i] : bounds[i + 1]] = lines.folded(lanes.reshape(-1, layout.LANES)[:n_sums])

            return add

        s = self.rows.total(n_sums * len(maps), make_adder, self.n_threads).reshape(n_sums, len(maps)) / self.weight
        loss = s[0] - np.einsum("md,md->m", theta, self.linear[maps])
        if not two:
            gradient, hessian = [s[3], s[1]], [[s[5], s[4]], [s[4], s[2]]]
        else:
            gradient = [s[3], s[6], s[1]]
            hessian = [[s[5], s[8], s[4]], [s[8], s[9], s[7]], [s[4], s[7], s[2]]]
        return loss, np.stack(gradient, axis=1) - self.linear[maps], np.moveaxis(np.array(hessian), 2, 0)

    def minimise(self, fit: Fit, maps: Array, free: Array, tol: float, max_iter: int) -> None:
        """Improve some maps of ``fit`` by damped Newton steps of their ``free`` coefficients (M, D), in place.

        A step is halved until it lowers the objective. Where the gradient is within ``tol``, one more step is taken, as
        it squares what is left of the error; of both the one with the smaller gradient stays.
        """
        if len(maps) == 0:
            return
        loss, gradient, hessian = self.at(fit.theta[maps], maps)
        at = _State(fit.theta[maps], loss, gradient, hessian, free[maps])
        length = np.ones(len(maps))
        last = at.norm <= tol  # the next step is the last one
        active = np.asarray(at.step.any(axis=1))
        for _ in range(max_iter):
            if not active.any():
                break
            fit.n_iter += 1
            some = np.flatnonzero(active)
            trial = at.theta[some] + length[some, None] * at.step[some]
            new = _State(trial, *self.at(trial, maps[some]), free[maps[some]])
            promised = ARMIJO * length[some] * at.promise[some]
            better = new.loss <= at.loss[some] - promised + SLACK * np.maximum(abs(at.loss[some]), 1)
            better &= ~last[some] | (new.norm <= at.norm[some])
            at.take(some[better], new, better)
            active[some] &= ~last[some]
            length[some] = np.where(better, 1.0, 0.5 * length[some])
            active &= (length >= SHORTEST) & at.step.any(axis=1)
            last[some] |= better & (new.norm <= tol)
        fit.theta[maps], fit.loss[maps], fit.gradient[maps] = at.theta, at.loss, at.gradient


class _State:
    """Where some maps are, and the Newton step from there."""

    def __init__(self, theta: Array, loss: Array, gradient: Array, hessian: Array, free: Array) -> None:
        self.theta, self.loss, self.gradient = theta, loss, gradient
        slope = np.where(free, gradient, 0.0)
        self.norm = abs(slope).max(axis=1)
        size = np.sqrt(np.maximum(np.diagonal(hessian, axis1=1, axis2=2), 1e-300))
        scaled = hessian / size[:, :, None] / size[:, None, :]
        both = free[:, :, None] & free[:, None, :]
        eye = np.eye(theta.shape[1])
        scaled = np.where(both, scaled + DAMPING * eye, eye)
        with np.errstate(over="ignore"):
            self.step = np.where(free, -np.linalg.solve(scaled, (slope / size)[:, :, None])[:, :, 0] / size, 0.0)
        self.promise = -(slope * self.step).sum(axis=1)
        downhill = (self.promise > 0) & np.isfinite(self.step).all(axis=1)
        self.step[~downhill] = 0.0

    def take(self, places: Array, other: _State, chosen: Array) -> None:
        """Replace some maps by chosen ones of another state."""
        for name, values in vars(other).items():
            vars(self)[name][places] = values[chosen]


def number_or_array(values: Array, n_columns: int) -> float | Array:
    """A number where there is one map, of binary scores or of two classes."""
    return float(values[0]) if n_columns <= 2 else values


def of_columns(which: Array) -> str:
    """For a message: the first few of some maps, unless there is but one map."""
    if len(which) == 1:
        return ""
    places = np.flatnonzero(which)
    named = ", ".join(map(str, places[:5]))
    return f" in column{'s' if len(places) > 1 else ''} {named}{', ...' if len(places) > 5 else ''}"


def check_iterations(max_iter: Any, tol: Any) -> None:
    """Raise ValueError for what is no number of iterations, or no gradient to stop at."""
    if isinstance(max_iter, bool) or not isinstance(max_iter, Integral) or max_iter < 1:
        raise ValueError(f"max_iter is {max_iter!r}; expected an integer of at least 1")
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 < float(tol) < 1:
        raise ValueError(f"tol is {tol!r}; expected a number between 0 and 1")


def check_coefficients(fitted: Any, names: tuple[str, ...], n_columns: int) -> None:
    """Raise ValueError unless attributes are finite numbers, one a map, and say how the fit ended."""
    shape = () if n_columns <= 2 else (n_columns,)
    for name in names:
        value = np.asarray(getattr(fitted, name))
        if value.dtype != np.float64 or value.shape != shape or not np.isfinite(value).all():
            raise ValueError(f"{name} is no array of {shape} finite float64")
    ended = fitted.converged_, fitted.n_iter_, fitted.gradient_norm_
    if [type(value) for value in ended] != [bool, int, float] or not (ended[1] >= 0 and 0 <= ended[2] < np.inf):
        raise ValueError("converged_, n_iter_ and gradient_norm_ are no truth value, count and number")
