"""Rows of probabilities by scikit-learn's rules: what it would complain of, and its clipped log loss.

A chunk at a time, which stays in the caches, on threads: 3 ns a row of ten for each look at it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import engine
from ...arrays import Array
from ..row_sums import row_sums
from ..theirs import FLOATS, hand_on

CHUNK_BYTES = 1 << 19


def _per_chunk(probs: Array) -> int:
    return max(CHUNK_BYTES // (probs.itemsize * (probs.shape[1] if probs.ndim > 1 else 1)), 1)


# How far a sum may be off 1 without a word of scikit-learn's, the root of eps: less a tenth, so that only scikit-learn
# says no where sums round differently.
ROUNDING = {dtype: 0.9 * float(np.finfo(dtype).eps) ** 0.5 for dtype in FLOATS}


class _Look:
    """The least and the largest of some probabilities, and of the sums of their rows."""

    def __init__(self, probs: Array) -> None:
        self.probs = probs
        self.low, self.high, self.least, self.most = math.inf, -math.inf, math.inf, -math.inf

    def __call__(self, start: int, stop: int) -> None:
        part = self.probs[start:stop]
        total = row_sums(part)
        least = total.min()
        self.least = -math.inf if math.isnan(least) else min(self.least, least)
        self.most = max(self.most, total.max())
        self.low, self.high = min(self.low, part.min()), max(self.high, part.max())


def check(probs: Array, *, rounding: float | None = None, outside: bool = False) -> None:
    """Hand on what is not rows of probabilities to scikit-learn: sums of 1 within the root of eps, or ``rounding``.

    ``outside``: values may lie outside [0, 1].
    """
    if probs.ndim != 2 or probs.shape[1] < 2:
        hand_on()
    per_chunk = _per_chunk(probs)
    limit = ROUNDING[probs.dtype] if rounding is None else 0.9 * rounding
    looks = engine.run(len(probs), probs.itemsize * probs.shape[1], per_chunk, lambda: _Look(probs))
    for look in looks:
        if not (look.least >= 1 - limit and look.most <= 1 + limit):
            hand_on()
        if not (outside or (look.low >= 0 and look.high <= 1)):
            hand_on()


def losses(probs: Array, places: Array, weights: Array | None, normalize: bool) -> float:
    """The mean or the sum of -log p_y, p clipped to [eps, 1 - eps]; of (N,) p is that of place 1."""
    if places.shape != probs.shape[:1] or (weights is not None and weights.shape != places.shape):
        hand_on()
    real: Any = probs.dtype.type
    eps = np.finfo(probs.dtype).eps
    found: dict[int, float] = {}

    def add(start: int, stop: int) -> None:
        part, place = probs[start:stop], places[start:stop]
        if part.ndim == 1:
            chosen = np.where(place == 1, part, 1 - part)
        else:
            chosen = np.take_along_axis(part, place[:, None], axis=1)[:, 0]
        loss = -np.log(chosen.clip(eps, real(1) - eps)).astype(np.float64)
        found[start] = float((loss if weights is None else loss * weights[start:stop]).sum())

    row_bytes = probs.itemsize * (probs.shape[1] if probs.ndim > 1 else 1) + 32
    engine.run(len(probs), row_bytes, _per_chunk(probs), lambda: add)
    weight = len(probs) if weights is None else float(weights.sum())
    if not 0 < weight < math.inf:
        hand_on()
    total = math.fsum(found.values())
    return total / weight if normalize else total
