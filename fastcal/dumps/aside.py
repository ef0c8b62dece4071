"""Row groups of many columns: a few columns at a time put aside in a temporary file, and rows read from there.

Of every column that is decoded pyarrow holds a page or two of 1 MB: 2.5 GB of 1000 columns, however few rows are asked
for at once. And a thousand columns of 500 rows take it 20 times as long as their numbers are worth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np

from ..arrays import Array
from .batches import DumpError, rows_per_batch
from .blocks import block
from .stored import bytes_of, read_at

TOGETHER = 16
MANY = 64  # columns, from which on row groups are cut like this
WHOLE = 16 << 20  # bytes of a row group that is no matter

# Record batches of some columns, of so many rows.
Read = Callable[[list[str], int], Generator[Any, None, None]]


class Aside:
    """Scores of ``n_rows`` rows in a file, column after column of ``TOGETHER``."""

    def __init__(self, file: IO[bytes], n_rows: int, n_columns: int, dtype: np.dtype[Any], where: str) -> None:
        self._file = file
        self._n_rows = n_rows
        self._n_columns = n_columns
        self._dtype = dtype
        self._where = where

    def put(self, values: Array) -> None:
        """Rows of the columns that are written."""
        view = bytes_of(np.ascontiguousarray(values, self._dtype))
        while len(view):
            view = view[self._file.write(view) :]

    def rows(self, start: int, n: int) -> Array:
        """Rows from ``start`` on."""
        scores = block((n, self._n_columns), self._dtype)
        for first in range(0, self._n_columns, TOGETHER):
            width = min(TOGETHER, self._n_columns - first)
            part = block((n, width), self._dtype)
            position = (first * self._n_rows + start * width) * self._dtype.itemsize
            view, done = bytes_of(part), 0
            while done < len(view):
                count = read_at(self._file.fileno(), view[done:], position + done)
                if not count:
                    raise DumpError(f"{self._where} has columns of unequal length")
                done += count
            scores[:, first : first + width] = part
        return scores


def is_wide(n_rows: int, n_columns: int) -> bool:
    """Whether columns of a row group are put aside."""
    return n_columns >= MANY and n_rows * n_columns * 4 > WHOLE


@contextmanager
def put_aside(
    read: Read, values: Callable[[Any, list[str], int], Array], names: list[str], n_rows: int, dtype: Any, where: str
) -> Generator[Aside, None, None]:
    """The columns ``names`` of a row group: ``values`` makes numbers of them, told the first one's place."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(prefix="fastcal-", buffering=0))
            aside = Aside(file, n_rows, len(names), np.dtype(dtype), where)
            for first in range(0, len(names), TOGETHER):
                some = names[first : first + TOGETHER]
                row = 0
                for batch in read(some, rows_per_batch(8 * len(some))):
                    aside.put(values(batch, some, row))
                    row += len(batch)
                if row != n_rows:
                    raise DumpError(f"{where} has columns of unequal length")
        except OSError as error:
            what = "columns of a large row group are put aside in a temporary file (TMPDIR)"
            raise DumpError(f"{where}: {what}: {error.strerror}") from error
        yield aside
