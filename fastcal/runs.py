"""Drives dumps through an accumulator: batch by batch, with progress, and errors that name the file and its row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from .accumulators.base import Accumulator
from .arrays import DataError
from .dumps import Dump, DumpError


def evaluate(
    dumps: Iterable[Dump], accumulator: Accumulator, on_rows: Callable[[int], None] | None = None
) -> Accumulator:
    """Update ``accumulator`` with every row of ``dumps``; ``on_rows`` is told of the rows of each batch.

    Raises DumpError for a file that cannot be read, for a value that is out of place, naming the array and the row of
    its file, and where there is no row at all.
    """
    for dump in dumps:
        rows = 0
        roles = dump.roles
        names = {"y_true": roles.labels, "y_prob": roles.scores, "sample_weight": roles.weights, "groups": roles.groups}
        with closing(dump.batches()) as batches:
            for batch in batches:
                try:
                    more = {} if batch.groups is None else {"groups": batch.groups}
                    accumulator.update(batch.labels, batch.scores, sample_weight=batch.weights, **more)
                except DataError as error:
                    located = error.located(names[error.argument] or error.argument, rows)
                    raise DumpError(f"{dump.name}: {located}") from error
                except TypeError as error:
                    raise DumpError(f"{dump.name}: {error}") from error
                rows += len(batch.labels)
                if on_rows is not None:
                    on_rows(len(batch.labels))
    if accumulator.is_empty:
        raise DumpError("no rows")
    return accumulator
