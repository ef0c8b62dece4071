"""States are named int64 arrays, and merging is adding them.

An array whose name ends in ``_sum`` holds exact sums: 32-bit digits along the last axis (see kernels/exact.py), carried
to their one representation after every addition. One whose name ends in ``_pair`` holds the bits of floats in two parts
along the last axis (see kernels/pairs.py). All others are counts. A missing array is one of zeros: the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from fastcal import kernels

from ..arrays import Array

State = dict[str, Array]
Finaliser = TypeVar("Finaliser", bound=Callable[..., Any])

# The unit of the last digit: 2^-1074 for any float64, 2^-62 for numbers in [0, 1].
FLOAT_BITS = 1074
UNIT_BITS = 62


class Figures(dict[str, Callable[..., Any]]):
    """The figures that a state can be finalised to, by name; use as a decorator on the finalisers."""

    def __call__(self, finaliser: Finaliser) -> Finaliser:
        """Add a finaliser under its own name; the first line of its docstring is what reports print."""
        self[finaliser.__name__] = finaliser
        return finaliser


def merged(left: Mapping[str, Array], right: Mapping[str, Array]) -> State:
    """A new state with what both hold."""
    state: State = {}
    for name in sorted({*left, *right}):
        if name in left and name in right:
            state[name] = _added(name, left[name], right[name])
        else:
            state[name] = (left if name in left else right)[name].copy()
    return state


def _added(name: str, left: Array, right: Array) -> Array:
    if name.endswith("_pair"):
        return added_pairs(left.view(np.float64), right.view(np.float64)).view(np.int64)
    total: Array = left + right
    carry(name, total)
    return total


def carry(name: str, array: Array) -> None:
    """Bring exact sums to their one representation, in place."""
    if name.endswith("_sum"):
        kernels.exact.carry(array.reshape(-1, array.shape[-1]))


def added_pairs(left: Array, right: Array) -> Array:
    """Sums of floats in two parts along the last axis, as kernels/pairs.py adds them."""
    before, high = left[..., 0], right[..., 0]
    total = before + high
    part = total - before
    rest = left[..., 1] + right[..., 1] + ((before - (total - part)) + (high - part))
    rounded = total + rest
    return np.stack([rounded, rest - (rounded - total)], axis=-1)


def integer(digits: Array) -> int:
    """A carried exact sum, as an integer count of its unit."""
    low = int.from_bytes(digits[:-1].astype("<u4").tobytes(), "little")
    return low + (int(digits[-1]) << (kernels.exact.LIMB_BITS * (digits.size - 1)))


def floats(digits: Array) -> Array:
    """Sums of three digits in units of 2^-62 as floats; they need not be carried."""
    digits = digits.copy()
    kernels.exact.carry(digits.reshape(-1, digits.shape[-1]))
    low, middle, high = (np.ldexp(digits[..., k].astype(np.float64), 32 * k - UNIT_BITS) for k in range(3))
    return np.asarray((high + middle) + low)


def ratio(numerator: int, denominator: int) -> float:
    """Their quotient, rounded once; NaN for 0 / 0."""
    return numerator / denominator if denominator else float("nan")
