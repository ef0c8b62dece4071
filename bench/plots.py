"""Plots of a run as SVG: speed against rows and classes, and rates beside the machine's.

A file says in its metadata which numbers it was drawn of, by their hash, so that a stale one is told without drawing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .record import Pair, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart, each with a marker of its own.
STYLES = [
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
    ("#666666", "*"),
]
AGAINST_ROWS = (
    "softmax, out=",
    "softmax_summary",
    "ece",
    "Evaluation",
    "auroc",
    "IsotonicRegression.fit",
    "aurc",
    "ensemble_uncertainty",
)
AGAINST_CLASSES = (
    "softmax, out=",
    "softmax_summary",
    "entropy",
    "Evaluation",
    "classwise_ece",
    "ensemble_uncertainty",
    "TemperatureScaling.fit",
    "VectorScaling.predict_proba",
)
CLASSES_AGAINST_ROWS = (1, 10)  # of pairs that are comparable with the growth against rows
OF_ROOFS = ("courses", "calibration", "ensembles", "selective", "calibrators")
MOST_BARS = 24
# What ours is held against that is no other way to the same answer.
NO_PEERS = ("itself", "one ", "copy ", "np.", "the original")
INK, FAINT = "#222222", "#dddddd"


@dataclass(frozen=True)
class Plot:
    """A file, what it shows in words, the numbers of a run that are in it, and how they are drawn."""

    name: str
    says: str
    data: Callable[[Run], dict[str, Any]]
    paint: Callable[[dict[str, Any], Figure], None]
    inches: tuple[float, float]


# --- numbers ----------------------------------------------------------------------------------------------------------


def speeds(run: Run) -> dict[str, Any]:
    """Rows a second against rows, and scores a second against classes; beside them races with the fastest peers."""
    rows = {one.work: one for one in run.growth if one.against == "N" and one.work in AGAINST_ROWS}
    classes = {one.work: one for one in run.growth if one.against == "K" and one.work in AGAINST_CLASSES}
    return {
        "rows": {
            name: {
                "ours": [(n, n / s) for n, s in zip(one.sizes, one.seconds, strict=True)],
                "peers": fastest_peers(run.pairs, name, against="N"),
            }
            for name, one in rows.items()
        },
        "classes": {
            name: {
                "ours": [(k, 1000 * k / s) for k, s in zip(one.sizes, one.seconds, strict=True)],
                "peers": fastest_peers(run.pairs, name, against="K"),
            }
            for name, one in classes.items()
        },
    }


def fastest_peers(pairs: Sequence[Pair], work: str, *, against: str) -> list[tuple[float, float, float]]:
    """Of a work, at each number of rows or classes: the rate of the fastest peer, and ours on the same input.

    That input need not be the one of the line, whose rows against classes are 1000 and whose members are few.
    """
    best: dict[int, tuple[float, float]] = {}
    for one in pairs:
        if one.work != work or one.theirs is None or one.peer.startswith(NO_PEERS):
            continue
        n, k = shape(one.given)
        if against == "N" and k in CLASSES_AGAINST_ROWS:
            best[n] = max(best.get(n, (0, 0)), (n / one.theirs, n / one.ours))
        elif against == "K" and k > 1:
            best[k] = max(best.get(k, (0, 0)), (n * k / one.theirs, n * k / one.ours))
    return [(size, *rates) for size, rates in sorted(best.items())]


def shape(given: str) -> tuple[int, int]:
    """Rows and classes of an input in words; 1 where it says no classes."""
    rows = re.match(r"[\d,]+", given)
    classes = re.search(r"(?: x |, )([\d,]+) (?:classes|float|bfloat)", given)
    return _number(rows[0] if rows else "0"), _number(classes[1] if classes else "1")


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def rates(run: Run) -> dict[str, Any]:
    """Bytes a second that works of one pass move at least, ours and the fastest peer's, and the machine's."""
    found: dict[str, dict[str, Any]] = {}
    for one in run.pairs:
        if one.set in OF_ROOFS and one.roof in ("read", "copy") and one.n_bytes and "fit" not in one.work:
            entry = found.setdefault(f"{one.work}, {one.given}", {"ours": one.n_bytes / one.ours, "roof": one.roof})
            if one.theirs is not None and not one.peer.startswith(NO_PEERS):
                entry["peer"] = max(entry.get("peer", 0), one.n_bytes / one.theirs)
    fastest = sorted(found, key=lambda name: -found[name]["ours"])[:MOST_BARS]
    return {"works": {name: found[name] for name in fastest}, "read": run.roofs["read"], "copy": run.roofs["copy"]}


# --- pictures ---------------------------------------------------------------------------------------------------------


def paint_speeds(data: dict[str, Any], figure: Figure) -> None:
    """Two panels, log-log."""
    left, right = figure.subplots(1, 2)
    _lines(left, data["rows"], "rows", "rows a second against rows")
    _lines(right, data["classes"], "classes, 1000 rows", "scores a second against classes")


def _lines(axes: Axes, works: Mapping[str, Any], against: str, title: str) -> None:
    if not works:
        axes.set_axis_off()
        return
    for (name, one), (colour, marker) in zip(works.items(), STYLES, strict=False):
        axes.plot(*zip(*one["ours"], strict=True), color=colour, marker=marker, markersize=4, linewidth=1.4, label=name)
        for size, theirs, ours in one["peers"]:
            axes.plot([size, size], [theirs, ours], color=colour, linestyle=":", linewidth=1)
            axes.plot(size, theirs, color=colour, marker=marker, markerfacecolor="white", markersize=7)
            axes.plot(size, ours, color=colour, marker=marker, markersize=7)
    hollow = {"color": INK, "marker": "o", "markerfacecolor": "white", "linestyle": ":"}
    axes.plot([], [], **hollow, label="fastest peer, and ours on its input")
    axes.set(xscale="log", yscale="log", xlabel=against, title=title)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def paint_rates(data: dict[str, Any], figure: Figure) -> None:
    """A line a work, the fastest on top, and the machine's rates across."""
    axes = figure.subplots()
    works = data["works"]
    if not works:
        axes.set_axis_off()
        return
    places = range(len(works))[::-1]
    for place, one in zip(places, works.values(), strict=True):
        colour = STYLES[0][0] if one["roof"] == "read" else STYLES[1][0]
        axes.plot(one["ours"] / 1e9, place, color=colour, marker="o" if one["roof"] == "read" else "s", markersize=6)
        if "peer" in one:
            axes.plot(one["peer"] / 1e9, place, color=colour, marker="o", markerfacecolor="white", markersize=6)
            axes.plot([one["peer"] / 1e9, one["ours"] / 1e9], [place, place], color=colour, linewidth=0.8, zorder=0)
    for roof, (colour, marker) in (("read", STYLES[0]), ("copy", ("#D55E00", "s"))):
        axes.axvline(data[roof] / 1e9, color=colour, linestyle="-" if roof == "read" else "--", linewidth=1.2)
        axes.plot(
            [], [], color=colour, marker=marker, linestyle="-" if roof == "read" else "--", label=f"bound by {roof}"
        )
    axes.plot([], [], color=INK, marker="o", markerfacecolor="white", linestyle="", label="fastest peer")
    axes.set(xscale="log", xlabel="GB/s; lines: what the machine reads, copies")
    axes.set_xlim(right=1.4 * max(data["read"], data["copy"], *(one["ours"] for one in works.values())) / 1e9)
    axes.set_yticks(list(places), list(works), fontsize=8)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


