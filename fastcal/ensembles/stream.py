"""Members that come one after the other and are seen once: what they add up to is kept for all rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import engine
from ..arrays import Array, DataError
from ..rowwise import RowScores
from . import members as doors
from .workers import STATE_BYTES, Extremes, Worker, new_columns, raise_first, sum_of, whole_blocks


class Growing:
    """States of all rows, to which members are added: four numbers a class of a row, however many they are."""

    def __init__(self, first: RowScores, from_logits: bool, n_threads: int | None) -> None:
        self.first = first
        self.from_logits = from_logits
        self.n_threads = n_threads
        self.states = self.worker().states(self.worker().n_states(first.n_rows))
        self.weights: list[float] = []
        self.columns: list[Array] = []

    def worker(self) -> Worker:
        """A thread's scratch."""
        return Worker(self.first.n_classes, self.first.real, self.from_logits)

    def add(self, scores: RowScores, weight: float, m: int) -> None:
        """Take a member's rows, its number being m; raises DataError for one that is no distribution."""
        self.weights.append(weight)
        workers = self.run(scores, np.array([weight], self.first.real), m)
        raise_first([worker.fault for worker in workers])

    def close(self) -> list[Array]:
        """The results."""
        real = self.first.real
        self.columns = new_columns(self.first.n_rows, real)
        self.run(None, np.empty(0, real))
        return self.columns

    def run(self, scores: RowScores | None, weights: Array, m: int = 0) -> list[_Chunks]:
        """Add a member to the states, or close them."""
        row_bytes = 4 * self.first.n_classes * self.first.real.itemsize
        rows = max(whole_blocks(STATE_BYTES // row_bytes), self.worker().stride)  # a state is one chunk's
        return engine.run(self.first.n_rows, row_bytes, rows, lambda: _Chunks(self, scores, weights, m), self.n_threads)


class _Chunks:
    """A worker of the engine that takes rows of one member, or of none to close the states."""

    def __init__(self, growing: Growing, scores: RowScores | None, weights: Array, m: int) -> None:
        self.growing, self.scores, self.weights, self.m = growing, scores, weights, m
        self.of_all = sum_of(np.array(growing.weights, growing.first.real))
        self.worker = growing.worker()
        self.fault: doors.Fault | None = None

    def __call__(self, start: int, stop: int) -> None:
        first, scores = self.growing.first, self.scores
        if scores is None:
            rows = np.empty((0, stop - start, first.n_classes), first.taken_as)
            rows.flags.writeable = False
        else:
            rows = doors.rows_of(scores, start, stop)[None]
        columns = [column[start:stop] for column in self.growing.columns or new_columns(0, first.real)]
        one, other = self.growing.states
        at = slice(self.worker.n_states(start), self.worker.n_states(stop))
        extremes = Extremes(scores or first)
        form = self.weights, self.of_all, (one[at], other[at]), extremes, columns
        opens = len(self.growing.weights) == 1 and scores is not None
        self.worker.add(rows, (0, stop - start), *form, opens=opens, closes=scores is None)
        if scores is not None and extremes.are_wrong() and self.fault is None:
            self.fault = doors.first_fault(scores, self.m, start, stop)


def of_stream(
    members: Iterator[Any], from_logits: bool, weights: Array | None, dtype: str | None, n_threads: int | None
) -> tuple[list[Array], tuple[int, ...]]:
    """Columns of results and the shape of the rows."""
    head: RowScores | None = None
    growing: Growing | None = None
    n = 0
    for n, member in enumerate(members, 1):
        if doors.is_path(member):
            raise TypeError(f"members yields a path, {member!r:.80}; give files as a list of them")
        scores = doors.member_scores(member, n - 1, dtype)
        head = head or scores
        doors.same_shape(scores, head)
        if weights is not None and n > len(weights):
            raise DataError("weights", (), f"has {len(weights)} entries, but members yields more arrays")
        weight = 1.0 if weights is None else float(weights[n - 1])
        if weight > 0:
            growing = growing or Growing(scores, from_logits, n_threads)
            growing.add(scores, weight, n - 1)
    if head is None:
        raise DataError(doors.ARGUMENT, (), f"yields nothing; {doors.AT_LEAST_ONE}")
    if weights is not None and n < len(weights):
        raise DataError("weights", (), f"has {len(weights)} entries, but members yields {n} arrays")
    assert growing is not None  # some weight is positive
    return growing.close(), head.lead
