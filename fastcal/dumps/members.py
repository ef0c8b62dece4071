"""The scores of one member of an ensemble from a file of its own: .npy, .npz or Parquet, read from the first row on."""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..arrays import MAX_CLASSES, Array
from .batches import DumpError
from .names import KNOWN, Roles
from .npy import npy_array
from .npz import ArrayStream, npz_array, npz_members, open_member
from .opening import check_readable
from .parquet import ParquetDump, list_columns, parquet_columns
from .stored import StoredArray, check_kind, open_file

ROLES = {True: "logits", False: "probs"}


class ScoreFile(ABC):
    """Scores (N, K) or (N, ..., K), of which ``read`` gives the next n rows."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype

    @abstractmethod
    def read(self, n: int) -> Array:
        """The next n rows; raises DumpError for a damaged file."""


class _StoredScores(ScoreFile):
    def __init__(self, array: StoredArray, file: int) -> None:
        super().__init__(array.name, array.shape, array.dtype)
        self._array = array
        self._file = file
        self._row = 0

    def read(self, n: int) -> Array:
        """See :meth:`ScoreFile.read`."""
        self._row += n
        return self._array.read(self._file, self._row - n, n)


class _ArchivedScores(ScoreFile):
    def __init__(self, stream: ArrayStream) -> None:
        super().__init__(stream.array.name, stream.array.shape, stream.array.dtype)
        self._stream = stream

    def read(self, n: int) -> Array:
        """See :meth:`ScoreFile.read`."""
        return self._stream.read(n)


# Of a batch from pyarrow there are about so many copies: decoded pages, the batch, scores, what its pool keeps.
COPIES = 4


class _ParquetScores(ScoreFile):
    def __init__(self, dump: ParquetDump, n_bytes: int) -> None:
        self._batches = dump.scores(max(n_bytes // COPIES, 1))
        self._first = next(self._batches, np.empty((0, 1)))
        super().__init__(dump.name, (dump.n_rows, *self._first.shape[1:]), self._first.dtype)

    def read(self, n: int) -> Array:
        """See :meth:`ScoreFile.read`."""
        parts, missing = [], n
        while True:
            parts.append(self._first[:missing])
            self._first = self._first[len(parts[-1]) :]
            missing -= len(parts[-1])
            if not missing:
                return parts[0] if len(parts) == 1 else np.concatenate(parts)
            following = next(self._batches, None)
            if following is None or following.shape[1:] != self.shape[1:]:
                what = (
                    "ends early"
                    if following is None
                    else f"has rows of {self.shape[1]} and {following.shape[1]} values"
                )
                raise DumpError(f"{self.name} {what}")
            self._first = following


@contextlib.contextmanager
def open_scores(path: Path, *, from_logits: bool, n_bytes: int) -> Iterator[ScoreFile]:
    """The scores in a file, open. Which array they are is said by its name, or it is the only one of two axes.

    Memory holds about ``n_bytes`` of scores beyond those that were asked for.

    Raises DumpError for what is no file of numbers, and where the names leave it open.
    """
    suffix = check_readable(path, expected=(".npz", ".npy", ".parquet", ".pq"))
    with contextlib.ExitStack() as stack:
        if suffix == ".npy":
            array = table_of(npy_array(path, str(path)))
            file = open_file(path)
            stack.callback(os.close, file)
            yield _StoredScores(array, file)
        elif suffix == ".npz":
            members = npz_members(path)
            name = _named(members, from_logits=from_logits) or _table(path, members, from_logits=from_logits)
            array = table_of(npz_array(path, members[name], name), streamed=True)
            yield _ArchivedScores(ArrayStream(stack.enter_context(open_member(path, members[name]))[0], array))
        else:
            columns = parquet_columns(path)
            name = _named(columns, from_logits=from_logits) or _only(
                path, list_columns(path), columns, from_logits=from_logits
            )
            yield _ParquetScores(ParquetDump(path, Roles(logits=name) if from_logits else Roles(probs=name)), n_bytes)


def _named(available: Collection[str], *, from_logits: bool) -> str | None:
    """The array whose name says what it is; one column a class (``probs_0``, ``probs_1``) counts as ``probs``."""
    names = [name for name in KNOWN[ROLES[from_logits]] if name in available or f"{name}_0" in available]
    return names[0] if len(names) == 1 else None


def table_of(array: StoredArray, *, streamed: bool = False) -> StoredArray:
    """The array, if rows of numbers can be read from it, ``streamed`` only from the first to the last."""
    check_kind(array)
    if math.prod(array.shape[1:]) > MAX_CLASSES:
        raise DumpError(f"{array.name} has shape {array.shape}; a row holds at most {MAX_CLASSES} values")
    if array.by_column and (streamed or len(array.shape) != 2):
        message = "is stored column by column; save it with np.ascontiguousarray, or as a .npy of two axes"
        raise DumpError(f"{array.name} {message}")
    return array


def _table(path: Path, members: dict[str, str], *, from_logits: bool) -> str:
    """An archive's only array of two axes."""
    found, others = [], []
    for name, member in members.items():
        try:
            shape = table_of(npz_array(path, member, name), streamed=True).shape
        except DumpError as error:
            others.append(str(error))
        else:
            found += [name] if len(shape) == 2 else []
            others += [] if len(shape) == 2 else [f"{name} has shape {shape}"]
    return _only(path, found, members, others, from_logits=from_logits)


def _only(
    path: Path, tables: list[str], names: Collection[str], problems: Sequence[str] = (), *, from_logits: bool
) -> str:
    """The only one of two axes; ``names`` are those of all arrays, ``problems`` why others are none of two axes."""
    others = [name for name in KNOWN[ROLES[not from_logits]] if name in names or f"{name}_0" in names]
    if len(tables) == 1 and tables[0] not in others:
        return tables[0]
    known = " or ".join(repr(name) for name in KNOWN[ROLES[from_logits]])
    found = ", ".join(sorted(tables)[:8]) or "; ".join(["none", *problems[:1]])
    hint = f"; say from_logits={not from_logits}" if others else ""
    raise DumpError(f"{path} has no single array named {known}; of two axes it has {found}{hint}")
