"""The risk-coverage diagram: the errors among the rows that are kept, beside the best and the blindest ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = (3.6, 3.0)  # inches: a printed column
MODEL = "#003a63"  # dark enough to stand out from both others in grey
EXCESS = "#b9d7ea"  # between the model and the perfect ranking
OTHERS = "#6e6e6e"
MOST_POINTS = 2000  # of a curve: more lie closer together than pixels
ROOM = 1.08  # of the highest risk, above it
SETTLED = 0.02  # coverage: the risk of fewer rows may be anything, and the axis is not made for it
BEST_POINTS = 200  # of the perfect ranking's bend


def draw(curve: Any, ax: Axes | None = None) -> Axes:
    """Draw a ``RiskCoverageCurve``; return its Axes.

    The curve goes through a point for each threshold, of more than 2000 through those at even coverages. Dashed is the
    perfect ranking, which keeps all errors for last, dotted the risk of keeping rows at random. The area between the
    curve and the perfect ranking is E-AURC. The axis of risk is made for coverages from 2 % on.

    ``ax`` is drawn in and takes one curve. Without it pyplot makes a figure, which is the caller's to show and close.

    Raises ImportError without matplotlib and TypeError if ``ax`` is no Axes.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError('diagrams need matplotlib: pip install "fastcal[plot]"') from error
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax is {type(ax).__name__}; it must be one matplotlib Axes or None")
    coverage, risk = np.asarray(curve.coverage), np.asarray(curve.risk)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=FIGURE, layout="constrained")[1]
    known = len(risk) > 0 and np.isfinite(risk).all()
    highest = float(risk[coverage >= SETTLED].max()) if known else 0.0
    if known:
        _lines(ax, *_thinned(coverage, risk))
    ax.set(xlim=(0, 1), xlabel="coverage", ylabel="risk", xticks=np.linspace(0, 1, 6))
    ax.set_ylim(0, ROOM * highest or 1)
    ax.tick_params(labelsize="small")
    return ax


def _lines(ax: Axes, coverage: Array, risk: Array) -> None:
    overall = float(risk[-1])
    at = np.append(0.0, np.linspace(1 - overall, 1, BEST_POINTS))
    both = np.union1d(coverage, at[at > coverage[0]])
    between = perfect(both, overall), np.interp(both, coverage, risk)
    ax.fill_between(both, *between, color=EXCESS, linewidth=0, zorder=1)
    style: dict[str, Any] = {"color": OTHERS, "linewidth": 1.0}
    ax.plot([0, 1], [overall, overall], linestyle=":", label="random", zorder=2, **style)
    ax.plot(at, perfect(at, overall), linestyle="--", label="perfect", zorder=3, **style)
    # A curve of one point is a straight line to it: all that are kept are kept together.
    ax.plot(coverage, risk, color=MODEL, linewidth=1.5, marker="o" if len(risk) < 2 else "", label="model", zorder=4)
    ax.legend(fontsize="small", frameon=False)


def perfect(coverage: Array, overall: float) -> Array:
    """The risk where errors are kept last, as many as there are."""
    kept = np.maximum(coverage, np.finfo(float).tiny)
    return np.asarray(np.maximum(coverage - (1 - overall), 0.0) / kept)


def _thinned(coverage: Array, risk: Array) -> tuple[Array, Array]:
    if len(risk) <= MOST_POINTS:
        return coverage, risk
    chosen = np.unique(np.searchsorted(coverage, np.linspace(coverage[0], 1, MOST_POINTS)).clip(0, len(risk) - 1))
    return coverage[chosen], risk[chosen]
