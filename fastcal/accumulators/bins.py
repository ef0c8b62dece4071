"""Which bin a confidence belongs to: uniform bins, given edges, and the rules of other systems by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fastcal import kernels

from ..arrays import Array

MAX_BINS = 1 << 14
DEFAULT_BINS = 15
CLOSED = ("right", "left")


@dataclass(frozen=True)
class Convention:
    """How a system bins: its own number of bins, their edges within (0, 1), and what it does with 0, 1 and beyond.

    Edges are those of bins (lo, hi], or with ``left`` of bins [lo, hi). ``zero``: p = 0 is in the first bin, in a bin
    of its own, "ignored" (in n, in no bin) or "left out" (not in n either). ``one``: p = 1 is in the last bin or in an
    extra one. ``above``: p > 1 is where 1 is, ignored, or left out.
    """

    n_bins: int
    edges: Callable[[int, np.dtype[Any]], Array]
    left: bool = False
    zero: Literal["first", "own", "ignored", "left out"] = "first"
    one: Literal["last", "extra"] = "last"
    above: Literal["as one", "ignored", "left out"] = "as one"
    clips: bool = False  # p to [eps, 1 - eps] where it is averaged


def _linspace(n_bins: int, _dtype: np.dtype[Any]) -> Array:
    return np.linspace(0.0, 1.0, n_bins + 1)[1:-1]


def _quotients(n_bins: int, _dtype: np.dtype[Any]) -> Array:
    return np.arange(1, n_bins) / n_bins


def _like_torch(n_bins: int, dtype: np.dtype[Any]) -> Array:
    """torch.linspace in the scores' dtype: counted up from 0 in the lower half, down from 1 in the upper one."""
    real = dtype.type
    step = real(1) / real(n_bins)
    k = np.arange(1, n_bins)
    lower = k < (n_bins + 1) // 2
    up = (step * k.astype(dtype)).astype(dtype)
    down = (real(1) - (step * (n_bins - k).astype(dtype)).astype(dtype)).astype(dtype)
    return np.asarray(np.where(lower, up, down), np.float64)


def _rounded(n_bins: int, dtype: np.dtype[Any]) -> Array:
    """np.linspace, rounded to the scores' dtype."""
    return _linspace(n_bins, dtype).astype(dtype).astype(np.float64)


def _least_with(rule: Callable[[Array, Any], Array], most: int) -> Callable[[int, np.dtype[Any]], Array]:
    """Edges of bins that are found by arithmetic: the least number of each bin, looked for among neighbours of k / n.

    ``most`` is the last bin, less n: -1, or 0 where the rule has one more.
    """

    def edges(n_bins: int, dtype: np.dtype[Any]) -> Array:
        k = np.arange(1, n_bins + most + 1)
        p = (k / n_bins).astype(dtype)
        for _ in range(8):
            p = np.nextafter(p, dtype.type(0))
        for _ in range(16):
            p = np.where(rule(p, n_bins) >= k, p, np.nextafter(p, dtype.type(2)))
        return p.astype(np.float64)

    return edges


def _as_float32(edges: Array) -> Array:
    """Edges among float64 numbers: the least that rounds, half to even, to a float32 at or above each edge."""
    single = edges.astype(np.float32)
    middle = (np.nextafter(single, np.float32(0)).astype(np.float64) + single) / 2
    return np.asarray(np.where(single.view(np.int32) & 1 == 0, middle, np.nextafter(middle, 1)))


CONVENTIONS: dict[str, Convention] = {
    "guo": Convention(15, lambda n, _: _like_torch(n, np.dtype(np.float32)), zero="ignored", above="ignored"),
    "sklearn": Convention(5, _linspace),
    "verified": Convention(15, _quotients),
    "torchmetrics": Convention(15, _like_torch, left=True, one="extra"),
    "netcal": Convention(10, _rounded, left=True, clips=True),
    "robustness-metrics": Convention(30, _linspace, left=True, zero="left out", one="extra"),
    "tfp": Convention(15, _least_with(lambda p, n: np.floor(p * p.dtype.type(n)), -1), left=True),
    "mapie": Convention(50, lambda n, dtype: _linspace(n - 1, dtype), zero="own", above="left out"),
    "relplot": Convention(10, _least_with(lambda p, n: (p / p.dtype.type(1.0 / n)).astype(int), 0), left=True),
    "calibre": Convention(10, _linspace, left=True),
}


