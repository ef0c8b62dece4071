"""What one thread works on: its own buffers, and its own state of every part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

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
        self.rows = Rows(batch, light=self.light, margin=False)
        self.fatal = fatal
        self.parts = parts
        self.takers = {name: part for name, part in parts.items() if part.in_cache}
        self.states = {name: part.start(batch.n_columns) for name, part in parts.items()}
        self._saved: dict[str, State] = {}
        self.only = next(iter(parts)) if len(parts) == 1 else None
        for name, part in parts.items():
            part.resume(self.states[name], so_far[name])

    def go_on(self, batch: Predictions) -> None:
        """Take chunks of another batch of as many classes; buffers are kept where its scores are of the same kind."""
        if not self.rows.rebind(batch):
            self.rows = Rows(batch, light=self.light, margin=False)

    def save(self) -> None:
        """Keep a copy of the states as they are now, in the memory of the last one."""
        self._saved = {name: _copied(state, self._saved.get(name, {})) for name, state in self.states.items()}

    def go_back(self) -> None:
        """To the states that were saved."""
        self.states, self._saved = self._saved, {}

    def __call__(self, start: int, stop: int) -> bool:
        """Add a chunk; True if it holds a fault that makes the update raise: no later chunk can hold the first."""
        if self.only is not None:
            start += self.parts[self.only].quick(self.states[self.only], self.rows, start, stop)
            if start == stop:
                return False
        takes = (part.takes(self.states[name], self.rows) for name, part in self.takers.items())
        self.rows.fill(start, stop, next(takes, None))
        if self.rows.faults[self.fatal].any():
            return True
        for name, part in self.parts.items():
            part.add(self.states[name], self.rows)
        return False


def _copied(state: State, before: State) -> State:
    """A state with arrays of its own, in those of ``before`` where they fit; all else in it is never written to."""
    new: State = {}
    for name, value in state.items():
        place = before.get(name)
        if isinstance(value, np.ndarray) and isinstance(place, np.ndarray) and place.shape == value.shape:
            np.copyto(place, value)
            new[name] = place
        elif isinstance(place, type(value)) and hasattr(value, "copied"):
            new[name] = value.copied(place)
        else:
            new[name] = value.copy() if hasattr(value, "copy") else value
    return new
