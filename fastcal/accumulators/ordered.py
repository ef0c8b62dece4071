"""Mergeable states of scores in their order: rankings and isotonic fits without all rows in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from ..arrays import Array
from ..ordered.cells import LARGEST_KEY, MAX_LEVEL, Cells, in_two_parts
from ..ordered.columns import Names, ScoredRows, scored_rows
from ..ordered.fit import IsotonicFit
from ..ordered.groups import Groups, blocks_of, groups
from ..ordered.ranking import Ranking
from .evaluation_report import EvaluationReport
from .mergeable import Mergeable
from .serial import pack, unpack

NAMES = Names("score", "y_true", "sample_weight")
MIN_CELLS, MAX_CELLS = 1 << 10, 1 << 26
DEFAULT_CELLS = 1 << 16


class CellAccumulator(Mergeable):
    """Cells of scores with two sums each: update, merge, compute.

    Up to ``n_cells`` distinct scores the state holds each of them, so that figures are exact; float16 and bfloat16 have
    no more than the default of 65 536. Beyond, it holds cells of scores that share their leading bits, as few bits as
    there are cells for: the cells depend on the set of scores alone, so that any split of the rows over updates and
    merges gives the same state (real weights and targets: the same to 1e-12).
    """

    by_class: bool
    labels_only: bool

    def __init__(self, *, settings: dict[str, Any], n_cells: int | None, n_threads: int | None) -> None:
        if n_cells is not None and not (type(n_cells) is int and MIN_CELLS <= n_cells <= MAX_CELLS):
            raise ValueError(f"n_cells is {n_cells!r}; expected an integer from {MIN_CELLS} to {MAX_CELLS}")
        super().__init__({**settings, "n_cells": n_cells}, n_threads)
        self._state = Cells.empty()
        self._n = 0
        self._square = (0.0, 0.0)  # sum of weight times squared target, in two parts; of floats only

    def reset(self) -> Self:
        """Forget everything seen; returns self."""
        with self._changing():
            self._state, self._n, self._square = Cells.empty(), 0, (0.0, 0.0)
        return self

    def update(self, y_true: Any, score: Any, *, sample_weight: Any = None, dtype: str | None = None) -> Self:
        """Add rows; returns self.

        ``y_true`` (N,) labels 0 and 1, ``score`` (N,) any finite numbers (``dtype="bfloat16"``: its bits as uint16),
        ``sample_weight`` (N,), at least 0. Raises DataError, a ValueError, naming the argument, the row and the value;
        the state is then as it was before.
        """
        if np.shape(score) == (0,) and np.shape(y_true) == (0,):
            return self
        rows = scored_rows(
            score,
            y_true,
            sample_weight,
            names=NAMES,
            labels_only=self.labels_only,
            dtype=dtype,
            n_threads=self._n_threads,
        )
        found = self._groups(rows)
        added = Cells.of(found, self._settings["n_cells"])
        with self._changing():
            state = self._state.merged(added, self._settings["n_cells"], by_class=self.by_class)
            self._square = _two_sums(self._square, (_square(rows, found), 0.0))
            self._state, self._n = state, self._n + int(rows.n_rows)
        return self

    def _groups(self, rows: ScoredRows) -> Groups:
        return groups(rows, self._n_threads, by_class=self.by_class)

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings differ."""
        self._check_same(other)
        with self._changing():
            state = self._state.merged(other._state, self._settings["n_cells"], by_class=self.by_class)
            self._square = _two_sums(self._square, other._square)
            self._state, self._n = state, self._n + other._n
        return self

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self._n == 0

    @property
    def resolution(self) -> float:
        """How far apart two scores may be that are not told apart, at most; 0 while the state is exact."""
        return self._state.resolution()

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version; equal counts give equal bytes."""
        arrays = {
            "counts": np.array([self._n, self._state.level], np.int64),
            "square": np.array(self._square).view(np.int64),
            "keys": self._state.keys,
            "sums": np.ascontiguousarray(self._state.sums).view(np.int64),
        }
        return pack(type(self).__name__, self._settings, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a state; raises ValueError for bytes that are no state of this class, damaged or made up."""
        settings, arrays = unpack(data, cls.__name__)
        try:
            accumulator = cls(**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a fastcal state: {error}") from error
        if settings != accumulator._settings:
            raise ValueError(f"not a fastcal state: its settings are not those of {cls.__name__}")
        accumulator._take(arrays)
        return accumulator

    def _take(self, arrays: dict[str, Array]) -> None:
        """Become what arrays from outside say, once they were found to be a state."""
        shapes = {name: array.shape for name, array in arrays.items()}
        n = shapes.get("keys", (0,))[0] if shapes.get("keys") else 0
        columns = (shapes.get("sums") or (0, 0))[-1]
        expected = {"counts": (2,), "square": (2,), "keys": (n,), "sums": (n, columns)}
        if shapes != expected or columns not in (2, 4):
            raise ValueError("not a fastcal state: its arrays are not those of cells")
        n_rows, level = arrays["counts"].tolist()
        square = arrays["square"].view(np.float64)
        keys, sums = arrays["keys"], arrays["sums"] if columns == 2 else arrays["sums"].view(np.float64)
        least, largest = (-LARGEST_KEY - 1) >> max(level, 0), LARGEST_KEY >> max(level, 0)
        limit = self._settings["n_cells"]
        sound = (
            0 <= level <= MAX_LEVEL
            and (keys[1:] > keys[:-1]).all()
            and (n == 0 or (keys[0] >= least and keys[-1] <= largest))
            and (limit is None or n <= limit)
            and (limit is not None or level == 0)
            and np.isfinite(sums).all()
            and not np.isnan(square).any()
            and self._sound(sums)
            and 0 <= n_rows < 1 << 62
            and (columns == 4 or int(sums.sum()) == n_rows)
            and (n > 0 or n_rows == 0 or columns == 4)
        )
        if not sound:
            raise ValueError("not a fastcal state: its cells contradict each other")
        self._state, self._n = Cells(level, keys, sums), n_rows
        self._square = (float(square[0]), float(square[1]))

    def _sound(self, sums: Array) -> bool:
        """Whether sums can be those of rows."""
        if sums.shape[1] == 2:
            return bool((sums >= 0).all() and (sums.sum(axis=1) > 0).all() and (sums < 1 << 61).all())
        weights = sums[:, :2].sum(axis=1) + (sums[:, 2:].sum(axis=1) if self.by_class else 0)
        least = min(sums[:, 0].min(initial=0), sums[:, 2].min(initial=0) if self.by_class else 0)
        return bool((weights > 0).all() and least >= 0)

    def _copy(self) -> Self:
        new = type(self)(**self._settings, n_threads=self._n_threads)
        new._state, new._n, new._square = self._state, self._n, self._square  # cells are never written to
        return new

    def _n_rows(self) -> int:
        return self._n


class RankingAccumulator(CellAccumulator):
    """Streaming AUROC, average precision and FPR at 95 % TPR.

    ``n_cells``: see :class:`CellAccumulator`. ``compute()`` has ``auroc_bound``, too: how far ``auroc`` may be from
    that of the scores themselves; 0 while the state is exact. ``ranking()`` gives the curves' steps.

    >>> import fastcal as fc
    >>> fc.RankingAccumulator().update([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).compute()["auroc"]
    0.75
    """

    by_class = True
    labels_only = True

    def __init__(self, *, n_cells: int = DEFAULT_CELLS, n_threads: int | None = None) -> None:
        super().__init__(settings={}, n_cells=n_cells, n_threads=n_threads)

    def ranking(self) -> Ranking:
        """The cells as groups of equal scores."""
        return Ranking(self._state.groups())

    def compute(self) -> EvaluationReport:
        """All figures; NaN where a label is missing."""
        if self._state.keys.size == 0:
            figures = dict.fromkeys(("auroc", "auroc_bound", "average_precision", "fpr_at_95_tpr"), math.nan)
        else:
            ranking = self.ranking()
            figures = {
                "auroc": ranking.auroc(),
                "auroc_bound": ranking.auroc_bound() if self._state.level else 0.0,
                "average_precision": ranking.average_precision(),
                "fpr_at_95_tpr": ranking.fpr_at_tpr(0.95),
            }
        descriptions = {
            "n": "Rows.",
            "auroc": "Area under the ROC curve.",
            "auroc_bound": "How far AUROC may be from that of the scores themselves.",
            "average_precision": "Average precision.",
            "fpr_at_95_tpr": "False positive rate where the true positive rate reaches 0.95.",
            "resolution": "How far apart two scores may be that are not told apart.",
        }
        return EvaluationReport({"n": self._n, **figures, "resolution": self.resolution}, descriptions)


class IsotonicAccumulator(CellAccumulator):
    """Streaming isotonic regression of labels or real targets on scores.

    ``increasing``; ``n_cells``: see :class:`CellAccumulator`. ``compute()`` gives an :class:`IsotonicFit`, which is
    exact while there are no more than ``n_cells`` distinct scores, and says what it may be off by after that;
    :meth:`refined` makes it exact with one more look at the rows.

    >>> import fastcal as fc
    >>> fc.IsotonicAccumulator().update([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9]).compute().mean
    array([0. , 0.5, 1. ])
    """

    by_class = False
    labels_only = False

    def __init__(
        self, *, increasing: bool = True, n_cells: int | None = DEFAULT_CELLS, n_threads: int | None = None
    ) -> None:
        super().__init__(settings={"increasing": bool(increasing)}, n_cells=n_cells, n_threads=n_threads)

    def compute(self) -> IsotonicFit:
        """The fit of what was seen; raises ValueError before any row."""
        if not self._state.keys.size:
            raise ValueError("no rows (of a weight above 0) to fit")
        fit = blocks_of(self._state.groups(), falling=not self._settings["increasing"])
        if self._state.level == 0:
            return IsotonicFit.of(fit)
        return IsotonicFit.of(fit, self.resolution, self._variance_within())

    def _variance_within(self) -> float:
        """The mean squared distance of targets from the mean of their cell.

        The fit of cells is the best of all that are constant on cells, and so is no worse than the exact fit's means
        over cells; within cells the exact fit can gain no more than this.
        """
        weight, target = in_two_parts(self._state.sums, by_class=False).reshape(-1, 2, 2).sum(axis=2).T
        return max(sum(self._square) - math.fsum(target * target / weight), 0.0) / math.fsum(weight)

    def refined(self, batches: Iterable[tuple[Any, ...]]) -> IsotonicFit:
        """The exact fit, from a second look at the same rows, batches of (y_true, score) or (y_true, score, weight).

        Rows are kept for the cells only in which a step of the exact fit may lie. Raises ValueError for rows that are
        not those of the first look.
        """
        if self._state.level == 0:
            return self.compute()
        second = IsotonicRefinement(self)
        for batch in batches:
            second.update(*batch)
        return second.compute()


class IsotonicRefinement:
    """The second look at the rows of an :class:`IsotonicAccumulator`: what its ``refined`` does, for many machines.

    ``update`` and ``merge`` as accumulators do; ``compute`` gives the exact fit. It holds the distinct scores of the
    cells where a step of the fit may lie, all others as they are.
    """

    def __init__(self, first: IsotonicAccumulator) -> None:
        self._first = first
        self._hot = first._state.keys[hot_cells(first._state, falling=not first._settings["increasing"])]
        self._rows = IsotonicAccumulator(**{**first._settings, "n_cells": None}, n_threads=first._n_threads)

    @property
    def n_scores(self) -> int:
        """Distinct scores held."""
        return len(self._rows._state.keys)

    def update(self, y_true: Any, score: Any, sample_weight: Any = None) -> Self:
        """Add rows of the second look; returns self."""
        rows = scored_rows(score, y_true, sample_weight, names=NAMES, n_threads=self._rows._n_threads)
        cells = Cells.of(self._rows._groups(rows), None)
        level = np.int64(self._first._state.level)
        kept = _among(cells.keys >> level, self._hot)
        kept_cells = Cells(0, cells.keys[kept], cells.sums[kept])
        self._rows._state = self._rows._state.merged(kept_cells, None, by_class=False)
        self._rows._n += rows.n_rows
        return self

    def merge(self, other: IsotonicRefinement) -> Self:
        """Add what another has seen of the same first look; returns self."""
        if not np.array_equal(self._hot, other._hot):
            raise ValueError("cannot merge: the two refine different accumulators")
        self._rows._state = self._rows._state.merged(other._rows._state, None, by_class=False)
        self._rows._n += other._rows._n
        return self

    def compute(self) -> IsotonicFit:
        """The exact fit; raises ValueError where the second look did not see the rows of the first."""
        first, found = self._first._state, self._rows._state
        hot = _among(first.keys, self._hot)
        seen, said = (in_two_parts(sums, by_class=False) for sums in (found.sums, first.sums[hot]))
        same = np.allclose(seen.sum(axis=0), said.sum(axis=0), rtol=1e-9, atol=1e-9 * abs(said).sum())
        if self._rows._n != self._first._n or not same:
            raise ValueError(f"the second look saw other rows: {self._rows._n} of {self._first._n}, or other values")
        cold = Cells(0, first.keys[~hot] << np.int64(first.level), first.sums[~hot])
        both = cold.merged(found, None, by_class=False)
        return IsotonicFit.of(blocks_of(both.groups(), falling=not self._first._settings["increasing"]))


def hot_cells(cells: Cells, *, falling: bool) -> Array:
    """In which cells a step of the exact fit may lie: True for these.

    In the diagram of cumulated weights and targets the exact fit is the greatest convex minorant of all rows. That of
    the cells' corners lies above it. A cell whose rows cannot reach down to it, even if all of label 0 came first, has
    no corner of the exact one. Of real targets nothing is known within cells.
    """
    if not len(cells.keys):
        return np.zeros(0, bool)
    weight, target = in_two_parts(cells.sums, by_class=False).reshape(-1, 2, 2).sum(axis=2).T
    if cells.level == 0:
        return np.zeros(len(weight), bool)
    if ((target < 0) | (target > weight)).any() or cells.sums.shape[1] == 4:
        return np.ones(len(weight), bool)
    if falling:
        target = weight - target
    order = Cells(0, np.arange(len(weight)), cells.sums)
    fit = blocks_of(Groups(order.keys.astype(float), cells.sums), falling=falling)
    first = fit.first.astype(np.int64)
    block = np.repeat(np.arange(len(first)), np.diff(first, append=len(weight)))
    value = np.repeat(
        np.add.reduceat(target, first) / np.add.reduceat(weight, first), np.diff(first, append=len(weight))
    )
    above = np.cumsum(target - value * weight)  # height over the minorant after each cell; whole blocks add up to 0
    before = np.append(0.0, above[:-1])
    lowest = before - value * (weight - target)
    margin = 1e-9 * (1 + weight.sum() * 1e-3)
    at_end = np.append(block[1:] != block[:-1], True)
    at_start = np.append(True, at_end[:-1])
    return np.asarray((lowest <= margin) | (before <= margin) | (above <= margin) | at_end | at_start)


def _among(keys: Array, some: Array) -> Array:
    """Which of these keys, which rise, are among some others, which rise too."""
    if not len(some):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(some, keys), len(some) - 1)
    return np.asarray(some[at] == keys)


def _square(rows: ScoredRows, found: Groups) -> float:
    """The sum of weight times squared target."""
    if rows.targets is None and rows.weights is None:
        return float(found.sums[:, 1].sum())
    column = rows.targets or rows.labels
    assert column is not None
    total = []
    for start in range(0, rows.n_rows, 1 << 18):
        target = column.chunk(start, start + (1 << 18)).astype(np.float64)
        weight = 1.0 if rows.weights is None else rows.weights.chunk(start, start + (1 << 18))
        total.append(float(np.sum(weight * target * target)))
    return math.fsum(total)


def _two_sums(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    total = one[0] + other[0]
    part = total - one[0]
    return total, one[1] + other[1] + ((one[0] - (total - part)) + (other[0] - part))
