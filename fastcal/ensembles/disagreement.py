"""Mean divergence between two members of an ensemble, each row's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import engine, memory
from ..arrays import Array
from . import members as doors
from .members import Members, rows_of
from .workers import Extremes, Scratch, kernels, raise_first, rows_per_chunk

KINDS = ("kl", "js")


def disagreement(
    members: Any,
    kind: str,
    *,
    from_logits: bool = False,
    weights: Any = None,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> Array:
    """See :func:`fastcal.ensemble_disagreement`."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected 'kl' or 'js'")
    if n_threads is not None:
        engine.thread_count(n_threads)  # is it one
    scale = None if weights is None else doors.weights_of(weights)
    given = doors.opened(members, from_logits, dtype)
    if isinstance(given, Iterator):
        raise TypeError(
            f"members is {members!r:.80}, which can be gone through once; pairs of members need all of them at once: "
            "give a list, of arrays or files"
        )
    counted, of_counted = given.weighted(scale)
    values = memory.empty((counted.n_rows,), counted.real)
    done = 0
    for part in counted.parts():
        stop = done + part.n_rows
        _of_part(part, kind == "js", from_logits, of_counted, values[done:stop], n_threads)
        done = stop
    return values.reshape(counted.lead)


def _of_part(given: Members, js: bool, from_logits: bool, weights: Array, values: Array, n_threads: int | None) -> None:
    rows = rows_per_chunk(given, 2 * len(weights) * given.n_classes * values.itemsize)
    work = given.row_bytes * len(weights)
    made = engine.run(given.n_rows, work, rows, lambda: _Pairs(given, js, from_logits, weights, values), n_threads)
    raise_first([worker.fault for worker in made])


class _Pairs:
    """A worker of the engine; one thread's scratch."""

    def __init__(self, given: Members, js: bool, from_logits: bool, weights: Array, values: Array) -> None:
        real = values.dtype
        self.given, self.values = given, values
        # In float64 until each pair's share is known: in float32 a weight of 1e-50 would be none.
        self.weights = weights
        pairs = (weights[1:] * np.cumsum(weights)[:-1]).sum()
        self.options = from_logits, js
        self.of_pairs = np.float64(pairs if js else 2 * pairs)
        self.scratch = Scratch(given.n_classes, real)
        pair_kernels = kernels.ensemble_pairs
        self.kernel = pair_kernels.wide if self.scratch.is_wide else pair_kernels.narrow
        self.fault: doors.Fault | None = None
        self.states = self.new_states(1)

    def new_states(self, n: int) -> tuple[Array, Array]:
        """Two lines a class of each member, two lines of numbers a member, and a number a row."""
        m = len(self.weights)
        return self.scratch.arrays(n, 2 * m * self.scratch.size, self.scratch.stride + 2 * m * self.scratch.width)

    def __call__(self, start: int, stop: int) -> None:
        """Work on a chunk."""
        given = self.given
        values = self.values[start:stop]
        if given.whole is not None:
            seen = [Extremes(given.scores[0])]
            self.add(given.whole, (start, stop), 0, seen[0], values, closes=True)
        else:
            n = self.scratch.n_states(stop - start)
            if len(self.states[0]) != n:
                self.states = self.new_states(n)
            seen = [Extremes(scores) for scores in given.scores]
            for m, scores in enumerate(given.scores):
                rows = rows_of(scores, start, stop)[None]
                self.add(rows, (0, stop - start), m, seen[m], values, closes=m + 1 == len(seen))
        if self.fault is None and any(extremes.are_wrong() for extremes in seen):
            self.fault = given.fault(start, stop)

    def add(
        self, members: Array, rows: tuple[int, int], m: int, extremes: Extremes, values: Array, *, closes: bool
    ) -> None:
        """Take rows of members from the m-th on."""
        form = *self.options, m, self.weights, self.of_pairs, closes, self.scratch.lowest
        scratch = self.scratch.lines, self.scratch.lanes, *self.states, extremes.seen
        self.kernel(*self.scratch.flat(members, rows), *form, *scratch, values)
