"""Figures that fastcal has not, made of its jitted building blocks."""

from __future__ import annotations

import numba
import numpy as np

from fastcal import jit

from .arrays import Floats, Labels


@numba.njit(cache=True)
def focal_calibration_error(labels: Labels, probs: Floats, gamma: float, n_bins: int) -> float:
    """Expected calibration error whose bins weigh as much as sum (1 - confidence)^gamma of their rows.

    With gamma = 0 it is the expected calibration error; the larger it is, the less the certain rows count.
    """
    bins = np.zeros((n_bins, 4), np.int64)
    focus = np.zeros(n_bins)
    for i in range(len(labels)):
        prediction = probs[i].argmax()
        confidence = probs[i, prediction]
        j = jit.uniform_bin_index(confidence, n_bins)
        jit.add_to_bins(bins, j, confidence, prediction == labels[i])
        focus[j] += (1.0 - confidence) ** gamma
    found = 0.0
    for j in range(n_bins):
        n, hits, total = jit.bin_sums(bins, j)
        if n > 0:
            found += focus[j] * abs(hits - total) / n
    return float(found / focus.sum())


@numba.njit(cache=True, nogil=True)
def classwise_errors(labels: Labels, probs: Floats, n_bins: int) -> Floats:
    """The calibration error of each class against the rest."""
    n_classes = probs.shape[1]
    errors = np.empty(n_classes)
    for k in range(n_classes):
        bins = np.zeros((n_bins, 4), np.int64)
        for i in range(len(labels)):
            p = probs[i, k]
            jit.add_to_bins(bins, jit.uniform_bin_index(p, n_bins), p, labels[i] == k)
        errors[k] = jit.calibration_error(bins)
    return errors


@numba.njit(cache=True, parallel=True)
def nll_by_temperature(labels: Labels, logits: Floats, temperatures: Floats) -> Floats:
    """The mean NLL of softmax(logits / T) at each temperature, summed exactly: the order of rows changes no bit."""
    found = np.empty(len(temperatures))
    for t in numba.prange(len(temperatures)):
        state = np.zeros(jit.SUM_SIZE, np.int64)
        for i in range(len(labels)):
            loss = jit.logsumexp(logits[i], temperatures[t]) - logits[i, labels[i]] / temperatures[t]
            jit.add_to_sum(state, loss)
        found[t] = jit.sum_of(state) / len(labels)
    return found