PLOTS = [
    Plot(
        "speed.svg",
        "Rows a second against rows, scores a second against classes; hollow: the fastest peer, dotted to ours there",
        speeds,
        paint_speeds,
        (9.5, 5.2),
    ),
    Plot(
        "roofline.svg",
        "GB/s that each work moves, beside what the machine reads and copies; hollow: the fastest peer",
        rates,
        paint_rates,
        (9.5, 6.2),
    ),
]


def digest(data: Mapping[str, Any]) -> str:
    """A hash of what a plot is drawn of."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def drawn_of(path: Path) -> str | None:
    """The hash in a file; None where there is no file, or none in it."""
    if not path.exists():
        return None
    found = re.search(r"data sha256 ([0-9a-f]{64})", path.read_text(encoding="utf-8"))
    return found[1] if found else None


def draw(plot: Plot, run: Run, path: Path) -> None:
    """Write a plot as SVG, the same bytes of the same numbers."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    data = plot.data(run)
    settings = {"svg.hashsalt": "fastcal", "font.size": 9, "axes.edgecolor": INK, "text.color": INK}
    with mpl.rc_context({**settings, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=plot.inches, layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        plot.paint(data, figure)
        said = {"Date": None, "Creator": None, "Title": plot.says, "Description": f"data sha256 {digest(data)}"}
        figure.savefig(path, format="svg", metadata=said)
