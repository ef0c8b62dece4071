"""The rows of one chunk, as the accumulators see them: labels, weights, and the columns that the row kernels filled."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastcal import kernels

from ..arrays import Array, Column, Predictions, tolerances, weighable
from ..rowwise import FLOATS

# The bytes that a chunk's input, work and results may take. Threads take turns for Python between kernels: a fourth of
# this keeps the second-level cache, and two threads are no faster than one (40 against 19 ms on 1 M x 10).
CHUNK_BYTES = 1 << 21
MAX_CHUNK = 1 << 16
# Rows of single probabilities that are only looked at: so many times as many, for there is next to no work in a row
# (20 M take 40 ms in chunks of 16 384 rows on two threads that wait for each other, 25 in chunks of 260 000).
QUICK = 16
# Rows that are gone through once need not be in cache for another time: so many times as many (1.96 to 1.65 us a row).
IN_CACHE = 3
# Light rows of so many classes are looked at in one go before anything else.
WIDE = 16


@functools.lru_cache
def _divisor(temperature: float, dtype: np.dtype[Any]) -> tuple[Any, Any, Any]:
    """In fractions, which take 30 us."""
    return kernels.rows.divisor(temperature, dtype)


class Takes(NamedTuple):
    """What kernels/classwise_wide.py adds to: where probabilities go to their bin, by what, and the bins."""

    lookup: tuple[Any, ...]
    bins: tuple[Array, ...]


class Rows:
    """Runs the row kernels on chunks, in buffers that are reused from chunk to chunk. Used by one thread."""

    def __init__(
        self, predictions: Predictions, temperature: float = 1.0, *, light: bool = False, margin: bool = True
    ) -> None:
        self.margin = margin  # whether that column is wanted; without it, nor is the logsumexp's
        self.taken: Array | None = None
        self.n_taken = 0
        self.predictions = predictions
        self.scores = predictions.scores
        self.light = light and not predictions.from_logits  # a confidence of logits takes nearly all of the work
        self.dtype = self.scores.dtype  # that of the work and of the results
        self.given_dtype = binned_as(self.scores)
        self.from_logits = predictions.from_logits
        self.binary = predictions.n_columns == 0
        self.tolerances = tolerances(self.scores)
        self.divisor = _divisor(temperature, self.dtype)
        self.weights: Array | None = None
        self.labels = np.empty(0, np.int64)
        self.n = -1
        self.faults = no_faults()
        self._allocate()

    def rebind(self, predictions: Predictions) -> bool:
        """Go on with another batch, if its scores are like those before; whether they are."""
        given, ours = predictions.scores.values, self.scores.values
        if (given.dtype, given.shape[1:]) != (ours.dtype, ours.shape[1:]):
            return False
        self.predictions, self.scores, self.weights = predictions, predictions.scores, None
        self.faults = no_faults()
        return True

    def _allocate(self) -> None:
        rows, dtype = kernels.rows, self.dtype
        self._lines = rows.scratch(rows.NARROW * rows.BLOCK, dtype)
        self._lines_read = self._lines.view()
        self._lines_read.flags.writeable = False
        few = rows.CONFIDENCE, rows.ENTROPY, rows.NLL, rows.BRIER  # what parts read
        self._columns = [slice(None)] if self.light or self.margin else [slice(column, column + 1) for column in few]
        self._empty_block = rows.empty_block(dtype, wide=False)
        self._lanes = rows.empty_block(dtype, wide=True)
        self._buffers: dict[int, tuple[Array, ...]] = {}
        self._softmax_of = np.empty(0, dtype)
        self._exps: tuple[Array, Array] | tuple[()] = ()

    def fill(self, start: int, stop: int, takes: Takes | None = None) -> None:
        """Work on rows start to stop: sets ``prediction``, ``hits``, ``table``, ``weights``; adds to ``faults``.

        ``takes`` is what adds to the bins of each class while a wide row is in cache, where there are such rows;
        ``taken`` then is the array that tells whose they are, else None, and ``n_taken`` how many of the rows were.

        Parts that need more than the columns find the scores as the kernels took them in ``values``, the labels in
        ``labels``, and the first row's number in ``start``.
        """
        rows = kernels.rows
        if stop - start != self.n:
            self._resize(stop - start)
        faults = no_faults()
        self.labels = self.predictions.labels.chunk(start, stop)
        scores = self.scores.chunk(start, stop)
        self.start, self.values = start, scores
        self._probabilities: Array | None = None
        takes = takes if takes_wide(scores.shape[-1], light=self.light) and not self.binary else None
        self._takes = None if self.light else takes
        self.taken = None if takes is None else takes.bins[-1]
        self.n_taken = 0 if self._takes is None else stop - start
        if self.light and self.binary:
            self.table = scores.reshape(1, -1)
            outcome = self.hits[rows.OUTCOME]
            kernels.probabilities.binary_light(scores, self.labels, self.tolerances[0], outcome, faults)
        elif not (self.light and self._is_sound(scores, takes)):
            self.table = self._table
            gathered = slice(rows.MAXIMUM, rows.LABEL)  # what is before is written, what is after stays as it is
            self.work[:, gathered] = self._empty_block[gathered]
            if self.from_logits:
                self._from_logits(scores, faults)
            else:
                self._from_probabilities(scores, faults)
            for columns in self._columns:
                np.copyto(self._results[columns], self._blocks[columns])
        if self.predictions.weights is not None:
            self._take_weights(self.predictions.weights, start, stop, faults)
        self.n_nan = int(faults[rows.N_NAN])
        self._add_faults(faults, start)

    def _resize(self, n: int) -> None:
        """Take buffers for ``n`` rows: those of the last chunk of a batch and of the others are kept."""
        if n not in self._buffers:
            if len(self._buffers) == 2:
                self._buffers.clear()
            self._buffers[n] = self._new_buffers(n)
        self.n = n
        self.prediction, self.hits, self.work, self._results, self._blocks, self._table = self._buffers[n]

    def _new_buffers(self, n: int) -> tuple[Array, ...]:
        rows, dtype = kernels.rows, self.dtype
        prediction, hits = np.empty(n, np.int64), np.empty((2, n), np.uint8)
        if self.light and self.binary:
            return prediction, hits, *[self._empty_block.reshape(1, -1)] * 4
        n_blocks = -(-n // rows.BLOCK)
        n_columns = 1 if self.light else rows.N_COLUMNS
        work = rows.scratch(n_blocks * rows.BLOCK_SIZE, dtype).reshape(n_blocks, rows.BLOCK_SIZE)
        # The results stand block by block in the work, and column by column in the table.
        results = np.empty((n_columns, n_blocks, rows.BLOCK), dtype)
        # Of light rows all that is wanted is the confidence, which is their maximum.
        columns = work[:, rows.MAXIMUM :] if self.light else work
        blocks = columns[:, : n_columns * rows.BLOCK].reshape(n_blocks, n_columns, -1).swapaxes(0, 1)
        table = results.reshape(n_columns, -1)[:, :n]
        table.flags.writeable = False
        return prediction, hits, work, results, blocks, table

    def _is_sound(self, scores: Array, takes: Takes | None) -> bool:
        """Whether all rows are distributions at a glance; sets the confidences and hits of light rows that are."""
        if self.dtype != np.float32 or scores.shape[1] < WIDE:
            return False
        outcome = self.hits[kernels.rows.OUTCOME]
        bits = scores.view(np.uint32)
        confidence = np.empty(self.n, np.float32)
        limit = self.tolerances[1]
        if takes is not None:
            given = scores, scores.reshape(-1), bits, self.labels, limit, confidence, outcome
            self.n_taken = kernels.classwise_wide.add_light(*given, *takes.lookup, *takes.bins)
            if self.n_taken < self.n:
                return False
        elif kernels.probabilities.wide_light(scores, bits, self.labels, limit, confidence, outcome):
            return False
        confidence.flags.writeable = False
        self.table = confidence.reshape(1, -1)
        return True

    def _from_logits(self, scores: Array, faults: Array) -> None:
        if self.binary:  # the row (0, z)
            pairs = np.zeros((self.n, 2), scores.dtype)
            pairs[:, 1] = scores
            pairs.flags.writeable = False
            scores = pairs
        self._gather(scores)
        self._judge(scores, np.inf, np.inf, faults)
        kernels.softmax.finish(*self.divisor, self.binary, self.work)

    def _from_probabilities(self, scores: Array, faults: Array) -> None:
        probabilities = kernels.probabilities
        if self.binary:
            scores = scores.reshape(-1, 1)
            probabilities.binary_sums(scores, self.work)
        else:
            self._gather(scores)
        self._judge(scores, *self.tolerances, faults)
        if self.binary:
            probabilities.finish_binary(self.work)
        elif not self.light:
            probabilities.finish(self.work)

    def _gather(self, scores: Array) -> None:
        lines = self._lines, self._lines_read
        logits, squares = self.from_logits, None if self.light else True
        if self._takes is not None:
            given = scores, logits, *self.divisor, *lines, self._lanes, *self._exps_of(scores.shape[1])
            kernels.classwise_wide.add(*given, self.work, self.labels, *self._takes.lookup, *self._takes.bins)
        elif scores.shape[1] <= kernels.rows.NARROW:
            kernels.gather.narrow(scores, logits, squares, *self.divisor, *lines, self.work)
        else:  # no half floats come here
            form = scores, logits, squares, True if self.margin else None, *self.divisor
            kernels.gather.wide(*form, *lines, *lines, self._lanes, self.work)

    def _exps_of(self, n_classes: int) -> tuple[Array, Array]:
        if not self._exps:
            exps = kernels.rows.scratch(n_classes + 6 * kernels.rows.LANES, self.dtype)
            read = exps.view()
            read.flags.writeable = False
            self._exps = exps, read
        return self._exps

    def _judge(self, scores: Array, tolerance: float, sum_tolerance: float, faults: Array) -> None:
        kernels.rows.judge(
            scores,
            self.labels,
            self.binary,
            tolerance,
            sum_tolerance,
            self.work,
            self.prediction,
            self.hits,
            faults,
        )

    def probabilities(self) -> Array:
        """This chunk's probabilities (n, K), as given or the softmax of logits, until the next: the same to all."""
        if self._probabilities is None:
            p = self.values if not self.binary else self.values.reshape(-1, 1)
            if self.from_logits:
                p = self._softmax()
            elif self.binary:
                p = np.concatenate([1 - p, p], axis=1)
            p = p.view()
            p.flags.writeable = False
            self._probabilities = p
        return self._probabilities

    def _softmax(self) -> Array:
        if self.binary:  # the row (0, z): 1 - p would lose the digits of a small one
            pairs = np.stack([np.zeros_like(self.values), self.values], axis=1).reshape(-1)
            pairs.flags.writeable = False
            both = np.empty(pairs.size, self.dtype)
            kernels.two_classes.softmax(pairs, *self.divisor, self.dtype.type(0), both)
            return both.reshape(-1, 2)
        if self._softmax_of.size < self.values.size:  # new memory would take longer than the arithmetic
            self._softmax_of = np.empty(self.values.size, self.dtype)
        out = self._softmax_of[: self.values.size]
        kernels.softmax.probabilities(self.values, self.work, *self.divisor, out)
        return out.reshape(self.values.shape)

    def _take_weights(self, column: Column, start: int, stop: int, faults: Array) -> None:
        rows = kernels.rows
        weights = column.chunk(start, stop)
        wrong = np.flatnonzero(~weighable(weights))
        if wrong.size:
            faults[rows.N_BAD] += wrong.size
            faults[rows.FIRST_BAD] = min(faults[rows.FIRST_BAD], wrong[0])
        if faults[rows.N_NAN]:
            weights = np.where(np.isnan(self.table[rows.CONFIDENCE]), 0.0, weights)
            weights.flags.writeable = False
        self.weights = weights

    def _add_faults(self, faults: Array, start: int) -> None:
        rows = kernels.rows
        for count, first in ((rows.N_NAN, rows.FIRST_NAN), (rows.N_BAD, rows.FIRST_BAD)):
            if faults[count]:
                self.faults[count] += faults[count]
                self.faults[first] = min(self.faults[first], faults[first] + start)


