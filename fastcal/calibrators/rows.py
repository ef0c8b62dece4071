"""Scores and labels as blocks of rows that depend on the number of columns alone: any source gives the same blocks.

An array, a list of batches of any sizes and a file are cut at the same rows, and what is summed over blocks is added in
their order: the source, the sizes of its batches and the number of threads change no bit of a fit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import engine
from ..arrays import (
    MAX_CLASSES,
    WEIGHTS,
    Array,
    BitsColumn,
    Column,
    DataError,
    array_of,
    array_or_bits,
    labels_of,
    unmasked,
    weighable,
)
from .forms import Form

# Numbers of scores in a block: enough to make a call worth it, little enough for the second-level cache.
BLOCK_SIZE = 1 << 17
# Blocks whose sums are held until they are added in order, and bytes of batches that are held until they are cut.
WAVE = 64
WAVE_BYTES = 16 << 20

Adder = Callable[["Block", Array], None]
Part = tuple[Array, Array, Array | None]  # scores, labels, weights


def rows_per_block(n_columns: int) -> int:
    """Rows of a block: a multiple of 64."""
    return max(BLOCK_SIZE // n_columns // 64 * 64, 64)


@dataclass(frozen=True)
class Block:
    """Consecutive rows in the form that is fitted."""

    scores: Array  # (n, C) float32 or float64, C-contiguous; C is 1 for binary scores (N,)
    labels: Array  # (n,) int64 from 0 to K - 1
    weights: Array | None  # (n,) float64
    first_row: int

    @property
    def n_rows(self) -> int:
        """Rows."""
        return len(self.labels)


@dataclass(frozen=True)
class Table:
    """Some rows as given, checked for shape and dtype, of leading dimensions flattened."""

    scores: Column  # (n, C)
    labels: Array
    weights: Array | None
    binary: bool

    @property
    def half(self) -> bool:
        """Whether the scores came as half floats."""
        return self.scores.values.dtype.itemsize < 4 and self.scores.dtype == np.float32

    @property
    def n_rows(self) -> int:
        """Rows."""
        return len(self.scores.values)

    @property
    def n_columns(self) -> int:
        """Columns of scores."""
        return int(self.scores.values.shape[1])

    def part(self, start: int, stop: int) -> Part:
        """Rows as kernels take them."""
        weights = None if self.weights is None else np.ascontiguousarray(self.weights[start:stop], np.float64)
        labels = np.ascontiguousarray(self.labels[start:stop], np.int64)
        return self.scores.chunk(start, stop), labels, weights


def score_table(argument: str, scores: Any, dtype: str | None = None) -> tuple[Column, tuple[int, ...], bool]:
    """Scores (N,) or (..., K) as a column (n, C), their shape without the classes, and whether they are binary."""
    given, bits = array_or_bits(argument, scores, dtype)
    if given.ndim == 0:
        raise DataError(argument, (), "has shape (); expected one number or one row of classes a prediction")
    binary = given.ndim == 1
    if not binary and not 2 <= given.shape[-1] <= MAX_CLASSES:
        problem = f"has shape {given.shape}; a row holds 2 to {MAX_CLASSES} classes, binary scores are (N,)"
        raise DataError(argument, (), problem)
    lead = given.shape if binary else given.shape[:-1]
    flat = unmasked(argument, given, "every score is needed").reshape(-1, 1 if binary else given.shape[-1])
    if bits:
        return BitsColumn(argument, flat, np.dtype(np.float32)), lead, binary
    single = given.dtype.kind == "f" and given.dtype.itemsize <= 4
    return Column(argument, flat, np.dtype(np.float32 if single else np.float64)), lead, binary


def table(scores: Any, y_true: Any, sample_weight: Any, classes: Array | None) -> Table:
    """Rows of one call, or of one batch; raises DataError for shapes that do not fit and labels that are no class."""
    column, lead, binary = score_table("scores", scores)
    n_columns = column.values.shape[1]
    labels = _labels(y_true, lead, 2 if binary else n_columns, classes)
    weights = None
    if sample_weight is not None:
        weights = array_of("sample_weight", sample_weight)
        if weights.shape != lead:
            raise DataError("sample_weight", (), f"has shape {weights.shape}, expected {lead}")
        weights = unmasked("sample_weight", weights, "every row needs a weight").reshape(-1)
    return Table(column, labels, weights, binary)


def _labels(y_true: Any, lead: tuple[int, ...], n_classes: int, classes: Array | None) -> Array:
    """Labels as int64, 0 to K - 1; of ``classes``, their places in it."""
    given = labels_of("y_true", y_true) if classes is not None else array_of("y_true", y_true)
    if given.dtype.kind == "c":
        raise TypeError(f"y_true has dtype {given.dtype}; expected real numbers, or other labels")
    given = unmasked("y_true", given, "every row needs a label")
    if given.shape != lead:
        hint = "; labels are class indices, not one-hot rows" if given.ndim > len(lead) else ""
        raise DataError("y_true", (), f"has shape {given.shape}, expected {lead}{hint}")
    flat = given.reshape(-1)
    if classes is not None:
        kind = flat.dtype.kind
        if kind == "O" or (kind not in "biufUST" and kind != classes.dtype.kind):  # which are in no order together
            known = {label: place for place, label in enumerate(classes.tolist())}
            places: Array = np.array([known.get(label, -1) for label in flat.tolist()], np.int64)
            wrong = np.flatnonzero(places < 0)
        else:
            order = np.argsort(classes, kind="stable")
            places = order[np.minimum(np.searchsorted(classes[order], flat), len(order) - 1)]
            wrong = np.flatnonzero(classes[places] != flat)
        expected = f"labels are {', '.join(map(str, classes[:8].tolist()))}{', ...' if len(classes) > 8 else ''}"
    else:
        with np.errstate(invalid="ignore"):
            places = flat.astype(np.int64, copy=False)
        wrong = np.flatnonzero((places < 0) | (places >= n_classes) | (places != flat))
        expected = f"labels are integers 0 to {n_classes - 1}"
    if wrong.size:
        place = tuple(int(i) for i in np.unravel_index(wrong[0], lead))
        raise DataError("y_true", place, f"is {flat[wrong[0]]}; {expected}")
    return places


class Rows(ABC):
    """Rows that can be gone through, as a whole or again and again, a wave of blocks at a time."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.checked = False
        self.half = False
        self.n_rows = 0

    n_columns: int
    binary: bool

    @property
    def n_classes(self) -> int:
        """Classes: 2 of binary scores."""
        return 2 if self.binary else self.n_columns

    @property
    def n_maps(self) -> int:
        """Maps of a method that goes one against the rest: one for two classes, that of class 1."""
        return 1 if self.n_columns <= 2 else self.n_columns

    @abstractmethod
    def waves(self) -> Iterator[Sequence[Callable[[], Block]]]:
        """Blocks, each made by the thread that calls for it."""

    def total(self, size: int, make_adder: Callable[[], Adder], n_threads: int | None, blocks_a_sum: int = 1) -> Array:
        """The sum (size,) over all blocks, in their order, of what adders, one a thread, put into zeros.

        Each of so many neighbouring blocks goes to one thread, and into the same sum: for sums as large as blocks.
        """
        result, last = np.zeros(size), np.zeros(size)
        n_bytes = 8 * BLOCK_SIZE
        before = 0  # blocks of the last sum that earlier waves have given it

        for wave in self.waves():
            parts = np.zeros((-(-(before + len(wave)) // blocks_a_sum), size))
            parts[0] = last
            failures: list[tuple[int, DataError]] = []

            def make_worker(
                wave: Any = wave, parts: Array = parts, failures: Any = failures, before: int = before
            ) -> engine.Worker:
                add = make_adder()

                def work(start: int, stop: int) -> bool:
                    for i in range(max(start, before), stop):
                        try:
                            add(wave[i - before](), parts[i // blocks_a_sum])
                        except DataError as error:
                            failures.append((i, error))
                            return True
                    return False

                return work

            engine.run(before + len(wave), n_bytes, blocks_a_sum, make_worker, n_threads)
            if failures:
                raise min(failures, key=lambda failure: failure[0])[1]
            whole, before = divmod(before + len(wave), blocks_a_sum)
            for part in parts[:whole]:
                result += part
            last = parts[whole] if before else np.zeros(size)
        result += last
        self.checked = True
        return result

    def blocks(self) -> Iterator[Block]:
        """Blocks one by one, in the caller's thread."""
        for wave in self.waves():
            for make in wave:
                yield make()
        self.checked = True

    def _block(self, scores: Array, labels: Array, weights: Array | None, first_row: int) -> Block:
        if not self.checked:
            self.form.check(scores, half=self.half, first_row=first_row)
            if weights is not None and not (fine := weighable(weights)).all():
                row = int(np.argmin(fine))
                raise DataError("sample_weight", (first_row + row,), f"is {weights[row]}; {WEIGHTS}")
        return Block(self.form.of(scores), labels, weights, first_row)


class ArrayRows(Rows):
    """Rows of arrays."""

    def __init__(self, given: Table, form: Form) -> None:
        super().__init__(form)
        self.table = given
        self.n_rows, self.n_columns, self.binary = given.n_rows, given.n_columns, given.binary
        self.half = given.half

    def waves(self) -> Iterator[Sequence[Callable[[], Block]]]:
        """See :meth:`Rows.waves`."""
        size = rows_per_block(self.n_columns)

        def make(start: int) -> Callable[[], Block]:
            return lambda: self._block(*self.table.part(start, min(start + size, self.n_rows)), start)

        starts = range(0, self.n_rows, size)
        for first in range(0, len(starts), WAVE):
            yield [make(start) for start in starts[first : first + WAVE]]


class BatchRows(Rows):
    """Rows of batches (scores, y) or (scores, y, weights) of any sizes, cut anew; gone through once, or again."""

    def __init__(self, batches: Any, form: Form, classes: Array | None) -> None:
        super().__init__(form)
        said = getattr(batches, "from_logits", None)  # of files, whose arrays have names
        if said is not None and said != (form.input == "logits"):
            other = "logits" if said else "probs"
            raise ValueError(f"batches hold {other}, and are taken as {form.input}: say input={other!r}")
        self._open: Callable[[], Iterable[Any]] = batches if callable(batches) else lambda: batches
        self._classes = classes
        self._opened: Iterator[Any] | None = None
        opened = iter(self._open())
        self.once = opened is batches  # a generator, say: nobody can go through it again
        for first in opened:
            given = self._table(first)
            self.n_columns, self.binary = given.n_columns, given.binary
            break
        else:
            raise DataError("batches", (), "has no batch")
        if self.once:
            self._opened = _chained(first, opened)

    def _table(self, batch: Any) -> Table:
        if not isinstance(batch, tuple | list) or not 2 <= len(batch) <= 3:
            raise TypeError(
                f"a batch is a {type(batch).__name__}; expected (scores, y_true) or (scores, y_true, weights)"
            )
        scores, y_true, *weights = batch
        return table(scores, y_true, weights[0] if weights else None, self._classes)

    def waves(self) -> Iterator[Sequence[Callable[[], Block]]]:
        """See :meth:`Rows.waves`."""
        opened = iter(self._open()) if self._opened is None else self._opened
        size = rows_per_block(self.n_columns)
        n_rows = 0  # cut so far
        waiting: list[Part] = []
        n_waiting = n_bytes = 0
        weighted: bool | None = None
        for batch in opened:
            try:
                given = self._table(batch)
            except DataError as error:
                raise error.located(error.argument, n_rows + n_waiting) from None
            if (given.n_columns, given.binary) != (self.n_columns, self.binary):
                shapes = f"{given.n_columns} columns, the first one {self.n_columns}"
                raise DataError("batches", (), f"has a batch of {shapes}; from row {n_rows + n_waiting}")
            weighted = given.weights is not None if weighted is None else weighted
            if weighted != (given.weights is not None):
                raise DataError("batches", (), f"has weights in some batches only; from row {n_rows + n_waiting}")
            if given.n_rows == 0:
                continue
            self.half = self.half or given.half
            waiting.append(given.part(0, given.n_rows))
            n_waiting += given.n_rows
            n_bytes += waiting[-1][0].nbytes
            if n_bytes >= WAVE_BYTES and n_waiting >= size:
                yield self._cut(waiting, n_rows, n_waiting // size * size, size)
                n_rows += n_waiting // size * size
                waiting = _rest(waiting, n_waiting // size * size)
                n_waiting, n_bytes = n_waiting % size, sum(part[0].nbytes for part in waiting)
            else:
                waiting[-1] = _copied(waiting[-1], 0)  # whoever made the batch may fill the same arrays again
        if n_waiting:
            yield self._cut(waiting, n_rows, n_waiting, size)
            n_rows += n_waiting
        if n_rows == 0:
            raise DataError("batches", (), "has no rows")
        if self.checked and n_rows != self.n_rows:
            raise DataError("batches", (), f"has {n_rows} rows, and had {self.n_rows} the time before")
        self.n_rows = n_rows

    def blocks(self) -> Iterator[Block]:
        """Blocks that stay what they are, whatever the arrays of a batch are filled with for the next one."""
        for block in super().blocks():
            weights = None if block.weights is None else block.weights.copy()
            yield Block(block.scores.copy(), block.labels.copy(), weights, block.first_row)

    def _cut(self, parts: list[Part], first_row: int, n_rows: int, size: int) -> list[Callable[[], Block]]:
        """The first rows of parts, as blocks."""
        starts = np.cumsum([0, *(len(part[1]) for part in parts)])

        def make(start: int) -> Callable[[], Block]:
            return lambda: self._block(*_between(parts, starts, start, min(start + size, n_rows)), first_row + start)

        return [make(start) for start in range(0, n_rows, size)]


def _between(parts: list[Part], starts: Array, start: int, stop: int) -> Part:
    """Rows ``start`` to ``stop`` of parts that begin at ``starts``."""
    first, last = int(np.searchsorted(starts, start, "right")) - 1, int(np.searchsorted(starts, stop, "left"))
    pieces = [
        (parts[i], slice(max(start - int(starts[i]), 0), min(stop, int(starts[i + 1])) - int(starts[i])))
        for i in range(first, last)
    ]
    weights = [part[2][piece] for part, piece in pieces if part[2] is not None]
    return (
        _joined([part[0][piece] for part, piece in pieces]),
        _joined([part[1][piece] for part, piece in pieces]),
        _joined(weights) if weights else None,
    )


def _joined(pieces: list[Array]) -> Array:
    """Pieces as one read-only array: a view of a single one."""
    joined = pieces[0].view() if len(pieces) == 1 else np.concatenate(pieces)
    joined.flags.writeable = False  # one type of array, one compilation
    return joined


def _rest(parts: list[Part], n_rows: int) -> list[Part]:
    """What is left of parts beyond so many rows, copied, so that no batch is held for a few rows of it."""
    left: list[Part] = []
    for scores, labels, weights in parts:
        taken = min(n_rows, len(labels))
        n_rows -= taken
        if taken < len(labels):
            left.append(_copied((scores, labels, weights), taken))
    return left


def _copied(part: Part, start: int) -> Part:
    scores, labels, weights = part
    return scores[start:].copy(), labels[start:].copy(), None if weights is None else weights[start:].copy()


def _chained(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others
