"""The isotonic fit as a function: knots, and what it may be off by where scores were grouped in cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array, DataError
from .groups import Blocks
from .interpolation import Interpolation, OutOfBounds


@dataclass(frozen=True, eq=False)
class IsotonicFit:
    """An isotonic fit: knots, between which it is a straight line, and its blocks.

    ``scores`` and ``values`` (m,), the knots; ``first``, ``last``, ``mean`` and ``weight`` (B,), the first and the last
    score of each block of equal fitted values, that value, and the weight of its rows.

    The fit is the exact one of scores moved by at most ``resolution``: all scores of a cell to the same place. Blocks
    reach to the ends of their cells, so ``predict`` gives the rows that were seen the value of their block, and its
    mean squared loss there exceeds that of the exact fit by at most ``excess_loss``. Both are 0 for an exact fit.

    >>> import fastcal as fc
    >>> fc.IsotonicAccumulator().update([0, 1, 0], [0.1, 0.2, 0.3]).compute().values.tolist()
    [0.0, 0.5, 0.5]
    """

    scores: Array
    values: Array
    first: Array
    last: Array
    mean: Array
    weight: Array
    resolution: float = 0.0
    excess_loss: float = 0.0
    _function: Interpolation = field(init=False, repr=False)

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
        """The fitted values at scores (N,), float64; outside the knots the nearest one's, NaN, or an error.

        >>> import fastcal as fc
        >>> fc.IsotonicAccumulator().update([0, 1], [0.0, 1.0]).compute().predict([0.25, 2.0]).tolist()
        [0.25, 1.0]
        """
        return self._function.at("scores", scores, outside=out_of_bounds, out=out, n_threads=n_threads)


def thresholds(
    found: Blocks, dtype: np.dtype[Any], y_min: float | None = None, y_max: float | None = None
) -> tuple[Array, Array]:
    """The knots of a fit: both ends of each block, but for those between two of equal value.

    Ends that ``dtype`` does not have are rounded into their block. Raises DataError for values beyond ``dtype``.
    """
    limits = np.finfo(dtype)
    first, last = (np.clip(ends, limits.min, limits.max).astype(dtype) for ends in (found.first, found.last))
    last = np.where(last > found.last, np.nextafter(last, limits.min), last)
    scores = np.stack([first, np.maximum(first, last)], axis=1).ravel()
    with np.errstate(over="ignore"):
        values = np.repeat(found.value, 2).astype(dtype)
        if y_min is not None or y_max is not None:
            values = np.clip(values, y_min, y_max).astype(dtype)
    if not np.isfinite(values).all():
        raise DataError("y", (), f"has fitted values beyond {dtype}, the dtype of X")
    apart = np.append(True, scores[1:] != scores[:-1])  # a block of one score has one knot
    scores, values = scores[apart], values[apart]
    kept = np.ones(len(values), bool)
    kept[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return scores[kept], values[kept]
