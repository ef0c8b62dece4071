"""What all accumulators share: settings, one writer at a time, addition, pickles."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from .. import engine


class Mergeable(ABC):
    """A state with settings that can be added to another of the same class and settings."""

    def __init__(self, settings: dict[str, Any], n_threads: int | None) -> None:
        if n_threads is not None:
            engine.thread_count(n_threads)
        self._settings = settings
        self._n_threads = n_threads
        self._busy = threading.Lock()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One thread at a time; another raises RuntimeError."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this accumulator is being changed in another thread; use one for each and merge them")
        try:
            yield
        finally:
            self._busy.release()

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError where their settings differ."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes` of this or any later version."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a state; raises ValueError for bytes that are no state of this class, damaged or made up."""

    @classmethod
    def _made_with(cls, settings: dict[str, Any]) -> Self:
        """An empty one with settings from outside; raises ValueError where they are not those of this class."""
        try:
            accumulator = cls(**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a fastcal state: {error}") from error
        if repr(sorted(settings.items())) != repr(sorted(accumulator._settings.items())):  # True is not 1
            raise ValueError(f"not a fastcal state: its settings are not those of {cls.__name__}")
        return accumulator

    def empty(self, n_threads: int | None = None) -> Self:
        """Another one of the same settings that has seen nothing."""
        return type(self)(**self._settings, n_threads=n_threads)

    @abstractmethod
    def _copy(self) -> Self:
        """Another one with the same state."""

    @abstractmethod
    def _n_rows(self) -> int:
        """Rows seen."""

    def _check_same(self, other: Self) -> None:
        """Raise TypeError or ValueError for one that cannot be merged into this."""
        if type(other) is not type(self):
            raise TypeError(f"cannot merge {type(other).__name__} into {type(self).__name__}")
        for name, value in self._settings.items():
            if other._settings[name] != value:
                raise ValueError(f"cannot merge: {name} is {value!r} here and {other._settings[name]!r} there")

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._copy().merge(other)

    def __radd__(self, other: Any) -> Self:
        return self._copy() if isinstance(other, int) and other == 0 else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.to_bytes(), self._n_threads)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"<{type(self).__name__}({settings}): {self._n_rows()} rows>"


def _restored(cls: type[Mergeable], data: bytes, n_threads: int | None) -> Mergeable:
    accumulator = cls.from_bytes(data)
    accumulator._n_threads = n_threads
    return accumulator
