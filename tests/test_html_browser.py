"""The page in a browser: on a phone, on a desk, in the dark, in print, by mouse, by keys, without scripts."""

from __future__ import annotations

import numpy as np
import pytest
from browsers import Browser
from pages import HOSTILE, counted, hostile_page, provenance, rows, whole_page

import fastcal as fc
from fastcal.dumps import Roles, open_dumps
from fastcal.dumps.opening import SAMPLE
from fastcal.report.html import looks_for, page
from fastcal.runs import evaluate

WIDTHS = (320, 768, 1280)

# Elements that stick out of the window, and are not in a box that scrolls.
OUTSIDE = """
return [...document.querySelectorAll("body *")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && (box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5)
    && !one.closest(".scroll") && !one.closest(".skip");
}).map((one) => one.outerHTML.slice(0, 100));
"""

# Of everything that is seen, its colours and that behind it: of a path its stroke and its fill.
COLOURS = """
const behind = (one) => {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
};
const found = [];
for (const one of document.querySelectorAll("body *")) {
  const style = getComputedStyle(one);
  const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!one.getClientRects().length || one.closest("title, desc, script")) continue;
  if (one.tagName === "path") {
    const inks = [style.stroke, style.fill].filter((ink) => ink !== "none");
    found.push(["graphic", one.getAttribute("class"), inks, behind(one)]);
  } else if (own) {
    found.push(["text", one.tagName, [one.tagName === "text" ? style.fill : style.color], behind(one)]);
  }
}
return [...new Set(found.map((one) => JSON.stringify(one)))].map(JSON.parse);
"""

# The column of a table, as it stands.
COLUMN = (
    "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map((row) => row.cells[arguments[1]].innerText)"
)
SORTS = "return [...document.querySelectorAll(`#${arguments[0]} thead th`)].map((one) => one.getAttribute('aria-sort'))"

SIDEWAYS = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"

