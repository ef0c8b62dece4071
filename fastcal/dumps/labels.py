"""Labels as files hold them, numbers or text, to class numbers; and the rows that do not count.

Every reader ends in :func:`batch_of`, so that ``classes`` and ``ignore_index`` mean the same in all formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from .batches import Batch, DumpError
from .names import MOST_SHOWN, Roles, listed


@dataclass(frozen=True)
class Texts:
    """Texts as places in a list of those that there are: a dictionary's."""

    places: Array
    names: list[str]

    def objects(self) -> Array:
        """Every text by itself."""
        names = np.empty(len(self.names), object)
        names[:] = self.names
        return names[self.places]

    def numbers(self, roles: Roles) -> Array | None:
        """Class numbers; None where a text is no class, or says to leave its row out."""
        if roles.classes is None or (roles.ignore_index is not None and str(roles.ignore_index) in self.names):
            return None
        codes = {name: k for k, name in enumerate(roles.classes)}
        table = [codes.get(name) for name in self.names]
        return None if None in table else np.array(table, np.int64)[self.places]


def batch_of(
    labels: Array | Texts | None,
    scores: Array,
    weights: Array | None,
    groups: Array | None,
    roles: Roles,
    where: str,
    first_row: int,
) -> Batch:
    """Rows of a dump ``where``, of which the first is number ``first_row``: classes numbered, ignored rows left out.

    ``labels`` (N,) numbers or text (an array of ``str`` objects or of ``<U``). Raises DumpError for text without
    ``roles.classes``, for a label that is none of them, naming its row, and for another number of columns of scores.
    Without labels, all are 0, and no row is ignored.
    """
    if labels is None:
        return Batch(np.broadcast_to(np.int64(0), scores.shape[: max(1, scores.ndim - 1)]), scores, weights, groups)
    n_classes = scores.shape[1] if scores.ndim == 2 else 2
    if roles.classes is not None and scores.ndim < 3 and len(roles.classes) != n_classes:
        raise DumpError(f"{where}: {roles.scores} has {n_classes} classes, --classes names {len(roles.classes)}")
    if isinstance(labels, Texts):
        known = labels.numbers(roles)
        if known is not None:
            return Batch(known, scores, weights, groups)
        labels = labels.objects()
    ignored = _ignored(labels, roles.ignore_index)
    rows = None if ignored is None else np.flatnonzero(~ignored)
    n = len(labels)
    if rows is not None:
        labels, scores = labels[rows], scores[rows]
        weights = None if weights is None else weights[rows]
        groups = None if groups is None else groups[rows]
    numbers = label_column(labels, roles, where, first_row, rows)
    return Batch(numbers, scores, weights, groups, rows, n - len(labels))


def label_column(values: Array, roles: Roles, where: str, first_row: int, rows: Array | None = None) -> Array:
    """Class numbers of labels; ``rows`` are their places in the file after ``first_row``, if not one after the other.

    Without ``roles.classes`` labels are numbers already. With them, a label is the class whose name is its text; a
    whole number's text is that of the integer. Raises DumpError as :func:`batch_of`.
    """
    is_text = values.dtype.kind in "OU"
    if roles.classes is None:
        if is_text:
            raise DumpError(
                f"{where}: {roles.labels} holds text; say --classes A,B,... in the order of the scores' columns"
            )
        return values
    codes = {name: k for k, name in enumerate(roles.classes)}
    flat = values.reshape(-1)
    if is_text:
        numbers = np.array([codes.get(label, -1) for label in flat.tolist()], np.int64)
    else:
        different, places = np.unique(flat, return_inverse=True)
        found = np.array([codes.get(_text(value), -1) for value in different.tolist()], np.int64)
        numbers = found[places.reshape(-1)] if len(found) else np.empty(0, np.int64)
    unknown = np.flatnonzero(numbers < 0)
    if unknown.size:
        first = int(unknown[0])
        row = first_row + (first if rows is None else int(rows[first]))
        raise DumpError(f"{where}: {roles.labels}[{row}] is {_shown(flat[first])}, none of {listed(roles.classes)}")
    return numbers.reshape(values.shape)


def class_names(text: str | None) -> tuple[str, ...] | None:
    """The names in ``--classes A,B,...``; raises DumpError for fewer than two, an empty one or one twice."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise DumpError(f"--classes is {text!r}; expected two or more different names with commas between")
    return names


def _ignored(labels: Array, ignore_index: int | None) -> Array | None:
    """Where a label says that its row does not count; None for nowhere."""
    if ignore_index is None or labels.ndim != 1:
        return None
    ignored: Array
    if labels.dtype.kind in "OU":
        ignored = labels == str(ignore_index)
    elif labels.dtype.kind == "u" and ignore_index < 0:
        return None
    else:
        ignored = labels == ignore_index
    return ignored if ignored.any() else None


def _text(value: Any) -> str:
    """The text of a number: that of an integer, where it is a whole one."""
    return str(int(value)) if isinstance(value, bool | int) or value.is_integer() else str(value)


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)
    return repr(str(value)) if len(value) <= MOST_SHOWN else repr(str(value[:MOST_SHOWN])) + "..."
