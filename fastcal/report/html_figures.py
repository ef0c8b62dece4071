"""What a page draws: reliability diagrams, histograms, the risk-coverage curve; computes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..accumulators.curve import ReliabilityCurve
from ..accumulators.histograms import Histogram
from ..accumulators.selective import RiskCoverageCurve
from ..arrays import Array
from . import words
from .diagram import MOST_COUNTS, PART, WIDEST, compact
from .risk_coverage import BEST_POINTS, ROOM, SETTLED, perfect
from .svg import Drawing, Frame, decimals, ticks

WIDTH = 360
FIFTHS = [(k / 5, f"{k / 5:g}") for k in range(6)]
ENDS = [(0.0, "0"), (1.0, "1")]
MOST_POINTS = 240  # of a curve 300 pixels wide


class Bins:
    """The bins of a curve in which there is something to see."""

    def __init__(self, curve: ReliabilityCurve) -> None:
        seen = np.flatnonzero(np.isfinite(curve.confidence) & np.isfinite(curve.accuracy))
        edges = np.clip(curve.edges, 0.0, 1.0)
        self.places = seen.tolist()
        self.left, self.right = edges[:-1][seen], edges[1:][seen]
        self.confidence, self.accuracy = curve.confidence[seen], curve.accuracy[seen]
        self.lower = np.where(np.isnan(curve.lower), curve.accuracy, curve.lower)[seen]
        self.upper = np.where(np.isnan(curve.upper), curve.accuracy, curve.upper)[seen]
        self.band = curve.band_low[seen], curve.band_high[seen]
        self.count = np.asarray(curve.count)[seen]

    def around(self, part: float) -> tuple[Array, Array]:
        """From where to where a bar of a part of its bin's width lies, as near to the mean confidence as it can."""
        width = part * np.minimum(self.right - self.left, WIDEST)
        start = np.clip(self.confidence - width / 2, self.left, self.right - width)
        return start, start + width

    def said(self, axes: tuple[str, str]) -> str:
        """The bin of the widest gap, in words."""
        if not self.places:
            return "No bin holds a row of any weight."
        worst = int(np.argmax(np.abs(self.accuracy - self.confidence)))
        return (
            f"{words.plural(len(self.places), 'bin holds', 'bins hold')} rows. The widest gap is that of a mean "
            f"{axes[0]} of {self.confidence[worst]:.3f} and {_article(axes[1])} of {self.accuracy[worst]:.3f}, over "
            f"{words.plural(int(self.count[worst]), 'row')}."
        )


def _article(outcome: str) -> str:
    return f"{'an' if outcome[0] in 'aeiou' else 'a'} {outcome}"


def reliability(name: str, curve: ReliabilityCurve, axes: tuple[str, str]) -> Drawing:
    """Accuracy against confidence with intervals, gaps and band; below, how many rows each bin holds."""
    bins = Bins(curve)
    frame = Frame(40, 46, 308, 308)
    said = f"Reliability diagram: {axes[1]} against {axes[0]}. {bins.said(axes)}"
    drawing = Drawing(name, WIDTH, 500, "Reliability diagram", said)
    shapes = [("band", "box", "if calibrated"), ("gap", "box", "gap"), ("mark", "dot", "observed, 95 %")]
    drawing.key(0, 14, shapes)
    few = len(bins.places) <= 2 * MOST_COUNTS
    _marks(drawing, frame, bins, full=True, gaps=few, radius=3.5 if few else 1.75)
    drawing.axis_y(frame, FIFTHS, axes[1])
    drawing.axis_x(frame, [(at, "") for at, _ in FIFTHS])
    below = Frame(40, 382, 308, 74)
    _rows(drawing, below, bins, len(curve.count))
    drawing.axis_x(below, FIFTHS, axes[0])
    return drawing


