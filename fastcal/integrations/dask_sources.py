"""What rows on a cluster come from: Dask's collections, or dumps that its workers read themselves."""

from __future__ import annotations

import importlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, DataError
from ..dumps import Dump, DumpError, Roles, open_dumps
from ..runs import Task, tasks_of

# Labels, scores, weights and groups of some rows; what there is none of is None.
Columns = tuple[Any, Any, Any, Any]


@dataclass(frozen=True)
class Names:
    """What a source calls its columns: a name, of probabilities also a list of one a class."""

    scores: Any = None
    labels: Any = None
    weights: Any = None
    groups: Any = None

    def of(self, argument: str) -> str:
        """What a user calls an argument."""
        known = {
            "y_true": self.labels,
            "y_prob": self.scores,
            "scores": self.scores,
            "sample_weight": self.weights,
            "groups": self.groups,
        }
        name = known.get(argument)
        return name if isinstance(name, str) else argument


@dataclass(frozen=True)
class Place:
    """Where rows stand among all: whose error is the first, and what it says."""

    number: int
    where: str = ""  # a file or a partition, where errors do not count all rows
    names: Names = Names()
    row: int = 0  # the number of the first row there
    first_row: int | None = None  # its number among all

    def error(self, error: Exception, row: int) -> Exception:
        """An error of rows of which the first is the part's ``row``-th, as the user knows them."""
        before = f"{self.where}: " if self.where else ""
        if not isinstance(error, DataError):
            return type(error)(f"{before}{error}")
        found = error.located(self.names.of(error.argument), self.row + row)
        return DataError(before + found.argument, found.index, found.problem)


@dataclass(frozen=True)
class Part:
    """Consecutive rows: ``read(*given)`` yields them, on a worker; of ``given`` Dask makes what it has to."""

    place: Place
    read: Callable[..., Iterable[Columns]]
    given: tuple[Any, ...]
    n_rows: int | None = None
    n_bytes: int | None = None

    @property
    def sent(self) -> tuple[Any, ...]:
        """As a task's argument."""
        return self.place, self.read, list(self.given)


@dataclass(frozen=True)
class Source:
    """All rows, in parts; ``from_logits`` where names say which of the two scores are."""

    parts: list[Part]
    from_logits: bool | None = None
    from_files: bool = False
    has_groups: bool = False


def library(name: str = "dask") -> Any:
    """A module of Dask; raises ModuleNotFoundError saying what to install."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{name} is not installed: install "fastcal[dask]"', name=error.name) from error


def parts_of(source: Any, logits: Any, probs: Any, labels: Any, weights: Any, groups: Any) -> Source:
    """The parts of any source that :func:`fastcal.integrations.dask.evaluate` takes.

    Raises ValueError for names that do not fit it, TypeError for what is no source.
    """
    if logits is not None and probs is not None:
        raise ValueError("logits and probs are both given; scores are one or the other")
    said = None if logits is None and probs is None else logits is not None
    if isinstance(source, str | os.PathLike | Dump) or _is_list_of_files(source):
        return _of_files(source, Roles(logits, probs, labels, weights, groups))
    if isinstance(source, tuple):
        if logits is not None or probs is not None or labels is not None:
            raise ValueError("arrays have no names: say (y_true, y_prob), and from_logits=True or input= of logits")
        return _of_arrays(source, weights, groups)
    names = Names(logits if probs is None else probs, labels, weights, groups)
    if library().is_dask_collection(source) and hasattr(source, "to_delayed") and hasattr(source, "npartitions"):
        if hasattr(source, "columns"):
            return _of_frame(source, names, said)
        if hasattr(source, "fold"):
            return _of_bag(source, names, said)
    raise TypeError(
        f"source is a {type(source).__name__}; expected (y_true, y_prob) of Dask arrays, a Dask DataFrame, a Dask bag, "
        "or paths of dumps"
    )


# --- files ----------------------------------------------------------------------------------------------------------


def _is_list_of_files(source: Any) -> bool:
    return isinstance(source, list) and bool(source) and all(isinstance(x, str | os.PathLike | Dump) for x in source)


def _of_files(source: Any, asked: Roles) -> Source:
    given = source if isinstance(source, list) else [source]
    # A worker may have been started in another folder.
    paths = [Path(os.path.abspath(one)) for one in given if not isinstance(one, Dump)]
    if paths and len(paths) < len(given):
        raise TypeError("source holds both paths and dumps; expected one or the other")
    dumps = open_dumps(paths, asked) if paths else given
    kinds = {dump.roles.from_logits for dump in dumps}
    if len(kinds) != 1:
        raise DumpError("some dumps hold logits and some probabilities; report on them apart" if kinds else "no files")
    tasks = tasks_of(dumps)
    alike = Counter(id(task.dump) for task in tasks)
    parts = [_part(task, alike[id(task.dump)]) for task in tasks]
    return Source(parts, kinds.pop(), True, any(dump.roles.groups for dump in dumps))


def _part(task: Task, n_pieces: int) -> Part:
    """A task, one of so many of its dump."""
    if not task.dump.files:
        raise DumpError(f"{task.dump.name} is no file, which workers could read")
    size = sum(path.stat().st_size for path in task.dump.files) // n_pieces
    roles = task.dump.roles
    names = Names(roles.scores, roles.labels, roles.weights, roles.groups)
    place = Place(task.number, task.dump.name, names, task.piece.first_row + task.skip)
    return Part(place, rows_of_task, (task,), task.piece.n_rows, size)


def rows_of_task(task: Task) -> Iterator[Columns]:
    """The rows of a task; each batch's arrays may be filled again for the next one."""
    with closing(task.dump.read(task.piece, task.skip)) as batches:
        for batch in batches:
            yield batch.labels, batch.scores, batch.weights, batch.groups


