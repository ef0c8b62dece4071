"""Pages to look at, and their elements as a strict parser sees them."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser

import numpy as np

import fastcal as fc
from fastcal.report.html import looks_for, page
from fastcal.runs.provenance import Provenance, SourceFile

VOID = {"meta", "link", "br", "path"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='x",
    "</title></style></script><b>",
    "\u202egnp.exe\u2066",
    "a\x00\x1b[31mb\n\r\t\x85",
    "\ud800lone",
    "\u2028\u2029\ufeff\u200f",
    "x" * 10_000,
    "\u0627" * 200,
    "Z" + "\u0351" * 500,
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;amp; ]]> <!-- -->",
    "",
    "\U000e0001\U0010fffd",
    "javascript:alert(1)",
]


def provenance(n_rows=3, **changes):
    """Of a run that never was."""
    given = {
        "files": [SourceFile("val/rows.npz", 1234, "ab" * 32, False)],
        "version": "1.2.3",
        "versions": {"numpy": "2.0"},
        "options": {"bins": None, "nan_policy": "raise"},
        "convention": "fastcal",
        "n_rows": n_rows,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 4.2,
        "command": "fastcal report rows.npz",
    }
    return Provenance(**{**given, **changes})


def rows(n=400, k=4, seed=0):
    """Labels, and logits of an overconfident model."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += 1.0
    return y, 3 * logits


def counted(y, scores, *, calibrator=None, groups=None, weights=None, **options):
    """What a page is made of, seen in one go."""
    looks = looks_for({"groups": groups is not None, **options}, calibrator, page=True)
    return looks.update(y, scores, groups=groups, sample_weight=weights).compute()


@cache
def whole_page(**changes):
    """One with every section; of what is given, it says where it came from."""
    y, logits = rows()
    groups = [f"group {number % 5}" for number in range(len(y))]
    calibrator = fc.TemperatureScaling().fit(logits, y)
    reports = counted(y, logits, from_logits=True, calibrator=calibrator, groups=groups)
    return page(reports, provenance(len(y), **changes), "rows")


@cache
def hostile_page():
    """One whose names are all from somebody who means harm."""
    y, logits = rows(n=len(HOSTILE) * 20)
    reports = counted(y, logits, from_logits=True, groups=[HOSTILE[i % len(HOSTILE)] for i in range(len(y))])
    files = [SourceFile(name, 10**place, name, True) for place, name in enumerate(HOSTILE)]
    said = {
        "files": files,
        "options": {f"{name}{place}": name for place, name in enumerate(HOSTILE)},
        "versions": {name: name for name in HOSTILE},
        "command": " ".join(HOSTILE),
        "version": HOSTILE[1],
        "started": HOSTILE[0],
        "convention": HOSTILE[2],
    }
    return page(reports, provenance(len(y), **said), "".join(HOSTILE))


class Element:
    """A tag with its attributes, the texts within, and what it is in."""

    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent, self.texts = tag, attributes, parent, []

    def __getitem__(self, name):
        return self.attributes.get(name)

    @property
    def text(self):
        return "".join(self.texts)

    def within(self, tag):
        """Whether it is in such an element."""
        one = self.parent
        while one is not None and one.tag != tag:
            one = one.parent
        return one is not None


class Page(HTMLParser):
    """Elements in order; what is not closed in order, or not at all, is an error."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {[one.tag for one in self.open]}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"twice: {names}"
        element = Element(tag, dict(attrs), self.open[-1] if self.open else None)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs), self.open[-1]))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.texts.append(data)

    def all(self, tag):
        return [one for one in self.elements if one.tag == tag]

    def table(self, name):
        """Headings and rows of a table, as texts."""
        inside = [one for one in self.elements if one.within("table") and self._table_of(one) == name]
        headings = [one.text for one in inside if one.tag == "th" and one["scope"] == "col"]
        cells = [one.text for one in inside if one.tag == "td" or (one.tag == "th" and one["scope"] == "row")]
        width = len(headings)
        return headings, [cells[at : at + width] for at in range(0, len(cells), width)]

    @staticmethod
    def _table_of(element):
        while element.tag != "table":
            element = element.parent
        return element["id"]


def points(path):
    """The places that a path of M and L goes through."""
    return [tuple(map(float, found)) for found in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)]
