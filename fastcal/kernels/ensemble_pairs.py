"""Mean divergence between two members of an ensemble: Kullback-Leibler, both ways, or Jensen-Shannon.

    KL(p || q) + KL(q || p) = sum_k (p_k - q_k) (log p_k - log q_k)
    JS(p, q) = (sum_k p_k log p_k + sum_k q_k log q_k) / 2 - sum_k s_k log s_k, s = (p + q) / 2

Both are sums over pairs, though that of KL could be had from sums over members: these terms are never negative, and 0
where two members agree, whatever the others do. Logarithms are taken once a member, of JS once a pair.

A row's state are two lines a class of each member, of probabilities and of their logarithms; its work NaN if
the row is no distribution, and the members' sums of p log p, not yet folded (JS was off by 1e-6 while they were). Calls
are as in ensemble.py.
"""

from __future__ import annotations

import numpy as np

from .elementary import LOWERED, log, log1p
from .ensemble_lines import (
    ARGMAX,
    INFORMATION,
    INFORMATION_LOST,
    LOST,
    LOWEST,
    MAXIMUM,
    SCALE,
    SPARE,
    SQUARES,
    TOTAL,
    ZEROS,
    clear,
    clip,
    copy,
    inform,
    look,
    powers,
    scale,
    turn,
)
from .ensemble_steps import begin, end, fold, fold_look, watch
from .jit import inner, kernel
from .rows import BLOCK, LANES

LOG2 = 0.6931471805599453


@inner
def enter(from_logits, lowest, js, m, width, stride, lines, probs, logs, lanes, work):
    """Take lines of member ``m``: probabilities into ``probs``, and logarithms into ``logs`` or ``work``."""
    size = lines.shape[0]
    real = lanes.dtype.type
    one = real(1)
    zero = real(0)
    lower = real(LOWERED)
    step = 1 if stride > 1 else width
    clear(lanes)
    look(lines, size, step, width, True, lanes)
    if stride == 1:
        fold_look(lanes)
        fold(np.int64(TOTAL), np.int64(ZEROS), lanes)
    if from_logits:
        for offset in range(0, size, width):
            for i in range(width):
                logs[np.uintp(offset + i)] = lines[np.uintp(offset + i)] - lanes[MAXIMUM + i]
        for i in range(stride):
            place = np.uintp(lanes[ARGMAX + i]) * np.uintp(stride) + np.uintp(i)
            lines[place] = -np.inf
            logs[place] = zero
        for i in range(width):
            lanes[TOTAL + i] = zero
        powers(lines, size, lowest, width, lanes)
        if stride == 1:
            fold(np.int64(TOTAL), np.int64(LOST), lanes)
        for i in range(stride):
            rest = (lanes[TOTAL + i] + lanes[LOST + i]) * lower
            rest = real(np.nan) if lanes[MAXIMUM + i] == real(-np.inf) else rest
            lanes[SCALE + i] = lower / (one + rest)
            lanes[SPARE + i] = log1p(rest)
            lines[np.uintp(lanes[ARGMAX + i]) * np.uintp(stride) + np.uintp(i)] = one / lower
        if stride == 1:
            for i in range(LANES):
                lanes[SCALE + i] = lanes[SCALE]
                lanes[SPARE + i] = lanes[SPARE]
        scale(lines, size, width, lanes)
        for j in range(size):
            probs[np.uintp(j)] = lines[np.uintp(j)]
        for i in range(width):
            lanes[INFORMATION + i] = zero
            lanes[INFORMATION_LOST + i] = zero
        for offset in range(0, size, width):
            for i in range(width):
                logs[np.uintp(offset + i)] = logs[np.uintp(offset + i)] - lanes[SPARE + i]
    else:
        if watch(stride, lanes):
            clip(lines, size)
        for j in range(size):
            probs[np.uintp(j)] = lines[np.uintp(j)]
            logs[np.uintp(j)] = log(lines[np.uintp(j)])
        for i in range(stride):
            lanes[SCALE + i] = lanes[TOTAL + i]
    if js:
        inform(probs, size, width, lanes)
        place = stride + 2 * m * width
        for i in range(width):
            work[place + i] = lanes[INFORMATION + i]
            work[place + width + i] = lanes[INFORMATION_LOST + i]
    for i in range(stride):
        work[i] = zero * lanes[SCALE + i] + (work[i] if m > 0 else zero)


