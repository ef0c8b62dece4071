"""States of older versions, as today's classes take them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array
from .state import FLOAT_BITS, State, integer

# Evaluations of version 1 kept these parts, and no squares.
PARTS = ["reliability", "scores"]


def from_version_1(kind: str, settings: dict[str, Any], arrays: State) -> tuple[dict[str, Any], State]:
    """Settings and arrays of version 1: bins were uniform and closed on the right, nothing was squared."""
    binned = kind in ("Evaluation", "ReliabilityAccumulator")
    if binned:
        bins = {"binning": "uniform", "closed": None, "convention": None, "squares": False}
        own = {"parts": PARTS, "groups": False, "classwise": None, "bootstrap": None}
        settings = {**bins, **(own if kind == "Evaluation" else {"threshold": 0.0}), **settings}
    found: State = {}
    weighted: State = {}
    for name, array in arrays.items():
        part, _, own_name = name.partition(".")
        if part == "reliability" and own_name.startswith("weighted_") and own_name.endswith("_sum"):
            weighted[own_name] = array
        elif part == "scores" and own_name in ("weight_sum", "correct_sum"):
            found[f"scores.weighted_{own_name}"] = array
        else:
            found["reliability.confidence_signed_sum" if name == "reliability.confidence_sum" else name] = array
    if "scores.weighted_weight_sum" in found:  # means of all rows were in one sum
        for name in ("nll", "brier", "entropy"):
            found[f"scores.weighted_{name}_sum"] = np.zeros((1, kernels.exact.N_LIMBS), np.int64)
    if weighted:
        found["reliability.weighted_pair"] = _pairs(weighted)
    return settings, found


def _pairs(weighted: State) -> Array:
    """Sums in limbs as pairs. Squared weights were not kept: all of a bin's weight counts as one row's, the least."""
    names = [f"weighted_{name}_sum" for name in ("weight", "hits", "confidence")]
    size = len(weighted.get(names[0], ()))
    if weighted.keys() != set(names) or any(a.shape != (size, kernels.exact.N_LIMBS) for a in weighted.values()):
        raise ValueError("not a fastcal state: the weighted sums of its bins are not complete")
    pairs = np.zeros((size, kernels.binning.SUMS, 2))
    for k, name in enumerate(names):
        for b in range(size):
            whole = integer(weighted[name][b])
            if abs(whole) >> (FLOAT_BITS + 480):
                raise ValueError(f"not a fastcal state: {name} does not hold what it should")
            high = whole / (1 << FLOAT_BITS)
            pairs[b, k] = high, float(Fraction(whole, 1 << FLOAT_BITS) - Fraction(high))
    pairs[:, kernels.binning.WEIGHT2, 0] = pairs[:, kernels.binning.WEIGHT, 0] ** 2
    return pairs.view(np.int64)
