"""The isotonic fit as a function: knots, and what it may be off by where scores were grouped in cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array
from .groups import Blocks
from .interpolation import Interpolation, OutOfBounds


@dataclass(frozen=True)
class IsotonicFit:
    """An isotonic fit: knots, between which it is a straight line, and its blocks.

    ``scores`` and ``values`` (m,), the knots; ``first``, ``last``, ``mean`` and ``weight`` (B,), the first and the last
    score of each block of equal fitted values, that value, and the weight of its rows.

    The fit is the exact one of scores moved down by at most ``resolution``, and its mean squared loss exceeds that of
    the exact fit by at most ``excess_loss``. Both are 0 for an exact fit.
    """

    scores: Array
    values: Array
    first: Array
    last: Array
    mean: Array
    weight: Array
    resolution: float = 0.0
    excess_loss: float = 0.0
    _function: Interpolation = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_function", Interpolation(self.scores, self.values))

    @classmethod
    def of(cls, blocks: Blocks, resolution: float = 0.0, excess_loss: float = 0.0) -> IsotonicFit:
        """The fit of blocks."""
        knots = thresholds(blocks, np.dtype(np.float64))
        return cls(*knots, blocks.first, blocks.last, blocks.value, blocks.weight, resolution, excess_loss)

    def predict(
        self, scores: Any, *, out_of_bounds: OutOfBounds = "clip", out: Any = None, n_threads: int | None = None
    ) -> Array:
        """The fitted values at scores (N,), float64; outside the knots the nearest one's, NaN, or an error."""
        return self._function("scores", scores, outside=out_of_bounds, out=out, n_threads=n_threads)


def thresholds(
    found: Blocks, dtype: np.dtype[Any], y_min: float | None = None, y_max: float | None = None
) -> tuple[Array, Array]:
    """The knots of a fit: both ends of each block, but for those between two of equal value."""
    scores = np.stack([found.first, found.last], axis=1).ravel()
    values = np.repeat(found.value, 2)
    apart = np.append(True, scores[1:] != scores[:-1])  # a block of one score has one knot
    scores, values = scores[apart].astype(dtype), values[apart].astype(dtype)
    if y_min is not None or y_max is not None:
        values = np.clip(values, y_min, y_max).astype(dtype)
    kept = np.ones(len(values), bool)
    kept[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return scores[kept], values[kept]