@inner
def finite_logs(state, size, n_members, width, lanes):
    """Put 0 in place of log 0; LOWEST is -inf where a class is impossible for some members only.

    Any finite number does: what it is multiplied with is 0, or the divergence is known to be infinite.
    """
    real = lanes.dtype.type
    for i in range(width):
        lanes[LOWEST + i] = real(0)
    for offset in range(0, size, width):
        for i in range(width):
            lanes[MAXIMUM + i] = real(-np.inf)
            lanes[SPARE + i] = real(0)
        for m in range(n_members):
            logs = state[(2 * m + 1) * size + offset : (2 * m + 1) * size + offset + width]
            for i in range(width):
                value = logs[np.uintp(i)]
                high = lanes[MAXIMUM + i]
                low = lanes[SPARE + i]
                lanes[MAXIMUM + i] = value if value > high else high
                lanes[SPARE + i] = value if value < low else low
                logs[np.uintp(i)] = real(0) if value == real(-np.inf) else value
        for i in range(width):
            some = lanes[MAXIMUM + i] > real(-np.inf)
            low = lanes[SPARE + i]
            lanes[LOWEST + i] = low if some and low == real(-np.inf) else lanes[LOWEST + i]


@inner
def both_ways(p, q, log_p, log_q, width, lanes):
    """Add (p - q) (log p - log q) to SQUARES."""
    for offset in range(0, p.shape[0], 2 * width):
        for i in range(width):
            j = np.uintp(offset + i)
            k = np.uintp(offset + width + i)
            x = (p[j] - q[j]) * (log_p[j] - log_q[j])
            lanes[SQUARES + i] += x + (p[k] - q[k]) * (log_p[k] - log_q[k])


@inner
def less_halfway(m, o, width, lanes, work):
    """The mean of INFORMATION at two places of the work, less that in the lanes, in its place."""
    half = lanes.dtype.type(0.5)
    for i in range(width):
        between = (work[m + i] - lanes[INFORMATION + i]) + (work[o + i] - lanes[INFORMATION + i])
        lost = lanes[INFORMATION_LOST + i]
        lost = (work[m + width + i] - lost) + (work[o + width + i] - lost)
        lanes[INFORMATION + i] = half * (between + lost)


@inner
def halfway(p, q, lines):
    """The mean of two members."""
    half = lines.dtype.type(0.5)
    for j in range(lines.shape[0]):
        lines[np.uintp(j)] = half * (p[np.uintp(j)] + q[np.uintp(j)])


