"""The reliability diagram: what is drawn is the curve, it can be read, and nothing else of the figure changes."""

from __future__ import annotations

import gc
import io
import pickle
import subprocess
import sys
import weakref
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcal.report.diagram import BAND, OVER, UNDER, compact, draw

matplotlib = pytest.importorskip("matplotlib", reason="diagrams need the plot extra")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("matplotlib.backends.backend_agg")

BAND_LABEL, POINT_LABEL = "calibrated, 95 %", "accuracy, 95 %"


@dataclass(frozen=True)
class Curve:
    """The fields of ``ReliabilityCurve`` that a diagram reads."""

    edges: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    band_low: np.ndarray
    band_high: np.ndarray
    level: float = 0.95


def curve_of(edges, count, seed=0):
    """A curve with these rows in its bins, its means anywhere they can be; empty bins are NaN."""
    rng = np.random.default_rng(seed)
    edges, count = np.asarray(edges, float), np.asarray(count)
    confidence = np.where(count > 0, edges[:-1] + rng.random(len(count)) * np.diff(edges), np.nan)
    accuracy = np.where(count > 0, rng.random(len(count)), np.nan)
    ends = [accuracy - 0.1, accuracy + 0.2, confidence - 0.05, confidence + 0.07]
    return Curve(edges, count, count.astype(float), confidence, accuracy, *(np.clip(end, 0, 1) for end in ends))


def even(n_bins, **settings):
    return curve_of(np.linspace(0, 1, n_bins + 1), np.arange(n_bins) + 10, **settings)


@pytest.fixture(autouse=True)
def _nothing_left_open():
    settings_before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == settings_before
    plt.close("all")


def blank(**settings):
    """A figure that pyplot does not know."""
    figure = matplotlib.figure.Figure(**settings)
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    return figure


def labelled(ax, label):
    """The bars, or the points with whiskers, of this name; None if there are none."""
    return next((container for container in ax.containers if container.get_label() == label), None)


def rectangles(container):
    """(left, low, width, height) of each bar."""
    return np.array([bar.get_bbox().bounds for bar in container or ()]).reshape(-1, 4)


def points(ax):
    return np.column_stack(labelled(ax, POINT_LABEL).lines[0].get_data())


def whiskers(ax):
    return np.array([[low, high] for (_, low), (_, high) in labelled(ax, POINT_LABEL).lines[2][0].get_segments()])


def histogram(ax):
    return ax.child_axes[-1]


def written(ax):
    return [text.get_text() for text in histogram(ax).texts]


def drawn_boxes(ax, dpi=83):
    """What stands where in pixels, once drawn: the diagram, the histogram, its axis with labels, the legend."""
    canvas = ax.figure.canvas
    canvas.figure.set_dpi(dpi)
    canvas.draw()
    return boxes_of(ax, canvas.get_renderer())


def boxes_of(ax, renderer):
    below = histogram(ax)
    return {
        "diagram": ax.get_window_extent(renderer),
        "histogram": below.get_window_extent(renderer),
        "axis": below.xaxis.get_tightbbox(renderer),
        "legend": ax.get_legend().get_window_extent(renderer),
    }


def overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5


def inside(box, frame):
    return frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


@st.composite
def curves(draw_from):
    n_bins = draw_from(st.integers(1, 12))
    if draw_from(st.booleans()):
        edges = np.linspace(0, 1, n_bins + 1)
    else:
        inner = st.lists(st.floats(0.001, 0.999), min_size=n_bins - 1, max_size=n_bins - 1, unique=True)
        edges = np.array([0.0, *sorted(draw_from(inner)), 1.0])
    count = draw_from(st.lists(st.integers(0, 10**6), min_size=n_bins, max_size=n_bins))
    return curve_of(edges, count, seed=draw_from(st.integers(0, 1000)))


