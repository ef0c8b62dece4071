"""What a state of measures of uncertainty says: moments, saturation, and how well they rank errors and outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..forks import linear_algebra
from ..ordered.groups import Groups
from ..ordered.ranking import Ranking
from .evaluation_report import EvaluationReport
from .state import FLOAT_BITS
from .uncertainty_state import CORRECT, KINDS, MEASURES, OUT, UNLABELLED, WRONG, UncertaintyState, value_of

# Which kinds of rows make up each split.
SPLITS = {
    "all": (CORRECT, WRONG, UNLABELLED, OUT),
    "in": (CORRECT, WRONG, UNLABELLED),
    "out": (OUT,),
    "correct": (CORRECT,),
    "wrong": (WRONG,),
    "unlabelled": (UNLABELLED,),
}
NEAR = 1e-3
TPR = 0.95

COUNTS = {
    "n": "Rows.",
    "n_in": "Rows in distribution.",
    "n_out": "Rows out of distribution.",
    "n_correct": "Rows in distribution whose prediction is their label.",
    "n_wrong": "Rows in distribution whose prediction is not their label.",
    "n_unlabelled": "Rows in distribution without a label.",
    "n_nan": "Rows left out, as NaN.",
    "n_classes": "Classes; 0 where they are not known.",
    "accuracy": "Share of the labelled rows in distribution whose prediction is their label.",
}
FIGURES = {
    "maximum": "The largest value that the classes allow.",
    "error_auroc": "P(a wrong prediction is more uncertain than a correct one).",
    "error_auroc_bound": "How far error_auroc may be off, for cells that hold different values.",
    "error_fpr_at_95_tpr": "Share of the wrong predictions accepted, where 95 % of the correct ones are accepted.",
    "error_fpr_at_95_tpr_bound": "How far error_fpr_at_95_tpr may be too high.",
    "ood_auroc": "P(a row out of distribution is more uncertain than one in distribution).",
    "ood_auroc_bound": "How far ood_auroc may be off, for cells that hold different values.",
    "ood_fpr_at_95_tpr": "Share of the rows out of distribution accepted, where 95 % of those in it are accepted.",
    "ood_fpr_at_95_tpr_bound": "How far ood_fpr_at_95_tpr may be too high.",
}


@dataclass(frozen=True)
class UncertaintyHistogram:
    """Counts of one measure in its fixed cells, from the first to the last that holds rows.

    ``edges`` (C + 1,): cells are [lo, hi) above 0 and (lo, hi] below it, and one holds nothing but 0; ``correct``,
    ``wrong``, ``unlabelled`` and ``out`` (C,), of rows in distribution by their prediction and of those out of it.
    """

    edges: Array
    correct: Array
    wrong: Array
    unlabelled: Array
    out: Array

    def to_dict(self) -> dict[str, Any]:
        """The arrays, as lists."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


def maximum(name: str, n_classes: int | None) -> float:
    """The largest value of a measure; NaN where it is not known to have one.

    log K of entropies and mutual information, 1 - 1 / K of 1 - max p and of the variation ratio, (1 - 1 / K) / K of the
    softmax variance. Fewer than K members reach less of mutual information, variation ratio and softmax variance: what
    these would be of as many classes as there are members, the last times M / K.
    """
    if name not in MEASURES or n_classes is None:
        return math.nan
    if name in ("predictive_entropy", "expected_entropy", "mutual_information"):
        return math.log(n_classes)
    return (1 - 1 / n_classes) / (n_classes if name == "softmax_variance" else 1)


