"""Selective prediction of streams: the risk among the rows that are kept, from a mergeable sketch."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import LEAST_WEIGHT, Array, DataError, NanPolicy, Predictions, array_or_bits, predictions, unmasked
from ..ordered.cells import Cells
from ..ordered.columns import Names, ScoredRows, scored_rows
from ..ordered.groups import groups
from ..ordered.selective import SelectiveRanking, read_only
from ..stretches import elementwise
from .base import NAN_POLICIES
from .evaluation_report import EvaluationReport
from .order import ONE, Dense
from .ordered import DEFAULT_CELLS, MAX_COUNT, CellAccumulator
from .rows import WIDE, Rows, bytes_per_row, rows_per_chunk
from .serial import pack, unpack

NAMES = Names("confidence", "y_true", "sample_weight")
COVERAGE, RISK = 0.8, 0.05  # at which the report has figures


@dataclass(frozen=True)
class RiskCoverageCurve:
    """What is kept and what of it is wrong, at thresholds of the confidence from the highest down; all (m,), float64.

    Of the rows at or above ``threshold``: ``coverage``, their share of all rows; ``risk``, the share of errors among
    them; ``generalized_risk``, errors among them as a share of all rows, coverage times risk (Traub et al. 2024).

    >>> import fastcal as fc
    >>> curve = fc.risk_coverage_curve([0, 1, 1], [0.1, 0.9, 0.4])
    >>> curve.coverage.round(2).tolist(), curve.risk.round(2).tolist()
    ([0.67, 1.0], [0.0, 0.33])
    """

    coverage: Array
    risk: Array
    generalized_risk: Array
    threshold: Array

    @classmethod
    def of(cls, ranking: SelectiveRanking | None) -> RiskCoverageCurve:
        """Of groups of equal confidence; None of no rows."""
        threshold, kept, wrong, total = ranking.steps() if ranking else (*(np.empty(0),) * 3, 1)
        of_all = [elementwise(lambda one: one / total, some) for some in (kept, wrong)]
        return cls(of_all[0], elementwise(np.divide, wrong, kept), of_all[1], elementwise(np.array, threshold))

    def undefined(self) -> RiskCoverageCurve:
        """The same thresholds with NaN for the risks."""
        nan = np.full(len(self.risk), math.nan)
        return replace(self, risk=nan, generalized_risk=nan.copy())

    def to_dict(self) -> dict[str, Any]:
        """The arrays, as lists."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    def plot(self, ax: Any = None) -> Any:
        """Draw risk against coverage, on new axes or on ``ax``; returns the Axes. Needs matplotlib.

        Beside it stand the perfect ranking of the same errors and the risk of keeping rows at random.

        >>> import fastcal as fc
        >>> fc.risk_coverage_curve([0, 1, 1], [0.1, 0.9, 0.4]).plot().get_xlabel()
        'coverage'
        """
        # by name: the figures' layer lies above this one
        return importlib.import_module("fastcal.report.risk_coverage").draw(self, ax)


@dataclass(frozen=True)
class JudgedRows:
    """Rows that are distributions: a confidence each, whether the prediction is wrong (1), and weights or none."""

    confidence: Array
    errors: Array
    weights: Array | None
    n_nan: int  # rows that are none
    bits: bool = False  # the confidence is bfloat16
    own: bool = True  # it is a probability, and in order
    places: Array | None = None  # where the rows stood, if some were left out
    shape: tuple[int, ...] = ()  # in which they were given

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.errors)

    @property
    def n_ranked(self) -> int:
        """Rows of a weight above 0."""
        return self.n if self.weights is None else int(np.count_nonzero(self.weights))

    def scored(self, n_threads: int | None) -> ScoredRows:
        """As what sorts them takes them; at least one. Raises DataError for a confidence that is not finite."""
        options: dict[str, Any] = {"labels_only": True, "weightless": True, "dtype": "bfloat16" if self.bits else None}
        try:
            return scored_rows(self.confidence, self.errors, self.weights, names=NAMES, n_threads=n_threads, **options)
        except DataError as error:  # all else was looked at
            at = error.index[0] if self.places is None else self.places[error.index[0]]
            where = tuple(int(one) for one in np.unravel_index(at, self.shape))
            raise DataError(error.argument, where, error.problem) from None


