"""The whole report in one pass."""

from __future__ import annotations

from typing import Unpack

from .base import Accumulator, Options
from .evaluation_report import EvaluationReport
from .reliability import ReliabilityPart
from .scores import ScorePart

__all__ = ["Evaluation", "EvaluationReport"]


class Evaluation(Accumulator):
    """Every figure that one pass can give: accuracy, NLL, Brier score, entropy, calibration errors, reliability.

    >>> import fastcal as fc
    >>> acc = fc.Evaluation(from_logits=True)
    >>> report = acc.update([0, 1], [[2.0, 0.0], [0.0, 0.0]]).compute()
    >>> report["accuracy"], round(report["nll"], 6)
    (0.5, 0.410038)
    """

    def __init__(self, *, n_bins: int = 15, **options: Unpack[Options]) -> None:
        bins = ReliabilityPart(n_bins)
        parts = {"scores": ScorePart(), "reliability": bins}
        super().__init__(settings={"n_bins": bins.n_bins}, parts=parts, **options)

    def compute(self) -> EvaluationReport:
        """All figures of what was seen; see the report's ``descriptions``."""
        report = super().compute()
        return EvaluationReport({**report, "convention": "fastcal"}, report.descriptions)
