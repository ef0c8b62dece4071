"""softmax and log-softmax: rows of logits, floats or half floats, to rows of the same type.

    softmax_k = e_k / sum_j e_j, e_k = exp((z_k - m) / T)        log softmax_k = (z_k - m) / T - log1p(r)

with the row's maximum m and r the sum of e_k over all classes but the first maximum, as in softmax.py. The powers stay
in a scratch that the first-level cache holds, so that each logit is read from memory once and each result written once.
"""

from __future__ import annotations

import numpy as np

from .elementary import LOG2_E, LOWERED, exp_lifted, exp_shifted, larger, log1p, lost, rounding
from .gather import turn
from .halves import floats_of, narrowed, widen
from .intrinsics import LINE, PEAK, muladd, peak, prefetch, stream
from .jit import by_scores, inner, kernel
from .processor import FUSES
from .rows import BLOCK, LANES, LOST_A, MAXIMUM, NEAR, STRETCH
from .rows import SUM_A as TOTAL


@inner
def times(x, factor, rest):
    """x (factor + rest), rounded once: of a row that is a maximum alone the result is 1."""
    return muladd(x, factor, x * rest)


@inner
def _put_floats(target, source, factor, rest, start, n, offset, streaming):
    done = 0
    if streaming:
        per_line = LINE // target.itemsize
        done = min(-(offset + start) % per_line, n)
        for i in range(done):
            target[np.uintp(start + i)] = times(source[np.uintp(i)], factor, rest)
        while done + per_line <= n:
            stream(source, done, factor, rest, target, start + done)
            done += per_line
    for i in range(done, n):
        target[np.uintp(start + i)] = times(source[np.uintp(i)], factor, rest)


@inner
def _put_halves(target, source, factor, rest, start, n, offset, streaming):
    for i in range(n):
        target[np.uintp(start + i)] = narrowed(target[np.uintp(start + i)], times(source[np.uintp(i)], factor, rest))


put = by_scores(same=_put_floats, half=_put_halves, bfloat=_put_halves)
put.__doc__ = """``put(target, source, factor, rest, start, n, offset, streaming)``: source[:n] ``times`` the factor.

To target[start:]. With ``streaming``, past the caches; ``offset`` then says how many elements before ``target`` a cache
line begins.
"""


@inner
def power(z, m, inverse_t, rest_t, lowest):
    """The lifted e^((z - m) / T). What rounding z - m loses would cost up to an ulp a unit of it."""
    d = z - m
    short = lost(z, m, d)
    short = lowest - lowest if d < lowest else short  # 0, where it may be NaN
    d = lowest if d < lowest else d
    e = exp_lifted(d, inverse_t, rest_t)
    return muladd(e, short * inverse_t, e)


@inner
def start_of(m, inverse_t, lowest):
    """How powers of a row with the maximum ``m`` are taken: what logits are less, the least of these, and their bias.

    e^(z / T) 2^n has no difference that could be rounded; n, the nearest to -log2(e) m / T, makes it a power that
    ``exp_lifted`` could have. Where n would not be exact, m is taken off: differences that count are exact there. And
    where no product is fused, for that of z would be off by up to an ulp a unit of z / T; and near the least number.
    """
    real = type(m)
    about = rounding(m)
    n = (m * (inverse_t * real(LOG2_E)) + about) - about
    near = FUSES and abs(n) < real(2.0**21) and lowest + m > -np.inf
    base = real(0) if near else m
    n = n if near else real(0)
    return base, lowest + (m - base), about - n


@inner
def with_pair(total, rest, e, e2):
    """A sum and what it has lost, with two more numbers."""
    x = e + e2
    new = total + x
    return new, rest + (lost(total, -x, new) + lost(e, -e2, x))


@inner
def powers(values, start, stop, inverse_t, rest_t, lowest, width, into, block):
    """Write the lifted e of the pairs of lines from ``start`` to ``stop``, and add them to TOTAL."""
    for offset in range(start, stop, 2 * width):
        for i in range(width):
            m = block[MAXIMUM + i]
            e = power(values[np.uintp(offset + i)], m, inverse_t, rest_t, lowest)
            e2 = power(values[np.uintp(offset + width + i)], m, inverse_t, rest_t, lowest)
            into[np.uintp(offset + i)] = e
            into[np.uintp(offset + width + i)] = e2
            block[TOTAL + i], block[LOST_A + i] = with_pair(block[TOTAL + i], block[LOST_A + i], e, e2)


