"""Rows of any dumps to one file of another format, under the canonical names: how `fastcal convert` writes."""

from __future__ import annotations

import importlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .adding import OnRows, suffix_of
from .atomic import whole_file, whole_folder
from .batches import Batch, Dump, DumpError

KINDS = {
    ".npz": "writing_numpy",
    ".safetensors": "writing_numpy",
    ".parquet": "writing_arrow",
    ".pq": "writing_arrow",
    ".arrow": "writing_arrow",
    ".feather": "writing_arrow",
    ".ipc": "writing_arrow",
    ".arrows": "writing_arrow",
    **{
        suffix + packed: "writing_text"
        for suffix in (".csv", ".tsv", ".jsonl", ".ndjson")
        for packed in ("", ".gz", ".zst")
    },
}
FOLDER = ".npy"  # what a place without a suffix becomes: a folder of .npy files
REAL = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Columns:
    """Rows that are written together: scores (n,) or (n, K), and what else the first dump has."""

    scores: Array
    labels: Array | None
    weights: Array | None
    groups: Array | None

    @property
    def n_rows(self) -> int:
        """Rows."""
        return len(self.scores)

    def others(self) -> Iterator[tuple[str, Array]]:
        """The columns beside the scores, by name."""
        for name in ("labels", "weights", "groups"):
            values = getattr(self, name)
            if values is not None:
                yield name, values


@dataclass(frozen=True)
class Settings:
    """What is written: the name of the scores, "logits" or "probs", and how many rows a row group has."""

    scores: str
    group_rows: int | None = None


class Sink(ABC):
    """A file that is being written; ``first`` are its first rows, which say what columns it has and of what types."""

    @abstractmethod
    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        """Open the file."""

    @abstractmethod
    def write(self, rows: Columns) -> None:
        """Add rows."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the file."""

    def close(self) -> None:  # noqa: B027 - most have nothing else open
        """Let go of what is open, finished or not."""


def convert(
    dumps: Iterable[Dump],
    out: Path,
    *,
    dtype: str | None = None,
    group_rows: int | None = None,
    replace: bool = False,
    on_rows: OnRows | None = None,
) -> int:
    """Write the rows of ``dumps``, one after the other, to a file of the format of its suffix; returns how many.

    Without a suffix ``out`` becomes a folder of .npy files. It appears whole or not at all. Raises DumpError for what
    cannot be read, dumps that do not fit together or a format that cannot hold them, and OSError.
    """
    dumps = list(dumps)
    kinds = {dump.roles.from_logits for dump in dumps}
    if len(kinds) != 1:
        raise DumpError("some dumps hold logits and some probabilities" if kinds else "no dumps")
    if dtype is not None and dtype not in REAL:
        raise DumpError(f"--dtype is {dtype!r}; expected {', '.join(REAL)}")
    suffix = suffix_of(out)
    if out.suffix and suffix not in KINDS:
        raise DumpError(f"{out} is of no format that is written: {', '.join(KINDS)}, or a folder of .npy files")
    module = importlib.import_module(f"fastcal.dumps.{KINDS.get(suffix, 'writing_numpy')}")
    sink: type[Sink] = module.SINKS[suffix if out.suffix else FOLDER]
    settings = Settings("logits" if kinds.pop() else "probs", group_rows)
    with closing(_columns(dumps, dtype)) as rows:
        first = next(rows, None)
        if first is None:
            raise DumpError("no rows")
        place: AbstractContextManager[Path] = whole_file(out, replace=replace) if out.suffix else whole_folder(out)
        with place as temporary:
            return _written(sink(temporary, suffix, first, settings), first, rows, on_rows)


def _written(sink: Sink, first: Columns, rows: Iterable[Columns], on_rows: OnRows | None) -> int:
    n_rows = 0
    with closing(sink):
        for part in itertools.chain([first], rows):
            sink.write(part)
            n_rows += part.n_rows
            if on_rows is not None:
                on_rows(part.n_rows)
        sink.finish()
    return n_rows


