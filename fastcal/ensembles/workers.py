"""What one thread does with rows of the members: its scratch, and the kernel that it calls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcal import kernels as typed_kernels

from .. import memory
from ..arrays import Array, DataError
from ..rowwise import RowScores
from .members import ARGUMENT, Fault, Members, rows_of, tolerances

kernels: Any = typed_kernels  # unpacked arguments cannot be counted

States = tuple[Array, Array]

# Bytes of scores that a chunk of rows takes; of states, where members are taken one after the other.
CHUNK_BYTES = 1 << 22
STATE_BYTES = 1 << 19
# Blocks of narrow rows whose states are open together, of members in one piece: longer runs of each member's memory
# (a twelfth less time than one by one).
AT_ONCE = 8


def new_columns(n_rows: int, real: np.dtype[Any]) -> list[Array]:
    """Room for the results: the predictions, and six columns of floats."""
    return [memory.empty((n_rows,), dtype) for dtype in (np.dtype(np.int64), *[real] * 6)]


def whole_blocks(n_rows: int) -> int:
    """At most so many rows: whole blocks of them, or what is less than one."""
    block = int(kernels.rows.BLOCK)
    return max(n_rows // block * block, min(max(n_rows, 1), block))


def rows_per_chunk(given: Members, state_bytes: int) -> int:
    """Rows that a call takes; where each has a state of so many bytes, they stay in a cache."""
    return whole_blocks(STATE_BYTES // state_bytes if given.whole is None else CHUNK_BYTES // given.row_bytes)


def raise_first(faults: list[Fault | None]) -> None:
    """Raise the error of the first row that has one."""
    found = [fault for fault in faults if fault is not None]
    if found:
        raise min(found, key=lambda fault: fault[0])[1]


class Extremes:
    """How far probabilities have been outside [0, 1], and sums of rows off 1."""

    def __init__(self, scores: RowScores) -> None:
        self.limits = np.array(tolerances(scores))
        self.seen = np.zeros(2)

    def are_wrong(self) -> bool:
        """Whether some row is an error."""
        return bool((self.seen > self.limits).any())


def sum_of(weights: Array) -> Any:
    """The sum of weights in float64: of those of float32, 1e-6 beside 63 others of 1 would be lost in it."""
    return np.float64(math.fsum(weights.tolist()))


class Scratch:
    """What one thread's kernels, of narrow or of wide rows, work in."""

    def __init__(self, n_classes: int, real: np.dtype[Any]) -> None:
        rows, places = kernels.rows, kernels.ensemble_lines
        self.real = real
        self.n_classes = n_classes
        self.is_wide = n_classes > rows.NARROW
        self.stride = 1 if self.is_wide else rows.BLOCK  # rows of a state
        self.width = rows.LANES if self.is_wide else rows.BLOCK  # numbers of a line
        pair = 2 * rows.LANES
        size = -(-n_classes // pair) * pair if self.is_wide else (n_classes + 1) // 2 * 2 * rows.BLOCK
        tiles = -(-n_classes // 16) * 16 * rows.BLOCK
        self.size = size  # numbers of all lines
        self.lines = rows.scratch(size if self.is_wide else max(size, tiles), real)
        self.lanes = rows.scratch(places.LANES_SIZE, real)
        if self.is_wide:
            self.lanes[places.OFFSET : places.OFFSET + rows.LANES] = np.arange(rows.LANES)
        self.lowest = real.type(rows.LOWEST_EXPONENT[real.type])

    def flat(self, members: Array, rows: tuple[int, int]) -> tuple[Any, ...]:
        """Members (M, N, K) and ``rows`` of them as kernels take them, which look at no bounds."""
        if members.shape[2] != self.n_classes or members.shape[1] < rows[1]:
            raise DataError(
                ARGUMENT, (), f"has rows {members.shape[1:]} where ({rows[1]}, {self.n_classes}) were announced"
            )
        return members.reshape(-1), *members.shape, *rows

    def n_states(self, n_rows: int) -> int:
        """How many states so many rows take, if each has its own."""
        return int(-(-n_rows // self.stride))

    def arrays(self, n: int, *sizes: int) -> tuple[Array, Array]:
        """New states: n times so many zeros."""
        one, other = (kernels.rows.scratch(n * size, self.real).reshape(n, size) for size in sizes)
        return one, other


class Worker(Scratch):
    """Calls the kernel of all measures."""

    def __init__(self, n_classes: int, real: np.dtype[Any], from_logits: bool) -> None:
        super().__init__(n_classes, real)
        self.from_logits = from_logits
        self.kernel = kernels.ensemble.wide if self.is_wide else kernels.ensemble.narrow

    def states(self, n: int) -> States:
        """Four lines a class, and a few numbers."""
        return self.arrays(n, 4 * self.size, kernels.ensemble_steps.NUMBERS * self.stride + 2 * self.width)

    def add(
        self,
        members: Array,
        rows: tuple[int, int],
        weights: Array,
        of_all: Any,
        states: States,
        extremes: Extremes,
        columns: list[Array],
        *,
        opens: bool,
        closes: bool,
    ) -> None:
        """Take rows of members (M, N, K) into states, or on to ``columns`` of results."""
        options = self.from_logits, weights, of_all, opens, closes, self.lowest
        scratch = self.lines, self.lanes, *states, extremes.seen
        self.kernel(*self.flat(members, rows), *options, *scratch, *columns)


class Whole:
    """A worker of the engine: members that lie in one piece, in one call, which take turns in a few states."""

    def __init__(self, given: Members, from_logits: bool, weights: Array, columns: list[Array]) -> None:
        real = columns[1].dtype
        self.given, self.columns = given, columns
        self.weights = weights.astype(real)
        self.of_all = sum_of(self.weights)
        self.worker = Worker(given.n_classes, real, from_logits)
        self.states = self.worker.states(1 if self.worker.is_wide else AT_ONCE)
        self.fault: Fault | None = None

    def __call__(self, start: int, stop: int) -> None:
        """Work on a chunk."""
        assert self.given.whole is not None
        columns = [column[start:stop] for column in self.columns]
        extremes = Extremes(self.given.scores[0])
        form = self.weights, self.of_all, self.states, extremes, columns
        self.worker.add(self.given.whole, (start, stop), *form, opens=True, closes=True)
        self.judge([extremes], start, stop)

    def judge(self, seen: list[Extremes], start: int, stop: int) -> None:
        """Keep the first row that is an error."""
        if self.fault is None and any(extremes.are_wrong() for extremes in seen):
            self.fault = self.given.fault(start, stop)


class Apart(Whole):
    """The same of members that lie anywhere: a call a member, and a state a row, or a block of rows."""

    def __call__(self, start: int, stop: int) -> None:
        """Work on a chunk."""
        columns = [column[start:stop] for column in self.columns]
        n = self.worker.n_states(stop - start)
        if len(self.states[0]) != n:
            self.states = self.worker.states(n)
        last = len(self.given.scores) - 1
        seen = []
        for m, scores in enumerate(self.given.scores):
            seen.append(Extremes(scores))
            form = self.weights[m : m + 1], self.of_all, self.states, seen[-1], columns
            rows = rows_of(scores, start, stop)[None]
            self.worker.add(rows, (0, stop - start), *form, opens=m == 0, closes=m == last)
        self.judge(seen, start, stop)