@settings(max_examples=15)
@given(curves())
def test_what_is_drawn_is_the_curve(curve):
    ax = draw(curve, blank().add_subplot())
    seen = curve.count > 0
    left, right = curve.edges[:-1][seen], curve.edges[1:][seen]
    confidence, accuracy, gap = (x[seen] for x in (curve.confidence, curve.accuracy, curve.accuracy - curve.confidence))

    bars = rectangles(histogram(ax).containers[0])
    assert bars[:, 0] == pytest.approx(left, abs=1e-12)
    assert bars[:, 2] == pytest.approx(right - left, abs=1e-12)
    assert bars[:, 3] == pytest.approx(curve.weight[seen] / max(curve.weight.sum(), 1), abs=1e-12)

    if seen.any():
        assert points(ax) == pytest.approx(np.column_stack([confidence, accuracy]), abs=1e-12)
        assert whiskers(ax) == pytest.approx(np.column_stack([curve.lower, curve.upper])[seen], abs=1e-12)
    else:
        assert labelled(ax, POINT_LABEL) is None

    for name, chosen in (("overconfident", gap < 0), ("underconfident", gap > 0)):
        bars = rectangles(labelled(ax, name))
        assert bars[:, 1] == pytest.approx(confidence[chosen], abs=1e-12)
        assert bars[:, 3] == pytest.approx(gap[chosen], abs=1e-12)
        in_their_bins(bars, left[chosen], right[chosen])
    band = rectangles(labelled(ax, BAND_LABEL))
    ends = np.array([curve.band_low, curve.band_high])[:, seen]
    assert np.array([band[:, 1], band[:, 1] + band[:, 3]]) == pytest.approx(ends, abs=1e-12)
    in_their_bins(band, left, right)


def in_their_bins(bars, left, right):
    """Bars never reach into a neighbour's bin; those of more than rounding's width have some, 0.1 at most."""
    start, width = bars[:, 0], bars[:, 2]
    assert ((start >= left - 1e-12) & (start + width <= right + 1e-12)).all()
    assert (((width > 0) | (right - left < 1e-12)) & (width <= 0.1 + 1e-12)).all()


def test_the_frame_is_a_unit_square_with_its_diagonal_and_names():
    ax = draw(even(15))
    line = next(line for line in ax.lines if line.get_label() == "calibrated")
    assert np.array_equal(line.get_data(), [[0, 1], [0, 1]])
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == ((0, 1), (0, 1), 1)
    assert (ax.get_ylabel(), histogram(ax).get_xlabel(), histogram(ax).get_ylabel()) == (
        "accuracy",
        "confidence",
        "rows",
    )
    assert histogram(ax).get_xlim() == (0, 1)
    boxes = drawn_boxes(ax)
    assert boxes["diagram"].width == pytest.approx(boxes["diagram"].height, abs=0.01)
    assert boxes["diagram"].intervalx == pytest.approx(boxes["histogram"].intervalx, abs=0.01)
    ax.set_xlim(0.5, 1)
    assert histogram(ax).get_xlim() == (0.5, 1)


def test_a_legend_names_what_is_drawn_and_nothing_else():
    curve = replace(even(2), confidence=np.array([0.2, 0.7]), accuracy=np.array([0.3, 0.6]))
    names = {text.get_text() for text in draw(curve).get_legend().get_texts()}
    assert names == {"calibrated", BAND_LABEL, POINT_LABEL, "overconfident", "underconfident"}
    names = {text.get_text() for text in draw(replace(curve, accuracy=np.ones(2), level=0.9)).get_legend().get_texts()}
    assert names == {"calibrated", "calibrated, 90 %", "accuracy, 90 %", "underconfident"}


def test_over_and_underconfidence_differ_in_hatch_and_in_grey():
    curve = replace(even(2), confidence=np.array([0.2, 0.7]), accuracy=np.array([0.3, 0.6]))
    ax = draw(curve)
    over, under = labelled(ax, "overconfident")[0], labelled(ax, "underconfident")[0]
    assert (over.get_hatch()[0], under.get_hatch()[0]) == ("/", ".")

    def grey(color):
        return matplotlib.colors.to_rgb(color) @ np.array([0.2126, 0.7152, 0.0722])

    faces, marks = [grey(s["facecolor"]) for s in (OVER, UNDER)], [grey(s["edgecolor"]) for s in (OVER, UNDER)]
    assert abs(faces[0] - faces[1]) > 0.2
    assert min(face - mark for face, mark in zip(faces, marks, strict=True)) > 0.25  # hatches are seen
    assert grey(BAND) > 0.8  # paler than both, so that bars show on it


@pytest.mark.parametrize("n_bins", [1, 15, 20])
def test_counts_of_even_bins_are_all_written_and_can_be_read_at_300_pixels(n_bins):
    curve = replace(even(n_bins), count=np.full(n_bins, 987_654))
    ax = draw(curve)
    assert written(ax) == ["988k"] * n_bins
    boxes = drawn_boxes(ax, dpi=300 / ax.figure.get_figwidth())
    texts = [text.get_window_extent() for text in histogram(ax).texts]
    assert not any(overlap(a, b) for i, a in enumerate(texts) for b in texts[:i])
    assert min(text.width for text in texts) >= 6  # they are turned: this is the height of their figures
    assert all(inside(text, boxes["histogram"]) for text in texts)


