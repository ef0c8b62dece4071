"""Calibrators fitted to rows that stay on a cluster: looks at all rows become tasks, their sums are added in order.

The cluster's workers hold the rows in *stretches*, which are cut where the blocks of a fit in one process begin and
end. For most looks the client sends what is to be added up, and gets back the sums of each few blocks, which it adds in
the order of the blocks: the floats of one process, in the order of one process. The other looks, one or two a fit, and
those of methods that sort rows, go through the client: it fetches a stretch at a time.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from ..arrays import Array, DataError
from ..calibrators import held_out as held_out_rows
from ..calibrators.base import Calibrator
from ..calibrators.forms import Form
from ..calibrators.rows import WAVE, Adder, Block, Rows, rows_per_block, table
from .dask_sources import Part, library, parts_of
from .dask_states import Failed, Sent, rows_of

C = TypeVar("C", bound=Calibrator)

# Blocks whose sums may go into one another before they are added up: stretches are cut at multiples of so many.
UNIT = 8
# Bytes of a stretch, and how many there are at least, so that every worker has some.
STRETCH_BYTES, FEWEST = 64 << 20, 32
# Bytes of sums that the client holds.
HELD_BYTES = 256 << 20

# Adders that do nothing but add: what others see besides (extremes, samples, columns) they leave in the memory of the
# process that made them, so that the rows have to come there. One that is missing here is slower, and no less right.
PURE = {
    "temperature.adder.<locals>.make",
    "temperature.differ.<locals>.make",
    "logistic.Logistic.at.<locals>.make_adder",
    "likelihood.Likelihood.sum.<locals>.make",
    "histogram._counted.<locals>.<lambda>",
}


def fit(
    calibrator: C,
    source: Any,
    *,
    logits: Any = None,
    probs: Any = None,
    labels: Any = None,
    weights: Any = None,
    held_out: Any = None,
) -> C:
    """Fit a calibrator to all rows of ``source``, on the default Dask scheduler; returns it, fitted.

    ``source`` and names are those of :func:`fastcal.integrations.dask.evaluate`: labels come first, (y_true, scores)
    or (y_true, scores, sample_weight). ``held_out``: arrays (scores, y) or (scores, y, weights) of other rows, for
    ``figures_``. What is fitted has the bits of :meth:`fastcal.TemperatureScaling.fit` to all rows in one array, with
    weights, too.

    The rows are held by the workers. Temperature scaling, its mixture and bins that are given never move them; vector
    and matrix scaling, Dirichlet calibration, Platt scaling and beta calibration take two looks at them through the
    client, 64 MB at a time, and all others on the workers; isotonic calibration, equal-mass bins, BBQ and Venn-Abers
    predictors sort the rows, which the client then holds as it would those of batches.

    Raises DataError, a ValueError, for the first row that holds no scores, label or weight, DumpError for files, and
    what the calibrator's own fit does.
    """
    if not isinstance(calibrator, Calibrator):
        raise TypeError(f"calibrator is a {type(calibrator).__name__}; expected one of fastcal's")
    form, classes = calibrator._prepared()
    given = parts_of(source, logits, probs, labels, weights, None)
    if given.from_logits is not None and given.from_logits != (form.input == "logits"):
        other = "logits" if given.from_logits else "probs"
        raise ValueError(f"the source holds {other}, and is taken as {form.input}: say input={other!r}")
    rows = ClusterRows(given.parts, form, classes)
    held = None if held_out is None else held_out_rows.held_out_table(held_out, classes)
    return calibrator._fit(rows, classes, held)


class ClusterRows(Rows):
    """Rows that the workers of a cluster hold."""

    def __init__(self, parts: Sequence[Part], form: Form, classes: Array | None) -> None:
        super().__init__(form)
        dask = library()
        make, look = dask.delayed(held_table, pure=False), dask.delayed(_about, pure=False)
        tables = dask.persist(*(make(part.sent, classes) for part in parts))
        found = dask.compute(*map(look, tables))
        failures = [one for one in found if isinstance(one, Failed)]
        if failures:
            raise min(failures, key=lambda one: one.number).error
        filled = [(one, about) for one, about in zip(tables, found, strict=True) if about.n_rows]
        if not filled:
            raise DataError("scores", (), "is empty")
        first = filled[0][1]
        self.n_columns, self.binary = first.n_columns, first.binary
        for _, about in filled:
            self._check_alike(about, first)
        self.half = any(about.half for _, about in filled)
        starts = np.cumsum([0, *(about.n_rows for _, about in filled)])
        self.n_rows = int(starts[-1])
        dtype = np.dtype(np.result_type(*(about.dtype for _, about in filled)))
        self.rows_per_stretch = self._stretch(dtype)
        self.stretches = self._cut([one for one, _ in filled], starts, dtype)

    def _check_alike(self, about: About, first: About) -> None:
        if (about.n_columns, about.binary) != (first.n_columns, first.binary):
            problem = f"has {about.n_columns} columns in {about.where}, {first.n_columns} in {first.where}"
            raise DataError("scores", (), problem)
        if about.weighted != first.weighted:
            raise DataError("sample_weight", (), "is there for some of the rows only")

    def _stretch(self, dtype: np.dtype[Any]) -> int:
        """Rows of a stretch: a multiple of UNIT blocks."""
        unit = UNIT * rows_per_block(self.n_columns)
        wanted = min(STRETCH_BYTES // (self.n_columns * dtype.itemsize), -(-self.n_rows // FEWEST))
        return unit * max(wanted // unit, 1)

    def _cut(self, tables: list[Any], starts: Array, dtype: np.dtype[Any]) -> list[Any]:
        """The rows anew, in stretches."""
        dask = library()
        join, size = dask.delayed(joined, pure=False), self.rows_per_stretch
        stretches = []
        for start in range(0, self.n_rows, size):
            stop = min(start + size, self.n_rows)
            among = range(int(np.searchsorted(starts, start, "right")) - 1, int(np.searchsorted(starts, stop, "left")))
            cuts = [(max(start - int(starts[i]), 0), stop - int(starts[i])) for i in among]
            stretches.append(join([tables[i] for i in among], cuts, dtype.name))
        return list(dask.persist(*stretches))

    def __reduce__(self) -> tuple[Any, ...]:
        """As a part of what is added up, on a worker: what is said of the rows, without them."""
        return _Elsewhere, (self.form, self.n_columns, self.binary, self.n_rows)

    def waves(self) -> Iterator[Sequence[Callable[[], Block]]]:
        """See :meth:`Rows.waves`: the rows come here, a stretch at a time."""
        for number, stretch in enumerate(self.stretches):
            (held,) = library().compute(stretch)
            blocks = _Blocks(self.form, held, number * self.rows_per_stretch, self.half, self.checked)
            made = [blocks.maker(start) for start in blocks.starts]
            for first in range(0, len(made), WAVE):
                yield made[first : first + WAVE]

    def total(self, size: int, make_adder: Callable[[], Adder], n_threads: int | None, blocks_a_sum: int = 1) -> Array:
        """See :meth:`Rows.total`: on the workers, where the adder may be sent there."""
        if not is_pure(make_adder) or UNIT % blocks_a_sum:
            return super().total(size, make_adder, n_threads, blocks_a_sum)
        dask = library()
        add, adder = dask.delayed(sums, pure=False), dask.delayed(packed(make_adder))
        result = np.zeros(size)
        n_parts = -(-self.rows_per_stretch // rows_per_block(self.n_columns) // blocks_a_sum)
        step = max(HELD_BYTES // (8 * max(size, 1) * n_parts), 1)
        for first in range(0, len(self.stretches), step):
            tasks = []
            for number, stretch in enumerate(self.stretches[first : first + step], first):
                blocks = self.form, stretch, number * self.rows_per_stretch, self.half, self.checked
                tasks.append(add(blocks, adder, size, blocks_a_sum))
            for found in dask.compute(*tasks):
                if isinstance(found, Failed):
                    raise found.error
                for part in found:
                    result += part
        self.checked = True
        return result


class _Elsewhere(Rows):
    """What a worker knows of rows of which it holds a stretch."""

    def __init__(self, form: Form, n_columns: int, binary: bool, n_rows: int) -> None:
        super().__init__(form)
        self.n_columns, self.binary, self.n_rows = n_columns, binary, n_rows

    def waves(self) -> Iterator[Sequence[Callable[[], Block]]]:
        """There are none."""
        raise RuntimeError("these rows are held elsewhere")


# --- on a worker ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """Rows in memory, as kernels take them."""

    scores: Array
    labels: Array
    weights: Array | None
    binary: bool
    half: bool
    where: str


@dataclass(frozen=True)
class About:
    """What the client has to know of them."""

    n_rows: int
    n_columns: int
    binary: bool
    half: bool
    dtype: str
    weighted: bool
    where: str


def held_table(part: Sent, classes: Array | None) -> Held | Failed:
    """A part's rows; labels that are no class are found here, scores when they are looked at."""
    place, read, given = part
    where = place.where or f"block {place.number}"
    taken: list[Held] = []
    done = 0
    try:
        for labels, scores, weights, _ in rows_of(place, read, given):
            try:
                one = table(scores, labels, weights, classes)
            except (DataError, TypeError) as error:
                return Failed(place.number, place.error(error, done))
            x, y, w = one.part(0, one.n_rows)
            w = None if w is None else np.array(w)  # copies: whoever reads the rows may fill the same arrays again
            taken.append(Held(np.array(x), np.array(y), w, one.binary, one.half, where))
            done += one.n_rows
    except (ValueError, TypeError) as error:
        return Failed(place.number, error)
    if not taken:
        return Held(np.empty((0, 0), np.float32), np.empty(0, np.int64), None, False, False, where)
    if len({(one.scores.shape[1], one.binary, one.weights is None) for one in taken}) > 1:
        problem = "has batches of different columns, or weights in some only"
        return Failed(place.number, DataError(f"{where}: scores", (), problem))
    dtype = np.result_type(*(one.scores for one in taken))
    whole = joined(taken, [(0, len(one.labels)) for one in taken], dtype.name)
    return replace(whole, half=any(one.half for one in taken))


