"""The verbs that every accumulator has, over parts that each keep one state.

A *part* says what its state looks like, adds a chunk of rows to it, and finalises it into figures. An accumulator runs
chunks through its parts on threads and merges what they saw. Its own state is replaced as a whole, by one assignment,
after everything was found to be in order: an update that raises leaves it as it was.

To collect and merge what the workers saw takes up to 1.5 ms, whatever the number of rows. So one that is updated often
may *linger*: its workers go on with the next batch, and are collected when somebody asks what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypedDict

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import MAX_CLASSES, Array, DataError, NanPolicy, Predictions, predictions
from ..forks import Guard
from .evaluation_report import EvaluationReport
from .mergeable import Mergeable
from .older import from_version_1
from .part import Part
from .rows import bytes_per_row, evenly, rows_per_chunk
from .serial import pack, unpack
from .state import State, merged
from .worker import Worker

__all__ = ["Accumulator", "Options", "Part"]

NAN_POLICIES = ("raise", "omit", "propagate")

# What a state from outside may hold: as much again can be added without overflow.
MAX_COUNT = 1 << 61
# Rows that lingering workers take before they are collected: a batch has at most as many again, and words hold both.
MOST_OPEN = 1 << 30
# In place of the number of rows that they took, once an update that does not go back has failed.
HALF = -1


class Options(TypedDict, total=False):
    """What every accumulator takes; see :class:`Accumulator`."""

    from_logits: bool
    nan_policy: NanPolicy
    n_threads: int | None


class Accumulator(Mergeable):
    """A mergeable state of fixed size: update, merge, compute.

    Parameters common to all: ``from_logits`` (scores are logits; never guessed); ``nan_policy`` ("raise"; "omit" leaves
    out rows that are no distribution, or whose label or weight is missing (masked, NA, null), and counts them as
    ``n_nan``; "propagate" makes figures NaN); ``n_threads``.

    Any split of the rows over updates, threads and merges gives the same bits.
    """

    _lingers = False
    # Whether an update that raises leaves the state as it was. Who throws it away then, as a run does, spares a copy of
    # the state at each update of one that lingers; nothing can be made of it afterwards but ``reset``.
    goes_back = True

    def __init__(
        self,
        *,
        settings: dict[str, Any],
        parts: dict[str, Part],
        from_logits: bool = False,
        nan_policy: NanPolicy = "raise",
        n_threads: int | None = None,
    ) -> None:
        if not isinstance(from_logits, bool | np.bool_):
            raise ValueError(f"from_logits is {from_logits!r}; expected True or False")
        if nan_policy not in NAN_POLICIES:
            raise ValueError(f"nan_policy is {nan_policy!r}; expected one of {', '.join(NAN_POLICIES)}")
        super().__init__({**settings, "from_logits": bool(from_logits), "nan_policy": nan_policy}, n_threads)
        self._parts = parts
        self._columns: int | None = None  # K of (N, K) scores, 0 for (N,), None before any row
        self._kept = self._empty()  # what was collected, and the counts of all rows
        self._open: list[Worker] = []  # whose rows were not collected yet
        self._n_open = 0
        self._collecting = Guard("this accumulator was being changed in another thread when the process was forked")

    @property
    def _states(self) -> dict[str, State]:
        """Everything seen, collected; it waits for the update of one that lingers in another thread."""
        if not self._lingers:
            return self._kept
        with self._collecting:
            self._check_whole()
            if self._open:
                self._kept, self._open, self._n_open = self._pooled(self._kept, self._open), [], 0
            return self._kept

    @_states.setter
    def _states(self, states: dict[str, State]) -> None:
        with self._collecting:
            self._kept, self._open, self._n_open = states, [], 0

    def _empty(self) -> dict[str, State]:
        return {"rows": _rows_state(0, 0), **{name: {} for name in self._parts}}

    def reset(self) -> Self:
        """Forget everything seen; returns self.

        >>> import fastcal as fc
        >>> fc.ScoreAccumulator().update([0, 1], [0.25, 0.75]).reset().compute()["n"]
        0
        """
        with self._changing():
            self._columns, self._states = None, self._empty()
        return self

    def update(self, y_true: Any, y_prob: Any, *, sample_weight: Any = None) -> Self:
        """Add rows; returns self.

        ``y_true`` (N,) integer labels; ``y_prob`` (N,) probabilities of class 1 or (N, K) rows, or logits of either
        form with ``from_logits=True``; ``sample_weight`` (N,), each 0 or from 1e-100 to 1e100, None for 1 each.
        Raises DataError (a ValueError) naming the argument, the place and the value, and TypeError for what is not
        numbers; the state is then as it was before.

        >>> import fastcal as fc
        >>> fc.ScoreAccumulator().update([0, 1], [0.25, 0.75]).update([1], [1.0], sample_weight=[2]).compute()["n"]
        3
        """
        return self._take_batch(self._batch(y_true, y_prob, sample_weight))

    def _batch(self, y_true: Any, y_prob: Any, sample_weight: Any) -> Predictions:
        return predictions(y_true, y_prob, sample_weight=sample_weight, from_logits=self._settings["from_logits"])

    def _take_batch(self, batch: Predictions) -> Self:
        if batch.n_rows:
            with self._changing():
                self._check_columns(batch)
                self._check_room(batch.n_rows)
                if self._lingers:
                    with self._collecting:
                        self._add(batch)
                else:
                    self._columns, self._kept = batch.n_columns, self._with(batch)
        return self

    def _add(self, batch: Predictions) -> None:
        """Add a batch to the workers that are open; what raises leaves them as they were, if it ``goes_back``."""
        self._check_whole()
        if self._n_open + batch.n_rows > MOST_OPEN:
            _ = self._states
        workers = list(self._open)
        for worker in workers if self.goes_back else ():
            worker.save()
        try:
            rows = self._run(batch, workers)
        except BaseException:
            for worker in self._open if self.goes_back else ():
                worker.go_back()
            self._n_open = self._n_open if self.goes_back else HALF
            raise
        self._columns, self._open, self._kept = batch.n_columns, workers, {**self._kept, "rows": rows}
        self._n_open += batch.n_rows

    def _check_whole(self) -> None:
        if self._n_open == HALF:
            raise RuntimeError("an update of this accumulator has failed half way")

    def _with(self, batch: Predictions) -> dict[str, State]:
        """The states, with a batch added."""
        workers: list[Worker] = []
        rows = self._run(batch, workers)
        return self._pooled({**self._kept, "rows": rows}, workers)

    def _run(self, batch: Predictions, workers: list[Worker]) -> State:
        """Run a batch through workers, to which are added those that it takes; returns the counts of all rows."""
        rows, waiting = kernels.rows, list(workers)
        fatal = [rows.N_BAD, rows.N_NAN] if self._settings["nan_policy"] == "raise" else [rows.N_BAD]
        light = all(part.light for part in self._parts.values())

        def worker() -> Worker:
            if waiting:
                waiting[0].go_on(batch)
                return waiting.pop(0)
            workers.append(Worker(batch, self._parts, self._kept, fatal))
            return workers[-1]

        one = engine.thread_count(self._n_threads) == 1
        in_cache = one and not light and any(part.in_cache for part in self._parts.values())
        row_bytes = bytes_per_row(batch, light=light)
        per_chunk = evenly(batch.n_rows, rows_per_chunk(batch, light=light, in_cache=in_cache))
        n_nan = self._check_faults(batch, engine.run(batch.n_rows, row_bytes, per_chunk, worker, self._n_threads))
        return merged(self._kept["rows"], _rows_state(batch.n_rows - n_nan, n_nan))

    def _pooled(self, kept: Mapping[str, State], workers: Sequence[Worker]) -> dict[str, State]:
        """States, with what workers saw."""
        states = dict(kept)
        for name, part in self._parts.items():
            states[name] = part.merge(states[name], part.pooled([worker.states[name] for worker in workers]))
        return states

    def _check_room(self, n: int) -> None:
        if sum(self._row_counts().values()) + n > MAX_COUNT:
            raise ValueError(f"a state holds at most {MAX_COUNT} rows")

    def _check_columns(self, batch: Predictions) -> None:
        if self._columns not in (None, batch.n_columns):
            seen = f"(N, {self._columns})" if self._columns else "(N,)"
            raise DataError("y_prob", (), f"has shape {batch.scores.values.shape}; rows before it were {seen}")

    def _check_faults(self, batch: Predictions, workers: list[Worker]) -> int:
        rows = kernels.rows
        faults = [worker.rows.faults for worker in workers]
        first = min(int(f[rows.FIRST_BAD]) for f in faults)
        if self._settings["nan_policy"] == "raise":
            first = min(first, *(int(f[rows.FIRST_NAN]) for f in faults))
        if first < rows.NONE_YET:
            raise batch.fault(first)
        return sum(int(f[rows.N_NAN]) for f in faults)

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings or classes differ.

        >>> import fastcal as fc
        >>> one, two = fc.ScoreAccumulator().update([1], [0.5]), fc.ScoreAccumulator().update([0], [0.5])
        >>> one.merge(two).compute()["n"]
        2
        """
        self._check_same(other)
        with self._changing():
            if None not in (self._columns, other._columns) and self._columns != other._columns:
                raise ValueError(f"cannot merge: scores have {self._columns} columns here and {other._columns} there")
            self._check_room(sum(other._row_counts().values()))
            if other._columns is not None:
                theirs = other._states
                states = {name: part.merge(self._states[name], theirs[name]) for name, part in self._parts.items()}
                states["rows"] = merged(self._states["rows"], theirs["rows"])
                self._columns, self._states = other._columns, states
        return self

    def compute(self) -> EvaluationReport:
        """All figures of what was seen; those that need rows are NaN before any.

        >>> import fastcal as fc
        >>> fc.ScoreAccumulator().update([0, 1], [0.25, 0.75]).compute()["brier"]
        0.0625
        """
        n_classes = 2 if self._columns == 0 else self._columns
        figures = {**self._row_counts(), "n_classes": n_classes or 0}
        descriptions = {"n": "Rows.", "n_nan": "Rows left out, as NaN.", "n_classes": "Classes."}
        for name, part in self._parts.items():
            view = part.view(self.part_state(name))
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
                return self._figure(part.figures[name](part.view(self.part_state(key))))
        raise KeyError(name)

    def part_state(self, name: str) -> State:
        """What one part has collected."""
        return self._states[name] or self._parts[name].empty(self._columns or 0)

    def _figure(self, value: Any) -> Any:
        if self._settings["nan_policy"] == "propagate" and self._row_counts()["n_nan"]:
            if isinstance(value, float):
                return float("nan")
            if hasattr(value, "undefined"):
                return value.undefined()
        return value

    @property
    def n_nan(self) -> int:
        """Rows that were no distribution."""
        return self._row_counts()["n_nan"]

    def _row_counts(self) -> dict[str, int]:
        return {name: int(array[0]) for name, array in self._kept["rows"].items()}

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version; equal states give equal bytes.

        >>> import fastcal as fc
        >>> one, two = (fc.ScoreAccumulator().update([y], [0.5]) for y in (0, 1))
        >>> (one + two).to_bytes() == (two + one).to_bytes()
        True
        """
        states = {part: {k: v for k, v in state.items() if v.dtype != object} for part, state in self._states.items()}
        arrays = {f"{part}.{name}": array for part, state in states.items() for name, array in state.items()}
        headers = {name: part.header(self._states[name]) for name, part in self._parts.items()}
        told = {name: header for name, header in headers.items() if header is not None}
        settings = {**self._settings, "columns": self._columns, **({"headers": told} if told else {})}
        return pack(type(self).__name__, settings, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a state; raises ValueError for bytes that are no state of this class, damaged or made up.

        >>> import fastcal as fc
        >>> state = fc.ScoreAccumulator().update([0, 1], [0.25, 0.75]).to_bytes()
        >>> fc.ScoreAccumulator.from_bytes(state).update([1], [1.0]).compute()["n"]
        3
        """
        settings, arrays, version = unpack(data, cls.__name__)
        if version == 1:
            settings, arrays = from_version_1(cls.__name__, settings, arrays)
        columns, headers = settings.pop("columns", None), settings.pop("headers", {})
        accumulator = cls._made_with(settings)
        if columns is not None and not (type(columns) is int and 0 <= columns <= MAX_CLASSES):
            raise ValueError(f"not a fastcal state: columns is {columns!r}")
        accumulator._columns = columns
        if not isinstance(headers, dict) or not headers.keys() <= accumulator._parts.keys():
            raise ValueError("not a fastcal state: its headers are none of ours")
        if headers and columns is None:
            raise ValueError("not a fastcal state: headers without rows")
        for name, header in headers.items():
            accumulator._states[name] |= accumulator._parts[name].restored(header)
        accumulator._take(arrays)
        return accumulator

    def _take(self, arrays: State) -> None:
        """Fill an empty accumulator with arrays from outside, once they were found to be a state."""
        for name, array in arrays.items():
            key, _, own = name.partition(".")
            if key not in self._states:
                raise ValueError(f"not a fastcal state: {name!r} is no array of {type(self).__name__}")
            self._states[key][own] = array
            if not _sound(name, array):
                raise ValueError(f"not a fastcal state: {name} does not hold what it should")
        counts = _rows_state(0, 0)
        self._check_shapes("rows", {name: array.shape for name, array in counts.items()}, frozenset())
        if (self._columns is None) != (self._row_counts() == {"n": 0, "n_nan": 0}):
            raise ValueError("not a fastcal state: rows without columns, or columns without rows")
        for name, part in self._parts.items():
            if self._columns is None:
                self._check_shapes(name, {}, frozenset())
                continue
            self._check_shapes(name, part.shapes_of(self._states[name], self._columns), part.optional)
            if part.rows_in(self._states[name]) not in (None, self._row_counts()["n"]):
                raise ValueError(f"not a fastcal state: the counts of {name} contradict each other")

    def _check_shapes(self, part: str, shapes: Mapping[str, tuple[int, ...]], optional: frozenset[str]) -> None:
        found = {name: array.shape for name, array in self._states[part].items() if array.dtype != object}
        if optional and not optional & found.keys():
            shapes = {name: shape for name, shape in shapes.items() if name not in optional}
        for name in sorted({*shapes, *found}):
            if found.get(name) != shapes.get(name):
                there, expected = found.get(name), shapes.get(name)
                raise ValueError(f"not a fastcal state: {part}.{name} has shape {there}, expected {expected}")

    def _copy(self) -> Self:
        new = type(self)(**self._settings, n_threads=self._n_threads)
        new._columns, new._states = self._columns, dict(self._states)  # their arrays are never written to
        return new

    def _n_rows(self) -> int:
        return self._row_counts()["n"]


def _sound(name: str, array: Array) -> bool:
    """Whether an array from outside holds numbers of its kind."""
    if array.ndim == 0 or (name.endswith("_pair") and array.shape[-1] != 2):
        return False
    if name.endswith("_pair"):
        parts = array.view(np.float64)
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(parts).all() and (parts.sum(axis=-1) == parts[..., 0]).all()
        return bool(whole and (abs(parts) < 1e250).all())
    digits = array[..., :-1] >> kernels.exact.LIMB_BITS if name.endswith("_sum") else array * 0
    if name.endswith("keys"):
        return not (array < 0).any()
    signed = name.endswith("signed_sum")
    low = array[..., :-1] if signed else array
    return not ((low < 0).any() or (array > MAX_COUNT).any() or (array < -MAX_COUNT).any() or digits.any())


def _rows_state(n: int, n_nan: int) -> State:
    return {"n": np.array([n], np.int64), "n_nan": np.array([n_nan], np.int64)}