def _columns(dumps: list[Dump], dtype: str | None) -> Any:
    """The rows of all dumps in the types of the first one's first; raises DumpError where others do not fit."""
    kept: list[Columns] = []
    for dump in dumps:
        with closing(dump.batches()) as batches:
            for batch in batches:
                if not batch.n_rows:
                    continue
                found = _of(batch, dump, dtype, kept[0] if kept else None)
                kept = kept or [found]
                yield found


def _of(batch: Batch, dump: Dump, dtype: str | None, first: Columns | None) -> Columns:
    """A batch's rows, leading axes made one, in native order; scores are floats, whole labels integers."""
    scores = batch.scores
    n_columns = scores.shape[-1] if scores.ndim > 1 else None
    scores = scores.reshape(-1) if n_columns is None else scores.reshape(-1, n_columns)
    real = np.dtype(dtype) if dtype else scores.dtype.newbyteorder("=") if scores.dtype.kind == "f" else np.dtype("f8")
    labels = None if dump.roles.labels is None else _labels(batch.labels.reshape(-1))
    weights = None if batch.weights is None else batch.weights.reshape(-1).astype(np.float64, copy=False)
    groups = None if batch.groups is None else _native(batch.groups.reshape(-1))
    if first is None:
        return Columns(_cast(scores, real, dump), labels, weights, groups)
    if scores.shape[1:] != first.scores.shape[1:]:
        classes = [one.shape[1] if one.ndim > 1 else 1 for one in (scores, first.scores)]
        raise DumpError(f"{dump.name} has rows of {classes[0]} scores, those before have {classes[1]}")
    _check_like("labels", labels, first.labels, dump)
    if labels is not None and first.labels is not None and labels.dtype != first.labels.dtype:
        labels = labels.astype(np.float64) if first.labels.dtype.kind == "f" else _whole(labels, dump)
    return Columns(
        _cast(scores, first.scores.dtype, dump),
        labels,
        _check_like("weights", weights, first.weights, dump),
        _check_like("slices", groups, first.groups, dump),
    )


def _check_like(what: str, given: Array | None, first: Array | None, dump: Dump) -> Array | None:
    if (given is None) != (first is None):
        raise DumpError(f"{dump.name} has {'no ' if given is None else ''}{what}, unlike the dumps before")
    if (
        given is not None
        and first is not None
        and what == "slices"
        and (given.dtype.kind in "OU") != (first.dtype.kind in "OU")
    ):
        raise DumpError(f"{dump.name} has slices of another kind, text or numbers, than the rows before")
    return given


def _cast(scores: Array, dtype: np.dtype[Any], dump: Dump) -> Array:
    """Scores of a type; raises DumpError where a finite one is infinite in it."""
    if scores.dtype == dtype:
        return scores
    with np.errstate(over="ignore"):
        found = scores.astype(dtype)
    if dtype.itemsize < scores.dtype.itemsize and (np.isinf(found) & np.isfinite(scores)).any():
        raise DumpError(f"{dump.name}: {dump.roles.scores} has values beyond the range of {dtype}; say --dtype float64")
    return found


def _labels(values: Array) -> Array:
    """Integers as int64, unless they are floats with fractions (probabilities of class 1, say)."""
    if values.dtype.kind != "f":
        return values.astype(np.int64, copy=False)
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    return whole if (whole == values).all() else values.astype(np.float64)


def _whole(values: Array, dump: Dump) -> Array:
    found = _labels(values)
    if found.dtype.kind == "f":
        raise DumpError(f"{dump.name}: {dump.roles.labels} holds fractions, and whole numbers before them")
    return found


def _native(values: Array) -> Array:
    return values if values.dtype.kind == "O" else values.astype(values.dtype.newbyteorder("="), copy=False)
