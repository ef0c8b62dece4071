"""``scipy.optimize`` over ours: ``isotonic_regression``; every other name is scipy's own.

>>> from fastcal.compat.scipy.optimize import isotonic_regression
>>> found = isotonic_regression([1, 3, 2, 4])
>>> found.x.tolist(), found.weights.tolist(), found.blocks.tolist()
([1.0, 2.5, 2.5, 4.0], [1.0, 2.0, 1.0], [0, 1, 3, 4])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize as theirs

from fastcal import kernels

from ...arrays import Array
from ...calibrators import isotonic
from ..theirs import hand_on, plain, stands_for

__all__ = ["isotonic_regression"]

# Numbers that scipy's one thread, which looks for no NaN and rounds each sum, has pooled before our two have: 1 M of
# them take it 31 to 41 ms, us 49 to 55; of 10 M ours are the faster by 1.4 to 1.8.
FEW = 1 << 21
# Of so few, what surrounds the pooling takes longer than it: less of it is ours.
SMALL = 256
# The largest sum of squares of numbers that are all far from overflow.
MODERATE = 1e200
DOUBLE = np.dtype(np.float64)


@stands_for(theirs.isotonic_regression)
def isotonic_regression(y: Any, *, weights: Any = None, increasing: bool = True) -> Any:
    """``scipy.optimize.isotonic_regression``: an ``OptimizeResult`` with ``x``, ``weights`` and ``blocks``.

    Ours from 2 M numbers on, and up to 256 of float64 without weights, with sums that lose no digits; others, NaN,
    infinity and numbers beyond 1e100 are scipy's.
    """
    if type(y) is np.ndarray and weights is None and increasing is True and y.dtype is DOUBLE and y.ndim == 1:
        n = len(y)
        if 0 < n <= SMALL and y.dot(y) < MODERATE:
            return _small(y, n)
    given = plain(y)
    if given.ndim != 1 or len(given) < FEW or not isinstance(increasing, bool):
        hand_on()
    found = isotonic.isotonic_regression(
        given, weights=None if weights is None else plain(weights), increasing=increasing
    )
    return theirs.OptimizeResult(x=found.x, weights=found.weights, blocks=found.blocks.astype(np.intp, copy=False))


def _small(y: Array, n: int) -> Any:
    """The fit to a few numbers in the caller's thread, without a worker and its buffers: 3 us, not 30."""
    fitted, work = np.array(y), np.empty(6 * n + 1)
    n_blocks = kernels.interface_bins.pool_adjacent_violators(fitted, None, fitted, work)
    blocks = work[5 * n :].view(np.intp)[: n_blocks + 1].copy()
    blocks[-1] = n
    return theirs.OptimizeResult(x=fitted, weights=work[n : n + n_blocks].copy(), blocks=blocks)


def __getattr__(name: str) -> Any:
    return getattr(theirs, name)
