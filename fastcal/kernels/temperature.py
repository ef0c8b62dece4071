"""Temperature: the mean NLL of softmax(beta z) and its first three derivatives in one look at the rows.

With d_k = z_k - max z, u_k = beta d_k, the powers e_k = e^(u_k) and the label y of a row:

    NLL = log S0 - u_y,   S_j = sum_k e_k u_k^j,   p_k = e_k / S0
    beta NLL' = E u - u_y,   beta^2 NLL'' = Var u,   beta^3 NLL''' = E (u - E u)^3

all derivatives in beta = 1 / T, in which the NLL is convex. Rows are turned 64 at a time, CLASSES classes of them, a
line a class, so that vectors run across rows whatever the number of classes: nothing is to be folded at a row's end.
Numbers are float64 from the first difference on; scores are read as they come.

A logit may be -inf. A row whose label has one has an infinite NLL at every temperature: it is counted and left out.
"""

from __future__ import annotations

import numpy as np

from .elementary import LIFT, LOWERED, exp_lifted, larger, log_normal
from .intrinsics import LINE, prefetch, turn_tile
from .jit import inner, kernel
from .normalise import power
from .rows import BLOCK

F64 = np.float64

# Classes whose lines are held at once: those of float32 fill the first-level cache. More are turned anew for the sums.
CLASSES = 128

# Places in the block of a thread: what is known of its 64 rows, then sums over all rows.
MAXIMUM, LABEL, WEIGHT, POWER, FIRST, SECOND, THIRD = (BLOCK * place for place in range(7))
PLAIN = SECOND  # of a mixture: the power sum at T = 1
SUMS = BLOCK * 7
BLOCK_SIZE = BLOCK * (7 + 11)

# What ``derivatives`` adds up, weighted: the weights themselves, the NLL, beta NLL', beta^2 NLL'', beta^3 NLL'''; and
# counts of rows: label of probability 0, label not the largest logit.
N_SUMS = 5
WEIGHTS, LOSS, SLOPE, CURVE, BEND, N_ZERO, N_BELOW = range(7)
N_MIXED = 11  # sums of ``mixture``
LEAST = 1e-100  # the least probability of a mixture that is not 0

_LOWEST = -777.0  # of e^u; see exp_lifted
_MOST = np.finfo(np.float64).max


