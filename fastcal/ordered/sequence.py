"""Pooling numbers in the order that they are in, on threads: stretches apart, then the stretches' blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import Array, Column

# Numbers of a stretch: fewer are not worth a thread.
STRETCH = 1 << 16


@dataclass(frozen=True, eq=False)
class IsotonicResult:
    """The fit ``x`` (N,), the sum of weights of each block (B,), and where blocks begin and the last ends (B + 1,).

    >>> import fastcal as fc
    >>> found = fc.isotonic_regression([1.0, 3.0, 2.0])
    >>> found.x.tolist(), found.blocks.tolist()
    ([1.0, 2.5, 2.5], [0, 1, 3])
    """

    x: Array
    weights: Array
    blocks: Array


def pool(y: Column, weights: Column | None, *, increasing: bool, n_threads: int | None) -> IsotonicResult:
    """The least-squares fit to finite numbers that only rises, or only falls; weights are above 0."""
    n = len(y.values)
    n_stretches = max(min(4 * engine.thread_count(n_threads), n // STRETCH), 1)
    bounds = [n * number // n_stretches for number in range(n_stretches + 1)]
    stack = (
        memory.empty((n + 1,), np.dtype(np.int64)),
        memory.empty((n,), np.dtype(np.float64)),
        memory.empty((n,), np.dtype(np.float64)),
        memory.empty((n, 3), np.dtype(np.float64)),
    )
    sign = 1.0 if increasing else -1.0
    lengths = [0] * n_stretches

    def pool_stretch(number: int, _: int) -> None:
        start, end = bounds[number], bounds[number + 1]
        part = [one[start:end] for one in stack]
        given = None if weights is None else weights.chunk(start, end)
        lengths[number] = int(kernels.pooling.sequence(y.chunk(start, end), given, sign, *part))
        if start:
            stack[0][start : start + lengths[number]] += start

    engine.run(n_stretches, 8 * (n // n_stretches + 1), 1, lambda: pool_stretch, n_threads)
    size = lengths[0]
    for number in range(1, n_stretches):
        ends = bounds[number + 1]
        size = int(kernels.pooling.append(*stack, size, ends, bounds[number], lengths[number]))
    starts, values, totals, _ = stack
    starts[size] = n
    x = memory.empty((n,), np.dtype(np.float64))

    def spread(start: int, stop: int) -> None:
        kernels.pooling.spread(starts, values, sign, start, stop, x)

    engine.run(size, 8 * (n // size + 1), max(-(-size // (4 * n_stretches)), 1), lambda: spread, n_threads)
    return IsotonicResult(x, _kept(totals, size), _kept(starts, size + 1))


def _kept(array: Array, size: int) -> Array:
    """The beginning of an array, not holding on to the rest where that is much."""
    return array[:size] if 2 * size >= len(array) else array[:size].copy()
