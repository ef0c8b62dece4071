"""Measures of uncertainty by kind of row: the share of each at or below each value, and at the limit of certainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that no common colour blindness confuses (Okabe and Ito 2008), and different lines: either alone tells apart.
KINDS: dict[str, dict[str, Any]] = {
    "correct": {"color": "#0072b2", "linestyle": "-"},
    "wrong": {"color": "#d55e00", "linestyle": "--"},
    "unlabelled": {"color": "#7f7f7f", "linestyle": "-."},
    "out": {"color": "black", "linestyle": ":"},
}
TASKS = {"error": "errors", "ood": "out of distribution"}
PANEL = (3.6, 3.2)  # inches
MOST_ACROSS = 3


def draw(accumulator: Any, names: str | Sequence[str] | None = None, axes: Any = None) -> list[Axes]:
    """Draw measures of an ``UncertaintyAccumulator``, a panel each; return their Axes.

    A line for each kind of rows: the share of them at or below each value. The legend says how many are at the limit of
    certainty, up to 1e-3 of the largest value where that is known; above are AUROCs, with how far they may be off where
    that shows. "max_probability" is drawn as 1 - max p. ``axes``: an Axes for each of ``names``; without it pyplot
    makes a figure, which is the caller's to show and close.

    Raises ImportError without matplotlib, ValueError before any row, for no name and for axes that are not as many as
    names, and KeyError for a measure that was not seen.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "fastcal[plot]"') from error
    report = accumulator.compute()
    if not report["n"]:
        raise ValueError("no rows to draw")
    measures = [name for name in report if hasattr(report[name], "descriptions")]
    chosen = measures if names is None else [names] if isinstance(names, str) else list(names)
    if not chosen:
        raise ValueError("names are none; expected at least one measure")
    histograms = [accumulator.histogram(name) for name in chosen]
    if axes is None:
        across = min(len(chosen), MOST_ACROSS)
        down = -(-len(chosen) // across)
        size = (PANEL[0] * across, PANEL[1] * down)
        found = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)[1].ravel()
        for spare in found[len(chosen) :]:
            spare.remove()
        axes = found[: len(chosen)]
    panels = list(np.ravel(axes))
    if len(panels) != len(chosen):
        raise ValueError(f"axes are {len(panels)}, for {len(chosen)} measures")
    for ax, name, histogram in zip(panels, chosen, histograms, strict=True):
        _panel(ax, name, histogram, report[name])
    return panels


def _panel(ax: Axes, name: str, histogram: Any, figures: Any) -> None:
    values = np.clip(histogram.edges[1:], figures["all"]["min"], figures["all"]["max"])
    finite = np.isfinite(values)
    for kind, style in KINDS.items():
        counts: Array = getattr(histogram, kind)
        if not counts.any():
            continue
        held = np.flatnonzero((counts > 0) & finite)
        if held.size:
            held = np.append(held[0], held)  # from 0 up; a kind of which all values are infinite has a name only
        y = np.cumsum(counts)[held] / counts.sum()
        y[:1] = 0.0
        ax.step(values[held], y, where="post", label=_label(kind, figures[kind]), **style)
    told = [line for task, what in TASKS.items() if (line := _told(figures, task, what))]
    ax.set_title("\n".join(told), fontsize="small")
    ax.set(xlabel=name.replace("max_probability", "1 - max_probability").replace("_", " "), ylim=(0, 1))
    ax.set_ylabel("share of rows")
    ax.legend(fontsize="x-small", loc="lower right")
    ax.tick_params(labelsize="small")


def _label(kind: str, moments: dict[str, float]) -> str:
    """A kind of rows, and how many of them are certain."""
    at, near = moments["at_limit"], moments["near_limit"]
    if np.isnan(at):
        return kind
    return f"{kind}, {100 * at:.3g} % at 0" if np.isnan(near) else f"{kind}, {100 * near:.3g} % near 0"


def _told(figures: Any, task: str, what: str) -> str:
    """An AUROC in a line, empty where there is none."""
    auroc, bound = figures[f"{task}_auroc"], figures[f"{task}_auroc_bound"]
    if np.isnan(auroc):
        return ""
    off = f" \u00b1 {bound:.1g}" if bound >= 5e-4 else ""
    return f"AUROC {what}: {auroc:.3f}{off}"
