"""What a face of another library does not answer itself goes to that library: its errors, warnings and rare cases.

So a face can be no narrower than what it stands for: it answers the inputs that it knows to be plain, and hands the
others on as they came.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec

import numpy as np

from ..arrays import Array

P = ParamSpec("P")


class NotPlain(Exception):
    """Not for us: the library itself is asked."""


def hand_on() -> NoReturn:
    """Leave the call to the library that the face stands for."""
    raise NotPlain


def stands_for(original: Callable[..., Any]) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """A function that answers in the place of ``original``, which is called with the same arguments where it raises.

    An input that is wrong is therefore looked at twice, and the error is the original's own. Costs 0.2 us a call.
    """

    def decorated(function: Callable[P, Any]) -> Callable[P, Any]:
        @functools.wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> Any:
            try:
                return function(*args, **options)
            except (NotPlain, TypeError, ValueError):
                pass  # left before the original is called, so that its errors do not seem to come from ours
            return original(*args, **options)

        call.original = original  # type: ignore[attr-defined]
        return call

    return decorated


def plain(values: Any) -> Array:
    """An array as it is, a list or a pandas Series as one; anything else (masked, a tensor, a matrix) is handed on."""
    if type(values) is np.ndarray:
        return values
    if isinstance(values, list | tuple) or hasattr(values, "iloc"):
        found = np.asarray(values)
        if type(found) is np.ndarray:
            return found
    return hand_on()


FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def floats(values: Any, n_dims: int | None = None) -> Array:
    """A native float32 or float64 array that holds something, of so many dimensions if that is said."""
    found = plain(values)
    if found.dtype not in FLOATS or found.size == 0 or n_dims not in (None, found.ndim):
        hand_on()
    return found