class MeasureView:
    """One measure of a state, and what its figures are made of."""

    def __init__(self, state: UncertaintyState, measure: int, n_classes: int | None) -> None:
        self.state = state
        self.measure = measure
        self.name = state.names[measure]
        self.cells = np.flatnonzero(state.held[measure] != kernels.uncertainty.NOTHING)
        self.counts = state.counts[measure, self.cells]
        self.maximum = maximum(self.name, n_classes)
        self.limited = self.name in MEASURES

    def report(self) -> EvaluationReport:
        """All figures."""
        figures: dict[str, Any] = {"maximum": self.maximum}
        for task, accepted, others in (("error", SPLITS["correct"], SPLITS["wrong"]), ("ood", *_IN_AND_OUT)):
            figures |= {f"{task}_{name}": value for name, value in self.separation(accepted, others).items()}
        splits = {name: self.moments(kinds) for name, kinds in SPLITS.items()}
        descriptions = {**FIGURES, **{name: f"Moments and saturation of rows: {name}." for name in SPLITS}}
        return EvaluationReport({**figures, **splits}, descriptions)

    def separation(self, accepted: tuple[int, ...], others: tuple[int, ...]) -> dict[str, float]:
        """How well low values are those of the rows to accept, and high ones those of the others."""
        sums = np.stack([self.counts[:, kinds].sum(axis=1) for kinds in (accepted, others)], axis=1)
        if not sums.any(axis=0).all():
            return dict.fromkeys(("auroc", "auroc_bound", "fpr_at_95_tpr", "fpr_at_95_tpr_bound"), math.nan)
        some = sums.any(axis=1)
        sums, cells = sums[some], self.cells[some].astype(float)
        mixed = self.state.held[self.measure, self.cells[some]] == kernels.uncertainty.DIFFERENT
        rising = Ranking(Groups(cells, sums))
        # from the other side: the lower, the more acceptable
        falling = Ranking(Groups(-cells[::-1], sums[::-1, ::-1]))
        return {
            "auroc": rising.auroc(),
            "auroc_bound": _tied(sums, mixed),
            "fpr_at_95_tpr": falling.fpr_at_tpr(TPR),
            "fpr_at_95_tpr_bound": _within_cell(sums, mixed),
        }

    def moments(self, kinds: tuple[int, ...]) -> dict[str, float]:
        """Moments, least and largest, and the shares of rows at the limit of certainty and near it."""
        totals = self.counts[:, kinds].sum(axis=1)
        n = int(totals.sum())
        bounds = self.state.bounds[self.measure, list(kinds)]
        low, high = value_of(np.array([bounds[:, 0].min(), bounds[:, 1].max()])) if n else (math.nan, math.nan)
        mean, variance = self._mean_and_variance(kinds, n, low, high)
        found = {"n": n, "mean": mean, "variance": variance, "standard_deviation": math.sqrt(variance)}
        return {**found, "min": low, "max": high, **self._saturation(totals, n)}

    def _mean_and_variance(self, kinds: tuple[int, ...], n: int, low: float, high: float) -> tuple[float, float]:
        """Of n rows (not of a sample of more), from ``low`` to ``high``: each rounded once, from exact sums."""
        minus, plus = (sum(found) for found in zip(*(self.state.infinite(self.measure, k) for k in kinds), strict=True))
        if n == 0 or (minus and plus):
            return math.nan, math.nan
        if minus or plus:
            return (math.inf if plus else -math.inf), math.nan
        total, square = (sum(found) for found in zip(*(self.state.sums(self.measure, k) for k in kinds), strict=True))
        mean = total / (n << FLOAT_BITS)
        if low == high:
            return mean, 0.0
        if max(-low, high) >= kernels.uncertainty.BEYOND:
            return mean, math.nan
        # squares below 2^-960, and those of the first states, are rounded: less than 0 is possible
        spread = max((square * n << FLOAT_BITS) - total * total, 0)
        return mean, spread / (n * n << 2 * FLOAT_BITS)

    def _saturation(self, totals: Array, n: int) -> dict[str, float]:
        """Shares at 0 and up to 1e-3 of the maximum, or to the end of the cell that it is in."""
        grid = self.state.grid
        at = near = math.nan
        if n and self.limited:
            at = int(totals[self.cells == grid.zero].sum()) / n
            if not math.isnan(self.maximum):
                last = grid.cell(NEAR * self.maximum) if self.maximum > 0 else grid.zero
                near = int(totals[self.cells <= last].sum()) / n
        return {"at_limit": at, "near_limit": near}

    def histogram(self) -> UncertaintyHistogram:
        """Counts by kind of row."""
        first, last = (int(self.cells[0]), int(self.cells[-1])) if len(self.cells) else (0, -1)
        some = self.state.counts[self.measure, first : last + 1]
        columns = {name: some[:, kind].copy() for kind, name in enumerate(KINDS)}
        return UncertaintyHistogram(self.state.grid.edges[first : last + 2].copy(), **columns)


_IN_AND_OUT = (SPLITS["in"], SPLITS["out"])


def _tied(sums: Array, mixed: Array) -> float:
    """Half the share of pairs within cells that hold different values."""
    accepted, others = (sums[:, column].astype(float) for column in range(2))
    with linear_algebra():
        tied = np.dot(accepted[mixed], others[mixed])
    return float(tied / 2 / accepted.sum() / others.sum())


def _within_cell(sums: Array, mixed: Array) -> float:
    """The share of the others in the last accepted cell, some of whom its threshold may leave out."""
    accepted, others = np.cumsum(sums[:, 0]), sums[:, 1]
    # from which cell on enough are accepted, as Ranking.fpr_at_tpr counts them
    last = int(np.argmax(accepted.astype(float) >= max(TPR - 1e-12, TPR / 2) * int(accepted[-1])))
    return float(others[last] / others.sum()) if mixed[last] else 0.0
