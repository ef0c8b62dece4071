"""Forms in which users hold their arrays."""

from __future__ import annotations


class Framed:
    """As a data frame, or a column of one: an array on demand."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values
