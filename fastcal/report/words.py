"""Numbers and names as a page shows them: numbers in few digits, names of any origin in one short harmless line."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

ELLIPSIS = "…"
MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"
JOINERS = "\u200c\u200d"  # scripts and emoji need them
MOST_MARKS = 2  # combining marks on a letter; more are written over the lines around
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # controls, overrides of direction, halves of pairs, line separators


def shown(name: Any, most: int = 80, *, middle: bool = False) -> str:
    """A name in one line of at most so many characters; what would not be seen, or steers how text is set, is escaped.

    Too long ones end in an ellipsis, or have it in the ``middle``, as file names do, whose ends say most.
    """
    text = str(name)
    kept = text if len(text) <= 4 * most else text[: 2 * most] + text[-2 * most :]
    parts, marks = [], 0
    for letter in kept:
        kind = unicodedata.category(letter)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind in UNSEEN and letter not in JOINERS:
            parts.append(_escaped(letter))
        elif marks <= MOST_MARKS:
            parts.append(letter)
    # by escapes as a whole: half of one would be another
    n = sum(map(len, parts))
    if len(text) == len(kept) and n <= most:
        return "".join(parts) or "(empty)"
    tail = _fitting(parts[::-1], most // 2)[::-1] if middle else []
    head = _fitting(parts, most - 1 - sum(map(len, tail)))
    return "".join(head) + ELLIPSIS + "".join(tail)


def _escaped(letter: str) -> str:
    code = ord(letter)
    simple = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return simple.get(letter) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
    )


def _fitting(parts: Sequence[str], most: int) -> list[str]:
    found, n = [], 0
    for part in parts:
        n += len(part)
        if n > most:
            break
        found.append(part)
    return found


def count(value: float) -> str:
    """1,234."""
    return f"{int(value):,}"


def digits_for(largest: float) -> int:
    """Digits behind the point: four, of small numbers as many as leave three that are not 0."""
    if not 0 < abs(largest) < 0.01:
        return 4
    return min(2 - math.floor(math.log10(abs(largest))), 9)


def figure(value: float, digits: int | None = None) -> str:
    """0.0123, with as many digits as it takes."""
    if math.isnan(value):
        return "not defined"
    if math.isinf(value):
        return "infinite" if value > 0 else f"{MINUS}infinite"
    digits = digits_for(value) if digits is None else digits
    text = f"{value:,.{digits}f}" if abs(value) < 1e6 else f"{value:.4g}"
    if not text.strip("-0.,"):  # no minus before 0
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int | None = None) -> str:
    """+0.0123."""
    text = figure(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def percent(value: float, digits: int = 1) -> str:
    """12.3 %."""
    return figure(value) if not math.isfinite(value) else f"{figure(100 * value, digits)}{SPACE}%"


def points(value: float) -> str:
    """Of a share, in percentage points, without its sign."""
    return f"{figure(100 * abs(value), 1)} percentage points"


def interval(ends: Sequence[float] | None, *, shares: bool = False) -> str:
    """0.0123 to 0.0456; empty where there is none."""
    if ends is None or any(math.isnan(end) for end in ends):
        return ""
    if shares:
        low, high = (figure(100 * end, 1) for end in ends)
    else:
        digits = digits_for(max((abs(end) for end in ends if math.isfinite(end)), default=0.0))
        low, high = (figure(end, digits) for end in ends)
    return f"{low} to {high}{SPACE + '%' if shares else ''}"


def size(n_bytes: int) -> str:
    """1.2 MB, in units of 1000."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= 0.9995 * unit:
            return f"{n_bytes / unit:.3g} {name}"
    return plural(n_bytes, "byte")


def duration(seconds: float) -> str:
    """4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if whole < 3600 else f"{minutes // 60} h {minutes % 60} min"


def plural(n: int, one: str, many: str | None = None) -> str:
    """1 row, 2 rows."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"
