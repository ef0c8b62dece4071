"""Which form of the scores a calibrator is fitted on: as they are, logarithms of probabilities, or a softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastcal import kernels

from ..arrays import Array, DataError, probability_problem

Input = Literal["logits", "probs"]
Taken = Literal["logits", "log-probs", "probs", "scores"]


@dataclass(frozen=True)
class Form:
    """What scores are said to be (``input``), what the calibrator takes, and whether a logit may be -inf.

    "logits" of probabilities are their logarithms, log(p / (1 - p)) of binary ones; "log-probs" are these, and the
    log-softmax of logits; "probs" of logits are their softmax; "scores" are taken as they are. ``smallest``: a
    probability below it counts as it before its logarithm is taken.
    """

    input: Input
    taken: Taken
    minus_inf: bool = False
    smallest: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether rows are taken as they are."""
        return self.taken in (self.input, "scores")

    def check(self, scores: Array, *, half: bool, first_row: int = 0, argument: str = "scores") -> None:
        """Raise DataError for the first of rows (n, C) that holds no scores; ``half``: they came as half floats."""
        from_logits = self.input == "logits"
        if from_logits and kernels.score_forms.all_finite(scores.reshape(-1)):
            return
        tolerance, sum_tolerance = _tolerances(scores, half)
        if not from_logits and _clearly(scores, tolerance, sum_tolerance):
            row = -1
        else:
            row = self._first_fault(scores, tolerance, sum_tolerance)
        if row < 0 and not from_logits and self.taken in ("logits", "log-probs") and not self.minus_inf:
            row = self._first_zero(scores)
        if row >= 0:
            raise self._fault(argument, scores[row], first_row + row, tolerance, sum_tolerance)

    def _first_fault(self, scores: Array, tolerance: float, sum_tolerance: float) -> int:
        """The first row that is no row of scores, or -1."""
        minus_inf = self.minus_inf or self.taken == "probs"
        found = kernels.score_forms.first_fault(scores, self.input == "logits", minus_inf, tolerance, sum_tolerance)
        return int(found)

    def _first_zero(self, scores: Array) -> int:
        """The first row with a probability whose logarithm is infinite; -1 for none."""
        if self.smallest > 0:
            return -1
        infinite = (scores <= 0).any(axis=1)
        if scores.shape[1] == 1:
            infinite |= (scores >= 1).any(axis=1)
        return int(np.argmax(infinite)) if infinite.any() else -1

    def _fault(self, argument: str, row: Array, number: int, tolerance: float, sum_tolerance: float) -> DataError:
        values = row.astype(np.float64)
        binary = len(values) == 1
        if self.input == "probs":
            problem, where = probability_problem(values, tolerance, sum_tolerance, rows=not binary)
            problem = problem.split("; nan_policy")[0].replace("from_logits=True", "input='logits'")
            if where is None and problem == "is no distribution":
                where = int(np.argmax((values <= 0) | (values >= 1) if binary else values <= 0))
                problem = (
                    f"is {values[where]:g}, whose logarithm no finite weight can scale; say clip=, a least probability"
                )
        else:
            wrong = ~np.isfinite(values)
            if self.minus_inf or self.taken == "probs":
                wrong = np.isnan(values) | (values == np.inf)
            where = int(np.argmax(wrong)) if wrong.any() else None
            problem = "has no logit above -inf" if where is None else f"is {values[where]}; expected a finite number"
        place = (number,) if where is None or binary else (number, where)
        return DataError(argument, place, problem)

    def of(self, scores: Array) -> Array:
        """Rows (n, C) in the form that is taken, read-only."""
        if self.is_plain:
            return scores
        if self.taken == "probs":
            out = np.empty(scores.shape, scores.dtype)
            kernels.score_forms.softmax(scores, out)
        else:
            out = np.empty(scores.shape, np.float64)
            if self.input == "probs":
                kernels.score_forms.logs(scores, float(self.smallest), out)
            else:
                kernels.score_forms.log_softmax(scores, out)
        out.flags.writeable = False
        return out


def _clearly(scores: Array, tolerance: float, sum_tolerance: float) -> bool:
    """Whether all rows are distributions, none of them so nearly not that rounding would decide."""
    real, near = scores.dtype.type, 0.99
    within = real(-near * tolerance), real(1 + near * tolerance)
    return bool(kernels.score_forms.all_distributions(scores, scores.reshape(-1), *within, near * sum_tolerance))


def _tolerances(scores: Array, half: bool) -> tuple[float, float]:
    """How far off [0, 1], and off a sum of 1, is still rounding: see :func:`fastcal.arrays.tolerances`."""
    if scores.shape[1] > 1:
        return 8 * 2.0**-10 if half else 1e-4, 1e-2 if half else 1e-3
    return 8 * 2.0**-10 if half else 1e-6 if scores.dtype == np.float64 else 8 * 2.0**-23, np.inf


def checked_input(given: Any, default: Input) -> Input:
    """``input`` as the caller gave it, or the class's own."""
    if given is None:
        return default
    if given not in ("logits", "probs"):
        raise ValueError(f"input is {given!r}; expected None, 'logits' or 'probs'")
    return given  # type: ignore[no-any-return]
