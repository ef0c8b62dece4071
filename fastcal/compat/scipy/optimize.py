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

from ...calibrators import isotonic
from ..theirs import hand_on, plain, stands_for

__all__ = ["isotonic_regression"]

# Numbers that scipy's one thread, which looks for no NaN and rounds each sum, has pooled before our two have: 1 M of
# them take it 31 to 41 ms, us 49 to 55; of 10 M ours are the faster by 1.4 to 1.8.
FEW = 1 << 21


@stands_for(theirs.isotonic_regression)
def isotonic_regression(y: Any, *, weights: Any = None, increasing: bool = True) -> Any:
    """``scipy.optimize.isotonic_regression``: an ``OptimizeResult`` with ``x``, ``weights`` and ``blocks``.

    Ours from 2 M numbers on, with sums that lose no digits; fewer, NaN, infinity and numbers beyond 1e100 are scipy's.
    """
    given = plain(y)
    if given.ndim != 1 or len(given) < FEW or not isinstance(increasing, bool):
        hand_on()
    found = isotonic.isotonic_regression(
        given, weights=None if weights is None else plain(weights), increasing=increasing
    )
    blocks = found.blocks.astype(np.intp, copy=False)
    result = theirs.OptimizeResult()  # a dict of which mypy's stubs know no keys
    result.update(x=found.x, weights=found.weights, blocks=blocks)
    return result


def __getattr__(name: str) -> Any:
    return getattr(theirs, name)
