"""Labels of any kind as places among an estimator's classes."""

from __future__ import annotations

import numpy as np

from ..arrays import Array


def in_places(labels: Array, classes: Array) -> Array:
    """Labels as places in ``classes``; raises ValueError for one that is not among them."""
    order = np.argsort(classes, kind="stable")
    places = order[np.searchsorted(classes, labels, sorter=order).clip(0, len(order) - 1)]
    if (wrong := np.flatnonzero(classes[places] != labels)).size:
        raise ValueError(f"y[{wrong[0]}] is {labels[wrong[0]]!r}, which the estimator has not seen")
    return np.asarray(places)