@dataclass(frozen=True)
class Lookup:
    """What kernels take: cuts, the table over them, and the range that confidences are clipped to."""

    cuts: Array
    table: Array
    low: float
    high: float
    by_width: int = 0  # so many bins, if a float32 p times their number says which one it is in

    @classmethod
    def of(cls, cuts: Array, low: float = 0.0, high: float = 1.0) -> Lookup:
        """Of cuts that rise; what is above the last one is in a bin of its own."""
        cells = kernels.binning.CELLS
        table = np.searchsorted(cuts, np.arange(cells + 1) / cells, side="left").astype(np.uint16)
        cuts = np.append(cuts, np.inf)
        for array in (cuts, table):
            array.flags.writeable = False
        return cls(cuts, table, low, high)

    @property
    def arguments(self) -> tuple[Array, Array, float, float]:
        """In the kernels' order."""
        return self.cuts, self.table, self.low, self.high


class Binning:
    """Bins of confidence: ``edges`` as reports show them, and the :class:`Lookup` for scores of each dtype.

    ``n_bins`` uniform ones, or those between given edges, which begin at 0 and end at 1; ``closed`` on the right
    (lo, hi], the first also with its lower end, or on the left, the last also with 1. Or a convention's.
    """

    def __init__(
        self,
        n_bins: int | None = None,
        binning: Any = "uniform",
        closed: str | None = None,
        convention: str | None = None,
    ) -> None:
        if convention is not None and not (isinstance(convention, str) and convention in CONVENTIONS):
            raise ValueError(f"convention is {convention!r}; expected one of {', '.join(CONVENTIONS)}")
        if convention is not None and closed is not None:
            raise ValueError(f"closed is {closed!r}, which convention={convention!r} decides; give one of them")
        if closed is not None and closed not in CLOSED:
            raise ValueError(f"closed is {closed!r}; expected 'right' or 'left'")
        self.name = convention
        self.rule = CONVENTIONS[convention] if convention else Convention(DEFAULT_BINS, _linspace, closed == "left")
        self.given: list[float] | None = None
        if not isinstance(binning, str):
            self.given = _edges(binning)
            if n_bins is not None and n_bins != len(self.given) - 1:
                raise ValueError(f"n_bins is {n_bins!r}, but binning has {len(self.given) - 1} bins")
            n_bins = len(self.given) - 1
        elif binning != "uniform":
            raise ValueError(f"binning is {binning!r}; expected 'uniform' or edges")
        n_bins = self.rule.n_bins if n_bins is None else n_bins
        self.n_bins = check_bins(n_bins, least=2 if convention == "mapie" and self.given is None else 1)
        inner = self._inner(np.dtype(np.float64))
        self._left = self.rule.left
        edges = [0.0, *inner.tolist(), 1.0]
        self.ignored: list[int] = []  # bins whose rows are counted, but have no gap
        self.left_out: list[int] = []  # bins whose rows are not even counted
        if self.rule.zero != "first":
            edges.insert(0, 0.0)
            self._set_apart(self.rule.zero, 0)
        if self.rule.one == "extra" or self.rule.above != "as one":
            edges.append(1.0)
            self._set_apart(self.rule.above, len(edges) - 2)
        self.edges = np.array(edges)
        self._lookups: dict[np.dtype[Any] | str, Lookup] = {}

    def _set_apart(self, how: str, bin_: int) -> None:
        if how in ("ignored", "left out"):
            (self.ignored if how == "ignored" else self.left_out).append(bin_)

    @classmethod
    def between(cls, edges: Array) -> Binning:
        """Bins (lo, hi] between edges that rise, the first with all below, the last with all above."""
        binning = cls()
        binning.given = [0.0, *edges[1:-1].tolist(), 1.0]
        binning.n_bins = max(len(edges) - 1, 1)
        binning.edges = edges if len(edges) > 1 else np.repeat(edges, 2)
        return binning

    @property
    def size(self) -> int:
        """Bins, with those of a convention's own."""
        return len(self.edges) - 1

    def settings(self) -> dict[str, Any]:
        """What makes the same bins again."""
        uniform: Any = "uniform"
        return {
            "n_bins": self.n_bins,
            "binning": uniform if self.given is None else self.given,
            "closed": ("left" if self._left else None) if self.name is None else None,
            "convention": self.name,
        }

    def _inner(self, dtype: np.dtype[Any]) -> Array:
        if self.given is not None:
            return np.array(self.given[1:-1])
        return self.rule.edges(self.n_bins, dtype)

    def lookup(self, dtype: np.dtype[Any], *, top: bool = False) -> Lookup:
        """For scores of a dtype: some systems compute edges in it. ``top``: the largest ones of rows (N, K).

        torchmetrics rounds those to float32 before it bins them.
        """
        key: np.dtype[Any] | str
        if self.name == "torchmetrics" and top and dtype == np.float64 and self.given is None:
            key, dtype, narrowed = "top", np.dtype(np.float32), True
        else:
            key, narrowed = dtype, False
        if key not in self._lookups:
            cuts = self._inner(dtype)
            one = np.ones(1)
            if narrowed:
                cuts, one = _as_float32(cuts), _as_float32(one)
            if self._left:
                cuts = np.nextafter(cuts, -np.inf)
            rule = self.rule
            before = [0.0] if rule.zero != "first" else []
            after = [np.nextafter(one[0], 0.0)] if rule.one == "extra" else [1.0] if rule.above != "as one" else []
            low, high = (0.0, 1.0) if self.name is None else (-1.0, 1.9)
            if rule.clips:
                low = float(np.finfo(dtype).eps)
                high = float(dtype.type(1) - np.finfo(dtype).eps)
            found = Lookup.of(np.concatenate([before, cuts, after]), low, high)
            plain = self.name is None and self.given is None and not self._left and dtype == np.float32
            self._lookups[key] = replace(found, by_width=self.n_bins if plain and _is_by_width(cuts) else 0)
        return self._lookups[key]


