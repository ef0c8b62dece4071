"""Values that are missing: pandas' NA, nulls of Arrow and polars."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class NullableArray(np.ma.MaskedArray[Any, Any]):
    """A masked array whose masked values are missing where they come from, rather than hidden by somebody."""


def with_missing(values: Array, missing: Array | None) -> Array:
    """Values of which some are missing; the very array if none is."""
    if missing is None or not missing.any():
        return values
    return np.ma.MaskedArray(values, missing).view(NullableArray)


def said_of(values: Array) -> str:
    """What is said of a masked value."""
    return "is missing" if isinstance(values, NullableArray) else "is masked"
