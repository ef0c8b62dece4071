"""What a check came to: as Markdown, as JUnit XML, as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..accumulators.evaluation_report import EvaluationReport
from ..runs.checking import HOLDS, SHORT, UNSURE, Outcome
from . import words
from .junit import Case, junit
from .markdown import escaped, table

SIGNS = {"max": "at most", "min": "at least"}
MOST_ROWS = 50  # of groups, the worst first: a summary is read by people


def as_markdown(outcomes: Sequence[Outcome], source: str, level: float | None, left_out: int = 0) -> str:
    """A summary: a headline, a table of what fell short and what holds, and what was left out."""
    failed = [one for one in outcomes if not one.holds]
    of_group = any(one.of_group for one in outcomes)
    word = "holds" if not failed else "falls short"
    lines = [f"### Calibration check {word}: {escaped(source)}", ""]
    rows = sorted(outcomes, key=_rank)[:MOST_ROWS] if of_group else list(outcomes)
    headings = ["group", "rows"] if of_group else []
    headings += ["figure", "threshold", "value", *(["bound", "by"] if level is not None else []), "verdict"]
    numbers = [k for k, heading in enumerate(headings) if heading in ("rows", "value", "bound")]
    lines.append(table(headings, [_row(one, of_group, level is not None) for one in rows], numbers))
    notes = [f"{len(outcomes) - len(failed):,} of {len(outcomes):,} thresholds hold."]
    if len(rows) < len(outcomes):
        notes.append(f"{len(outcomes) - len(rows):,} more are not shown.")
    if left_out:
        notes.append(f"{left_out:,} groups of fewer rows were left out.")
    if level is not None:
        notes.append(f"Bounds are the unfavourable ends of {100 * level:g} % intervals, each by itself.")
    return "\n".join([*lines, "", " ".join(notes), ""])


_ORDER = {SHORT: 0, UNSURE: 1, HOLDS: 2}


def _rank(one: Outcome) -> tuple[int, float]:
    """What falls short comes first, and of that what does so by most."""
    beyond = one.value - one.threshold.limit
    return _ORDER[one.verdict], 0.0 if math.isnan(beyond) else beyond if one.threshold.side == "min" else -beyond


def _row(one: Outcome, of_group: bool, confident: bool) -> list[str]:
    cells = [escaped(words.shown(one.group)), f"{one.n:,}"] if of_group else []
    asked = one.threshold
    cells += [f"`{asked.name}`", f"{SIGNS[asked.side]} {asked.limit:.15g}", _number(one.value)]
    if confident:
        cells += [_number(one.bound), one.method]
    return [*cells, one.verdict if one.holds else f"**{one.verdict}**"]


def _number(value: float) -> str:
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 2 else f"{value:.6f}"


def as_junit(outcomes: Sequence[Outcome]) -> str:
    """A test case for each threshold, and each group."""
    return junit("fastcal check", (_case(one) for one in outcomes))


def _case(one: Outcome) -> Case:
    name = f"{one.threshold} [{one.group}]" if one.of_group else str(one.threshold)
    failure = None
    if not one.holds:
        failure = f"{one.threshold.name} is {one.value:.6g}"
        if one.method:
            failure += f", its bound {one.bound:.6g}"
        failure += f" ({one.n} rows), wanted {one.threshold}: {one.verdict}"
    return Case(name, "fastcal.groups" if one.of_group else "fastcal.figures", failure)


def as_json(outcomes: Sequence[Outcome], level: float | None, left_out: int) -> str:
    """All of it, as strict JSON."""
    found: dict[str, Any] = {
        "holds": all(one.holds for one in outcomes),
        "level": level,
        "groups_left_out": left_out,
        "thresholds": [one.to_dict() for one in outcomes],
    }
    return EvaluationReport(found, {}).to_json()
