"""``scipy.stats`` over ours: ``entropy``; every other name is scipy's own.

>>> from fastcal.compat.scipy.stats import entropy
>>> float(entropy([1, 1], base=2)), entropy([[1, 3], [1, 1]], axis=1).round(4).tolist()
(1.0, [0.5623, 0.6931])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats as theirs

from ... import engine, memory
from ...arrays import Array
from ...metrics.softmax import entropy as entropy_of_rows
from ..row_sums import row_sums
from ..theirs import FLOATS, hand_on, plain, stands_for

__all__ = ["entropy"]

CHUNK_BYTES = 1 << 19


@stands_for(theirs.entropy)
def entropy(
    pk: Any,
    qk: Any = None,
    base: float | None = None,
    axis: Any = 0,
    *,
    nan_policy: str = "propagate",
    keepdims: bool = False,
) -> Any:
    """``scipy.stats.entropy``: -sum p log p along ``axis``, the first one by default, of p = pk / sum pk.

    float64, float32 and integers are ours. The relative entropy to ``qk``, NaN, negative or infinite weights and rows
    that sum to 0 are scipy's.
    """
    given = plain(pk)
    if qk is not None or given.ndim == 0 or given.size == 0 or nan_policy not in ("propagate", "omit", "raise"):
        hand_on()
    if not isinstance(keepdims, bool) or not (axis is None or type(axis) is int):
        hand_on()
    if given.dtype.kind in "iu":
        given = given.astype(np.float64)
    elif given.dtype not in FLOATS:
        hand_on()
    if axis is None:
        found = entropy_of_rows(_normalised(given.reshape(1, -1)), base=base)[0]
        return np.full((1,) * given.ndim, found) if keepdims else found
    if not -given.ndim <= axis < given.ndim:
        hand_on()
    rows = _normalised(given) if axis in (-1, given.ndim - 1) else _divided(given, axis)
    return entropy_of_rows(rows, axis=axis, base=base, keepdims=keepdims)


def _normalised(given: Array) -> Array:
    """Divided by the sums of rows, a chunk at a time."""
    rows = given.reshape(-1, given.shape[-1])
    out = memory.empty(rows.shape, rows.dtype)
    right = []

    def divide(start: int, stop: int) -> None:
        part = rows[start:stop]
        total = row_sums(part)
        right.append(part.min() >= 0 and total.min() > 0 and total.max() < np.inf)
        if right[-1]:
            np.divide(part, total[:, None], out=out[start:stop])

    per_chunk = max(CHUNK_BYTES // (rows.itemsize * rows.shape[1]), 1)
    engine.run(len(rows), 2 * rows.itemsize * rows.shape[1], per_chunk, lambda: divide)
    if not all(right):
        hand_on()
    return out.reshape(given.shape)


def _divided(given: Array, axis: int) -> Array:
    total = given.sum(axis=axis, keepdims=True)
    if not (given.min() >= 0 and total.min() > 0 and total.max() < np.inf):
        hand_on()
    return np.asarray(given / total)


def __getattr__(name: str) -> Any:
    return getattr(theirs, name)
