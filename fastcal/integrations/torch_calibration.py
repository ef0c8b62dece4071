"""What a calibration error keeps of a stream, by its settings: an accumulator, and the error that it gives."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from ..accumulators.base import Accumulator, Options
from ..accumulators.binned import Binned
from ..accumulators.bins import Binning, check_threshold
from ..accumulators.canonical import CanonicalAccumulator
from ..accumulators.classwise import ClasswiseAccumulator
from ..accumulators.order import OrderPart
from ..accumulators.reliability import ReliabilityAccumulator
from ..metrics.binning import TARGETS
from ..metrics.calibration import NORMS, _of_bins, _of_classes
from ..metrics.canonical import FIGURES
from ..ordered.calibration import OrderedPredictions


class QuantileAccumulator(Accumulator):
    """Distinct confidences and their outcomes, of which bins of equal mass are made; see OrderAccumulator."""

    def __init__(
        self, *, n_bins: int = 15, n_cells: int | None = None, threshold: float = 0.0, **options: Unpack[Options]
    ) -> None:
        part = OrderPart(n_bins, n_cells, check_threshold(threshold))
        settings = {"n_bins": part.n_bins, "n_cells": part.n_cells, "threshold": part.threshold}
        super().__init__(settings=settings, parts={"order": part}, **options)


class ErrorOf:
    """The calibration error of what an accumulator has seen, as :func:`fastcal.calibration_error` defines it.

    Raises ValueError for settings that do not go together, as that does.
    """

    def __init__(self, norm: str, *, debiased: bool, squared: bool) -> None:
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; expected one of {', '.join(NORMS)}")
        if squared and norm != "l2":
            raise ValueError(f"squared=True belongs to norm='l2', not to {norm!r}")
        if debiased and norm == "max":
            raise ValueError("debiased=True belongs to norm='l1' or 'l2', not to 'max'")
        for name, given in (("debiased", debiased), ("squared", squared)):
            if not isinstance(given, bool | np.bool_):
                raise ValueError(f"{name} is {given!r}; expected True or False")
        self.norm, self.debiased, self.squared = norm, bool(debiased), bool(squared)

    def __call__(self, seen: Any) -> float:
        """The error, NaN before any row."""
        if isinstance(seen, CanonicalAccumulator):
            value = float(seen.figure(FIGURES[self.norm]))
            return value * value if self.squared else value
        value = float(seen._figure(self._of(seen)))
        if self.norm == "l2" and not self.squared:
            return value if math.isnan(value) else math.sqrt(max(value, 0.0))
        return value

    def _of(self, seen: Any) -> float:
        """The error, squared for "l2"."""
        if isinstance(seen, ClasswiseAccumulator):
            bins = seen._parts["classwise"].view(seen.part_state("classwise"))
            verified = seen._settings["convention"] == "verified"
            return _of_classes(bins, self.norm, debiased=self.debiased, verified=verified)
        if isinstance(seen, QuantileAccumulator):
            view = seen._parts["order"].view(seen.part_state("order"))
            return math.nan if view.rows is None else self._of_quantiles(view.rows, view.n_bins)
        return _of_bins(
            seen._parts["reliability"].view(seen.part_state("reliability")).sums, self.norm, debiased=self.debiased
        )

    def _of_quantiles(self, rows: OrderedPredictions, n_bins: int) -> float:
        """Of bins of equal mass, each of whole groups of equal confidence."""
        if self.debiased and rows.slack:
            raise ValueError("debiased=True with binning='quantile' is for rows without weights: squares are not kept")
        first = np.append(0, np.searchsorted(rows.p, rows.edges(n_bins)[1:-1], side="right"))
        first = np.unique(first[first < len(rows.p)])
        square = rows.hits * (1 - rows.p) ** 2 + (rows.weight - rows.hits) * rows.p**2
        columns = (rows.weight, rows.hits, rows.weight * rows.p, rows.residual, square)
        weight, hits, confidence, residual, square = (np.add.reduceat(one, first) for one in columns)
        squares: dict[str, Any] = {"residual2": residual, "square2": square, "square": square}
        return _of_bins(
            Binned(weight, weight, hits, confidence, residual, weight, **squares), self.norm, debiased=self.debiased
        )


def accumulator_of(
    target: str,
    binning: Any,
    n_cells: int | None,
    *,
    n_bins: int | None,
    closed: str | None,
    convention: str | None,
    threshold: float,
    debiased: bool,
    **options: Any,
) -> Accumulator:
    """The accumulator that keeps what such an error is made of, empty. Raises ValueError where there is none."""
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}; expected one of {', '.join(TARGETS)}")
    quantile = isinstance(binning, str) and binning == "quantile"
    if n_cells is not None and not quantile:
        raise ValueError(f"n_cells is {n_cells!r}, which belongs to binning='quantile'")
    threshold = check_threshold(threshold)
    if target == "canonical":
        uniform = isinstance(binning, str) and binning == "uniform"
        if debiased or closed == "left" or convention or not uniform or threshold:
            raise ValueError("target='canonical' takes uniform bins (lo, hi] only, no threshold and no debiased")
        return CanonicalAccumulator(n_bins=Binning(n_bins, closed=closed).n_bins, **options)
    if quantile:
        if closed not in (None, "right") or convention is not None:
            raise ValueError("binning='quantile' has bins (lo, hi]; no other closed and no convention apply")
        if target == "class-wise":
            raise ValueError(
                "target='class-wise' with binning='quantile' has no state to merge: gather the rows and call "
                "fastcal.calibration_error"
            )
        return QuantileAccumulator(n_bins=Binning(n_bins).n_bins, n_cells=n_cells, threshold=threshold, **options)
    bins: dict[str, Any] = {"n_bins": n_bins, "binning": binning, "closed": closed, "convention": convention}
    if target == "class-wise":
        return ClasswiseAccumulator(**bins, threshold=threshold, **options)
    return ReliabilityAccumulator(**bins, threshold=threshold, squares=bool(debiased), **options)
