"""Time and memory against numbers of rows and classes, and the exponents of both: ``python -m bench.growth``.

Each work of ``growth_works`` is called on ten times as many rows again and again, and on 1000 rows of four times as
many classes. An exponent is the slope of a least-squares line through logarithms, over the larger half of the sizes; of
those, sizes at which a call takes less than ten times what it takes at the smallest are left out while three remain, as
there the fixed cost of a call hides the growth.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from .growth_works import WORKS, Given, Kind, Work
from .memory import peak
from .record import Growth

ROWS = tuple(10**power for power in range(2, 9))
CLASSES = (2, 8, 32, 128, 512, 2000, 8000, 32_000, 128_000)
QUICK_ROWS, QUICK_CLASSES = (100, 10_000), (2, 128, 2000)
ROWS_OF_CLASSES = 1000
MOST_BYTES, QUICK_BYTES = 2 << 30, 1 << 23  # of scores
ENOUGH_MEMORY = 16 << 20  # bytes: less counts as this; buffers of threads and chunks are full at some 100 000 rows only
FIXED_COST = 10  # times the smallest size's seconds: from there on a call's fixed cost does not matter
FEWEST_FITTED = 3
MOST_SECONDS = 4.0  # that a call may be expected to take; a tenth of it in a quick run
OF_CACHES = 0.6  # of an exponent: smaller sizes of a quick run lie in caches, larger ones do not; it finds squares

Measure = Callable[[Kind, Sequence[Work], bool], Iterator[Growth]]


@dataclass
class Points:
    """What was measured of one work so far."""

    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    n_bytes: list[int] = field(default_factory=list)

    def add(self, size: int, inputs: Given, work: Work, quick: bool) -> None:
        """One size more, unless a call is expected to take too long."""
        most = MOST_SECONDS / 10 if quick else MOST_SECONDS
        if self.sizes and self.seconds[-1] * size / self.sizes[-1] > most:
            return
        call = work.make(inputs)
        self.memory.append(peak(call) or 0)
        self.seconds.append(fastest(call, 0.02 if quick else 0.1))
        self.sizes.append(size)
        self.n_bytes.append(inputs.bytes_a_row * len(inputs.scores))


def run(quick: bool) -> Iterator[Growth]:
    """Every work, against rows and against classes; ``quick``: up to two million scores and 2000 classes."""
    gc.freeze()  # what is there by now is not looked through at each of some hundred measurements of memory
    try:
        for measure, works in ((_against_rows, WORKS), (_against_classes, [work for work in WORKS if work.classes])):
            for kind in dict.fromkeys(work.kind for work in works):
                yield from twice(measure, kind, [work for work in works if work.kind == kind], quick)
    finally:
        gc.unfreeze()


def twice(measure: Measure, kind: Kind, works: Sequence[Work], quick: bool) -> Iterator[Growth]:
    """Works of one kind; what grows too fast is measured once more, as others on the machine may have made it so."""
    found = {one.work: one for one in measure(kind, works, quick)}
    if too_fast := [work for work in works if not found[work.name].holds]:
        for again in measure(kind, too_fast, quick):
            found[again.work] = min(again, found[again.work], key=lambda one: (not one.holds, one.exponent))
    yield from found.values()


def _against_rows(kind: Kind, works: Sequence[Work], quick: bool) -> Iterator[Growth]:
    most = min(ROWS[-1], (QUICK_BYTES if quick else MOST_BYTES) // 4 // kind.scores_a_row)
    inputs = kind.make(most, kind.n_classes)
    for work in works:
        found = Points()
        for n in (*(n for n in (QUICK_ROWS if quick else ROWS) if n < most), most):
            found.add(n, inputs.first(n), work, quick)
        yield fitted(work, "N", found, quick)


def _against_classes(kind: Kind, works: Sequence[Work], quick: bool) -> Iterator[Growth]:
    points = {work.name: Points() for work in works}
    for k in QUICK_CLASSES if quick else CLASSES:
        inputs = kind.make(ROWS_OF_CLASSES, k)
        for work in works:
            points[work.name].add(k, inputs, work, quick)
    for work in works:
        yield fitted(work, "K", points[work.name], quick)


def fastest(call: Callable[[], Any], enough: float) -> float:
    """Seconds of the fastest of some calls: two at least, for so many seconds, or one where it takes a second."""
    times: list[float] = []
    start = perf_counter()
    while len(times) < 2 or (perf_counter() - start < enough and len(times) < 100):
        before = perf_counter()
        call()
        times.append(perf_counter() - before)
        if times[-1] > 1:
            break
    return min(times)


def fitted(work: Work, against: str, found: Points, quick: bool) -> Growth:
    """The exponents of what was measured, and what they may be."""
    sizes = found.sizes
    kept = fitted_sizes(sizes, found.seconds)
    larger = sizes[len(sizes) // 2 :]
    beyond = [max(one, ENOUGH_MEMORY) for one in found.memory[-len(larger) :]]
    bound = exponent(kept, [n * math.log(n) for n in kept]) if work.sorts and against == "N" else 1.0
    return Growth(
        work=work.name,
        against=against,
        sizes=sizes,
        seconds=found.seconds,
        memory=found.memory,
        exponent=exponent(kept, found.seconds[-len(kept) :]),
        memory_exponent=exponent(larger, beyond),
        at_most=bound + OF_CACHES if quick else bound,
        memory_at_most=work.memory if against == "N" else 1.0,
        n_bytes=found.n_bytes,
    )


def fitted_sizes(sizes: Sequence[int], seconds: Sequence[float]) -> list[int]:
    """The sizes that an exponent is fitted to."""
    start = len(sizes) // 2
    while len(sizes) - start > FEWEST_FITTED and seconds[start] < FIXED_COST * seconds[0]:
        start += 1
    return list(sizes[start:])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of the least-squares line through the logarithms of both; 0 of one size."""
    if len(sizes) < 2:
        return 0.0
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def as_text(found: Growth) -> str:
    """A line for the terminal."""
    return (
        f"{found.work:<42} {found.against} to {found.sizes[-1]:>11,}: {found.seconds[-1] * 1e3:9.2f} ms, "
        f"exponent {found.exponent:5.2f} of {found.at_most:.2f}; memory {found.memory[-1] / 1e6:8.1f} MB, "
        f"{found.memory_exponent:5.2f} of {found.memory_at_most:.0f}{'' if found.holds else '  MISSED'}"
    )


def main() -> None:
    """Print every line; exit with 1 where something grows faster than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to two million scores and 2000 classes")
    start = perf_counter()
    failed = False
    for found in run(parser.parse_args().quick):
        print(as_text(found), flush=True)
        failed |= not found.holds
    print(f"{perf_counter() - start:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
