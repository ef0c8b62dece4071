"""Kernels of rows beside 27 digits and metrics beside exact fractions, and the page that was made of a longer run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from bench import numerics, numerics_page
from bench import numerics_rows as rows
from bench.numerics_cases import cases, ulps
from bench.numerics_figures_more import EVERY, few

pytestmark = pytest.mark.skipif(not JIT, reason="plain Python has no fused products")


def test_the_page_is_that_of_its_record():
    found = json.loads(numerics.RECORD.read_text(encoding="utf-8"))
    assert numerics.PAGE.read_text(encoding="utf-8") == numerics_page.page(found)
    assert found["mode"] == "full"
    assert numerics.beyond(found) == []


def test_every_work_and_every_metric_of_today_is_recorded():
    found = json.loads(numerics.RECORD.read_text(encoding="utf-8"))
    recorded = {one["of"]: one["at_most"] for one in found["figures"]}
    assert recorded == {figure.name: figure.at_most for figure in EVERY}
    assert {one["dtype"] for one in found["rows"]} == set(rows.DTYPES)
    assert {one["temperature"] for one in found["rows"]} == set(numerics.TEMPERATURES)


@pytest.mark.parametrize("dtype", rows.DTYPES)
@pytest.mark.parametrize("temperature", [1.0, 0.37])
def test_rows(dtype, temperature):
    found = list(numerics.of_rows([dtype], [temperature], 8, 300))
    assert {one["work"] for one in found} >= {"softmax", "log_softmax", "logsumexp", "entropy", "TemperatureScaling"}
    for one in found:
        assert one["share"] is None or one["share"] <= 1, one
        assert one["work"] != "softmax_summary: margin" or one["worst"] <= 8, one


def test_functions_of_numbers_and_ensembles():
    for one in numerics.of_numbers(1000, 20):
        assert one["share"] <= 1, one


@pytest.mark.parametrize("figure", EVERY, ids=lambda figure: figure.name)
def test_metrics(figure):
    slow = figure.takes is few
    given = (case for case in cases((5,) if slow else (4, 13), 1) if case.w is None or not slow)
    found = numerics.of_figures(given, [figure])
    assert found
    for one in found:
        assert one["worst"] <= one["at_most"], one


def test_a_figure_that_is_off_by_little_is_seen():
    figure = EVERY[0]
    off = dataclasses.replace(figure, ours=lambda case: {k: v * (1 + 1e-14) for k, v in figure.ours(case).items()})
    assert numerics.beyond({"rows": [], "numbers": [], "figures": numerics.of_figures(cases((13,), 1), [off])})


def test_a_softmax_that_is_off_by_little_is_seen(monkeypatch):
    softmax = fc.softmax

    def off(z, **options):
        found = softmax(z, **options)
        return found * found.dtype.type(1 + 8 * np.finfo(found.dtype).eps)

    monkeypatch.setattr(fc, "softmax", off)
    found = list(numerics.of_rows(["float32"], [1.0], 8, 300))
    assert {one["work"] for one in found if one["share"] is not None and one["share"] > 1} >= {"softmax"}


def test_units_in_the_last_place():
    from fractions import Fraction

    third = Fraction(1, 3)
    assert ulps(1 / 3, third) < 0.5 < ulps(float(np.nextafter(1 / 3, 1)), third) < 1.5
    assert ulps(float(np.float32(1 / 3)), third, 24) < 0.5
    assert ulps(1e-17, Fraction(0)) == np.inf
    assert ulps(2.0**-52, Fraction(0), of_one=True) == 1
    assert ulps(float("nan"), third) == np.inf
    assert ulps(0.0, Fraction(0)) == 0
