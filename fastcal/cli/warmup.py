"""``fastcal warmup``."""

from __future__ import annotations


def warmup() -> None:
    """Being written."""
