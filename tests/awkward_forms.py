"""Awkward forms of an array: how each is made, and which plain array it has to be read as, if any."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

NAN, INF = np.nan, np.inf
ROW = 1  # the row that a value is put into
SCORES, LABELS, WEIGHTS, GROUPS = "scores", "labels", "weights", "groups"
ALL = (SCORES, LABELS, WEIGHTS, GROUPS)
# What arguments of the calls hold. Scores are all that is a real number.
KINDS = {
    **dict.fromkeys(("labels", "y"), LABELS),
    **dict.fromkeys(("weights", "member_weights"), WEIGHTS),
    **dict.fromkeys(("groups", "correct"), GROUPS),
}


class Form(NamedTuple):
    """``make`` turns a plain array into the awkward one, ``like`` into the plain one that it equals (None: none)."""

    make: Callable[[np.ndarray], Any]
    like: Callable[[np.ndarray], np.ndarray] | None = None
    of: tuple[str, ...] = ALL
    least: int = 1  # axes
    most: int = 3
    needs: str = "numpy"

    def takes(self, kind: str, array: np.ndarray) -> bool:
        return kind in self.of and self.least <= array.ndim <= self.most

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None


def same(array):
    return array


def as_type(dtype):
    return lambda array: array.astype(dtype)


def with_value(value, dtype=None, place=0):
    """One number changed: of row 1, the first or another one."""

    def make(array):
        changed = array.astype(dtype or array.dtype)
        changed[(ROW, place) if array.ndim == 2 else (0, ROW, place) if array.ndim == 3 else ROW] = value
        return changed

    return make


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array):
    return np.repeat(array, 2, axis=0)[::2]


def backwards(array):
    return array[::-1].copy()[::-1]


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def ragged(array):
    rows = array.tolist()
    last = rows[-1]
    rows[-1] = [last] if array.ndim == 1 else last[:-1]
    return rows


def structured(array):
    found = np.zeros(array.shape, [("a", np.float64), ("b", np.int64)])
    found["a"] = array
    return found


def masked(array, gone):
    mask = np.zeros(array.shape, bool)
    mask[(slice(None), ROW) if array.ndim == 3 else ROW] = gone
    return np.ma.MaskedArray(array.copy(), mask)


def pandas(array, missing):
    """Nullable columns."""
    import pandas as pd

    kind = "Int64" if array.dtype.kind == "i" else "Float64"

    def column(values):
        found = pd.array(values, dtype=kind)
        if missing:
            found[ROW] = pd.NA
        return pd.Series(found)

    return pd.DataFrame({k: column(one) for k, one in enumerate(array.T)}) if array.ndim == 2 else column(array)


def one_hot(array):
    return np.eye(int(array.max()) + 1, dtype=np.int64)[array.astype(np.int64)]


def matrix(array):
    return array.view(np.matrix)


def objects(array):
    return array.astype(object)


def with_none(array):
    found = objects(array)
    found[ROW] = None
    return found


def past_the_last(array):
    """A label that no class has."""
    return with_value(array.max() + 1)(array)


def off_one(array):
    """A row of probabilities that sums to a tenth more: at the class that has least, so that none exceeds 1."""
    changed = array.copy()
    row = changed[(0, ROW) if array.ndim == 3 else ROW]
    row[row.argmin()] += 0.1
    return changed


NOT_GROUPS = (SCORES, LABELS, WEIGHTS)
FORMS = {
    # numbers
    "NaN": Form(with_value(NAN, np.float64)),
    "NaN everywhere": Form(lambda array: np.full(array.shape, NAN), of=(SCORES,)),
    "+inf": Form(with_value(INF, np.float64)),
    "-inf": Form(with_value(-INF, np.float64)),
    "1.0000001": Form(with_value(1.0000001), of=(SCORES,)),
    "1.2": Form(with_value(1.2), of=(SCORES,)),
    "-0.1": Form(with_value(-0.1), of=(SCORES,)),
    "1e308": Form(with_value(1e308), of=(SCORES,)),
    "5e-324": Form(with_value(5e-324), of=(SCORES,)),
    "a row that sums to 1.1": Form(off_one, of=(SCORES,), least=2),
    "-1": Form(with_value(-1), of=(LABELS, WEIGHTS)),
    "one past the last": Form(past_the_last, of=(LABELS,)),
    "2**64 - 1": Form(with_value(2**64 - 1, np.uint64), of=(LABELS, GROUPS)),
    "0.5": Form(with_value(0.5, np.float64), of=(LABELS, GROUPS)),
    "all 0": Form(np.zeros_like, of=(WEIGHTS,)),
    "1e-310": Form(with_value(1e-310), of=(WEIGHTS,)),
    "1e300": Form(with_value(1e300), of=(WEIGHTS,)),
    # dtypes
    "bool": Form(as_type(bool), lambda array: array.astype(bool).astype(array.dtype), of=NOT_GROUPS),
    "int8": Form(lambda array: np.rint(array).astype(np.int8), lambda array: np.rint(array).astype(array.dtype)),
    "uint64": Form(
        lambda array: np.rint(abs(array)).astype(np.uint64), lambda array: np.rint(abs(array)).astype(array.dtype)
    ),
    "float": Form(as_type(np.float64), same, of=(LABELS, GROUPS)),
    "float32": Form(as_type(np.float32), as_type(np.float32), of=NOT_GROUPS),
    "float16": Form(as_type(np.float16), as_type(np.float32), of=NOT_GROUPS),
    "bfloat16": Form(as_type(ml_dtypes.bfloat16), as_type(np.float32), of=NOT_GROUPS),
    "longdouble": Form(as_type(np.longdouble), same),
    "big-endian": Form(lambda array: array.astype(array.dtype.newbyteorder(">")), same),
    "complex": Form(as_type(np.complex128)),
    "text": Form(as_type("U8")),
    "bytes": Form(as_type("S8")),
    "dates": Form(lambda array: np.rint(array).astype(np.int64).astype("M8[s]")),
    "objects": Form(objects),
    "objects and None": Form(with_none),
    "structured": Form(structured),
    # layouts
    "read-only": Form(read_only, same),
    "strided": Form(strided, same),
    "backwards": Form(backwards, same),
    "misaligned": Form(misaligned, same),
    "Fortran": Form(np.asfortranarray, same, least=2),
    "matrix": Form(matrix, same, least=2, most=2),
    "masked, of which nothing is": Form(lambda array: masked(array, False), same),
    "masked": Form(lambda array: masked(array, True)),
    "pandas' nullable": Form(lambda array: pandas(array, False), same, most=2, needs="pandas"),
    "pandas' NA": Form(lambda array: pandas(array, True), most=2, needs="pandas"),
    "one entry, broadcast": Form(
        lambda array: np.broadcast_to(array[:1], array.shape), lambda array: np.repeat(array[:1], len(array), axis=0)
    ),
    "lists": Form(np.ndarray.tolist, same),
    "ragged lists": Form(ragged),
    # shapes
    "no axis": Form(lambda array: array.reshape(-1)[0]),
    "an axis more": Form(lambda array: array[None], most=2),
    "a column": Form(lambda array: array[:, None], most=1),
    "one-hot rows": Form(one_hot, of=(LABELS,)),
    "a row too few": Form(lambda array: array[:-1]),
    "a row too many": Form(lambda array: np.concatenate([array, array[-1:]])),
    "empty": Form(lambda array: array[:0]),
    # no arrays
    "None": Form(lambda _: None, of=(SCORES, LABELS)),
    "a word": Form(lambda _: "word"),
    "a mapping": Form(lambda _: {}),
    "a set": Form(lambda _: {0}),
    "a generator": Form(lambda array: iter(array.tolist())),
    "a list with 2**70": Form(lambda array: [2**70, *array.tolist()[1:]], most=1),
}


def rows_cut(key, array, rows):
    """The same of every argument that has a row for each: members have theirs along the second axis."""
    if key in ("class_weights", "member_weights"):
        return array
    return array[:, rows] if key == "members" else array[rows]


def columns_cut(key, array, columns):
    """(N, K) arrays with other columns, and the labels that go with one."""
    if key == "labels":
        return np.zeros_like(array)
    if array.ndim == 1:
        return array
    one = array[..., columns]
    return np.ones_like(one) if key in ("probs", "members", "other") else one


# Forms of all arguments of a call at once.
TOGETHER = {
    "no rows": lambda key, array: rows_cut(key, array, slice(0, 0)),
    "one row": lambda key, array: rows_cut(key, array, slice(0, 1)),
    "one class": lambda key, array: columns_cut(key, array, slice(0, 1)),
    "no classes": lambda key, array: columns_cut(key, array, slice(0, 0)),
}
