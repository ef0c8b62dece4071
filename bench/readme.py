"""Writes what a run measured into the README, between its markers."""

from __future__ import annotations

from pathlib import Path

from . import calibration, courses, order
from .machine import Figure
from .race import Line

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- speed: begin (written by `python -m bench --readme`) -->\n", "<!-- speed: end -->"


def write(
    lines: list[Line],
    finishes: list[courses.Finish],
    outcomes: list[order.Outcome],
    errors: list[order.Outcome],
    figures: list[Figure],
    conditions: str,
) -> None:
    """Replace the README's tables; raises ValueError where it has no place for them."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the README has no markers for the speed tables")
    README.write_text(
        before + begin + tables(lines, finishes, outcomes, errors, figures, conditions) + end + after, encoding="utf-8"
    )


def tables(
    lines: list[Line],
    finishes: list[courses.Finish],
    outcomes: list[order.Outcome],
    errors: list[order.Outcome],
    figures: list[Figure],
    conditions: str,
) -> str:
    """A line a work and kind of input, a line a whole process."""
    raced = [
        "| work | input, float32 | fastcal | fastest peer | its time | ratio | quartiles |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        n_rows, n_classes = line.shape
        given = f"{n_rows:,} x {n_classes} {line.kind}" if n_classes > 1 else f"{n_rows:,} {line.kind}"
        if line.best is not None:
            best = line.best
            times = f"{best.ours * 1e3:.1f} ms | {best.peer} | {best.theirs * 1e3:.1f} ms"
            raced.append(f"| {line.work} | {given} | {times} | {best.ratio:.1f}x | {best.low:.1f} to {best.high:.1f} |")
    whole = ["| whole process | measured | at most |", "|---|---|---|"]
    for figure in figures:
        value = "-" if figure.value is None else f"{figure.value:.2f} {figure.unit}"
        whole.append(f"| {figure.what} | {value} | {'' if figure.at_most is None else f'{figure.at_most:g}'} |")
    parts = [raced, calibration.as_markdown(errors), courses.as_markdown(finishes), order.as_markdown(outcomes), whole]
    return "\n".join([conditions, "", *(line for part in parts for line in (*part, ""))])
