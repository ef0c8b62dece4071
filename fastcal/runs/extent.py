"""How much of a run is done: in rows where all formats say how many there are, else in bytes of whole pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from ..dumps import Dump
from .position import Position
from .tasks import Task


class Extent:
    """What there is to be read: ``n_bytes`` of files, ``n_rows`` where that is known beforehand."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        sizes = [task.piece.n_rows for task in tasks]
        self.n_rows = None if None in sizes else sum(size or 0 for size in sizes)
        pieces = Counter(id(task.dump) for task in tasks)
        sizes_of = {id(task.dump): _size(task.dump) for task in tasks}
        self._bytes = {task.number: sizes_of[id(task.dump)] / pieces[id(task.dump)] for task in tasks}
        self.n_bytes = int(sum(self._bytes.values()))
        self.position = Position()  # where the run is: set by it

    def share(self, n_rows: int) -> float | None:
        """Of the whole, after so many rows; None where nothing tells."""
        if self.n_rows:
            return min(1.0, n_rows / self.n_rows)
        if self.n_bytes and len(self._bytes) > 1:
            done = tuple(self.position.done)
            return min(1.0, sum(self._bytes.get(number, 0.0) for number in done) / self.n_bytes)
        return None


def _size(dump: Dump) -> int:
    """Bytes of its files, as far as they can be told."""
    size = 0
    for path in dump.files:
        with suppress(OSError):
            size += path.stat().st_size
    return size
