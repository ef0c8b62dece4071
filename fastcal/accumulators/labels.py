"""Labels of slices: what a user calls them, and the numbers that kernels take."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, DataError

# Integer codes in a range up to this are looked up in a table of it; others are sorted.
MOST_CODES = 1 << 22


@dataclass(frozen=True)
class GroupColumn:
    """Which slice each row belongs to, and the labels of the slices, in order."""

    codes: Array
    labels: Array

    def chunk(self, start: int, stop: int) -> Array:
        """Codes of rows start to stop."""
        return self.codes[start:stop]

    @classmethod
    def of(cls, given: Any, lead: tuple[int, ...]) -> GroupColumn:
        """Of integers, or of labels that can be told apart by hashing; raises DataError, or TypeError."""
        values = given if isinstance(given, np.ndarray) else np.asarray(given, None if _is_plain(given) else object)
        if values.shape != lead:
            raise DataError("groups", (), f"has shape {values.shape}, expected {lead}")
        if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
            raise DataError("groups", (int(np.flatnonzero(values.mask)[0]),), "is masked; every row needs a group")
        values = np.asarray(values).reshape(-1)
        codes, labels = _of_integers(values) if values.dtype.kind in "iu" else _of_labels(values)
        codes.flags.writeable = False
        return cls(codes, labels)


def _is_plain(given: Any) -> bool:
    return hasattr(given, "__array__") or not isinstance(given, Sequence) or all(type(one) is int for one in given)


def _of_integers(values: Array) -> tuple[Array, Array]:
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, object)
    low, high = int(values.min()), int(values.max())
    if high - low >= MOST_CODES:
        labels, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64), as_objects(labels.tolist())
    away = np.subtract(values, low, dtype=np.int64, casting="unsafe")
    if high - low < len(values) // 8 and (np.bincount(away, minlength=high - low + 1) > 0).all():
        return away, as_objects(list(range(low, high + 1)))
    there = np.zeros(high - low + 1, bool)
    there[away] = True
    return (np.cumsum(there) - 1)[away], as_objects((np.flatnonzero(there) + low).tolist())


def _of_labels(values: Array) -> tuple[Array, Array]:
    numbers: dict[tuple[bool, Hashable], int] = {}
    items = values.tolist()
    for row, label in enumerate(items):
        if label != label:  # noqa: PLR0124 - NaN
            raise DataError("groups", (row,), "is nan; every row needs a group")
        try:
            numbers.setdefault((type(label) is bool, label), len(numbers))
        except TypeError as error:
            raise TypeError(f"groups[{row}] is {label!r}, which cannot be hashed") from error
    found = [pair[1] for pair in numbers]
    labels = ordered(found)
    place = {(type(label) is bool, label): code for code, label in enumerate(labels)}
    return np.array([place[type(label) is bool, label] for label in items], np.int64), as_objects(labels)


def key(label: Any) -> tuple[str, Any]:
    """What labels are told apart by, and put in order: 1 and 1.0 are one label, 1 and True are two."""
    if label is None or isinstance(label, bool):
        return "", (label is not None, bool(label))
    if isinstance(label, int | float):
        return "0", label
    return (type(label).__name__, label if isinstance(label, str) else repr(label))


def ordered(labels: Sequence[Any]) -> list[Any]:
    """Labels of any kinds in one order, that of numbers and of text among these."""
    return sorted(labels, key=key)


def united(left: Array, right: Array) -> tuple[Array, tuple[Array, Array]]:
    """All labels of two lists, and where those of each have their place."""
    if len(left) == len(right) and left.tolist() == right.tolist():
        return left, (np.arange(len(left)), np.arange(len(left)))
    labels = ordered(list({key(label): label for label in [*left, *right]}.values()))
    place = {key(label): number for number, label in enumerate(labels)}
    first, second = (np.array([place[key(label)] for label in some], np.int64) for some in (left, right))
    return as_objects(labels), (first, second)


def as_objects(labels: Sequence[Any]) -> Array:
    """An array of Python objects."""
    array = np.empty(len(labels), object)
    for number, label in enumerate(labels):
        array[number] = label
    return array
