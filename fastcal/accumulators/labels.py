"""Labels of slices: what a user calls them, and the numbers that kernels take."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, DataError, labels_of, unmasked
from ..interchange.libraries import is_array

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
        values = labels_of("groups", given) if is_array(given) else _objects(given)
        if values.shape != lead:
            raise DataError("groups", (), f"has shape {values.shape}, expected {lead}")
        values = unmasked("groups", values, "every row needs a group").reshape(-1)
        codes, labels = _of_integers(values) if values.dtype.kind in "iu" else _of_labels(values)
        codes.flags.writeable = False
        return cls(codes, labels)


def _objects(given: Any) -> Array:
    """The items of a sequence as they are: NumPy would make rows of tuples, and floats of large integers."""
    try:
        items = list(given)
    except TypeError as error:
        raise DataError("groups", (), f"is {type(given).__name__}; expected one label a row") from error
    if all(type(item) is int and -(1 << 62) < item < 1 << 62 for item in items):
        return np.array(items, np.int64)
    return as_objects(items)


def _of_integers(values: Array) -> tuple[Array, Array]:
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, object)
    low, high = int(values.min()), int(values.max())
    if high - low >= MOST_CODES or high >= 1 << 62:
        labels, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64), as_objects(labels.tolist())
    away = values.astype(np.int64) - low
    there = np.zeros(high - low + 1, bool)
    there[away] = True
    if there.all():
        return away, as_objects(list(range(low, high + 1)))
    return (np.cumsum(there) - 1)[away], as_objects((np.flatnonzero(there) + low).tolist())


def _of_labels(values: Array) -> tuple[Array, Array]:
    numbers: dict[Key, int] = {}
    codes = np.empty(len(values), np.int64)
    labels: list[Any] = []
    for row, given in enumerate(values.tolist()):
        label = plain(given)
        if isinstance(label, float) and math.isnan(label):
            raise DataError("groups", (row,), "is nan; every row needs a group")
        try:
            code = numbers.setdefault(key(label), len(numbers))
        except TypeError as error:
            raise TypeError(f"groups[{row}] is {label!r}, which cannot be hashed") from error
        if code == len(labels):
            labels.append(label)
        codes[row] = code
    found, (places,) = _placed(labels, labels)
    return places[codes], found


Key = tuple[bool, Hashable]


def plain(label: Any) -> Any:
    """A label without NumPy's types; whole floats become integers, as which they hash."""
    label = label.item() if isinstance(label, np.generic) else label
    return int(label) if isinstance(label, float) and label.is_integer() else label


def key(label: Any) -> Key:
    """What labels are told apart by: 1 and True, which are equal, are two."""
    return isinstance(label, bool), label


def _rank(label: Any) -> tuple[str, Any]:
    """A place among labels of any kind: numbers among numbers, text among text, others by what they look like."""
    if label is None or isinstance(label, bool):
        return "", (label is not None, bool(label))
    if isinstance(label, int | float):
        return "0", label
    return type(label).__name__, label if isinstance(label, str) else repr(label)


def ordered(labels: Sequence[Any]) -> list[Any]:
    """Labels of any kinds in one order."""
    return sorted(labels, key=_rank)


def _placed(labels: Sequence[Any], *some: Sequence[Any]) -> tuple[Array, list[Array]]:
    """Labels in order, and where those of some lists of them then are."""
    found = ordered(labels)
    place = {key(label): number for number, label in enumerate(found)}
    return as_objects(found), [np.array([place[key(label)] for label in one], np.int64) for one in some]


def united(left: Array, right: Array) -> tuple[Array, list[Array]]:
    """All labels of two lists, and where those of each have their place."""
    if left is right:
        return left, [np.arange(len(left)), np.arange(len(left))]
    union = {key(label): label for label in [*right.tolist(), *left.tolist()]}
    if len(union) == len(left) == len(right) and all(map(_same, left.tolist(), right.tolist())):
        return left, [np.arange(len(left)), np.arange(len(left))]
    return _placed(list(union.values()), left.tolist(), right.tolist())


def _same(one: Any, other: Any) -> bool:
    return key(one) == key(other)


def as_objects(labels: Sequence[Any]) -> Array:
    """An array of Python objects."""
    array = np.empty(len(labels), object)
    for number, label in enumerate(labels):
        array[number] = label
    return array
