"""The verbs that every accumulator has, over parts that each keep one state.

A *part* says what its state looks like, adds a chunk of rows to it, and finalises it into figures. An accumulator runs
chunks through its parts on threads and merges what they saw. Its own state is replaced as a whole, by one assignment,
after everything was found to be in order: an update that raises leaves it as it was.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import DataError, NanPolicy, Predictions, predictions
from .evaluation_report import EvaluationReport
from .rows import Rows, rows_per_chunk
from .serial import pack, unpack
from .state import Figures, State, merged

NAN_POLICIES = ("raise", "omit", "propagate")


class Part(ABC):
    """One state and what can be said of it. Holds settings only; states are passed in."""

    figures: ClassVar[Figures]
    optional: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of a collected state; those in ``optional`` may be missing."""

    @abstractmethod
    def add(self, state: State, rows: Rows) -> None:
        """Add a chunk of rows to a worker's state."""

    @abstractmethod
    def view(self, state: State) -> Any:
        """The collected state as the finalisers in ``figures`` take it."""

    def start(self) -> State:
        """A worker's state, to begin with."""
        return self.empty()

    def collect(self, state: State) -> State:
        """A worker's state in the form in which states are merged and kept."""
        return state

    def empty(self) -> State:
        """The identity of merging."""
        return {name: np.zeros(shape, np.int64) for name, shape in self.shapes().items() if name not in self.optional}


class _Worker:
    """What one thread works on: its own buffers, and its own state of every part."""

    def __init__(self, batch: Predictions, parts: Mapping[str, Part]) -> None:
        self.rows = Rows(batch)
        self.parts = parts
        self.states = {name: part.start() for name, part in parts.items()}

    def __call__(self, start: int, stop: int) -> None:
        self.rows.fill(start, stop)
        if self.rows.faults[kernels.rows.N_BAD]:
            return  # the update will raise; what is read from here on only finds the first fault
        for name, part in self.parts.items():
            part.add(self.states[name], self.rows)


