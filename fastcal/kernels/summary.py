"""softmax_summary: from the sums of blocks of rows to five columns of results."""

from __future__ import annotations

import numpy as np

from .halves import widen
from .jit import inner, kernel
from .rows import ARGMAX, BLOCK, CONFIDENCE, ENTROPY, LOGSUMEXP, MARGIN, MAXIMUM
from .softmax import certainty


@kernel
def write(scores, inverse_t, rest_t, lowest, work, prediction, confidence, margin, entropy, logsumexp):
    """Results of rows of logits (N, K), floats or half floats, from what ``gather`` left in ``work``."""
    for b in range(work.shape[0]):
        block = work[b]
        certainty(inverse_t, rest_t, lowest, False, BLOCK, block)
        first = b * BLOCK
        n = scores.shape[0] - first
        n = n if n < BLOCK else BLOCK
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
        if good < n:
            for i in range(n):
                row = first + i
                if not (confidence[row] > 0 and block[MAXIMUM + i] > -np.inf):
                    prediction[row] = -1
                    confidence[row] = np.nan
                    margin[row] = np.nan
                    entropy[row] = np.nan
                    logsumexp[row] = extreme(scores[row])


@inner
def extreme(row):
    """The logsumexp of a row that is no distribution: its NaN, else its largest logit, an infinity."""
    largest = -np.inf
    for k in range(row.shape[0]):
        z = np.float64(widen(row[k]))
        largest = z if np.isnan(z) or z > largest else largest
    return largest
