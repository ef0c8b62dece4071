"""NumPy's operations on long arrays, a stretch at a time: the same bits, and Ctrl-C need not wait for the whole.

Between two stretches Python looks whether a signal came. A sum of 20 million numbers is over before anybody notices,
but new memory for as many takes 40 to 200 ms, and a statement of several operations is not interrupted in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from . import memory
from .arrays import Array

STRETCH = 1 << 20


def stretches(n: int, width: int = 1) -> Iterator[slice]:
    """``range(n)`` in slices of as many rows of so many numbers each."""
    step = max(STRETCH // max(width, 1), 1)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def elementwise(
    function: Callable[..., Array], *arrays: Array, out: Array | None = None, width: int | None = None
) -> Array:
    """``function(*arrays)``, which looks at nothing but the rows in one place, in new memory or in ``out``.

    ``width``: numbers of a row, those of the first array by default.
    """
    n = len(arrays[0])
    width = math.prod(arrays[0].shape[1:]) if width is None else width
    if out is None and n * width <= STRETCH:
        return function(*arrays)
    for part in stretches(n, width):
        found = function(*(array[part] for array in arrays))
        if out is None:
            out = memory.empty((n, *found.shape[1:]), found.dtype)
        out[part] = found
    assert out is not None
    return out


def cumulated(values: Array, out: Array | None = None) -> Array:
    """``np.cumsum`` of numbers, one after the other as there, in new memory or in ``out``."""
    if out is None:
        out = memory.empty((len(values),), values.dtype)
    last = None
    for part in stretches(len(values)):
        some = values[part]
        if last is not None:
            some = some.copy()
            some[0] += last
        np.cumsum(some, out=out[part])
        last = out[part][-1]
    return out


def concatenated(arrays: Sequence[Array]) -> Array:
    """``np.concatenate`` along the first axis; of one array, that array."""
    if len(arrays) == 1:
        return arrays[0]
    n = sum(map(len, arrays))
    if n <= STRETCH:
        return np.concatenate(arrays)
    out = memory.empty((n, *arrays[0].shape[1:]), np.result_type(*{array.dtype for array in arrays}))
    start = 0
    for array in arrays:
        for part in stretches(len(array), math.prod(array.shape[1:])):
            out[start + part.start : start + part.stop] = array[part]
        start += len(array)
    return out


def chosen(values: Array, which: Array) -> Array:
    """``values[which]`` of a mask."""
    if len(values) <= STRETCH:
        return values[which]
    return concatenated([values[part][which[part]] for part in stretches(len(values))])


def exact_sum(values: Array) -> float:
    """``math.fsum``."""
    return math.fsum(chain.from_iterable(_numbers(values)))


def _numbers(values: Array) -> Iterator[list[Any]]:
    for part in stretches(len(values)):
        yield values[part].tolist()
