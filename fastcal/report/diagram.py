"""The reliability diagram: accuracy against confidence, its gaps and intervals, and where the rows lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Tints of two colours that no common colour blindness confuses (vermilion and blue of Okabe and Ito 2008), the one far
# lighter than the other, and different hatches: colour, grey or pattern alone tells them apart.
OVER: dict[str, Any] = {"facecolor": "#f6c09a", "edgecolor": "#a33f00", "hatch": "////"}
UNDER: dict[str, Any] = {"facecolor": "#4b93c3", "edgecolor": "#003a63", "hatch": "..."}
BAND = "#d4d4d4"
ROWS = "#8a8a8a"

FIGURE = (3.6, 4.8)  # inches: a printed column, and 10 points of text stay readable when it is 300 pixels wide
PART = 0.7  # of its band's width is a gap bar, so that the band shows on both sides
WIDEST = 0.1  # band: that of a wider bin would seem to hold far from its mean confidence
GAP, HISTOGRAM = 0.04, 0.25  # heights below the diagram, in its own height
LABELS = 28.0  # points: the numbers on the axis of confidence, and its name
LEGEND = 42.0  # points: three lines of small text and the space around them
MOST_COUNTS = 20  # bins; counts of more are left out
COUNT_ROOM = 0.045  # of the axis of confidence for each count: its line of small text in a diagram 300 pixels wide


def draw(curve: Any, ax: Axes | None = None) -> Axes:
    """Draw a ``ReliabilityCurve``; return the Axes of the diagram.

    Each bin with rows has a point at its mean confidence and accuracy, with a whisker from ``lower`` to ``upper``; a
    gap bar from confidence to accuracy, hatched where the model is overconfident and dotted where it is
    underconfident; and the band ``band_low`` to ``band_high``, in which the point would lie if the model were
    calibrated. Below are the shares of the rows (of their weight, if weighted) and, over them, counts of rows: of up
    to 20 bins, and of those with room for one.

    ``ax`` is divided among the diagram, its histogram (``ax.child_axes[-1]``) and the legend, and nothing else of its
    figure changes; it takes one curve. Without it pyplot makes a figure, which is the caller's to show and close.

    Raises ImportError without matplotlib and TypeError if ``ax`` is no Axes.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError('diagrams need matplotlib: pip install "fastcal[plot]"') from error
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax is {type(ax).__name__}; it must be one matplotlib Axes or None")
    bins = _Bins(curve)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=FIGURE, layout="constrained")[1]
    _diagram(ax, bins)
    _histogram(ax, bins)
    _legend(ax)
    ax.set_axes_locator(_Upper(ax))
    return ax


class _Bins:
    """The columns of a curve, of those bins in which there is something to see."""

    def __init__(self, curve: Any) -> None:
        confidence, accuracy = np.asarray(curve.confidence), np.asarray(curve.accuracy)
        seen = np.isfinite(confidence) & np.isfinite(accuracy)
        edges = np.clip(curve.edges, 0.0, 1.0)  # some conventions have a slot beyond
        self.left, self.width = edges[:-1][seen], np.diff(edges)[seen]
        self.confidence, self.accuracy = confidence[seen], accuracy[seen]
        self.band_width = np.minimum(self.width, WIDEST)
        self.lower, self.upper = np.asarray(curve.lower)[seen], np.asarray(curve.upper)[seen]
        self.band_low, self.band_high = np.asarray(curve.band_low)[seen], np.asarray(curve.band_high)[seen]
        self.count, weight = np.asarray(curve.count)[seen], np.asarray(curve.weight)[seen]
        self.share = weight / (weight.sum() or 1.0)
        self.weighted = not np.array_equal(weight, self.count)
        self.many = len(seen) > MOST_COUNTS
        self.pen = 0.5 if self.many else 1.0  # strength of lines and points
        self.level = f"{100 * curve.level:g}"

    def around(self, width: Array) -> Array:
        """Where bars start that are as near to the mean confidences as they can be within their bins."""
        start: Array = np.clip(self.confidence - width / 2, self.left, self.left + (self.width - width))
        return start