def _marks(
    drawing: Drawing,
    frame: Frame,
    bins: Bins,
    *,
    full: bool,
    gaps: bool = False,
    radius: float = 3.5,
    pen: str = "mark",
) -> None:
    if full:
        start, stop = bins.around(1.0)
        bands = np.flatnonzero(np.isfinite(bins.band[0]) & np.isfinite(bins.band[1]))
        drawing.add("band", *(frame.bar(start[b], stop[b], bins.band[0][b], bins.band[1][b]) for b in bands))
    if gaps:
        start, stop = bins.around(PART)
        ends = zip(start, stop, bins.confidence, bins.accuracy, strict=True)
        drawing.add("gap", *(frame.bar(a, b, low, high) for a, b, low, high in ends))
    drawing.add("even", frame.line([(0, 0), (1, 1)]))
    whiskers = zip(bins.confidence, bins.lower, bins.upper, strict=True)
    drawing.add(f"{pen} whisker", *(frame.line([(x, low), (x, high)]) for x, low, high in whiskers))
    drawing.add(pen, *(frame.dot(x, y, radius) for x, y in zip(bins.confidence, bins.accuracy, strict=True)))
    drawing.add("axis", frame.outline())


def _rows(drawing: Drawing, frame: Frame, bins: Bins, n_bins: int) -> None:
    """Bars of counts, with the counts over them where there is room."""
    counted = n_bins <= MOST_COUNTS
    top = float(bins.count.max(initial=0)) * (1.55 if counted else 1.05) or 1.0
    frame = Frame(frame.left, frame.top, frame.width, frame.height, y_range=(0.0, top))
    bars = zip(bins.left, bins.right, bins.count, strict=True)
    drawing.add("rows", *(frame.bar(a, b, 0, n) for a, b, n in bars))
    if counted:
        last = -math.inf
        for left, right, n in zip(bins.left, bins.right, bins.count.tolist(), strict=True):
            middle = frame.x((left + right) / 2)
            if middle - last >= 13:
                drawing.label(middle + 4, frame.y(n) - 4, compact(n), "count", turned=True)
                last = middle
    drawing.add("axis", frame.outline())
    drawing.label(0, frame.top + 2, "rows", "name")


def small(name: str, curve: ReliabilityCurve, title: str, axes: tuple[str, str]) -> Drawing:
    """The diagram of one class or slice, to stand beside others."""
    bins = Bins(curve)
    frame = Frame(18, 6, 136, 136)
    drawing = Drawing(name, 160, 162, title, bins.said(axes))
    few = len(bins.places) <= MOST_COUNTS
    _marks(drawing, frame, bins, full=True, gaps=few, radius=2.5 if few else 1.5)
    drawing.axis_x(frame, ENDS)
    drawing.axis_y(frame, ENDS)
    return drawing


def overlay(name: str, before: ReliabilityCurve, after: ReliabilityCurve, axes: tuple[str, str]) -> Drawing:
    """Two curves in one diagram: rings before, dots after."""
    seen = Bins(before), Bins(after)
    frame = Frame(40, 46, 308, 308)
    said = f"Reliability before and after calibration. Before: {seen[0].said(axes)} After: {seen[1].said(axes)}"
    drawing = Drawing(name, WIDTH, 398, "Reliability before and after", said)
    drawing.key(0, 14, [("ring", "dot", "before"), ("mark", "dot", "after")])
    for bins, pen in zip(seen, ("ring", "mark"), strict=True):
        if len(bins.places) <= MOST_COUNTS:  # many bins hold few rows each, and lines between them say nothing
            drawing.add(f"{pen} link", frame.line(list(zip(bins.confidence, bins.accuracy, strict=True))))
        _marks(drawing, frame, bins, full=False, pen=pen)
    drawing.axis_y(frame, FIFTHS, axes[1])
    drawing.axis_x(frame, FIFTHS, axes[0])
    return drawing