# --- arrays ---------------------------------------------------------------------------------------------------------


def _of_arrays(source: tuple[Any, ...], weights: Any, groups: Any) -> Source:
    if not 2 <= len(source) <= 3 or (len(source) == 3 and weights is not None):
        raise ValueError("source is a tuple; expected (y_true, y_prob) or (y_true, y_prob, sample_weight)")
    given = dict(zip(("y_true", "y_prob", "sample_weight"), source, strict=False))
    given |= {"sample_weight": given.get("sample_weight", weights), "groups": groups}
    arrays = {name: _as_dask(array) for name, array in given.items() if array is not None}
    for name, array in arrays.items():
        if array.ndim == 0 or array.ndim > 2 or (array.ndim == 2 and name != "y_prob"):
            raise DataError(name, (), f"has shape {array.shape}; expected (N,){' or (N, K)' * (name == 'y_prob')}")
    scores = arrays["y_prob"]
    if scores.ndim == 2 and scores.numblocks[1] > 1:  # a row is evaluated as a whole
        scores = arrays["y_prob"] = scores.rechunk({1: -1})
    for name, array in arrays.items():
        arrays[name] = _like(name, array, scores)
    blocks = {name: array.to_delayed().reshape(-1) for name, array in arrays.items()}
    lengths = scores.chunks[0]
    known = not any(map(math.isnan, lengths))
    row_bytes = sum(array.dtype.itemsize * int(np.prod(array.shape[1:])) for array in arrays.values()) if known else 0
    parts, first_row = [], 0
    for i, length in enumerate(lengths):
        place = Place(i, row=first_row, first_row=first_row) if known else Place(i, f"block {i}")
        columns = [blocks[name][i] if name in blocks else None for name in ("y_true", "y_prob", "sample_weight")]
        given_rows = (*columns, blocks["groups"][i] if "groups" in blocks else None)
        size = (int(length), int(length) * row_bytes) if known else (None, None)
        parts.append(Part(place, _block, given_rows, *size))
        first_row += int(length) if known else 0
    return Source(parts, has_groups="groups" in arrays)


def _as_dask(array: Any) -> Any:
    da = library("dask.array")
    if isinstance(array, da.Array):
        return array
    if hasattr(array, "to_dask_array"):  # a column of a DataFrame
        return array.to_dask_array()
    return da.from_array(np.asarray(array), chunks=-1)


def _like(name: str, array: Any, scores: Any) -> Any:
    """The array in blocks of the same rows as the scores."""
    if array.chunks[0] == scores.chunks[0]:
        return array
    lengths = array.chunks[0], scores.chunks[0]
    if any(map(math.isnan, (*lengths[0], *lengths[1]))):
        if len(lengths[0]) == len(lengths[1]):
            return array  # blocks that do not fit are found out on the worker
        raise DataError(
            name, (), f"has {len(lengths[0])} blocks of unknown rows, y_prob {len(lengths[1])}; say compute_chunk_sizes"
        )
    if array.shape[0] != scores.shape[0]:
        raise DataError(name, (), f"has {array.shape[0]} rows, y_prob {scores.shape[0]}")
    return array.rechunk({0: scores.chunks[0]})


def _block(labels: Any, scores: Any, weights: Any, groups: Any) -> Iterator[Columns]:
    yield labels, scores, weights, groups