def _diagram(ax: Axes, bins: _Bins) -> None:
    has_band = np.isfinite(bins.band_low) & np.isfinite(bins.band_high)
    gap = bins.accuracy - bins.confidence
    if has_band.any():
        columns = (bins.around(bins.band_width), bins.band_high - bins.band_low, bins.band_width, bins.band_low)
        label = f"calibrated, {bins.level} %"
        ax.bar(*(column[has_band] for column in columns), align="edge", color=BAND, label=label, zorder=1)
    width = PART * bins.band_width
    for label, style, chosen in (("overconfident", OVER, gap < 0), ("underconfident", UNDER, gap > 0)):
        if chosen.any():
            columns = (bins.around(width), gap, width, bins.confidence)
            pen = 0.6 * bins.pen
            ax.bar(*(c[chosen] for c in columns), align="edge", linewidth=pen, label=label, zorder=2, **style)
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=0.9, label="calibrated", zorder=3)
    if len(gap):
        # Where an end of a whisker is unknown (NaN) it is the point; errorbar refuses one that rounding put past it.
        ends = np.array([bins.accuracy - bins.lower, bins.upper - bins.accuracy])
        marks: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 3.5 * bins.pen, "zorder": 4}
        bars = ax.errorbar(bins.confidence, bins.accuracy, np.fmax(ends, 0.0), elinewidth=1.2 * bins.pen, **marks)
        bars.lines[0].set_clip_on(False)  # a point on the frame is drawn whole
        bars.set_label(f"accuracy, {bins.level} %")
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    ax.set_aspect("equal")
    ax.tick_params(labelsize="small", labelbottom=False)


def _histogram(ax: Axes, bins: _Bins) -> None:
    from matplotlib.ticker import MaxNLocator

    below = ax.inset_axes((0.0, -GAP - HISTOGRAM, 1.0, HISTOGRAM), sharex=ax)
    style: dict[str, Any] = {"color": ROWS, "edgecolor": "black", "linewidth": 0.4 * bins.pen}
    bars = below.bar(bins.left, bins.share, bins.width, align="edge", **style)
    top = bins.share.max(initial=0.0) or 1.0
    below.set_ylim(0.0, 1.05 * top)
    if not bins.many and len(bars):
        below.set_ylim(0.0, 1.9 * top)
        below.bar_label(
            bars, _counts(bins.left + bins.width / 2, bins.count), rotation=90, padding=2, fontsize="x-small"
        )
    below.set_xlabel("confidence")
    below.set_ylabel("weight" if bins.weighted else "rows")
    below.yaxis.set_major_locator(MaxNLocator(2))
    below.yaxis.set_major_formatter(_percent)
    below.tick_params(labelsize="small")


def _legend(ax: Axes) -> None:
    """Below the labels of the histogram, where it hides nothing and a title has its place above."""
    from matplotlib.transforms import ScaledTranslation

    place = ax.transAxes + ScaledTranslation(0, -LABELS / 72, ax.figure.dpi_scale_trans)
    at = (0.5, -GAP - HISTOGRAM)
    style: dict[str, Any] = {"ncols": 2, "fontsize": "small", "frameon": False}
    ax.legend(loc="upper center", bbox_to_anchor=at, bbox_transform=place, **style)


class _Upper:
    """Where the diagram lies in the place of its Axes: at the top, with room for the histogram and the legend.

    Labels stick out of that place as those of any Axes do, so every layout of matplotlib makes room for them.
    """

    def __init__(self, ax: Axes) -> None:
        self.get_subplotspec = ax.get_subplotspec  # without it tight_layout warns that it cannot place the Axes

    def __call__(self, ax: Any, renderer: Any) -> Any:
        place = ax.get_position(original=True)
        points = place.height * ax.figure.bbox.height * 72 / ax.figure.dpi
        part = max(points - LEGEND, 0.1 * points) / (points * (1 + GAP + HISTOGRAM))
        return place.shrunk(1, part).anchored("N", place)


def _percent(share: float, _position: float) -> str:
    return f"{100 * share:g}%"


def _counts(middles: Array, counts: Array) -> list[str]:
    """What is written over each bar; nothing where it would cover the count before it or the frame."""
    texts, last = [], -COUNT_ROOM / 2
    for middle, count in zip(middles, counts, strict=True):
        free = last + COUNT_ROOM <= middle <= 1 - COUNT_ROOM / 2
        texts.append(compact(int(count)) if free else "")
        last = middle if free else last
    return texts


def compact(count: int) -> str:
    """12, 999, 3.4k, 34k, 1.2M: a count in at most four characters, up to 10^12."""
    for unit, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * unit:  # 999 500 is 1.0M, not 1000k
            scaled = count / unit
            return f"{scaled:.1f}{sign}" if scaled < 9.95 else f"{scaled:.0f}{sign}"
    return str(count)
