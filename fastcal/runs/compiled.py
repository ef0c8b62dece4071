"""Compiled kernels on disk: where they are, how long they took, and which of them nothing here can use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .. import kernels

# Numba's way to write the type of an array; aligned and in C's order are all of ours.
ARRAY = re.compile(r"Array\((\w+), (\d), 'C', (True|False), aligned=True\)")


def cache() -> dict[str, Any]:
    """The folders that compiled kernels are looked for in, and what is there.

    ``folder``: where new ones go, None for nowhere; ``files`` and ``bytes``: of all folders, what is of use here;
    ``stale_files`` and ``stale_bytes``: what is of another version; ``seconds``: what all of use took to compile, each
    of ``entries`` with its kernel, the types of its arguments, seconds, bytes and processor, the slowest first.
    """
    caching = kernels.caching
    folders, found, stale = [], [], []
    for folder in caching.folders():
        seen = list(caching.entries(folder))
        used = [made for path, made in seen if made is not None and not made.is_stale]
        left = [path for path, made in seen if made is None or made.is_stale]
        sizes = [_size(path) for path in left]
        folders.append(
            {
                "folder": str(folder),
                "files": len(used),
                "bytes": sum(made.bytes for made in used),
                "stale_files": len(left),
                "stale_bytes": sum(sizes),
                "writable": caching.can_be_written(folder),
            }
        )
        found += used
        stale += sizes
    entries = [
        {
            "kernel": made.kernel,
            "signature": short(made.signature),
            "seconds": made.seconds,
            "bytes": made.bytes,
            "processor": made.processor,
        }
        for made in sorted(found, key=lambda made: -made.seconds)
    ]
    return {
        "folder": next((one["folder"] for one in folders if one["writable"]), None),
        "folders": folders,
        "files": len(found),
        "bytes": sum(made.bytes for made in found),
        "seconds": sum(made.seconds for made in found),
        "stale_files": len(stale),
        "stale_bytes": sum(stale),
        "entries": entries,
    }


def prune() -> int:
    """Remove what nothing here can use; returns how many files."""
    return sum(kernels.caching.prune(folder, others=True) for folder in kernels.caching.folders())


def short(signature: str) -> str:
    """Types of arguments as few words: float32[:, :] for an array, const where it is read-only."""
    return ARRAY.sub(
        lambda found: f"{'const ' if found[3] == 'True' else ''}{found[1]}[{', '.join(':' * int(found[2]))}]", signature
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
