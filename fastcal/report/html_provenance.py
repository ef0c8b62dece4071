"""Where a page's figures come from: the rule of the bins, in words, and the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..accumulators.curve import ReliabilityCurve
from ..runs.provenance import Provenance, SourceFile
from . import words
from .html_tables import MOST_ROWS, Cell, Table, number

DEFAULT = "Bins (lo, hi], the first also with 0"
CONVENTIONS = {
    "guo": "Guo et al.'s bins (lo, hi]; rows of confidence 0 are counted and in no bin",
    "sklearn": "scikit-learn's bins (lo, hi], the first also with 0",
    "verified": "Bins (lo, hi] of uncertainty-calibration (Kumar et al.), the first also with 0",
    "torchmetrics": "torchmetrics' bins [lo, hi), with a bin of its own for 1",
    "netcal": "netcal's bins [lo, hi), the last also with 1",
    "robustness-metrics": "robustness_metrics' bins [lo, hi), with a bin of its own for 1, no row of 0",
    "tfp": "TensorFlow Probability's bins [lo, hi), the last also with 1",
    "mapie": "MAPIE's bins (lo, hi], with a bin of its own for 0",
    "relplot": "relplot's bins [lo, hi), with a bin of its own for 1",
    "calibre": "calibre's bins [lo, hi), the last also with 1",
}
LEFT = ("torchmetrics", "netcal", "robustness-metrics", "tfp", "relplot", "calibre")


class Rule:
    """How confidences were binned."""

    def __init__(self, name: str, closed: str | None, curve: ReliabilityCurve) -> None:
        self.name = name
        self.left = name in LEFT or closed == "left"
        self.edges = curve.edges

    def said(self) -> str:
        """The rule in a sentence."""
        widths = [b - a for a, b in pairwise(self.edges.tolist()) if b > a]
        even = bool(widths) and max(widths) - min(widths) < 1e-6
        of_left = "Bins [lo, hi), the last also with 1"
        rule = CONVENTIONS.get(self.name, of_left if self.left else DEFAULT)
        width = f"of width {widths[0]:.4g}" if even else "of different widths"
        return f"{rule}: {words.plural(len(self.edges) - 1, 'bin')} {width}."

    def bounds(self, b: int) -> str:
        """One bin."""
        low, high = f"{self.edges[b]:.4g}", f"{self.edges[b + 1]:.4g}"
        if low == high and self.edges[b] == self.edges[b + 1]:
            return low
        last = b == len(self.edges) - 2
        if self.left:
            return f"[{low}, {high}{']' if last and self.edges[b + 1] == 1 else ')'}"
        return f"{'[' if b == 0 else '('}{low}, {high}]"


def of_files(files: Sequence[SourceFile]) -> Table:
    """Name, size and hash of each."""
    table = Table("Files read.", ("file", "size", "SHA-256"))
    for one in files[:MOST_ROWS]:
        size = number(one.size, lambda n_bytes: words.size(int(n_bytes)))
        said = f"{words.shown(one.sha256)} (of some of its blocks)" if one.sampled else words.shown(one.sha256)
        table.rows.append([Cell(words.shown(one.name, 120, middle=True)), size, Cell(said)])
    if len(files) > MOST_ROWS:
        table.note = f"The first {words.count(MOST_ROWS)} of {words.count(len(files))} files."
    return table


def of_run(provenance: Provenance) -> list[tuple[str, list[str]]]:
    """Terms and what they are: all that is not a file. What varies from run to run comes last."""
    found = [("fastcal", [words.shown(provenance.version)])]
    versions = [f"{words.shown(name, 40)} {words.shown(one, 40)}" for name, one in _items(provenance.versions)]
    if versions:
        found.append(("libraries", versions))
    options = [f"{words.shown(name, 40)}: {words.shown(one)}" for name, one in _items(provenance.options)]
    if options:
        found.append(("options", options))
    found.append(("rows", [words.count(provenance.n_rows)]))
    if provenance.command:
        found.append(("command", [words.shown(provenance.command, 400)]))
    found.append(("started", [words.shown(provenance.started)]))
    found.append(("duration", [words.duration(provenance.seconds) if provenance.seconds > 0 else "not known"]))
    return found


def _items(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What was said, in one order."""
    return sorted((name, value) for name, value in given.items() if value is not None)
