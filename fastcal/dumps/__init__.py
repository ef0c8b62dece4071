"""Readers of evaluation dumps: files in, batches of labels, scores and weights out. Knows no metric.

A dump names its arrays; which of them are the logits or probabilities, and which the labels, is said by the caller or
by the names themselves (see names.py), and never guessed from values. Nothing is unpickled.
"""

from __future__ import annotations

from .batches import Batch, Dump, DumpError, Piece
from .names import Roles, roles
from .opening import open_dumps

__all__ = ["Batch", "Dump", "DumpError", "Piece", "Roles", "open_dumps", "roles"]
