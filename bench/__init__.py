"""Benchmarks of every row of ``tests/comparisons.py``: ``python -m bench``, or ``pytest bench``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
