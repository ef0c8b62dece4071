"""Tables of a page: headings, and cells that know their number, so that they can be sorted by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..accumulators.classwise import ClassReport
from ..accumulators.curve import ReliabilityCurve
from ..accumulators.evaluation_report import EvaluationReport
from ..accumulators.groups import GroupReport
from ..arrays import Array
from . import words

MOST_ROWS = 1000  # a page of more would be slow to scroll, and nobody reads them
MOST_BINS = 100


@dataclass(frozen=True)
class Cell:
    """What is written, and what it is sorted by: a number, "" for one that is not defined, None for text."""

    text: str
    key: str | None = None


@dataclass
class Table:
    """``caption`` says what it is; ``sorted_by`` is the number of the column that rows are in falling order of."""

    caption: str
    headings: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""
    sorted_by: int | None = None

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether it holds numbers."""
        first = self.rows[0] if self.rows else [Cell("")] * len(self.headings)
        return [cell.key is not None for cell in first]


def text(value: Any, most: int = 80) -> Cell:
    """A name of any origin."""
    return Cell(words.shown(value, most))


def number(value: float, write: Callable[[float], str] = words.figure) -> Cell:
    """A number as ``write`` has it."""
    if math.isnan(value):
        return Cell("not defined", "")
    key = f"{value:.9g}".replace("inf", "Infinity")
    return Cell(write(value), key)


def of_curve(curve: ReliabilityCurve, caption: str, axes: tuple[str, str], bounds: Callable[[int], str]) -> Table:
    """Bins of a reliability curve, of very many those that hold most rows."""
    headings = ("bin", "rows", f"mean {axes[0]}", axes[1], "interval", "if calibrated")
    counts = np.asarray(curve.count)
    chosen = np.sort(np.argsort(-counts, kind="stable")[:MOST_BINS])
    table = Table(caption, headings)
    if len(chosen) < len(counts):
        table.note = f"The {MOST_BINS} fullest of {words.count(len(counts))} bins."
    for b in chosen.tolist():
        cells = [Cell(bounds(b)), number(int(counts[b]), words.count)]
        if math.isnan(curve.confidence[b]):
            table.rows.append([*cells, *[Cell("", "")] * 4])
            continue
        ends = (curve.lower[b], curve.upper[b]), (curve.band_low[b], curve.band_high[b])
        means = number(float(curve.confidence[b])), number(float(curve.accuracy[b]))
        table.rows.append([*cells, *means, *(Cell(words.interval(one), "") for one in ends)])
    return table


def of_figures(report: EvaluationReport) -> Table:
    """Every figure that is one number, with its sentence."""
    table = Table("Every figure of the report.", ("figure", "value", "interval at 95 %", "what it is"))
    found, resampled = report.get("intervals"), report.get("bootstrap") or {}
    for name, said in report.descriptions.items():
        value = report.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        ends = resampled.get(name) if name in resampled else getattr(found, name, None)
        ends = ends if isinstance(ends, tuple) else None
        written = words.count(value) if isinstance(value, int) else words.figure(value, 6)
        table.rows.append([Cell(name), Cell(written, ""), Cell(words.interval(ends), ""), Cell(said)])
    return table


def of_classes(
    classes: ClassReport, order: Sequence[int], *, weighted: bool, names: Sequence[str] | None = None
) -> Table:
    """Figures by class, in an order."""
    rows = "weight" if weighted else "rows"
    headings = ("class", f"{rows} of the class", "its share", "mean probability", "difference", "ECE", "RMSCE", "MCE")
    table = Table("Each class against the rest.", headings, sorted_by=5)
    held = None if classes.bins is None else classes.bins.hits.sum(axis=-1)
    shares = [_column(one) for one in (classes.frequency, classes.confidence)]
    errors = [_column(one) for one in (classes.ece, classes.rmsce, classes.mce)]
    difference = _column(classes.signed_calibration_error, words.signed)
    for k in order[:MOST_ROWS]:
        of_class = number(math.nan) if held is None else number(float(held[k]), _weight if weighted else words.count)
        cells = [column(k) for column in (*shares, difference, *errors)]
        table.rows.append([Cell(str(k), str(k)) if names is None else text(names[k], 60), of_class, *cells])
    table.note = _capped(len(classes), "classes", "ECE")
    return table


def of_groups(groups: GroupReport, order: Sequence[int], bound: Sequence[float], axis: str) -> Table:
    """Figures by slice, in an order; ``bound`` is that of the RMSCE of each slice in it, ``axis`` what is averaged."""
    headings = (
        "group",
        "rows",
        "accuracy",
        f"mean {axis}",
        "ECE",
        "RMSCE, debiased",
        "RMSCE at least",
        "NLL",
        "Brier score",
    )
    table = Table("Each group of rows.", headings, sorted_by=6)
    columns = [_column(groups[name]) for name in ("accuracy", "confidence", "ece", "rmsce_debiased", "nll", "brier")]
    for g, low in zip(order[:MOST_ROWS], bound, strict=False):
        cells = [column(g) for column in columns]
        # below 0 it is that of a squared error: no error is shown
        least = number(math.nan if math.isinf(low) else low, lambda bound: words.figure(max(bound, 0.0)))
        rows = number(int(groups["n"][g]), words.count)
        table.rows.append([text(groups.labels[g], 60), rows, *cells[:4], least, *cells[4:]])
    table.note = _capped(len(groups), "groups", "lower bound of the error")
    return table


def _column(values: Array, write: Callable[[float, int], str] = words.figure) -> Callable[[int], Cell]:
    """The cells of a column, all with as many digits as its largest number takes."""
    digits = words.digits_for(float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))
    return lambda at: number(float(values[at]), lambda value: write(value, digits))


def _weight(value: float) -> str:
    return words.figure(value, 1)


def _capped(n: int, what: str, by: str) -> str:
    if n <= MOST_ROWS:
        return ""
    return f"The {words.count(MOST_ROWS)} worst of {words.count(n)} {what} by {by}; all of them are in the JSON report."
