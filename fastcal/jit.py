"""The kernels as a stable interface: functions for one row, which other jitted functions call, and Python can, too.

>>> import numba
>>> import numpy as np
>>> from fastcal import jit
>>> @numba.njit(parallel=True)
... def mean_confidence(logits, temperature):
...     total = 0.0
...     for i in numba.prange(len(logits)):
...         total += jit.softmax_summary(logits[i], temperature)[1]
...     return total / len(logits)
>>> round(mean_confidence(np.array([[0.0, 0.0], [1.0, 3.0]]), 1.0), 4)
0.6904

What holds of all of them:

- They can be called from ``njit`` functions and closures, serial or ``parallel=True``, with any options (``nogil``,
  ``fastmath``, ``boundscheck``, ``error_model``), from ``vectorize`` and ``guvectorize``, and from Python. A caller's
  options are its own: its ``fastmath`` does not reach into these functions.
- Rows are one-dimensional arrays of float32 or float64 of any layout, read-only or not; contiguous ones are faster.
  Results have the row's dtype. Rows of another kind are refused when the caller is compiled. Half floats come as their
  bits: view the array as uint16, and widen with :func:`from_float16` or :func:`from_bfloat16`.
- They raise nothing, whatever the numbers are: where a row is no distribution, a label no class, or a temperature not
  positive, the result is NaN (an index -1). Nothing is checked that would cost time: an index into ``bins`` is, the
  length of ``out`` and of scratch arrays is not.
- They take no memory but on the stack (some 25 KB, ``softmax_rows`` 90 KB), and keep no state: any number of threads
  may call them at once, with arrays of their own to write to. ``out`` may be the very row that is read, else it must
  not overlap it.
- They have the bits of the public functions of the same name, for they are made of the same kernels; where one has not,
  its docstring says so. With NUMBA_DISABLE_JIT=1 they run as Python, and round a little differently.
- A function with ``cache=True`` that calls them is compiled anew after an upgrade of fastcal, also where it calls them
  through functions of its own; Numba by itself would go on running what it had compiled with the old ones.

Names, arguments and their order, and meanings change with a new major version only, as does what ``bins`` and sums
hold. Importing this module imports Numba; each function is compiled, and kept on disk, when it is first called, or
compiled into another.
"""

from __future__ import annotations

from .kernels.interface_bins import (
    add_to_bins,
    bin_index,
    bin_sums,
    calibration_error,
    exp,
    from_bfloat16,
    from_float16,
    interpolate,
    log,
    log1p,
    pool_adjacent_violators,
    uniform_bin_index,
)
from .kernels.interface_rows import softmax
from .kernels.interface_scores import brier_score, ensemble_uncertainty, nll, scores_from_logits, softmax_rows
from .kernels.interface_summary import entropy, log_softmax, logsumexp, softmax_summary
from .kernels.interface_sums import SUM_SIZE, add_to_sum, carry_sum, sum_of

__all__ = [
    "SUM_SIZE",
    "add_to_bins",
    "add_to_sum",
    "bin_index",
    "bin_sums",
    "brier_score",
    "calibration_error",
    "carry_sum",
    "ensemble_uncertainty",
    "entropy",
    "exp",
    "from_bfloat16",
    "from_float16",
    "interpolate",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "nll",
    "pool_adjacent_violators",
    "scores_from_logits",
    "softmax",
    "softmax_rows",
    "softmax_summary",
    "sum_of",
    "uniform_bin_index",
]