class Accumulator:
    """A mergeable state of fixed size: update, merge, compute.

    Parameters common to all: ``from_logits`` (scores are logits; never guessed); ``nan_policy`` ("raise"; "omit" leaves
    out rows that are no distribution and counts them as ``n_nan``; "propagate" makes figures NaN); ``n_threads``.

    Any split of the rows over updates, threads and merges gives the same bits.
    """

    def __init__(
        self,
        *,
        settings: dict[str, Any],
        parts: dict[str, Part],
        from_logits: bool = False,
        nan_policy: NanPolicy = "raise",
        n_threads: int | None = None,
    ) -> None:
        if nan_policy not in NAN_POLICIES:
            raise ValueError(f"nan_policy is {nan_policy!r}; expected one of {', '.join(NAN_POLICIES)}")
        engine.thread_count(n_threads)
        self._settings = {**settings, "from_logits": bool(from_logits), "nan_policy": nan_policy}
        self._parts = parts
        self._n_threads = n_threads
        self._busy = threading.Lock()
        self.reset()

    def reset(self) -> Self:
        """Forget everything seen; returns self."""
        self._columns: int | None = None  # K of (N, K) scores, 0 for (N,), None before any row
        self._states = {"rows": _empty_rows(), **{name: part.empty() for name, part in self._parts.items()}}
        return self

    def update(self, y_true: Any, y_prob: Any, *, sample_weight: Any = None) -> Self:
        """Add rows; returns self.

        ``y_true`` (N,) integer labels; ``y_prob`` (N,) probabilities of class 1 or (N, K) rows, or logits of either
        form with ``from_logits=True``; ``sample_weight`` (N,) finite, not negative, None for 1 each. Raises DataError
        (a ValueError) naming the argument, the place and the value, and TypeError for what is not numbers; the state
        is then as it was before.
        """
        batch = predictions(y_true, y_prob, sample_weight=sample_weight, from_logits=self._settings["from_logits"])
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this accumulator is being updated in another thread; use one for each and merge them")
        try:
            self._check_columns(batch)
            if batch.n_rows:
                self._columns, self._states = batch.n_columns, self._with(batch)
        finally:
            self._busy.release()
        return self

    def _with(self, batch: Predictions) -> dict[str, State]:
        """The states, with a batch added."""
        row_bytes = max(batch.n_columns, 1) * batch.scores.dtype.itemsize
        workers = engine.run(
            batch.n_rows, row_bytes, rows_per_chunk(batch), lambda: _Worker(batch, self._parts), self._n_threads
        )
        n_nan = self._check_faults(batch, workers)
        states = {**self._states, "rows": merged(self._states["rows"], _rows_state(batch.n_rows - n_nan, n_nan))}
        for worker in workers:
            for name, part in self._parts.items():
                states[name] = merged(states[name], part.collect(worker.states[name]))
        return states

    def _check_columns(self, batch: Predictions) -> None:
        if self._columns not in (None, batch.n_columns):
            seen = f"(N, {self._columns})" if self._columns else "(N,)"
            raise DataError("y_prob", (), f"has shape {batch.scores.values.shape}; rows before it were {seen}")

    def _check_faults(self, batch: Predictions, workers: list[_Worker]) -> int:
        rows = kernels.rows
        faults = [worker.rows.faults for worker in workers]
        first = min(int(f[rows.FIRST_BAD]) for f in faults)
        if self._settings["nan_policy"] == "raise":
            first = min(first, *(int(f[rows.FIRST_NAN]) for f in faults))
        if first < rows.NONE_YET:
            raise batch.fault(first)
        return sum(int(f[rows.N_NAN]) for f in faults)

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings or classes differ."""
        if type(other) is not type(self):
            raise TypeError(f"cannot merge {type(other).__name__} into {type(self).__name__}")
        for name, value in self._settings.items():
            if other._settings[name] != value:
                raise ValueError(f"cannot merge: {name} is {value!r} here and {other._settings[name]!r} there")
        if None not in (self._columns, other._columns) and self._columns != other._columns:
            raise ValueError(f"cannot merge: scores have {self._columns} columns here and {other._columns} there")
        if other._columns is not None:
            self._columns, self._states = (
                other._columns,
                {name: merged(state, other._states[name]) for name, state in self._states.items()},
            )
        return self

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._copy().merge(other)

    def __radd__(self, other: Any) -> Self:
        return self._copy() if isinstance(other, int) and other == 0 else NotImplemented

    def compute(self) -> EvaluationReport:
        """All figures of what was seen; those that need rows are NaN before any."""
        n_classes = 2 if self._columns == 0 else self._columns
        figures = {**self._row_counts(), "n_classes": n_classes or 0}
        descriptions = {"n": "Rows.", "n_nan": "Rows left out, as NaN.", "n_classes": "Classes."}
        for name, part in self._parts.items():
            view = part.view(self._states[name])
            for key, finaliser in part.figures.items():
                figures[key] = self._figure(finaliser(view))
                descriptions[key] = (finaliser.__doc__ or "").partition("\n")[0]
        return EvaluationReport(figures, descriptions)

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self._columns is None

    def figure(self, name: str) -> Any:
        """One figure of :meth:`compute`, without the others."""
        for key, part in self._parts.items():
            if name in part.figures:
                return self._figure(part.figures[name](part.view(self._states[key])))
        return self.compute()[name]

    def _figure(self, value: Any) -> Any:
        poisoned = self._settings["nan_policy"] == "propagate" and self._row_counts()["n_nan"]
        return float("nan") if poisoned and isinstance(value, float) else value

    def _row_counts(self) -> dict[str, int]:
        return {name: int(array[0]) for name, array in self._states["rows"].items()}

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version; equal states give equal bytes."""
        arrays = {f"{part}.{name}": array for part, state in self._states.items() for name, array in state.items()}
        return pack(type(self).__name__, {**self._settings, "columns": self._columns}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a state; raises ValueError for bytes that are no state of this class, damaged or made up."""
        settings, arrays = unpack(data, cls.__name__)
        columns = settings.pop("columns", None)
        try:
            accumulator = cls(**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a fastcal state: {error}") from error
        if columns is not None and not (isinstance(columns, int) and columns >= 0):
            raise ValueError(f"not a fastcal state: columns is {columns!r}")
        accumulator._columns = columns
        accumulator._take(arrays)
        return accumulator

    def _take(self, arrays: State) -> None:
        shapes = {f"rows.{name}": array.shape for name, array in _empty_rows().items()}
        optional: set[str] = set()
        for key, part in self._parts.items():
            shapes.update({f"{key}.{name}": shape for name, shape in part.shapes().items()})
            optional.update(f"{key}.{name}" for name in part.optional)
        for name, shape in shapes.items():
            found = arrays[name].shape if name in arrays else None
            if found != shape and not (found is None and name in optional):
                raise ValueError(f"not a fastcal state: {name} has shape {found}, expected {shape}")
        for name, array in arrays.items():
            digits = array[..., :-1] if name.endswith("_sum") else array
            if name not in shapes or (array < 0).any() or (name.endswith("_sum") and (digits >> 32).any()):
                raise ValueError(f"not a fastcal state: {name} does not hold what it should")
            key, _, own = name.partition(".")
            self._states[key][own] = array

    def _copy(self) -> Self:
        new = type(self).from_bytes(self.to_bytes())
        new._n_threads = self._n_threads
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.to_bytes(), self._n_threads)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"<{type(self).__name__}({settings}): {self._row_counts()['n']} rows>"


def _empty_rows() -> State:
    return _rows_state(0, 0)


def _rows_state(n: int, n_nan: int) -> State:
    return {"n": np.array([n], np.int64), "n_nan": np.array([n_nan], np.int64)}


def _restored(cls: type[Accumulator], data: bytes, n_threads: int | None) -> Accumulator:
    accumulator = cls.from_bytes(data)
    accumulator._n_threads = n_threads
    return accumulator
