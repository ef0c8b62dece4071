"""Figures of a ranking for more than two classes: each against the rest, or against each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from ...arrays import Array
from ..theirs import hand_on

Figure = Callable[..., float]


def against_rest(figure: Figure, places: Array, scores: Array, average: Any, weights: Array | None) -> Any:
    """Of each class against the rest; ``average`` None: all of them, "macro" their mean, "weighted" by rows."""
    if not (average is None or average in ("macro", "weighted")):
        hand_on()
    hits = [places == k for k in range(scores.shape[1])]
    found = [figure(hits[k], scores[:, k], sample_weight=weights) for k in range(scores.shape[1])]
    if average is None:
        return np.asarray(found)
    if average == "macro":
        return float(np.average(found))
    shares = [np.count_nonzero(hit) if weights is None else weights[hit].sum() for hit in hits]
    return float(np.average(found, weights=shares))


def against_each_other(figure: Figure, places: Array, scores: Array, average: Any) -> Any:
    """The mean over pairs of classes, each way round; "weighted" by their share of the rows (Hand and Till 2001)."""
    if average not in ("macro", "weighted"):
        hand_on()
    rows = [np.flatnonzero(places == k) for k in range(scores.shape[1])]
    present = [k for k, one in enumerate(rows) if len(one)]
    found, shares = [], []
    for a, b in combinations(present, 2):
        both = scores[np.concatenate([rows[a], rows[b]])][:, [a, b]]
        is_a = np.arange(len(both)) < len(rows[a])
        found.append((figure(is_a, both[:, 0]) + figure(~is_a, both[:, 1])) / 2)
        shares.append(len(both) / len(places))
    return np.average(found, weights=shares if average == "weighted" else None)
