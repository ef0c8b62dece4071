"""What one member, and the end, do to blocks of narrow rows or to a wide row of an ensemble; see ensemble.py.

``width`` numbers stand in a line, of ``stride`` rows: BLOCK and BLOCK of narrow rows, LANES and 1 of a wide one, whose
partial results are folded.
"""

from __future__ import annotations

import numpy as np

from .elementary import LOWERED, log1p
from .ensemble_lines import (
    ARGMAX,
    BEYOND,
    INFORMATION,
    INFORMATION_LOST,
    LOST,
    LOWEST,
    MAXIMUM,
    OFF,
    SCALE,
    SLOPE,
    SLOPE_LOST,
    SPARE,
    SQUARES,
    TOTAL,
    ZEROS,
    average,
    begin_sums,
    clear,
    clip,
    deviate,
    inform,
    look,
    powers,
    scale,
)
from .gather import highest, total
from .intrinsics import muladd
from .jit import inner
from .rows import BLOCK, LANES

# The work of ``stride`` rows: the first member's entropy, and the weighted sums of the others' entropies less the first
# one's, of squared deviations, and of what the sum of entropies has lost; then the first one's INFORMATION, of each of
# ``width`` places and not yet rounded to one number: while entropies were, mutual information was off by an ulp or two
# of log K.
FIRST, ENTROPIES, SPREAD, ENTROPIES_LOST = range(4)
# What of the work is one number a row.
NUMBERS = 4


@inner
def inform_of_first(lines, size, width, stride, lanes, work):
    """Keep the INFORMATION of the first member's probabilities, ``lines``."""
    inform(lines, size, width, lanes)
    for i in range(width):
        work[NUMBERS * stride + i] = lanes[INFORMATION + i]
        work[NUMBERS * stride + width + i] = lanes[INFORMATION_LOST + i]


@inner
def less_the_first(width, stride, lanes, work):
    """INFORMATION of the first member less the INFORMATION in the lanes, an entropy less another, in its place."""
    for i in range(width):
        lost = work[NUMBERS * stride + width + i] - lanes[INFORMATION_LOST + i]
        lanes[INFORMATION + i] = (work[NUMBERS * stride + i] - lanes[INFORMATION + i]) + lost
    if stride == 1:
        fold(np.int64(INFORMATION), np.int64(ZEROS), lanes)


@inner
def fold_look(lanes):
    """Fold the LANES partial results of ``look`` into one; all places have the MAXIMUM."""
    real = lanes.dtype.type
    for i in range(LANES):
        lanes[SPARE + i] = lanes[MAXIMUM + i]
    m = highest(lanes, np.int64(SPARE))
    for i in range(LANES):
        lanes[SPARE + i] = -lanes[ARGMAX + i] if lanes[MAXIMUM + i] == m else real(-np.inf)
        lanes[MAXIMUM + i] = m
        lanes[LOWEST + i] = -lanes[LOWEST + i]
    lanes[ARGMAX] = -highest(lanes, np.int64(SPARE))
    lanes[LOWEST] = -highest(lanes, np.int64(LOWEST))


@inner
def fold(place, rest, lanes):
    """Sum LANES partial results, and what was lost of them."""
    lanes[place] = total(lanes, place, rest)
    lanes[rest] = lanes.dtype.type(0)


@inner
def watch(stride, lanes):
    """Note how far probabilities lie outside [0, 1] and sums off 1; returns whether any lies outside."""
    real = lanes.dtype.type
    one = real(1)
    for i in range(stride):
        over = lanes[MAXIMUM + i] - one
        under = -lanes[LOWEST + i]
        beyond = over if over > under else under
        lanes[SPARE + i] = beyond
        before = lanes[BEYOND + i]
        lanes[BEYOND + i] = beyond if beyond > before else before
        off = abs(lanes[TOTAL + i] - one)
        before = lanes[OFF + i]
        lanes[OFF + i] = off if off > before else before
    if stride == 1:
        return lanes[SPARE] > real(0)
    for i in range(LANES):
        a = lanes[SPARE + i]
        b = lanes[SPARE + LANES + i]
        lanes[SPARE + i] = a if a > b else b
    return highest(lanes, np.int64(SPARE)) > real(0)


