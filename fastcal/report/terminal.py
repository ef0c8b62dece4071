"""The report in a terminal: a table of figures, and the reliability bins."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..accumulators.evaluation_report import EvaluationReport

BAR = 24


def render(report: EvaluationReport, title: str, marks: str = "█│") -> RenderableType:
    """All figures of a report, and its reliability curve with bars drawn in two ``marks``."""
    return Group(_figures(report, title), _bins(report, marks))


def show(report: EvaluationReport, title: str) -> None:
    """Print a report on standard output; its bars in ASCII where the terminal has no other."""
    console = Console(highlight=False)
    try:
        "█│".encode(console.encoding)
        marks = "█│"
    except (UnicodeEncodeError, LookupError):
        marks = "#|"
    console.print(render(report, title, marks))


def _figures(report: EvaluationReport, title: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, description in report.descriptions.items():
        value = report[name]
        if isinstance(value, int | float):
            table.add_row(name, _number(value), description)
    return table


def _bins(report: EvaluationReport, marks: str) -> Table:
    curve = report.reliability
    table = Table(title="\nreliability", title_justify="left", box=None, pad_edge=False)
    for heading in ("bin", "rows", "confidence", "accuracy", "gap"):
        table.add_column(heading, justify="right")
    table.add_column(f"accuracy {marks[0]}, confidence {marks[1]}", justify="left", no_wrap=True)
    for b in range(len(curve.count)):
        bounds = f"({curve.edges[b]:.3f}, {curve.edges[b + 1]:.3f}]"
        confidence, accuracy = curve.confidence[b], curve.accuracy[b]
        if math.isnan(confidence):  # no row, or none of any weight
            table.add_row(bounds, f"{curve.count[b]:,}", "", "", "", "", style="dim")
            continue
        numbers = (f"{confidence:.4f}", f"{accuracy:.4f}", f"{accuracy - confidence:+.4f}")
        table.add_row(bounds, f"{curve.count[b]:,}", *numbers, _bar(accuracy, confidence, *marks))
    return table


def _bar(accuracy: float, confidence: float, full: str, line: str) -> str:
    cells = [full if k < round(accuracy * BAR) else " " for k in range(BAR + 1)]
    cells[min(round(confidence * BAR), BAR)] = line
    return "".join(cells)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6f}"
