"""``python -m tests.fuzz TARGET [libFuzzer's options]``: coverage-guided fuzzing of a reader (needs atheris).

``-max_total_time=600`` for ten minutes; what is found interesting is added to the corpus in tests/fuzz/corpus/TARGET.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import atheris

# Readers are loaded when they are needed, which would be too late to see into them.
with atheris.instrument_imports(include=["fastcal.dumps", "fastcal.accumulators", "fastcal.calibrators"]):
    import fastcal.accumulators
    import fastcal.calibrators
    import fastcal.dumps

    for package in (fastcal.dumps, fastcal.accumulators, fastcal.calibrators):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    from .targets import MOST_MEMORY, TARGETS, peak_memory

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"one of {', '.join(TARGETS)}, then options of libFuzzer")
    target = TARGETS[name]
    for path in sorted((CORPUS / name).iterdir()):  # kernels are compiled before anything is timed
        target(path.read_bytes())

    def one(data: bytes) -> None:
        target(data)
        if peak_memory() > MOST_MEMORY:
            raise MemoryError(f"{peak_memory() >> 20} MB")

    options = [f"-rss_limit_mb={MOST_MEMORY >> 20}", "-timeout=20", "-max_len=65536", *sys.argv[2:]]
    atheris.Setup([sys.argv[0], *options, str(CORPUS / name)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
