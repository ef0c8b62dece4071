"""What one thread does with a chunk of rows: its scratch, and the kernels that it calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fastcal import kernels as typed_kernels

from ..arrays import Array
from ..rowwise import Box, RowScores

# A result larger than this is stored past the caches, which could not hold it until somebody reads it.
STREAMED_BYTES = 1 << 25

kernels: Any = typed_kernels  # unpacked arguments cannot be counted


def tolerances(scores: RowScores) -> tuple[float, float]:
    """How far a probability may lie outside [0, 1], and a row's sum off 1, and still count as rounding."""
    return 1e-4, 1e-2 if scores.taken_as.kind != "f" else 1e-3


class Worker(ABC):
    """Runs a pair of kernels, for narrow and for wide rows, on boxes of rows; one thread's scratch."""

    def __init__(self, scores: RowScores, kernel_arguments: Any, target: Any) -> None:
        rows = kernels.rows
        self.scores = scores
        self.arguments = kernel_arguments
        self.target = target
        self.is_wide = scores.n_classes > rows.NARROW
        n_lines = 8 * rows.LANES if self.is_wide else (scores.n_classes + 15) * rows.BLOCK
        self.lines = _with_view(rows.scratch(n_lines, scores.real))
        self.block = rows.empty_block(scores.real, wide=self.is_wide)
        self.allocate()

    def allocate(self) -> None:  # noqa: B027 - some need none
        """More scratch."""

    def floats(self) -> tuple[Array, Array]:
        """Where wide rows of half floats are widened to."""
        n = self.scores.n_classes if self.is_wide and self.scores.taken_as.kind != "f" else 0
        return _with_view(kernels.rows.scratch(n, self.scores.real))

    def terms(self) -> Array:
        """One number a class, with room for what fills a row up."""
        n = self.scores.n_classes + 8 * kernels.rows.LANES if self.is_wide else self.lines[0].size
        scratch: Array = kernels.rows.scratch(n, self.scores.real)
        return scratch

    def __call__(self, box: Box) -> None:
        """Work on a box."""
        self.work(self.scores.rows(box), box)

    @abstractmethod
    def work(self, rows: Array, box: Box) -> None:
        """Work on the rows of a box."""


def _with_view(scratch: Array) -> tuple[Array, Array]:
    """Scratch and a read-only view of it, which is of the same type as rows are."""
    view = scratch.view()
    view.flags.writeable = False
    return scratch, view


class Filling(Worker):
    """Fills (outer, K, inner) arrays."""

    def work(self, rows: Array, box: Box) -> None:
        """Work on the rows of a box."""
        part = self.target[box]
        direct = part.flags.c_contiguous and part.flags.aligned and part.shape[2] == 1
        filled = part if direct else np.empty(rows.shape, self.scores.result)
        flat = filled.reshape(-1).view(self.scores.taken_as)
        self.fill(rows, flat, direct and self.target.nbytes > STREAMED_BYTES)
        if not direct:
            part[...] = filled.reshape(part.shape[0], part.shape[2], -1).transpose(0, 2, 1)

    @abstractmethod
    def fill(self, rows: Array, flat: Array, streaming: bool) -> None:
        """Results of rows (n, K) into ``flat`` (n * K,)."""


class Softmax(Filling):
    """softmax into the target."""

    def allocate(self) -> None:
        """Scratch of this worker's own."""
        scratch = *self.lines, self.terms(), self.block
        self.scratch = (*self.floats(), *scratch) if self.is_wide else scratch

    def fill(self, rows: Array, flat: Array, streaming: bool) -> None:
        """Results of rows (n, K) into ``flat`` (n * K,)."""
        if rows.shape[1] == 2:
            kernels.two_classes.softmax(rows.reshape(-1), *self.arguments, flat.dtype.type(0), flat)
            return
        offset = flat.ctypes.data % kernels.intrinsics.LINE // flat.itemsize if streaming else 0
        kernel = kernels.normalise.wide if self.is_wide else kernels.normalise.narrow
        kernel(rows, *self.arguments, *self.scratch, offset, streaming, flat)


class Sums(Worker):
    """Has the sums of a row, see kernels/gather.py, in ``self.sums``."""

    def allocate(self) -> None:
        """Scratch of this worker's own."""
        self.widened = self.floats()
        self.empty = kernels.rows.empty_block(self.scores.real, wide=False)
        self.sums = np.empty((0, self.empty.size), self.scores.real)

    def gather(self, rows: Array) -> None:
        """Sums of rows (n, K)."""
        n_blocks = -(-len(rows) // kernels.rows.BLOCK)
        if len(self.sums) != n_blocks:
            self.sums = kernels.rows.scratch(n_blocks * self.empty.size, self.scores.real).reshape(n_blocks, -1)
        self.sums[...] = self.empty
        if self.is_wide:
            lanes = *self.widened, *self.lines, self.block
            kernels.gather.wide(rows, True, None, True, *self.arguments, *lanes, self.sums)
        else:
            kernels.gather.narrow(rows, True, None, *self.arguments, *self.lines, self.sums)


class LogSoftmax(Sums, Filling):
    """log softmax into the target."""

    def fill(self, rows: Array, flat: Array, streaming: bool) -> None:
        """Results of rows (n, K) into ``flat`` (n * K,)."""
        self.gather(rows)
        kernels.normalise.logs(rows, self.arguments[0], self.sums, flat)


class Summary(Sums):
    """The columns of softmax_summary, each (outer, inner), into the target."""

    def work(self, rows: Array, box: Box) -> None:
        """Work on the rows of a box."""
        columns = [column[box[0], box[2]] for column in self.target]
        flat = [c.reshape(-1) if c.flags.c_contiguous else np.empty(c.size, c.dtype) for c in columns]
        if self.scores.n_classes == 2:
            kernels.two_classes.summary(rows.reshape(-1), *self.arguments, *flat)
        else:
            self.gather(rows)
            kernels.summary.write(rows, *self.arguments, self.sums, *flat)
        for column, values in zip(columns, flat, strict=True):
            if not column.flags.c_contiguous:
                column[...] = values.reshape(column.shape)


class Entropy(Worker):
    """``target`` (outer, inner); ``bad`` is the first row that is no distribution."""

    def __init__(self, scores: RowScores, unit: float, target: Array) -> None:
        super().__init__(scores, (scores.real.type(unit), *tolerances(scores)), target)
        self.bad: int | None = None

    def allocate(self) -> None:
        """Scratch of this worker's own."""
        self.values = self.terms()
        self.widened = self.floats()

    def work(self, rows: Array, box: Box) -> None:
        """Work on the rows of a box."""
        faults = np.zeros(kernels.rows.N_FAULTS, np.int64)
        faults[kernels.rows.FIRST_BAD] = kernels.rows.NONE_YET
        out = np.empty(len(rows), self.scores.real)
        end = self.values, self.block, faults, out
        if self.is_wide:
            kernels.entropy.wide(rows, *self.arguments, *self.widened, *self.lines, *end)
        else:
            kernels.entropy.narrow(rows, *self.arguments, *self.lines, *end)
        part = self.target[box[0], box[2]]
        part[...] = out.reshape(part.shape)
        if faults[kernels.rows.N_BAD] and self.bad is None:
            outer, inner = divmod(int(faults[kernels.rows.FIRST_BAD]), part.shape[1])
            self.bad = (box[0].start + outer) * self.target.shape[1] + (box[2].start or 0) + inner