def judged_rows(
    y_true: Any,
    y_prob: Any,
    confidence: Any = None,
    *,
    from_logits: bool = False,
    sample_weight: Any = None,
    nan_policy: NanPolicy = "raise",
    n_threads: int | None = None,
) -> JudgedRows:
    """Of each row whether its prediction is wrong, and how confident it is, or what ``confidence`` says.

    Raises DataError naming the argument, the place and the value.
    """
    check_options(from_logits, nan_policy)
    batch = predictions(y_true, y_prob, sample_weight=sample_weight, from_logits=from_logits)
    given, bits = (None, False) if confidence is None else _given(confidence, batch.shape)
    errors = memory.empty((batch.n_rows,), np.dtype(np.uint8))
    scores = memory.empty((batch.n_rows,), batch.scores.dtype) if given is None else given
    weights = None if batch.weights is None else batch.weights.values
    n_nan = _judge(batch, None if given is not None else scores, errors, nan_policy == "raise", n_threads)
    places = None
    if n_nan:
        places = np.flatnonzero(errors != kernels.selective.NO_DISTRIBUTION)
        scores, errors = scores[places], errors[places]
        weights = None if weights is None else weights[places]
    return JudgedRows(scores, errors, weights, n_nan, bits, given is None, places, batch.shape)


def check_options(from_logits: Any, nan_policy: Any) -> None:
    """Raise ValueError for what is no option."""
    if not isinstance(from_logits, bool | np.bool_):
        raise ValueError(f"from_logits is {from_logits!r}; expected True or False")
    if nan_policy not in NAN_POLICIES:
        raise ValueError(f"nan_policy is {nan_policy!r}; expected one of {', '.join(NAN_POLICIES)}")


def _given(confidence: Any, shape: tuple[int, ...]) -> tuple[Array, bool]:
    """Scores of the caller's own, flat, and whether they are the bits of bfloat16."""
    values, bits = array_or_bits(NAMES.scores, confidence)
    if values.shape != shape:
        raise DataError(NAMES.scores, (), f"has shape {values.shape}, expected {shape}")
    return unmasked(NAMES.scores, values, "every row needs one").reshape(-1), bits


def _judge(batch: Predictions, confidence: Array | None, errors: Array, strict: bool, n_threads: int | None) -> int:
    """Fill ``confidence``, if it is wanted, and ``errors``; returns how many rows are no distribution."""
    rows = kernels.rows
    fatal = [(rows.N_BAD, rows.FIRST_BAD), (rows.N_NAN, rows.FIRST_NAN)][: 2 if strict else 1]
    workers = engine.run(
        batch.n_rows,
        bytes_per_row(batch, light=True),
        rows_per_chunk(batch, light=True),
        lambda: _Judge(batch, [count for count, _ in fatal], confidence, errors),
        n_threads,
    )
    faults = [worker.rows.faults for worker in workers]
    first = min(int(one[place]) for one in faults for _, place in fatal)
    if first < rows.NONE_YET:
        raise batch.fault(first)
    return sum(int(one[rows.N_NAN]) for one in faults)


class _Judge:
    """What one thread works on."""

    def __init__(self, batch: Predictions, fatal: list[int], confidence: Array | None, errors: Array) -> None:
        self.batch = batch
        self.rows = Rows(batch, light=True)
        self.few = 0 < batch.n_columns < WIDE and batch.weights is None and not batch.from_logits
        self.fatal = fatal
        self.confidence = confidence
        self.errors = errors

    def __call__(self, start: int, stop: int) -> bool:
        rows, errors = self.rows, self.errors[start:stop]
        confidence = None if self.confidence is None else self.confidence[start:stop]
        if self.few:
            given = self.batch.scores.chunk(start, stop), self.batch.labels.chunk(start, stop)
            if not kernels.selective.glance(*given, rows.tolerances[1], confidence, errors):
                return False
        rows.fill(start, stop)
        if rows.faults[self.fatal].any():
            return True
        labels = rows.light and rows.binary  # then nobody has looked at predictions, and hits are labels
        place = kernels.rows.CORRECT if rows.binary and not labels else kernels.rows.OUTCOME
        p, hits = rows.table[kernels.rows.CONFIDENCE], rows.hits[place]
        kernels.selective.outcomes(p, hits, rows.binary, labels, confidence, errors)
        return False


