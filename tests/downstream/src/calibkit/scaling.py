"""Calibrators for the end of a training."""

from __future__ import annotations

from typing import Any, Self

import fastcal as fc

from .arrays import Floats, Labels


class CappedTemperature(fc.TemperatureScaling):
    """Temperature scaling that never sharpens: a fitted temperature below 1 counts as 1."""

    def fit(self, scores: Any, y_true: Any, sample_weight: Any = None, **options: Any) -> Self:
        """Fit as :class:`fastcal.TemperatureScaling`, then cap."""
        super().fit(scores, y_true, sample_weight, **options)
        self.temperature_ = max(self.temperature_, 1.0)
        return self


def best_calibrator(logits: Floats, labels: Labels, *, folds: int = 5) -> tuple[str, fc.TemperatureScaling | None]:
    """The name of the method with the lowest cross-validated NLL, and the method fitted to all rows (None for none)."""
    methods: dict[str, fc.TemperatureScaling] = {"temperature": fc.TemperatureScaling(), "capped": CappedTemperature()}
    comparison = fc.cross_validate_calibrators(logits, labels, methods=methods, cv=folds)
    best = comparison.best
    return best, methods[best].fit(logits, labels) if best in methods else None
