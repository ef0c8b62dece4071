"""The report in a terminal: a table of figures, and the reliability bins."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..accumulators.binned import BrierDecomposition
from ..accumulators.evaluation_report import EvaluationReport

BAR = 24
WORST = 10


def render(report: EvaluationReport, title: str, marks: str = "█│") -> RenderableType:
    """All figures of a report, and its reliability curve with bars drawn in two ``marks``."""
    parts = [_figures(report, title), *_certainty(report), _bins(report, marks), *_slices(report)]
    return Group(*parts)


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
        elif isinstance(value, BrierDecomposition):
            for term in ("reliability", "resolution", "uncertainty"):
                table.add_row(term, _number(getattr(value, term)), f"Murphy's term of {name}")
    return table


def _certainty(report: EvaluationReport) -> list[RenderableType]:
    """Intervals, and what is said in place of one that does not apply."""
    if "intervals" not in report:
        return []
    found = report["intervals"]
    table = Table(
        title=f"\nintervals at {found.level:g}", title_justify="left", box=None, pad_edge=False, show_header=False
    )
    names = ("accuracy", "nll", "brier", "squared_ce_debiased", "ece")
    rows = {name: getattr(found, name) for name in names}
    for name, interval in rows.items():
        if interval is not None:
            table.add_row(
                Text(name, style="bold"), _number(interval[0]), _number(interval[1]), Text("normal", style="dim")
            )
    if not found.ece_applies:
        note = "no interval: not every gap exceeds 3 standard errors; calibrated, ECE would lie here"
        table.add_row(Text("ece", style="bold"), *map(_number, found.ece_band), Text(note, style="dim"))
    for name, interval in report.get("bootstrap", {}).items():
        if interval is None:
            table.add_row(Text(name, style="bold"), "", "", Text("bootstrap: no interval, as above", style="dim"))
            continue
        table.add_row(Text(name, style="bold"), *map(_number, interval), Text("bootstrap", style="dim"))
    return [table]


def _slices(report: EvaluationReport) -> list[RenderableType]:
    """The worst slices by the lower bound of their error."""
    if "groups" not in report:
        return []
    groups = report["groups"]
    table = Table(
        title=f"\nworst of {len(groups):,} slices, by the lower bound of rmsce",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("slice", "rows", "lower bound", "rmsce", "ece", "accuracy", "nll"):
        table.add_column(heading, justify="left" if heading == "slice" else "right")
    place = {label: number for number, label in enumerate(groups.labels)}
    for row in groups.worst("rmsce", WORST):
        at = place[row["label"]]
        numbers = [_number(float(groups[name][at])) for name in ("rmsce", "ece", "accuracy", "nll")]
        table.add_row(Text(str(row["label"])), f"{row['n']:,}", _number(row["lower_bound"]), *numbers)
    return [table]


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
