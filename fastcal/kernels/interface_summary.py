"""Single rows, see interface_rows.py: log-softmax, log-sum-exp, softmax_summary and entropy."""

from __future__ import annotations

import numpy as np

from . import softmax as sums
from .elementary import LOWERED, exp_lifted, log1p
from .entropy import add_up, result, terms
from .gather import clear, fold_sums, fold_top, highest, top, total
from .interface_rows import SHORT, Array, divided, padded, take
from .jit import inner, kernel
from .rows import (
    ARGMAX,
    BLOCK,
    BLOCK_SIZE,
    CONFIDENCE,
    ENTROPY,
    LANES,
    LOGSUMEXP,
    LOST_A,
    LOST_B,
    LOST_C,
    LOWEST,
    MARGIN,
    MAXIMUM,
    NARROW,
    OFFSET,
    SECOND,
    STRETCH,
    SUM_A,
    SUM_B,
)
from .stack import stack, stamped, takes_row, takes_target
from .summary import extreme


@inner
def gather_narrow(z, squares, inverse_t, rest_t, lowest, block):
    """gather.narrow of one row, to the first places of ``block``."""
    real = z.dtype.type
    zero = real(0)
    start = np.int64(0)
    lines = stack(z, SHORT)
    stop = padded(z.shape[0], 2)
    take(z, 0, stop, real(-np.inf), lines)
    block[MAXIMUM] = -np.inf
    block[SECOND] = -np.inf
    block[ARGMAX] = zero
    block[OFFSET] = zero
    for place in range(SUM_A, LOST_C + BLOCK, BLOCK):
        block[place] = zero
    top(lines, start, stop, start, 1, 1, block)
    lines[np.uintp(block[ARGMAX])] = -np.inf
    sums.add(lines, lines, start, stop, inverse_t, rest_t, lowest, squares, None, None, start, 1, block)


@inner
def gather_wide(z, squares, inverse_t, rest_t, lowest, block):
    """gather.wide of one row, to the first places of ``block``."""
    real = z.dtype.type
    n = z.shape[0]
    pair_size = np.int64(2 * LANES)
    start = np.int64(0)
    row = stack(z, STRETCH)
    lanes = stack(z, BLOCK_SIZE)
    clear(lanes)
    for i in range(LANES):
        lanes[OFFSET + i] = real(i)
    for place in range(0, n, STRETCH):
        size = min(np.int64(STRETCH), padded(n - place, pair_size))
        take(z, place, size, real(-np.inf), row)
        top(row, start, size, place, LANES, LANES, lanes)
    fold_top(lanes)
    # In the order of gather.wide_row: the pairs of lines but for that of the maximum, the last one if it is not
    # complete, and that of the maximum.
    index = np.int64(lanes[ARGMAX])
    pair = index // pair_size * pair_size
    for part in range(2):
        place = start if part == 0 else pair + pair_size
        end = pair if part == 0 else padded(n, pair_size)
        while place < end:
            size = min(np.int64(STRETCH), end - place)
            take(z, place, size, real(-np.inf), row)
            sums.add(row, row, start, size, inverse_t, rest_t, lowest, squares, None, None, start, LANES, lanes)
            place += size
    take(z, pair, pair_size, real(-np.inf), row)
    row[np.uintp(index - pair)] = -np.inf
    sums.add(row, row, start, pair_size, inverse_t, rest_t, lowest, squares, None, None, start, LANES, lanes)
    for place in range(SUM_A, LOST_C + BLOCK, BLOCK):
        block[place] = real(0)
    fold_sums(lanes, True, squares, block, 0)


@inner
def gather(z, squares, inverse_t, rest_t, lowest, block):
    if z.shape[0] <= NARROW:
        gather_narrow(z, squares, inverse_t, rest_t, lowest, block)
    else:
        gather_wide(z, squares, inverse_t, rest_t, lowest, block)


@kernel
def log_softmax(z: Array, out: Array, temperature: float = 1.0) -> None:
    """log softmax_k = z_k / T - log sum_j exp(z_j / T) of a row of logits, into ``out``, which may be ``z`` itself.

    The bits of :func:`fastcal.log_softmax`; NaN for a temperature that is not positive. Nothing for an empty row.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> out = np.empty(2)
    >>> jit.log_softmax(np.array([1.0, 3.0]), out, 2.0)
    >>> out.round(4).tolist()
    [-1.3133, -0.3133]
    """
    stamped()
    takes_row(z)
    takes_target(z, out)
    real = z.dtype.type
    inverse_t, rest_t, lowest = divided(z, temperature)
    block = stack(z, BLOCK_SIZE)
    gather(z, None, inverse_t, rest_t, lowest, block)
    m = block[MAXIMUM]
    rest = (block[SUM_A] + block[LOST_A]) * real(LOWERED)
    log_total = log1p(rest) if m > -np.inf else real(np.nan)
    for k in range(z.shape[0]):
        x = z[np.uintp(k)]
        d = real(0) if x == m else x - m  # 0 for +inf less itself
        out[np.uintp(k)] = d * inverse_t - log_total


