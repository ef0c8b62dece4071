"""Each class against the rest: bins of every probability, whatever the prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np

from fastcal import kernels

from ..arrays import Array
from . import binned
from .base import Accumulator, Options, Part
from .binned import Binned, is_sound, quotient
from .bins import Binning, Lookup, check_threshold
from .curve import ReliabilityCurve
from .rows import Rows, Takes
from .state import UNIT_BITS, Figures, State

figure = Figures()

# Cells, classes times bins, that an Evaluation keeps without being asked to: 40 bytes each, twice that with weights.
MOST_CELLS = 1 << 18
# Of more bins the words of narrow rows fill no cache.
MOST_BINS = 64


@dataclass(frozen=True)
class ClassReport:
    """Arrays (K,), one number a class, of (p_k, [y = k]): errors over bins, mean probability, share of the class.

    ``curve(k, edges)`` is the reliability curve of class k.

    >>> import fastcal as fc
    >>> report = fc.ClasswiseAccumulator().update([0, 1], [[0.75, 0.25], [0.25, 0.75]]).compute()
    >>> report["classes"].frequency.tolist()
    [0.5, 0.5]
    """

    ece: Array
    rmsce: Array
    mce: Array
    signed_calibration_error: Array
    confidence: Array
    frequency: Array
    bins: Binned | None = field(default=None, repr=False)  # what they come from; not in JSON

    def __len__(self) -> int:
        return len(self.ece)

    @classmethod
    def of(cls, bins: Binned) -> ClassReport:
        """Of sums over the bins of each class."""
        return cls(
            ece=binned.l1(bins),
            rmsce=np.sqrt(binned.l2_squared(bins)),
            mce=binned.largest(bins),
            signed_calibration_error=binned.signed(bins),
            confidence=quotient(bins.confidence.sum(axis=-1), bins.total, math.nan),
            frequency=quotient(bins.hits.sum(axis=-1), bins.total, math.nan),
            bins=bins,
        )

    def curve(self, k: int, edges: Array, level: float = 0.95) -> ReliabilityCurve:
        """The share of class k against p_k; ``edges`` are those of the report's ``reliability``.

        Raises ValueError where figures are NaN because rows were, and there is no curve.

        >>> import fastcal as fc
        >>> report = fc.ClasswiseAccumulator(n_bins=2).update([0, 1], [[0.75, 0.25], [0.25, 0.75]]).compute()
        >>> report["classes"].curve(0, [0.0, 0.5, 1.0]).accuracy.tolist()
        [0.0, 1.0]
        """
        if self.bins is None:
            raise ValueError("these figures are NaN and have no curves")
        return ReliabilityCurve.of(self.bins.of(k), edges, level)

    def undefined(self) -> ClassReport:
        """NaN for every class."""
        return ClassReport(*(np.full_like(getattr(self, name), math.nan) for name in NAMES))

    def to_dict(self) -> dict[str, Any]:
        """The arrays, as lists."""
        return {name: getattr(self, name).tolist() for name in NAMES}


NAMES = tuple(name for name in ClassReport.__dataclass_fields__ if name != "bins")


@figure
def classwise_ece(bins: Binned | None) -> float:
    """Class-wise ECE, mean over classes.

    Of each class against the rest (Nixon et al. 2019; Kull et al. 2019). Classes without rows count 0.
    """
    return math.nan if bins is None else mean_of_classes(binned.l1(bins), bins)


@figure
def classwise_rmsce(bins: Binned | None) -> float:
    """Root of the classes' mean square error.

    The marginal calibration error of Kumar, Liang, Ma 2019.
    """
    return math.nan if bins is None else math.sqrt(mean_of_classes(binned.l2_squared(bins), bins))


@figure
def classes(bins: Binned | None) -> ClassReport | None:
    """Calibration errors of each class."""
    return None if bins is None else ClassReport.of(bins)


def mean_of_classes(errors: Array, bins: Binned) -> float:
    """The mean over classes; those without rows count 0, but not if none has any."""
    if not bins.total.any():
        return math.nan
    return float(np.nan_to_num(errors).mean())


def word_bits(first: float) -> int:
    """Of what power of two all float32 probabilities above ``first`` are multiples, at most that of the cells."""
    most = int(kernels.classwise.SCALE_BITS)
    return min(most, 24 - math.frexp(first)[1]) if 0 < first < math.inf else most


def most_rows(bits: int) -> int:
    """How many rows a word holds, the sum of as many ones and their number: at least a block."""
    return 1 << (62 - bits) // 2


class Scratch:
    """What kernels/classwise_lines.py works in: not part of a state, as it is empty between chunks."""

    def __init__(self, hits: Array) -> None:
        n = kernels.classwise_lines.MOST_CLASSES * kernels.rows.BLOCK
        self.places = kernels.rows.scratch(n, np.dtype(np.int32))
        self.words = kernels.rows.scratch(n, np.dtype(np.int64))
        self.copies = kernels.rows.scratch(hits.size * kernels.classwise_lines.COPIES, np.dtype(np.int64))
        self.counted = np.zeros(hits.size, np.int64)
        self._lines: dict[np.dtype[Any], tuple[Array, Array]] = {}

    def lines(self, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """A line a class and three more, and a read-only view of them."""
        if dtype not in self._lines:
            lines = kernels.rows.scratch((kernels.classwise_lines.MOST_CLASSES + 16) * kernels.rows.BLOCK, dtype)
            read = lines.view()
            read.flags.writeable = False
            self._lines[dtype] = lines, read
        return self._lines[dtype]


class ClasswisePart(Part):
    """Bins of each class; those of more than ``most_cells`` are not kept, and their figures NaN."""

    figures = figure
    light = True
    in_cache = True
    optional = frozenset({"weighted_count", "weighted_pair"})

    def __init__(self, binning: Binning, *, threshold: float = 0.0, most_cells: float = math.inf) -> None:
        self.binning = binning
        self.threshold = check_threshold(threshold)
        self.most_cells = most_cells

    def is_kept(self, n_columns: int) -> bool:
        """Whether so many classes are."""
        return max(n_columns, 2) * self.binning.size <= self.most_cells

    def start(self, n_columns: int) -> State:
        """Words; see kernels/classwise.py."""
        if not self.is_kept(n_columns):
            return {}
        k, size, words = n_columns or 2, self.binning.size, kernels.classwise.WORDS
        shapes = {"held": (1,), "sums": (k,), "totals": (k, words), "cells": (k, size, words), "hits": (k, size)}
        return {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`."""
        if not self.is_kept(n_columns):
            return {}
        shape = (n_columns or 2, self.binning.size)
        always = {"count": shape, "hits": shape, "confidence_signed_sum": (*shape, 3)}
        return {**always, "weighted_count": shape, "weighted_pair": (*shape, kernels.binning.SUMS, 2)}

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        if not state:
            return
        taken = rows.n_taken if rows.taken is state["hits"] else 0
        if taken == rows.n:
            return
        confidence = rows.table[kernels.rows.CONFIDENCE]
        lookup = self.binning.lookup(rows.given_dtype)
        if rows.weights is None and self._goes_by_lines(lookup, state["hits"]):
            self._add_lines(state, rows, lookup, confidence)
            return
        probs = rows.probabilities()
        if rows.weights is not None:
            if "weighted_count" not in state:
                state["weighted_count"] = np.zeros_like(state["hits"])
                state["weighted_pair"] = np.zeros((*state["hits"].shape, kernels.binning.SUMS, 2))
            sums = state["weighted_count"], state["weighted_pair"]
            least = self.threshold or -np.inf
            kernels.classwise.add_weighted(
                probs, rows.labels, confidence, rows.weights, least, *lookup.arguments, *sums
            )
            return
        if self.threshold:
            few = state["cells"], state["hits"]
            kernels.classwise.add_few(probs, rows.labels, confidence, self.threshold, *lookup.arguments, *few)
            return
        first = self._first(lookup.cuts, probs.dtype)
        left = probs[taken:], rows.labels[taken:], confidence[taken:]
        kernels.classwise.add(*left, first, *lookup.arguments, *_words(state))

    def takes(self, state: State, rows: Rows) -> Takes | None:
        """See :meth:`Part.takes`."""
        if not state or self.threshold or rows.predictions.weights is not None:
            return None
        lookup = self.binning.lookup(rows.given_dtype)
        return Takes((self._first(lookup.cuts, rows.dtype), *lookup.arguments), _words(state))

    def _goes_by_lines(self, lookup: Lookup, hits: Array) -> bool:
        """Whether rows are narrow, bins few, and no probability that counts is negative."""
        n_classes, size = hits.shape
        few = n_classes <= kernels.classwise_lines.MOST_CLASSES and size <= MOST_BINS
        return few and not self.threshold and bool(lookup.cuts[0] >= 0)

    def _add_lines(self, state: State, rows: Rows, lookup: Lookup, confidence: Array) -> None:
        if "lines" not in state:
            state |= {"lines": Scratch(state["hits"])}  # type: ignore[dict-item]
        scratch: Any = state["lines"]
        turned = rows.from_logits and not rows.binary
        bits = kernels.classwise.SCALE_BITS
        if confidence.dtype == np.float32:
            bits = word_bits(float(lookup.cuts[0]))
        given = (
            rows.values if turned else rows.probabilities(),
            turned,
            *rows.divisor,
            rows.work,
            rows.labels,
            confidence,
            *lookup.arguments,
            float(lookup.by_width),
            np.int64(bits),
            np.int64(most_rows(bits)),
        )
        words = scratch.places, scratch.words, scratch.copies, scratch.counted
        sums = state["totals"], state["cells"], state["hits"]
        arguments = (*given, *scratch.lines(confidence.dtype), *words, *sums)
        kernels.classwise_lines.add(*arguments)

    def _first(self, cuts: Array, dtype: np.dtype[Any]) -> Any:
        """What goes to its bin is above this, in the dtype of the probabilities: rounded down, no other is above it."""
        exact = float(cuts[0])
        first = dtype.type(exact)
        return first if float(first) <= exact else np.nextafter(first, dtype.type(-1))

    def collect(self, state: State) -> State:
        """From words to digits, and the first bin from what the others leave."""
        if not state:
            return {}
        names = kernels.classwise
        held, sums, totals, cells, hits = (array.copy() for array in _words(state))
        if held[0]:
            names.settle(held, totals, sums, cells)
        if not self.threshold:
            n_labels = totals[:, names.COUNT].copy()
            totals[:, names.COUNT] = n_labels.sum()
            cells[:, 0] += totals - cells.sum(axis=1)
            hits[:, 0] += n_labels - hits.sum(axis=1)
        shift = UNIT_BITS - names.SCALE_BITS
        digits = np.stack([cells[..., names.LOW], cells[..., names.HIGH], 0 * hits], axis=-1)
        kernels.exact.carry(digits.reshape(-1, 3))
        digits <<= shift
        kernels.exact.carry(digits.reshape(-1, 3))
        collected = {"count": cells[..., names.COUNT].copy(), "hits": hits, "confidence_signed_sum": digits}
        if "weighted_count" in state:
            collected |= {"weighted_count": state["weighted_count"]}
            collected |= {"weighted_pair": state["weighted_pair"].view(np.int64)}
        return collected

    def rows_in(self, state: State) -> int | None:
        """See :meth:`Part.rows_in`."""
        if not state:
            return None
        if not is_sound(state):
            return -1
        rows = state["count"].sum(axis=1)
        if "weighted_count" in state:
            rows = rows + state["weighted_count"].sum(axis=1)
        if self.threshold:
            return None
        return int(rows[0]) if (rows == rows[0]).all() else -1

    def view(self, state: State) -> Binned | None:
        """See :meth:`Part.view`."""
        if not state:
            return None
        bins = Binned.from_state(state, labels_vary=True, ignored=self.binning.ignored)
        return bins.of((..., np.setdiff1d(np.arange(self.binning.size), self.binning.left_out)))


def _words(state: State) -> tuple[Array, ...]:
    return tuple(state[name] for name in ("held", "sums", "totals", "cells", "hits"))


class ClasswiseAccumulator(Accumulator):
    """Streaming class-wise calibration errors: the bins of every class, ``n_bins`` and so on as for one set of bins.

    State: 40 bytes for each bin of each class, 112 with weights. ``threshold``: only probabilities above it count.

    >>> import fastcal as fc
    >>> acc = fc.ClasswiseAccumulator(n_bins=2)
    >>> acc.update([0, 1], [[0.75, 0.25], [0.25, 0.75]]).compute()["classwise_ece"]
    0.25
    """

    def __init__(
        self,
        *,
        n_bins: int | None = None,
        binning: Any = "uniform",
        closed: str | None = None,
        convention: str | None = None,
        threshold: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        bins = Binning(n_bins, binning, closed, convention)
        part = ClasswisePart(bins, threshold=threshold)
        settings = {**bins.settings(), "threshold": part.threshold}
        super().__init__(settings=settings, parts={"classwise": part}, **options)