def no_faults() -> Array:
    """What is wrong with rows before any was looked at."""
    return _no_faults().copy()


@functools.cache
def _no_faults() -> Array:
    rows = kernels.rows
    counts = {rows.N_NAN: 0, rows.FIRST_NAN: rows.NONE_YET, rows.N_BAD: 0, rows.FIRST_BAD: rows.NONE_YET}
    return np.array([counts[place] for place in range(rows.N_FAULTS)], np.int64)


def binned_as(scores: Column) -> np.dtype[Any]:
    """The dtype of scores that conventions may depend on."""
    return scores.values.dtype if scores.values.dtype in FLOATS else scores.dtype


def bytes_per_row(predictions: Predictions, *, light: bool = False) -> int:
    """Bytes that a row's input, work and results take: a measure of its work, too."""
    if light and predictions.n_columns == 0 and not predictions.from_logits:
        return predictions.scores.dtype.itemsize + 16
    places = kernels.rows.BLOCK_SIZE // kernels.rows.BLOCK + kernels.rows.N_COLUMNS
    return (max(predictions.n_columns, 1) + places) * predictions.scores.dtype.itemsize + 24


def takes_wide(n_classes: int, *, light: bool) -> bool:
    """Whether the bins of each class are filled a row at a time, while it is in cache."""
    return n_classes > (kernels.classwise_lines.MOST_CLASSES if light else kernels.rows.NARROW)


def rows_per_chunk(predictions: Predictions, *, light: bool = False, in_cache: bool = False) -> int:
    """Rows that fit in CHUNK_BYTES; a whole number of blocks, at least one row.

    ``in_cache``: one thread works on them, and the bins of wide rows are filled as :class:`Takes` says.
    """
    block = kernels.rows.BLOCK
    in_cache &= takes_wide(predictions.n_columns, light=light) and predictions.weights is None
    n = min(MAX_CHUNK, (IN_CACHE if in_cache else 1) * CHUNK_BYTES // bytes_per_row(predictions))
    if light and predictions.n_columns == 0 and not predictions.from_logits:
        n *= QUICK
    return max(n // block * block, min(max(n, 1), block))


def evenly(n_rows: int, per_chunk: int) -> int:
    """Rows of a chunk, up to an eighth more than ``per_chunk``, so that all of ``n_rows`` are cut into about as many:
    a chunk of a few rows left over takes nearly as long as a whole one.
    """
    block = kernels.rows.BLOCK
    most = min(9 * per_chunk // 8, max(per_chunk, MAX_CHUNK))
    n_chunks = max(1, -(-n_rows // most))
    n = -(-n_rows // n_chunks // block) * block
    return n if n <= most else per_chunk
