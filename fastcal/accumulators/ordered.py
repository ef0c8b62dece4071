"""Mergeable states of scores in their order: rankings and isotonic fits without all rows in memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from fastcal import kernels

from ..arrays import LEAST_WEIGHT, Array
from ..ordered.cells import LARGEST_KEY, MAX_LEVEL, Cells, among, hot_cells
from ..ordered.columns import STRETCH, Names, ScoredRows, scored_rows
from ..ordered.fit import IsotonicFit
from ..ordered.groups import blocks_of, groups, in_two_parts
from ..ordered.ranking import Ranking
from .evaluation_report import EvaluationReport
from .mergeable import Mergeable
from .serial import pack, unpack

NAMES = Names("score", "y_true", "sample_weight")
MIN_CELLS, MAX_CELLS = 1 << 10, 1 << 26
DEFAULT_CELLS = 1 << 16
MAX_COUNT = 1 << 61  # rows of a state: as many again can be added


def check_cells(n_cells: int | None) -> int | None:
    """``n_cells`` as an integer or None; raises ValueError for another."""
    if n_cells is None:
        return None
    if isinstance(n_cells, bool) or not isinstance(n_cells, int | np.integer):
        raise ValueError(f"n_cells is {n_cells!r}; expected an integer")
    if not MIN_CELLS <= n_cells <= MAX_CELLS:
        raise ValueError(f"n_cells is {n_cells!r}; expected an integer from {MIN_CELLS} to {MAX_CELLS}")
    return int(n_cells)


def _is_empty(values: Any) -> bool:
    """Whether there is no row; of what has no shape NumPy would make an array to tell."""
    if not hasattr(values, "shape") and hasattr(values, "__len__") and len(values):
        return False
    return bool(np.shape(values) == (0,))


class CellAccumulator(Mergeable):
    """Cells of scores with two sums each: update, merge, compute.

    Up to ``n_cells`` distinct scores the state holds each of them, so that figures are exact; float16 and bfloat16 have
    no more than the default of 65 536. Beyond, it holds cells of scores that share their leading bits, as few bits as
    there are cells for: the cells depend on the set of scores alone, so that any split of the rows over updates and
    merges gives the same state (real weights and targets: the same to 1e-12). ``n_cells=None``: as many as there are.
    """

    by_class: bool
    labels_only: bool

    def __init__(self, *, settings: dict[str, Any], n_cells: int | None, n_threads: int | None) -> None:
        super().__init__({**settings, "n_cells": check_cells(n_cells)}, n_threads)
        self._forget()

    def _forget(self) -> None:
        self._state = Cells.empty()
        self._n = 0
        self._square = (0.0, 0.0)  # the sum of weights times squared targets, in two parts
        self._bounds = (math.inf, -math.inf)  # of the targets

    def reset(self) -> Self:
        """Forget everything seen; returns self."""
        with self._changing():
            self._forget()
        return self

    def update(self, y_true: Any, score: Any, *, sample_weight: Any = None, dtype: str | None = None) -> Self:
        """Add rows; returns self.

        ``y_true`` (N,) labels 0 and 1 (of an isotonic fit also real targets), ``score`` (N,) any finite numbers
        (``dtype="bfloat16"``: its bits as uint16), ``sample_weight`` (N,), each 0 or from 1e-100 to 1e100, and all may
        be 0. Raises DataError, a ValueError, naming the argument, the row and the value;
        the state is then as it was before.

        >>> import fastcal as fc
        >>> fc.RankingAccumulator().update([0, 1], [0.2, 0.7]).update([1], [0.1]).compute()["auroc"]
        0.5
        """
        if _is_empty(score) and _is_empty(y_true):
            return self
        rows = scored_rows(
            score,
            y_true,
            sample_weight,
            names=NAMES,
            labels_only=self.labels_only,
            weightless=True,
            dtype=dtype,
            n_threads=self._n_threads,
        )
        found = groups(rows, self._n_threads, by_class=self.by_class)
        added = Cells.of(found, self._settings["n_cells"])
        with self._changing():
            self._add(added, rows.n_rows, _square(rows, added), rows.bounds)
        return self

    def _add(self, cells: Cells, n: int, square: tuple[float, float], bounds: tuple[float, float]) -> None:
        if self._n + n >= MAX_COUNT:
            raise ValueError(f"a state counts fewer than {MAX_COUNT} rows; there would be {self._n + n}")
        state = self._state.merged(cells, self._settings["n_cells"], by_class=self.by_class)
        self._square = _two_sums(self._square, square)
        self._bounds = min(self._bounds[0], bounds[0]), max(self._bounds[1], bounds[1])
        self._state, self._n = state, self._n + n

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings differ.

        >>> import fastcal as fc
        >>> one, two = fc.RankingAccumulator().update([0], [0.2]), fc.RankingAccumulator().update([1], [0.7])
        >>> one.merge(two).compute()["auroc"]
        1.0
        """
        self._check_same(other)
        with self._changing():
            self._add(other._state, other._n, other._square, other._bounds)
        return self

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self._n == 0

    @property
    def n_scores(self) -> int:
        """Distinct scores, or cells of them, of rows with a weight above 0."""
        return len(self._state.keys)

    @property
    def resolution(self) -> float:
        """How far apart two scores may be that are not told apart, at most; 0 while the state is exact."""
        return self._state.resolution()

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version; equal counts give equal bytes."""
        arrays = {
            "counts": np.array([self._n, self._state.level], np.int64),
            "targets": np.array([*self._square, *self._bounds]).view(np.int64),
            "keys": self._state.keys,
            "sums": np.ascontiguousarray(self._state.sums).view(np.int64),
        }
        return pack(type(self).__name__, self._settings, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a state; raises ValueError for bytes that are no state of this class, damaged or made up."""
        settings, arrays, _ = unpack(data, cls.__name__)
        accumulator = cls._made_with(settings)
        accumulator._take(arrays)
        return accumulator

    def _take(self, arrays: dict[str, Array]) -> None:
        """Become what arrays from outside say, once they were found to be a state."""
        n = len(arrays.get("keys", ()))
        columns = arrays["sums"].shape[-1] if arrays.get("sums", np.empty(0)).ndim == 2 else 0
        expected = {"counts": (2,), "targets": (4,), "keys": (n,), "sums": (n, columns)}
        if {name: array.shape for name, array in arrays.items()} != expected or columns not in (2, 4):
            raise ValueError("not a fastcal state: its arrays are not those of cells")
        n_rows, level = arrays["counts"].tolist()
        *square, low, high = arrays["targets"].view(np.float64).tolist()
        keys, sums = arrays["keys"], arrays["sums"] if columns == 2 else arrays["sums"].view(np.float64)
        limit = self._settings["n_cells"]
        sound = (
            0 <= level <= MAX_LEVEL
            and 0 <= n_rows < MAX_COUNT
            and (keys[1:] > keys[:-1]).all()
            and (n == 0 or (keys[0] >= (-LARGEST_KEY - 1) >> level and keys[-1] <= LARGEST_KEY >> level))
            and (level == 0 if limit is None else n <= limit)
            and not np.isnan(square).any()
            and (low <= high if n_rows else (low, high) == (math.inf, -math.inf))
            and self._sound(sums, n_rows)
        )
        if not sound:
            raise ValueError("not a fastcal state: its cells contradict each other")
        self._state, self._n = Cells(level, keys, sums), n_rows
        self._square, self._bounds = (square[0], square[1]), (low, high)

    def _sound(self, sums: Array, n_rows: int) -> bool:
        """Whether sums can be those of so many rows."""
        if sums.shape[1] == 2:
            counted = (sums >= 0).all() and (sums < MAX_COUNT).all() and (sums.sum(axis=1) > 0).all()
            return bool(counted) and sum(map(int, sums.ravel())) <= n_rows
        if not (abs(sums) < 1e250).all():  # nor NaN
            return False
        parts = sums.reshape(-1, 2, 2)[:, : 2 if self.by_class else 1]  # of weights, which are none or some
        rests = abs(parts[..., 1]) <= 1e-6 * abs(parts[..., 0])  # what rounding took from a sum is far less
        totals = parts.sum(axis=2)
        none_or_some = (totals == 0) | (totals >= LEAST_WEIGHT * 0.999)
        return bool(rests.all() and none_or_some.all() and (totals > 0).any(axis=1).all())

    def _copy(self) -> Self:
        new = type(self)(**self._settings, n_threads=self._n_threads)
        new._state, new._n = self._state, self._n  # cells are never written to
        new._square, new._bounds = self._square, self._bounds
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

    def __init__(self, *, n_cells: int | None = DEFAULT_CELLS, n_threads: int | None = None) -> None:
        super().__init__(settings={}, n_cells=n_cells, n_threads=n_threads)

    def ranking(self) -> Ranking:
        """The cells as groups of equal scores."""
        return Ranking(self._state.groups())

    def compute(self) -> EvaluationReport:
        """All figures; NaN where a label is missing.

        >>> import fastcal as fc
        >>> fc.RankingAccumulator().update([0, 1, 1], [0.2, 0.7, 0.1]).compute()["average_precision"]
        0.8333333333333333
        """
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
        if not isinstance(increasing, bool | np.bool_):
            raise ValueError(f"increasing is {increasing!r}; expected True or False")
        super().__init__(settings={"increasing": bool(increasing)}, n_cells=n_cells, n_threads=n_threads)

    def compute(self) -> IsotonicFit:
        """The fit of what was seen; raises ValueError before any row.

        >>> import fastcal as fc
        >>> fc.IsotonicAccumulator().update([0, 1, 0], [0.1, 0.2, 0.3]).compute().predict([0.1, 0.3]).tolist()
        [0.0, 0.5]
        """
        if not self._state.keys.size:
            raise ValueError("no rows (of a weight above 0) to fit")
        fit = blocks_of(self._state.groups(), falling=not self._settings["increasing"])
        if self._state.level == 0:
            return IsotonicFit.of(fit)
        fit = dataclasses.replace(fit, last=self._state.ends(fit.last))
        # The fit of cells is the best of all that are constant on cells, and so no worse than the exact fit's means
        # over cells; within cells the exact fit can gain no more than their variance.
        return IsotonicFit.of(fit, self.resolution, self._state.variance_within(self._square))

    def refined(self, batches: Iterable[tuple[Any, ...]]) -> IsotonicFit:
        """The exact fit, from a second look at the same rows, batches of (y_true, score) or (y_true, score, weight).

        Rows are kept for the cells only in which a step of the exact fit may lie. Raises ValueError for rows that are
        not those of the first look. A state that is exact already does not look at them.

        >>> import fastcal as fc
        >>> batches = [([0, 1], [0.1, 0.2]), ([0], [0.3])]
        >>> seen = fc.IsotonicAccumulator().update(*batches[0]).update(*batches[1])
        >>> seen.refined(batches).predict([0.1, 0.3]).tolist()
        [0.0, 0.5]
        """
        if self._state.level == 0:
            return self.compute()
        second = IsotonicRefinement(self)
        for y_true, score, *weight in batches:
            second.update(y_true, score, sample_weight=weight[0] if weight else None)
        return second.compute()


