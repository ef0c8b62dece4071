"""The figures of an accumulator, as a mapping."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any


class EvaluationReport(Mapping[str, Any]):
    """Figures by name: ``report["ece"]``, ``report.reliability``, ``report.to_dict()``, ``report.to_json()``.

    ``descriptions`` says in a sentence what each figure is.

    >>> import fastcal as fc
    >>> report = fc.ScoreAccumulator().update([0, 1], [0.25, 0.75]).compute()
    >>> report["brier"], len(report) == len(report.to_dict())
    (0.0625, True)
    """

    def __init__(self, figures: Mapping[str, Any], descriptions: Mapping[str, str]) -> None:
        self._figures = dict(figures)
        self.descriptions = dict(descriptions)

    def __getitem__(self, name: str) -> Any:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    @property
    def reliability(self) -> Any:
        """The reliability curve, where the accumulator keeps one."""
        if "reliability" not in self._figures:
            raise AttributeError("this report has no reliability curve")
        return self._figures["reliability"]

    def plot(self, ax: Any = None) -> Any:
        """The reliability diagram, see :meth:`ReliabilityCurve.plot`; returns the Axes.

        >>> import fastcal as fc
        >>> fc.Evaluation().update([0, 1], [0.25, 0.75]).compute().plot().get_ylabel()
        'accuracy'
        """
        return self.reliability.plot(ax)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python: numbers, and lists for arrays.

        >>> import fastcal as fc
        >>> fc.ScoreAccumulator().update([0, 1], [0.25, 0.75]).compute().to_dict()["brier"]
        0.0625
        """
        return {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in self._figures.items()}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Strict JSON: NaN is null, infinity the string "Infinity".

        >>> import fastcal as fc
        >>> print(fc.EvaluationReport({"n": 2, "nll": float("inf"), "ece": float("nan")}, {}).to_json())
        {
          "n": 2,
          "nll": "Infinity",
          "ece": null
        }
        """
        return json.dumps(strict(self.to_dict()), indent=indent, allow_nan=False)

    def __repr__(self) -> str:
        figures = ", ".join(f"{k}={v:.6g}" for k, v in self._figures.items() if isinstance(v, int | float))
        return f"EvaluationReport({figures})"


def strict(value: Any) -> Any:
    """A value as strict JSON has it: None for NaN, text for infinities, within lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
