"""What a fork must not meet in another thread: a lock that nobody in the child would ever give back.

A child has one thread, the one that forked. So forks wait for compilations and for products of matrices that are under
way in other threads, which take seconds at most and milliseconds, and locks that are waited for are made anew.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, TypeVar, overload


class _Linear:
    """Who is at linear algebra."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.threads: set[int] = set()

    def is_over(self) -> bool:
        """Whether no other thread is: this one, which forks, is not, though Ctrl-C may have left its name here."""
        return self.threads <= {threading.get_ident()}


LONGEST = 60.0  # seconds that a fork waits for a product of matrices: a name may be left of one that was interrupted
_linear = _Linear()
_held: list[Any] = []  # locks, while this process forks
_generation = 0  # forks that lie between this process and the first


@contextmanager
def linear_algebra() -> Iterator[None]:
    """What is done herein is done before any thread of the process forks.

    A fork makes OpenBLAS end its threads and wait for them: it waits for ever where one is at work (0.3.30, say).
    """
    here, thread = _linear, threading.get_ident()
    with here.changed:
        here.threads.add(thread)
    try:
        yield
    finally:
        with here.changed:
            here.threads.discard(thread)
            here.changed.notify_all()


T = TypeVar("T")


class cached_property(Generic[T]):
    """``functools.cached_property`` without its lock, which in Python 3.11 is one for all objects of a class.

    A child that was forked while another thread held it would wait for ever. Two threads may compute the same twice.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached_property[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> cached_property[T] | T:
        if instance is None:
            return self
        value = self.function(instance)
        instance.__dict__[self.name] = value  # found before this is asked again
        return value


class Guard:
    """A lock that its holder may take again, and that does not wait for a thread that a fork left behind."""

    def __init__(self, problem: str) -> None:
        self._lock = threading.RLock()
        self._problem = problem
        self._generation = _generation

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            if self._generation == _generation:
                self._lock.acquire()
            elif not self._lock.acquire(timeout=1):  # its holder may be about to say that it is of this process
                if self._generation != _generation:
                    raise RuntimeError(self._problem)
                self._lock.acquire()
        self._generation = _generation

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._lock.release()


def _before() -> None:
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    for lock in (compiler, _linear.changed):
        if lock is not None:
            lock.acquire()
            _held.append(lock)
    _linear.changed.wait_for(_linear.is_over, LONGEST)


def _in_parent() -> None:
    while _held:  # fewer, where Ctrl-C ended the waiting for them
        _held.pop().release()


def _in_child() -> None:
    global _linear, _generation
    _in_parent()
    _linear, _generation = _Linear(), _generation + 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
