"""What tasks on a cluster return: states as bytes, and errors as values, so that of several the first one is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import DataError
from ..runs import Looks, Task, run_task
from ..runs.tasks import numbers_rows, until_it_fails
from .dask_sources import Columns, Part, Place, library

# A part's place, what reads it, and from what: see Part.sent.
Sent = tuple[Place, Callable[..., Iterable[Columns]], list[Any]]

# Bytes of rows that a task takes: about as much as is evaluated in a tenth of a second, 100 times what Dask itself
# needs for a task and ten times what its state costs to send and merge.
TASK_BYTES = 128 << 20


@dataclass(frozen=True)
class State:
    """What was seen of some rows; ``number`` is that of the first part."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Failed:
    """Why there is no state."""

    number: int
    error: Exception


def restored(template: Any, data: bytes) -> Any:
    """The accumulator whose ``to_bytes`` gave ``data``."""
    return template.restored(data) if isinstance(template, Looks) else type(template).from_bytes(data)


def added(template: Any, parts: Sequence[Sent]) -> State | Failed:
    """The state of some parts, on a worker."""
    total = until_it_fails(template.empty(n_threads=template._n_threads or 1))
    for place, read, given in parts:
        try:
            if isinstance(given[0], Task):
                run_task(given[0], total)
            else:
                _add(total, place, rows_of(place, read, given))
        except (ValueError, TypeError) as error:
            return Failed(place.number, error)
    try:
        return State(parts[0][0].number, total.to_bytes())
    except TypeError as error:  # groups that have no place in a state
        return Failed(parts[0][0].number, error)


def rows_of(place: Place, read: Callable[..., Iterable[Columns]], given: list[Any]) -> Iterator[Columns]:
    """The rows of a part that has any: an empty partition may not know how many columns it has."""
    try:
        for columns in read(*given):
            if len(columns[0]) or len(columns[1]):
                yield columns
    except (DataError, TypeError) as error:
        raise place.error(error, 0) from None


def _add(total: Any, place: Place, batches: Iterable[Columns]) -> None:
    numbered, done = numbers_rows(total), 0
    for labels, scores, weights, groups in batches:
        more = {"sample_weight": weights, "groups": groups, "row": (place.first_row or 0) + done if numbered else None}
        try:
            total.update(labels, scores, **{name: value for name, value in more.items() if value is not None})
        except (DataError, TypeError) as error:
            raise place.error(error, done) from None
        done += len(labels)


def merged(template: Any, states: Sequence[State | Failed]) -> State | Failed:
    """One state of several, on a worker."""
    failures = [one for one in states if isinstance(one, Failed)]
    if failures:
        return min(failures, key=lambda one: one.number)
    total = template.empty()
    for one in states:
        assert isinstance(one, State)
        try:
            total.merge(restored(template, one.data))
        except ValueError as error:
            return Failed(one.number, error)
    return State(states[0].number, total.to_bytes())


def finished(accumulator: Any, state: State | Failed) -> Any:
    """A new accumulator of what the given one held and a state; raises what has failed."""
    if isinstance(state, Failed):
        raise state.error
    return accumulator + restored(accumulator, state.data)


def counted(part: Sent) -> int | Failed:
    """How many rows a part has, on a worker."""
    place, read, given = part
    try:
        if isinstance(given[0], Task):
            return sum(batch.n_read for batch in given[0].dump.read(given[0].piece, given[0].skip))
        return sum(len(columns[0]) for columns in rows_of(place, read, given))
    except (ValueError, TypeError) as error:
        return Failed(place.number, error)


def grouped(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Neighbours that make a task; those of which nobody knows the size make one each."""
    some: list[Part] = []
    size = 0
    for part in parts:
        if some and (part.n_bytes is None or size + part.n_bytes > TASK_BYTES):
            yield some
            some, size = [], 0
        some.append(part)
        size += TASK_BYTES if part.n_bytes is None else part.n_bytes
    if some:
        yield some


def tree(template: Any, parts: Iterable[Part], split_every: int) -> Any:
    """The state of all parts, a Delayed: each task merges up to ``split_every`` states."""
    delayed = library().delayed
    add, merge = delayed(added, pure=False), delayed(merged, pure=False)
    level = [add(template, [part.sent for part in some]) for some in grouped(parts)]
    while len(level) > 1:
        level = [merge(template, level[i : i + split_every]) for i in range(0, len(level), split_every)]
    return level[0] if level else State(0, template.empty().to_bytes())