def histogram(name: str, found: Histogram, title: str, axis: str, most: float) -> Drawing:
    """Right and wrong predictions, each as shares of their own, one over the other; ``most`` ends the axis."""
    drawing = Drawing(name, WIDTH, 262, title, "")
    at = ticks(most, 5) if most > 0 else [0.0]
    written = [(tick / most if most > 0 else 0.0, f"{tick:.{decimals(at)}f}") for tick in at]
    said = []
    for top, (kind, what) in zip((26, 140), (("right", "right"), ("wrong", "wrong")), strict=True):
        counts = getattr(found, kind)
        total = int(counts.sum())
        shares = counts / (total or 1)
        high = float(shares.max(initial=0.0)) or 1.0
        frame = Frame(40, top, 308, 84, y_range=(0.0, 1.04 * high))
        edges = np.linspace(0, 1, len(counts) + 1)
        bars = zip(edges, edges[1:], shares, strict=False)
        drawing.add(kind, *(frame.bar(a, b, 0, share) for a, b, share in bars if share > 0))
        drawing.add("axis", frame.outline())
        drawing.axis_y(frame, [(high, f"{100 * high:.0f} %")] if total else [])
        drawing.label(40, top - 8, f"{what}: {words.plural(total, 'row')}", "key")
        last = kind == "wrong"
        drawing.axis_x(frame, [(share, text if last else "") for share, text in written], axis if last else "")
        said.append(f"{words.plural(total, 'row is', 'rows are')} predicted {what}{_middle(counts, most)}")
    drawing.description = "; ".join(said) + "."
    return drawing


def _middle(counts: Array, most: float) -> str:
    total = counts.sum()
    if not total:
        return ""
    cell = int(np.searchsorted(np.cumsum(counts), (total + 1) // 2))
    low, high = (most * k / len(counts) for k in (cell, cell + 1))
    return f", the median between {low:.3g} and {high:.3g}"


def risk_coverage(name: str, curve: RiskCoverageCurve) -> Drawing:
    """Risk against coverage, with the best ranking of the same errors and a blind one."""
    coverage, risk = thinned(curve)
    overall = float(risk[-1])
    settled = risk[coverage >= SETTLED]
    high = ROOM * float(settled.max(initial=overall)) or 1.0
    frame = Frame(46, 46, 302, 210, y_range=(0.0, high))
    said = f"Risk against coverage. Of all rows {words.percent(overall)} are wrong"
    said += "".join(
        f"; of the {100 * share:.0f} % most confident {words.percent(_at(curve, share))}" for share in (0.8, 0.5)
    )
    drawing = Drawing(name, WIDTH, 300, "Risk-coverage curve", said + ".")
    drawing.key(0, 14, [("curve", "line", "this ranking"), ("best", "line", "perfect"), ("blind", "line", "random")])
    bend = np.append(0.0, np.linspace(1 - overall, 1, BEST_POINTS // 4))
    drawing.add("blind", frame.line([(0, overall), (1, overall)]))
    drawing.add("best", frame.line(list(zip(bend, perfect(bend, overall), strict=True))))
    drawing.add("curve", frame.line(list(zip(coverage, risk, strict=True))))
    if len(risk) < 2:
        drawing.add("mark", frame.dot(float(coverage[0]), overall, 3.5))
    drawing.add("axis", frame.outline())
    at = ticks(high)
    drawing.axis_y(frame, [(tick, f"{tick:.{decimals(at)}f}") for tick in at], "risk: share of errors")
    drawing.axis_x(frame, FIFTHS, "coverage: share of rows kept")
    return drawing


def thinned(curve: RiskCoverageCurve) -> tuple[Array, Array]:
    """The curve at no more points than can be told apart, its last one among them."""
    coverage, risk = curve.coverage, curve.risk
    if len(risk) <= MOST_POINTS:
        return coverage, risk
    places = np.searchsorted(coverage, np.linspace(coverage[0], 1, MOST_POINTS)).clip(0, len(risk) - 1)
    chosen = np.unique(np.append(places, len(risk) - 1))
    return coverage[chosen], risk[chosen]


def _at(curve: RiskCoverageCurve, share: float) -> Any:
    return curve.risk[min(int(np.searchsorted(curve.coverage, share - 1e-12)), len(curve.risk) - 1)]


def at_coverages(curve: RiskCoverageCurve) -> list[tuple[float, float, float]]:
    """Coverage, risk and threshold at the first point that keeps each tenth."""
    found = []
    for tenth in range(10, 0, -1):
        at = min(int(np.searchsorted(curve.coverage, tenth / 10 - 1e-12)), len(curve.risk) - 1)
        found.append((float(curve.coverage[at]), float(curve.risk[at]), float(curve.threshold[at])))
    return found