class IsotonicRefinement:
    """The second look at the rows of an :class:`IsotonicAccumulator`: what its ``refined`` does, for many machines.

    ``update`` and ``merge`` as accumulators do, pickles too; ``compute`` gives the exact fit. It holds the distinct
    scores of the cells where a step of the fit may lie, all other cells as they are, and what it takes to notice that
    the rows are not those of the first look.

    >>> import fastcal as fc
    >>> batches = [([0, 1], [0.1, 0.2]), ([0], [0.3])]
    >>> seen = fc.IsotonicAccumulator().update(*batches[0]).update(*batches[1])
    >>> second = fc.IsotonicRefinement(seen).update(*batches[0]).update(*batches[1])
    >>> second.compute().predict([0.1, 0.3]).tolist()
    [0.0, 0.5]
    """

    def __init__(self, first: IsotonicAccumulator) -> None:
        self._first = first
        falling = not first._settings["increasing"]
        self._hot = first._state.keys[hot_cells(first._state, first._bounds, falling=falling)]
        self._rows = Cells.empty()
        self._seen = IsotonicAccumulator(**first._settings, n_threads=first._n_threads)

    @property
    def n_scores(self) -> int:
        """Distinct scores held."""
        return len(self._rows.keys)

    def update(self, y_true: Any, score: Any, *, sample_weight: Any = None, dtype: str | None = None) -> Self:
        """Add rows of the second look; returns self."""
        one = IsotonicAccumulator(**{**self._first._settings, "n_cells": None}, n_threads=self._first._n_threads)
        one.update(y_true, score, sample_weight=sample_weight, dtype=dtype)
        kept = among(one._state.keys >> np.int64(self._first._state.level), self._hot)
        rows = Cells(0, one._state.keys[kept], one._state.sums[kept])
        self._take(rows, one._state.limited(self._first._settings["n_cells"]), one)
        return self

    def merge(self, other: IsotonicRefinement) -> Self:
        """Add what another has seen of the same first look; returns self."""
        if not np.array_equal(self._hot, other._hot):
            raise ValueError("cannot merge: the two refine different accumulators")
        self._take(other._rows, other._seen._state, other._seen)
        return self

    def _take(self, rows: Cells, cells: Cells, seen: IsotonicAccumulator) -> None:
        with self._seen._changing():
            self._rows = self._rows.merged(rows, None, by_class=False)
            self._seen._add(cells, seen._n, seen._square, seen._bounds)

    def compute(self) -> IsotonicFit:
        """The exact fit; raises ValueError where the second look did not see the rows of the first."""
        first, seen = self._first._state, self._seen._state
        same = self._seen._n == self._first._n and first.level == seen.level and np.array_equal(first.keys, seen.keys)
        if same:
            ours, theirs = (in_two_parts(cells.sums, by_class=False) for cells in (first, seen))
            same = np.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * abs(ours).max(initial=0))
        if not same:
            raise ValueError(f"the second look saw other rows: {self._seen._n} of {self._first._n}, or other values")
        cold = ~among(first.keys, self._hot)
        cells = Cells(0, first.keys[cold] << np.int64(first.level), first.sums[cold])
        both = cells.merged(self._rows, None, by_class=False)
        return IsotonicFit.of(blocks_of(both.groups(), falling=not self._first._settings["increasing"]))


def _square(rows: ScoredRows, cells: Cells) -> tuple[float, float]:
    """The sum of weights times squared targets, in two parts."""
    if rows.targets is None:  # 0 and 1 are their own squares
        both = in_two_parts(cells.sums, by_class=False)[:, 2:]
        return math.fsum(both[:, 0]), math.fsum(both[:, 1])
    total = (0.0, 0.0)
    for start in range(0, rows.n_rows, STRETCH):
        weights = None if rows.weights is None else rows.weights.chunk(start, start + STRETCH)
        total = _two_sums(total, kernels.grouping.squares(rows.targets.chunk(start, start + STRETCH), weights))
    return total


def _two_sums(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    total = one[0] + other[0]
    if math.isinf(total):
        return total, 0.0
    part = total - one[0]
    return total, one[1] + other[1] + ((one[0] - (total - part)) + (other[0] - part))
