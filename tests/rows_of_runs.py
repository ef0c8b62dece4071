"""Dumps in memory, cut as a test says, and what any run over them has to give."""

from __future__ import annotations

import numpy as np

import fastcal as fc
from fastcal.dumps import Batch, Dump, Piece, Roles


class MemoryDump(Dump):
    """Rows in arrays: ``cuts`` are where its pieces begin, ``fails`` numbers of rows at which reading raises."""

    def __init__(self, labels, scores, *, name="memory", cuts=(0,), batch=7, counted=True, files=(), **more):
        self.name, self.files = name, tuple(files)
        self.labels, self.scores = labels, scores
        self.weights, self.groups = more.get("weights"), more.get("groups")
        self.ignored = more.get("ignored")
        self.cuts, self.size, self.counted = tuple(cuts), batch, counted
        self.fails = set(more.get("fails", ()))
        self.error = more.get("error", OSError("the disk is gone"))
        self.roles = Roles(probs="p", labels="y", weights="w", groups="g")
        self.rows_read = 0
        self.shared = more.get("shared", False)

    def pieces(self):
        stops = (*self.cuts[1:], len(self.labels))
        counted = self.counted
        return [Piece(a, b, a, b - a if counted else None) for a, b in zip(self.cuts, stops, strict=True)]

    def read(self, piece, skip=0):
        buffer = np.empty((self.size, *self.scores.shape[1:]), self.scores.dtype)
        for start in range(piece.start + skip, piece.stop, self.size):
            stop = min(start + self.size, piece.stop)
            failing = [row for row in self.fails if start <= row < stop]
            if failing:
                self.fails.discard(failing[0])  # the next time it works
                raise self.error
            self.rows_read += stop - start
            rows = np.arange(stop - start)
            if self.ignored is not None:
                rows = rows[~self.ignored[start:stop]]
            columns = [None if c is None else c[start:stop][rows] for c in (self.weights, self.groups)]
            scores = self.scores[start:stop][rows]
            if self.shared:  # memory that the next batch is read into, as readers do
                buffer[: len(scores)] = scores
                scores = buffer[: len(scores)]
            n_ignored = stop - start - len(rows)
            yield Batch(self.labels[start:stop][rows], scores, *columns, rows if n_ignored else None, n_ignored)


def rows(n, k=3, seed=0):
    """Labels and probabilities."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(k), n) if k else rng.random(n)
    drawn = rng.random(n)
    return (drawn < scores).astype(int) if not k else (scores.cumsum(axis=1) < drawn[:, None]).sum(axis=1), scores


def whole(labels, scores, *, weights=None, groups=None, **settings):
    """The state that any run over these rows ends in."""
    made = fc.Evaluation(groups=groups is not None, **settings)
    return made.update(labels, scores, sample_weight=weights, groups=groups).to_bytes()
