"""Reads batches on a thread of its own, so that decoding and evaluation overlap where there is one stream only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np

from ..arrays import Array
from ..dumps import Batch

# Batches read before they are asked for.
DEPTH = 2
# Seconds between two looks at whether to go on waiting for one.
LOOK = 0.1


class Stopped(BaseException):
    """Ends a worker between two batches."""


class Ahead(Iterator[Batch]):
    """The batches of a generator, which is opened, gone through and closed on the other thread.

    Who waits for a batch stops waiting, and raises Stopped, once ``is_over``: what is read may be a pipe.

    A batch is valid until the next one is asked for. Batches of a dump may show memory that the next one is read into,
    so each is copied: into arrays used before, for pages that are new to the process cost more than the copy.
    """

    def __init__(
        self, read: Callable[[], Generator[Batch, None, None]], is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self._read = read
        self._is_over = is_over
        self._slots = [_Slot() for _ in range(DEPTH + 2)]  # one is looked at, one is being filled
        self._held: deque[Batch] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._failure: BaseException | None = None
        threading.Thread(target=self._work, name="fastcal-ahead", daemon=True).start()

    def _work(self) -> None:
        try:
            with closing(self._read()) as batches:
                for number, batch in enumerate(batches):
                    copy = self._slots[number % len(self._slots)].copy(batch)
                    if not self._put(copy):
                        return
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, batch: Batch) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._held) < DEPTH)
            self._held.append(batch)
            self._changed.notify_all()
            return not self._closed

    def __next__(self) -> Batch:
        with self._changed:
            while not self._changed.wait_for(lambda: self._held or self._ended, LOOK):
                if self._is_over():
                    raise Stopped
            if self._held:
                batch = self._held.popleft()
                self._changed.notify_all()
                return batch
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def close(self) -> None:
        """Have the other thread end after its batch: it is not waited for, as it may wait for a pipe."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Slot:
    """Arrays that hold one batch, then a later one."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def copy(self, batch: Batch) -> Batch:
        columns = {name: getattr(batch, name) for name in ("labels", "scores", "weights", "groups", "rows")}
        kept = {name: None if column is None else self._kept(name, column) for name, column in columns.items()}
        return Batch(**kept, n_ignored=batch.n_ignored)  # type: ignore[arg-type]

    def _kept(self, name: str, column: Array) -> Array:
        if column.dtype.hasobject or isinstance(column, np.ma.MaskedArray):
            return column.copy()
        array = self._arrays.get(name)
        fits = array is not None and array.dtype == column.dtype and array.shape[1:] == column.shape[1:]
        if array is None or not fits or len(array) < len(column):
            array = self._arrays[name] = np.empty(column.shape, column.dtype)
        array[: len(column)] = column
        return array[: len(column)]