@inner
def begin(lanes):
    """Nothing has been seen."""
    for i in range(BLOCK):
        lanes[BEYOND + i] = lanes.dtype.type(0)
        lanes[OFF + i] = lanes.dtype.type(0)


@inner
def end(lanes, extremes):
    """The furthest that ``watch`` has noted."""
    for i in range(BLOCK):
        extremes[0] = max(extremes[0], np.float64(lanes[BEYOND + i]))
        extremes[1] = max(extremes[1], np.float64(lanes[OFF + i]))


@inner
def enter(weight, stride, lanes, work):
    """Take a member's entropies less the first one's, in INFORMATION, and SQUARES into the work of ``stride`` rows."""
    for i in range(stride):
        x = lanes[INFORMATION + i]
        before = work[ENTROPIES * stride + i]
        new = muladd(weight, x, before)
        work[ENTROPIES * stride + i] = new
        work[ENTROPIES_LOST * stride + i] += muladd(weight, x, before - new)
        work[SPREAD * stride + i] += weight * lanes[SQUARES + i]


@inner
def enter_first(stride, lanes, work):
    """Begin the work with the first member's entropies, in INFORMATION."""
    for i in range(stride):
        work[FIRST * stride + i] = lanes[INFORMATION + i]
        work[ENTROPIES * stride + i] = lanes.dtype.type(0)
        work[SPREAD * stride + i] = lanes.dtype.type(0)
        work[ENTROPIES_LOST * stride + i] = lanes.dtype.type(0)