def _about(held: Held | Failed) -> About | Failed:
    if isinstance(held, Failed):
        return held
    n, n_columns = held.scores.shape
    return About(n, n_columns, held.binary, held.half, held.scores.dtype.name, held.weights is not None, held.where)


def joined(tables: Sequence[Held], cuts: Sequence[tuple[int, int]], dtype: str) -> Held:
    """Some rows of each, together: views where they are of one."""

    def column(name: str) -> Array:
        pieces = [getattr(one, name)[slice(*cut)] for one, cut in zip(tables, cuts, strict=True)]
        together: Array = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return together

    first = tables[0]
    scores = column("scores").astype(dtype, copy=False)
    weights = None if first.weights is None else column("weights")
    return Held(scores, column("labels"), weights, first.binary, first.half, first.where)


class _Blocks(Rows):
    """The blocks of a stretch, with the numbers of their rows among all."""

    def __init__(self, form: Form, held: Held, first_row: int, half: bool, checked: bool) -> None:
        super().__init__(form)
        self.held, self.first_row, self.half, self.checked = held, first_row, half, checked
        self.n_rows, self.n_columns = held.scores.shape
        self.binary = held.binary
        self.size = rows_per_block(self.n_columns)
        self.starts = range(0, self.n_rows, self.size)

    def maker(self, start: int) -> Callable[[], Block]:
        """What makes the block that begins at a row of the stretch."""
        return lambda: self._made(start)

    def waves(self) -> Iterator[Sequence[Callable[[], Block]]]:
        """See :meth:`Rows.waves`."""
        yield [self.maker(start) for start in self.starts]

    def _made(self, start: int) -> Block:
        held, stop = self.held, min(start + self.size, self.n_rows)
        weights = None if held.weights is None else _read_only(held.weights[start:stop])
        return self._block(
            _read_only(held.scores[start:stop]), _read_only(held.labels[start:stop]), weights, self.first_row + start
        )


