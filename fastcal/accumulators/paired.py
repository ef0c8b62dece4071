"""Two models of the same rows, in one pass: the figures of each, and what their differences' intervals are made of."""

from __future__ import annotations

import re
from typing import Any, Self

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import Array, DataError, Predictions, array_of, predictions
from .base import Part
from .binned import Binned
from .bins import Binning
from .paired_report import Comparison, Pair, differences
from .reliability import ReliabilityPart
from .rows import Rows, bytes_per_row, rows_per_chunk
from .scores import NO_WEIGHTS, ScorePart, Sums
from .state import FLOAT_BITS, State, integer, merged, ratio

SIDES = ("prob_a", "prob_b")
# Of each row's difference d: sums without weights, and with them, as the closed forms take them.
SCORES = ("accuracy", "nll", "brier")
PLAIN = ("", "square")
WEIGHTED = ("weighted", "weighted_square", "weighted2", "weighted2_square")
LEAVES_OUT = re.compile(r"nan_policy='omit' leaves (such rows|it) out")
ONLY_A, ONLY_B, INFINITE_A, INFINITE_B = range(4)


class _Side:
    """One model's rows in a thread of their own, and what its parts have seen."""

    def __init__(self, batch: Predictions, parts: dict[str, Part]) -> None:
        self.parts = parts
        self.rows = Rows(batch)
        self.states = {name: part.start(batch.n_columns) for name, part in parts.items()}

    def add(self) -> None:
        for name, part in self.parts.items():
            part.add(self.states[name], self.rows)


class _Worker:
    """What one thread works on: both models' rows of a chunk."""

    def __init__(self, batches: list[Predictions], parts: dict[str, Part], binning: Binning) -> None:
        self.sides = [_Side(batch, parts) for batch in batches]
        self.state = _empty(binning.size)
        self.arguments = binning.lookup(np.dtype(np.float64)).arguments[:2]

    def __call__(self, start: int, stop: int) -> bool:
        """Add a chunk; True if it holds a fault: no later chunk can hold the first."""
        names = kernels.rows
        for side in self.sides:
            side.rows.fill(start, stop)
        if any(side.rows.faults[[names.N_BAD, names.N_NAN]].any() for side in self.sides):
            return True
        for side in self.sides:
            side.add()
        a, b = (side.rows for side in self.sides)
        weights = NO_WEIGHTS if a.weights is None else a.weights
        p, q = (_wide(rows.table[names.CONFIDENCE]) for rows in (a, b))
        outcomes = [rows.hits[names.OUTCOME] for rows in (a, b)]
        cells = self.state["cells_pair"].view(np.float64)
        kernels.paired.add(p, outcomes[0], q, outcomes[1], weights, *self.arguments, cells)
        hits = [rows.hits[names.CORRECT] for rows in (a, b)]
        self.state["counts"][ONLY_A] += np.count_nonzero(hits[0] > hits[1])
        self.state["counts"][ONLY_B] += np.count_nonzero(hits[1] > hits[0])
        self._add("accuracy", _wide(hits[0]), _wide(hits[1]), weights)
        for name, column in (("nll", names.NLL), ("brier", names.BRIER)):
            self._add(name, _wide(a.table[column]), _wide(b.table[column]), weights)
        return False

    def _add(self, name: str, mine: Array, theirs: Array, weights: Array) -> None:
        """Sums of differences; rows that both lose infinitely differ by 0, one that one of them does is counted."""
        infinite = np.isinf(mine), np.isinf(theirs)
        if name == "nll":
            weighed = weights > 0 if weights.size else True
            self.state["counts"][INFINITE_A] += np.count_nonzero(infinite[0] & ~infinite[1] & weighed)
            self.state["counts"][INFINITE_B] += np.count_nonzero(infinite[1] & ~infinite[0] & weighed)
        with np.errstate(invalid="ignore"):
            apart = np.where(infinite[0] | infinite[1], 0.0, mine - theirs)
        square = apart * apart
        factors = {"": NO_WEIGHTS} if not weights.size else {"weighted": weights, "weighted2": weights * weights}
        for prefix, factor in factors.items():
            for what, values in (("", apart), ("square", square)):
                key = "_".join(part for part in (name, prefix, what, "sum") if part)
                for array in (values, factor):
                    array.flags.writeable = False  # one type of array, one compilation
                kernels.exact.add(values, factor, self.state[key])


