"""Venn-Abers predictors: a pair of probabilities from two isotonic fits, one for either label of the test object."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import Array, Column, DataError
from ..ordered.columns import ScoredRows
from ..ordered.groups import MAX_COUNT, Groups, groups
from .base import Applier, OneAgainstRest
from .forms import Form, Input, Taken, checked_input
from .rows import Rows
from .two_logits import AsGiven

CELLS_PER_KNOT = 4
MOST_CELLS = 1 << 16
LEAST = 2.0**-1000  # what heavy weights may have made 0 of 1 - p0: beside another fold's p0 = 0, 0 / 0


# Knots with p0 and p1 beside them, and what says where to look for a score.
Table = tuple[Array, np.uint64, Array]


class VennAbers(OneAgainstRest):
    """Venn-Abers predictors: p0 and p1 from isotonic fits to the rows and the test object with label 0, and with 1.

    Vovk, Petej, Fedorova 2015, "Large-scale probabilistic predictors with and without guarantees of validity". A fit
    tabulates both isotonic fits for every score that may come, in O(N log N), exactly: p0 and p1 are those of the
    definition, rows of equal scores being tied. ``predict_interval`` gives the pair, p0 <= p1, of which one is
    calibrated whatever the distribution; ``predict_proba`` p1 / (1 - p0 + p1), which makes the log loss least in the
    worst case. ``folds=k`` is their cross predictor on one set of scores: row i belongs to fold i mod k, each fold is a
    predictor of its own, and odds are geometric means over folds: of p1 / (1 - p0) for ``predict_proba``, of
    p0 / (1 - p0) and p1 / (1 - p1) for the interval.

    Three and more classes have a predictor each against the rest, and rows of ``predict_proba`` are divided by their
    sum. Only the order of scores matters: probabilities are taken as they are; of ``input="logits"`` (N,) z itself, of
    two logits the difference, of more the log-softmax; -inf is the lowest of all. Weights count rows as many times
    as they say, integers exactly, and the test object has weight 1.

    Fitted: ``knots_`` (T,), scores where p0 or p1 change, of all folds and in each of all classes; ``starts_``
    (folds * M + 1,), where those of a fold and class begin; ``p0_`` and ``p1_`` (T + folds * M,), between, below and
    above them. Rows are held whole, 4 or 8 bytes a score, as they have to be sorted; batches may come from a generator.

    >>> import fastcal as fc
    >>> venn = fc.VennAbers().fit([0.1, 0.3, 0.35, 0.6, 0.8], [0, 0, 1, 0, 1])
    >>> p0, p1 = venn.predict_interval([0.2, 0.7])
    >>> p0.round(3), p1.round(3), venn.predict_proba([0.2, 0.7]).round(3)
    (array([0.   , 0.333]), array([0.5, 1. ]), array([0.333, 0.6  ]))
    """

    default_input: ClassVar[Input] = "probs"
    taken: ClassVar[Taken] = "scores"
    minus_inf: ClassVar[bool] = True
    one_pass: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("knots_", "starts_", "p0_", "p1_")

    knots_: Array
    starts_: Array
    p0_: Array
    p1_: Array

    def __init__(
        self,
        *,
        folds: int | None = None,
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.folds = folds
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        folds = self.folds
        if folds is not None and (isinstance(folds, bool) or not isinstance(folds, Integral) or not 1 <= folds <= 1000):
            raise ValueError(f"folds is {folds!r}; expected None or an integer from 1 to 1000")
        checked_input(self.input, self.default_input)

    def _form(self) -> Form:
        return _InOrder(checked_input(self.input, self.default_input), self.taken, self.minus_inf)

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        held = list(rows.blocks())
        if not held:
            raise DataError("batches", (), "has no rows")
        n_maps, n_folds = rows.n_maps, self.folds or 1
        weights = _column([block.weights for block in held], None) if held[0].weights is not None else None
        labels = np.concatenate([block.labels for block in held])
        for fold in range(n_folds):
            if len(labels[fold::n_folds]) == 0:
                raise DataError("scores", (), f"has {len(labels)} rows, fewer than folds, {n_folds}")
            if weights is not None and not weights[fold::n_folds].any():
                of = f" of fold {fold}" if n_folds > 1 else ""
                raise DataError("sample_weight", (fold,), f"is 0, as all the others{of}; one has to be above 0")
        n_jobs = n_folds * n_maps
        many = n_jobs >= engine.thread_count(self.n_threads)
        fitted: dict[int, Steps] = {}

        def job(number: int, _: int) -> None:
            fold, k = divmod(number, n_maps)
            which = slice(fold, None, n_folds)
            scores = _column([block.scores for block in held], k - n_maps)[which]
            there = (labels[which] == (k if n_maps > 1 else 1)).view(np.uint8)
            rows = _scored(scores, there, None if weights is None else weights[which])
            threads = 1 if many else self.n_threads
            fitted[number] = Steps.of(groups(rows, threads, by_class=True), threads)

        engine.run(n_jobs, 1 << 30 if many else 0, 1, lambda: job, self.n_threads)
        found = [fitted[number] for number in range(n_jobs)]
        return {
            "knots_": np.concatenate([steps.knots for steps in found]),
            "starts_": np.cumsum([0, *(len(steps.knots) for steps in found)]),
            "p0_": np.concatenate([steps.low for steps in found]),
            "p1_": np.concatenate([steps.high for steps in found]),
        }

    def predict_interval(self, scores: Any) -> tuple[Array, Array]:
        """p0 and p1, float64, of the scores' shape: of (N,) P(y = 1), of rows each class against the rest.

        Raises as :meth:`predict_proba`.

        >>> import fastcal as fc
        >>> low, high = fc.VennAbers().fit([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1]).predict_interval([0.5])
        >>> low.tolist(), high.tolist()
        ([0.3333333333333333], [0.6666666666666666])
        """
        column, shape = self._column(scores)
        p0, p1 = np.empty(column.values.shape), np.empty(column.values.shape)
        tables = self._tables()

        def fill(part: Array, start: int, stop: int, _: Applier) -> None:
            n_maps = len(tables[0])
            low, high = _interval(tables, part[:, -n_maps:])
            p0[start:stop, -n_maps:], p1[start:stop, -n_maps:] = low, high
            if part.shape[1] == 2:
                p0[start:stop, :1], p1[start:stop, :1] = 1 - high, 1 - low

        self._apply(column, fill)
        return p0.reshape(shape), p1.reshape(shape)

    def _tables(self) -> list[list[Table]]:
        """The look-up tables of each fold's maps."""
        n_maps = (len(self.starts_) - 1) // (self.folds or 1)
        found = []
        for i, (start, stop) in enumerate(zip(self.starts_[:-1].tolist(), self.starts_[1:].tolist(), strict=True)):
            ends = slice(start + i, stop + i + 1)
            found.append(Steps(self.knots_[start:stop], self.p0_[ends], self.p1_[ends]).table())
        return [found[i : i + n_maps] for i in range(0, len(found), n_maps)]

    def _mapper(self) -> Applier:
        tables = self._tables()

        def merged(values: Array, out: Array) -> None:
            if len(tables) == 1:
                for k, (p0, p1) in enumerate(_pairs(tables[0], values)):
                    out[:, k] = p1 / (1 - p0 + p1)
            else:
                total = np.zeros(values.shape)
                for fold in tables:
                    for k, (p0, p1) in enumerate(_pairs(fold, values)):
                        total[:, k] += _log_odds(p1, 1 - p0)
                out[...] = _sigmoid(total / len(tables))

        return merged

    def _check_fitted(self) -> None:
        starts, n_maps = np.asarray(self.starts_), self.n_features_in_ if self.n_features_in_ > 2 else 1
        n = n_maps * (self.folds or 1)
        if starts.dtype != np.int64 or starts.shape != (n + 1,) or starts[0] != 0 or (np.diff(starts) < 1).any():
            raise ValueError(f"starts_ is no rising list of {n + 1} int64 from 0")
        for name, size in (("knots_", int(starts[-1])), ("p0_", int(starts[-1]) + n), ("p1_", int(starts[-1]) + n)):
            values = np.asarray(getattr(self, name))
            if values.dtype != np.float64 or values.shape != (size,) or not np.isfinite(values).all():
                raise ValueError(f"{name} is no array of {size} finite float64")
        inside = np.ones(len(self.knots_) - 1, bool)
        inside[starts[1:-1] - 1] = False
        if (np.diff(self.knots_)[inside] <= 0).any():
            raise ValueError("knots_ do not rise")
        last = starts[1:] + np.arange(n)  # the step above the last knot of a map
        above, below = np.delete(self.p0_, starts[:-1] + np.arange(n)), np.delete(self.p1_, last)
        rising = all((np.delete(np.diff(p), last[:-1]) >= 0).all() for p in (self.p0_, self.p1_))
        if not rising or self.p0_.min() < 0 or self.p1_.max() > 1 or self.p1_.min() <= 0 or (above > below).any():
            raise ValueError("p0_ and p1_ are no rising probabilities with p0 <= p1")


