"""From the arguments of a calibration error to sums over bins: which predictions, which bins, in which passes."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from fastcal import kernels

from ..accumulators.base import NAN_POLICIES, Accumulator, Part
from ..accumulators.binned import Binned
from ..accumulators.bins import Binning, check_threshold
from ..accumulators.classwise import ClasswisePart
from ..accumulators.order import OrderPart
from ..accumulators.reliability import FEW, Bins, ReliabilityPart
from ..accumulators.rows import Rows
from ..accumulators.state import State
from ..arrays import Array, Column, DataError, NanPolicy, array_of, array_or_bits, predictions, tolerances
from ..ordered.quantiles import quantiles
from ..rowwise import FLOATS
from ..stretches import chosen, elementwise
from .one_shot import BinOptions
from .softmax import softmax

PLAIN = {"n_bins", "closed", "convention"}  # options that bins of a few rows at once may have
TARGETS = ("auto", "positive", "top-label", "class-wise", "canonical")


@dataclass
class Question:
    """Predictions, and the bins that they go to; what functions share of their arguments."""

    y_true: Any
    y_prob: Any
    n_bins: int | None = None
    binning: Any = "uniform"
    target: str = "auto"
    closed: str | None = None
    convention: str | None = None
    threshold: float = 0.0
    from_logits: bool = False
    sample_weight: Any = None
    nan_policy: NanPolicy = "raise"
    n_threads: int | None = None
    squares: bool = False
    undefined: bool = field(default=False, init=False)  # rows with NaN under nan_policy="propagate"

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"target is {self.target!r}; expected one of {', '.join(TARGETS)}")
        self.threshold = check_threshold(self.threshold)
        if self.threshold and self.target == "canonical":
            raise ValueError("threshold does not apply to target='canonical'")
        given, bits = array_or_bits("y_prob", self.y_prob)
        if not bits:
            self.y_prob = _filled(given)
        elif given.dtype != np.uint16:  # a tensor's bits do not say what they are; all are widened chunk by chunk
            self.y_prob = given
        self.y_true = array_of("y_true", self.y_true)  # once, of what may be a stream or many chunks
        if self.sample_weight is not None:
            self.sample_weight = array_of("sample_weight", self.sample_weight)
        if self.target == "auto":
            self.target = "positive" if given.ndim == 1 else "top-label"
        elif self.target == "positive" and given.ndim > 1:
            self._take_column(self._numbers())
        elif self.target == "top-label" and given.ndim == 1:
            self.seen({})
            self.y_prob = self._both(self._numbers())
        if self.convention == "calibre" and isinstance(self.binning, str):
            self.n_bins = min(
                Binning(self.n_bins, convention="calibre").n_bins, max(array_of("y_true", self.y_true).size, 1)
            )

    def _numbers(self) -> Array:
        """The scores, bfloat16 as float32."""
        return _filled(array_of("y_prob", self.y_prob))

    def _take_column(self, scores: Array) -> None:
        """P(y = 1) of two columns, or its log-odds; NaN for rows that are no distribution."""
        if scores.shape[-1] != 2:
            raise DataError("y_prob", (), f"has shape {scores.shape}; target='positive' takes P(y = 1), or two columns")
        known = ~np.isnan(self._gathered()) if self.seen({}).n_nan else None
        scores = scores.reshape(-1, 2)
        if (self.from_logits and scores.dtype.itemsize < 4) or scores.dtype.kind != "f":
            scores = scores.astype(np.float64)
        if self.from_logits:
            with np.errstate(invalid="ignore", over="ignore"):
                column = scores[:, 1] - scores[:, 0]
        else:  # rows may be further off 1 than numbers by themselves
            tolerance = tolerances(Column("y_prob", scores[:, 1], scores.dtype))[0]
            column = np.clip(scores[:, 1], -tolerance, 1 + tolerance)
        self.y_prob = column if known is None else np.where(known, column, np.nan)
        self.y_true = array_of("y_true", self.y_true).reshape(-1)
        if self.sample_weight is not None:
            self.sample_weight = array_of("sample_weight", self.sample_weight).reshape(-1)

    def _both(self, scores: Array) -> Array:
        """(N,) scores as rows of both classes."""

        def rows(some: Array) -> Array:
            return np.stack([np.zeros_like(some) if self.from_logits else 1 - some, some], axis=1)

        return elementwise(rows, scores)

    def bins(self) -> Bins:
        """Sums over the bins of one set of predictions: (B,)."""
        if self.target not in ("positive", "top-label"):
            raise ValueError(f"target is {self.target!r}, which has no single set of bins")
        part = ReliabilityPart(self._binning(), squares=self.squares, threshold=self.threshold)
        if self._is_plain:
            batch = predictions(self.y_true, self.y_prob)
            if batch.n_rows <= FEW:
                found = part.at_once(batch.scores.chunk(0, FEW), batch.labels.chunk(0, FEW), batch.scores)
                if found is not None:
                    return found
        return self._view("reliability", part)  # type: ignore[no-any-return]

    def classes(self) -> Binned:
        """Sums over the bins of each class: (K, B)."""
        if not self._is_quantile():
            part = ClasswisePart(self.uniform(), threshold=self.threshold)
            return self._view("classwise", part)  # type: ignore[no-any-return]
        return self._quantile_classes()

    def _quantile_classes(self) -> Binned:
        """Each class by itself, as if it were P(y = 1): one column of memory, and for logits their softmax."""
        kept = ~np.isnan(self._gathered()) if self.seen({}).n_nan else slice(None)
        probs = self._numbers()
        probs = probs if probs.ndim > 1 else self._both(probs)
        if self.from_logits:
            half = probs.dtype.kind == "f" and probs.dtype.itemsize < 4
            probs = softmax(probs.astype(np.float32) if half else probs)  # not rounded to a half
        probs = probs.reshape(-1, probs.shape[-1])
        labels = array_of("y_true", self.y_true).reshape(-1)
        weights = None if self.sample_weight is None else array_of("sample_weight", self.sample_weight).reshape(-1)
        found = []
        for k in range(probs.shape[1]):
            p = elementwise(lambda some: np.clip(some, 0, 1), probs[kept, k])
            columns = [elementwise(lambda some, k=k: some == k, labels[kept]), p]
            columns += [] if weights is None else [weights[kept]]
            if self.threshold:
                above = elementwise(lambda some: some > self.threshold, p)
                columns = [chosen(column, above) for column in columns]
            one = Question(
                columns[0],
                columns[1],
                n_bins=self.n_bins,
                binning="quantile",
                sample_weight=None if weights is None else columns[2],
                n_threads=self.n_threads,
            )
            found.append(one.bins().sums if len(columns[0]) else None)
        size = max((bins.weight.shape[0] for bins in found if bins is not None), default=1)

        def stacked(name: str) -> Array:
            rows = [
                np.zeros(size) if one is None else np.pad(getattr(one, name), (0, size - len(one.weight)))
                for one in found
            ]
            return np.array(rows)

        names = ("count", "weight", "hits", "confidence", "residual", "weight2")
        return Binned(**{name: stacked(name) for name in names}, labels_vary=True)

    def _view(self, name: str, part: Part) -> Any:
        return part.view(self.seen({name: part}).part_state(name))

    def seen(self, parts: dict[str, Part]) -> Accumulator:
        """Accumulated; with no part at all, only found to be in order. Raises DataError for no rows."""
        options: Any = {"from_logits": self.from_logits, "nan_policy": self.nan_policy, "n_threads": self.n_threads}
        seen = Accumulator(settings={}, parts=parts, **options)
        seen.update(self.y_true, self.y_prob, sample_weight=self.sample_weight)
        if seen.is_empty:
            raise DataError("y_true", (), "is empty")
        self.undefined = self.nan_policy == "propagate" and seen.n_nan > 0
        return seen

    def _is_quantile(self) -> bool:
        quantile = isinstance(self.binning, str) and self.binning == "quantile"
        if quantile and (self.closed not in (None, "right") or self.convention is not None):
            raise ValueError("binning='quantile' has bins (lo, hi]; no other closed and no convention apply")
        return quantile

    @property
    def _is_plain(self) -> bool:
        """Whether options say of rows what they say by default."""
        threads = self.n_threads is None or (type(self.n_threads) is int and self.n_threads > 0)
        return self.sample_weight is None and self.from_logits is False and self.nan_policy in NAN_POLICIES and threads

    def uniform(self) -> Binning:
        """Bins that do not depend on the data."""
        names = all(one is None or type(one) is str for one in (self.closed, self.convention))
        if type(self.n_bins) in (int, type(None)) and isinstance(self.binning, str) and names:
            return _uniform(self.n_bins, self.binning, self.closed, self.convention)
        return Binning(self.n_bins, self.binning, self.closed, self.convention)

    def _binning(self) -> Binning:
        if not self._is_quantile():
            return self.uniform()
        n_bins = Binning(self.n_bins).n_bins
        if self.sample_weight is None:
            column = self._confidences()
            if not len(column.values):
                return Binning(n_bins)
            return Binning.between(
                np.unique(np.clip(quantiles(column, np.linspace(0, 1, n_bins + 1), self.n_threads), 0, 1))
            )
        part = OrderPart(n_cells=None, threshold=self.threshold)
        view = self._view("order", part)
        return Binning(n_bins) if view.rows is None else Binning.between(view.rows.edges(n_bins))

    def _confidences(self) -> Column:
        """All confidences above the threshold, NaN left out."""
        whole = self.y_prob.ndim == 1 and not self.from_logits and not self.threshold
        if not self.seen({}).n_nan and whole:
            return predictions(self.y_true, self.y_prob).scores
        values = self._gathered()
        values = values[values > self.threshold] if self.threshold else values[~np.isnan(values)]
        return Column("y_prob", values, values.dtype)

    def _gathered(self) -> Array:
        """The confidence of every row, NaN where it is no distribution."""
        chunks: dict[int, Array] = {}
        self.seen({"confidences": _Confidences(chunks)})
        return np.concatenate([chunks[start] for start in sorted(chunks)])


def residuals_at_once(y_true: Any, y_prob: Any, options: BinOptions) -> Array | None:
    """Sums of y - p over the bins of a few plain rows, all of which are in one: what an "l1" error is made of."""
    plain = _plain(y_true, y_prob, options, squares=False)
    if plain is None or plain[0].binning.left_out:
        return None
    part, p, labels = plain
    made = part.sums_at_once(p, labels, p, p.dtype)
    return None if made is None else made[1][3]


def bins_at_once(y_true: Any, y_prob: Any, options: BinOptions, *, squares: bool) -> Bins | None:
    """The bins of a few plain rows without other options, in 10 us where a question takes 25; None for others."""
    plain = _plain(y_true, y_prob, options, squares=squares)
    if plain is None:
        return None
    part, p, labels = plain
    return part.at_once(p, labels, Column("y_prob", p, p.dtype))


def _plain(
    y_true: Any, y_prob: Any, options: BinOptions, *, squares: bool
) -> tuple[ReliabilityPart, Array, Array] | None:
    """A few plain rows as kernels take them, and what adds them up; None for others."""
    if not (type(y_prob) is type(y_true) is np.ndarray and options.keys() <= PLAIN):
        return None
    shaped = y_true.ndim == 1 and 0 < y_prob.ndim <= 2 and len(y_prob) == len(y_true) <= FEW
    if not (shaped and y_prob.dtype in FLOATS and y_true.dtype == np.int64):
        return None
    p, labels = y_prob.view(), y_true.view()
    for flags in (p.flags, labels.flags):
        if not (flags.c_contiguous and flags.aligned):
            return None
        flags.writeable = False
    n_bins, closed, convention = options.get("n_bins"), options.get("closed"), options.get("convention")
    known = n_bins is None or type(n_bins) is int
    if options and not (known and all(one is None or type(one) is str for one in (closed, convention))):
        return None
    if convention == "calibre":
        return None  # its number of bins depends on that of rows
    return _part(n_bins, closed, convention, squares), p, labels


@functools.lru_cache(64)
def _part(n_bins: int | None, closed: str | None, convention: str | None, squares: bool) -> ReliabilityPart:
    return ReliabilityPart(_uniform(n_bins, "uniform", closed, convention), squares=squares)


@functools.lru_cache(64)
def _uniform(n_bins: int | None, binning: str, closed: str | None, convention: str | None) -> Binning:
    return Binning(n_bins, binning, closed, convention)


def _filled(scores: Array) -> Array:
    """Floats, with NaN for what is masked; what is neither masked nor bool as it is."""
    if isinstance(scores, np.ma.MaskedArray):
        real = scores.dtype if scores.dtype.kind == "f" else np.dtype(np.float64)
        return np.ma.filled(scores.astype(real), np.nan)
    return scores.astype(np.float64) if scores.dtype.kind == "b" else scores


class _Confidences(Part):
    """Keeps nothing, and hands on the confidences of every chunk by its first row."""

    figures: Any = MappingProxyType({})
    light = True

    def __init__(self, chunks: dict[int, Array]) -> None:
        self.chunks = chunks

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        return {}

    def add(self, state: State, rows: Rows) -> None:
        """See :meth:`Part.add`."""
        self.chunks[rows.start] = rows.table[kernels.rows.CONFIDENCE].copy()

    def view(self, state: State) -> None:
        """See :meth:`Part.view`."""
