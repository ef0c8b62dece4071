"""Two models side by side, in a terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..accumulators.paired_report import HEADLINE, Comparison
from ..dumps.batches import shown


def show(comparison: Comparison, a: str, b: str) -> None:
    """Print a comparison of the models named ``a`` and ``b`` on standard output."""
    console = Console(highlight=False)
    for letter, name in (("A", a), ("B", b)):
        console.print(Text(f"{letter}: {shown(name)}"))
    console.print(Text(f"{headline(comparison)}\n", style="bold"))
    console.print(table(comparison))
    only = f"{comparison.only_a_correct:,} rows are right in A alone, {comparison.only_b_correct:,} in B alone"
    p = comparison.mcnemar_p
    console.print(Text(only + ("" if math.isnan(p) else f" (McNemar's exact test: p = {p:.3g})"), style="dim"))
    for note in dict.fromkeys(one.note for one in comparison.differences if one.note):
        names = ", ".join(one.name for one in comparison.differences if one.note == note)
        console.print(Text(f"No interval for {names}: {note}.", style="dim"))
    note = f"each at {comparison.level:g}, not adjusted for there being several"
    console.print(Text(f"Not sure: the interval holds 0. Intervals are {note}.", style="dim"))


def headline(comparison: Comparison) -> str:
    """Which model is better calibrated, in a sentence."""
    better = comparison.better_calibrated
    rows = f"{comparison.n:,} rows"
    if better in ("A", "B"):
        return f"{better} is better calibrated, by {HEADLINE} ({rows})"
    what = "cannot be said" if better == "no interval" else "is not sure"
    return f"which one is better calibrated {what}, by {HEADLINE} ({rows})"


def table(comparison: Comparison) -> Table:
    """A line for each figure."""
    found = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    found.add_column("", no_wrap=True)
    for heading in ("A", "B", "A - B", "low", "high"):
        found.add_column(heading, justify="right", no_wrap=True)
    found.add_column("better", no_wrap=True)
    for one in comparison.differences:
        ends = ("", "") if one.interval is None else (f"{one.interval[0]:+.6f}", f"{one.interval[1]:+.6f}")
        numbers = f"{one.a:.6f}", f"{one.b:.6f}", f"{one.difference:+.6f}"
        better = "" if one.better == "no interval" else one.better
        found.add_row(Text(one.name, style="bold"), *numbers, *ends, better)
    return found
