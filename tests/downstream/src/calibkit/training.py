"""A training loop that stops when a figure of the validation set no longer improves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import fastcal as fc

from .arrays import Batch, Floats, Labels
from .models import Model
from .reporting import evaluate

Metric = Callable[[Labels, Floats], float]

METRICS: dict[str, Metric] = {
    "adaptive_ece": fc.adaptive_ece,
    "classwise_ece": fc.classwise_ece,
    "smooth_ece": fc.smooth_ece,
    "torchmetrics_ece": lambda y, p: fc.ece(y, p, convention="torchmetrics"),
}


@dataclass(frozen=True)
class Epoch:
    """What the validation set said after an epoch."""

    number: int
    report: fc.EvaluationReport
    metrics: dict[str, float]


@dataclass
class Trainer:
    """Trains a model; ``monitor`` names a figure of the report, ``patience`` epochs without a better one end it."""

    model: Model
    monitor: str = "nll"
    patience: int = 3
    n_bins: int = 15
    metrics: Sequence[str] = ()
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        unknown = set(self.metrics) - METRICS.keys()
        if unknown:
            raise ValueError(f"unknown metrics {sorted(unknown)}; known are {sorted(METRICS)}")

    def fit(self, training: Sequence[Batch], validation: Sequence[Batch], *, epochs: int) -> Epoch:
        """Train for so many epochs at most; returns the best one."""
        for number in range(epochs):
            for x, y in training:
                self.model.learn(x, y)
            self.history.append(self._epoch(number, validation))
            if number - self.best.number >= self.patience:
                break
        return self.best

    @property
    def best(self) -> Epoch:
        """The epoch with the least of the monitored figure."""
        return min(self.history, key=lambda epoch: float(epoch.report[self.monitor]))

    def _epoch(self, number: int, validation: Sequence[Batch]) -> Epoch:
        report = evaluate(self.model, validation, n_bins=self.n_bins)
        found: dict[str, float] = {}
        for name in self.metrics:
            x, y = validation[0]
            found[name] = METRICS[name](y, fc.softmax(self.model.logits(x)))
        return Epoch(number, report, found)