class _InOrder(AsGiven):
    """Scores of which only the order matters: of three and more logits the log-softmax; -inf as the lowest float."""

    def of(self, scores: Array) -> Array:
        """See :meth:`Form.of`."""
        binary = scores.shape[1] == 1
        fine = self.input == "probs" or (binary and kernels.score_forms.all_finite(scores.reshape(-1)))
        if fine or scores.shape[1] == 2:
            return super().of(scores)
        out = np.empty(scores.shape)
        kernels.score_forms.log_softmax(scores, out)  # binary ones: as they are
        np.maximum(out, np.finfo(np.float64).min, out=out)
        out.flags.writeable = False
        return out


def _column(parts: list[Any], k: int | None) -> Array:
    """One column of all blocks, read-only."""
    column: Array = np.concatenate([part if k is None else part[:, k] for part in parts])
    column.flags.writeable = False
    return column


def _scored(scores: Array, labels: Array, weights: Array | None) -> ScoredRows:
    """Rows that are known to be in order, as what sorts them takes them."""
    column = Column("scores", scores, scores.dtype)
    low, high, _, _ = kernels.sorting.survey(column.chunk(0, len(scores)))
    weighed = None if weights is None else Column("sample_weight", weights, weights.dtype)
    return ScoredRows(column, Column("y_true", labels, labels.dtype), None, weighed, int(low), int(high), (0.0, 1.0))


