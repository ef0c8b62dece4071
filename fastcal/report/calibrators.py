"""Calibrators side by side: each method's figure with its interval, the best on top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = ("nll", "brier", "ece", "classwise_ece", "accuracy")
WIDTH, MARGIN, LINE = 3.0, 1.2, 0.28  # inches: of a panel, of names and axis, of each method
BEST, OTHER = "#0072b2", "black"  # the best one is filled and the others are not: colour is not all that tells it
ASIS = "#6e6e6e"


def draw(comparison: Any, names: str | Sequence[str] = ("nll", "ece"), axes: Any = None) -> list[Axes]:
    """Draw a ``CalibratorComparison``; return the list of its Axes, one for each of ``names``.

    A line for each method in the order of their NLL: a point and a whisker over its interval, that of the best method
    filled. Dotted is the figure of the scores as they are. Methods that failed are left out, and so are figures that
    are not finite, whose place says so. ``axes``: an Axes for each name; without it pyplot makes a figure, which is the
    caller's to show and close.

    Raises ImportError without matplotlib, ValueError for a name that is no figure, for no name and for axes that are
    not as many as names, and TypeError for what is no Axes.
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "fastcal[plot]"') from error
    chosen = [names] if isinstance(names, str) else list(names)
    if not chosen or any(name not in NAMES for name in chosen):
        raise ValueError(f"names is {names!r}; expected some of {', '.join(NAMES)}")
    results = [result for result in comparison.results if result.error is None]
    if axes is None:
        size = (MARGIN + WIDTH * len(chosen), MARGIN + LINE * len(results))
        axes = plt.subplots(1, len(chosen), figsize=size, layout="constrained", sharey=True, squeeze=False)[1]
    panels = list(np.ravel(axes))
    if any(not isinstance(panel, Axes) for panel in panels):
        raise TypeError("axes holds what is no matplotlib Axes")
    if len(panels) != len(chosen):
        raise ValueError(f"axes are {len(panels)}, for {len(chosen)} figures")
    for panel, name in zip(panels, chosen, strict=True):
        _panel(panel, results, name)
    return panels


def _panel(ax: Axes, results: list[Any], name: str) -> None:
    places = range(len(results))
    for place, result in zip(places, results, strict=True):
        value, (low, high) = result.figures[name], result.intervals[name]
        if not math.isfinite(value):
            ax.text(0.5, place, f"{value:g}", transform=ax.get_yaxis_transform(), ha="center", va="center")
            continue
        ends = np.nan_to_num([[value - low], [high - value]], nan=0.0).clip(0.0)
        fill: dict[str, Any] = {"color": BEST, "mfc": BEST} if place == 0 else {"color": OTHER, "mfc": "white"}
        ax.errorbar([value], [place], xerr=ends, fmt="o", markersize=4, elinewidth=1.2, zorder=3, **fill)
        if result.name == "none":
            ax.axvline(value, color=ASIS, linestyle=":", linewidth=1.0, zorder=1)
    ax.set_yticks(places, [result.name for result in results])
    ax.set_ylim(len(results) - 0.5, -0.5)  # the best on top
    ax.set_xlabel(name.replace("_", " "))
    ax.tick_params(labelsize="small")
    ax.margins(x=0.08)
