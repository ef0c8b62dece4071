"""``python -m bench.memory NAME``: the bytes that the whole report takes beyond its input, for fastcal or a peer.

``softmax_summary`` in place of a name is that of fastcal; ``fit NAME`` is an isotonic fit of 10 M rows.

The process allocates the input, calls once with few rows so that code is loaded and compiled, lets the kernel forget
the peak of its memory (Linux: 5 into /proc/self/clear_refs), runs, and prints by how much the peak exceeds the start.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
from comparisons import TABLE, Data, generate

import fastcal as fc

from . import order
from .race import DTYPE, FULL, use_all_cores


def of_softmax_summary() -> None:
    """Print the bytes that the summary of 1 M x 1000 float32 logits takes beyond them and its results."""
    logits = np.ones((1_000_000, 1000), np.float32)
    fc.softmax_summary(logits[:1000])
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    found = fc.softmax_summary(logits)
    results = sum(getattr(found, place.name).nbytes for place in fields(found))
    print(status("VmHWM") - before - results)


def of_fit(name: str) -> None:
    """Print the bytes that a fit of 10 M float32 scores and float64 labels takes beyond them."""
    scores, y = order.bernoulli(order.ROWS)
    fit = order.FITS[name]
    use_all_cores()
    few = 100_000  # which takes several pieces, as many rows do
    fit(scores[:few], y[:few], None)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    fit(scores, y, None)
    print(status("VmHWM") - before)


def main(name: str) -> None:
    """Print the extra bytes."""
    row = next(row for row in TABLE if row.name == "Evaluation" and bool(row.peers) == (name != "fastcal"))
    given = generate("logits", *FULL["logits"], DTYPE)
    few = Data(given.kind, given.y_true[:1000], given.scores[:1000], None)

    def run(data: Data) -> None:
        if name == "fastcal":
            row(data)
        else:
            row.peers[name].compute(data.y_true, data.scores, None)

    use_all_cores()
    run(few)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    run(given)
    print(status("VmHWM") - before)


def status(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        of_fit(sys.argv[2])
    elif sys.argv[1] == "softmax_summary":
        of_softmax_summary()
    else:
        main(sys.argv[1])