@inner
def maximum(values, start, stop, width, block):
    """Take the pairs of lines from ``start`` to ``stop`` into MAXIMUM; NaN is passed over."""
    for offset in range(start, stop, 2 * width):
        for i in range(width):
            m = larger(values[np.uintp(offset + i)], values[np.uintp(offset + width + i)])
            block[MAXIMUM + i] = larger(block[MAXIMUM + i], m)


@inner
def row_powers(values, upcoming, base, floor, bias, n, inverse_t, rest_t, into, start):
    """Write the lifted e of ``n`` logits.

    ``base``, ``floor`` and ``bias`` are those of ``start_of``. In long loops the constants of e^x stay in registers:
    0.17 ns a logit, of 14 arithmetic instructions for 16.
    """
    per_line = LINE // upcoming.itemsize
    for offset in range(0, n, STRETCH):
        for k in range(offset, offset + STRETCH, per_line):
            prefetch(upcoming, k)
        for k in range(offset, min(offset + STRETCH, n)):
            x = values[np.uintp(k)] - base
            x = floor if x < floor else x
            into[np.uintp(start + k)] = exp_shifted(x, inverse_t, rest_t, bias)


@inner
def add_powers(values, stop, lanes):
    """Add pairs of lines of a wide row to TOTAL."""
    for offset in range(0, stop, 2 * LANES):
        for i in range(LANES):
            x = values[np.uintp(offset + i)] + values[np.uintp(offset + LANES + i)]
            before = lanes[TOTAL + i]
            new = before + x
            lanes[TOTAL + i] = new
            lanes[LOST_A + i] += lost(before, -x, new)