def _read_only(values: Array) -> Array:
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False  # one type of array, one compilation
    return view


def sums(blocks: tuple[Form, Held, int, bool, bool], adder: bytes, size: int, blocks_a_sum: int) -> Array | Failed:
    """Of every few blocks of a stretch, what an adder puts into zeros: (parts, size)."""
    stretch = _Blocks(*blocks)
    # A function of our own client, sent with this task as Dask sends all functions; no file is read here.
    add: Adder = pickle.loads(adder)()
    parts = np.zeros((-(-len(stretch.starts) // blocks_a_sum), size))
    try:
        for i, start in enumerate(stretch.starts):
            add(stretch.maker(start)(), parts[i // blocks_a_sum])
    except DataError as error:
        return Failed(stretch.first_row, error)
    return parts


# --- what is sent ---------------------------------------------------------------------------------------------------


def is_pure(make_adder: Callable[[], Adder]) -> bool:
    """Whether it is known to do nothing but add."""
    module = make_adder.__module__.removeprefix("fastcal.calibrators.")
    return f"{module}.{make_adder.__qualname__}" in PURE


def packed(make_adder: Callable[[], Adder]) -> bytes:
    """A closure as bytes; kernels go by name, so that a worker takes those of its own cache."""
    pickler: Any = library("cloudpickle").Pickler

    class Packer(pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if hasattr(value, "py_func") and value.__module__.startswith("fastcal.kernels."):
                return kernel, (value.py_func.__module__, value.py_func.__name__)
            return super().reducer_override(value)

    file = io.BytesIO()
    Packer(file).dump(make_adder)
    return file.getvalue()


def kernel(module: str, name: str) -> Any:
    """A kernel by its name."""
    return getattr(importlib.import_module(module), name)