class SelectiveAccumulator(CellAccumulator):
    """Streaming AURC, E-AURC and AUGRC: how well the confidence tells which predictions are wrong.

    ``from_logits``, ``nan_policy`` and ``n_threads`` as for every accumulator; ``n_cells``: exact up to so many
    distinct confidences (float16 and bfloat16 have fewer), None without limit. Beyond, confidences that share their
    leading bits are taken for ties, and ``compute()["aurc_bound"]`` and ``["augrc_bound"]`` say how far that may be
    off; the points of :meth:`curve` are exact in any case, only fewer, and ``risk_at_80_coverage`` and
    ``coverage_at_5_risk`` are those of these points, with no bound. Any split of the rows over updates, threads and
    merges gives the same bits (real weights: the same to 1e-12).

    >>> import fastcal as fc
    >>> acc = fc.SelectiveAccumulator().update([1, 0, 1, 1], [0.9, 0.2, 0.7, 0.4])
    >>> acc.compute()["aurc"], acc.compute()["augrc"]
    (0.0625, 0.0625)
    """

    by_class = True
    labels_only = True

    def __init__(
        self,
        *,
        from_logits: bool = False,
        n_cells: int | None = DEFAULT_CELLS,
        nan_policy: NanPolicy = "raise",
        n_threads: int | None = None,
    ) -> None:
        check_options(from_logits, nan_policy)
        settings = {"from_logits": bool(from_logits), "nan_policy": nan_policy}
        super().__init__(settings=settings, n_cells=n_cells, n_threads=n_threads)

    def _forget(self) -> None:
        super()._forget()
        self._n_ranked = self._n_nan = 0

    def update(  # type: ignore[override]
        self, y_true: Any, y_prob: Any, *, confidence: Any = None, sample_weight: Any = None
    ) -> Self:
        """Add rows; returns self.

        ``y_true`` (N,) integer labels; ``y_prob`` (N,) probabilities of class 1 or (N, K) rows, or logits of either
        form with ``from_logits=True``; ``confidence`` (N,) any finite numbers, the higher the sooner a row is kept
        (None: the probability of the predicted class); ``sample_weight`` (N,), each 0 or from 1e-100 to 1e100. Raises
        DataError, a ValueError, naming the argument, the place and the value, and TypeError for what is not numbers;
        the state is then as it was before.
        """
        options = {name: self._settings[name] for name in ("from_logits", "nan_policy")}
        found = judged_rows(
            y_true, y_prob, confidence, sample_weight=sample_weight, n_threads=self._n_threads, **options
        )
        cells = self._cells_of(found)
        with self._changing():
            self._count(cells, found.n, found.n_ranked, found.n_nan)
        return self

    def _cells_of(self, found: JudgedRows) -> Cells:
        """Sort rows; but once there are more confidences than cells, many rows of probabilities are only counted."""
        limit = self._settings["n_cells"]
        counted = Cells.empty()
        if found.own and found.weights is None and found.n > self._n_dense():
            dense = Dense.of(self._state)
            assert dense is not None
            left = dense.add(read_only(found.confidence), read_only(found.errors))
            counted = dense.cells(limit)
            found = replace(found, confidence=found.confidence[left], errors=found.errors[left])
        if not found.n:
            return counted
        rows = found.scored(self._n_threads)
        return counted.merged(Cells.of(groups(rows, self._n_threads, by_class=True), limit), limit, by_class=True)

    def _n_dense(self) -> float:
        """How many cells there are from the least one held up to a confidence of 1; infinity if that says nothing."""
        level, keys = self._state.level, self._state.keys
        n = (ONE >> level) + 1 - int(keys[0]) if level else 0
        return n if n > 0 else math.inf

    def _count(self, cells: Cells, n: int, n_ranked: int, n_nan: int) -> None:
        if self._n_nan + n_nan >= MAX_COUNT:
            raise ValueError(f"a state counts fewer than {MAX_COUNT} rows of NaN")
        self._add(cells, n, (0.0, 0.0), (0.0, 1.0) if n else self._bounds)  # of labels
        self._n_ranked, self._n_nan = self._n_ranked + n_ranked, self._n_nan + n_nan

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings differ."""
        self._check_same(other)
        with self._changing():
            self._count(other._state, other._n, other._n_ranked, other._n_nan)
        return self

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return self._n + self._n_nan == 0

    def ranking(self) -> SelectiveRanking | None:
        """The cells as groups of equal confidence; None before any row of a weight above 0."""
        return SelectiveRanking(self._state.groups(), self._n_ranked) if self._n_ranked else None

    def curve(self) -> RiskCoverageCurve:
        """Risk against coverage, at the lowest confidence of each cell; the arrays are empty before any row.

        >>> import fastcal as fc
        >>> fc.SelectiveAccumulator().update([0, 1, 1], [0.1, 0.9, 0.4]).curve().risk.round(2).tolist()
        [0.0, 0.33]
        """
        curve = RiskCoverageCurve.of(self.ranking())
        return curve.undefined() if self._undefined else curve

    @property
    def _undefined(self) -> bool:
        return self._n_nan > 0 and self._settings["nan_policy"] == "propagate"

    def compute(self) -> EvaluationReport:
        """All figures; NaN before any row.

        >>> import fastcal as fc
        >>> fc.SelectiveAccumulator().update([0, 1, 1], [0.1, 0.9, 0.4]).compute()["aurc"]
        0.1111111111111111
        """
        ranking = self.ranking()
        figures = dict.fromkeys(DESCRIPTIONS, math.nan)
        if ranking is not None and not self._undefined:
            sums = ranking.sums()
            figures |= {name: getattr(sums, name)() for name in ("aurc", "e_aurc", "augrc", "risk")}
            figures["aurc_bound"] = ranking.aurc_bound() if self._state.level else 0.0
            figures["augrc_bound"] = ranking.augrc_bound() if self._state.level else 0.0
            figures["risk_at_80_coverage"] = ranking.risk_at(COVERAGE)
            figures["coverage_at_5_risk"] = ranking.coverage_at(RISK)
        counts = {"n": self._n, "n_nan": self._n_nan}
        return EvaluationReport({**figures, **counts, "resolution": self.resolution}, DESCRIPTIONS)

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version; equal counts give equal bytes."""
        settings, arrays, _ = unpack(super().to_bytes(), type(self).__name__)
        arrays["ranked"] = np.array([self._n_ranked, self._n_nan], np.int64)
        return pack(type(self).__name__, settings, arrays)

    def _take(self, arrays: dict[str, Array]) -> None:
        ranked = arrays.pop("ranked", np.empty(0, np.int64))
        super()._take(arrays)
        n_ranked, n_nan = ranked.tolist() if ranked.shape == (2,) else (-1, -1)
        sums = self._state.sums
        weighted = sums.shape[1] == 4
        sound = 0 <= n_ranked <= self._n and 0 <= n_nan < MAX_COUNT and (n_ranked > 0) == (len(sums) > 0)
        # as many rows of the least weight that there is fit into the sums
        fitting = sums.sum() >= 0.999 * LEAST_WEIGHT * n_ranked if weighted else sum(map(int, sums.ravel())) == n_ranked
        if not sound or not fitting:
            raise ValueError("not a fastcal state: its counts of rows contradict each other")
        self._n_ranked, self._n_nan = n_ranked, n_nan

    def _copy(self) -> Self:
        new = super()._copy()
        new._n_ranked, new._n_nan = self._n_ranked, self._n_nan
        return new


DESCRIPTIONS = {
    "n": "Rows.",
    "n_nan": "Rows left out, as NaN.",
    "risk": "Share of wrong predictions.",
    "aurc": "Mean risk over all coverages.",
    "aurc_bound": "How far AURC and E-AURC may be from those of the confidences themselves.",
    "e_aurc": "AURC less that of the perfect ranking.",
    "augrc": "Mean generalized risk over all coverages.",
    "augrc_bound": "How far AUGRC may be from that of the confidences themselves.",
    "risk_at_80_coverage": "Risk at the first point of the curve that keeps 80 % of the rows.",
    "coverage_at_5_risk": "Largest share of the rows that a point of the curve keeps at a risk of at most 5 %.",
    "resolution": "How far apart two confidences may be that are not told apart.",
}
