"""States of separate runs as one: that of all their rows."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import accumulators
from ..accumulators.mergeable import Mergeable
from ..accumulators.serial import kind_and_run, with_run
from .checkpoint import VERSION, StateError, inputs_of, read_state, times_of
from .fingerprint import Fingerprint
from .looks import KIND, Looks
from .position import Position


@dataclass(frozen=True)
class Kept:
    """A state file: its accumulator, and its run where it says of which rows it is."""

    path: Path
    accumulator: Any
    run: dict[str, Any] | None

    @property
    def is_partial(self) -> bool:
        """Whether its run was not at its end."""
        return self.run is not None and self.run.get("complete") is not True

    @property
    def inputs(self) -> list[list[Fingerprint]]:
        """The files of each dump; none where that is not known."""
        return [] if self.run is None else inputs_of(self.run)


def open_state(path: Path) -> Kept:
    """Read a state file of any accumulator; raises StateError for what is none."""
    data = read_state(path)
    try:
        kind, run = kind_and_run(data)
        accumulator = Looks.from_bytes(data, class_of) if kind == KIND else class_of(kind).from_bytes(data)
    except ValueError as error:
        raise StateError(f"{path}: {error}") from error
    return Kept(path, accumulator, run)


def class_of(kind: str) -> type[Any]:
    """The accumulator of a name; raises ValueError for what is none."""
    for module in pkgutil.iter_modules(accumulators.__path__):
        importlib.import_module(f"{accumulators.__name__}.{module.name}")
    for found in _below(Mergeable):
        if found.__name__ == kind and not getattr(found, "__abstractmethods__", None):
            return found
    raise ValueError(f"a state of {kind!r}, which is no accumulator of fastcal")


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for one in base.__subclasses__():
        yield one
        yield from _below(one)


def merged(states: Sequence[Kept], *, allow_overlap: bool = False, partial: bool = False) -> Any:
    """An accumulator with the rows of all; raises StateError where they do not go together.

    The same input in two of them is refused unless ``allow_overlap``, a run that was not at its end unless ``partial``.
    """
    if not allow_overlap:
        _check_overlap(states)
    for one in states:
        if one.is_partial and not partial:
            rows = _position(one).n_rows
            raise StateError(f"{one.path} is of a run that ended early, after {rows:,} rows; say --partial to take it")
    total = states[0].accumulator.empty()
    for one in states:
        if type(one.accumulator) is not type(total):
            names = type(one.accumulator).__name__, type(total).__name__
            raise StateError(f"{one.path} is a state of {names[0]}, {states[0].path} one of {names[1]}")
        try:
            total.merge(one.accumulator)
        except ValueError as error:
            raise StateError(f"{one.path} and {states[0].path}: {error}") from error
    return total


def _check_overlap(states: Sequence[Kept]) -> None:
    """Dumps are the same if all their files are: labels alone may be those of two models."""
    seen: dict[tuple[tuple[int, str], ...], Kept] = {}
    for one in states:
        for dump in one.inputs:
            content = tuple(file.content for file in dump)
            if seen.setdefault(content, one) is not one:
                names = ", ".join(file.name for file in dump[:2])
                raise StateError(
                    f"{names} is in {seen[content].path} and in {one.path}; say --allow-overlap to count its rows twice"
                )


def _position(one: Kept) -> Position:
    try:
        return Position.from_json((one.run or {}).get("position"))
    except ValueError:
        return Position()


def state_bytes(total: Any, states: Sequence[Kept]) -> bytes:
    """The state of all, to be written: that of a run over all their inputs, where each says which these are."""
    data: bytes = total.to_bytes()
    runs = [one.run for one in states if one.run is not None]
    if len(runs) < len(states):
        return data
    try:
        times = [times_of(run) for run in runs]
    except ValueError as error:
        raise StateError(f"{states[0].path} or one after it: {error}") from error
    run = {
        "version": VERSION,
        "fastcal": runs[0].get("fastcal"),
        "inputs": [
            [[one.name, one.size, one.mtime_ns, one.sha256] for one in dump]
            for state in states
            for dump in state.inputs
        ],
        "roles": [roles for one in runs for roles in _list(one.get("roles"))],
        "cut": None,  # nothing that could be gone on with
        "position": Position().to_json(),
        "started": min(started for started, _, _ in times),
        "seconds": sum(seconds for _, seconds, _ in times),
        "complete": not any(one.is_partial for one in states),
    }
    return with_run(data, run)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
