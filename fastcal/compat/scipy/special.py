"""``scipy.special`` over ours: ``softmax``, ``log_softmax`` and ``logsumexp``; every other name is scipy's own.

>>> from fastcal.compat.scipy.special import logsumexp, softmax
>>> softmax([[0.0, 0.0], [0.0, 2.0]], axis=1).round(4).tolist()
[[0.5, 0.5], [0.1192, 0.8808]]
>>> round(float(logsumexp([0.0, 1.0], b=[1.0, -1.0], return_sign=True)[0]), 4)  # weights: scipy's own
0.5413
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special as theirs

from ... import engine
from ...arrays import Array
from ...metrics import softmax as ours
from ..theirs import hand_on, plain, stands_for

__all__ = ["log_softmax", "logsumexp", "softmax"]

# Native dtypes that come out of scipy as they do of ours: small integers it takes to half floats.
LIKE_OURS = frozenset(np.dtype(name) for name in ("float64", "float32", "int64", "int32"))
FEW_ACROSS = 4096  # numbers that are turned, so that their rows go the short way
# Across rows, columns so long are each turned in one piece: that takes as long as scipy's passes (0.9 to 1.2 times).
LONG = 1 << 17
STRETCH = 1 << 17


@stands_for(theirs.softmax)
def softmax(x: Any, axis: Any = None) -> Any:
    """``scipy.special.softmax``: exp(x) / sum exp(x) over the whole array, or along ``axis``.

    float64, float32, float16, int64 and int32 are ours, within 4 ulp plus 0.6 ulp a unit of max x - x; half floats are
    rounded once. Complex and other integers are scipy's, and so is an array with +inf, which makes its row NaN there.
    A row of NaN comes without scipy's RuntimeWarning.
    """
    _hand_on_long(x, axis)
    given, axis = _logits(x), _axis(axis)
    return _along(ours.softmax, given, axis)


@stands_for(theirs.log_softmax)
def log_softmax(x: Any, axis: Any = None) -> Any:
    """``scipy.special.log_softmax``: x - log sum exp(x) over the whole array, or along ``axis``; as :func:`softmax`.

    Closer to 0 than scipy's where a value is nearly certain.
    """
    _hand_on_long(x, axis)
    given, axis = _logits(x), _axis(axis)
    return _along(ours.log_softmax, given, axis)


@stands_for(theirs.logsumexp)
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """``scipy.special.logsumexp``: log sum exp(a) over the whole array, or along ``axis``.

    float64, float32, int64 and int32 are ours. Complex numbers, half floats, ``b`` and ``return_sign`` are scipy's.
    """
    if b is not None or return_sign is not False or not isinstance(keepdims, bool):
        hand_on()
    given = plain(a)
    if given.dtype not in LIKE_OURS or given.ndim == 0 or given.size == 0:
        hand_on()
    axis = _axis(axis)
    if axis is None:
        found = ours.logsumexp(given.reshape(-1))
        return np.full((1,) * given.ndim, found) if keepdims else found
    return ours.logsumexp(given, axis=_last(given, axis), keepdims=keepdims)


def _along(function: Callable[..., Any], given: Array, axis: Any) -> Any:
    """A function of rows, of an array of its own shape."""
    if axis is None:
        return function(given.reshape(-1)).reshape(given.shape)
    if given.ndim == 2 and axis == 0 and given.size <= FEW_ACROSS:
        return np.ascontiguousarray(function(np.ascontiguousarray(given.T)).T)
    return function(given, axis=_last(given, axis))


def _logits(values: Any) -> Array:
    """Real numbers of which the largest is finite."""
    given = plain(values)
    if (given.dtype not in LIKE_OURS and given.dtype != np.float16) or given.ndim == 0 or given.size == 0:
        hand_on()
    if given.dtype.kind == "f" and not -math.inf < _largest(given) < math.inf:
        hand_on()
    return given


def _largest(given: Array) -> float:
    """The maximum, NaN with any NaN; of large arrays on threads."""
    if given.size <= STRETCH or not given.flags.c_contiguous:
        return float(given.max())
    flat, found = given.reshape(-1), [-math.inf]

    def look(start: int, stop: int) -> None:
        found.append(float(flat[start:stop].max()))

    engine.run(len(flat), flat.itemsize, STRETCH, lambda: look)
    return float(np.max(found))


def _axis(axis: Any) -> Any:
    """An integer, a tuple of them or None; scipy says what is wrong with any other."""
    if axis is None or type(axis) is int or (type(axis) is tuple and axis):
        return axis
    return hand_on()


def _last(given: Array, axis: Any) -> Any:
    """-1 for the last axis by any name: the short way of few rows knows it by that."""
    return -1 if type(axis) is int and axis == given.ndim - 1 else axis


def _hand_on_long(values: Any, axis: Any) -> None:
    """Not for us: many numbers along the axis, each apart from the next."""
    if type(values) is not np.ndarray or type(axis) is not int or axis in (-1, values.ndim - 1):
        return
    if -values.ndim <= axis < values.ndim and values.shape[axis] > LONG:
        hand_on()


def __getattr__(name: str) -> Any:
    return getattr(theirs, name)