@inner
def turn(scores, first, begin, lines):
    """Write classes from ``begin`` on of 64 rows from ``first`` on, a line each; how many lines, an even number.

    Past the last row it is repeated. Binary scores z are rows (0, z).
    """
    n_rows, n_classes = scores.shape
    real = lines.dtype.type
    last = n_rows - 1
    if n_classes == 1:
        most = real(np.finfo(real).max)
        for i in range(BLOCK):
            z = scores[first + i if first + i < last else last, 0]
            z = z if z < most else most
            lines[np.uintp(i)] = real(0)
            lines[np.uintp(BLOCK + i)] = z if z > -most else -most
        return 2
    n = n_classes - begin if n_classes - begin < CLASSES else CLASSES
    per = np.int64(LINE // scores.itemsize)
    step = np.int64(BLOCK)
    for i in range(0, BLOCK, per):
        for k in range(0, n, per):
            at = (first + i) * n_classes + begin + k
            # A tile reads beyond the row's end where that cuts it, and has to stay within the scores.
            if first + i + per <= n_rows and at + (per - 1) * n_classes + per <= scores.size:
                turn_tile(scores, at, np.int64(n_classes), lines, k * BLOCK + i, step)
                continue
            for x in range(per * per):  # one loop, which is not turned into vectors: half the time to compile
                row = first + i + x // per
                c = k + x % per
                if c < n:
                    row = row if row < last else last
                    lines[np.uintp(c * BLOCK + i + x // per)] = scores[np.uintp(row), np.uintp(begin + c)]
    if n & 1:
        for i in range(BLOCK):
            lines[np.uintp(n * BLOCK + i)] = -np.inf
        n += 1
    return n


@inner
def take(scores, labels, weights, first, block):
    """LABEL, the score of the label, and WEIGHT of 64 rows; past the last row the weight is 0.

    Where the label has probability 0, LABEL is -inf.
    """
    n_rows, n_classes = scores.shape
    for i in range(BLOCK):
        row = first + i
        inside = row < n_rows
        row = row if inside else n_rows - 1
        y = labels[np.uintp(row)]
        z = F64(scores[np.uintp(row), np.uintp(y if n_classes > 1 else 0)])
        if n_classes == 1 and y == 0:
            z = -np.inf if z == np.inf else 0.0
        block[LABEL + i] = z if z < _MOST else _MOST
        block[WEIGHT + i] = 0.0
        if inside:
            block[WEIGHT + i] = weights[np.uintp(row)] if weights.size > 0 else 1.0


@inner
def maxima(lines, stop, block):
    """Take lines up to ``stop`` into MAXIMUM, a pair at a time."""
    real = block.dtype.type
    for offset in range(0, stop, 2 * BLOCK):
        for i in range(BLOCK):
            m = larger(lines[np.uintp(offset + i)], lines[np.uintp(offset + BLOCK + i)])
            block[MAXIMUM + i] = larger(block[MAXIMUM + i], real(m))


@inner
def moments(lines, stop, beta, scores, upcoming, ahead, block):
    """Add the powers of lines up to ``stop`` to POWER, and with u, u^2, u^3 to FIRST, SECOND and THIRD.

    Meanwhile, ``ahead`` a pair of lines, scores are fetched from number ``upcoming`` on: 64 rows turned at once are too
    many streams for the processor to see what comes next (100 classes from memory: 1.7 ns a score without, 1.3 with).
    """
    per_line = LINE // scores.itemsize
    for offset in range(0, stop, 2 * BLOCK):
        for k in range(offset, offset + ahead, per_line):
            prefetch(scores, upcoming + k)
        for i in range(BLOCK):
            m = block[MAXIMUM + i]
            u = (F64(lines[np.uintp(offset + i)]) - m) * beta
            v = (F64(lines[np.uintp(offset + BLOCK + i)]) - m) * beta
            u = larger(_LOWEST, u)
            v = larger(_LOWEST, v)
            e = exp_lifted(u, 1.0, 0.0)
            f = exp_lifted(v, 1.0, 0.0)
            block[POWER + i] += e + f
            e = e * u
            f = f * v
            block[FIRST + i] += e + f
            e = e * u
            f = f * v
            block[SECOND + i] += e + f
            block[THIRD + i] += e * u + f * v


@inner
def powers(lines, stop, beta, scores, upcoming, ahead, block):
    """Add the powers of lines up to ``stop`` to POWER, and those at T = 1 to PLAIN."""
    per_line = LINE // scores.itemsize
    for offset in range(0, stop, BLOCK):
        for k in range(offset, offset + ahead // 2, per_line):
            prefetch(scores, upcoming + k)
        for i in range(BLOCK):
            d = F64(lines[np.uintp(offset + i)]) - block[MAXIMUM + i]
            block[POWER + i] += exp_lifted(larger(_LOWEST, d * beta), 1.0, 0.0)
            block[PLAIN + i] += exp_lifted(larger(_LOWEST, d), 1.0, 0.0)


@inner
def gather(scores, first, beta, mixed, lines, lines_read, block):
    """Power sums of 64 rows; ``mixed`` is True where those at T = 1 are wanted, else None."""
    n_columns = scores.shape[1]
    for i in range(BLOCK):
        block[MAXIMUM + i] = -np.inf
        block[POWER + i] = 0.0
        block[FIRST + i] = 0.0
        block[SECOND + i] = 0.0
        block[THIRD + i] = 0.0
    n = 0
    parts = (n_columns + CLASSES - 1) // CLASSES
    upcoming = np.int64((first + BLOCK) * n_columns)
    ahead = np.int64(2 * BLOCK if parts == 1 else 0)
    for part in range(2 * parts):  # all of them for the maxima, then for the sums; a single one is turned once
        if part == 0 or parts > 1:
            n = turn(scores, first, np.int64(part % parts * CLASSES), lines)
        if part < parts:
            maxima(lines_read, n * BLOCK, block)
        elif mixed is None:
            moments(lines_read, n * BLOCK, beta, scores, upcoming, ahead, block)
        else:
            powers(lines_read, n * BLOCK, beta, scores, upcoming, ahead, block)


@inner
def fold(n_sums, block, into):
    """Add what each of 64 places has summed, and empty them."""
    for j in range(n_sums):
        total = 0.0
        for i in range(BLOCK):
            total += block[SUMS + BLOCK * j + i]
            block[SUMS + BLOCK * j + i] = 0.0
        into[j] += total


@kernel
def derivatives(scores, labels, weights, beta, lines, lines_read, block, into):
    """Add to ``into`` (N_SUMS + 2,) the weighted sums, and the two counts, of rows (n, K), or (n, 1) of binary ones.

    Empty ``weights``: all are 1. Scratch: ``lines`` (CLASSES * BLOCK,) of the scores' type, a read-only view of them,
    and ``block`` (BLOCK_SIZE,), which comes and goes with 0 in its sums.
    """
    for first in range(0, scores.shape[0], BLOCK):
        gather(scores, first, beta, None, lines, lines_read, block)
        take(scores, labels, weights, first, block)
        zero = 0
        below = 0
        for i in range(BLOCK):
            w = block[WEIGHT + i]
            d = block[LABEL + i] - block[MAXIMUM + i]
            zero += np.int64(block[LABEL + i] == -np.inf) & np.int64(w > 0.0)
            below += np.int64(d < 0.0) & np.int64(w > 0.0)
            w = 0.0 if block[LABEL + i] == -np.inf else w
            u = larger(-_MOST, d * beta)
            total = block[POWER + i]
            inverse = 1.0 / total
            mean = block[FIRST + i] * inverse
            square = block[SECOND + i] * inverse
            cube = block[THIRD + i] * inverse
            block[SUMS + BLOCK * WEIGHTS + i] += w
            block[SUMS + BLOCK * LOSS + i] += w * (log_normal(total, F64(LIFT)) - u)
            block[SUMS + BLOCK * SLOPE + i] += w * (mean - u)
            block[SUMS + BLOCK * CURVE + i] += w * (square - mean * mean)
            block[SUMS + BLOCK * BEND + i] += w * (cube - mean * (3.0 * square - 2.0 * mean * mean))
        into[N_ZERO] += zero
        into[N_BELOW] += below - zero
    fold(N_SUMS, block, into)


@kernel
def mixture(scores, labels, weights, beta, shares, lines, lines_read, block, into):
    """Add to ``into`` (N_MIXED + 1,) what p = shares . (softmax(beta z), softmax(z), 1 / K), each at the label, gives.

    Sums: the weights, the NLL, r_j = c_j / p of the three components, and r_j r_k, j <= k; last a count of rows where
    p is 0. Scratch as for ``derivatives``.
    """
    uniform = 1.0 / (scores.shape[1] if scores.shape[1] > 1 else 2)
    for first in range(0, scores.shape[0], BLOCK):
        gather(scores, first, beta, True, lines, lines_read, block)
        take(scores, labels, weights, first, block)
        impossible = 0
        for i in range(BLOCK):
            w = block[WEIGHT + i]
            d = block[LABEL + i] - block[MAXIMUM + i]
            a = exp_lifted(larger(_LOWEST, d * beta), 1.0, 0.0) / block[POWER + i]
            b = exp_lifted(larger(_LOWEST, d), 1.0, 0.0) / block[PLAIN + i]
            p = shares[0] * a + shares[1] * b + shares[2] * uniform
            impossible += np.int64(p < LEAST) & np.int64(w > 0.0)
            p = larger(LEAST, p)
            inverse = 1.0 / p
            a *= inverse
            b *= inverse
            c = uniform * inverse
            block[SUMS + i] += w
            block[SUMS + BLOCK + i] -= w * log_normal(p, 0.0)
            block[SUMS + BLOCK * 2 + i] += w * a
            block[SUMS + BLOCK * 3 + i] += w * b
            block[SUMS + BLOCK * 4 + i] += w * c
            block[SUMS + BLOCK * 5 + i] += w * (a * a)
            block[SUMS + BLOCK * 6 + i] += w * (a * b)
            block[SUMS + BLOCK * 7 + i] += w * (a * c)
            block[SUMS + BLOCK * 8 + i] += w * (b * b)
            block[SUMS + BLOCK * 9 + i] += w * (b * c)
            block[SUMS + BLOCK * 10 + i] += w * (c * c)
        into[N_MIXED] += impossible
    fold(N_MIXED, block, into)


@kernel
def sigmoid(scores, beta, out):
    """1 / (1 + e^(-beta z)) of (n, 1), computed in float64, into (n, 1) of the scores' type."""
    for i in range(scores.shape[0]):
        z = F64(scores[np.uintp(i), 0])
        e = exp_lifted(larger(_LOWEST, -abs(z * beta)), 1.0, 0.0) * LOWERED
        p = 1.0 / (1.0 + e)
        out[np.uintp(i), 0] = p if z >= 0.0 else e * p


@inner
def lift(lines, stop, inverse_t, rest_t, lowest, block):
    """Put the lifted e^((z - max z) / T) in place of z in lines up to ``stop``, a pair at a time."""
    for offset in range(0, stop, 2 * BLOCK):
        for i in range(BLOCK):
            m = block[MAXIMUM + i]
            a = power(lines[np.uintp(offset + i)], m, inverse_t, rest_t, lowest)
            b = power(lines[np.uintp(offset + BLOCK + i)], m, inverse_t, rest_t, lowest)
            lines[np.uintp(offset + i)] = a
            lines[np.uintp(offset + BLOCK + i)] = b


@inner
def add_up(lines, stop, totals):
    """Add lines up to ``stop`` to float64 totals, four at a time. In one loop with ``lift`` all took half vectors."""
    for offset in range(0, stop, 4 * BLOCK):
        for i in range(BLOCK):
            near = lines[np.uintp(offset + i)] + lines[np.uintp(offset + BLOCK + i)]
            far = lines[np.uintp(offset + 2 * BLOCK + i)] + lines[np.uintp(offset + 3 * BLOCK + i)]
            totals[i] += F64(near + far)


@inner
def turn_back(lines, n_classes, rows):
    """Write lines, a class each, as 64 rows, one after the other; what follows them is overwritten."""
    per = np.int64(LINE // rows.itemsize)
    for i in range(0, BLOCK, per):
        # A tile writes beyond the row's end where that cuts it: what belongs there is written after it.
        for k in range((n_classes - 1) // per * per, -1, -per):
            at = np.int64(i * n_classes + k)
            turn_tile(lines, np.int64(k * BLOCK + i), np.int64(BLOCK), rows, at, np.int64(n_classes))


@kernel
def softmax(scores, inverse_t, rest_t, lowest, lines, lines_read, rows, block, totals, out):
    """softmax(z / T) of rows (n, K), 3 <= K <= CLASSES, into ``out`` (n * K,), which may be the very same memory.

    No row is without a finite logit, and none has NaN or +inf. Scratch: ``lines`` and its read-only view,
    ``rows`` (CLASSES * BLOCK + LINE,), ``block`` (2 BLOCK,), all of the scores' type, ``totals`` (BLOCK,) float64.
    """
    n_rows, n_classes = scores.shape
    real = block.dtype.type
    stop = (n_classes + 3) // 4 * 4 * BLOCK
    for first in range(0, n_rows, BLOCK):
        for i in range(BLOCK):
            block[MAXIMUM + i] = -np.inf
            totals[i] = 0.0
        turn(scores, first, np.int64(0), lines)
        for i in range(n_classes * BLOCK, stop):
            lines[np.uintp(i)] = -np.inf
        maxima(lines_read, stop, block)
        lift(lines, stop, inverse_t, rest_t, lowest, block)
        add_up(lines_read, stop, totals)
        for i in range(BLOCK):
            block[BLOCK + i] = real(totals[i])
        for i in range(BLOCK):
            block[BLOCK + i] = real(1) / block[BLOCK + i]
        for k in range(0, n_classes * BLOCK, BLOCK):
            for i in range(BLOCK):
                lines[np.uintp(k + i)] *= block[BLOCK + i]
        turn_back(lines_read, n_classes, rows)
        n = n_rows - first if n_rows - first < BLOCK else BLOCK
        start = np.uintp(first * n_classes)
        for i in range(n * n_classes):
            out[start + np.uintp(i)] = rows[np.uintp(i)]
