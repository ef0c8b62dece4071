"""Verdicts as JUnit XML, which CI services show as tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from ..dumps.batches import shown

# What XML 1.0 holds no way of writing, escaped or not.
ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One test: its name, what class it is listed under, and why it failed, if it did."""

    name: str
    listed_under: str
    failure: str | None = None


def junit(suite: str, cases: Iterable[Case]) -> str:
    """A test suite as an XML document."""
    kept = list(cases)
    counts = f'tests="{len(kept)}" failures="{sum(case.failure is not None for case in kept)}" errors="0"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {counts}>"]
    lines += [f"<testsuite name={_quoted(suite)} {counts}>", *map(_element, kept), "</testsuite>", "</testsuites>"]
    return "\n".join(lines) + "\n"


def _element(case: Case) -> str:
    start = f"<testcase classname={_quoted(case.listed_under)} name={_quoted(case.name)}"
    if case.failure is None:
        return f"{start}/>"
    return f'{start}><failure type="threshold" message={_quoted(case.failure)}/></testcase>'


def _quoted(text: str) -> str:
    """An attribute's value, in quotes; what does not print, or is no character of XML, as its escape sequence."""
    plain = ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode(), shown(text))
    return quoteattr(plain)
