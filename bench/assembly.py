"""``python -m bench.assembly``: the hot loops of the kernels hold packed arithmetic of 256 bits or more, and no calls.

Compiles kernels over arrays of a maximum, e^x and a sum as they stand in softmax and in the summary, and reads what
LLVM made of them: loops with a product, a sum and a maximum in ymm or zmm registers, and nowhere a call to expf, exp,
logf or log.
"""

from __future__ import annotations

import os
import re
import sys

os.environ["FASTCAL_CACHE"] = "0"  # what comes from the cache shows no assembly

import numpy as np

import fastcal as fc
from fastcal import kernels

PACKED = {
    "exp": r"vfn?m(add|sub)\d+p[sd]",
    "max": r"v(max|cmp\w*)p[sd]",
    "sum": r"vaddp[sd]",
}
NO_CALLS = re.compile(r"call\w*\s+.*\b(expf?|logf?|__svml\w*)\b")


def assembly(kernel, *, calls) -> dict[str, str]:
    """What a kernel was compiled to, by signature, after the calls that compile it."""
    for call in calls:
        call()
    return {str(signature): text for signature, text in kernel.inspect_asm().items()}


def packed_in_loops(text: str) -> dict[str, int]:
    """How many packed instructions of 256 bits or more stand in loops: in blocks that a jump goes back to."""
    counted = dict.fromkeys(PACKED, 0)
    lines = text.splitlines()
    at = {line[:-1]: n for n, line in enumerate(lines) if re.fullmatch(r"\.\w+:", line)}
    inside = set()
    for n, line in enumerate(lines):
        jump = re.match(r"\s+j\w+\s+(\.\w+)", line)
        if jump and at.get(jump[1], n) < n:
            inside.update(range(at[jump[1]], n))
    for n in inside:
        for name, pattern in PACKED.items():
            counted[name] += bool(re.search(pattern, lines[n]) and re.search(r"%[yz]mm", lines[n]))
    return counted


def main() -> None:
    """Print what was found; exit with 1 where something is missing."""
    rows = {dtype: np.random.default_rng(0).standard_normal((70, 100)).astype(dtype) for dtype in ("f4", "f8")}
    narrow = {dtype: values[:, :10].copy() for dtype, values in rows.items()}
    looked_at = {
        "softmax, wide": (kernels.normalise.wide, lambda: [fc.softmax(values) for values in rows.values()]),
        "softmax, narrow": (kernels.normalise.narrow, lambda: [fc.softmax(values) for values in narrow.values()]),
        "summary, wide": (kernels.gather.wide, lambda: [fc.softmax_summary(values) for values in rows.values()]),
        "summary, narrow": (kernels.gather.narrow, lambda: [fc.softmax_summary(values) for values in narrow.values()]),
    }
    failed = False
    for name, (kernel, call) in looked_at.items():
        for signature, text in assembly(kernel, calls=[call]).items():
            counted = packed_in_loops(text)
            called = [line.strip() for line in text.splitlines() if NO_CALLS.search(line)]
            wrong = bool(called) or not all(counted.values())
            failed |= wrong
            dtype = "float64" if "float64" in signature else "float32"
            numbers = ", ".join(f"{count} {what}" for what, count in counted.items())
            print(
                f"{name:<16} {dtype}: packed in loops: {numbers}; {'; '.join(called) or 'no calls'}"
                f"{'  MISSED' if wrong else ''}"
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