@inner
def close(row, n, js, weights, of_pairs, width, stride, lines, state, lanes, work, result):
    """Results of ``n`` rows from ``row`` on; ``weights``, and what a pair's are divided by, are float64."""
    size = lines.shape[0]
    n_members = weights.shape[0]
    real = lanes.dtype.type
    zero = real(0)
    most = real(LOG2) if js else real(np.inf)
    clear(lanes)
    if not js:
        finite_logs(state, size, n_members, width, lanes)
        if stride == 1:
            for i in range(LANES):
                lanes[LOWEST] = lanes[LOWEST + i] if lanes[LOWEST + i] < lanes[LOWEST] else lanes[LOWEST]
    for i in range(stride):
        lanes[TOTAL + i] = zero
        lanes[LOST + i] = zero
    for m in range(n_members):
        p = state[2 * m * size : (2 * m + 1) * size]
        log_p = state[(2 * m + 1) * size : (2 * m + 2) * size]
        for o in range(m):
            q = state[2 * o * size : (2 * o + 1) * size]
            log_q = state[(2 * o + 1) * size : (2 * o + 2) * size]
            for i in range(width):
                lanes[SQUARES + i] = zero
                lanes[INFORMATION + i] = zero
                lanes[INFORMATION_LOST + i] = zero
            if js:
                halfway(p, q, lines)
                inform(lines, size, width, lanes)
                less_halfway(stride + 2 * m * width, stride + 2 * o * width, width, lanes, work)
                if stride == 1:
                    fold(np.int64(INFORMATION), np.int64(ZEROS), lanes)
                for i in range(stride):
                    between = lanes[INFORMATION + i]
                    lanes[SQUARES + i] = zero if between < zero else between
            else:
                both_ways(p, q, log_p, log_q, width, lanes)
                if stride == 1:
                    fold(np.int64(SQUARES), np.int64(ZEROS), lanes)
            weight = real(weights[m] * weights[o] / of_pairs)
            for i in range(stride):
                x = weight * lanes[SQUARES + i]
                before = lanes[TOTAL + i]
                new = before + x
                lanes[TOTAL + i] = new
                lanes[LOST + i] += x - (new - before)
    for i in range(n):
        found = lanes[TOTAL + i] + lanes[LOST + i]
        found = most if found > most else found
        found = real(np.inf) if lanes[LOWEST + i] < zero else found
        result[row + i] = found + work[i]


@kernel
def narrow(
    members,
    n_members,
    n_rows,
    n_classes,
    start,
    stop,
    from_logits,
    js,
    number,
    weights,
    of_pairs,
    closes,
    lowest,
    room,
    lanes,
    state,
    work,
    extremes,
    result,
):
    """Rows ``start`` to ``stop`` of members from ``number`` on, K <= NARROW; see ensemble.py."""
    size = np.int64((n_classes + 1) // 2 * 2 * BLOCK)
    lines = room[:size]
    real = lanes.dtype.type
    fill = real(-np.inf) if from_logits else real(0)
    begin(lanes)
    for b in range((stop - start + BLOCK - 1) // BLOCK):
        first = start + b * BLOCK
        s = b if state.shape[0] > 1 else 0
        for m in range(n_members):
            place = 2 * (number + m) * size
            probs = state[s, place : place + size]
            logs = state[s, place + size : place + 2 * size]
            turn(members, m * n_rows + first, m * n_rows + stop - 1, n_classes, fill, size, room)
            enter(
                from_logits,
                lowest,
                js,
                number + m,
                BLOCK,
                BLOCK,
                lines,
                probs,
                logs,
                lanes,
                work[s],
            )
        if closes:
            n = min(BLOCK, stop - first)
            close(first - start, n, js, weights, of_pairs, BLOCK, BLOCK, lines, state[s], lanes, work[s], result)
    end(lanes, extremes)


@kernel
def wide(
    members,
    n_members,
    n_rows,
    n_classes,
    start,
    stop,
    from_logits,
    js,
    number,
    weights,
    of_pairs,
    closes,
    lowest,
    lines,
    lanes,
    state,
    work,
    extremes,
    result,
):
    """The same, K > NARROW."""
    size = lines.shape[0]
    real = lanes.dtype.type
    fill = real(-np.inf) if from_logits else real(0)
    begin(lanes)
    for row in range(start, stop):
        s = row - start if state.shape[0] > 1 else 0
        for m in range(n_members):
            place = 2 * (number + m) * size
            probs = state[s, place : place + size]
            logs = state[s, place + size : place + 2 * size]
            copy(members, m * n_rows + row, n_classes, fill, lines)
            enter(
                from_logits,
                lowest,
                js,
                number + m,
                LANES,
                1,
                lines,
                probs,
                logs,
                lanes,
                work[s],
            )
        if closes:
            close(row - start, 1, js, weights, of_pairs, LANES, 1, lines, state[s], lanes, work[s], result)
    end(lanes, extremes)
