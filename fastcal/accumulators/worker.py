"""What one thread works on: its own buffers, and its own state of every part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..arrays import Predictions
from .part import Part
from .rows import Rows
from .state import State


class Worker:
    """Adds chunks of a batch to states of its own, which may go on with the next batch."""

    def __init__(
        self, batch: Predictions, parts: Mapping[str, Part], so_far: Mapping[str, State], fatal: Sequence[int]
    ) -> None:
        self.light = all(part.light for part in parts.values())
        self.rows = Rows(batch, light=self.light)
        self.fatal = fatal
        self.parts = parts
        self.states = {name: part.start(batch.n_columns) for name, part in parts.items()}
        self.only = next(iter(parts)) if len(parts) == 1 else None
        for name, part in parts.items():
            part.resume(self.states[name], so_far[name])

    def go_on(self, batch: Predictions) -> None:
        """Take chunks of another batch of as many classes; buffers are kept where its scores are of the same kind."""
        if not self.rows.rebind(batch):
            self.rows = Rows(batch, light=self.light)

    def saved(self) -> dict[str, State]:
        """The states as they are now, for :attr:`states` to be set to should the next batch raise."""
        return {name: self.parts[name].saved(state) for name, state in self.states.items()}

    def __call__(self, start: int, stop: int) -> bool:
        """Add a chunk; True if it holds a fault that makes the update raise: no later chunk can hold the first."""
        if self.only is not None:
            start += self.parts[self.only].quick(self.states[self.only], self.rows, start, stop)
            if start == stop:
                return False
        self.rows.fill(start, stop)
        if self.rows.faults[self.fatal].any():
            return True
        for name, part in self.parts.items():
            part.add(self.states[name], self.rows)
        return False
