"""The report in a terminal: a table of figures, and the reliability bins."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from ..accumulators.evaluation_report import EvaluationReport

BAR = 24


def render(report: EvaluationReport, title: str) -> RenderableType:
    """All figures of a report, and its reliability curve."""
    return Group(_figures(report, title), _bins(report))


def show(report: EvaluationReport, title: str) -> None:
    """Print a report on standard output."""
    Console(highlight=False).print(render(report, title))


def _figures(report: EvaluationReport, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, description in report.descriptions.items():
        value = report[name]
        if isinstance(value, int | float):
            table.add_row(name, _number(value), description)
    return table


def _bins(report: EvaluationReport) -> Table:
    curve = report.reliability
    table = Table(title="\nreliability", title_justify="left", box=None, pad_edge=False)
    for heading in ("bin", "rows", "confidence", "accuracy", "gap"):
        table.add_column(heading, justify="right")
    table.add_column("accuracy █, confidence │", justify="left", no_wrap=True)
    for b in range(len(curve.count)):
        bounds = f"({curve.edges[b]:.3f}, {curve.edges[b + 1]:.3f}]"
        if not curve.count[b]:
            table.add_row(bounds, "0", "", "", "", "", style="dim")
            continue
        confidence, accuracy = curve.confidence[b], curve.accuracy[b]
        numbers = (f"{confidence:.4f}", f"{accuracy:.4f}", f"{accuracy - confidence:+.4f}")
        table.add_row(bounds, f"{curve.count[b]:,}", *numbers, _bar(accuracy, confidence))
    return table


def _bar(accuracy: float, confidence: float) -> str:
    cells = ["█" if k < round(accuracy * BAR) else " " for k in range(BAR + 1)]
    cells[min(round(confidence * BAR), BAR)] = "│"
    return "".join(cells)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6f}"
