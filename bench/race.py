"""Races ours against each peer: same arrays, same process, turn about, after their answers were found equal."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any

import comparisons
from comparisons import Comparison, Data, assert_same, generate
from peers import available

from .machine import Bystanders

DTYPE = "float32"

# Rows and classes of each kind of input.
FULL = {
    "rows": (1_000_000, 10),
    "logits": (1_000_000, 10),
    "wide rows": (20_000, 1000),
    "wide logits": (20_000, 1000),
    "confidences": (10_000_000, 1),
    "log-odds": (10_000_000, 1),
}
QUICK = {kind: (n_rows // 10, n_classes) for kind, (n_rows, n_classes) in FULL.items()}

MIN_ROUNDS, MAX_ROUNDS = 5, 30

# Seconds before each run: OpenMP's threads spin for some milliseconds after their work, on cores that the other side's
# run would have to share (its time was 15 % longer).
PAUSE = 0.01


@dataclass(frozen=True)
class Race:
    """Ours against one peer: medians in seconds, and the quartiles of the ratio of neighbouring runs."""

    peer: str
    ours: float
    theirs: float
    low: float
    high: float
    rounds: int

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


@dataclass(frozen=True)
class Line:
    """One line of the benchmark table: a work on one kind of input, and its race against each installed peer."""

    name: str
    work: str
    kind: str
    shape: tuple[int, int]
    n_bytes: int
    ours: float
    races: list[Race]
    others: float  # cores that other processes kept busy meanwhile

    @property
    def best(self) -> Race | None:
        """The race against the fastest peer."""
        return min(self.races, key=lambda race: race.theirs, default=None)


def use_all_cores() -> int:
    """Give torch as many threads as fastcal takes; returns how many."""
    from fastcal.engine import thread_count

    try:
        import torch

        torch.set_num_threads(thread_count())
    except ImportError:
        pass
    return thread_count()


@functools.cache
def data(kind: str, n_rows: int, n_classes: int) -> Data:
    """The arrays that all works on a kind of input share."""
    return generate(kind, n_rows, n_classes, DTYPE)


def contenders(row: Comparison, given: Data) -> dict[str, Callable[[], Any]]:
    """Ours and each installed peer by name, ready to be called; raises AssertionError where answers differ."""
    ours = row(given)
    assert_same(ours, row.expected(given), comparisons.OURS[DTYPE])
    callers: dict[str, Callable[[], Any]] = {"fastcal": functools.partial(row, given)}
    for name, peer in row.peers_for(given.kind).items():
        if available(peer):
            caller = functools.partial(peer.compute, given.y_true, given.scores, given.sample_weight)
            assert_same(ours, caller(), peer.tolerance_for(given.scores))
            callers[name] = caller
    return callers


def measure(row: Comparison, kind: str, shape: tuple[int, int], seconds: float) -> Line:
    """Verify, then race ours against each peer for about ``seconds`` each."""
    given = data(kind, *shape)
    bystanders = Bystanders()
    callers = contenders(row, given)
    ours = callers.pop("fastcal")
    races = [race(ours, name, theirs, seconds) for name, theirs in callers.items()]
    best = statistics.median([one.ours for one in races] or [elapsed(ours) for _ in range(MIN_ROUNDS)])
    return Line(row.name, row.work, kind, shape, given.n_bytes, best, races, bystanders.cores())


def race(
    ours: Callable[[], Any],
    name: str,
    theirs: Callable[[], Any],
    seconds: float,
    min_rounds: int = MIN_ROUNDS,
    *,
    warm: bool = False,
    pause: float = PAUSE,
) -> Race:
    """Ours and theirs in turns for about so many seconds, and at least so many rounds; ``warm``: both were called."""
    pairs: list[tuple[float, float]] = []
    if not warm:
        ours(), theirs()
    start = perf_counter()
    while len(pairs) < min_rounds or (perf_counter() - start < seconds and len(pairs) < MAX_ROUNDS):
        pairs.append((elapsed(ours, pause), elapsed(theirs, pause)))
    low, _, high = statistics.quantiles([b / a for a, b in pairs], n=4)
    median_ours, median_theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Race(name, median_ours, median_theirs, low, high, len(pairs))


def elapsed(call: Callable[[], Any], pause: float = PAUSE) -> float:
    """Seconds that one call takes, after a pause."""
    sleep(pause)
    start = perf_counter()
    call()
    return perf_counter() - start
