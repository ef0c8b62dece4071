"""The figure of uncertainty by kind of row shows what the report says."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastcal as fc

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

U = np.array([0.0, 0.0, 0.25, 0.5, 1.0, 0.5])
CORRECT, OUT = np.array([1, 1, 1, 0, 0, 0], bool), np.array([0, 0, 0, 0, 0, 1], bool)


def seen(**more):
    columns = {"predictive_entropy": U, **more}
    return fc.UncertaintyAccumulator().update_measures(columns, correct=CORRECT, out_of_distribution=OUT)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_lines_are_the_shares_at_or_below_each_value():
    (ax,) = seen().plot()
    lines = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert list(lines) == ["correct, 66.7 % at 0", "wrong, 0 % at 0", "out, 0 % at 0"]
    correct = lines["correct, 66.7 % at 0"]
    np.testing.assert_allclose(correct, [[0, 0], [0, 2 / 3], [0.25, 1]], atol=1e-3)
    np.testing.assert_allclose(lines["wrong, 0 % at 0"], [[0.5, 0], [0.5, 0.5], [1.0, 1]], atol=1e-3)
    assert ax.get_title() == "AUROC errors: 1.000\nAUROC out of distribution: 0.700"
    assert ax.get_xlabel() == "predictive entropy"


def test_a_panel_for_each_measure():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), (4, 50))
    accumulator = fc.UncertaintyAccumulator().update(None, p)
    panels = accumulator.plot()
    assert len(panels) == len(panels[0].figure.axes) == 6
    assert panels[0].get_xlabel() == "1 - max probability"
    assert panels[0].get_title() == ""
    assert panels[5].get_legend().get_texts()[0].get_text().endswith("% near 0")
    figure, axes = plt.subplots(2)
    own = accumulator.plot(["mutual_information", "variation_ratio"], axes)
    assert own == list(axes)
    assert figure.axes == list(axes)
    assert accumulator.plot("mutual_information")[0].get_xlabel() == "mutual information"
    assert len(seen(a=U, b=U, c=U).plot()[0].figure.axes) == 4


def test_infinite_values_and_bounds():
    energy = np.array([-np.inf, 1.0, 1.0001, 1.0002, np.inf, 2.0])
    (ax,) = fc.UncertaintyAccumulator().update_measures({"energy": energy}, correct=CORRECT).plot()
    assert "\u00b1" in ax.get_title()
    for line in ax.get_lines():
        assert np.isfinite(line.get_xydata()).all()


def test_a_kind_of_infinite_values_has_a_name_and_no_line():
    for energy in ([1.0, 2.0, 3.0, np.inf, np.inf, np.inf], [np.inf, -np.inf, np.inf, np.inf, np.inf, np.inf]):
        (ax,) = fc.UncertaintyAccumulator().update_measures({"energy": energy}, correct=CORRECT).plot()
        ax.figure.canvas.draw()
        lines = {line.get_label(): len(line.get_xydata()) for line in ax.get_lines()}
        assert lines == {"correct": 4 if energy[0] == 1.0 else 0, "wrong": 0}


def test_a_figure_is_of_one_state(monkeypatch):
    """Rows that come while it is drawn change neither its lines nor its legend."""
    accumulator = seen()
    histogram = fc.UncertaintyAccumulator.histogram

    def with_more(self, name):
        accumulator.update_measures({"predictive_entropy": [0.0] * 9}, correct=True)
        return histogram(self, name)

    monkeypatch.setattr(fc.UncertaintyAccumulator, "histogram", with_more)
    (ax,) = accumulator.plot()
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), [0, 2 / 3, 1])


def test_what_cannot_be_drawn(monkeypatch):
    with pytest.raises(ValueError, match="no rows to draw"):
        fc.UncertaintyAccumulator().plot()
    with pytest.raises(KeyError, match="no measure 'energy'"):
        seen().plot("energy")
    with pytest.raises(ValueError, match="names are none; expected at least one measure"):
        seen().plot([])
    with pytest.raises(ValueError, match="axes are 1, for 2 measures"):
        seen(energy=U).plot(axes=plt.subplots()[1])
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install \"fastcal\[plot\]\""):
        seen().plot()
