"""A dump's files again, as they are, with what is made of their scores added: how `fastcal apply` writes.

The new values stand beside the scores in the layout of the scores, and nothing else of a file changes: other arrays,
columns, keys and their text are copied, not read and written anew, wherever the format allows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, DataError
from .atomic import whole_file
from .batches import Dump, DumpError, shown

OnRows = Callable[[int], None]

# Suffix -> the module that writes it.
_TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
KINDS = {
    ".npz": "adding_numpy",
    ".npy": "adding_numpy",
    ".safetensors": "adding_numpy",
    ".parquet": "adding_arrow",
    ".pq": "adding_arrow",
    ".arrow": "adding_arrow",
    ".feather": "adding_arrow",
    ".ipc": "adding_arrow",
    ".arrows": "adding_arrow",
    **{suffix + packed: "adding_text" for suffix in _TEXT for packed in ("", ".gz", ".zst")},
}


def suffix_of(path: Path) -> str:
    """The suffix that says a file's format, with that of its compression: ``.parquet``, ``.csv.gz``."""
    name = path.name.lower()
    found = [suffix for suffix in KINDS if name.endswith(suffix)]
    return max(found, key=len, default=path.suffix.lower())


@dataclass(frozen=True)
class Addition:
    """What is added: ``predict`` of scores, under a name that is not there yet, unless that may be overwritten."""

    name: str
    predict: Callable[[Array], Array]
    overwrite: bool = False
    on_rows: OnRows | None = field(default=None, compare=False)

    def of(self, scores: Array, dump: Dump, row: int) -> Array:
        """What is made of scores whose first row is number ``row``; raises DumpError naming the row that is none."""
        try:
            found = self.predict(scores)
        except DataError as error:
            raise DumpError(f"{dump.name}: {error.located(dump.roles.scores, row)}") from error
        except TypeError as error:
            raise DumpError(f"{dump.name}: {error}") from error
        if self.on_rows is not None:
            self.on_rows(len(scores))
        return found

    def check_new(self, names: Any, where: object) -> None:
        """Raise DumpError where the name, or one of a class's column, is taken."""
        taken = [name for name in names if name == self.name or is_column_of(name, self.name)]
        if taken and not self.overwrite:
            raise DumpError(f"{where} has {shown(taken[0])!r} already; say --name for another, or --overwrite")


def is_column_of(name: str, stem: str) -> bool:
    """Whether a column is one of a class: NAME_0, NAME_1, ..."""
    head, _, number = name.rpartition("_")
    return head == stem and number.isdecimal()


def add(dump: Dump, out: Path, addition: Addition, *, replace: bool = False) -> int:
    """Write ``out``, the file of the dump's scores with the addition; returns the rows.

    It appears whole or not at all. Raises DumpError for what cannot be read, or holds no such scores, and OSError.
    """
    module = importlib.import_module(f"fastcal.dumps.{KINDS[suffix_of(source_of(dump))]}")
    with whole_file(out, replace=replace) as temporary:
        rows: int = module.add(dump, temporary, addition)
    return rows


def source_of(dump: Dump) -> Path:
    """The file that holds a dump's scores: of several the first."""
    if not dump.files:
        raise DumpError("standard input is read once and cannot be copied; save it to a file")
    return dump.files[0]


def made(dump: Dump, addition: Addition) -> Generator[Array, None, None]:
    """The addition to all rows of a dump, in order, in batches."""
    row = 0
    with closing(dump.batches()) as batches:
        for batch in batches:
            yield addition.of(batch.scores, dump, row)
            row += len(batch.scores)


class Rows:
    """The addition to a dump's rows, so many at a time: for formats whose text is cut at other rows."""

    def __init__(self, dump: Dump, addition: Addition) -> None:
        self._dump = dump
        self._batches = made(dump, addition)
        self._held: list[Array] = []
        self._n_held = 0

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *error: object) -> None:
        self._batches.close()

    def take(self, n: int) -> Array:
        """The next n rows; DumpError where there are fewer."""
        while self._n_held < n or not self._held:
            following = next(self._batches, None)
            if following is None:
                if n == 0:
                    return np.empty(0)
                raise self._other("fewer")
            self._held.append(following)
            self._n_held += len(following)
        whole = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held, self._n_held = [whole[n:]], len(whole) - n
        return whole[:n]

    def end(self) -> None:
        """Raise DumpError where rows are left."""
        if self._n_held or any(len(more) for more in self._batches):
            raise self._other("more")

    def _other(self, which: str) -> DumpError:
        return DumpError(f"{self._dump.name} has {which} rows on a second look; it changed while it was read")
