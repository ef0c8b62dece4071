"""Two models' dumps of the same rows, read side by side."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ..accumulators.paired import SIDES, PairedAccumulator
from ..arrays import Array, DataError
from ..dumps import Batch, Dump, DumpError
from .tasks import OnRows


@dataclass
class _Place:
    """A batch, the number of its first row in its dump, and how many of its rows are done."""

    dump: Dump
    batch: Batch
    first_row: int
    done: int = 0

    @property
    def left(self) -> int:
        """Rows that are not done."""
        return self.batch.n_rows - self.done

    def part(self, column: Array | None, n: int) -> Array | None:
        """The next n rows of a column."""
        return None if column is None else column[self.done : self.done + n]

    def row(self, k: int) -> int:
        """The number in the dump of the k-th of the next rows."""
        return self.first_row + self.batch.row(self.done + k)


def compare_dumps(
    dumps_a: Iterable[Dump], dumps_b: Iterable[Dump], paired: PairedAccumulator, on_rows: OnRows | None = None
) -> PairedAccumulator:
    """Update ``paired`` with all rows of both, which must have the same labels in the same order; weights are A's.

    However rows are cut into files and batches on either side, memory holds one batch of each. Raises DumpError for
    what cannot be read, the first row whose labels differ, naming both files and rows, different numbers of rows, a
    value that is out of place, and no rows at all.
    """
    with closing(_places(dumps_a)) as left, closing(_places(dumps_b)) as right:
        a, b = next(left, None), next(right, None)
        while a is not None and b is not None:
            n = min(a.left, b.left)
            _take(a, b, n, paired)
            if on_rows is not None:
                on_rows(n)
            for place in (a, b):
                place.done += n
            a, b = a if a.left else next(left, None), b if b.left else next(right, None)
        if a is not None:
            raise DumpError(f"A has more rows than B: {a.dump.name} has a row {a.row(0)} for which B has none")
        if b is not None:
            raise DumpError(f"B has more rows than A: {b.dump.name} has a row {b.row(0)} for which A has none")
    if paired.is_empty:
        raise DumpError("no rows")
    return paired


def _places(dumps: Iterable[Dump]) -> Generator[_Place, None, None]:
    for dump in dumps:
        first_row = 0
        with closing(dump.batches()) as batches:
            for batch in batches:
                if batch.n_rows:
                    yield _Place(dump, batch, first_row)
                first_row += batch.n_read


def _take(a: _Place, b: _Place, n: int, paired: PairedAccumulator) -> None:
    """Add the next n rows of both, once their labels were found to be the same."""
    mine, theirs = (np.asarray(place.part(place.batch.labels, n)) for place in (a, b))
    if mine.shape != theirs.shape:
        raise DumpError(f"{a.dump.name} has labels of shape {mine.shape}, {b.dump.name} of {theirs.shape}")
    differing = np.argwhere(mine != theirs)
    if len(differing):
        k = int(differing[0, 0])
        first, second = (f"{place.dump.name} row {place.row(k)}" for place in (a, b))
        differ = f"{first} is labelled {mine[k].tolist()} and {second} {theirs[k].tolist()}"
        raise DumpError(f"{differ}: a comparison is of the same rows in the same order")
    scores = [place.batch.scores[place.done : place.done + n] for place in (a, b)]
    if scores[0].shape != scores[1].shape:
        first, second = (
            f"{place.dump.name} has {place.dump.roles.scores} of shape {_shape(part)}"
            for place, part in zip((a, b), scores, strict=True)
        )
        raise DumpError(f"{first}, {second}: a comparison is of the same classes")
    try:
        paired.update(mine, *scores, sample_weight=a.part(a.batch.weights, n))
    except DataError as error:
        raise DumpError(_located(error, b if error.argument == SIDES[1] else a)) from error
    except TypeError as error:
        raise DumpError(f"{a.dump.name} and {b.dump.name}: {error}") from error


def _shape(scores: Array) -> str:
    return f"(N, {scores.shape[1]})" if scores.ndim > 1 else "(N,)"


def _located(error: DataError, place: _Place) -> str:
    """The error, with the dump's own names and numbers of rows."""
    roles = place.dump.roles
    names = {"y_true": roles.labels, "sample_weight": roles.weights, **dict.fromkeys(SIDES, roles.scores)}
    index = (place.row(error.index[0]), *error.index[1:]) if error.index else ()
    return f"{place.dump.name}: {DataError(names.get(error.argument) or error.argument, index, error.problem)}"
