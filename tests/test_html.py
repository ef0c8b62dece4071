"""The page as text: whole, well formed, the same again, small, and deaf to what names from files say."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from pages import HOSTILE, Page, counted, hostile_page, points, provenance, rows, whole_page

import fastcal as fc
from fastcal.accumulators.bins import CONVENTIONS
from fastcal.report import html_provenance, words
from fastcal.report.html import TEMPLATES, looks_for, page
from fastcal.runs.provenance import SourceFile

SECTIONS = ("figures", "reliability", "calibration", "histograms", "selective", "classes", "groups", "provenance")


def policy(found):
    return next(m["content"] for m in found.all("meta") if m["http-equiv"] == "Content-Security-Policy")


def test_a_page_has_every_section_in_order_and_names_for_all_that_needs_one():
    found = Page(whole_page())
    ids = [one["id"] for one in found.elements if one["id"]]
    assert len(set(ids)) == len(ids)
    assert [one["id"] for one in found.all("section")] == [*SECTIONS, "reading"]
    for one in found.elements:
        for name in (one["aria-labelledby"] or "").split():
            assert name in ids
    for svg_ in found.all("svg"):
        assert svg_["role"] == "img"
        assert svg_["aria-labelledby"]
    for tag, least in (("title", 10), ("desc", 20)):
        inside = [one for one in found.all(tag) if one.within("svg")]
        assert len(inside) == len(found.all("svg")) >= 4 + 4 + 5
        assert all(len(one.text) > least for one in inside)
    levels = [int(one.tag[1]) for one in found.elements if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert found.all("html")[0]["lang"] == "en"
    assert {"header", "nav", "main", "footer"} <= {one.tag for one in found.elements}
    targets = [one["href"][1:] for one in found.all("a")]
    assert targets
    assert set(targets) <= set(ids)
    assert all(one["tabindex"] == "0" and one["aria-labelledby"] for one in found.elements if one["role"] == "region")
    assert len([one for one in found.elements if one["role"] == "region"]) == len(found.all("table"))


def test_nothing_is_loaded_and_nothing_runs_but_what_the_hashes_name():
    found = Page(whole_page())
    said = policy(found)
    assert "default-src 'none'" in said
    assert "unsafe" not in said
    for tag in ("style", "script"):
        (one,) = found.all(tag)
        digest = base64.b64encode(hashlib.sha256(one.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in said
        assert one.text == (TEMPLATES / f"{tag}.{'css' if tag == 'style' else 'js'}").read_text(encoding="utf-8")
    for one in found.elements:
        assert not any(name.startswith("on") or name in ("style", "src", "srcset") for name in one.attributes)
        assert (one["href"] or "#").startswith(("#", "data:,"))
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|&nbsp;", whole_page().replace("// Headings", "").replace("// what", "")
    )


def test_figures_of_the_report_are_on_the_page():
    y, logits = rows()
    report = counted(y, logits, from_logits=True)["report"]
    found = Page(whole_page())
    values = [one.text for one in found.all("dd") if one["class"] == "value"][:5]
    assert values == [
        f"{100 * report['accuracy']:.1f}\N{NO-BREAK SPACE}%",
        *(words.figure(report[name]) for name in ("ece", "rmsce_debiased", "nll", "brier")),
    ]
    _, cells = found.table("figures-all")
    table = {row[0]: row for row in cells}
    low, high = report["intervals"].nll
    assert table["nll"][1:3] == [f"{report['nll']:.6f}", f"{low:.4f} to {high:.4f}"]
    assert table["n"][1] == "400"
    assert set(table) == {name for name, value in report.items() if isinstance(value, int | float)}
    _, cells = found.table("reliability-bins")
    assert [row[1] for row in cells] == [f"{n:,}" for n in report.reliability.count]
    assert cells[0][0] == "[0, 0.06667]"
    assert cells[-1][0] == "(0.9333, 1]"


def test_dots_lie_where_the_curve_says():
    y, logits = rows()
    curve = counted(y, logits, from_logits=True)["report"].reliability
    seen = curve.count > 0
    found = Page(whole_page())
    drawing = next(one for one in found.all("svg") if "reliability-title" in one["aria-labelledby"])
    paths = {one["class"]: one["d"] for one in found.all("path") if one.parent is drawing}  # the key's come first
    whiskers, dots = paths["mark whisker"], paths["mark"]
    x, y_ = 40 + 308 * curve.confidence[seen], 46 + 308 * (1 - curve.accuracy[seen])
    np.testing.assert_allclose(points(dots), np.stack([x - 3.5, y_], axis=1), atol=0.051)
    low, high = (46 + 308 * (1 - ends[seen]) for ends in (curve.lower, curve.upper))
    expected = np.stack([x, low, x, high], axis=1).reshape(-1, 2)
    np.testing.assert_allclose(points(whiskers), expected, atol=0.051)


def test_before_and_after_are_compared():
    headings, cells = Page(whole_page()).table("calibration-figures")
    assert headings == ["figure", "before", "after", "difference", ""]
    found = {row[0]: row[1:] for row in cells}
    assert found["Accuracy"][3] == "the same"
    assert found["NLL"][3] == "better"
    before, after, difference = (float(one.replace(words.MINUS, "-")) for one in found["NLL"][:3])
    assert difference == pytest.approx(after - before, abs=1.1e-4)
    assert difference < 0


def test_the_same_figures_give_the_same_page_however_rows_were_split():
    y, logits = rows()
    groups = [f"group {number % 5}" for number in range(len(y))]
    calibrator = fc.TemperatureScaling().fit(logits, y)
    looks = looks_for({"from_logits": True, "groups": True, "n_threads": 2}, calibrator, page=True)
    parts = [looks.empty(), looks.empty(), looks.empty()]
    for part, at in zip(parts, (slice(250, None), slice(0, 100), slice(100, 250)), strict=True):
        part.update(y[at], logits[at], groups=groups[at])
        looks.merge(part.restored(part.to_bytes()))
    assert page(looks.compute(), provenance(len(y)), "rows") == whole_page()
    later = whole_page(started="2027-01-01T00:00:00+00:00", seconds=7321.0)
    changed = [(a, b) for a, b in zip(whole_page().split("\n"), later.split("\n"), strict=True) if a != b]
    assert changed == [
        (f"<dd><bdi>{a}</bdi></dd></div>", f"<dd><bdi>{b}</bdi></dd></div>")
        for a, b in (("2026-01-02T03:04:05+00:00", "2027-01-01T00:00:00+00:00"), ("4.2 s", "2 h 2 min"))
    ]


def test_names_from_files_are_text_and_nothing_else():
    text = hostile_page()
    found, plain = Page(text), Page(whole_page())
    assert {one.tag for one in found.elements} <= {one.tag for one in plain.elements}
    names = {(one.tag, name) for one in plain.elements for name in one.attributes}
    assert {(one.tag, name) for one in found.elements for name in one.attributes} <= names
    assert [one.text for one in found.all("script")] == [one.text for one in plain.all("script")]
    assert len(found.all("style")) == 1
    assert policy(found) == policy(plain)
    text.encode("utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", text)
    assert "49" not in " ".join(row[0] for row in found.table("groups-all")[1])
    labels = {row[0] for row in found.table("groups-all")[1]}
    assert len(labels) == len(HOSTILE)
    assert {"<script>alert(1)</script>", "' onload='x", "{{ 7 * 7 }}{% raw %}", "(empty)"} <= labels
    assert r"\u202egnp.exe\u2066" in labels
    assert max(map(len, labels)) <= 60
    assert not any("<script>alert" in one for one in re.findall(r"<[^>]*>", text))
    assert len(text) < 2 * len(whole_page())


def test_thousands_of_classes_and_groups_stay_small():
    rng = np.random.default_rng(0)
    n, k = 3000, 2500
    y = rng.integers(0, k, n)
    p = np.full((n, k), 0.5 / (k - 1), np.float32)
    p[np.arange(n), np.where(rng.random(n) < 0.7, y, 0)] = 0.5
    p /= p.sum(axis=1, keepdims=True)
    files = [SourceFile(f"shard-{number}.parquet", 1 << 30, "ab" * 32, True) for number in range(3000)]
    text = page(counted(y, p, groups=np.arange(n)), provenance(n, files=files), "rows")
    assert len(text.encode()) < 2_000_000
    found = Page(text)
    for name, n_all in (("classes", "2,500"), ("groups", "3,000")):
        headings, cells = found.table(f"{name}-all")
        assert len(cells) == 1000
        caption = next(one for one in found.all("p") if one["id"] == f"{name}-all-caption")
        assert f"1,000 worst of {n_all} {name}" in caption.text
        place = headings.index("ECE" if name == "classes" else "RMSCE at least")
        keys = [float(row[place]) for row in cells if row[place] != "not defined"]
        assert keys == sorted(keys, reverse=True)
    assert sum("small" in (one["class"] or "") for one in found.all("svg")) == 24
    assert len(found.table("files")[1]) == 1000


def test_the_worst_class_comes_first_with_its_own_curve():
    y, logits = rows()
    report = counted(y, logits, from_logits=True)["report"]
    classes, edges = report["classes"], report.reliability.edges
    assert len(classes) == 4
    probs = fc.softmax(logits)
    for k in range(4):
        own = fc.reliability_curve(y == k, probs[:, k])
        curve = classes.curve(k, edges)
        np.testing.assert_array_equal(curve.count, own.count)
        np.testing.assert_allclose(curve.confidence, own.confidence, rtol=1e-12)
        np.testing.assert_array_equal(curve.accuracy, own.accuracy)
        np.testing.assert_array_equal(curve.edges, own.edges)
    order = np.argsort(-classes.ece)
    assert [row[0] for row in Page(whole_page()).table("classes-all")[1]] == [str(k) for k in order]
    assert [row[1] for row in Page(whole_page()).table("classes-all")[1]] == [str((y == k).sum()) for k in order]
    assert list(classes.to_dict()) == ["ece", "rmsce", "mce", "signed_calibration_error", "confidence", "frequency"]


def test_a_group_has_the_curve_of_its_rows():
    y, logits = rows()
    g = np.arange(len(y)) % 3
    report = counted(y, logits, from_logits=True, groups=g)["report"]
    for slice_ in range(3):
        own = fc.reliability_curve(y[g == slice_], logits[g == slice_], from_logits=True)
        curve = report["groups"].curve(slice_, report.reliability.edges)
        np.testing.assert_array_equal(curve.count, own.count)
        np.testing.assert_array_equal(curve.accuracy, own.accuracy)
        np.testing.assert_array_equal(curve.lower, own.lower)
    assert "bins" not in report["groups"].to_dict()
    with pytest.raises(ValueError, match="no curves"):
        report["groups"].undefined().curve(0, own.edges)
    with pytest.raises(ValueError, match="no curves"):
        report["classes"].undefined().curve(0, own.edges)


def of(y, p, **options):
    n = len(y)
    return Page(page(counted(y, p, **options), provenance(n), "rows"))


def section(found, name):
    return " ".join(next(one for one in found.all("section") if one["id"] == name).text.split())


def test_what_is_not_defined_is_said_in_words():
    y, p = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    nan = p.copy()
    nan[1] = np.nan
    swallowed = of(y, nan, nan_policy="propagate")
    assert "1 row is no distribution" in swallowed.all("header")[0].text
    for name in ("figures", "reliability", "selective", "classes"):
        assert "ot defined" in section(swallowed, name), name
    none = of(y, nan, nan_policy="propagate", groups=[0, 1, 1], calibrator=None)
    assert "not defined" in section(none, "groups")
    weightless = of(y, p, weights=np.zeros(3))
    assert "no row has any weight" in section(weightless, "figures")
    assert "no row has any weight" in section(weightless, "reliability")
    left_out = of(y, np.full_like(p, np.nan), nan_policy="omit")
    assert "no row was left to count" in left_out.all("header")[0].text
    unlikely = of(y, np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert "infinite" in section(unlikely, "figures")
    assert "1 row gives its label probability 0" in section(unlikely, "figures")
    many = of(y, p, classwise=False)
    assert "more bins than this report keeps" in section(many, "classes")


def test_awkward_shapes_have_pages():
    one_class = of(np.zeros(5, int), np.ones((5, 1)))
    assert "1 class" in one_class.all("header")[0].text
    binary = of(np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.9, 0.4]))
    assert "Class 1 is given 55.0" in binary.all("header")[0].text
    assert "frequency of class 1" in section(binary, "reliability")
    single = of(np.array([1]), np.array([[0.25, 0.75]]))
    assert "Accuracy" in section(single, "figures")
    unseen = of(np.zeros(8, int), np.full((8, 3), [0.5, 0.25, 0.25]))
    assert [row[1] for row in unseen.table("classes-all")[1]] == ["8", "0", "0"]
    weighted = of(np.array([0, 1]), np.array([[0.5, 0.5], [0.25, 0.75]]), weights=np.array([0.5, 2.0]))
    headings, cells = weighted.table("classes-all")
    assert headings[1] == "weight of the class"
    assert sorted(row[1] for row in cells) == ["0.5", "2.0"]
    fine = of(np.arange(200) % 2, np.linspace(0, 1, 200), n_bins=500)
    assert "fullest of 500 bins" in section(fine, "reliability")


def test_a_report_alone_has_the_sections_that_it_can_have():
    y, logits = rows()
    report = fc.Evaluation(from_logits=True).update(y, logits).compute()
    found = Page(page({"report": report}, provenance(), "rows"))
    assert [one["id"] for one in found.all("section")] == ["figures", "reliability", "classes", "provenance", "reading"]
    binary = fc.Evaluation().update([0, 1], [0.2, 0.7]).compute()
    assert "binary scores" in Page(page({"report": binary}, provenance(), "rows")).all("header")[0].text
    assert list(looks_for({}, None, page=False)) == ["report"]
    assert list(looks_for({}, fc.PlattScaling(), page=False)) == ["report", "after"]
    part = fc.Evaluation(parts=["scores", "reliability"], squares=False).update(y, fc.softmax(logits)).compute()
    assert "not defined" in section(Page(page({"report": part}, provenance(), "rows")), "figures")


@pytest.mark.parametrize("convention", [None, *CONVENTIONS])
def test_every_convention_has_its_words_and_bounds(convention):
    y, p = np.array([0, 1, 1, 0]), np.array([0.0, 0.7, 1.0, 0.4])
    report = fc.Evaluation(convention=convention).update(y, p).compute()
    rule = html_provenance.Rule(report["convention"], None, report.reliability)
    assert rule.left == (CONVENTIONS[convention].left if convention else False)
    assert html_provenance.CONVENTIONS.keys() == CONVENTIONS.keys()
    assert rule.said().startswith(html_provenance.CONVENTIONS.get(convention, html_provenance.DEFAULT))
    b = int(np.flatnonzero(report.reliability.count * (np.nan_to_num(report.reliability.confidence, nan=9) == 0.7))[0])
    low, high = (float(one) for one in rule.bounds(b)[1:-1].split(", "))
    assert low - 1e-4 <= 0.7 <= high + 1e-4
    assert (rule.bounds(b)[0] == "[") == rule.left
    text = page({"report": report}, provenance(convention=report["convention"]), "rows")
    assert report["convention"] in section(Page(text), "provenance")


def test_without_jinja2_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"fastcal\[plot\]"):
        page({}, provenance(), "rows")


def test_classes_have_their_names_where_there_are_some():
    y, logits = rows()
    report = fc.Evaluation(from_logits=True).update(y, logits).compute()
    names = ["cat", HOSTILE[0], HOSTILE[4], "dog"]
    text = page({"report": report}, provenance(), "rows", class_names=names)
    found = Page(text)
    order = np.argsort(-report["classes"].ece)
    shown = [words.shown(names[k]) for k in order]
    assert [row[0] for row in found.table("classes-all")[1]] == shown
    assert [one.text for one in found.all("bdi")][1 : 1 + len(shown)] == shown
    assert len(found.all("script")) == 1
    with pytest.raises(ValueError, match="class_names are 3, for 4 classes"):
        page({"report": report}, provenance(), "rows", class_names=names[:3])
