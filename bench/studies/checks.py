"""A number, what it has to be, and whether it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """``aim`` says it in words; a check of what is only reported has ``holds`` None."""

    what: str
    value: float | int | str
    aim: str = ""
    holds: bool | None = None


def at_most(what: str, value: float, limit: float) -> Check:
    """NaN does not hold."""
    return Check(what, float(value), f"at most {limit:g}", bool(value <= limit))


def all_of(what: str, count: int, total: int) -> Check:
    """None of nothing does not hold either."""
    return Check(what, f"{count} of {total}", "all", 0 < total == count)


def said(what: str, value: float | int | str) -> Check:
    """Only reported."""
    return Check(what, value)


def failures(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.holds is False]
