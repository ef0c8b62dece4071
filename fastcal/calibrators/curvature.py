"""What a gradient of the likelihood is divided by: its Hessian, or what stands for it where that is too large.

In coordinates whose second derivatives are 1, so that columns of any scale do; where the likelihood is level, no step
is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastcal import kernels as typed_kernels

from .. import engine
from ..arrays import Array
from ..forks import linear_algebra
from .likelihood import MOST_BLOCKS, Likelihood, padded, scratch

kernels: Any = typed_kernels  # unpacked arguments cannot be counted

RIDGE = 1e-10  # added to a Hessian of unit diagonal
LARGEST_RIDGE = 1e6  # beyond the number of parameters, so that it is positive: what is not holds NaN
LEVEL = 1e-13  # eigenvalues below this part of the largest are rounding

Divide = Callable[[Array], Array]


def curvature_of(part: Likelihood) -> Callable[[Array], Divide]:
    """A function of parameters that returns a function that divides by the Hessian there, or by what stands for it."""
    if part.dense:
        return lambda parameters: by_hessian(part, parameters)
    if not part.full:
        return lambda parameters: by_class(part, parameters)
    if part.rows.n_classes <= MOST_BLOCKS:
        return Blocks(part)
    return lambda parameters: by_factors(part, parameters)


def hessian_of(part: Likelihood, parameters: Array) -> Array:
    """The second derivatives (P, P)."""
    k, p = part.rows.n_classes, part.free.size
    tall = kernels.intrinsics.TILE_ROWS
    wide, narrow, high = padded(p, 8), padded(k + 1, 8), padded(p, tall)
    cut = high * wide
    maps = part.maps(parameters)

    def add(one: dict[str, Any], scores: Array, _: Array, weights: Array, into: Array) -> None:
        lines, u, few = one["common"]
        if "m" not in one:
            f8, new, block = np.dtype(np.float64), kernels.rows.scratch, kernels.rows.BLOCK
            one["m"] = new(high * block, f8), new(block * wide, f8), new(block * narrow, f8)
        kernels.linear_curvature.curvature(
            scores,
            weights,
            part.share,
            *maps,
            part.full,
            lines,
            u,
            few,
            one["lanes"],
            *one["m"],
            into[:cut],
            into[cut:],
        )

    sums = part.sum(cut + high * narrow, add)
    hessian: Array = -mirrored(sums[:cut].reshape(high, wide)[:p, :p])
    if part.full:
        diagonal = sums[cut:].reshape(high, narrow)[:p, : k + 1]
        for start in range(0, p, k + 1):
            row = slice(start, start + k + 1)
            hessian[row, row] += diagonal[row]
    else:
        at = np.arange(k)
        zz, z, one = sums[cut : cut + 3 * k].reshape(3, k)
        hessian[at, at] += zz
        hessian[at, k + at] += z
        hessian[k + at, at] += z
        hessian[k + at, k + at] += one
    hessian[np.arange(p), np.arange(p)] += part.penalties.ravel()
    return hessian


def by_hessian(part: Likelihood, parameters: Array) -> Divide:
    """The Hessian itself."""
    return factorised(hessian_of(part, parameters), part.free.ravel())


def by_class(part: Likelihood, parameters: Array) -> Divide:
    """Each class's (w_k, b_k) by itself."""
    k = part.rows.n_classes
    sums = part.total(part.sum_vector, parameters, True)[2 + 2 * k :]
    zz, z, one = sums[:k] * part.free[0], sums[k : 2 * k] * part.free[0], sums[2 * k : 3 * k]
    determinant = np.maximum(zz * one - z * z, 1e-6 * zz * one)
    alone = determinant == 0
    determinant[alone] = 1.0

    def divide(gradient: Array) -> Array:
        weight, bias = gradient.reshape(2, k)
        both = np.stack([one * weight - z * bias, zz * bias - z * weight]) / determinant
        both[0, alone] = 0.0
        both[1, alone] = np.divide(bias, one, out=np.zeros(k), where=one > 0)[alone]
        flat: Array = both.ravel()
        return flat

    return divide


def by_factors(part: Likelihood, parameters: Array) -> Divide:
    """The mean of diag(p) - p p^T times that of z z^T, of rows by how far they are from certain (as in K-FAC)."""
    k = part.rows.n_classes
    tall = kernels.intrinsics.TILE_ROWS
    narrow, cuts = padded(k + 1, 8), np.cumsum([padded(k, tall), padded(k + 1, tall)]) * padded(k + 1, 8)
    maps = part.maps(parameters)

    def add(one: dict[str, Any], scores: Array, _: Array, weights: Array, into: Array) -> None:
        lines, u, few = one["common"]
        if "x" not in one:
            size, f8 = kernels.rows.BLOCK * narrow, np.dtype(np.float64)
            one["x"] = kernels.rows.scratch(size, f8), kernels.rows.scratch(size, f8)
        parts = np.split(into, cuts)
        given = (scores, weights, part.share, *maps)
        kernels.linear_curvature.factors(*given, lines, u, few, *one["x"], *parts)

    among, between, sums = np.split(part.sum(int(cuts[-1]) + k + 1, add), cuts)
    a = np.diag(sums[:k]) - mirrored(among.reshape(-1, narrow)[:k, :k])
    b = mirrored(between.reshape(-1, narrow)[: k + 1, : k + 1]) / max(float(sums[k]), 1e-300)
    scale = np.sqrt(np.diag(b))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    with linear_algebra():
        a_values, a_vectors = np.linalg.eigh(a)
        b_values, b_vectors = np.linalg.eigh(b * inverse * inverse[:, None])
        cost = (part.penalties.mean(axis=0) * inverse**2) @ b_vectors**2
    level = (a_values[:, None] <= LEVEL * a_values.max()) | (b_values <= LEVEL * b_values.max())
    divisor = np.where(level, 0.0, a_values[:, None] * b_values) + cost
    factor = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor > 0)

    def divide(gradient: Array) -> Array:
        with linear_algebra():
            turned = a_vectors.T @ (gradient.reshape(k, k + 1) * inverse) @ b_vectors
            whole: Array = (a_vectors @ (factor * turned) @ b_vectors.T) * inverse * part.free
        return whole.ravel()

    return divide


