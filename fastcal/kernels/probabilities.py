"""Rows of probabilities: confidence, margin, entropy, and with a label NLL and Brier score, in one pass.

    entropy = -sum_k p_k log p_k      nll = -log p_y      brier = sum_{k != y} p_k^2 + (1 - p_y)^2

Values outside [0, 1] by no more than the caller's tolerance count as 0 or 1. As with logits, the row's maximum is left
out of the sum of squares, so that the Brier score of a confident row keeps its digits.
"""

from __future__ import annotations

import numpy as np

from .elementary import log, log1p
from .jit import kernel
from .rows import (
    ARGMAX,
    BLOCK,
    BLOCK_SIZE,
    BRIER,
    CONFIDENCE,
    CORRECT,
    ENTROPY,
    FIRST_BAD,
    FIRST_NAN,
    LOGSUMEXP,
    MARGIN,
    MAXIMUM,
    N_BAD,
    N_COLUMNS,
    N_NAN,
    NLL,
    OFFSET,
    OUTCOME,
    SECOND,
    fold_sums,
    fold_top,
    pad,
    top,
    turn,
)
from .rows import SUM_A as TOTAL
from .rows import SUM_B as INFORMATION
from .rows import SUM_C as SQUARES
from .rows import SUM_D as BELOW

# Added to p, or put in its place, it keeps log 0 out of the entropy; where it matters p log p is 0 to many digits.
LEAST = 1.17549435e-38


@kernel
def _add(line, k, block):
    """Add a line's p to the total, and, the maximum left out, -p log p, p^2 and what lies below 0."""
    # No conditional expressions here: LLVM would follow "p is 0" through the logarithm as a branch of its own, and the
    # loop would stay scalar (5.2 against 1.1 ns a class).
    real = block.dtype.type
    one = real(1)
    half = real(0.5)
    least = real(LEAST)
    base = real(k)
    for i in range(BLOCK):
        p = line[i]
        block[TOTAL + i] += p
        largest = base + block[OFFSET + i] == block[ARGMAX + i]
        p = p * (one - real(largest))
        positive = half * (p + abs(p))
        block[BELOW + i] += p - positive
        block[INFORMATION + i] -= positive * log(positive + least)
        block[SQUARES + i] += positive * positive


@kernel
def narrow_sums(probs, lines, lines_read, work):
    """Gather the sums of narrow rows into ``work``, which comes empty (``lines_read``: see softmax.py)."""
    for b in range(work.shape[0]):
        block = work[b]
        turn(probs, b * BLOCK, lines)
        for k in range(probs.shape[1]):
            top(lines_read[k], k, block)
        for k in range(probs.shape[1]):
            _add(lines_read[k], k, block)


