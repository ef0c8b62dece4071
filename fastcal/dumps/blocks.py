"""Memory that batches are read into, used again once nobody holds the batch that was in it.

Fresh pages cost more than the copy that fills them, and fewer blocks stay in the caches. A block is free when nothing
but the list here refers to it, which its count of references says: an array of a batch that somebody kept keeps its
block, and the next batch gets another.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

from ..arrays import Array

SMALL = 1 << 16  # of less than this the C library is quick enough
MOST = 1 << 26  # bytes kept in all

# Taken without waiting only: a fork may copy it locked.
_lock = threading.Lock()
_kept: list[Array] = []


def _free(kept: list[Array], room: int, alone: int) -> Array | None:
    """The first of so many bytes that nothing else refers to."""
    for array in kept:
        if array.nbytes == room and sys.getrefcount(array) <= alone:
            return array
    return None


# What the count is there for an array that only its list refers to: it depends on the interpreter.
_ALONE = next(n for n in range(1, 9) if _free([np.empty(1, np.uint8)], 1, n) is not None)


def block(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """As ``np.empty``."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < SMALL:
        return np.empty(shape, dtype)
    room = 1 << (n_bytes - 1).bit_length() if n_bytes < MOST // 2 else n_bytes
    return _taken(room)[:n_bytes].view(dtype).reshape(shape)


def _taken(room: int) -> Array:
    if not _lock.acquire(blocking=False):
        return np.empty(room, np.uint8)
    try:
        found = _free(_kept, room, _ALONE)
        if found is not None:
            return found
        made = np.empty(room, np.uint8)
        _kept.append(made)
        while sum(kept.nbytes for kept in _kept) > MOST and len(_kept) > 1:
            _kept.pop(0)
        return made
    finally:
        _lock.release()
