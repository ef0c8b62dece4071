"""Exact sums of floats for users' own jitted code: the same bits in any order, and however they are cut up."""

from __future__ import annotations

import numpy as np

from .exact import LIMB_BITS, N_LIMBS, add_one
from .interface_rows import Array
from .jit import inner, kernel
from .stack import stack, stamped

_MASK = np.int64(0xFFFFFFFF)
_BITS = np.int64(LIMB_BITS)
POSITIVE, NEGATIVE, NAN = range(N_LIMBS, N_LIMBS + 3)  # where numbers that are not finite are counted
SUM_SIZE = N_LIMBS + 3


@kernel
def add_to_sum(state: Array, x: float) -> None:
    """Add a number to an exact sum: ``state`` (SUM_SIZE,), int64, which begins as zeros.

    States are integers and merge by adding them, ``state + other``. :func:`sum_of` rounds one once, and to the same
    bits in any order. A state takes 2^30 numbers, those of merged states together; :func:`carry_sum` makes room.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> state = np.zeros(jit.SUM_SIZE, np.int64)
    >>> for x in (1e16, 1.0, -1e16):
    ...     jit.add_to_sum(state, x)
    >>> jit.sum_of(state)
    1.0
    """
    stamped()
    value = np.float64(x)
    if np.isfinite(value):
        add_one(value, state)
    elif np.isnan(value):
        state[NAN] += 1
    else:
        state[POSITIVE if value > 0.0 else NEGATIVE] += 1


@inner
def _carry(limbs):
    over = np.int64(0)
    for j in range(N_LIMBS - 1):
        value = limbs[np.uintp(j)] + over
        limbs[np.uintp(j)] = value & _MASK
        over = value >> _BITS
    limbs[N_LIMBS - 1] += over


@kernel
def carry_sum(state: Array) -> None:
    """Bring an exact sum to its one representation, which has room for 2^30 numbers more.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> state = np.zeros(jit.SUM_SIZE, np.int64)
    >>> jit.add_to_sum(state, 2.0)
    >>> jit.carry_sum(state)
    >>> jit.sum_of(state)
    2.0
    """
    stamped()
    _carry(state)


@inner
def _digit(limbs, j):
    return limbs[np.uintp(j)] if j >= 0 else np.int64(0)


@kernel
def sum_of(state: Array) -> float:
    """An exact sum as a float, rounded once, half to even: what ``math.fsum`` says. Infinite beyond float64.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> jit.sum_of(np.zeros(jit.SUM_SIZE, np.int64))
    0.0
    """
    stamped()
    infinite = np.int64(state[POSITIVE] > 0) - np.int64(state[NEGATIVE] > 0)
    if state[NAN] > 0 or (infinite == 0 and state[POSITIVE] > 0):
        return np.nan
    if infinite != 0:
        return np.float64(infinite) * np.inf
    limbs = stack(state, N_LIMBS)
    for j in range(N_LIMBS):
        limbs[np.uintp(j)] = state[np.uintp(j)]
    _carry(limbs)
    negative = limbs[N_LIMBS - 1] < 0
    if negative:
        for j in range(N_LIMBS):
            limbs[np.uintp(j)] = -limbs[np.uintp(j)]
        _carry(limbs)
    top = np.int64(N_LIMBS - 1)
    while top > 0 and limbs[np.uintp(top)] == 0:
        top -= np.int64(1)
    high, middle, low = limbs[np.uintp(top)], _digit(limbs, top - 1), _digit(limbs, top - 2)
    if high == 0:
        return 0.0
    bits = np.int64(0)
    while high >> bits:
        bits += np.int64(1)
    # 63 bits from the first one on, the last of which says whether anything follows: they are rounded as the sum would
    room = np.int64(63) - bits
    rest = np.int64(32) - (room - _BITS) if room >= _BITS else np.int64(1)
    if room >= _BITS:
        found = (high << room) | (middle << (room - _BITS)) | (low >> rest)
        more = (low & ((np.int64(1) << rest) - np.int64(1))) != 0
    else:
        found = (high << room) | (middle >> rest)
        more = (middle & np.int64(1)) != 0 or low != 0
    for j in range(top - 2):
        more = more or limbs[np.uintp(j)] != 0
    found |= np.int64(more)
    value = np.ldexp(np.float64(found), np.int64(32) * top - np.int64(1074) - room)
    return -value if negative else value
