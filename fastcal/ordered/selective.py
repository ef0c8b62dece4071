"""Selective prediction: the errors among the most confident rows, at every share of the rows that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import Array
from ..forks import linear_algebra
from ..stretches import elementwise
from .columns import ScoredRows
from .groups import Groups, groups
from .pieces import Pieces, cut
from .ranking import MAX_PAIRS, Ranking

UNIT_BITS = 62  # risks are counted in units of 2^-62
SLACK = 1e-12  # 0.95 of 20 is 19, whatever 0.95 and sums round to


@dataclass(frozen=True)
class RiskSums:
    """What AURC and AUGRC are made of: sums over coverages, of so many rows with so many errors.

    Weights are in units of the mean weight of a row. ``total`` is the sum of the risks in units of 2^-62; ``twice`` the
    sum of the errors among the first i rows, twice.
    """

    rows: float
    errors: float
    total: int
    twice: float

    @classmethod
    def of_rows(cls, rows: ScoredRows, n: int, n_threads: int | None) -> RiskSums:
        """Of rows whose labels say which are errors, ``n`` of them of a weight above 0."""
        if rows.weights is not None:
            return cls.of_groups(groups(rows, n_threads, by_class=True), n)
        pieces = cut(rows, n_threads)
        counts = np.empty(len(pieces.starts) - 1, np.int64)

        def count(number: int, _: int) -> None:
            piece = slice(pieces.starts[number], pieces.starts[number + 1])
            counts[number] = kernels.selective.count_errors(read_only(pieces.elements[piece]))

        size = pieces.elements.itemsize * (rows.n_rows // len(counts) + 1)
        engine.run(len(counts), size, 1, lambda: count, n_threads)
        above = np.append(np.cumsum(counts[::-1])[::-1], 0)
        workers = engine.run(len(counts), 12 * size, 1, lambda: _Piece(pieces, above), n_threads)
        sums = sum((worker.sums for worker in workers), np.zeros(kernels.selective.N_SUMS, np.int64))
        total, twice = _integers(sums)
        return cls(rows.n_rows, int(above[0]), total, twice)

    @classmethod
    def of_groups(cls, found: Groups, n: int) -> RiskSums:
        """Of groups of equal confidence: counts of both outcomes, or the weights of ``n`` rows."""
        return SelectiveRanking(found, n).sums()

    def aurc(self) -> float:
        """The mean risk over all coverages."""
        return _quotient(self.total, self.rows)

    def best(self) -> int:
        """The sum of the risks if all errors came last."""
        good, bad = (np.array([float(one)]) for one in (max(self.rows - self.errors, 0), self.errors))
        return _risks(good, bad, 1.0, kernels.selective.ERRORS_LAST)

    def e_aurc(self) -> float:
        """AURC less that of the perfect ranking of the same errors."""
        return _quotient(max(self.total - self.best(), 0), self.rows)

    def augrc(self) -> float:
        """The mean share of all rows that are errors and kept, over all coverages."""
        return float(self.twice / (2 * self.rows * self.rows))

    def risk(self) -> float:
        """The share of errors."""
        return float(self.errors / self.rows)


class _Piece:
    """Sorts pieces and adds up their risks: exact sums, so that it does not matter who took which."""

    def __init__(self, pieces: Pieces, errors_above: Array) -> None:
        self.pieces = pieces
        self.errors_above = errors_above
        self.spare = np.empty(pieces.largest, pieces.elements.dtype)
        self.counters = np.empty(1 << kernels.sorting.DIGIT, np.uint32)
        self.sums = np.zeros(kernels.selective.N_SUMS, np.int64)

    def __call__(self, number: int, _: int) -> None:
        starts = self.pieces.starts
        elements = self.pieces.elements[starts[number] : starts[number + 1]]
        kernels.sorting.sort(elements, None, self.spare, None, self.counters)
        above = np.int64(starts[-1] - starts[number + 1]), np.int64(self.errors_above[number + 1])
        kernels.selective.add_elements(read_only(elements), *above, self.sums)


class SelectiveRanking:
    """Groups of equal confidence, and what is kept and wrong at or above each of them.

    ``n``: rows of a weight above 0. A row counts in units of their mean weight.
    """

    def __init__(self, found: Groups, n: int) -> None:
        self.ranking = Ranking(found)  # of errors among the right
        self.right, self.wrong = self.ranking.negatives, self.ranking.positives
        self.n = n
        self.counted = self.right.dtype.kind == "i"
        self.unit = 1.0 if self.counted else (self.ranking.n_negative + self.ranking.n_positive) / n
        self.errors = self.ranking.n_positive if self.counted else self.ranking.n_positive / self.unit

    def sums(self) -> RiskSums:
        """Sums over coverages, ties averaged."""
        total = self._risks(kernels.selective.AVERAGE)
        # An error is among the first i rows from its own place on: it counts itself and every row behind it. Those are
        # the right ones of the pairs that the error leads, and of each pair of errors one.
        return RiskSums(self.n, self.errors, total, self._led() + self.errors * (self.errors + 1))

    def _led(self) -> Any:
        """Twice the pairs of an error and a right row behind it, tied ones once."""
        right, wrong = self.right, self.wrong
        if not self.counted or self.ranking.n_negative * self.ranking.n_positive >= MAX_PAIRS:
            right, wrong = right / self.unit, wrong / self.unit
        found = kernels.ranking.pairs(right, wrong)
        return int(found) if self.counted else float(found)

    def _risks(self, order: int) -> int:
        return _risks(self.right, self.wrong, self.unit, order)

    def aurc_bound(self) -> float:
        """How far off AURC may be if the rows of a group are in an order of their own: errors first, or last."""
        total = self._risks(kernels.selective.AVERAGE)
        first, last = (self._risks(one) for one in (kernels.selective.ERRORS_FIRST, kernels.selective.ERRORS_LAST))
        return _quotient(max(first - total, total - last), self.n)

    def augrc_bound(self) -> float:
        """The same of AUGRC."""
        with linear_algebra():
            tied = np.dot(self.right / self.unit, self.wrong / self.unit)
        return float(tied / 2 / self.n / self.n)

    def steps(self) -> tuple[Array, Array, Array, Any]:
        """From the highest confidence down: thresholds, rows kept, and kept and wrong (or their weights); and all."""
        threshold, right, wrong = self.ranking.steps()
        kept = elementwise(np.add, right, wrong)
        return threshold, kept, wrong, kept[-1] if len(kept) else 1

    def risk_at(self, coverage: float) -> float:
        """The risk at the highest threshold that keeps at least such a share."""
        _, kept, wrong, total = self.steps()
        least = max(coverage - SLACK, coverage / 2)
        at = min(int(np.searchsorted(elementwise(lambda one: one / total, kept), least)), len(kept) - 1)
        return float(wrong[at] / kept[at])

    def coverage_at(self, risk: float) -> float:
        """The largest share that a threshold keeps at no more than such a risk; 0 if none does."""
        _, kept, wrong, total = self.steps()
        allowed = np.flatnonzero(elementwise(lambda bad, of: bad <= risk * of * (1 + SLACK), wrong, kept))
        return float(kept[allowed[-1]] / total) if allowed.size else 0.0


def _risks(right: Array, wrong: Array, unit: float, order: int) -> int:
    sums = np.zeros(kernels.selective.N_SUMS, np.int64)
    kernels.selective.add_groups(read_only(right), read_only(wrong), np.float64(unit), np.int64(order), sums)
    return _integers(sums)[0]


def _integers(sums: Array) -> tuple[int, int]:
    """The sum of risks in units of 2^-62, and twice that of errors."""
    whole, high, low, errors_high, errors_low = (int(one) for one in sums)
    return (whole << UNIT_BITS) + (high << 32) + low, (errors_high << 32) + errors_low


def _quotient(total: int, rows: float) -> float:
    """A mean of risks, rounded once."""
    return min(total / (int(rows) << UNIT_BITS), 1.0)


def read_only(values: Array) -> Array:
    """A view that cannot be written to: one type of array, one compilation."""
    values = values.view()
    values.flags.writeable = False
    return values


def as_share(name: str, value: Any, *, zero: bool) -> float:
    """A share as a float; raises ValueError for what is none."""
    good = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (good and (0 <= value <= 1 if zero else 0 < value <= 1)):
        raise ValueError(f"{name} is {value!r}; expected a number {'from 0 to 1' if zero else 'above 0, at most 1'}")
    return float(value)
