"""Labels of any kind as scikit-learn reads them, for those inputs in which there is nothing to ask back about."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Array
from ..theirs import hand_on, plain

# The pairs of labels of which scikit-learn takes 1 to be the positive one without being told.
KNOWN_PAIRS = ((0, 1), (-1, 1))


def binary(y_true: Any, pos_label: Any = None, *, greater: bool = False) -> Array:
    """Which rows are of the positive label (N,), as 0 and 1; of integers 0 and 1 the labels themselves.

    ``greater``: without ``pos_label`` the greater of any two labels is the positive one.
    """
    labels = plain(y_true)
    kind = labels.dtype.kind
    if labels.ndim != 1 or labels.size == 0 or kind not in "biufU":
        hand_on()
    low, high = _pair_of_text(labels) if kind == "U" else (labels.min(), labels.max())
    if pos_label is None:
        positive = _presumed(low, high, greater)
    elif isinstance(pos_label, str) == (kind == "U") and np.ndim(pos_label) == 0 and pos_label in (low, high):
        positive = pos_label
    else:
        hand_on()
    if kind in "biu" and low == 0 and high == 1 and positive == 1:
        return labels
    if kind == "f" and not (float(low).is_integer() and float(high).is_integer()):
        hand_on()  # scikit-learn calls such a target continuous
    hits: Array = np.asarray(labels == positive)
    others = labels == (low if positive == high else high)
    if low != high and np.count_nonzero(hits) + np.count_nonzero(others) != len(labels):
        hand_on()
    return hits


def _presumed(low: Any, high: Any, greater: bool) -> Any:
    """The positive one of two labels by scikit-learn's rules; one label alone may be either of a known pair."""
    if low == high and not isinstance(low, str) and low in (-1, 0, 1):
        return 1
    if (low, high) in KNOWN_PAIRS or (greater and low != high):
        return high
    return hand_on()


def _pair_of_text(labels: Array) -> tuple[str, str]:
    """The two labels of an array of text, in order."""
    others = labels[labels != labels[0]]
    if not len(others):
        hand_on()
    low, high = sorted((str(labels[0]), str(others[0])))
    return low, high


def places(y_true: Any, labels: Any, n_classes: int) -> Array:
    """The column of each row's label (N,): classes in order, all of ``labels``, or all that there are."""
    given = plain(y_true)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "biuU":
        hand_on()
    if labels is None:
        return _found_places(given, n_classes)
    classes = plain(labels)
    if classes.shape != (n_classes,) or classes.dtype.kind not in "biuU" or not np.all(classes[:-1] < classes[1:]):
        hand_on()
    if (classes.dtype.kind == "U") != (given.dtype.kind == "U"):
        hand_on()
    found = np.searchsorted(classes, given).clip(max=n_classes - 1)
    if np.any(classes[found] != given):
        hand_on()
    return np.asarray(found)


def _found_places(given: Array, n_classes: int) -> Array:
    """Places among the labels that occur, of which there is one a column."""
    if given.dtype.kind in "iu":
        low, high = int(given.min()), int(given.max())
        if high - low + 1 == n_classes:  # as nearly always; sorting would take ten times as long
            moved = given if low == 0 else given - low
            if np.bincount(moved.astype(np.int64, copy=False), minlength=n_classes).all():
                return moved
    classes, found = np.unique(given, return_inverse=True)
    if len(classes) != n_classes:
        hand_on()
    return np.asarray(found)
