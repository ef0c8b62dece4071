"""Races ours against each peer: same arrays, same process, turn about, after their answers were found equal."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter, sleep
from typing import Any

from . import memory
from .machine import Bystanders
from .record import Pair

Call = Callable[[], Any]

# Seconds before each turn: OpenMP's threads spin for some milliseconds after their work, on cores that the other side's
# turn would have to share (its time was 15 % longer).
PAUSE = 0.01
TURN = 0.005  # seconds that a turn on few rows takes at least, by many calls
MAX_ROUNDS = 30


@dataclass(frozen=True)
class Trial:
    """One line: what is called on what, how many times as fast as a peer it has to be, and what bounds it.

    A set of trials is a module with ``TRIALS`` and ``contenders(trial)``, which makes the arrays, asserts that answers
    are equal and returns the calls by name, ours as "fastcal".
    """

    work: str
    given: str  # the input in words, after the number of rows
    n_rows: int
    aims: Mapping[str, float]  # ratios by peer
    roof: str = ""  # see Pair
    per_row: float = 0.0  # bytes that a row makes it move, or numbers of a row that it sorts
    share_aim: float | None = None
    fewer: int | None = 10  # what a quick run divides the rows by; None leaves the line out of it
    slow: bool = False  # half a minute a call: two rounds, of which the first is that of their memory
    few: bool = False  # microseconds a call: neither side starts threads; no pause, and nobody's memory
    pause: float = PAUSE
    of: Any = None  # what the set makes the calls of

    def sized(self, *, quick: bool) -> Trial:
        """As a run takes it."""
        return replace(self, n_rows=max(self.n_rows // (self.fewer or 1), 1)) if quick else self

    @property
    def words(self) -> str:
        """The input in words, rows included."""
        return f"{self.n_rows:,} {self.given}"


@dataclass(frozen=True)
class Pace:
    """About how many seconds a race takes, and how many rounds at least, also where they take longer."""

    seconds: float
    rounds: int


FULL, QUICK = Pace(1.0, 3), Pace(0.05, 3)


def use_all_cores() -> int:
    """Give torch as many threads as fastcal takes; returns how many."""
    from fastcal.engine import thread_count

    try:
        import torch

        torch.set_num_threads(thread_count())
    except ImportError:
        pass
    return thread_count()


def measure(name: str, trial: Trial, contenders: Callable[[Trial], dict[str, Call]], pace: Pace) -> list[Pair]:
    """Ours against each of the others, or by itself; raises AssertionError, before any timing, where answers differ."""
    calls = contenders(trial)
    gc.collect()
    ours = calls.pop("fastcal")
    amount = round(trial.n_rows * trial.per_row) if trial.roof else None
    places = {"n_sorted" if trial.roof == "sort" else "n_bytes": amount}
    line = partial(Pair, name, trial.work, trial.words, roof=trial.roof, **places)
    if not trial.slow:
        ours()
    first = {one: alone(call, trial) for one, call in {**calls, "fastcal": ours}.items()}
    kept, _ = first["fastcal"]
    found = []
    for peer, theirs in calls.items():
        bystanders = Bystanders()
        times = turns(trial, pace, ours, theirs)
        if trial.slow:
            times.append((first["fastcal"][1], first[peer][1]))
        low, _, high = statistics.quantiles([b / a for a, b in times], n=4)
        median, of_peer = (statistics.median(column) for column in zip(*times, strict=True))
        figures = {"theirs": of_peer, "low": low, "high": high, "rounds": len(times), "others": bystanders.cores()}
        memories = {"memory": kept, "memory_theirs": first[peer][0]}
        share_aim = None if found else trial.share_aim  # once, where there are several peers
        found.append(line(peer, median, aim=trial.aims.get(peer), share_aim=share_aim, **memories, **figures))
    if not found:
        bystanders = Bystanders()
        times = [one for one, _ in turns(trial, pace, ours, None)]
        figures = {"rounds": len(times), "others": bystanders.cores(), "share_aim": trial.share_aim}
        found.append(line("", statistics.median(times), memory=kept, **figures))
    return found


def alone(call: Call, trial: Trial) -> tuple[int | None, float]:
    """The memory that a call takes, and its seconds, in which blocks are given back to the system first."""
    if trial.few:
        return None, 0.0
    start = perf_counter()
    return memory.peak(call), perf_counter() - start


def turns(trial: Trial, pace: Pace, ours: Call, theirs: Call | None) -> list[tuple[float, float]]:
    """Seconds of a call of ours and of theirs, in turns."""
    times = max(int(TURN / elapsed(ours)), 1) if trial.few else 1
    pause = 0.0 if trial.few else trial.pause
    sides = [partial(often, call, times) for call in (ours, theirs) if call is not None]
    rounds: list[tuple[float, float]] = []
    at_least = 1 if trial.slow else pace.rounds
    start = perf_counter()
    while len(rounds) < at_least or (perf_counter() - start < pace.seconds and len(rounds) < MAX_ROUNDS):
        taken = [elapsed(side, pause) / times for side in sides]
        rounds.append((taken[0], taken[-1]))
    return rounds


def often(call: Call, times: int) -> None:
    """So many calls."""
    for _ in range(times):
        call()


def elapsed(call: Call, pause: float = PAUSE) -> float:
    """Seconds that one call takes, after a pause."""
    sleep(pause)
    start = perf_counter()
    call()
    return perf_counter() - start
