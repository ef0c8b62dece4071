"""Single rows with a label or of several members, see interface_rows.py, and softmax of many."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import normalise, two_classes
from .elementary import log
from .ensemble_lines import ARGMAX as VOTE
from .ensemble_lines import LANES_SIZE
from .ensemble_lines import OFFSET as PLACE
from .ensemble_steps import NUMBERS, add_logits, add_probabilities, begin, close
from .gather import clear, fold_sums, fold_top, top
from .interface_rows import Array, divided, padded, set_nan, softmax_of_wide, take
from .interface_summary import gather
from .jit import inner, kernel
from .probabilities import add_lines, results
from .rows import (
    ARGMAX,
    BLOCK,
    BLOCK_SIZE,
    BRIER,
    LABEL,
    LANES,
    LOST_C,
    LOWEST,
    MAXIMUM,
    NARROW,
    NLL,
    OFFSET,
    SECOND,
    STRETCH,
    SUM_A,
)
from .softmax import add_label, certainty
from .stack import stack, stamped, takes_row, takes_rows, takes_target

I64: Any = np.int64
# Of narrow rows a tile of the last class may reach 15 classes further.
LINES = (NARROW + 15) * BLOCK
TWICE = 2  # a narrow row of an ensemble is worked on twice, side by side: one alone would be taken for a wide one
WORK_SIZE = NUMBERS * TWICE + 2 * LANES
SHORT_WORK = 5 * TWICE * (NARROW + 1)  # what is worked on twice does not fit the caller's scratch


@kernel
def softmax_rows(logits: Array, out: Array, temperature: float = 1.0) -> None:
    """softmax of rows (n, K), C-contiguous, into ``out``, which may be ``logits`` itself: 64 rows at a time.

    As :func:`softmax` of each row, to the same bits, in a third of its time or less where K is small. 150 KB of stack.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> z = np.array([[0.0, 0.0], [1.0, 3.0]])
    >>> jit.softmax_rows(z, z, 2.0)
    >>> z.round(4).tolist()
    [[0.5, 0.5], [0.2689, 0.7311]]
    """
    stamped()
    takes_rows(logits)
    takes_target(logits, out)
    inverse_t, rest_t, lowest = divided(logits, temperature)
    n_classes = logits.shape[1]
    flat = out.reshape(-1)
    if np.isnan(inverse_t):
        set_nan(flat)
    elif n_classes == 2:
        two_classes.softmax(logits.reshape(-1), inverse_t, rest_t, lowest, inverse_t, flat)
    elif n_classes <= NARROW:
        if n_classes > 0:
            lines = stack(logits, LINES)
            turned = stack(logits, LINES)
            block = stack(logits, BLOCK_SIZE)
            nothing = np.int64(0)
            normalise.narrow(logits, inverse_t, rest_t, lowest, lines, lines, turned, block, nothing, False, flat)
    else:
        for i in range(logits.shape[0]):
            softmax_of_wide(logits[i], inverse_t, rest_t, lowest, out[i])


@kernel
def scores_from_logits(label: int, z: Array, temperature: float = 1.0) -> tuple[float, float]:
    """(NLL, Brier score) of a row of logits and its label: -log p_y and sum_k (p_k - [k = y])^2, p = softmax(z / T).

    The bits that :func:`fastcal.nll` and :func:`fastcal.brier_score` have of one row. NaN for a label that is no class,
    for a row that is no distribution, and for a temperature that is not positive.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> nll, brier = jit.scores_from_logits(1, np.array([1.0, 3.0]), 2.0)
    >>> round(nll, 4), round(brier, 4)
    (0.3133, 0.1447)
    """
    stamped()
    takes_row(z)
    real = z.dtype.type
    nan = real(np.nan)
    inverse_t, rest_t, lowest = divided(z, temperature)
    if not 0 <= label < z.shape[0] or np.isnan(inverse_t):
        return nan, nan
    block = stack(z, BLOCK_SIZE)
    gather(z, True, inverse_t, rest_t, lowest, block)
    if np.isnan(block[SUM_A]) or block[MAXIMUM] == real(-np.inf):
        return nan, nan
    block[LABEL] = z[label]
    certainty(inverse_t, rest_t, lowest, False, 1, block)
    add_label(inverse_t, rest_t, lowest, real(1), 1, block)
    return block[NLL * BLOCK], block[BRIER * BLOCK]


@kernel
def nll(label: int, p: Array) -> float:
    """-log p_y of a row of probabilities and its label: infinite where p_y is 0, NaN for a label that is no class.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> round(jit.nll(1, np.array([0.5, 0.5])), 4)
    0.6931
    """
    stamped()
    takes_row(p)
    real = p.dtype.type
    if not 0 <= label < p.shape[0]:
        return real(np.nan)
    x = p[label]
    x = real(0) if x < real(0) else x
    return -log(real(1) if x > real(1) else x)


@inner
def _look_at_narrow(p, block):
    start = np.int64(0)
    zero = p.dtype.type(0)
    lines = stack(p, STRETCH)
    stop = padded(p.shape[0], 2)
    take(p, 0, stop, -np.inf, lines)
    block[MAXIMUM] = -np.inf
    block[SECOND] = -np.inf
    for place in (ARGMAX, OFFSET, LOWEST):
        block[place] = zero
    for place in range(SUM_A, LOST_C + BLOCK, BLOCK):
        block[place] = zero
    top(lines, start, stop, start, 1, 1, block)
    take(p, 0, stop, zero, lines)
    for k in range(0, stop, 2):
        add_lines(lines, k, k, 1, True, 1, block)


@inner
def _look_at_wide(p, block):
    start = np.int64(0)
    zero = p.dtype.type(0)
    n = p.shape[0]
    row = stack(p, STRETCH)
    lanes = stack(p, BLOCK_SIZE)
    clear(lanes)
    for i in range(LANES):
        lanes[OFFSET + i] = p.dtype.type(i)
    for part in range(2):
        for place in range(0, n, STRETCH):
            size = min(np.int64(STRETCH), padded(n - place, 2 * LANES))
            take(p, place, size, zero, row)
            if part == 0:
                top(row, start, size, place, LANES, LANES, lanes)
            else:
                for k in range(0, size, 2 * LANES):
                    add_lines(row, k, place + k, LANES, True, LANES, lanes)
        if part == 0:
            fold_top(lanes)
    for place in range(SUM_A, LOST_C + BLOCK, BLOCK):
        block[place] = zero
    fold_sums(lanes, False, True, block, 0)


@kernel
def brier_score(label: int, p: Array) -> float:
    """sum_k (p_k - [k = y])^2 of a row of probabilities and its label, 0 to 2: the bits of :func:`fastcal.brier_score`.

    NaN for a label that is no class.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> jit.brier_score(1, np.array([0.5, 0.5]))
    0.5
    """
    stamped()
    takes_row(p)
    real = p.dtype.type
    if not 0 <= label < p.shape[0]:
        return real(np.nan)
    block = stack(p, BLOCK_SIZE)
    if p.shape[0] <= NARROW:
        _look_at_narrow(p, block)
    else:
        _look_at_wide(p, block)
    block[LABEL] = p[label]
    results(1, block)
    return block[BRIER * BLOCK] + real(0) * block[SUM_A]


@inner
def _member(row, size, stride, fill, lines):
    n = row.shape[0]
    for k in range(n):
        for i in range(stride):
            lines[np.uintp(k * stride + i)] = row[np.uintp(k)]
    for k in range(n * stride, size):
        lines[np.uintp(k)] = fill


@kernel
def ensemble_uncertainty(
    members: Array, work: Array, from_logits: bool = False
) -> tuple[int, float, float, float, float, float, float]:
    """What M members say of one row: ``members`` (M, K), probabilities or logits. Scratch: ``work``.

    (prediction, max_probability, softmax_variance, predictive_entropy, expected_entropy, mutual_information,
    variation_ratio) as :func:`fastcal.ensemble_uncertainty`, to the same bits. ``work`` (5 K + 320,) is of the members'
    dtype. Prediction -1 and NaN where a member is no distribution, or for no members or classes.

    >>> import numpy as np
    >>> from fastcal import jit
    >>> members = np.array([[0.9, 0.1], [0.1, 0.9]])
    >>> found = jit.ensemble_uncertainty(members, np.empty(5 * 2 + 320), False)
    >>> found[0], round(found[5], 4), found[6]
    (0, 0.3681, 0.5)
    """
    stamped()
    takes_rows(members)
    real = members.dtype.type
    nan = real(np.nan)
    n_members, n_classes = members.shape
    if n_members == 0 or n_classes == 0:
        return I64(-1), nan, nan, nan, nan, nan, nan
    narrow = n_classes <= NARROW
    width = np.int64(TWICE if narrow else LANES)
    stride = np.int64(TWICE if narrow else 1)
    size = padded(n_classes * stride, 2 * width)
    one = real(1)
    lowest = real(-120.0 if members.itemsize == 4 else -777.0)
    fill = real(-np.inf) if from_logits else real(0)
    lanes = stack(members, LANES_SIZE)
    so_far = stack(members, WORK_SIZE)
    found = stack(members, 8)
    for i in range(LANES_SIZE):
        lanes[i] = real(0)
    if not narrow:
        for i in range(LANES):
            lanes[PLACE + i] = real(i)
    short = stack(members, SHORT_WORK)
    space = short if narrow else work
    lines = space[:size]
    base = space[size : 2 * size]
    added = space[2 * size : 3 * size]
    lost = space[3 * size : 4 * size]
    votes = space[4 * size : 5 * size]
    for j in range(size):
        votes[np.uintp(j)] = real(0)
    begin(lanes)
    for m in range(n_members):
        _member(members[m], size, stride, fill, lines)
        if from_logits:
            add_logits(m == 0, one, lowest, width, stride, lines, base, added, lost, lanes, so_far)
        else:
            add_probabilities(m == 0, one, width, stride, lines, base, added, lost, lanes, so_far)
        for i in range(stride):
            votes[np.uintp(lanes[VOTE + i]) * np.uintp(stride) + np.uintp(i)] += one
    of_all = np.float64(n_members)
    close(
        0,
        1,
        n_classes,
        of_all,
        width,
        stride,
        lines,
        base,
        added,
        lost,
        votes,
        lanes,
        so_far,
        found[:1],
        found[1:2],
        found[2:3],
        found[3:4],
        found[4:5],
        found[5:6],
        found[6:7],
    )
    return I64(found[0]), found[1], found[2], found[3], found[4], found[5], found[6]