@inner
def add_probabilities(opens, weight, width, stride, lines, base, sums, lost, lanes, work):
    """Take lines of probabilities of a member into the state and work."""
    size = lines.shape[0]
    real = lanes.dtype.type
    clear(lanes)
    look(lines, size, width // stride if stride > 1 else width, width, True, lanes)
    if stride == 1:
        fold_look(lanes)
        fold(np.int64(TOTAL), np.int64(ZEROS), lanes)
    if watch(stride, lanes):
        clip(lines, size)
    if opens:
        inform_of_first(lines, size, width, stride, lanes, work)
        begin_sums(lines, base, sums, lost, size, weight)
        if stride == 1:
            fold(np.int64(INFORMATION), np.int64(INFORMATION_LOST), lanes)
        for i in range(stride):
            lanes[INFORMATION + i] = real(0) - (lanes[INFORMATION + i] + lanes[INFORMATION_LOST + i])
        enter_first(stride, lanes, work)
    else:
        deviate(lines, base, sums, lost, size, weight, True, width, lanes)
        less_the_first(width, stride, lanes, work)
        if stride == 1:
            fold(np.int64(SQUARES), np.int64(ZEROS), lanes)
        enter(weight, stride, lanes, work)


@inner
def add_logits(opens, weight, lowest, width, stride, lines, base, sums, lost, lanes, work):
    """Take lines of logits of a member into the state and work."""
    size = lines.shape[0]
    real = lanes.dtype.type
    one = real(1)
    zero = real(0)
    lower = real(LOWERED)
    clear(lanes)
    look(lines, size, width // stride if stride > 1 else width, width, None, lanes)
    if stride == 1:
        fold_look(lanes)
    for i in range(stride):
        lines[np.uintp(lanes[ARGMAX + i]) * np.uintp(stride) + np.uintp(i)] = -np.inf
    powers(lines, size, lowest, width, lanes)
    if stride == 1:
        fold(np.int64(TOTAL), np.int64(LOST), lanes)
        fold(np.int64(SLOPE), np.int64(SLOPE_LOST), lanes)
    for i in range(stride):
        rest = (lanes[TOTAL + i] + lanes[LOST + i]) * lower
        rest = real(np.nan) if lanes[MAXIMUM + i] == real(-np.inf) else rest
        slope = (lanes[SLOPE + i] + lanes[SLOPE_LOST + i]) * lower
        inverse = one / (one + rest)
        lanes[SCALE + i] = inverse * lower
        lanes[INFORMATION + i] = log1p(rest) - slope * inverse
    for i in range(stride):
        lines[np.uintp(lanes[ARGMAX + i]) * np.uintp(stride) + np.uintp(i)] = one / lower
    if stride == 1:
        for i in range(LANES):
            lanes[SCALE + i] = lanes[SCALE]
    scale(lines, size, width, lanes)
    if opens:
        enter_first(stride, lanes, work)
        begin_sums(lines, base, sums, lost, size, weight)
        for i in range(width):
            lanes[INFORMATION + i] = zero
            lanes[INFORMATION_LOST + i] = zero
        inform_of_first(base, size, width, stride, lanes, work)
    else:
        deviate(lines, base, sums, lost, size, weight, None, width, lanes)
        if stride == 1:
            fold(np.int64(SQUARES), np.int64(ZEROS), lanes)
        for i in range(stride):
            lanes[INFORMATION + i] -= work[FIRST * stride + i]
        enter(weight, stride, lanes, work)


@inner
def close(
    row,
    n,
    n_classes,
    of_all,
    width,
    stride,
    lines,
    base,
    sums,
    lost,
    votes,
    lanes,
    work,
    prediction,
    max_probability,
    softmax_variance,
    predictive_entropy,
    expected_entropy,
    mutual_information,
    variation_ratio,
):
    """Results of ``n`` rows from ``row`` on. ``of_all``, in float64, is the sum of the weights."""
    size = lines.shape[0]
    real = lanes.dtype.type
    zero = real(0)
    rounded = real(of_all)
    rest = real((of_all - np.float64(rounded)) / of_all)
    inverse = real(1) / rounded
    step = width // stride if stride > 1 else width
    clear(lanes)
    for i in range(width):
        lanes[SCALE + i] = work[SPREAD * stride + (i if stride > 1 else 0)]
    average(base, sums, lost, size, rounded, rest, width, lines, lanes)
    inform(lines, size, width, lanes)
    less_the_first(width, stride, lanes, work)
    if stride == 1:
        fold(np.int64(SQUARES), np.int64(ZEROS), lanes)
    look(votes, size, step, width, None, lanes)
    if stride == 1:
        fold_look(lanes)
    for i in range(stride):
        lanes[SCALE + i] = lanes[MAXIMUM + i]
    for i in range(width):
        lanes[MAXIMUM + i] = -np.inf
        lanes[ARGMAX + i] = zero
    look(lines, size, step, width, None, lanes)
    if stride == 1:
        fold_look(lanes)
    for i in range(n):
        first = work[FIRST * stride + i]
        others = (work[ENTROPIES * stride + i] + work[ENTROPIES_LOST * stride + i]) * inverse
        predictive = first + lanes[INFORMATION + i]
        expected = first + others
        predictive = zero if predictive < zero else predictive
        expected = zero if expected < zero else expected
        gained = lanes[INFORMATION + i] - others
        variance = (work[SPREAD * stride + i] * inverse - lanes[SQUARES + i]) / real(n_classes)
        share = (rounded - lanes[SCALE + i]) * inverse
        nan = zero * predictive  # NaN for a row that is no distribution
        max_probability[row + i] = lanes[MAXIMUM + i] + nan
        softmax_variance[row + i] = (zero if variance < zero else variance) + nan
        predictive_entropy[row + i] = predictive
        expected_entropy[row + i] = expected + nan
        mutual_information[row + i] = zero if gained < zero else gained
        variation_ratio[row + i] = (zero if share < zero else share) + nan
        prediction[row + i] = -1 if np.isnan(predictive) else np.int64(lanes[ARGMAX + i])