# --- tables ---------------------------------------------------------------------------------------------------------


def _of_frame(frame: Any, names: Names, said: bool | None) -> Source:
    names = _named(names, said)
    listed = [names.scores] if isinstance(names.scores, str) else list(names.scores)
    wanted = [*listed, *(name for name in (names.labels, names.weights, names.groups) if name is not None)]
    for name in wanted:
        if name not in frame.columns:
            raise ValueError(f"the DataFrame has no column {name!r}; it has {', '.join(map(str, frame.columns[:8]))}")
    blocks = frame[list(dict.fromkeys(wanted))].to_delayed()
    parts = [
        Part(Place(i, f"partition {i}", names), _frame_rows, (block, names, isinstance(names.scores, str)))
        for i, block in enumerate(blocks)
    ]
    return Source(parts, said, has_groups=names.groups is not None)


def _frame_rows(frame: Any, names: Names, one_column: bool) -> Iterator[Columns]:
    if one_column:
        scores = _stacked(frame[names.scores].to_numpy(), names.scores)
    else:
        scores = frame[list(names.scores)].to_numpy()
    weights, groups = (None if name is None else frame[name].to_numpy() for name in (names.weights, names.groups))
    yield frame[names.labels].to_numpy(), scores, weights, groups


def _stacked(column: Array, name: str) -> Array:
    """Numbers, or lists of the same length, as an array (N,) or (N, K)."""
    if column.dtype.kind != "O" or not len(column):
        return column
    if isinstance(column[0], str):
        raise TypeError(
            f"{name} holds text, {column[0][:40]!r}: Dask makes text of lists from pandas unless "
            "dataframe.convert-string is False"
        )
    if not hasattr(column[0], "__len__"):
        return column
    for row, values in enumerate(column):
        if not hasattr(values, "__len__") or len(values) != len(column[0]):
            found = f"has {len(values)} values" if hasattr(values, "__len__") else f"is {values!r}"
            raise DataError("y_prob", (row,), f"{found}; the rows before have {len(column[0])}")
    return np.concatenate(column).reshape(len(column), -1) if len(column[0]) else np.empty((len(column), 0))


# --- bags -----------------------------------------------------------------------------------------------------------


def _of_bag(bag: Any, names: Names, said: bool | None) -> Source:
    """Batches as tuples need no names, records do."""
    parts = [
        Part(Place(i, f"partition {i}", names), _bag_rows, (block, names)) for i, block in enumerate(bag.to_delayed())
    ]
    return Source(parts, said, has_groups=names.groups is not None)


def _bag_rows(items: Iterable[Any], names: Names) -> Iterator[Columns]:
    """Tuples as they come; records of a row each together."""
    records: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, tuple | list) and 2 <= len(item) <= 4:
            yield item[0], item[1], item[2] if len(item) > 2 else None, item[3] if len(item) > 3 else None
        elif isinstance(item, dict):
            records.append(item)
        else:
            raise TypeError(
                f"the bag holds a {type(item).__name__}; expected a record, or (y_true, y_prob[, sample_weight[, "
                "groups]])"
            )
    if records:
        yield _of_records(records, _named(names, True))


def _of_records(records: list[dict[str, Any]], names: Names) -> Columns:
    def values(name: str, argument: str) -> list[Any]:
        for row, record in enumerate(records):
            if name not in record:
                raise DataError(argument, (row,), f"is missing; the record has {', '.join(map(str, list(record)[:8]))}")
        return [record[name] for record in records]

    if isinstance(names.scores, str):
        column = np.empty(len(records), object)
        for row, value in enumerate(values(names.scores, "y_prob")):
            column[row] = value
        stacked = _stacked(column, names.scores)
        scores = np.asarray(stacked.tolist()) if stacked.dtype.kind == "O" else stacked
    else:
        scores = np.stack([np.asarray(values(name, name)) for name in names.scores], axis=1)
    more = {"sample_weight": names.weights, "groups": names.groups}
    weights, groups = (None if name is None else np.asarray(values(name, what)) for what, name in more.items())
    return np.asarray(values(names.labels, "y_true")), scores, weights, groups


def _named(names: Names, said: bool | None) -> Names:
    """Names of a table, whose scores have to be named."""
    if said is None or names.scores is None:
        raise ValueError("say probs= or logits=, the column of the scores, or a list of one column a class")
    if not isinstance(names.scores, str) and not (isinstance(names.scores, list | tuple) and names.scores):
        raise TypeError(f"the name of scores is {names.scores!r}; expected a column, or a list of columns")
    return replace(names, labels="label" if names.labels is None else names.labels)
