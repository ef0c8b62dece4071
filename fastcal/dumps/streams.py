"""Text that comes through a pipe: what it holds is told by how it begins."""

from __future__ import annotations

from typing import BinaryIO

from . import csv, jsonl
from .batches import Dump
from .columns import arrow
from .lines import Lines
from .names import Roles


def open_text(stream: BinaryIO, name: str, asked: Roles) -> Dump:
    """The dump in a stream, which is read once: JSON lines if it begins with a brace, else CSV. Raises DumpError."""
    arrow(name)
    lines = Lines(stream, name)
    lines.skip_blank()
    if lines.starts_with(b"{", b"["):
        lines.longest = jsonl.MAX_LINE
        return jsonl.open_lines(lines, asked)
    return csv.open_lines(lines, asked)
