"""softmax_summary: rows of logits, floats or half floats, to five columns of results, with nothing kept in between."""

from __future__ import annotations

import numpy as np

from .gather import fold_sums, narrow_block, wide_row
from .halves import widen, widen_row
from .jit import inner, kernel
from .rows import ARGMAX, BLOCK, BLOCK_SIZE, CONFIDENCE, ENTROPY, LOGSUMEXP, MARGIN, MAXIMUM
from .softmax import certainty


@inner
def write(scores, first, block, prediction, confidence, margin, entropy, logsumexp):
    """Hand out the results of a block of rows, from row ``first`` on."""
    n = min(scores.shape[0] - first, BLOCK)
    good = 0
    for i in range(n):
        row = np.uintp(first + i)
        certain = block[CONFIDENCE * BLOCK + i]
        confidence[row] = certain
        margin[row] = block[MARGIN * BLOCK + i]
        entropy[row] = block[ENTROPY * BLOCK + i]
        logsumexp[row] = block[LOGSUMEXP * BLOCK + i]
        prediction[row] = np.int32(block[ARGMAX + i])
        good += np.int64(certain > 0) & np.int64(block[MAXIMUM + i] > -np.inf)
    if good == n:
        return
    for i in range(n):
        row = first + i
        if not (confidence[row] > 0 and block[MAXIMUM + i] > -np.inf):
            mark(scores[row], row, prediction, confidence, margin, entropy, logsumexp)


@inner
def mark(scores, row, prediction, confidence, margin, entropy, logsumexp):
    """A row that is no distribution: NaN, but for its logsumexp where that is an infinity."""
    total = np.float64(0)  # NaN with any NaN
    largest = -np.inf
    for k in range(scores.shape[0]):
        z = np.float64(widen(scores[k]))
        total = total if z == z else z
        largest = z if z > largest else largest
    prediction[row] = -1
    confidence[row] = np.nan
    margin[row] = np.nan
    entropy[row] = np.nan
    logsumexp[row] = total + largest


@kernel
def narrow(
    scores, inverse_t, rest_t, empty, lines, lines_read, block, prediction, confidence, margin, entropy, logsumexp
):
    """Rows (N, K), K <= NARROW."""
    for first in range(0, scores.shape[0], BLOCK):
        for i in range(MAXIMUM, BLOCK_SIZE):
            block[i] = empty[i]
        narrow_block(scores, first, True, False, inverse_t, rest_t, lines, lines_read, block)
        certainty(inverse_t, False, block)
        write(scores, first, block, prediction, confidence, margin, entropy, logsumexp)


@kernel
def wide(
    scores,
    inverse_t,
    rest_t,
    lines,
    lines_read,
    lanes,
    block,
    prediction,
    confidence,
    margin,
    entropy,
    logsumexp,
):
    """Rows (N, K), K > NARROW, of floats."""
    for first in range(0, scores.shape[0], BLOCK):
        for n in range(first, min(first + BLOCK, scores.shape[0])):
            upcoming = scores[min(n + 1, scores.shape[0] - 1)]
            wide_row(scores[n], upcoming, True, False, inverse_t, rest_t, lines, lines_read, lanes)
            fold_sums(lanes, True, False, block, n - first)
        certainty(inverse_t, False, block)
        write(scores, first, block, prediction, confidence, margin, entropy, logsumexp)


@kernel
def wide_half(
    scores,
    inverse_t,
    rest_t,
    floats,
    floats_read,
    lines,
    lines_read,
    lanes,
    block,
    prediction,
    confidence,
    margin,
    entropy,
    logsumexp,
):
    """Rows (N, K), K > NARROW, of half floats, each widened to the scratch ``floats`` (K,)."""
    for first in range(0, scores.shape[0], BLOCK):
        for n in range(first, min(first + BLOCK, scores.shape[0])):
            widen_row(scores[n], floats)
            wide_row(
                floats_read,
                scores[min(n + 1, scores.shape[0] - 1)],
                True,
                False,
                inverse_t,
                rest_t,
                lines,
                lines_read,
                lanes,
            )
            fold_sums(lanes, True, False, block, n - first)
        certainty(inverse_t, False, block)
        write(scores, first, block, prediction, confidence, margin, entropy, logsumexp)
