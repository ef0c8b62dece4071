"""Measures of an ensemble: one look at each member's rows, then one at what they added up to.

With p_m the members' distributions, w_m their weights (divided by their sum), H[p] = -sum_k p_k log p_k, and entropies
and squares taken of deviations from the first member, so that members which agree do so exactly:

    d_mk = p_mk - p_0k                       mean_k = sum_m w_m p_mk, or p_0k where all d of a row are 0
    predictive entropy = H[mean]             expected entropy = H[p_0] + sum_m w_m (H[p_m] - H[p_0])
    softmax variance = (sum_km w_m d_mk^2 - sum_k (mean_k - p_0k)^2) / K

The mean is summed of the probabilities themselves, with what rounding takes: as p_0 + sum w d it was off by 1e-4 where
p_0 is near 1 and its weight small, and even below 0.

From logits no logarithm is taken of a member's probabilities: H[p] = log1p(r) - sum_k e_k (z_k - m) / (1 + r), see
softmax.py. The predictive entropy is H[p_0] + (H[mean] - H[p_0] computed alike), so that equal members have equal bits.

A row's *state* are four lines a class, of probabilities of the first member, of weighted sums, of what these have lost,
and of votes; its *work* a few numbers. A call takes one member or all: ``opens`` says whether the first of ``members``
begins the states, ``closes`` whether the results are due. With fewer states than blocks (or, of wide rows, a single
one), they take turns.
"""

from __future__ import annotations

import numpy as np

from .ensemble_lines import ARGMAX, copy, turn
from .ensemble_steps import add_logits, add_probabilities, begin, close, end
from .jit import kernel
from .rows import BLOCK, LANES


@kernel
def narrow(
    members,
    n_members,
    n_rows,
    n_classes,
    start,
    stop,
    from_logits,
    weights,
    of_all,
    opens,
    closes,
    lowest,
    room,
    lanes,
    state,
    work,
    extremes,
    prediction,
    max_probability,
    softmax_variance,
    predictive_entropy,
    expected_entropy,
    mutual_information,
    variation_ratio,
):
    """Rows ``start`` to ``stop`` of flat ``members`` (M N K,), K <= NARROW; results number them from 0.

    ``room`` are lines, whole tiles of them. ``extremes`` (2,) takes how far a probability has been outside [0, 1], and
    a row's sum off 1.
    """
    size = np.int64((n_classes + 1) // 2 * 2 * BLOCK)
    lines = room[:size]
    real = lanes.dtype.type
    fill = real(-np.inf) if from_logits else real(0)
    begin(lanes)
    n_blocks = (stop - start + BLOCK - 1) // BLOCK
    at_once = state.shape[0]
    for begin_at in range(0, n_blocks, at_once):
        end_at = min(begin_at + at_once, n_blocks)
        for m in range(n_members):
            begins = opens and m == 0
            for b in range(begin_at, end_at):
                first = start + b * BLOCK
                base = state[b - begin_at, :size]
                sums = state[b - begin_at, size : 2 * size]
                lost = state[b - begin_at, 2 * size : 3 * size]
                votes = state[b - begin_at, 3 * size :]
                so_far = work[b - begin_at]
                turn(members, m * n_rows + first, m * n_rows + stop - 1, n_classes, fill, size, room)
                if from_logits:
                    add_logits(begins, weights[m], lowest, BLOCK, BLOCK, lines, base, sums, lost, lanes, so_far)
                else:
                    add_probabilities(begins, weights[m], BLOCK, BLOCK, lines, base, sums, lost, lanes, so_far)
                if begins:
                    for j in range(size):
                        votes[np.uintp(j)] = real(0)
                for i in range(BLOCK):
                    votes[np.uintp(lanes[ARGMAX + i]) * np.uintp(BLOCK) + np.uintp(i)] += weights[m]
        if closes:
            for b in range(begin_at, end_at):
                close(
                    b * BLOCK,
                    min(BLOCK, stop - start - b * BLOCK),
                    n_classes,
                    of_all,
                    BLOCK,
                    BLOCK,
                    lines,
                    state[b - begin_at, :size],
                    state[b - begin_at, size : 2 * size],
                    state[b - begin_at, 2 * size : 3 * size],
                    state[b - begin_at, 3 * size :],
                    lanes,
                    work[b - begin_at],
                    prediction,
                    max_probability,
                    softmax_variance,
                    predictive_entropy,
                    expected_entropy,
                    mutual_information,
                    variation_ratio,
                )
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
    weights,
    of_all,
    opens,
    closes,
    lowest,
    lines,
    lanes,
    state,
    work,
    extremes,
    prediction,
    max_probability,
    softmax_variance,
    predictive_entropy,
    expected_entropy,
    mutual_information,
    variation_ratio,
):
    """The same, K > NARROW."""
    size = lines.shape[0]
    real = lanes.dtype.type
    fill = real(-np.inf) if from_logits else real(0)
    begin(lanes)
    for row in range(start, stop):
        s = row - start if state.shape[0] > 1 else 0
        base = state[s, :size]
        sums = state[s, size : 2 * size]
        lost = state[s, 2 * size : 3 * size]
        votes = state[s, 3 * size :]
        for m in range(n_members):
            begins = opens and m == 0
            copy(members, m * n_rows + row, n_classes, fill, lines)
            if from_logits:
                add_logits(begins, weights[m], lowest, LANES, 1, lines, base, sums, lost, lanes, work[s])
            else:
                add_probabilities(begins, weights[m], LANES, 1, lines, base, sums, lost, lanes, work[s])
            if begins:
                for j in range(size):
                    votes[np.uintp(j)] = real(0)
            votes[np.uintp(lanes[ARGMAX])] += weights[m]
        if closes:
            close(
                row - start,
                1,
                n_classes,
                of_all,
                LANES,
                1,
                lines,
                base,
                sums,
                lost,
                votes,
                lanes,
                work[s],
                prediction,
                max_probability,
                softmax_variance,
                predictive_entropy,
                expected_entropy,
                mutual_information,
                variation_ratio,
            )
    end(lanes, extremes)