@kernel
def wide_sums(probs, empty, lines, lines_read, lanes, work):
    """Gather the sums of wide rows, each in ``lanes``, a block of its own that begins as ``empty``."""
    n_classes = probs.shape[1]
    whole = n_classes - n_classes % BLOCK
    for n in range(probs.shape[0]):
        row = probs[n]
        pad(row, 0.0, lines[0])
        for i in range(BLOCK_SIZE):
            lanes[i] = empty[i]
        for k in range(0, n_classes, BLOCK):
            top(row[k : k + BLOCK] if k < whole else lines_read[0], k, lanes)
        fold_top(lanes)
        for k in range(0, n_classes, BLOCK):
            _add(row[k : k + BLOCK] if k < whole else lines_read[0], k, lanes)
        fold_sums(lanes, work[n // BLOCK], n % BLOCK)


@kernel
def _finish(block):
    """On entry NLL holds the label's probability."""
    real = block.dtype.type
    zero = real(0)
    one = real(1)
    least = real(LEAST)
    for i in range(BLOCK):
        m = block[MAXIMUM + i]
        second = block[SECOND + i]
        p = block[NLL * BLOCK + i]
        m = one if m > one else m
        second = zero if second < zero else second
        p = zero if p < zero else p
        p = one if p > one else p
        off = one - p
        # the label's own square is out of SQUARES only where the label is the maximum
        rest = block[SQUARES + i] if p == m else block[SQUARES + i] + (m * m - p * p)
        block[CONFIDENCE * BLOCK + i] = m
        block[MARGIN * BLOCK + i] = m - second
        block[ENTROPY * BLOCK + i] = block[INFORMATION + i] - m * log(least if m < least else m)
        block[LOGSUMEXP * BLOCK + i] = zero
        block[NLL * BLOCK + i] = -log(p)
        block[BRIER * BLOCK + i] = rest + off * off


@kernel
def results(probs, labels, tolerance, sum_tolerance, work, prediction, hits, table, faults):
    """From sums to ``prediction`` and ``table`` and, unless ``labels`` is empty, ``hits``.

    A row fails whose probabilities lie outside [0, 1] by more than ``tolerance``, whose sum is off 1 by more than
    ``sum_tolerance``, or whose label is no class.
    """
    n, n_classes = probs.shape
    for first in range(0, n, BLOCK):
        block = work[first // BLOCK]
        size = n - first if n - first < BLOCK else BLOCK
        for i in range(size):
            row = first + i
            largest = np.int64(block[ARGMAX + i])
            total = np.float64(block[TOTAL + i])
            bad = np.float64(block[MAXIMUM + i]) > 1.0 + tolerance or np.float64(block[BELOW + i]) < -tolerance
            y = largest
            if labels.size > 0:
                y = labels[row]
                if y < 0 or y >= n_classes:
                    bad = True
                    y = largest
                hits[CORRECT, row] = y == largest
                hits[OUTCOME, row] = y == largest
            block[NLL * BLOCK + i] = probs[row, y]
            if np.isnan(total):
                block[MAXIMUM + i] = np.nan
                block[NLL * BLOCK + i] = np.nan
                largest = np.int64(-1)
                faults[N_NAN] += 1
                if row < faults[FIRST_NAN]:
                    faults[FIRST_NAN] = row
            elif abs(total - 1.0) > sum_tolerance:
                bad = True
            if bad:
                faults[N_BAD] += 1
                if row < faults[FIRST_BAD]:
                    faults[FIRST_BAD] = row
            prediction[row] = largest
        _finish(block)
        for column in range(N_COLUMNS):
            for i in range(size):
                table[column, first + i] = block[column * BLOCK + i]


@kernel
def _finish_binary(block):
    """On entry MAXIMUM holds p, SECOND the label."""
    real = block.dtype.type
    zero = real(0)
    one = real(1)
    least = real(LEAST)
    for i in range(BLOCK):
        p = block[MAXIMUM + i]
        positive = block[SECOND + i] == one
        p = zero if p < zero else p
        p = one if p > one else p
        q = one - p
        log_p = log(p)
        log_q = log1p(-p)
        margin = p - q
        off = q if positive else p
        information = p * (log_p if p > least else zero) + q * (log_q if q > zero else zero)
        block[CONFIDENCE * BLOCK + i] = p
        block[MARGIN * BLOCK + i] = margin if margin > zero else -margin
        block[ENTROPY * BLOCK + i] = -information
        block[LOGSUMEXP * BLOCK + i] = zero
        block[NLL * BLOCK + i] = -(log_p if positive else log_q)
        block[BRIER * BLOCK + i] = off * off


@kernel
def binary_results(probs, labels, tolerance, work, prediction, hits, table, faults):
    """The same for (N,) probabilities of class 1; class 1 is predicted where p > 0.5."""
    n = probs.shape[0]
    real = work.dtype.type
    for first in range(0, n, BLOCK):
        block = work[first // BLOCK]
        size = n - first if n - first < BLOCK else BLOCK
        for i in range(size):
            row = first + i
            p = np.float64(probs[row])
            bad = p > 1.0 + tolerance or p < -tolerance
            largest = np.int64(1) if p > 0.5 else np.int64(0)
            y = largest
            if labels.size > 0:
                y = labels[row]
                if y < 0 or y > 1:
                    bad = True
                hits[CORRECT, row] = y == largest
                hits[OUTCOME, row] = y == 1
            if np.isnan(p):
                largest = np.int64(-1)
                faults[N_NAN] += 1
                if row < faults[FIRST_NAN]:
                    faults[FIRST_NAN] = row
            if bad:
                faults[N_BAD] += 1
                if row < faults[FIRST_BAD]:
                    faults[FIRST_BAD] = row
            block[MAXIMUM + i] = probs[row]
            block[SECOND + i] = real(y)
            prediction[row] = largest
        _finish_binary(block)
        for column in range(N_COLUMNS):
            for i in range(size):
                table[column, first + i] = block[column * BLOCK + i]
