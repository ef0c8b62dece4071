"""Numbers of a run in words, for pages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .record import Pair, Whole

MODULES = {"np": "numpy"}  # how peers' functions name libraries


def factor(value: float) -> str:
    """How many times as fast, with enough digits."""
    if value >= 100:
        return f"{value:.0f}x"
    if value >= 10:
        return f"{value:.3g}x"
    return f"{value:.3g}x" if value < 0.1 else f"{value:.2f}".rstrip("0").rstrip(".") + "x"


def spread(pair: Pair) -> str:
    """The ratio and its quartiles, and whether other processes disturbed it."""
    if pair.ratio is None:
        return ""
    found = factor(pair.ratio)
    if pair.low is not None and pair.high is not None:
        found += f" ({factor(pair.low)[:-1]} to {factor(pair.high)[:-1]})"
    return found + (", disturbed" if pair.disturbed else "")


def of_roof(pair: Pair, roofs: Mapping[str, float]) -> str:
    """The share of what the machine could do; as a multiple where it is more, as a sort on several threads may be."""
    share = pair.share(dict(roofs))
    if share is None:
        return ""
    return f"{share:.0%} of {pair.roof}" if share < 2 else f"{share:.1f} x {pair.roof}"


def peak_memory(pair: Pair) -> str:
    """Both sides' in megabytes."""
    if pair.memory is None:
        return ""
    return " / ".join(f"{value / 1e6:,.0f}" for value in (pair.memory, pair.memory_theirs) if value is not None) + " MB"


def amount(value: float, unit: str) -> str:
    """A figure of a whole process, shares as per cent."""
    if unit.startswith("of "):
        return f"{value * 100:.3g} % {unit}"
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits}{'' if re.match('x ', unit) else ' '}{unit}"


def measured(whole: Whole) -> str:
    """What it came to, with its note."""
    if whole.value is None:
        return f"could not be measured: {whole.note}"
    return amount(whole.value, whole.unit) + (f" ({whole.note})" if whole.note else "")


def peer_with_version(peer: str, versions: Mapping[str, str]) -> str:
    """A peer, and the version of each library that its name says."""
    names = {MODULES.get(word, word).lower() for word in re.findall(r"[A-Za-z][A-Za-z-]*", peer)}
    found = [f"{name} {version}" for name, version in versions.items() if name.lower() in names]
    if len(found) == 1 and found[0].startswith(peer + " "):
        return found[0]
    return f"{peer} ({', '.join(found)})" if found else peer
