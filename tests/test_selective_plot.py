"""The risk-coverage diagram: what is drawn is the curve, the perfect ranking and the random one, and nothing else."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fastcal as fc
from fastcal.report.risk_coverage import MODEL, MOST_POINTS, OTHERS, draw

matplotlib = pytest.importorskip("matplotlib", reason="diagrams need the plot extra")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("matplotlib.backends.backend_agg")

RNG = np.random.default_rng(0)


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


def curve_of(wrong, score=None):
    wrong = np.asarray(wrong, int)
    score = np.arange(len(wrong))[::-1] if score is None else score
    return fc.risk_coverage_curve(1 - wrong, np.full(len(wrong), 0.75), confidence=score)


def line(ax, label):
    return np.array(next(one for one in ax.lines if one.get_label() == label).get_data())


def test_what_is_drawn_is_the_curve_and_its_two_companions():
    wrong = RNG.random(300) < 0.3
    curve = curve_of(wrong, RNG.permutation(300) // 3)
    ax = draw(curve, blank().add_subplot())
    assert np.array_equal(line(ax, "model"), [curve.coverage, curve.risk])
    assert np.array_equal(line(ax, "random"), [[0, 1], [wrong.mean()] * 2])
    perfect = curve_of(np.sort(wrong))
    coverage, risk = line(ax, "perfect")
    np.testing.assert_allclose(np.interp(perfect.coverage, coverage, risk), perfect.risk, atol=1e-4)
    assert (coverage[0], risk[0], coverage[-1], risk[-1]) == (0, 0, 1, pytest.approx(wrong.mean()))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["random", "perfect", "model"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim()) == ("coverage", "risk", (0, 1))
    assert ax.get_ylim()[1] >= curve.risk[curve.coverage > 0.02].max()


def test_the_area_between_model_and_perfect_ranking_is_e_aurc():
    wrong = RNG.random(2000) < np.linspace(0, 0.6, 2000)
    ax = draw(curve_of(wrong), blank().add_subplot())
    corners = ax.collections[0].get_paths()[0].vertices
    x, y = corners[:, 0], corners[:, 1]
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    expected = fc.e_aurc(1 - wrong.astype(int), np.full(2000, 0.75), confidence=np.arange(2000)[::-1])
    assert area == pytest.approx(expected, abs=2e-3)


def test_a_curve_of_many_points_is_thinned_and_keeps_its_ends():
    curve = curve_of(RNG.random(50_000) < 0.2)
    coverage, risk = line(draw(curve, blank().add_subplot()), "model")
    assert MOST_POINTS / 2 < len(coverage) <= MOST_POINTS
    assert (coverage[0], coverage[-1], risk[-1]) == (curve.coverage[0], 1, curve.risk[-1])
    assert np.diff(coverage).max() < 2 / MOST_POINTS
    np.testing.assert_array_equal(risk, curve.risk[np.searchsorted(curve.coverage, coverage)])


@pytest.mark.parametrize(
    ("wrong", "top"),
    [(np.zeros(5), 1), (np.ones(5), 1.08), ([1], 1.08), ([0], 1), (np.arange(1000) < 1, 1.08 / 20)],
    ids=["no errors", "all errors", "one error", "one row", "the first of many"],
)
def test_curves_at_the_ends(wrong, top):
    ax = draw(curve_of(wrong), blank().add_subplot())
    ax.figure.canvas.draw()
    assert ax.get_ylim() == (0, pytest.approx(top))
    assert len(ax.lines) == 3


def test_a_curve_without_rows_or_risks_draws_empty_axes():
    nothing = fc.SelectiveAccumulator().curve()
    unknown = curve_of([0, 1, 1]).undefined()
    for curve in (nothing, unknown):
        ax = draw(curve, blank().add_subplot())
        ax.figure.canvas.draw()
        assert not ax.lines
        assert not ax.collections
        assert ax.get_ylim() == (0, 1)


def test_lines_differ_in_grey_and_in_form():
    ax = draw(curve_of([0, 1, 0, 1]), blank().add_subplot())
    assert {one.get_linestyle() for one in ax.lines} == {":", "--", "-"}

    def grey(color):
        return matplotlib.colors.to_rgb(color) @ np.array([0.2126, 0.7152, 0.0722])

    assert grey(OTHERS) - grey(MODEL) > 0.15


def test_given_axes_are_drawn_in_and_the_rest_stays_as_it_was():
    figure = blank(figsize=(8, 4))
    ax, other = figure.subplots(1, 2)
    before = other.get_position().bounds, other.axis(), len(other.get_children())
    assert curve_of([0, 1]).plot(ax) is ax
    figure.canvas.draw()
    assert (other.get_position().bounds, other.axis(), len(other.get_children())) == before
    assert figure.axes == [ax, other]
    assert plt.get_fignums() == []
    for form in ("png", "pdf", "svg"):
        pickle.loads(pickle.dumps(figure)).savefig(io.BytesIO(), format=form)


def test_a_figure_of_its_own_is_one_of_pyplot():
    ax = curve_of([0, 1]).plot()
    assert plt.get_fignums() == [ax.figure.number]
    ax.figure.canvas.draw()


def test_what_is_no_curve_or_no_axes_raises_and_leaves_nothing_open():
    with pytest.raises(AttributeError):
        draw(object())
    with pytest.raises(TypeError, match="ax is ndarray; it must be one matplotlib Axes or None"):
        curve_of([0, 1]).plot(blank().subplots(1, 2))
    assert plt.get_fignums() == []


@pytest.mark.parametrize("given_axes", [False, True])
def test_without_matplotlib_the_error_names_the_extra(monkeypatch, given_axes):
    ax = blank().add_subplot() if given_axes else None
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'diagrams need matplotlib: pip install "fastcal\[plot\]"'):
        curve_of([0, 1]).plot(ax)


def test_matplotlib_is_imported_by_drawing_only():
    code = "import sys, fastcal.report.risk_coverage; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
