"""What a run of the benchmarks found, as numbers: what tables, plots and budgets are made of, and a file keeps."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
FORMAT = 1
DISTURBED = 0.1  # cores of others, beyond which a figure is not to be trusted
GROWTH_MARGIN = 0.2  # of an exponent: a factor of four in a thousand times the size, which leaving the caches can cost


@dataclass(frozen=True)
class Pair:
    """Ours against one peer, or against none: a work on one input, medians in seconds, quartiles of the ratio.

    ``memory`` is the most that one call takes beyond what was there before it, its result included, in bytes.
    ``roof`` names the figure of the machine that bounds the work, of ``Run.roofs``: "read" and "copy" are bytes a
    second, of which the work moves at least ``n_bytes``; "sort" is numbers a second, of which it sorts ``n_sorted``.
    ``aim`` is the ratio that was asked for.
    """

    set: str
    work: str
    given: str
    peer: str
    ours: float
    theirs: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    n_bytes: int | None = None
    n_sorted: int | None = None
    roof: str = ""
    memory: int | None = None
    memory_theirs: int | None = None
    aim: float | None = None
    share_aim: float | None = None  # the share of the roof that was asked for
    others: float = 0.0  # cores that other processes kept busy meanwhile

    @property
    def key(self) -> str:
        """Its name among all pairs of a run."""
        return f"{self.set}: {self.work}, {self.given}" + (f" / {self.peer}" if self.peer else "")

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the peer."""
        return None if self.theirs is None else self.theirs / self.ours

    @property
    def disturbed(self) -> bool:
        """Whether other processes took so much of the machine that the figure is not to be trusted."""
        return self.others > DISTURBED

    def share(self, roofs: dict[str, float]) -> float | None:
        """Of the machine's bandwidth, or of its sort."""
        amount = self.n_sorted if self.roof == "sort" else self.n_bytes
        return None if not self.roof or amount is None else amount / self.ours / roofs[self.roof]

    def missed(self, roofs: dict[str, float]) -> list[str]:
        """What was asked for and not reached."""
        found = []
        if self.aim is not None and self.ratio is not None and self.ratio < self.aim:
            found.append(f"{self.ratio:.2f}x of {self.aim:g}x")
        share = self.share(roofs)
        if self.share_aim is not None and share is not None and share < self.share_aim:
            found.append(f"{share:.0%} of {self.share_aim:.0%} of {self.roof}")
        return found


@dataclass(frozen=True)
class Whole:
    """A figure of a whole process: seconds, bytes, ratios; ``at_most`` or ``at_least`` is what was asked for."""

    set: str
    what: str
    value: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """Its name among all of a run."""
        return f"{self.set}: {self.what}"

    @property
    def holds(self) -> bool:
        """Whether it is what was asked for; what could not be measured does not hold."""
        if self.value is None:
            return self.at_most is None and self.at_least is None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


@dataclass(frozen=True)
class Growth:
    """Seconds and bytes of one work against N or K, and the exponents fitted to the larger half of them."""

    work: str
    against: str  # "N" or "K"
    sizes: list[int]
    seconds: list[float]
    memory: list[int]
    exponent: float
    memory_exponent: float
    at_most: float  # 1, or what a sort's n log n comes to over these sizes
    memory_at_most: float = 1.0  # 0 where memory is fixed, 1 where it grows with what is given or found
    n_bytes: list[int] = field(default_factory=list)  # that the work reads and writes at least, for the roofline

    @property
    def key(self) -> str:
        """Its name among all of a run."""
        return f"growth: {self.work} against {self.against}"

    @property
    def holds(self) -> bool:
        """Whether both exponents are what they may be, but for noise and what caches make of small sizes."""
        return (
            self.exponent <= self.at_most + GROWTH_MARGIN
            and self.memory_exponent <= self.memory_at_most + GROWTH_MARGIN
        )


@dataclass
class Run:
    """All of one run, and what it was made on."""

    mode: str  # "full" or "quick"
    date: str
    commit: str
    machine: dict[str, Any]
    versions: dict[str, str]  # of Python, ours, and every peer that is installed
    roofs: dict[str, float]  # "read", "copy": bytes a second of all threads; "sort": float32 numbers of one np.sort
    pairs: list[Pair] = field(default_factory=list)
    wholes: list[Whole] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # peers that were not installed
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        aside = path.with_name(path.name + ".new")
        aside.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        aside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Run:
        """Of a file; raises ValueError where it is of another format."""
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format", None) != FORMAT:
            raise ValueError(f"{path} is not of format {FORMAT}")
        found["pairs"] = [Pair(**one) for one in found["pairs"]]
        found["wholes"] = [Whole(**one) for one in found["wholes"]]
        found["growth"] = [Growth(**one) for one in found["growth"]]
        return cls(**found)