class PairedAccumulator:
    """What two models make of the same rows, in a state of fixed size: update, merge, compute.

    Any split of the rows over updates, threads and merges gives the same bits.
    """

    def __init__(
        self,
        *,
        n_bins: int | None = None,
        from_logits: bool | tuple[bool, bool] = False,
        n_threads: int | None = None,
    ) -> None:
        self.from_logits = _both(from_logits)
        self._binning = Binning(n_bins)
        self._parts: dict[str, Part] = {
            "scores": ScorePart(),
            "reliability": ReliabilityPart(self._binning),
        }
        if n_threads is not None:
            engine.thread_count(n_threads)
        self._n_threads = n_threads
        self._columns: int | None = None  # K of (N, K) scores, 0 for (N,), None before any row
        self._n = 0
        self._sides: list[dict[str, State]] = [{}, {}]
        self._pairs: State = {}

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self._columns is None

    def empty(self) -> PairedAccumulator:
        """Another one of the same settings that has seen nothing."""
        return PairedAccumulator(n_bins=self._binning.n_bins, from_logits=self.from_logits, n_threads=self._n_threads)

    def update(self, y_true: Any, prob_a: Any, prob_b: Any, *, sample_weight: Any = None) -> Self:
        """Add rows; returns self. Raises as :meth:`Evaluation.update` does; the state is then as it was before."""
        batches = _batches(y_true, prob_a, prob_b, sample_weight, self.from_logits)
        first = batches[0]
        if not first.n_rows:
            return self
        if self._columns not in (None, first.n_columns):
            seen = f"(N, {self._columns})" if self._columns else "(N,)"
            raise DataError("prob_a", (), f"has shape {first.scores.values.shape}; rows before it were {seen}")
        workers = engine.run(
            first.n_rows,
            sum(map(bytes_per_row, batches)),
            min(map(rows_per_chunk, batches)),
            lambda: _Worker(batches, self._parts, self._binning),
            self._n_threads,
        )
        _check_faults(batches, workers)
        sides = []
        for number, so_far in enumerate(self._sides):
            states = [worker.sides[number].states for worker in workers]
            seen_now = {name: part.pooled([one[name] for one in states]) for name, part in self._parts.items()}
            sides.append(_merged(self._parts, so_far, seen_now))
        pairs = self._pairs
        for worker in workers:
            pairs = merged(pairs, worker.state)
        self._columns, self._n, self._sides, self._pairs = first.n_columns, self._n + first.n_rows, sides, pairs
        return self

    def merge(self, other: PairedAccumulator) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings or classes differ."""
        mine, theirs = ((one.from_logits, one._binning.n_bins) for one in (self, other))
        if mine != theirs:
            raise ValueError(f"cannot merge: from_logits and n_bins are {mine} here and {theirs} there")
        if None not in (self._columns, other._columns) and self._columns != other._columns:
            raise ValueError(f"cannot merge: scores have {self._columns} columns here and {other._columns} there")
        if other._columns is not None:
            sides = [_merged(self._parts, left, right) for left, right in zip(self._sides, other._sides, strict=True)]
            self._pairs = merged(self._pairs, other._pairs)
            self._columns, self._n, self._sides = other._columns, self._n + other._n, sides
        return self

    def compute(self, level: float = 0.95) -> Comparison:
        """The differences and their intervals. Raises DataError for no rows: their means do not exist."""
        if self._columns is None:
            raise DataError("y_true", (), "is empty")
        scores = [Sums(side["scores"]) for side in self._sides]
        bins: list[Binned] = [self._parts["reliability"].view(side["reliability"]).sums for side in self._sides]
        unit = 1 << FLOAT_BITS
        weight = scores[0].weight
        pairs = {name: self._pair(name, weight) for name in SCORES}
        figures = [{name: make(one) for name, make in self._parts["scores"].figures.items()} for one in scores]
        cells = self._pairs["cells_pair"].view(np.float64).sum(axis=-1)
        counts = self._pairs["counts"].tolist()
        infinite = [counts[INFINITE_A], counts[INFINITE_B]]
        found = differences(figures, bins, np.moveaxis(cells, -1, 0), pairs, infinite, level)
        return Comparison(
            tuple(found),
            n=self._n,
            n_classes=self._columns or 2,
            weight=ratio(weight, unit),
            weight2=float(bins[0].weight2.sum()),
            level=float(level),
            only_a_correct=counts[ONLY_A],
            only_b_correct=counts[ONLY_B],
        )

    def _pair(self, name: str, weight: int) -> Pair:
        """Means and sums of one score's differences; those of rows without a weight count as of weight 1."""

        def total(*ends: str) -> int:
            keys = ("_".join(part for part in (name, end, "sum") if part) for end in ends)
            return sum(integer(self._pairs[key][0]) for key in keys)

        unit = 1 << FLOAT_BITS
        return Pair(
            mean=ratio(total("", "weighted"), weight),
            mean_square=ratio(total("square", "weighted_square"), weight),
            sum2=ratio(total("", "weighted2"), unit),
            square2=ratio(total("square", "weighted2_square"), unit),
        )