@inner
def inverse_total(lanes, place, rest):
    """1 / (the sum of LANES partial results at ``place``, and of what was lost of them at ``rest``), and its rest."""
    quarter = LANES // 4
    for i in range(quarter):
        a = lanes[place + i]
        b = lanes[place + quarter + i]
        c = lanes[place + 2 * quarter + i]
        d = lanes[place + 3 * quarter + i]
        near = a + b
        far = c + d
        both = near + far
        short = (lost(a, -b, near) + lost(c, -d, far)) + lost(near, -far, both)
        short += (lanes[rest + i] + lanes[rest + quarter + i]) + lanes[rest + 2 * quarter + i]
        lanes[place + i] = both
        lanes[rest + i] = short + lanes[rest + 3 * quarter + i]
    half = quarter // 2  # not one after the other, each of which would wait for the one before
    for size in (half, half // 2, half // 4):
        for i in range(size):
            a = lanes[place + i]
            b = lanes[place + size + i]
            both = a + b
            lanes[place + i] = both
            lanes[rest + i] += lanes[rest + size + i] + lost(a, -b, both)
    whole = lanes[place]
    short = lanes[rest]
    real = lanes.dtype.type
    factor = real(1) / whole
    return factor, factor * (muladd(-factor, whole, real(1)) - factor * short)


@inner
def certain(row, out, start):
    """A row whose sum is NaN: 1 for a single +inf without NaN, else NaN throughout."""
    infinite = 0
    where = 0
    for k in range(row.shape[0]):
        z = widen(row[k])
        if z == np.inf:
            infinite += 1
            where = k
        if np.isnan(z):
            infinite = 2
    for k in range(row.shape[0]):
        p = np.float32(1.0 if k == where else 0.0) if infinite == 1 else np.float32(np.nan)
        out[start + k] = narrowed(out[start + k], p)


@kernel
def narrow(scores, inverse_t, rest_t, lowest, lines, lines_read, turned, block, offset, streaming, out):
    """softmax of rows (N, K), K <= NARROW, into ``out`` (N * K,).

    Scratch: ``lines`` and ``turned`` (NARROW * BLOCK,), ``block``.
    """
    n_classes = scores.shape[1]
    n_rows = scores.shape[0]
    start = np.int64(0)
    stop = (n_classes + 1) // 2 * 2 * BLOCK
    real = block.dtype.type
    one = real(1)
    for first in range(0, n_rows, BLOCK):
        for i in range(BLOCK):
            block[MAXIMUM + i] = -np.inf
            block[TOTAL + i] = real(0)
            block[LOST_A + i] = real(0)
        turn(scores, first, lines)
        maximum(lines_read, start, stop, BLOCK, block)
        powers(lines_read, start, stop, inverse_t, rest_t, lowest, BLOCK, turned, block)
        for i in range(BLOCK):
            block[TOTAL + i] = one / (block[TOTAL + i] + block[LOST_A + i])
        n = n_rows - first if n_rows - first < BLOCK else BLOCK
        for k in range(n_classes):
            for i in range(BLOCK):
                turned[np.uintp(k * BLOCK + i)] *= block[TOTAL + i]
        good = 0
        for i in range(n):
            good += np.int64(block[TOTAL + i] > 0)
            for k in range(n_classes):
                lines[np.uintp(i * n_classes + k)] = turned[np.uintp(k * BLOCK + i)]
        if good < n:
            for i in range(n):
                if not block[TOTAL + i] > 0:
                    certain(scores[first + i], lines, i * n_classes)
        put(out, lines, one, real(0), first * n_classes, n * n_classes, offset, streaming)


@kernel
def wide(
    scores, inverse_t, rest_t, lowest, floats, floats_read, lines, lines_read, turned, lanes, offset, streaming, out
):
    """softmax of rows (N, K), K > NARROW, into ``out`` (N * K,).

    Scratch: ``floats`` (K,) for half floats, widened; ``turned`` (K + 2 LANES,) for the powers; ``lines``, ``lanes``.
    """
    real = lanes.dtype.type
    n_classes = scores.shape[1]
    whole = n_classes - n_classes % (2 * LANES)
    near = n_classes * scores.itemsize <= NEAR
    start = np.int64(0)
    for n in range(scores.shape[0]):
        row = floats_of(scores[n], floats, floats_read)
        upcoming = scores[n + 1 if near and n + 1 < scores.shape[0] else n]
        for i in range(2 * LANES):  # the last, incomplete pair, filled up
            lines[i] = -np.inf
        for i in range(n_classes - whole):
            lines[np.uintp(i)] = row[np.uintp(whole + i)]
        for i in range(LANES):
            lanes[TOTAL + i] = real(0)
            lanes[LOST_A + i] = real(0)
        m = larger(peak(row, whole), peak(lines_read, np.int64(PEAK)))
        base, floor, bias = start_of(m, inverse_t, lowest)
        row_powers(row, upcoming, base, floor, bias, whole, inverse_t, rest_t, turned, start)
        pair = np.int64(2 * LANES)
        row_powers(lines_read, lines_read, base, floor, bias, pair, inverse_t, rest_t, turned, whole)
        add_powers(turned, n_classes, lanes)
        factor, rest = inverse_total(lanes, np.int64(TOTAL), np.int64(LOST_A))
        if factor > 0:
            put(out, turned, factor, rest, n * n_classes, n_classes, offset, streaming)
        else:
            certain(scores[n], out, n * n_classes)


@kernel
def logs(scores, inverse_t, work, out):
    """log softmax of rows (N, K) into ``out`` (N * K,), from what ``gather`` left in ``work``."""
    n_classes = scores.shape[1]
    real = work.dtype.type
    lower = real(LOWERED)
    for n in range(scores.shape[0]):
        block = work[n // BLOCK]
        i = n % BLOCK
        m = block[MAXIMUM + i]
        rest = (block[TOTAL + i] + block[LOST_A + i]) * lower
        log_total = log1p(rest) if m > -np.inf else real(np.nan)
        start = n * n_classes
        for k in range(n_classes):
            z = real(widen(scores[n, k]))
            d = real(0) if z == m else z - m  # 0 for +inf less itself
            at = np.uintp(start + k)
            out[at] = narrowed(out[at], d * inverse_t - log_total)