@inner
def _summary_of_two(z, inverse_t, rest_t, lowest):
    real = z.dtype.type
    nan = real(np.nan)
    a = z[0]
    b = z[1]
    m = b if a < b else a
    d = a - b if a < b else b - a
    d = lowest if d < lowest else d
    e = exp_lifted(d, inverse_t, rest_t) * real(LOWERED)
    p = real(1) / (real(1) + e)
    log_total = log1p(e)
    if not p > real(0):
        found = a + b if np.isnan(a) or np.isnan(b) else m
        return np.int64(-1), nan, nan, nan, found
    entropy_ = log_total - e * (d * inverse_t) * p
    return np.int64(a < b), p, (real(1) - e) * p, entropy_, m * inverse_t + log_total


@inner
def _summary(z, temperature):
    real = z.dtype.type
    nan = real(np.nan)
    inverse_t, rest_t, lowest = divided(z, temperature)
    n = z.shape[0]
    if n == 2 and not np.isnan(inverse_t):
        return _summary_of_two(z, inverse_t, rest_t, lowest)
    if n == 0 or np.isnan(inverse_t):
        return np.int64(-1), nan, nan, nan, real(-np.inf) if n == 0 else nan
    block = stack(z, BLOCK_SIZE)
    gather(z, None, inverse_t, rest_t, lowest, block)
    sums.certainty(inverse_t, rest_t, lowest, False, 1, block)
    confidence = block[CONFIDENCE * BLOCK]
    if not (confidence > real(0) and block[MAXIMUM] > real(-np.inf)):
        return np.int64(-1), nan, nan, nan, real(extreme(z))
    return (
        np.int64(block[ARGMAX]),
        confidence,
        block[MARGIN * BLOCK],
        block[ENTROPY * BLOCK],
        block[LOGSUMEXP * BLOCK],
    )


@kernel
def logsumexp(z: Array, temperature: float = 1.0) -> float:
    """log sum_k exp(z_k / T) of a row of logits: the bits of :func:`fastcal.logsumexp`; -inf for an empty row.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> float(jit.logsumexp(np.array([1000.0, 1000.0]), 2.0))
    500.69314718055995
    """
    stamped()
    takes_row(z)
    return _summary(z, temperature)[4]


@kernel
def softmax_summary(z: Array, temperature: float = 1.0) -> tuple[int, float, float, float, float]:
    """(prediction, confidence, margin, entropy, logsumexp) of a row of logits, as :func:`fastcal.softmax_summary`.

    A row that is no distribution, or empty, or a temperature that is not positive: prediction -1 and NaN.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> prediction, confidence, margin, entropy, _ = jit.softmax_summary(np.array([1.0, 3.0]), 2.0)
    >>> prediction, round(confidence, 4), round(margin, 4), round(entropy, 4)
    (1, 0.7311, 0.4621, 0.5822)
    """
    stamped()
    takes_row(z)
    return _summary(z, temperature)


@inner
def _entropy_narrow(p, lines, values, block):
    real = p.dtype.type
    start = np.int64(0)
    n = p.shape[0]
    stop = padded(n, 8)
    take(p, 0, stop, real(0), lines)
    for place in (SUM_A, SUM_B, LOST_B, MAXIMUM, LOWEST):
        block[place] = real(0)
    terms(lines, start, stop, lines, values, start)
    add_up(lines, start, values, start, stop, 1, block)
    return result(real(1), block[SUM_B] + block[LOST_B], block[MAXIMUM], block[SUM_A], block)


@inner
def _entropy_wide(p, lines, values, lanes):
    real = p.dtype.type
    start = np.int64(0)
    n = p.shape[0]
    for place in (SUM_A, SUM_B, LOST_A, LOST_B, MAXIMUM, LOWEST):
        for i in range(LANES):
            lanes[place + i] = real(0)
    for place in range(0, n, STRETCH):
        take(p, place, STRETCH, real(0), lines)
        terms(lines, start, np.int64(STRETCH), lines, values, start)
        add_up(lines, start, values, start, np.int64(STRETCH), LANES, lanes)
    information = total(lanes, np.int64(SUM_B), np.int64(LOST_B))
    whole = total(lanes, np.int64(SUM_A), np.int64(LOST_A))
    return result(real(1), information, highest(lanes, np.int64(MAXIMUM)), whole, lanes)


@kernel
def entropy(p: Array) -> float:
    """-sum_k p_k log p_k of a row of probabilities, in nats: the bits of :func:`fastcal.entropy`; 0 for an empty row.

    Values are taken as they are: below 0 they count as 0, and nothing is renormalised. NaN for a row with NaN.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> round(jit.entropy(np.array([0.5, 0.5])), 4)
    0.6931
    """
    stamped()
    takes_row(p)
    lines = stack(p, STRETCH)
    values = stack(p, STRETCH)
    block = stack(p, BLOCK_SIZE)
    if p.shape[0] <= NARROW:
        return _entropy_narrow(p, lines, values, block)
    return _entropy_wide(p, lines, values, block)
