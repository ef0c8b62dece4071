"""What every reader yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass

from ..arrays import Array
from .names import Roles

# Bytes of scores in a batch: enough work for all threads, little enough to hold several.
BATCH_BYTES = 16 << 20


class DumpError(ValueError):
    """A file that cannot be read as a dump: which, and why."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a dump."""

    labels: Array
    scores: Array
    weights: Array | None = None
    groups: Array | None = None


class Dump(ABC):
    """One source of rows: a file, or several that together hold its arrays."""

    name: str
    roles: Roles

    @abstractmethod
    def batches(self) -> Generator[Batch, None, None]:
        """The rows, in order, with bounded memory. Raises DumpError for what is not what it should be."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def rows_per_batch(row_bytes: int, n_bytes: int | None = None) -> int:
    """Rows of which the scores take about ``n_bytes``, or BATCH_BYTES."""
    return max(1, (n_bytes or BATCH_BYTES) // max(row_bytes, 1))
