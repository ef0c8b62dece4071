"""Memory of large results, used again: pages new to a process cost more than the arithmetic that fills them.

A result of 200 MB takes 15 ms to compute and as long again for the system to find and clear its pages. So the memory of
a large result, when nothing refers to it any more, is kept for the next one: at most ``KEPT_BYTES``, the latest first.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from .arrays import Array

LARGE = 1 << 23  # smaller blocks the C library keeps by itself
KEPT_BYTES = 1 << 28

_lock = threading.RLock()  # a finaliser may run in the thread that holds it
_kept: list[Array] = []


class _Lease:
    """What a result's memory belongs to, so that its end is noticed."""

    def __init__(self, block: Array) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        with _lock:
            _kept.insert(0, self.block)
            while sum(block.nbytes for block in _kept) > KEPT_BYTES:
                _kept.pop()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """As ``np.empty``; in memory that was a result before, where some is kept that fits."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < LARGE:
        return np.empty(shape, dtype)
    with _lock:
        fitting = [i for i, block in enumerate(_kept) if n_bytes <= block.nbytes <= n_bytes + n_bytes // 8]
        block = _kept.pop(fitting[0]) if fitting else None
    lease = _Lease(np.empty(n_bytes, np.uint8) if block is None else block)
    return np.asarray(lease)[:n_bytes].view(dtype).reshape(shape)
