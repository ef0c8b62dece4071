"""What a run has seen so far, and how it is kept."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..dumps import DumpError
from .checkpoint import Checkpoint
from .position import Position

Kept = tuple[bytes, dict[str, Any], int]


class Total:
    """What was seen, and which rows these are: both change together."""

    def __init__(self, accumulator: Any, position: Position) -> None:
        self.accumulator = accumulator
        self.position = position
        self._changing = threading.Lock()
        self._sound = True

    def add(self, accumulator: Any, done: dict[int, int], within: dict[int, int]) -> None:
        """Add what was seen of some tasks; see :class:`Position`."""
        with self._changing:
            self._sound = False
            self.accumulator.merge(accumulator)
            self.position.take(done, within)
            self._sound = True

    def kept(self) -> Kept | None:
        """Both as they are written, and the rows; None once an addition has failed half way.

        Raises DumpError for slices that have no place in a file.
        """
        with self._changing:
            if not self._sound:
                return None
            try:
                data = self.accumulator.to_bytes()
            except TypeError as error:
                raise DumpError(f"no state can hold this run: {error}") from error
            return data, self.position.to_json(), self.position.n_rows


class Saving:
    """Writes checkpoints of a run when it is time; of one without a state file it never is."""

    def __init__(self, checkpoint: Checkpoint | None, every: float, n_rows: int) -> None:
        self._checkpoint = checkpoint
        self._every = every
        self._began = self._last = time.monotonic()
        self._n_rows = n_rows

    @property
    def is_on(self) -> bool:
        """Whether there is a state file."""
        return self._checkpoint is not None

    @property
    def seconds(self) -> float:
        """Since the run began, or was gone on with."""
        return time.monotonic() - self._began

    def is_due(self) -> bool:
        """Whether it is time."""
        return self.is_on and time.monotonic() - self._last >= self._every

    def save(self, kept: Kept | None, *, complete: bool = False) -> None:
        """Write what was kept, if there is anything new in it."""
        self._last = time.monotonic()
        if self._checkpoint is None or kept is None or (kept[2] == self._n_rows and not complete):
            return
        self._checkpoint.save(*kept[:2], self.seconds, complete)
        self._n_rows = kept[2]