def _both(from_logits: Any) -> tuple[bool, bool]:
    """Of either side; raises ValueError for what says neither."""
    both = from_logits if isinstance(from_logits, tuple) else (from_logits, from_logits)
    if len(both) != 2 or not all(isinstance(one, bool | np.bool_) for one in both):
        raise ValueError(f"from_logits is {from_logits!r}; expected True, False, or one of these for each model")
    return bool(both[0]), bool(both[1])


def _batches(y_true: Any, prob_a: Any, prob_b: Any, weights: Any, from_logits: tuple[bool, bool]) -> list[Predictions]:
    """Both models' rows, checked for shape and dtype."""
    scores = [array_of(name, given) for name, given in zip(SIDES, (prob_a, prob_b), strict=True)]
    if scores[0].shape != scores[1].shape:
        raise DataError("prob_b", (), f"has shape {scores[1].shape}, expected that of prob_a, {scores[0].shape}")
    y_true = array_of("y_true", y_true)
    weights = None if weights is None else array_of("sample_weight", weights)
    found = []
    for name, given, logits in zip(SIDES, scores, from_logits, strict=True):
        try:
            found.append(predictions(y_true, given, sample_weight=weights, from_logits=logits))
        except DataError as error:
            raise _renamed(error, name) from error
    return found


def _renamed(error: DataError, name: str) -> DataError:
    argument = name if error.argument == "y_prob" else error.argument
    problem = LEAVES_OUT.sub("a comparison leaves no row out", error.problem.replace("y_prob", name))
    return DataError(argument, error.index, problem)


def _check_faults(batches: list[Predictions], workers: list[_Worker]) -> None:
    """Raise for the first row at which either model's is none."""
    names = kernels.rows
    first = [
        min(int(worker.sides[k].rows.faults[[names.FIRST_BAD, names.FIRST_NAN]].min()) for worker in workers)
        for k in range(2)
    ]
    if min(first) < names.NONE_YET:
        side = first.index(min(first))
        error = batches[side].fault(first[side])
        raise _renamed(error, SIDES[side])


def _merged(parts: dict[str, Part], left: dict[str, State], right: dict[str, State]) -> dict[str, State]:
    return {name: part.merge(left.get(name, {}), right.get(name, {})) for name, part in parts.items()}


def _wide(column: Array) -> Array:
    """In float64, read-only: one type of array, one compilation."""
    wide = column.astype(np.float64)
    wide.flags.writeable = False
    return wide


def _empty(n_bins: int) -> State:
    ends = (*PLAIN, *WEIGHTED)
    keys = ["_".join(part for part in (name, end, "sum") if part) for name in SCORES for end in ends]
    sums = {key: np.zeros((1, kernels.exact.N_LIMBS), np.int64) for key in keys}
    cells = np.zeros((n_bins, n_bins, kernels.paired.SUMS, 2), np.int64)
    return {"counts": np.zeros(4, np.int64), "cells_pair": cells, **sums}