@pytest.mark.parametrize("n_bins", [21, 100])
def test_counts_of_many_bins_are_left_out(n_bins):
    ax = draw(even(n_bins))
    assert written(ax) == []
    assert len(points(ax)) == len(whiskers(ax)) == len(histogram(ax).patches) == n_bins


def test_counts_of_narrow_bins_give_way_to_those_that_have_room():
    scores = np.random.default_rng(0).beta(12, 1, 15_000)
    edges = np.quantile(scores, np.linspace(0, 1, 16))
    ax = draw(curve_of(edges, np.full(15, 1000)))
    drawn_boxes(ax)
    texts = [text.get_window_extent() for text in histogram(ax).texts if text.get_text()]
    assert 3 <= len(texts) < 15
    assert set(written(ax)) == {"1.0k", ""}
    assert not any(overlap(a, b) for i, a in enumerate(texts) for b in texts[:i])
    assert all(inside(text, histogram(ax).get_window_extent()) for text in texts)


def test_counts_are_written_in_four_characters():
    counts = [1, 12, 999, 1000, 3449, 9949, 9950, 340_400, 999_499, 999_500, 1_234_567, 20_000_000, 5 * 10**9]
    texts = "1 12 999 1.0k 3.4k 9.9k 10k 340k 999k 1.0M 1.2M 20M 5.0G"
    assert " ".join(map(compact, counts)) == texts


def test_empty_bins_draw_nothing():
    curve = curve_of(np.linspace(0, 1, 11), [0, 0, 5, 0, 0, 0, 0, 7, 0, 0])
    ax = draw(curve)
    assert points(ax)[:, 0] == pytest.approx(curve.confidence[[2, 7]])
    assert len(whiskers(ax)) == len(rectangles(labelled(ax, BAND_LABEL))) == 2
    assert sum(len(labelled(ax, name) or ()) for name in ("overconfident", "underconfident")) == 2
    assert rectangles(histogram(ax).containers[0])[:, 0] == pytest.approx([0.2, 0.7])
    assert written(ax) == ["5", "7"]


@pytest.mark.parametrize("count", [0, 8])
def test_a_curve_without_means_draws_an_empty_diagram(count):
    nan = np.full(15, np.nan)
    count = np.full(15, count)
    ax = draw(Curve(np.linspace(0, 1, 16), count, count.astype(float), nan, nan, nan, nan, nan, nan))
    drawn_boxes(ax)
    assert len(ax.lines) == 1
    assert not any(map(len, (ax.patches, ax.collections, histogram(ax).patches, histogram(ax).texts)))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["calibrated"]


def test_a_bin_on_the_diagonal_has_a_point_and_no_gap():
    ax = draw(replace(even(1), confidence=np.array([0.5]), accuracy=np.array([0.5])))
    assert np.array_equal(points(ax), [[0.5, 0.5]])
    assert not any(labelled(ax, name) for name in ("overconfident", "underconfident"))


def test_intervals_that_are_unknown_are_left_out():
    curve = even(3)
    lower, upper, low = curve.lower.copy(), curve.upper.copy(), curve.band_low.copy()
    lower[0] = upper[0] = low[0] = np.nan
    lower[1] = np.nextafter(curve.accuracy[1], 1)  # a rounding beyond the point
    ax = draw(replace(curve, lower=lower, upper=upper, band_low=low))
    drawn_boxes(ax)
    assert whiskers(ax)[0] == pytest.approx(curve.accuracy[[0, 0]])
    assert whiskers(ax)[1] == pytest.approx([curve.accuracy[1], curve.upper[1]])
    assert rectangles(labelled(ax, BAND_LABEL))[:, 1] == pytest.approx(curve.band_low[1:])


def test_shares_of_weighted_rows_are_those_of_their_weight():
    ax = draw(replace(even(4), weight=np.array([0.5, 1.5, 1.0, 1.0])))
    assert histogram(ax).get_ylabel() == "weight"
    assert [bar.get_height() for bar in histogram(ax).patches] == [0.125, 0.375, 0.25, 0.25]
    assert written(ax) == ["10", "11", "12", "13"]
    drawn_boxes(ax)
    assert [label.get_text() for label in histogram(ax).get_yticklabels()][:1] == ["0%"]


