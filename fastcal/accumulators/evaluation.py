"""The whole report in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Self, Unpack

import numpy as np

from ..arrays import Array, DataError
from .base import Accumulator, Options, Part
from .bins import Binning
from .blocks import BlockPart, check_seed
from .classwise import MOST_CELLS, ClasswisePart
from .evaluation_report import EvaluationReport
from .groups import GroupPart
from .intervals import intervals
from .labels import GroupColumn
from .order import OrderPart
from .reliability import ReliabilityPart
from .scores import ScorePart
from .smooth import SmoothPart
from .spiegelhalter import SpiegelhalterPart

__all__ = ["Evaluation", "EvaluationReport"]

LEVEL = 0.95


class Evaluation(Accumulator):
    """Every figure that one pass can give, in a state of fixed size.

    Accuracy, NLL, Brier score, entropy; calibration errors over bins, plain and debiased, signed, class-wise, of equal
    mass, swept, smooth, KS and Kuiper; Spiegelhalter's test; intervals at 0.95; the reliability curve.

    ``n_bins``, ``binning`` ("uniform" or edges), ``closed`` and ``convention`` as in :func:`fastcal.calibration_error`.
    ``groups=True``: :meth:`update` takes ``groups``, and ``report["groups"]`` has the figures of each. ``bootstrap``:
    an integer seeds the hash of row numbers that puts rows in 1024 blocks, ``report["bootstrap"]`` has intervals from
    resampling these (a standard error is known to 2 %, a variance to 4.4 %). Rows are numbered as they come, or from
    ``row`` of :meth:`update` on: say it of parts that are merged, so that they see the blocks that the whole would.
    Parts of few rows that all began at row 0 leave most blocks empty, and the intervals NaN.
    ``squares=False`` leaves out what debiased figures and intervals are made of. ``parts``: some of "scores",
    "reliability", "classwise", "order", "smooth" and "spiegelhalter", None for all.
    ``classwise``: the bins of every class, None for yes up to 262 144 of them, 40 bytes each; else the figures are NaN.

    >>> import fastcal as fc
    >>> acc = fc.Evaluation(from_logits=True)
    >>> report = acc.update([0, 1], [[2.0, 0.0], [0.0, 0.0]]).compute()
    >>> report["accuracy"], round(report["nll"], 6)
    (0.5, 0.410038)
    """

    def __init__(
        self,
        *,
        n_bins: int | None = None,
        binning: Any = "uniform",
        closed: str | None = None,
        convention: str | None = None,
        groups: bool = False,
        classwise: bool | None = None,
        bootstrap: int | None = None,
        squares: bool = True,
        parts: Sequence[str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        for name, value in (("groups", groups), ("squares", squares), ("classwise", classwise)):
            if not (isinstance(value, bool) or (name == "classwise" and value is None)):
                raise ValueError(f"{name} is {value!r}; expected True or False")
        bins = Binning(n_bins, binning, closed, convention)
        most_cells = {None: MOST_CELLS, True: 1 << 40, False: 0}[classwise]
        makers: dict[str, Callable[[], Part]] = {
            "scores": lambda: ScorePart(squares=squares),
            "reliability": lambda: ReliabilityPart(bins, squares=squares),
            "classwise": lambda: ClasswisePart(bins, most_cells=most_cells),
            "order": lambda: OrderPart(bins.n_bins),
            "smooth": SmoothPart,
            "spiegelhalter": SpiegelhalterPart,
        }
        kept = list(makers) if parts is None else _names(parts, makers)
        made = {name: make() for name, make in makers.items() if name in kept}
        if groups:
            made["groups"] = GroupPart(bins)
        if bootstrap is not None:
            made["bootstrap"] = BlockPart(bins, check_seed("bootstrap", bootstrap))
        own = {"groups": groups, "classwise": classwise, "bootstrap": bootstrap, "squares": squares}
        names = None if parts is None else sorted(kept)
        super().__init__(settings={**bins.settings(), **own, "parts": names}, parts=made, **options)
        self._lingers = not groups and bootstrap is None  # slices change from batch to batch

    def update(
        self, y_true: Any, y_prob: Any, *, sample_weight: Any = None, groups: Any = None, row: int | Array | None = None
    ) -> Self:
        """Add rows; returns self.

        ``y_true`` (N,) integer labels; ``y_prob`` (N,) probabilities of class 1 or (N, K) rows, or logits of either
        form with ``from_logits=True``; ``sample_weight`` (N,), each 0 or from 1e-100 to 1e100, None for 1 each;
        ``groups`` (N,) integers, or labels of any kind that can be hashed; ``row``, the number of the first row,
        or an array of the numbers of all.
        Raises DataError (a ValueError) naming the argument, the place and the value, and TypeError for what is not
        numbers; the state is then as it was before.

        >>> import fastcal as fc
        >>> seen = fc.Evaluation(groups=True).update([0, 1], [0.25, 0.75], groups=["a", "b"])
        >>> seen.compute()["groups"].labels
        ['a', 'b']
        """
        wanted = self._settings["groups"]
        if (groups is not None) != wanted:
            missing = "this Evaluation(groups=True) needs one for each row"
            raise DataError("groups", (), missing if wanted else "are not kept; say Evaluation(groups=True)")
        batch = self._batch(y_true, y_prob, sample_weight)
        if wanted:
            batch.groups = GroupColumn.of(groups, batch.shape)
        counts = self._row_counts()
        batch.first_row = counts["n"] + counts["n_nan"] if row is None else _row_number(row, batch.n_rows)
        return self._take_batch(batch)

    @property
    def numbers_rows(self) -> bool:
        """Whether figures depend on the numbers of rows: those of a bootstrap do."""
        return self._settings["bootstrap"] is not None

    def compute(self) -> EvaluationReport:
        """All figures of what was seen; see the report's ``descriptions``.

        >>> import fastcal as fc
        >>> fc.Evaluation().update([0, 1], [0.25, 0.75]).compute()["ece"]
        0.25
        """
        report = super().compute()
        convention = self._settings["convention"] or "fastcal"
        if not (self._settings["squares"] and {"scores", "reliability"} <= self._parts.keys()):
            return EvaluationReport({**report, "convention": convention}, report.descriptions)
        means, n = self._parts["scores"].view(self.part_state("scores")).errors()
        bins = self._parts["reliability"].view(self.part_state("reliability")).sums
        found = self._figure(intervals(bins, means, n, LEVEL))
        figures = {**report, "intervals": found, "convention": convention}
        return EvaluationReport(figures, {**report.descriptions, "intervals": f"Intervals at {LEVEL}."})


def _names(parts: Any, known: dict[str, Any]) -> list[str]:
    if (
        isinstance(parts, str)
        or not isinstance(parts, Collection)
        or not parts
        or any(one not in known for one in parts)
    ):
        raise ValueError(f"parts is {parts!r}; expected some of {', '.join(known)}")
    return sorted(set(parts))


def _row_number(row: Any, n: int) -> int | Array:
    """The number of the first row, or those of all."""
    if isinstance(row, np.ndarray):
        if row.shape != (n,) or row.dtype.kind not in "iu" or (row < 0).any() or (row >= 1 << 62).any():
            raise ValueError(f"row is an array {row.shape} of {row.dtype}; expected the number, from 0 up, of each row")
        return row
    if isinstance(row, bool) or not hasattr(row, "__index__") or not 0 <= int(row) < 1 << 62:
        raise ValueError(f"row is {row!r}; expected an integer from 0 up")
    return int(row)
