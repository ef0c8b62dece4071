"""Bins of each class while a wide row is in the first-level cache: with its sums, and no array of probabilities.

Of 1000 float32 logits a row, this and the sums take half the time of the sums (gather.py), the softmax of a chunk
(softmax.py) and the bins (classwise.py) one after the other: e^(z - m) is computed once, and nothing goes to memory.
"""

from __future__ import annotations

import numpy as np

from .classwise import MOST_ROWS, add_row, empty_all
from .elementary import LOWERED
from .gather import fold_sums, wide_row
from .jit import kernel
from .rows import BLOCK, MAXIMUM, NEAR, SUM_A


@kernel
def add(
    scores,
    from_logits,
    inverse_t,
    rest_t,
    lowest,
    lines,
    lines_read,
    lanes,
    exps,
    exps_read,
    work,
    labels,
    first,
    cuts,
    table,
    low,
    high,
    held,
    sums,
    totals,
    cells,
    hits,
):
    """As ``gather.wide`` with squares and without SECOND, and as ``classwise.add``, of rows (n, K) of floats.

    Scratch ``exps`` (K + 6 LANES,) and its read-only view. Rows that ``judge`` finds to be none are passed over; a
    label that is no class, too, as what was added is then taken back.
    """
    n, n_classes = scores.shape
    near = n_classes * scores.itemsize <= NEAR
    real = lanes.dtype.type
    one = real(1)
    lower = real(LOWERED)
    for i in range(n):
        row = scores[i]
        upcoming = scores[i + 1 if near and i + 1 < n else i]
        wide_row(row, upcoming, from_logits, True, None, exps, inverse_t, rest_t, lowest, lines, lines_read, lanes)
        block = work[i // BLOCK]
        at = i % BLOCK
        fold_sums(lanes, from_logits, True, block, at)
        total = block[SUM_A + at]
        y = labels[i]
        if np.isnan(total) or block[MAXIMUM + at] == -np.inf or y < 0 or y >= n_classes:
            continue
        if from_logits:  # as softmax.certainty has it
            confidence = one / (one + total * lower)
            for k in range(n_classes):
                exps[np.uintp(k)] = exps[np.uintp(k)] * lower * confidence
        held[0] += 1
        add_row(
            exps_read[:n_classes] if from_logits else row, y, first, cuts, table, low, high, sums, totals, cells, hits
        )
        if held[0] == MOST_ROWS:
            empty_all(held, totals, sums, cells)