def test_slots_without_width_or_beyond_one_stay_on_the_frame():
    curve = curve_of([0, 0, 0.5, 1, 1.1], [4, 5, 6, 7])
    ax = draw(curve)
    drawn_boxes(ax)
    assert np.array_equal(rectangles(histogram(ax).containers[0])[:, [0, 2]], [[0, 0], [0, 0.5], [0.5, 0.5], [1, 0]])


def test_given_axes_are_drawn_in_and_the_rest_of_their_figure_stays_as_it_was():
    figure = blank(figsize=(10, 5))
    first, ax, last = figure.subplots(1, 3)
    first.plot([0, 7], [0, 7])

    def state():
        return [(other.get_position().bounds, other.axis(), len(other.get_children())) for other in (first, last)]

    before = state()
    assert draw(even(15), ax) is ax
    drawn_boxes(ax)
    assert figure.axes == [first, ax, last]
    assert state() == before


def test_pyplot_is_left_alone_where_axes_are_given():
    _, (ax, current) = plt.subplots(1, 2)
    plt.sca(current)
    numbers = plt.get_fignums()
    draw(even(5), ax)
    draw(even(5), blank().add_subplot())
    assert plt.get_fignums() == numbers
    assert plt.gca() is current


def test_a_figure_of_its_own_is_one_of_pyplot_and_goes_when_it_is_closed():
    ax = draw(even(15))
    assert plt.get_fignums() == [ax.figure.number]
    figure = weakref.ref(ax.figure)
    drawn_boxes(ax)
    plt.close(ax.figure)
    assert plt.get_fignums() == []
    del ax
    gc.collect()
    assert figure() is None


def test_what_is_no_curve_or_no_axes_raises_and_leaves_nothing_open():
    with pytest.raises(AttributeError):
        draw(object())
    with pytest.raises(TypeError, match="ax is ndarray; it must be one matplotlib Axes or None"):
        draw(even(5), blank().subplots(1, 2))
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("layout", "shared"), [(None, False), ("constrained", False), ("constrained", True), ("tight", True)]
)
def test_nothing_hides_anything_in_any_layout(layout, shared):
    figure = blank(figsize=(8, 10), layout=layout)
    grid = figure.subplots(2, 2, sharex=shared, sharey=shared)
    for ax in grid.flat:
        draw(even(15), ax)
    figure.canvas.draw()
    found = [boxes_of(ax, figure.canvas.get_renderer()) for ax in grid.flat]
    for ax, boxes in zip(grid.flat, found, strict=True):
        place = ax.get_position(original=True).transformed(figure.transFigure)
        assert boxes["diagram"].y1 <= place.y1 + 0.5
        assert boxes["histogram"].y0 > place.y0
    every = [box for boxes in found for name, box in boxes.items()]
    assert not any(overlap(a, b) for i, a in enumerate(every) for b in every[:i])
    assert all(inside(box, figure.bbox) for box in every)


def test_a_diagram_of_its_own_fits_its_figure():
    ax = draw(even(15))
    boxes, frame = drawn_boxes(ax), ax.figure.bbox
    assert all(inside(box, frame) for box in boxes.values())
    assert boxes["diagram"].width > 0.7 * frame.width


def test_subfigures_small_axes_pickles_and_every_format_work():
    figure = blank(figsize=(8, 6), layout="constrained")
    ax = draw(even(15), figure.subfigures(1, 2)[0].subplots())
    draw(even(3), figure.add_axes((0.9, 0.9, 0.02, 0.02)))
    boxes = drawn_boxes(ax)
    assert boxes["diagram"].x1 < 0.5 * figure.bbox.x1
    for form in ("png", "pdf", "svg"):
        pickle.loads(pickle.dumps(figure)).savefig(io.BytesIO(), format=form, bbox_inches="tight")


@pytest.mark.parametrize("given_axes", [False, True])
def test_without_matplotlib_the_error_names_the_extra(monkeypatch, given_axes):
    ax = blank().add_subplot() if given_axes else None
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'diagrams need matplotlib: pip install "fastcal\[plot\]"'):
        draw(even(5), ax)


def test_matplotlib_is_imported_by_drawing_only():
    code = "import sys, fastcal.report.diagram; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
