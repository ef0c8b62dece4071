"""Uncertainty of a stream of rows: does it find errors, and what is out of distribution, and where does it saturate."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any, Self

import numpy as np

from fastcal import kernels

from ..arrays import Column, DataError
from ..ensembles.measures import measured
from ..forks import Guard
from ..rowwise import MAX_CLASSES
from .evaluation_report import EvaluationReport
from .mergeable import Mergeable
from .serial import pack, unpack
from .uncertainty_adding import CHUNK, Orders, added
from .uncertainty_report import COUNTS, MeasureView, UncertaintyHistogram
from .uncertainty_rows import JudgedKinds, Members, PredictedKinds, columns_of
from .uncertainty_state import CORRECT, MAX_COUNT, MEASURES, OUT, UNLABELLED, WRONG, UncertaintyState, in_order

NAN_POLICIES = ("raise", "omit")
MOST_MEASURES, LONGEST_NAME = 16, 200

__all__ = ["UncertaintyAccumulator", "UncertaintyHistogram"]


class UncertaintyAccumulator(Mergeable):
    """Streaming measures of uncertainty, by correct and wrong prediction and by in and out of distribution.

    Of each measure: AUROC and FPR at 95 % TPR of finding errors and of finding rows out of distribution, each with how
    far it may be off; mean, variance, least and largest; and how many rows lie at the limit of certainty, where the
    measure cannot tell them apart. High means uncertain: "max_probability" enters as 1 - max p, which in float32 knows
    multiples of 2^-24 only. The others are those of :func:`fastcal.ensemble_uncertainty`, all of them 0 where the model
    is certain, as it gets to be far from the data where class probabilities rise or fall with a feature (Ulmer and Cina
    2021, "Know Your Limits", Theorem 1). :meth:`update_measures` takes any others.

    The state is of fixed size, 1.2 MB a measure where all are of an ensemble, else 3.7 MB (twice that after an update
    of more than 65 536 rows, which is made beside it; as bytes, what is not 0): counts in cells that no data change,
    1024 an octave from 2^-20 up and 128 from 2^-64, exact sums of values and of their squares. Merging adds integers:
    any split of the rows over updates, threads and merges gives the same bits. Cells in which all values are equal cost
    nothing, so that figures of few different values are exact; else ``..._bound`` is the share of pairs within a cell,
    halved: of values that all lie in one octave about 0.0005, or 0.004 below 2^-20, and up to 0.5 where they share the
    one cell below 2^-64, or that above 2^4 (2^20 with measures that are not of an ensemble). Rows have no weights.

    One thread at a time changes a state; another that tries is told so. Threads that read it wait for what is added;
    a process that was forked meanwhile would wait for ever: fork first, or send states to processes as bytes.

    ``from_logits``; ``nan_policy``: "raise", or "omit" leaves out rows that are no distribution, or whose
    label is missing (masked, NA, null), as ``n_nan``.

    >>> import fastcal as fc
    >>> acc = fc.UncertaintyAccumulator()
    >>> acc.update([0, 1, 1], [[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]])
    <UncertaintyAccumulator(from_logits=False, nan_policy='raise'): 3 rows>
    >>> report = acc.compute()
    >>> report["n_wrong"], report["mutual_information"]["error_auroc"]
    (1, 1.0)
    """

    def __init__(self, *, from_logits: bool = False, nan_policy: str = "raise", n_threads: int | None = None) -> None:
        if not isinstance(from_logits, bool | np.bool_):
            raise ValueError(f"from_logits is {from_logits!r}; expected True or False")
        if nan_policy not in NAN_POLICIES:
            raise ValueError(f"nan_policy is {nan_policy!r}; expected one of {', '.join(NAN_POLICIES)}")
        super().__init__({"from_logits": bool(from_logits), "nan_policy": nan_policy}, n_threads)
        # held by who reads the state, or writes what is read
        self._still = Guard("this accumulator was being changed in another thread when the process was forked")
        self._forget()

    def _forget(self) -> None:
        self._state = UncertaintyState.empty(())
        self._spare: UncertaintyState | None = None
        self._n_classes: int | None = None

    def reset(self) -> Self:
        """Forget everything seen; returns self."""
        with self._changing(), self._still:
            self._forget()
        return self

    def update(
        self,
        y_true: Any,
        members: Any,
        *,
        weights: Any = None,
        out_of_distribution: Any = False,
        dtype: str | None = None,
    ) -> Self:
        """Add rows; returns self.

        ``members`` as :func:`fastcal.ensemble_uncertainty` takes them, an array (M, N, K) or the members one by one,
        with ``weights`` (M,); an array of two axes, a list of rows or one path is one model (N, K). ``y_true`` (N,)
        integer labels, None for rows without any. ``out_of_distribution``: whether all rows are, or (N,) bools; such
        rows need no label, theirs are not looked at. ``dtype="bfloat16"``: scores are its bits in uint16. Raises
        DataError, a ValueError, naming the argument, the place and the value, also for another number of classes than
        before, and TypeError for what is not numbers; the state is then as it was before.
        """
        logits = self._settings["from_logits"]
        given = Members(members, dtype, from_logits=logits)
        found = measured(given.given, from_logits=logits, weights=weights, dtype=given.dtype, n_threads=self._n_threads)
        kinds = PredictedKinds(y_true, found.prediction, out_of_distribution, given.n_classes)
        orders = kinds.ordered(self._n_threads)
        if orders.n_skipped and self._settings["nan_policy"] == "raise":
            row = kinds.first_left_out()
            raise kinds.gap(row) or given.fault(row, weights)
        columns = {name: getattr(found, name).reshape(-1) for name in MEASURES}
        measures = {name: Column(name, values, values.dtype) for name, values in columns.items()}
        return self._take_rows("members", measures, orders, given.n_classes)

    def update_measures(
        self, uncertainty: Any, *, correct: Any = None, out_of_distribution: Any = False, n_classes: int | None = None
    ) -> Self:
        """Add rows whose measures are there already; returns self.

        ``uncertainty``: what :func:`fastcal.ensemble_uncertainty` or :func:`fastcal.softmax_uncertainty` gave, or a
        mapping of names to arrays (N,), higher for more uncertain; "max_probability" is max p all the same. The first
        rows decide which measures there are. One of an ensemble may be off its range by 1e-4, as rounding; others are
        any numbers, +-inf too. ``correct`` (N,) bools, None for rows without a label; ``out_of_distribution`` as in
        :meth:`update`; ``n_classes`` says what the largest values are. A row in which any measure is NaN follows
        ``nan_policy``. Raises DataError, a ValueError, as :meth:`update` does, and TypeError for what is not numbers.

        >>> import fastcal as fc
        >>> seen = fc.UncertaintyAccumulator().update_measures({"energy": [0.5, 2.0]}, correct=[True, False])
        >>> seen.compute()["energy"]["error_auroc"]
        1.0
        """
        found, lead = columns_of(uncertainty)
        columns = {column.argument: column for column in found}
        if len(columns) > MOST_MEASURES:
            raise ValueError(f"uncertainty has {len(columns)} measures; at most {MOST_MEASURES} are kept")
        reserved = sorted(columns.keys() & {"", *COUNTS})
        if reserved:
            raise ValueError(f"uncertainty has a measure {reserved[0]!r}, which is the name of a count, or none")
        long = [name for name in columns if len(name) > LONGEST_NAME]
        if long:
            raise ValueError(
                f"uncertainty has a measure {long[0]:.20}...; a name has at most {LONGEST_NAME} characters"
            )
        if n_classes is not None and not _is_count(n_classes):
            raise ValueError(f"n_classes is {n_classes!r}; expected an integer from 1 to {MAX_CLASSES}")
        kinds = JudgedKinds(found, lead, correct, out_of_distribution)
        orders = kinds.ordered(self._n_threads)
        if orders.n_skipped and self._settings["nan_policy"] == "raise":
            raise kinds.fault(kinds.first_left_out())
        return self._take_rows("uncertainty", columns, orders, None if n_classes is None else int(n_classes))

    def _take_rows(self, argument: str, columns: dict[str, Column], orders: Orders, n_classes: int | None) -> Self:
        if orders.n_rows == 0:
            return self
        names = in_order(columns)
        with self._changing():
            problem = self._other_than(names, n_classes)
            if problem:
                raise DataError(argument, (), problem)
            self._check_room(orders.n_rows)
            state = self._state if self._state.names else UncertaintyState.empty(names)
            given = [columns[name] for name in names]
            if orders.n_rows > CHUNK:  # by several threads and calls, of which any may fail: beside what is there
                new = self._beside(state)
                added(new, given, orders, self._n_threads)
                with self._still:
                    self._state, self._spare, self._n_classes = new, state, n_classes or self._n_classes
            else:
                with self._still:
                    added(state, given, orders, self._n_threads)
                    self._state, self._n_classes = state, n_classes or self._n_classes
        return self

    def _beside(self, state: UncertaintyState) -> UncertaintyState:
        """A copy, in memory that is kept for it: the pages of new memory would cost more than adding 100 000 rows."""
        spare, self._spare = self._spare, None
        if spare is None:
            return state.copy()
        spare.become(state)
        return spare

    def _other_than(self, names: tuple[str, ...], n_classes: int | None) -> str:
        """What tells measures or classes from those that were seen, if anything does."""
        if self._state.names and names and self._state.names != names:
            ours, theirs = (", ".join(one) for one in (self._state.names, names))
            return f"has measures {theirs}; those seen so far have {ours}"
        if self._n_classes and n_classes and self._n_classes != n_classes:
            return f"has {n_classes} classes; those seen so far have {self._n_classes}"
        return ""

    def _check_room(self, n: int) -> None:
        if sum(self._state.totals) + n > MAX_COUNT:
            raise ValueError(f"a state holds at most {MAX_COUNT} rows")

    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where settings, measures or classes differ."""
        self._check_same(other)
        with self._changing(), contextlib.ExitStack() as both:
            for still in sorted({self._still, other._still}, key=id):  # in one order: no two wait for each other
                both.enter_context(still)
            theirs = other._state
            problem = self._other_than(theirs.names, other._n_classes)
            if problem:
                raise ValueError(f"the other state {problem}")
            self._check_room(sum(theirs.totals))
            n_classes = other._n_classes or self._n_classes
            if not self._state.names:
                self._state = theirs.copy()
            elif theirs.names:
                kernels.uncertainty.merge(*self._state.arrays, *theirs.arrays)
            self._n_classes = n_classes
        return self

    def compute(self) -> EvaluationReport:
        """Counts of rows, ``accuracy``, and of each measure a mapping of its figures, NaN where rows are missing.

        Of a measure: ``error_auroc``, that a wrong prediction is more uncertain than a correct one, among rows in
        distribution, and ``ood_auroc``, that a row out of distribution is more uncertain than one in it (labelled or
        not); ``error_fpr_at_95_tpr`` and ``ood_fpr_at_95_tpr``, the share of wrong predictions, or of rows out of
        distribution, accepted by the least threshold that accepts 95 % of the correct ones, or of those in distribution
        (as in Hendrycks and Gimpel 2017 and Liang et al. 2018); ``..._bound``, how far each may be off, the last two to
        one side, too high. ``maximum`` is the largest value that the classes allow. For "all" rows and those "in",
        "out", "correct", "wrong" and "unlabelled": ``n``, ``mean``, ``variance`` (of the rows, not n - 1),
        ``standard_deviation``, ``min``, ``max``; ``at_limit``, the share of exactly 0, and ``near_limit``, up to 1e-3
        of the maximum (or to the end of its cell, 1 % more at most): rows that the measure says are certain. Means and
        variances are exact and then rounded once, the latter where no value is below 1e-144 (squares are rounded to
        multiples of 2^-1074); they are NaN where different values reach 2^511, whose squares no float64 holds.

        >>> import fastcal as fc
        >>> fc.UncertaintyAccumulator().update([0, 1], [[[0.75, 0.25], [0.5, 0.5]]]).compute()["accuracy"]
        0.5
        """
        with self._still:
            *totals, n_nan = self._state.totals
            n_classes = self._n_classes or 0
            measures = {name: self._view(name).report() for name in self._state.names}
        n_labelled = totals[CORRECT] + totals[WRONG]
        figures: dict[str, Any] = {
            "n": sum(totals),
            "n_in": sum(totals) - totals[OUT],
            "n_out": totals[OUT],
            "n_correct": totals[CORRECT],
            "n_wrong": totals[WRONG],
            "n_unlabelled": totals[UNLABELLED],
            "n_nan": n_nan,
            "n_classes": n_classes,
            "accuracy": totals[CORRECT] / n_labelled if n_labelled else float("nan"),
        }
        described = {name: f"Figures of {name.replace('_', ' ')}." for name in measures}
        return EvaluationReport({**figures, **measures}, {**COUNTS, **described})

    def _view(self, name: str) -> MeasureView:
        if name not in self._state.names:
            known = ", ".join(self._state.names) or "none yet"
            raise KeyError(f"no measure {name!r}; there are {known}")
        return MeasureView(self._state, self._state.names.index(name), self._n_classes)

    def histogram(self, name: str) -> UncertaintyHistogram:
        """The counts of one measure in its cells, by kind of row; "max_probability" is 1 - max p. Raises KeyError.

        >>> import fastcal as fc
        >>> seen = fc.UncertaintyAccumulator().update_measures({"energy": [0.5, 2.0]}, correct=[True, False])
        >>> int(seen.histogram("energy").wrong.sum())
        1
        """
        with self._still:
            return self._view(name).histogram()

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return not self._state.names

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version; equal states give equal bytes."""
        with self._still:
            settings = {**self._settings, "measures": list(self._state.names), "n_classes": self._n_classes}
            return pack(type(self).__name__, settings, self._state.to_arrays())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a state; raises ValueError for bytes that are no state of this class, damaged or made up."""
        settings, arrays, _ = unpack(data, cls.__name__)
        names, n_classes = settings.pop("measures", None), settings.pop("n_classes", None)
        accumulator = cls._made_with(settings)
        sound = isinstance(names, list) and len(names) <= MOST_MEASURES and all(isinstance(name, str) for name in names)
        if not sound or list(in_order(names)) != names or {"", *COUNTS} & set(names):
            raise ValueError("not a fastcal state: its measures are none, or not in order")
        if n_classes is not None and not (names and type(n_classes) is int and _is_count(n_classes)):
            raise ValueError(f"not a fastcal state: n_classes is {n_classes!r}")
        accumulator._state = UncertaintyState.from_arrays(tuple(names), arrays)
        accumulator._n_classes = n_classes
        return accumulator

    def _copy(self) -> Self:
        new = type(self)(**self._settings, n_threads=self._n_threads)
        with self._still:
            new._state, new._n_classes = self._state.copy(), self._n_classes
        return new

    def _n_rows(self) -> int:
        with self._still:
            return sum(self._state.totals[:-1])

    def plot(self, names: Any = None, axes: Any = None) -> Any:
        """Draw which share of each kind of rows lies at or below each value; returns the Axes. Needs matplotlib.

        ``names`` of measures, None for all; ``axes``, one for each.

        >>> import fastcal as fc
        >>> seen = fc.UncertaintyAccumulator().update_measures({"energy": [0.5, 2.0]}, correct=[True, False])
        >>> [axes.get_title() for axes in seen.plot()]
        ['AUROC errors: 1.000']
        """
        # by name: the figures' layer lies above this one
        return importlib.import_module("fastcal.report.uncertainty").draw(self._copy(), names, axes)


def _is_count(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | np.integer) and 1 <= int(value) <= MAX_CLASSES
