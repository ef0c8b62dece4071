"""Which figures were asked for (asked.toml), and why some are short of it (short.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

FOLDER = Path(__file__).parent
Figure = TypeVar("Figure")


@dataclass(frozen=True)
class Asked:
    """What one issue asked for: patterns of keys, in the order in which a table shows them."""

    number: int
    title: str
    keys: tuple[str, ...]

    def found(self, figures: Mapping[str, Figure]) -> list[Figure]:
        """Those that were measured, each once."""
        keys = dict.fromkeys(key for pattern in self.keys for key in matching(pattern, figures))
        return [figures[key] for key in keys]

    def absent(self, figures: Iterable[str]) -> list[str]:
        """Patterns of which nothing was measured."""
        keys = list(figures)
        return [pattern for pattern in self.keys if not matching(pattern, keys)]


@dataclass(frozen=True)
class Short:
    """Figures that are short of what was asked: where the time goes, and what was tried."""

    keys: tuple[str, ...]  # or beginnings of keys, or patterns
    profile: str
    tried: tuple[str, ...]
    title: str

    def explains(self, key: str) -> bool:
        """Whether it is about a figure."""
        return any(key.startswith(one) or fnmatchcase(key, one) for one in self.keys)


def matching(pattern: str, keys: Iterable[str]) -> list[str]:
    """Keys that fit a pattern; only * is special."""
    literal = pattern.replace("[", "[[]")
    return [key for key in keys if fnmatchcase(key, literal)]


def read_asked(path: Path = FOLDER / "asked.toml") -> list[Asked]:
    """All issues."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))["issue"]
    return [Asked(one["number"], one["title"], tuple(one["keys"])) for one in found]


def read_short(path: Path = FOLDER / "short.toml") -> list[Short]:
    """All that is explained; raises ValueError for an entry without a profile or with fewer than two ideas."""
    found = []
    for one in tomllib.loads(path.read_text(encoding="utf-8")).get("short", []):
        keys, tried = tuple(one["keys"]), tuple(one["tried"])
        if not keys or not one["profile"].strip() or len(tried) < 2:
            raise ValueError(f"{path.name}: {', '.join(keys)}: expected keys, a profile, and two ideas or more")
        found.append(Short(keys, one["profile"].strip(), tried, one.get("title") or "; ".join(keys)))
    return found
