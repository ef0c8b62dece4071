"""Drawings as numbers and paths: small functions that know where things lie, and nothing of what they mean.

A drawing is a list of paths and of labels, each with the name of its class: the page's style says how they look. Dots
and bars of one kind are one path, which keeps a page small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """A rectangle of a drawing on which two axes run: from left to right, and from bottom to top."""

    left: float
    top: float
    width: float
    height: float
    x_range: Point = (0.0, 1.0)
    y_range: Point = (0.0, 1.0)

    def x(self, value: float) -> float:
        """Where a value lies, held within the frame."""
        return self.left + self.width * _share(value, *self.x_range)

    def y(self, value: float) -> float:
        """The same, upwards."""
        return self.top + self.height * (1 - _share(value, *self.y_range))

    def line(self, points: Iterable[Point]) -> str:
        """A path through points."""
        return line([(self.x(x), self.y(y)) for x, y in points])

    def bar(self, left: float, right: float, low: float, high: float) -> str:
        """A rectangle."""
        return bar(self.x(left), self.x(right), self.y(low), self.y(high))

    def dot(self, x: float, y: float, radius: float) -> str:
        """A circle."""
        return dot(self.x(x), self.y(y), radius)

    def outline(self) -> str:
        """The lower and the left edge."""
        bottom = self.top + self.height
        return line([(self.left, self.top), (self.left, bottom), (self.left + self.width, bottom)])


@dataclass(frozen=True)
class Label:
    """Text at a place: ``anchor`` start, middle or end; ``turned`` it reads upwards."""

    x: str
    y: str
    text: str
    kind: str = "tick"
    anchor: str = "start"
    turned: bool = False


@dataclass
class Drawing:
    """What a page draws: ``title`` and ``description`` say it in words; ``name`` is its own on a page."""

    name: str
    width: int
    height: int
    title: str
    description: str
    paths: list[tuple[str, str]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def add(self, kind: str, *paths: str) -> None:
        """Add paths of a kind, as one; nothing if there are none."""
        joined = "".join(paths)
        if joined:
            self.paths.append((kind, joined))

    def label(
        self, x: float, y: float, text: str, kind: str = "tick", anchor: str = "start", *, turned: bool = False
    ) -> None:
        """Add text."""
        self.labels.append(Label(place(x), place(y), text, kind, anchor, turned))

    def axis_x(self, frame: Frame, ticks: Sequence[tuple[float, str]], title: str = "") -> None:
        """Ticks below a frame, and what they count."""
        bottom = frame.top + frame.height
        self.add("axis", *(line([(frame.x(at), bottom), (frame.x(at), bottom + 4)]) for at, _ in ticks))
        for at, text in ticks:
            self.label(frame.x(at), bottom + 16, text, anchor="middle")
        if title:
            self.label(frame.left + frame.width / 2, bottom + 33, title, "name", "middle")

    def axis_y(self, frame: Frame, ticks: Sequence[tuple[float, str]], title: str = "") -> None:
        """Ticks left of a frame; the title lies above them, where it reads without turning the head."""
        self.add("axis", *(line([(frame.left - 4, frame.y(at)), (frame.left, frame.y(at))]) for at, _ in ticks))
        for at, text in ticks:
            self.label(frame.left - 7, frame.y(at) + 4, text, anchor="end")
        if title:
            self.label(0, frame.top - 10, title, "name")

    def key(self, x: float, y: float, entries: Sequence[tuple[str, str, str]]) -> None:
        """A row of samples with their names: what is a mark, its kind ("dot", "line" or "box"), and its name."""
        for kind, shape, text in entries:
            sample = {"dot": dot(x + 7, y - 4, 4), "box": bar(x, x + 12, y - 10, y + 1)}
            self.add(kind, sample.get(shape) or line([(x, y - 4), (x + 16, y - 4)]))
            self.label(x + 20, y, text, "key")
            x += 32 + 6.6 * len(text)


def _share(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


def place(value: float) -> str:
    """A coordinate to a tenth, as short as can be."""
    text = f"{value:.1f}"
    text = text[:-2] if text.endswith(".0") else text
    return "0" if text == "-0" else text


def line(points: Sequence[Point]) -> str:
    """A path through points; empty of none."""
    return "".join(f"{'L' if number else 'M'}{place(x)} {place(y)}" for number, (x, y) in enumerate(points))


def bar(left: float, right: float, bottom: float, top: float) -> str:
    """A rectangle."""
    return f"M{place(left)} {place(bottom)}V{place(top)}H{place(right)}V{place(bottom)}Z"


def dot(x: float, y: float, radius: float) -> str:
    """A circle of two halves."""
    r = place(radius)
    arc = f"a{r} {r} 0 1 0 "
    return f"M{place(x - radius)} {place(y)}{arc}{place(2 * radius)} 0{arc}{place(-2 * radius)} 0"


def ticks(high: float, n: int = 4) -> list[float]:
    """Round numbers from 0 up to ``high``, at most about ``n`` steps; ``n`` is 3 or more."""
    if not (high > 0 and math.isfinite(high)):
        return [0.0]
    step = high / n
    unit = 10.0 ** math.floor(math.log10(step))
    wide = next(unit * k for k in (1, 2, 5, 10) if unit * k >= step * 0.999)
    return [round(k * wide, 12) for k in range(int(high / wide * (1 + 1e-9)) + 1)]


def decimals(values: Sequence[float]) -> int:
    """Digits behind the point that tell ticks apart."""
    step = min((b - a for a, b in pairwise(values)), default=1.0)
    return max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
