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
WORK = 1 << 30  # products that a Hessian may take
FEWEST, MOST = 4096, 1 << 15  # rows of which curvature is taken
BLOCKS_A_SUM = 8  # a gradient may be as large as a block
RIDGE = 1e-10  # added to a Hessian of unit diagonal: where the likelihood is level, no step is taken
LEVEL = 1e-13  # eigenvalues below this part of the largest are rounding

Divide = Callable[[Array], Array]


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
        sums = self._total(self._sum_matrix, parameters) if self.full else self._total(self._sum_vector, parameters, False)
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

    def _total(self, add: Callable[..., None], parameters: Array, *given: Any) -> Array:
        k = self.rows.n_classes
        size = 2 + k + k * k if self.full else 2 + 5 * k
        return self._sum(size, add, self._maps(parameters), *given)

    def _sum(self, size: int, add: Callable[..., None], *given: Any) -> Array:
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

    def _maps(self, parameters: Array) -> tuple[Array, Array]:
        """Weights, flat and padded where they are a matrix, and biases, as kernels take them."""
        k = self.rows.n_classes
        if not self.full:
            return parameters[:k].copy(), parameters[k:].copy()
        weight = np.zeros((kernels.tiles.padded(k, kernels.tiles.ROWS), k))
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
        made = {"scores": scores, "ones": ones, "common": scratch(k, f8), "lanes": new(2 * k * 16, f8)}
        if self.full:
            tall, wide = kernels.tiles.padded(k, kernels.tiles.ROWS), kernels.tiles.padded(k, 8)
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

    def _sum_vector(
        self, one: dict[str, Any], scores: Array, labels: Array, weights: Array, into: Array, maps: Any, curved: bool
    ) -> None:
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

    # --- curvature --------------------------------------------------------------------------------------------------

    def sampled(self) -> Likelihood:
        """The same of so many evenly spaced rows as curvature is worth; itself, where these are all."""
        most = min(max(WORK // self.free.size**2, FEWEST), MOST) if self.dense else MOST // 2
        step = -(-self.rows.n_rows // most)
        if step == 1:
            return self
        while any(step % i == 0 for i in range(2, math.isqrt(step) + 1)):  # labels may come in turns
            step += 1
        taken: dict[int, tuple[Array, Array, Array | None]] = {}

        def make() -> Callable[[Block, Array], None]:
            def take(block: Block, into: Array) -> None:
                start = -block.first_row % step
                weights = None if block.weights is None else block.weights[start::step].copy()
                taken[block.first_row] = block.scores[start::step].copy(), block.labels[start::step].copy(), weights

            return take

        self.rows.total(1, make, self.n_threads)
        parts = [taken[first] for first in sorted(taken)]
        scores = np.concatenate([part[0] for part in parts])
        labels = np.concatenate([part[1] for part in parts])
        weights = None if parts[0][2] is None else np.concatenate([part[2] for part in parts])  # type: ignore[misc]
        total = float(len(labels) if weights is None else weights.sum())
        if total == 0:
            weights, total = None, float(len(labels))
        given = table(scores[:, 0] if self.rows.binary else scores, labels, weights, None)
        rows = ArrayRows(given, Form("logits", "logits"))
        rows.checked = True
        return Likelihood(rows, 1.0 / total, self.free, self.penalties, self.normalised, self.n_threads)

    def curvature(self, parameters: Array) -> Divide:
        """A function that divides by the Hessian at the parameters, or by what stands for it where that is large."""
        if self.dense:
            return self._by_hessian(parameters)
        return self._by_factors(parameters) if self.full else self._by_class(parameters)

    def hessian(self, parameters: Array) -> Array:
        """The second derivatives (P, P)."""
        k, p = self.rows.n_classes, self.free.size
        padded, tall = kernels.tiles.padded, kernels.tiles.ROWS
        wide, narrow, high = padded(p, 8), padded(k + 1, 8), padded(p, tall)
        cut = high * wide
        maps = self._maps(parameters)

        def add(one: dict[str, Any], scores: Array, labels: Array, weights: Array, into: Array) -> None:
            lines, u, few = one["common"]
            if "m" not in one:
                f8, new, block = np.dtype(np.float64), kernels.rows.scratch, kernels.rows.BLOCK
                one["m"] = new(high * block, f8), new(block * wide, f8), new(block * narrow, f8)
            kernels.linear.curvature(
                scores,
                weights,
                self.share,
                *maps,
                self.full,
                self.normalised,
                lines,
                u,
                few,
                *one["m"],
                into[:cut],
                into[cut:],
            )

        sums = self._sum(cut + high * narrow, add)
        hessian: Array = -sums[:cut].reshape(high, wide)[:p, :p]
        diagonal = sums[cut:].reshape(high, narrow)[:p, : k + 1]
        at = np.arange(k)
        if self.full:
            for j in range(k):
                part = slice(j * (k + 1), (j + 1) * (k + 1))
                hessian[part, part] += diagonal[part]
        else:
            hessian[at, at] += diagonal[at, at]
            hessian[at, k + at] += diagonal[at, k]
            hessian[k + at, at] += diagonal[at, k]
            hessian[k + at, k + at] += diagonal[k + at, k]
        hessian[np.arange(p), np.arange(p)] += self.penalties.ravel()
        return (hessian + hessian.T) / 2

    def _by_hessian(self, parameters: Array) -> Divide:
        hessian = self.hessian(parameters)
        scale = np.sqrt(np.maximum(np.diag(hessian), 0))
        inverse = np.divide(self.free.ravel(), scale, out=np.zeros_like(scale), where=scale > 0)
        even = hessian * inverse * inverse[:, None]
        np.fill_diagonal(even, 1.0)
        ridge = RIDGE
        while True:
            try:
                np.linalg.cholesky(even + ridge * np.eye(len(even)))
                break
            except np.linalg.LinAlgError:  # so near to separated rows that the difference of p and p^2 is rounding
                ridge *= 100
        divisor = np.linalg.inv(even + ridge * np.eye(len(even)))
        return lambda gradient: inverse * (divisor @ (inverse * gradient))

    def _by_class(self, parameters: Array) -> Divide:
        """Each class's (w_k, b_k) by itself."""
        k = self.rows.n_classes
        sums = self._total(self._sum_vector, parameters, True)[2 + 2 * k :]
        zz, z, one = sums[:k] * self.free[0], sums[k : 2 * k] * self.free[0], sums[2 * k : 3 * k]
        determinant = np.maximum(zz * one - z * z, 1e-6 * zz * one)
        alone = determinant == 0
        determinant[alone] = 1.0

        def divide(gradient: Array) -> Array:
            weight, bias = gradient.reshape(2, k)
            both = np.stack([one * weight - z * bias, zz * bias - z * weight]) / determinant
            both[0, alone] = 0.0
            both[1, alone] = np.divide(bias, one, out=np.zeros(k), where=one > 0)[alone]
            return both.ravel()

        return divide

    def _by_factors(self, parameters: Array) -> Divide:
        """The mean of diag(p) - p p^T times that of z z^T, of rows by how far they are from certain (as in K-FAC)."""
        k = self.rows.n_classes
        padded, tall = kernels.tiles.padded, kernels.tiles.ROWS
        narrow, cuts = padded(k + 1, 8), np.cumsum([padded(k, tall), padded(k + 1, tall)]) * padded(k + 1, 8)
        maps = self._maps(parameters)

        def add(one: dict[str, Any], scores: Array, labels: Array, weights: Array, into: Array) -> None:
            lines, u, few = one["common"]
            if "x" not in one:
                size, f8 = kernels.rows.BLOCK * narrow, np.dtype(np.float64)
                one["x"] = kernels.rows.scratch(size, f8), kernels.rows.scratch(size, f8)
            parts = np.split(into, cuts)
            given = (scores, weights, self.share, *maps, self.normalised)
            kernels.linear.factors(*given, lines, u, few, *one["x"], *parts)

        among, between, sums = np.split(self._sum(int(cuts[-1]) + k + 1, add), cuts)
        a = np.diag(sums[:k]) - among.reshape(-1, narrow)[:k, :k]
        b = between.reshape(-1, narrow)[: k + 1, : k + 1] / max(float(sums[k]), 1e-300)
        scale = np.sqrt(np.diag(b))
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        a_values, a_vectors = np.linalg.eigh((a + a.T) / 2)
        b = b * inverse * inverse[:, None]
        b_values, b_vectors = np.linalg.eigh((b + b.T) / 2)
        cost = (self.penalties.mean(axis=0) * inverse**2) @ b_vectors**2
        level = (a_values[:, None] <= LEVEL * a_values.max()) | (b_values <= LEVEL * b_values.max())
        divisor = np.where(level, 0.0, a_values[:, None] * b_values) + cost
        factor = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor > 0)

        def divide(gradient: Array) -> Array:
            turned = a_vectors.T @ (gradient.reshape(k, k + 1) * inverse) @ b_vectors
            whole: Array = (a_vectors @ (factor * turned) @ b_vectors.T) * inverse * self.free
            return whole.ravel()

        return divide
