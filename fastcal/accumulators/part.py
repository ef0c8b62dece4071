"""What an accumulator is made of: parts, which keep one state each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .rows import Rows, Takes
from .state import State, merged


class Part(ABC):
    """One state and what can be said of it. Holds settings only; states are passed in."""

    figures: Mapping[str, Any]
    optional: frozenset[str] = frozenset()
    # Whether confidence, prediction and hits are all it needs of a row: most of the work is the rest.
    light: bool = False
    # Whether it may take rows while they are in cache: see ``takes``.
    in_cache: bool = False

    @abstractmethod
    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of a collected state; all of those in ``optional``, or none, may be missing.

        ``n_columns`` is K for (N, K) scores, 0 for (N,).
        """

    def shapes_of(self, state: State, n_columns: int) -> dict[str, tuple[int, ...]]:
        """The same for a state from outside, where its size is its own affair."""
        return self.shapes(n_columns)

    @abstractmethod
    def add(self, state: State, rows: Rows) -> None:
        """Add a chunk of rows to a worker's state."""

    def takes(self, state: State, rows: Rows) -> Takes | None:
        """What the rows of a chunk are added to before ``add`` sees them, with ``in_cache``; None: nothing."""
        return None

    def quick(self, state: State, rows: Rows, start: int, stop: int) -> int:
        """Look at rows start to stop and add them in one go, if it is the only part; returns how many were in order."""
        return 0

    @abstractmethod
    def view(self, state: State) -> Any:
        """The collected state as the finalisers in ``figures`` take it."""

    def start(self, n_columns: int) -> State:
        """A worker's state, to begin with."""
        return self.empty(n_columns)

    def resume(self, state: State, so_far: State) -> None:  # noqa: B027 - most parts have no use for it
        """Make use of what was collected so far, in a worker's state to begin with."""

    def collect(self, state: State) -> State:
        """A worker's state, which is not changed, in the form in which states are merged and kept."""
        return state

    def pooled(self, states: Sequence[State]) -> State:
        """What the workers of one batch have seen, collected."""
        total: State = {}
        for state in states:
            total = self.merge(total, self.collect(state))
        return total

    def empty(self, n_columns: int) -> State:
        """A state of no rows; for merging, no array at all is the same."""
        shapes = self.shapes(n_columns).items()
        return {name: np.zeros(shape, np.int64) for name, shape in shapes if name not in self.optional}

    def merge(self, left: State, right: State) -> State:
        """A new state with what both hold."""
        return merged(left, right)

    def header(self, state: State) -> Any:
        """What of a state is no array: anything that JSON holds, or None."""
        return None

    def restored(self, header: Any) -> State:
        """That, back in a state; raises ValueError for what is none."""
        raise ValueError("not a fastcal state: a header that is none of ours")

    def rows_in(self, state: State) -> int | None:
        """How many rows a state has counted, -1 if it contradicts itself, None if it does not count them."""
        return None
