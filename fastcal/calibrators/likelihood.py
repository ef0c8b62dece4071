"""The mean negative log-likelihood of a linear map of logits, its gradient, and its curvature on a part of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcal import kernels as typed_kernels

from ..arrays import Array
from .forms import Form
from .rows import ArrayRows, Block, Rows, rows_per_block, table

kernels: Any = typed_kernels  # unpacked arguments cannot be counted

MOST_DENSE = 512  # parameters whose Hessian is taken whole
MOST_BLOCKS = 200  # classes that each have a block of it, where it is too large
WORK = 1 << 30  # products that a Hessian may take
FEWEST, MOST = 4096, 1 << 15  # rows of which curvature is taken
BLOCKS_A_SUM = 8  # a gradient may be as large as a block


def padded(n: int, to: int) -> int:
    """The next multiple."""
    return -(-n // to) * to


def scratch(n_classes: int, dtype: Any) -> tuple[Array, Array, Array]:
    """What kernels work on: lines, u, few."""
    size = (n_classes + 16) * kernels.rows.BLOCK
    dtype = np.dtype(dtype)
    new = kernels.rows.scratch
    return new(size, dtype), new(size, dtype), new(kernels.linear.FEW, dtype)


class Likelihood:
    """The mean NLL of rows as a function of parameters (W, b), (K, K + 1), or (w, b), (2, K), flattened.

    ``share``: what a row of weight 1 counts; ``free``: 0 for parameters that stay; ``penalties``: what half the square
    of each parameter costs.
    """

    def __init__(
        self, rows: Rows, share: float, free: Array, penalties: Array, normalised: bool, n_threads: int | None
    ) -> None:
        self.rows = rows
        self.share = share
        self.free = free
        self.penalties = penalties
        self.normalised = normalised
        self.n_threads = n_threads
        self.full = free.shape[0] == rows.n_classes and free.shape[1] == rows.n_classes + 1
        self.dense = free.size <= MOST_DENSE
        self._idle: list[dict[str, Any]] = []  # scratch that no thread works on
        self._last: tuple[Array, float, int] | None = None

    # --- the objective ----------------------------------------------------------------------------------------------

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """The mean NLL with its penalty, and the gradient."""
        k = self.rows.n_classes
        sums = self.total(self._sum_matrix, parameters) if self.full else self.total(self.sum_vector, parameters, False)
        self._last = parameters, float(sums[0]), int(sums[1])
        gradient = np.empty(self.free.shape)
        if self.full:
            gradient[:, k] = sums[2 : 2 + k]
            gradient[:, :k] = sums[2 + k :].reshape(k, k)
        else:
            gradient[:] = sums[2 : 2 + 2 * k].reshape(2, k)
        table_of = parameters.reshape(self.free.shape)
        value = float(sums[0]) + 0.5 * float((self.penalties * table_of * table_of).sum())
        gradient += self.penalties * table_of
        return value, (gradient * self.free).ravel()

    def figures(self, parameters: Array) -> tuple[float, int]:
        """The mean NLL, and how many rows have not more than half of the probability on their label."""
        if self._last is None or not np.array_equal(self._last[0], parameters):
            self(parameters)
        assert self._last is not None
        return self._last[1:]

    def total(self, add: Callable[..., None], parameters: Array, *given: Any) -> Array:
        """What ``sum_vector`` or the matrix's twin adds up at these parameters."""
        k = self.rows.n_classes
        size = 2 + k + k * k if self.full else 2 + 5 * k
        return self.sum(size, add, self.maps(parameters), *given)

    def sum(self, size: int, add: Callable[..., None], *given: Any) -> Array:
        """The sum over blocks of what ``add(scratch, block, into, ...)`` puts into zeros."""

        def make() -> Callable[[Block, Array], None]:
            def work(block: Block, into: Array) -> None:
                try:
                    one = self._idle.pop()
                except IndexError:
                    one = self._new()
                add(one, *self._taken(one, block), into, *given)
                self._idle.append(one)

            return work

        return self.rows.total(size, make, self.n_threads, BLOCKS_A_SUM)

    def maps(self, parameters: Array) -> tuple[Array, Array]:
        """Weights, flat and padded where they are a matrix, and biases, as kernels take them."""
        k = self.rows.n_classes
        if not self.full:
            return parameters[:k].copy(), parameters[k:].copy()
        weight = np.zeros((padded(k, kernels.intrinsics.TILE_ROWS), k))
        weight[:k] = parameters.reshape(k, k + 1)[:, :k]
        return weight.ravel(), parameters.reshape(k, k + 1)[:, k].copy()

    def _new(self) -> dict[str, Any]:
        """One thread's scratch."""
        k, columns = self.rows.n_classes, self.rows.n_columns
        rows, block = rows_per_block(columns), kernels.rows.BLOCK
        new, f8 = kernels.rows.scratch, np.dtype(np.float64)
        ones = np.ones(rows)
        ones.flags.writeable = False
        scores = new(rows * columns + 64, f8)
        made = {"scores": scores, "ones": ones, "common": scratch(k, f8), "lanes": new(3 * k * 16, f8)}
        if self.full:
            tall, wide = padded(k, kernels.intrinsics.TILE_ROWS), padded(k, 8)
            made |= {"rows": new(block * (k + 8), f8), "g": new(tall * wide, f8)}
        return made

    def _taken(self, one: dict[str, Any], block: Block) -> tuple[Array, Array, Array]:
        """Scores in float64, labels and weights of a block."""
        n, columns = block.scores.shape
        scores = one["scores"][: n * columns].reshape(n, columns)
        scores[...] = block.scores
        weights = one["ones"][:n] if block.weights is None else block.weights.view()
        weights.flags.writeable = False
        labels = block.labels.view()
        labels.flags.writeable = False
        return scores, labels, weights

    def sum_vector(
        self, one: dict[str, Any], scores: Array, labels: Array, weights: Array, into: Array, maps: Any, curved: bool
    ) -> None:
        """Add a block to NLL, gradient or curvatures of a weight and a bias a class."""
        lines, u, few = one["common"]
        kernels.linear.vector_sums(
            scores, labels, weights, self.share, *maps, curved, lines, u, few, one["lanes"], into
        )

    def _sum_matrix(
        self, one: dict[str, Any], scores: Array, labels: Array, weights: Array, into: Array, maps: Any
    ) -> None:
        lines, u, few = one["common"]
        kernels.linear.matrix_sums(
            scores,
            one["scores"],
            labels,
            weights,
            self.share,
            *maps,
            self.normalised,
            lines,
            one["rows"],
            u,
            few,
            one["lanes"],
            one["g"],
            into,
        )

    # --- a part of the rows -----------------------------------------------------------------------------------------

    def sampled(self) -> Likelihood:
        """The same of so many evenly spaced rows as their curvature is worth, and of these as they are mapped."""
        most = self._most()
        step = -(-self.rows.n_rows // most)
        while any(step % i == 0 for i in range(2, math.isqrt(step) + 1)):  # labels may come in turns
            step += 1
        taken: dict[int, tuple[Array, Array, Array | None]] = {}

        def make() -> Callable[[Block, Array], None]:
            def take(block: Block, _: Array) -> None:
                start = -block.first_row % step
                weights = None if block.weights is None else block.weights[start::step].copy()
                taken[block.first_row] = block.scores[start::step].copy(), block.labels[start::step].copy(), weights

            return take

        self.rows.total(1, make, self.n_threads)
        parts = [taken[first] for first in sorted(taken)]
        scores = np.concatenate([part[0] for part in parts])
        labels = np.concatenate([part[1] for part in parts])
        weights = None if parts[0][2] is None else np.concatenate([part[2] for part in parts])
        total = float(len(labels) if weights is None else weights.sum())
        if total == 0:
            weights, total = None, float(len(labels))
        if self.rows.binary:
            scores = np.hstack([np.zeros_like(scores), scores])
        if self.normalised:
            given, scores = scores, np.empty(scores.shape)
            given.flags.writeable = False
            kernels.score_forms.log_softmax(given, scores)
        rows = ArrayRows(table(scores, labels, weights, None), Form("logits", "logits"))
        rows.checked = True
        return Likelihood(rows, 1.0 / total, self.free, self.penalties, False, self.n_threads)

    def _most(self) -> int:
        """How many rows curvature is taken of."""
        k = self.rows.n_classes
        if self.dense:
            return min(max(WORK // self.free.size**2, FEWEST), MOST)
        if self.full and k <= MOST_BLOCKS:
            return min(max(20 * WORK // (k * (k + 1) ** 2), 2 * FEWEST), 2 * MOST)
        return MOST // 2