def _is_by_width(cuts: Array) -> bool:
    """Whether p times the number of bins, rounded up, says for every float32 which of the uniform bins it is in.

    The rule rises with p, so it holds for all if it does for the numbers on either side of every cut.
    """
    below = cuts.astype(np.float32)
    below = np.where(below.astype(np.float64) > cuts, np.nextafter(below, np.float32(0)), below)
    k = np.arange(1, len(cuts) + 1)
    place = [p.astype(np.float64) * (len(cuts) + 1) for p in (below, np.nextafter(below, np.float32(1)))]
    return bool((np.ceil(place[0]) == k).all() and (np.ceil(place[1]) == k + 1).all())


def check_bins(n_bins: Any, *, least: int = 1) -> int:
    """A number of bins as an integer; raises ValueError for one that is none."""
    whole = isinstance(n_bins, int | np.integer) and not isinstance(n_bins, bool)
    if not (whole and least <= n_bins <= MAX_BINS):
        raise ValueError(f"n_bins is {n_bins!r}; expected an integer from {least} to {MAX_BINS}")
    return int(n_bins)


def check_threshold(threshold: Any) -> float:
    """A threshold as a float; raises ValueError for one that is none."""
    if isinstance(threshold, bool) or not (isinstance(threshold, int | float | np.number) and 0 <= threshold < 1):
        raise ValueError(f"threshold is {threshold!r}; expected a number from 0 to below 1")
    return float(threshold)


def _edges(binning: Any) -> list[float]:
    try:
        edges = np.asarray(binning, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"binning is {binning!r}; expected 'uniform', 'quantile' or edges") from error
    if edges.ndim != 1 or not 2 <= len(edges) <= MAX_BINS + 1:
        raise ValueError(f"binning has shape {edges.shape}; edges are 2 to {MAX_BINS + 1} numbers")
    if edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
        raise ValueError("binning: edges rise from 0 to 1")
    return [float(edge) for edge in edges]
