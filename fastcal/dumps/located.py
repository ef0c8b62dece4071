"""Batches of opened dumps for a fit, which goes through them again and again; and in which file a value is wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from ..arrays import Array, DataError
from .adding import OnRows
from .batches import Dump, DumpError


class LocatedReader:
    """Batches (scores, y) or (scores, y, weights) of dumps, read anew each time.

    ``on_rows`` is told of the rows of each. Raises DumpError for dumps of logits and of probabilities together, and for
    standard input, which is read once.
    """

    def __init__(self, dumps: list[Dump], on_rows: OnRows | None = None) -> None:
        kinds = {dump.roles.from_logits for dump in dumps}
        if len(kinds) != 1:
            raise DumpError("some dumps hold logits and some probabilities" if kinds else "no dumps")
        if not all(dump.files for dump in dumps):
            raise DumpError("standard input is read once, and a fit looks at its rows again; save it to a file")
        self.from_logits = kinds.pop()
        self.on_rows = on_rows
        self._dumps = dumps

    def __iter__(self) -> Generator[tuple[Array, ...], None, None]:
        for dump in self._dumps:
            with closing(dump.batches()) as batches:
                for batch in batches:
                    weights = () if batch.weights is None else (batch.weights,)
                    yield (batch.scores, batch.labels, *weights)
                    if self.on_rows is not None:
                        self.on_rows(batch.n_rows)

    def located(self, error: DataError) -> DumpError:
        """An error of the rows of all dumps, told of the file that has the row."""
        row = error.index[0] if error.index else -1
        for dump in self._dumps if error.index else ():
            roles, n_read = dump.roles, 0
            names = {"scores": roles.scores, "y_true": roles.labels, "sample_weight": roles.weights}
            with closing(dump.batches()) as batches:
                for batch in batches:
                    if row < batch.n_rows:
                        place = (n_read + batch.row(row), *error.index[1:])
                        name = names.get(error.argument) or error.argument
                        return DumpError(f"{dump.name}: {DataError(name, place, error.problem)}")
                    row -= batch.n_rows
                    n_read += batch.n_read
        return DumpError(f"{', '.join(dump.name for dump in self._dumps[:3])}: {error}")
