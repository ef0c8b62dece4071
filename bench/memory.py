"""Peak memory: of one call in this process, or of a whole work in a process of its own.

``python -m bench.memory NAME`` prints the bytes that the whole report takes beyond its input, for fastcal or a peer;
``softmax_summary`` in place of a name is that of fastcal, ``fit NAME`` an isotonic fit of 10 M rows. The kernel
forgets the peak of a process where 5 is written into Linux's /proc/self/clear_refs.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

import fastcal as fc
from fastcal import memory as kept

FORGET = Path("/proc/self/clear_refs")


def peak(call: Callable[[], Any]) -> int | None:
    """The most bytes that a call takes beyond what was there before it, its result included; None without /proc.

    Memory of earlier results and blocks that the C library keeps are given back before, so that the call has to ask
    the system for all that it takes.
    """
    if not FORGET.exists():
        return None
    gc.collect()
    kept._kept.clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    FORGET.write_text("5")
    before = status("VmRSS")
    found = call()  # held, so that the result counts
    most = status("VmHWM")
    del found
    return max(most - before, 0)


def status(name: str) -> int:
    """Bytes, of the kernel's account of this process."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def of_softmax_summary() -> int:
    """What the summary of 1 M x 1000 float32 logits takes beyond them and its results."""
    logits = np.ones((1_000_000, 1000), np.float32)
    fc.softmax_summary(logits[:1000])
    found: list[Any] = []
    taken = peak(lambda: found.append(fc.softmax_summary(logits)))
    return taken - sum(getattr(found[0], place.name).nbytes for place in fields(found[0]))


def of_fit(name: str) -> int:
    """What a fit of 10 M float32 scores and float64 labels takes beyond them."""
    from . import order

    scores, y = order.bernoulli(order.ROWS)
    fit = order.FITS[name]
    few = 100_000  # which takes several pieces, as many rows do
    fit(scores[:few], y[:few], None)
    return peak(lambda: fit(scores, y, None))


def of_report(name: str) -> int:
    """What the whole report of 1 M x 10 float32 logits takes beyond them."""
    from comparisons import TABLE, generate

    row = next(row for row in TABLE if row.name == "Evaluation" and bool(row.peers) == (name != "fastcal"))
    given = generate("logits", 1_000_000, 10, "float32")
    some = slice(1000)

    def run(rows: slice) -> Any:
        y, logits = given.y_true[rows], given.scores[rows]
        if name != "fastcal":
            return row.peers[name].compute(y, logits, None)
        return row.ours(y, logits, from_logits=True, sample_weight=None)

    run(some)
    return peak(lambda: run(slice(None)))


def main() -> None:
    """Print the bytes."""
    from .race import use_all_cores

    use_all_cores()
    if sys.argv[1] == "fit":
        print(of_fit(sys.argv[2]))
    else:
        print(of_softmax_summary() if sys.argv[1] == "softmax_summary" else of_report(sys.argv[1]))


if __name__ == "__main__":
    main()
