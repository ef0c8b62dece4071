"""Measures of an ensemble: one look at each member's rows, then one at what they added up to.

With p_m the members' distributions, w_m their weights (divided by their sum), H[p] = -sum_k p_k log p_k, and everything
taken as a deviation from the first member, so that what members agree on is exact:

    d_mk = p_mk - p_0k                       mean_k = p_0k + sum_m w_m d_mk
    predictive entropy = H[mean]             expected entropy = H[p_0] + sum_m w_m (H[p_m] - H[p_0])
    softmax variance = (sum_km w_m d_mk^2 - sum_k (mean_k - p_0k)^2) / K

From logits no logarithm is taken of a member's probabilities: H[p] = log1p(r) - sum_k e_k (z_k - m) / (1 + r), see
softmax.py. The predictive entropy is H[p_0] + (H[mean] - H[p_0] computed alike), so that equal members have equal bits.

A row's *state* are three lines a class, of probabilities of the first member, summed deviations, and votes; its *work*
a few numbers. A call takes one member or all: ``opens`` says whether the first of ``members`` begins the states,
``closes`` whether the results are due. With a single state, blocks (or wide rows) take turns in it.
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
    """Rows ``start`` to ``stop`` of flat ``members`` (M N K,), K <= NARROW; results number them from 0.

    ``extremes`` (2,) takes how far a probability has been outside [0, 1], and a row's sum off 1.
    """
    size = lines.shape[0]
    real = lanes.dtype.type
    fill = real(-np.inf) if from_logits else real(0)
    begin(lanes)
    for b in range((stop - start + BLOCK - 1) // BLOCK):
        first = start + b * BLOCK
        s = b if state.shape[0] > 1 else 0
        base = state[s, :size]
        drift = state[s, size : 2 * size]
        votes = state[s, 2 * size :]
        for m in range(n_members):
            begins = opens and m == 0
            turn(members, m * n_rows + first, m * n_rows + stop - 1, n_classes, fill, lines)
            if from_logits:
                add_logits(begins, weights[m], lowest, BLOCK, BLOCK, lines, base, drift, lanes, work[s])
            else:
                add_probabilities(
                    begins,
                    weights[m],
                    BLOCK,
                    BLOCK,
                    lines,
                    base,
                    drift,
                    lanes,
                    work[s],
                )
            if begins:
                for j in range(size):
                    votes[np.uintp(j)] = real(0)
            for i in range(BLOCK):
                votes[np.uintp(lanes[ARGMAX + i]) * np.uintp(BLOCK) + np.uintp(i)] += weights[m]
        if closes:
            n = min(BLOCK, stop - first)
            close(
                first - start,
                n,
                n_classes,
                of_all,
                BLOCK,
                BLOCK,
                lines,
                base,
                drift,
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
        drift = state[s, size : 2 * size]
        votes = state[s, 2 * size :]
        for m in range(n_members):
            begins = opens and m == 0
            copy(members, m * n_rows + row, n_classes, fill, lines)
            if from_logits:
                add_logits(begins, weights[m], lowest, LANES, 1, lines, base, drift, lanes, work[s])
            else:
                add_probabilities(
                    begins,
                    weights[m],
                    LANES,
                    1,
                    lines,
                    base,
                    drift,
                    lanes,
                    work[s],
                )
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
                drift,
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
