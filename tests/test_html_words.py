"""Names, numbers and places of a page: short, harmless, and where they should be."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from fastcal.report import svg, words

MINUS = "\N{MINUS SIGN}"


@settings(max_examples=30)
@given(st.text(max_size=120), st.integers(2, 100), st.booleans())
def test_a_name_is_one_short_line_that_can_be_seen(name, most, middle):
    found = words.shown(name, most, middle=middle)
    assert 0 < len(found) <= max(most, len("(empty)"))
    found.encode("utf-8")
    assert "\n" not in found
    assert words.shown("plain name.npy", 20, middle=middle) == "plain name.npy"


def test_a_cut_name_says_so_and_keeps_what_was_asked_for():
    assert words.shown("x" * 100, 10) == "x" * 9 + "…"
    assert words.shown("x" * 100 + ".npy", 11, middle=True) == "xxxxx…x.npy"
    assert words.shown("\u202e" * 100, 10) == r"\u202e…"  # an escape is whole or not there
    assert words.shown("e\u0301\u0301\u0301\u0301") == "e\u0301\u0301"
    assert words.shown("\U0001f468\u200d\U0001f469") == "\U0001f468\u200d\U0001f469"
    assert words.shown(None) == "None"


def test_numbers_have_as_many_digits_as_they_take():
    written = [words.figure(one) for one in (0.12345, 0.001234, 0.0, -0.5, 1234.5, 2e7, 1e-12, -1e-15)]
    assert written == [
        "0.1235",
        "0.00123",
        "0.0000",
        f"{MINUS}0.5000",
        "1,234.5000",
        "2e+07",
        "0.000000000",
        "0.000000000",
    ]
    assert [words.figure(one) for one in (math.nan, math.inf, -math.inf)] == [
        "not defined",
        "infinite",
        f"{MINUS}infinite",
    ]
    assert [words.signed(one) for one in (0.5, -0.5, 0.0, -0.0)] == ["+0.5000", f"{MINUS}0.5000", "0.0000", "0.0000"]
    assert words.interval((0.1, math.nan)) == words.interval(None) == ""
    assert words.interval((0.0045, 0.0140)) == "0.0045 to 0.0140"
    assert [words.size(n) for n in (1, 999, 1000, 123456, 5 * 10**12)] == [
        "1 byte",
        "999 bytes",
        "1 kB",
        "123 kB",
        "5 TB",
    ]
    assert [words.duration(s) for s in (0.04, 59.9, 200, 7500)] == ["0.0 s", "59.9 s", "3 min 20 s", "2 h 5 min"]


@given(st.floats(1e-9, 1e9), st.integers(3, 6))
def test_ticks_are_few_and_round_and_told_apart(high, n):
    found = svg.ticks(high, n)
    assert found[0] == 0
    assert 2 <= len(found) <= n + 1
    assert found[-1] <= high * (1 + 1e-9)
    if 1e-6 < high < 1e6:
        written = [f"{one:.{svg.decimals(found)}f}" for one in found]
        assert len(set(written)) == len(written)


def test_paths_are_short_and_held_within_their_frame():
    frame = svg.Frame(10, 20, 100, 50)
    assert frame.line([(0, 0), (1, 1), (2, -1)]) == "M10 70L110 20L110 70"
    assert frame.bar(0.1, 0.2, 0, 0.5) == "M20 70V45H30V70Z"
    assert frame.dot(0.5, 0.5, 2) == "M58 45a2 2 0 1 0 4 0a2 2 0 1 0 -4 0"
    assert svg.line([]) == ""
    assert svg.place(-0.01) == "0"
    assert svg.ticks(0) == svg.ticks(math.nan) == [0.0]
    assert svg.decimals([0.0]) == 0
