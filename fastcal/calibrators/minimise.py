"""Minimises a smooth convex function that is dear to evaluate, and whose curvature is known roughly, or exactly.

L-BFGS (Nocedal 1980; Liu and Nocedal 1989) that starts each direction from the given curvature in place of a multiple
of the identity: with the exact Hessian, anew at each step, it is Newton's method; with that of a part of the rows what
it learns corrects the part's error. Steps fulfil the weak Wolfe conditions by bisection (Lewis and Overton 2013), so
that the function falls at every one, whatever the curvature was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import Array

Objective = Callable[[Array], tuple[float, Array]]
Curvature = Callable[[Array], Callable[[Array], Array]]

MEMORY = 20  # pairs of steps and changes of the gradient
SUFFICIENT, STEEP = 1e-4, 0.9  # how far the function has to fall, and the slope to rise
TRIALS = 30  # of a length of a step
ROUNDING = 4e-16  # of the function, relative to it or to 1
STALLED = 3  # steps that promised no more than rounding


@dataclass
class Minimum:
    """Where a search ended."""

    x: Array
    value: float
    gradient: Array
    n_iter: int
    converged: bool  # by its gradient, or because no step lowers the function by more than rounding

    @property
    def gradient_norm(self) -> float:
        """The largest absolute entry of the gradient."""
        return float(np.abs(self.gradient).max())


def minimise(
    objective: Objective,
    start: Array,
    curvature: Curvature,
    *,
    tol: float,
    max_iter: int,
    refresh: int,
    lowest: float = -np.inf,
) -> Minimum:
    """Go down from ``start`` until no entry of the gradient exceeds ``tol``, for ``max_iter`` steps at most.

    ``curvature(x)`` returns a function that divides a vector by roughly the Hessian at x; it is asked again after
    ``refresh`` steps, after one when that is 1 (then nothing is remembered), and where a direction fails. The search
    also ends below the value ``lowest``. The objective may be NaN or infinite elsewhere than at the start.
    """
    x = start
    value, gradient = objective(x)
    divide = curvature(x)
    memory: deque[tuple[Array, Array, float]] = deque(maxlen=MEMORY)
    age = n_iter = stalled = 0
    while True:
        converged = bool(np.abs(gradient).max() <= tol) or value <= lowest or stalled >= STALLED
        if converged or n_iter >= max_iter:
            return Minimum(x, value, gradient, n_iter, converged)
        direction = -_two_loops(gradient, memory, divide)
        slope = _dot(gradient, direction)
        noise = ROUNDING * max(1.0, abs(value))
        found = _search(objective, x, value, slope, direction, noise) if slope < 0 else None
        if found is None:
            if not memory and not age:  # steepest descent along the curvature just taken fails: rounding is all
                return Minimum(x, value, gradient, n_iter, abs(slope) <= 1e4 * noise)
            divide, age = curvature(x), 0
            memory.clear()
            continue
        n_iter += 1
        length, new_value, new_gradient = found
        step = length * direction
        change = new_gradient - gradient
        along = _dot(step, change)
        if refresh > 1 and along > 1e-12 * np.sqrt(_dot(step, step) * _dot(change, change)):
            memory.append((step, change, along))
        stalled = stalled + 1 if -slope <= noise else 0
        x, value, gradient = x + step, new_value, new_gradient
        age += 1
        if age >= refresh:
            divide, age = curvature(x), 0


def _dot(a: Array, b: Array) -> float:
    """Without a library's threads, which from 10 000 numbers on wait for each other: up to 0.4 s a step under load."""
    return float((a * b).sum())


def _two_loops(gradient: Array, memory: deque[tuple[Array, Array, float]], divide: Callable[[Array], Array]) -> Array:
    """The gradient divided by the curvature as corrected by what is remembered."""
    rest = gradient.copy()
    shares = []
    for step, change, along in reversed(memory):
        share = _dot(step, rest) / along
        shares.append(share)
        rest -= share * change
    rest = divide(rest)
    if memory:  # the curvature's scale as the last step found it, as is usual where it is the identity
        _, change, along = memory[-1]
        rest *= along / _dot(change, divide(change))
    for (step, change, along), share in zip(memory, reversed(shares), strict=True):
        rest += (share - _dot(change, rest) / along) * step
    return rest


def _search(
    objective: Objective, x: Array, value: float, slope: float, direction: Array, noise: float
) -> tuple[float, float, Array] | None:
    """The length of a step, and value and gradient after it; None where no length lowers the function."""
    low, high, length = 0.0, np.inf, 1.0
    best = None
    for _ in range(TRIALS):
        new_value, gradient = objective(x + length * direction)
        new_slope = _dot(gradient, direction)
        falls = new_value <= value + SUFFICIENT * length * slope + noise and np.isfinite(new_slope)
        if falls:
            best = length, new_value, gradient
            if new_slope >= STEEP * slope:
                break
            low = length
            length = 2 * length if high == np.inf else (low + high) / 2
        else:
            high = length
            # where a parabola through what is known has its minimum, well inside what is left
            rise = new_value - value - length * slope
            bottom = -slope * length**2 / (2 * rise) if low == 0 and np.isfinite(rise) and rise > 0 else 0.0
            length = min(max(bottom, low + (high - low) / 10), (low + high) / 2)
    return best
