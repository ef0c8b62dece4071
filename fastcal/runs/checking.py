"""Thresholds on the figures of a report: which hold, which fall short, and which are not sure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..accumulators.evaluation_report import EvaluationReport
from ..accumulators.groups import GroupReport
from .bounds import BOOTSTRAPPED, COUNTS, NOT_BOUNDED, bounds, group_bounds, has_bounds

Side = Literal["max", "min"]
HOLDS, SHORT, UNSURE = "holds", "falls short", "too few rows to be sure"


@dataclass(frozen=True)
class Threshold:
    """A figure, and the most or the least that it may be."""

    name: str
    side: Side
    limit: float

    def __str__(self) -> str:
        return f"{self.name} {'<=' if self.side == 'max' else '>='} {self.limit:.15g}"

    def allows(self, value: float) -> bool:
        """Whether a value is within it; NaN is not."""
        return value <= self.limit if self.side == "max" else value >= self.limit


@dataclass(frozen=True)
class Outcome:
    """What a threshold came to, on all rows or, with a ``group``, on those of one; ``of_group`` says which.

    ``bound`` is the unfavourable end of the interval that ``method`` made, NaN where none was asked for.
    """

    threshold: Threshold
    value: float
    bound: float
    method: str
    verdict: str
    of_group: bool = False
    group: Any = None
    n: int = 0

    @property
    def holds(self) -> bool:
        """Whether the threshold does."""
        return self.verdict == HOLDS

    def to_dict(self) -> dict[str, Any]:
        """Plain Python."""
        one = self.threshold
        found = {"figure": one.name, one.side: one.limit, "value": self.value, "n": self.n, "verdict": self.verdict}
        if self.method:
            found |= {"bound": self.bound, "method": self.method}
        if self.of_group:
            plain = self.group is None or isinstance(self.group, str | int | float)
            found = {"group": self.group if plain else str(self.group), **found}
        return found


def thresholds(most: Sequence[str], least: Sequence[str]) -> list[Threshold]:
    """Of ``NAME=NUMBER`` texts, several in one with commas between; raises ValueError for what is none, or for none."""
    sides: tuple[tuple[Side, Sequence[str]], ...] = (("max", most), ("min", least))
    found = [
        _threshold(part, side) for side, texts in sides for text in texts for part in text.split(",") if part.strip()
    ]
    if not found:
        raise ValueError("no threshold; say --max NAME=NUMBER or --min NAME=NUMBER")
    for one in found:
        if sum((other.name, other.side) == (one.name, one.side) for other in found) > 1:
            raise ValueError(f"--{one.side} {one.name} is given twice")
    return found


def _threshold(text: str, side: Side) -> Threshold:
    name, equals, number = text.partition("=")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not equals or not name.strip() or math.isnan(limit):
        raise ValueError(
            f"--{side} is {text.strip()!r}; expected NAME=NUMBER, such as {'ece' if side == 'max' else 'accuracy'}=0.5"
        )
    return Threshold(name.strip(), side, limit)


def needs_bootstrap(asked: Iterable[Threshold]) -> bool:
    """Whether the bounds of a figure come from resampling only."""
    return any(one.name in BOOTSTRAPPED for one in asked)


def check_names(asked: Sequence[Threshold], known: Sequence[str], *, confident: bool, groups: bool) -> None:
    """Raise ValueError for a figure that the report does not have, or one without the bounds that are asked for."""
    for one in asked:
        if one.name not in known:
            close = difflib.get_close_matches(one.name.lower(), known, 3, 0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
            raise ValueError(f"no figure {one.name!r}{' of groups' if groups else ''}; {hint}")
        if confident and not has_bounds(one.name, groups=groups):
            bounded = ", ".join(name for name in known if has_bounds(name, groups=groups))
            raise ValueError(f"{one.name} has no interval, which --confident needs; these have: {bounded}")


def figures(report: EvaluationReport, *, groups: bool) -> list[str]:
    """The names of what thresholds can be put on."""
    if groups:
        return [name for name in report["groups"].figures if name != "weight"]
    return [name for name in report if isinstance(report[name], int | float) and not isinstance(report[name], bool)]


def judged(report: EvaluationReport, asked: Sequence[Threshold], *, confident: bool) -> list[Outcome]:
    """Each threshold on all rows. Raises ValueError for a figure that is not a number, or has no interval here."""
    n = int(report["n"])
    found = []
    for one in asked:
        value = float(report[one.name])
        if math.isnan(value):
            raise ValueError(f"{one.name} cannot be computed from these rows: it is not a number")
        bound, method = math.nan, ""
        if confident:
            low, high, method = bounds(report, one.name)
            bound = high if one.side == "max" else low
            if one.allows(value) and not method:
                raise ValueError(f"{one.name} has no interval here: {NOT_BOUNDED}")
        found.append(Outcome(one, value, bound, method, _verdict(one, value, bound, confident), n=n))
    return found


def judged_groups(
    report: EvaluationReport, asked: Sequence[Threshold], *, confident: bool, least_rows: int = 0
) -> tuple[list[Outcome], int]:
    """Each threshold on each group of at least so many rows, and how many groups had fewer.

    Raises ValueError for a figure that is not a number, and where no group is left.
    """
    given: GroupReport = report["groups"]
    kept = np.flatnonzero(given["n"] >= least_rows)
    if not len(kept):
        raise ValueError(f"no group has {least_rows} rows")
    found = []
    for one in asked:
        values = np.asarray(given[one.name], float)
        ends = None
        if confident:
            low, high, method = group_bounds(given, one.name, float(report["intervals"].level))
            ends = high if one.side == "max" else low
        for g in kept.tolist():
            value = float(values[g])
            if math.isnan(value):
                raise ValueError(f"{one.name} of group {given.labels[g]!r} cannot be computed: it is not a number")
            bound = math.nan if ends is None else float(ends[g])
            verdict = _verdict(one, value, bound, confident)
            found.append(
                Outcome(
                    one, value, bound, method if confident else "", verdict, True, given.labels[g], int(given["n"][g])
                )
            )
    return found, len(given) - len(kept)


def _verdict(one: Threshold, value: float, bound: float, confident: bool) -> str:
    if not one.allows(value):
        return SHORT
    return HOLDS if not confident or one.allows(bound) or one.name in COUNTS else UNSURE
