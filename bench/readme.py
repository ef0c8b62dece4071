"""Writes what a run measured into the README: each table between markers of its own, so that one may be run again."""

from __future__ import annotations

from pathlib import Path

from .machine import Figure
from .race import Line

README = Path(__file__).parents[1] / "README.md"


def put(name: str, lines: list[str]) -> None:
    """Replace what stands in a section of the README; raises ValueError where it has no such section."""
    begin, end = f"<!-- speed: {name} -->\n", f"<!-- speed: end of {name} -->\n"
    before, begins, rest = README.read_text(encoding="utf-8").partition(begin)
    _, ends, after = rest.partition(end)
    if not (begins and ends):
        raise ValueError(f"the README has no markers for the speed of {name}")
    README.write_text(before + begin + "\n".join([*lines, ""]) + end + after, encoding="utf-8")


def comparisons(lines: list[Line]) -> list[str]:
    """A line a work and kind of input."""
    table = [
        "| work | input, float32 | fastcal | fastest peer | its time | ratio | quartiles |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        n_rows, n_classes = line.shape
        given = f"{n_rows:,} x {n_classes} {line.kind}" if n_classes > 1 else f"{n_rows:,} {line.kind}"
        if line.best is not None:
            best = line.best
            times = f"{best.ours * 1e3:.1f} ms | {best.peer} | {best.theirs * 1e3:.1f} ms"
            table.append(f"| {line.work} | {given} | {times} | {best.ratio:.1f}x | {best.low:.1f} to {best.high:.1f} |")
    return table


def whole(figures: list[Figure]) -> list[str]:
    """A line a figure of memory or of a whole process."""
    table = ["| whole process | measured | at most |", "|---|---|---|"]
    for figure in figures:
        value = "-" if figure.value is None else f"{figure.value:.2f} {figure.unit}"
        table.append(f"| {figure.what} | {value} | {'' if figure.at_most is None else f'{figure.at_most:g}'} |")
    return table