SIZES = """
return [...document.querySelectorAll("svg")].map((one) => one.getBoundingClientRect())
  .map((box) => [box.width, box.height, box.left, box.right]);
"""
TEXTS = """
return [...document.querySelectorAll("svg text")].map((one) => {
  const box = one.getBBox();
  const wide = one.ownerSVGElement.viewBox.baseVal.width;
  return [one.textContent, box.x, box.x + box.width, wide, one.hasAttribute("transform")];
});
"""
CLIPPED = """
return [...document.querySelectorAll(".scroll")].filter((one) => one.offsetHeight
  && (one.scrollHeight > one.offsetHeight + 1 || one.scrollWidth > one.offsetWidth + 1))
  .map((one) => one.firstElementChild.id);
"""
FOCUS = """
const style = getComputedStyle(document.activeElement);
return [document.activeElement.tagName, style.outlineStyle, style.outlineWidth];
"""
MOVING = """
return [...document.querySelectorAll("*")].map((one) => getComputedStyle(one)).filter((style) =>
  style.animationName !== "none" || style.transitionDuration !== "0s" || style.scrollBehavior !== "auto").length;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def browser(folder):
    browser = Browser(folder)
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def sample(folder, browser):
    """The page of the bundled sample, as the command writes it."""
    dumps = open_dumps([SAMPLE], Roles())
    batches = [(one.scores, one.labels) for one in dumps[0].batches()]
    looks = looks_for({"from_logits": True}, fc.TemperatureScaling().fit_batches(batches), page=True)
    path = folder / "sample.html"
    path.write_text(page(evaluate(dumps, looks).compute(), provenance(899), "bundled sample"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(folder, browser):
    path = folder / "whole.html"
    path.write_text(whole_page(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile(folder, browser):
    path = folder / "hostile.html"
    path.write_text(hostile_page(), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_the_sample_is_drawn_whole_and_loads_nothing(browser, sample, width):
    assert browser.open(sample, width=width) == []
    assert browser.ask("return violations") == []
    assert browser.logged() == []
    assert browser.ask(SIDEWAYS) == 0
    assert browser.ask(OUTSIDE) == []
    sizes = browser.ask(SIZES)
    assert len(sizes) == 5 + 10  # one for each of ten digits
    for wide, high, left, right in sizes:
        assert wide > 100
        assert high > 100
        assert 0 <= left < right <= width
    for text, left, right, wide, turned in browser.ask(TEXTS):
        assert turned or (left >= -1 and right <= wide + 1), text


def test_a_policy_that_is_broken_would_be_noticed(browser, sample, folder):
    text = sample.read_text(encoding="utf-8")
    broken = folder / "broken.html"
    more = '<script>alert("run")</script><img src="http://127.0.0.1:9/x.png" alt="x"><p style="color: red">x</p>'
    broken.write_text(text.replace("</main>", f"{more}</main>"), encoding="utf-8")
    browser.open(broken)
    seen = browser.ask("return violations")
    assert len(seen) == 3
    assert "alert" not in seen
    assert len(browser.logged()) == 3


def test_names_from_files_break_neither_the_page_nor_its_layout(browser, hostile):
    for width in WIDTHS:
        assert browser.open(hostile, width=width) == []
        assert browser.ask("return violations") == []
        assert browser.ask(OUTSIDE) == []
        assert browser.ask(SIDEWAYS) == 0
    assert len(set(browser.ask(COLUMN, "groups-all", 0))) == len(HOSTILE)
    tall = browser.ask(
        "return Math.max(...[...document.querySelectorAll('#groups-all tr')].map((one) => one.offsetHeight))"
    )
    assert tall < 150


def numbers(texts):
    """Of a column."""
    return [float(one.replace("\N{MINUS SIGN}", "-").replace(",", "")) for one in texts]


def test_tables_sort_by_click_and_by_keys(browser, whole):
    from selenium.webdriver import Keys

    browser.open(whole)
    assert browser.ask(SORTS, "classes-all") == [None] * 5 + ["descending"] + [None] * 2
    before = browser.ask(COLUMN, "classes-all", 0)
    buttons = browser.driver.find_elements("css selector", "#classes-all thead button")
    assert len(buttons) == 8
    buttons[4].click()  # the difference, which has signs
    assert browser.ask(SORTS, "classes-all") == [None] * 4 + ["descending"] + [None] * 3
    column = numbers(browser.ask(COLUMN, "classes-all", 4))
    assert column == sorted(column, reverse=True)
    buttons[4].click()
    assert browser.ask(SORTS, "classes-all")[4] == "ascending"
    assert numbers(browser.ask(COLUMN, "classes-all", 4)) == column[::-1]
    browser.ask("arguments[0].focus()", buttons[5])
    browser.press(Keys.ENTER)
    assert browser.ask(SORTS, "classes-all")[5] == "descending"
    assert browser.ask(COLUMN, "classes-all", 0) == before
    browser.press(Keys.SPACE)
    assert browser.ask(SORTS, "classes-all")[5] == "ascending"
    assert browser.ask(COLUMN, "classes-all", 0) == before[::-1]
    names = browser.driver.find_element("css selector", "#groups-all thead button")
    names.click()
    assert browser.ask(SORTS, "groups-all")[0] == "ascending"
    assert browser.ask(COLUMN, "groups-all", 0) == [f"group {number}" for number in range(5)]
    assert browser.ask(SORTS, "classes-all")[5] == "ascending"  # tables are sorted apart


def test_what_is_not_defined_comes_last_either_way(browser, folder):
    y, logits = rows(n=60)
    logits[y == 3] = -np.inf
    logits[y == 3, 0] = 0.0  # an infinite NLL
    groups = np.where(np.arange(60) < 2, np.arange(60) % 2, 2 + y)
    weights = np.where(groups == 0, 0.0, 1.0)  # a group of no weight
    path = folder / "undefined.html"
    reports = counted(y, logits, from_logits=True, groups=groups, weights=weights)
    path.write_text(page(reports, provenance(), "x"), encoding="utf-8")
    browser.open(path)
    first, *_, button, _ = browser.driver.find_elements("css selector", "#groups-all thead button")
    first.click()
    assert browser.ask(COLUMN, "groups-all", 7)[0] == "not defined"
    button.click()
    falling = browser.ask(COLUMN, "groups-all", 7)
    assert falling[0] == "infinite"
    assert falling[-1] == "not defined"
    button.click()
    rising = browser.ask(COLUMN, "groups-all", 7)
    finite = rising[: rising.index("infinite")]
    assert set(rising[len(finite) : -1]) == {"infinite"}
    assert rising[-1] == "not defined"
    assert len(finite) > 1
    assert numbers(finite) == sorted(numbers(finite))


def luminance(colour):
    """WCAG 2's relative luminance of an opaque colour."""
    channels = [float(one) / 255 for one in colour[colour.index("(") + 1 : -1].split(",")]
    assert len(channels) == 3, colour
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_holds_in_light_and_dark(browser, whole):
    papers = set()
    for dark in (False, True):
        browser.open(whole, dark=dark)
        browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = browser.ask(COLOURS)
        assert {"axis", "band", "gap", "mark", "ring", "curve", "best", "wrong", "P", "TD", "text"} <= {
            what for _, what, *_ in found
        }
        for kind, what, inks, behind in found:
            least = {"text": 4.5, "graphic": 3.0}[kind]
            assert max(contrast(ink, behind) for ink in inks) >= least, (dark, what, inks, behind)
        papers.add(browser.ask("return getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2
    assert contrast(*papers) > 10


@pytest.mark.parametrize("name", ["whole", "hostile"])
def test_print_is_light_whole_and_not_clipped(browser, name, request):
    browser.open(request.getfixturevalue(name), width=718, media="print", dark=True)
    assert luminance(browser.ask("return getComputedStyle(document.body).backgroundColor")) > 0.9
    assert browser.ask(OUTSIDE.replace(' && !one.closest(".scroll")', "")) == []
    assert (
        browser.ask("return [...document.querySelectorAll('section')].filter((one) => !one.offsetHeight).length") == 0
    )
    assert browser.ask(CLIPPED) == []
    assert browser.ask("return getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    printed = browser.command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]
    assert len(printed) > 20_000


def test_everything_has_a_name_for_those_who_hear_the_page(browser, whole):
    browser.open(whole)
    for roles, least in (
        (("image", "img", "graphics-document"), 13),
        (("button",), 17),
        (("link",), 9),
        (("region",), 10),
    ):
        names = browser.named(*roles)
        assert len(names) >= least, roles
        assert all(names), roles
    for landmark in ("main", "navigation", "banner", "contentinfo"):
        assert len(browser.named(landmark)) == 1
    assert browser.ask("return document.documentElement.lang") == "en"


def test_keys_reach_everything_and_show_where_they_are(browser, whole):
    from selenium.webdriver import Keys

    browser.open(whole)
    browser.press(Keys.TAB)
    assert browser.ask("return document.activeElement.className") == "skip"
    assert browser.ask("return document.activeElement.getBoundingClientRect().top") >= 0
    browser.press(Keys.ENTER)
    assert browser.ask("return document.activeElement.id") == "main"
    seen = set()
    for _ in range(24):
        browser.press(Keys.TAB)
        one = browser.ask(FOCUS)
        seen.add(one[0])
        assert one[1] == "solid", one
        assert one[2] == "3px", one
    assert {"SUMMARY", "DIV", "BUTTON"} <= seen


def test_nothing_moves(browser, whole):
    browser.open(whole)
    assert browser.ask(MOVING) == 0


def test_it_reads_without_scripts(browser, whole):
    browser.open(whole, scripts=False)
    buttons = browser.driver.find_elements("css selector", "button")
    assert buttons == []
    assert browser.driver.find_element("css selector", "#classes-all thead th").text == "class"
    headings = [one.text for one in browser.driver.find_elements("css selector", "h2")]
    assert headings[0] == "Figures"
    assert len(headings) == 9
