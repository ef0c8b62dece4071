"""Rows with measures of uncertainty: how they are given, and which kind each row is of."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import (
    MAX_ROWS,
    Array,
    Column,
    DataError,
    Gaps,
    LabelColumn,
    array_of,
    array_or_bits,
    unmasked,
    without_gaps,
)
from ..dumps.members import open_scores
from ..ensembles.members import is_path, weights_of
from ..interchange.libraries import is_array, widened
from ..ordered.columns import score_column
from ..rowwise import MAX_CLASSES
from .uncertainty_adding import CHUNK, Orders, read_only
from .uncertainty_state import CORRECT, MEASURES, OUT, SKIPPED, UNLABELLED, WRONG

# How far a measure of an ensemble may lie outside its range and count as rounding: as probabilities in rows.
TOLERANCE = 1e-4
# Dataclasses of measures, all of them higher for more uncertain; there are others.
OF_FASTCAL = ({"prediction", *MEASURES}, {"max", "entropy", "energy", "margin"})


class Members:
    """Members as the measures take them: one model as an ensemble of one; and how many classes they have."""

    def __init__(self, members: Any, dtype: str | None, *, from_logits: bool) -> None:
        self.dtype = dtype
        self.n_classes: int | None = None
        if is_path(members):
            members = [members]
        elif isinstance(members, list | tuple) and members and _is_row(members[0]):
            # rows of bfloat16 one by one: no array holds these
            rows = [_float32(row) if _is_bfloat(row) else row for row in members]
            members = array_of("members", rows)
        self.given = members
        if isinstance(members, list | tuple):
            if members:
                self.n_classes = _classes_of(members[0], from_logits=from_logits)
        elif is_array(members):
            given, bits = array_or_bits("members", members, dtype)
            self.given = given[None] if given.ndim == 2 else given
            self.dtype = "bfloat16" if bits else dtype
            self.n_classes = given.shape[-1] if given.ndim > 1 else None
        elif hasattr(members, "__iter__") and not isinstance(members, bytes | Mapping):  # which are refused as such
            self.given = self._seen(members)

    def _seen(self, members: Iterable[Any]) -> Iterator[Any]:
        """The members of an iterable, of which the first is looked at."""
        for member in members:
            if self.n_classes is None and not is_path(member):
                self.n_classes = _classes_of(member, from_logits=False)
            yield member

    def fault(self, row: int, weights: Any) -> DataError:
        """What is wrong with a row that is no distribution: its first NaN or masked value, where that can be found."""
        hint = "nan_policy='omit' leaves such rows out"
        if isinstance(self.given, np.ndarray | list | tuple):
            counted = np.ones(len(self.given)) if weights is None else weights_of(weights)
            for m in np.flatnonzero(counted).tolist():
                member = self.given[m]
                if is_path(member):
                    continue
                given, bits = array_or_bits("members", member, self.dtype if _is_uint16(member) else None)
                cells = given.reshape(-1, given.shape[-1])[row]
                values = widened(np.ma.getdata(cells)) if bits else np.ma.getdata(cells)
                nan = np.flatnonzero(np.isnan(values) | np.ma.getmaskarray(cells))
                if nan.size:
                    place = tuple(int(i) for i in np.unravel_index(row, given.shape[:-1]))
                    return DataError("members", (m, *place, int(nan[0])), f"is nan; {hint}")
        return DataError("members", (), f"are no distribution in row {row}, by NaN or infinite logits; {hint}")


def _classes_of(member: Any, *, from_logits: bool) -> int | None:
    if is_path(member):
        with open_scores(Path(member), from_logits=from_logits, n_bytes=1 << 20) as scores:
            return int(scores.shape[-1])
    shape = _shape(member)
    return int(shape[-1]) if shape else None


def _is_row(member: Any) -> bool:
    return not is_path(member) and len(_shape(member)) == 1


def _shape(member: Any) -> tuple[int, ...]:
    try:
        whole = is_array(member) and not isinstance(member, np.ndarray)
        return array_or_bits("members", member)[0].shape if whole else np.shape(member)
    except (TypeError, ValueError):  # of a ragged list, or what is no array: the measures tell what is wrong
        return ()


def _is_uint16(member: Any) -> bool:
    return getattr(member, "dtype", None) == np.uint16


def _is_bfloat(row: Any) -> bool:
    return str(getattr(row, "dtype", "")) in ("bfloat16", "torch.bfloat16")


def _float32(row: Any) -> Array:
    return widened(array_or_bits("members", row)[0])


def columns_of(uncertainty: Any) -> tuple[list[Column], tuple[int, ...]]:
    """Measures of an ensemble or of softmax, or a mapping: columns of as many rows; and the shape that they had."""
    lead: tuple[int, ...] = ()
    names = _fields(uncertainty)
    if set(names) in OF_FASTCAL:
        arrays = {name: np.asarray(getattr(uncertainty, name)) for name in names if name != "prediction"}
        lead = next(iter(arrays.values())).shape
        measures: Mapping[Any, Any] = {name: values.reshape(-1) for name, values in arrays.items()}
    elif isinstance(uncertainty, Mapping):
        measures = uncertainty
    else:
        kind = type(uncertainty).__name__
        hint = "of ensemble_uncertainty or softmax_uncertainty, or a mapping of names to arrays (N,)"
        raise TypeError(f"uncertainty is a {kind}; expected measures {hint}")
    if not measures:
        raise ValueError("uncertainty holds no measure")
    odd = [name for name in measures if not isinstance(name, str)]
    if odd:
        raise TypeError(f"a measure is called {odd[0]!r}; expected its name")
    columns = [score_column(name, one) for name, one in measures.items()]
    n_rows = len(columns[0].values)
    for column in columns:
        if len(column.values) != n_rows:
            first = f"{columns[0].argument} has {n_rows}"
            raise DataError(column.argument, (), f"has {len(column.values)} rows, {first}")
    if n_rows > MAX_ROWS:
        raise DataError("uncertainty", (), f"has {n_rows} rows; an update takes at most {MAX_ROWS}")
    return columns, lead or (n_rows,)


def _fields(uncertainty: Any) -> list[str]:
    """Names of what a dataclass holds."""
    if not dataclasses.is_dataclass(uncertainty) or isinstance(uncertainty, type):
        return []
    return [field.name for field in dataclasses.fields(uncertainty)]


def bools(argument: str, values: Any, lead: tuple[int, ...], gaps: list[Gaps] | None = None) -> Array | bool:
    """One bool, or one a row: of rows in the shape that they had, or in a line; ``gaps`` hears of missing ones."""
    if isinstance(values, bool | np.bool_):
        return bool(values)
    given = array_of(argument, values)
    if given.dtype != bool:
        raise TypeError(f"{argument} has dtype {given.dtype}; expected True, False or one of them a row")
    if given.shape not in (lead, (math.prod(lead),)):
        raise DataError(argument, (), f"has shape {given.shape}, expected {lead}")
    if gaps is not None:
        return without_gaps(argument, given.reshape(-1), "every row needs one", gaps)
    return unmasked(argument, given, "every row needs one").reshape(-1)


def _unlabelled(out: Array, left: Array) -> Array:
    kinds = np.where(out, np.uint8(OUT), np.uint8(UNLABELLED))
    np.copyto(kinds, SKIPPED, where=left)
    return kinds


class Kinds(ABC):
    """Which kind each row is of; the worker of the engine that puts chunks of them in order."""

    shape: tuple[int, ...]

    def __init__(self, n_rows: int, out: Array | bool) -> None:
        self.n_rows = n_rows
        self.out = out
        self.orders = Orders(n_rows)
        self.faults: list[DataError] = []
        self.gaps: list[Gaps] = []

    def __call__(self, first: int, last: int) -> bool:
        """Put chunks in order; True at one with a fault."""
        for chunk in range(first, last):
            start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, self.n_rows)
            out = np.full(stop - start, self.out) if isinstance(self.out, bool) else self.out[start:stop]
            try:
                kinds = self.judged(start, stop, out)
                for gap in self.gaps:
                    np.copyto(kinds, SKIPPED, where=gap.missing[start:stop] & ~out)
            except DataError as error:
                self.faults.append(error)
                return True
            self.orders.fill(chunk, kinds)
        return False

    @abstractmethod
    def judged(self, start: int, stop: int, out: Array) -> Array:
        """Kinds of rows, ``out`` of which are out of distribution."""

    def first_left_out(self) -> int:
        """The first of them; there is one."""
        chunk = int(np.flatnonzero(self.orders.starts[:, -1] > self.orders.starts[:, -2])[0])
        return chunk * CHUNK + int(self.orders.places[chunk, self.orders.starts[chunk, -2]])

    def gap(self, row: int) -> DataError | None:
        """What is missing in a row, if anything is."""
        place = tuple(int(i) for i in np.unravel_index(row, self.shape))
        found = (DataError(gap.argument, place, gap.problem) for gap in self.gaps if gap.missing[row])
        return next(found, None)

    def ordered(self, n_threads: int | None) -> Orders:
        """All rows in the order of their kinds; raises the DataError of the first row that has one."""
        engine.run(len(self.orders.starts), 16 * CHUNK, 1, lambda: self, n_threads)
        if self.faults:
            raise min(self.faults, key=lambda fault: fault.index)
        return self.orders


class PredictedKinds(Kinds):
    """Kinds of rows with a prediction, by their labels."""

    def __init__(self, y_true: Any, prediction: Array, out_of_distribution: Any, n_classes: int | None) -> None:
        super().__init__(prediction.size, bools("out_of_distribution", out_of_distribution, prediction.shape))
        self.prediction = prediction.reshape(-1)
        self.n_classes = n_classes
        self.shape = prediction.shape
        self.labels: LabelColumn | None = None
        if y_true is not None:
            given = array_of("y_true", y_true)
            if given.shape != prediction.shape:
                hint = f"; members have {prediction.shape} rows"
                raise DataError("y_true", (), f"has shape {given.shape}, expected {prediction.shape}{hint}")
            given = without_gaps("y_true", given.reshape(-1), "say y_true=None for rows without labels", self.gaps)
            self.labels = LabelColumn("y_true", given, np.dtype(np.int64))

    def judged(self, start: int, stop: int, out: Array) -> Array:
        """See :meth:`Kinds.judged`; raises DataError for a label of a row in distribution that is none."""
        prediction = self.prediction[start:stop]
        if self.labels is None:
            return _unlabelled(out, prediction < 0)
        kinds = np.empty(stop - start, np.uint8)
        labels, n_classes = self.labels.chunk(start, stop), (self.n_classes or MAX_CLASSES)
        columns = (read_only(prediction), labels, read_only(np.ascontiguousarray(out)))
        if not kernels.uncertainty.judge(*columns, np.int64(n_classes), kinds):
            return kinds
        row = start + int(np.flatnonzero(~out & ((labels < 0) | (labels >= n_classes)))[0])
        place = tuple(int(i) for i in np.unravel_index(row, self.shape))
        raise DataError("y_true", place, f"is {self.labels.values[row]}; labels are integers 0 to {n_classes - 1}")


class JudgedKinds(Kinds):
    """Kinds of rows of which it was said whether their predictions are correct."""

    def __init__(self, columns: list[Column], lead: tuple[int, ...], correct: Any, out_of_distribution: Any) -> None:
        super().__init__(len(columns[0].values), bools("out_of_distribution", out_of_distribution, lead))
        self.columns = columns
        self.shape = lead
        self.correct = None if correct is None else bools("correct", correct, lead, self.gaps)

    def judged(self, start: int, stop: int, out: Array) -> Array:
        """See :meth:`Kinds.judged`; raises DataError for a value that its measure cannot have."""
        left = self._left_out(start, stop)
        if self.correct is None:
            return _unlabelled(out, left)
        correct = self.correct if isinstance(self.correct, bool) else self.correct[start:stop]
        kinds = np.where(out, np.uint8(OUT), np.where(correct, np.uint8(CORRECT), np.uint8(WRONG)))
        np.copyto(kinds, SKIPPED, where=left)
        return kinds

    def _left_out(self, start: int, stop: int) -> Array:
        """Rows in which a measure is NaN."""
        left = np.zeros(stop - start, bool)
        faults: list[DataError] = []
        for column in self.columns:
            values = column.chunk(start, stop)
            nan = np.isnan(values)
            left |= nan
            if column.argument in MEASURES:
                is_share = column.argument in ("max_probability", "variation_ratio")
                most = 1 + TOLERANCE if is_share else np.finfo(values.dtype).max
                wrong = np.flatnonzero(~nan & ~((values >= -TOLERANCE) & (values <= most)))
                if wrong.size:
                    expected = "it lies in [0, 1]" if is_share else "it is finite and never negative"
                    place, value = self._place(start + int(wrong[0])), values[wrong[0]]
                    faults.append(DataError(column.argument, place, f"is {value}; {expected}"))
        if faults:
            raise min(faults, key=lambda fault: fault.index)
        return left

    def fault(self, row: int) -> DataError:
        """Which measure of a row is NaN, or what is missing in it."""
        gap = self.gap(row)
        if gap is not None:
            return gap
        column = next(one for one in self.columns if np.isnan(one.chunk(row, row + 1)[0]))
        return DataError(column.argument, self._place(row), "is nan; nan_policy='omit' leaves such rows out")

    def _place(self, row: int) -> tuple[int, ...]:
        """Where a row stood in the shape that all had."""
        return tuple(int(i) for i in np.unravel_index(row, self.shape))
