"""Memory of large results, used again: pages new to a process cost more than the arithmetic that fills them.

A result of 200 MB takes 15 ms to compute and as long again for the system to find and clear its pages. So the memory of
a large result, when nothing refers to it any more, is kept for the next one, the latest first: ``FASTCAL_KEEP_MB``
megabytes at most, 512 by default, none with 0.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import numpy as np

from .arrays import Array

LARGE = 1 << 23  # smaller blocks the C library keeps by itself

# Taken without waiting only: a finaliser may run while its own thread holds it.
_lock = threading.Lock()
_kept: list[Array] = []


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def kept_bytes() -> int:
    """How many bytes may be kept; raises ValueError for a FASTCAL_KEEP_MB that is no number."""
    given = os.environ.get("FASTCAL_KEEP_MB") or "512"
    if not given.isdecimal():
        raise ValueError(f"FASTCAL_KEEP_MB is {given!r}; expected a number of megabytes")
    return int(given) << 20


class _Lease:
    """What a result's memory belongs to, so that its end is noticed."""

    def __init__(self, block: Array, most: int) -> None:
        self.block = block
        self.most = most
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        lock = _lock
        if lock is not None and lock.acquire(blocking=False):  # None once the interpreter ends
            try:
                _kept.insert(0, self.block)
                while sum(block.nbytes for block in _kept) > self.most:
                    _kept.pop()
            finally:
                lock.release()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """As ``np.empty``; in memory that was a result before, where some is kept that fits."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < LARGE:
        return np.empty(shape, dtype)
    most = kept_bytes()
    block, lock = None, _lock
    if lock.acquire(blocking=False):
        try:
            fitting = [i for i, kept in enumerate(_kept) if n_bytes <= kept.nbytes <= n_bytes + n_bytes // 8]
            block = _kept.pop(fitting[0]) if fitting else None
        finally:
            lock.release()
    lease = _Lease(np.empty(n_bytes, np.uint8) if block is None else block, most)
    return np.asarray(lease)[:n_bytes].view(dtype).reshape(shape)