@dataclass(frozen=True)
class Steps:
    """Both functions of a map: p0 continuous from above, p1 from below, constant between knots (m,)."""

    knots: Array
    low: Array  # (m + 1,) p0
    high: Array  # (m + 1,) p1

    @classmethod
    def of(cls, found: Groups, n_threads: int | None) -> Steps:
        """Of groups of equal scores with the weights of either label."""
        m = len(found.score)
        sums = _in_counts(found.sums)
        values = np.empty((2, m))

        def tabulate(number: int, _: int) -> None:
            mirrored = number == 0
            points, rests = _points(sums, mirrored)
            one = points.dtype.type(1)
            kernels.venn_abers.bridges(points, rests, one, mirrored, np.empty(m, np.int64), values[number])

        engine.run(2, 32 * m, 1, lambda: tabulate, n_threads)
        if sums.shape[1] == 4:  # what rounding may have turned round
            values = np.maximum.accumulate(np.clip(values, 0, 1), axis=1)
            values[0] = np.minimum(values[0], values[1])
        low, high = np.append(0.0, values[0]), np.append(values[1], 1.0)
        kept = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        kept[0] |= not kept.any()
        return cls(found.score[kept], low[np.append(True, kept)], high[np.append(kept, True)])

    def table(self) -> Table:
        """With a table that says where to look for a score."""
        steps = np.empty((len(self.knots) + 1, 4))
        steps[:, 0] = np.append(self.knots, np.inf)
        steps[:, 1] = self.high
        steps[:, 2] = self.low
        steps[:, 3] = np.append(self.low[1:], self.low[-1])
        keys = np.empty(2, np.int64)
        kernels.sorting.keys(self.knots[[0, -1]], keys)
        width = int(keys[1]) - int(keys[0])
        shift = max(width.bit_length() - min(CELLS_PER_KNOT * len(self.knots), MOST_CELLS).bit_length(), 0)
        table = np.empty((width >> shift) + 2, np.uint32)
        kernels.venn_abers.tabulate(steps, np.uint64(shift), table)
        return steps, np.uint64(shift), table


def _in_counts(sums: Array) -> Array:
    """Sums of weights as counts, where they are."""
    if sums.shape[1] == 2:
        return sums
    whole = (sums[:, 1::2] == 0).all() and (sums == np.rint(sums)).all() and sums.sum() < MAX_COUNT
    return sums[:, ::2].astype(np.int64) if whole else sums


def _points(sums: Array, mirrored: bool) -> tuple[Array, Array | None]:
    """What kernels take: cumulated sums, from the last group to the first with labels changed if ``mirrored``."""
    m = len(sums)
    if sums.shape[1] == 2:
        counts = np.zeros((m + 1, 2), np.int64)
        for column in range(2):  # four times as fast as both at once
            np.cumsum(sums[::-1, 1 - column] if mirrored else sums[:, column], out=counts[1:, column])
        return counts, None
    points, rests = np.empty((m + 1, 2)), np.empty((m + 1, 2))
    turned = np.ascontiguousarray(sums[::-1][:, [2, 3, 0, 1]]) if mirrored else sums
    kernels.venn_abers.cumulate(turned, points, rests)
    return points, rests


def _pairs(tables: list[Table], values: Array) -> Any:
    """p0 and p1 of each column."""
    for k, table in enumerate(tables):
        found = np.empty((len(values), 2))
        kernels.venn_abers.pairs(values, np.int64(k), *table, found)
        yield found[:, 0], found[:, 1]


def _interval(tables: list[list[Table]], values: Array) -> tuple[Array, Array]:
    """p0 and p1 (n, m), of several folds by the geometric mean of their odds."""
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    low, high = np.zeros(values.shape), np.zeros(values.shape)
    if len(tables) == 1:
        for k, pair in enumerate(_pairs(tables[0], values)):
            low[:, k], high[:, k] = pair
        return low, high
    for fold in tables:
        for k, (p0, p1) in enumerate(_pairs(fold, values)):
            low[:, k] += _log_odds(p0, np.maximum(1 - p0, LEAST))
            high[:, k] += _log_odds(p1, 1 - p1)
    return _sigmoid(low / len(tables)), _sigmoid(high / len(tables))


def _log_odds(p: Array, rest: Array) -> Array:
    """log(p / rest), infinite where one of them is 0."""
    with np.errstate(divide="ignore"):
        found: Array = np.log(p) - np.log(rest)
    return found


def _sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):
        found: Array = 1 / (1 + np.exp(-z))
    return found