class Blocks:
    """The block of each class's (w_k, b_k), the sum over rows of w p_k (1 - p_k) (z, 1) (z, 1)^T.

    That of a class of few rows is drawn towards the mean block, of the same p_k (1 - p_k) in sum.
    """

    def __init__(self, part: Likelihood) -> None:
        self.part = part
        blocks = list(part.rows.blocks())
        k = part.rows.n_classes
        self.weights = np.concatenate([np.ones(b.n_rows) if b.weights is None else b.weights for b in blocks])
        self.scores = np.concatenate([block.scores for block in blocks]).astype(np.float64, copy=False)
        self.scores.flags.writeable = False
        self.wide = padded(k + 1, 8)
        rows = np.zeros((len(self.scores), self.wide))
        rows[:, :k] = self.scores
        rows[:, k] = 1.0
        self.rows = rows.ravel()
        self.lines = np.ascontiguousarray(rows[:, : k + 1].T)

    def __call__(self, parameters: Array) -> Divide:
        """A function that divides by the blocks at these parameters."""
        part, k = self.part, self.part.rows.n_classes
        n, n_more = len(self.scores), k + 1
        probabilities = self._probabilities(parameters)
        strip, high = kernels.linear_curvature.STRIP, padded(n_more, kernels.intrinsics.TILE_ROWS)
        found = np.zeros((k, n_more, n_more))
        new, f8 = kernels.rows.scratch, np.dtype(np.float64)

        def make() -> engine.Worker:
            few, a = new(strip, f8), new(high * strip, f8)
            hessian = new(high * self.wide, f8)

            def work(start: int, stop: int) -> None:
                for i in range(start, stop):
                    hessian[:] = 0.0
                    kernels.linear_curvature.class_hessian(
                        probabilities[i], self.weights, part.share, self.lines, self.rows, few, a, hessian
                    )
                    found[i] = mirrored(hessian.reshape(high, self.wide)[:n_more, :n_more])

            return work

        engine.run(k, 8 * n, 1, make, part.n_threads)
        amounts = found[:, k, k].copy()
        mean = found.sum(axis=0) / max(float(amounts.sum()), 1e-300)
        own = n * amounts / (n * amounts + n_more)
        found *= own[:, None, None]
        found += ((1.0 - own) * amounts)[:, None, None] * mean
        found[:, np.arange(n_more), np.arange(n_more)] += part.penalties
        factors = [factorised(one, free) for one, free in zip(found, part.free, strict=True)]

        def divide(gradient: Array) -> Array:
            table = gradient.reshape(k, n_more)
            return np.concatenate([one(row) for one, row in zip(factors, table, strict=True)])

        return divide

    def _probabilities(self, parameters: Array) -> Array:
        """p (K, N) of the rows."""
        part, k = self.part, self.part.rows.n_classes
        maps = part.maps(parameters)
        out = np.empty(self.scores.shape)

        def make() -> engine.Worker:
            lines, u, few = scratch(k, np.float64)
            rows = kernels.rows.scratch(64 * k + 64, np.dtype(np.float64))

            def work(start: int, stop: int) -> None:
                taken = self.scores[start:stop], *maps, True, False, -777.0, lines, u, few, rows, out[start:stop]
                kernels.linear_maps.probabilities(*taken)

            return work

        engine.run(len(out), 8 * k, 1024, make, part.n_threads)
        return np.ascontiguousarray(out.T)


def factorised(hessian: Array, free: Array) -> Divide:
    """A function that divides by a Hessian; parameters that are not free stay."""
    scale = np.sqrt(np.maximum(np.diag(hessian), 0))
    inverse = np.divide(free, scale, out=np.zeros_like(scale), where=scale > 0)
    even = hessian * inverse * inverse[:, None]
    ridge = RIDGE
    while True:
        np.fill_diagonal(even, 1.0 + ridge)
        factor = even.copy()
        if kernels.cholesky.factorise(factor) or ridge > LARGEST_RIDGE:
            break
        ridge *= 100  # so near to separated rows that the difference of p and p^2 is rounding

    def divide(gradient: Array) -> Array:
        result: Array = inverse * gradient
        kernels.cholesky.solve(factor, result)
        result *= inverse
        return result

    return divide


def mirrored(a: Array) -> Array:
    """The symmetric matrix of which ``a`` holds the upper triangle."""
    both: Array = np.triu(a) + np.triu(a, 1).T
    return both
