"""Selective prediction of streams with its curve among the figures: what a page shows of it."""

from __future__ import annotations

from .evaluation_report import EvaluationReport
from .selective import SelectiveAccumulator


class RiskCoverageAccumulator(SelectiveAccumulator):
    """A :class:`SelectiveAccumulator` whose report has the ``curve``, too: a point for each cell of confidence.

    >>> from fastcal.accumulators.risk_coverage import RiskCoverageAccumulator
    >>> RiskCoverageAccumulator().update([1, 0], [0.9, 0.8]).compute()["curve"].risk.tolist()
    [0.0, 0.5]
    """

    def compute(self) -> EvaluationReport:
        """All figures, and the curve."""
        report = super().compute()
        said = {**report.descriptions, "curve": "Risk against coverage."}
        return EvaluationReport({**report, "curve": self.curve()}, said)
