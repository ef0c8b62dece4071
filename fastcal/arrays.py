"""The only door for user data: array-likes become kernel-ready columns, or a clear error.

Shapes and dtypes are checked here, once. Values are not looked at: the kernels count what is wrong while they read,
and hand the first bad row back to :meth:`Predictions.fault`, which names the argument, the place and the value.

What is not in the form that kernels take (float16, integers, big-endian, strided, Fortran order, masked) is converted
chunk by chunk, without a copy of the whole. (Only scores of three and more dimensions whose rows cannot be flattened in
place, those of a transposed array, are copied, as NumPy's reshape does.)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from .interchange.arrow import Unreadable
from .interchange.libraries import as_array, as_labels, widened
from .interchange.missing import NullableArray, said_of

Array = npt.NDArray[Any]
NanPolicy = Literal["raise", "omit", "propagate"]

# Row kernels hold class indices and partial sums in float32: exact, and close enough, to well beyond this.
MAX_CLASSES = 1 << 20
# The digits of exact sums are carried after every update, before so many additions could overflow them.
MAX_ROWS = 1 << 31
# What NumPy calls its own real numbers: bool, integers, floats.
PLAIN = frozenset(np.dtype(letter).num for letter in "?bBhHiIlLqQefdg")

LEAST_WEIGHT, MOST_WEIGHT = 1e-100, 1e100
WEIGHTS = f"a weight is 0, or from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"


class DataError(ValueError):
    """A value that an argument does not take: which argument, which place, and why.

    >>> import fastcal as fc
    >>> try:
    ...     fc.ece([0, 1], [0.2, 1.7])
    ... except fc.DataError as error:
    ...     error.argument, error.index, str(error)[:18]
    ('y_prob', (1,), 'y_prob[1] is 1.7; ')
    """

    def __init__(self, argument: str, index: tuple[int, ...], problem: str) -> None:
        super().__init__(argument, index, problem)
        self.argument = argument
        self.index = index
        self.problem = problem

    def __str__(self) -> str:
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return f"{self.argument}{place} {self.problem}"

    def located(self, argument: str, rows_before: int) -> DataError:
        """The same error, told of the whole dump of which this was a batch."""
        index = (self.index[0] + rows_before, *self.index[1:]) if self.index else ()
        return DataError(argument, index, self.problem)


@dataclass(frozen=True)
class Column:
    """One argument: its values as given, and the dtype in which the kernels take them."""

    argument: str
    values: Array
    dtype: np.dtype[Any]

    def chunk(self, start: int, stop: int) -> Array:
        """Rows start to stop, C-contiguous, aligned, native, read-only; a view where the values already are."""
        part = self.values[start:stop]
        if type(part) is np.ndarray and part.dtype == self.dtype and part.flags.c_contiguous and part.flags.aligned:
            part.flags.writeable = False  # np.require would take 2 us
            return part
        if isinstance(part, np.ma.MaskedArray):
            with np.errstate(invalid="ignore"):  # what is masked may be anything
                part = np.ma.filled(part.astype(self.dtype), np.nan)
        part = np.require(part, self.dtype, ["C", "A"]).view()
        part.flags.writeable = False  # one type of array, one compilation
        return part

    def rows(self, which: Any) -> Self:
        """Some of the rows."""
        return dataclasses.replace(self, values=self.values[which])

    def sampled(self, stride: int) -> Array:
        """Every so many-th row, as :meth:`chunk` gives them."""
        some = self.rows(slice(None, None, stride))
        return some.chunk(0, len(some.values))


@dataclass(frozen=True)
class LabelColumn(Column):
    """Labels, as int64; one that is not an integer becomes -1, which no class has."""

    def chunk(self, start: int, stop: int) -> Array:
        """See :meth:`Column.chunk`."""
        if self.values.dtype == self.dtype:
            return super().chunk(start, stop)
        if self.values.dtype.kind == "f":
            part = self.values[start:stop]
            with np.errstate(invalid="ignore"):
                whole = part.astype(np.int64)
            whole[whole != part] = -1
        else:
            whole = self.values[start:stop]
        whole = np.require(whole, np.int64, ["C", "A"]).view()
        whole.flags.writeable = False
        return whole


@dataclass(frozen=True)
class BitsColumn(Column):
    """bfloat16 as its bits in 16-bit integers."""

    def chunk(self, start: int, stop: int) -> Array:
        """See :meth:`Column.chunk`."""
        part = widened(self.values[start:stop]).astype(self.dtype, copy=False)
        if isinstance(part, np.ma.MaskedArray):
            part = np.ma.filled(part, np.nan)
        part.flags.writeable = False
        return part


@dataclass(frozen=True)
class Gaps:
    """Which of the labels or weights are missing, and what is said of it."""

    argument: str
    missing: Array
    problem: str


@dataclass(frozen=True)
class GappedColumn(Column):
    """Scores of which those rows are NaN whose label or weight is missing: they follow ``nan_policy`` as NaN does."""

    given: Column
    missing: Array

    def chunk(self, start: int, stop: int) -> Array:
        """See :meth:`Column.chunk`."""
        part, missing = self.given.chunk(start, stop), self.missing[start:stop]
        if missing.any():
            part = part.copy()
            part[missing] = np.nan
            part.flags.writeable = False
        return part

    def rows(self, which: Any) -> Self:
        """See :meth:`Column.rows`."""
        given = self.given.rows(which)
        return dataclasses.replace(self, values=given.values, given=given, missing=self.missing[which])


@dataclass
class Predictions:
    """Labels, scores and weights of the same rows, checked for shape and dtype."""

    labels: LabelColumn
    scores: Column
    weights: Column | None
    from_logits: bool
    shape: tuple[int, ...]
    gaps: tuple[Gaps, ...] = ()  # rows that are NaN for another reason than their scores
    groups: Any = None  # which slice each row belongs to, where slices are kept
    first_row: int | Array = 0  # the number of the first row in its stream, or those of all

    @property
    def n_rows(self) -> int:
        """Rows."""
        return len(self.scores.values)

    @property
    def n_columns(self) -> int:
        """Classes of (N, K) scores, 0 for (N,)."""
        return self.scores.values.shape[1] if self.scores.values.ndim > 1 else 0

    @property
    def n_classes(self) -> int:
        """Classes: 2 for (N,) scores."""
        return self.n_columns or 2

    def fault(self, row: int) -> DataError:
        """What is wrong with a row that the kernels counted as faulty."""
        labels, scores, weights = self.labels, self.scores, self.weights
        place = tuple(int(i) for i in np.unravel_index(row, self.shape))
        for gap in self.gaps:
            if gap.missing[row]:
                return DataError(gap.argument, place, gap.problem)
        label = labels.values[row]
        if not 0 <= labels.chunk(row, row + 1)[0] < self.n_classes:
            return DataError(labels.argument, place, f"is {label}; labels are integers 0 to {self.n_classes - 1}")
        if weights is not None and not weighable(np.float64(weights.values[row])):
            return DataError(weights.argument, place, f"is {weights.values[row]}; {WEIGHTS}")
        with np.errstate(invalid="ignore"):  # a signalling NaN
            values = scores.chunk(row, row + 1).ravel().astype(np.float64)
        if self.from_logits:
            problem, where = _logit_problem(values)
        else:
            problem, where = probability_problem(values, *tolerances(scores), rows=self.n_columns > 0)
        if where is None or self.n_columns == 0:
            return DataError(scores.argument, place, problem)
        return DataError(scores.argument, (*place, where), problem)


def _logit_problem(values: Array) -> tuple[str, int | None]:
    nan = np.flatnonzero(np.isnan(values))
    if nan.size:
        return "is nan; nan_policy='omit' leaves such rows out", int(nan[0])
    certain = np.flatnonzero(values == np.inf)
    if certain.size > 1:
        return f"has {certain.size} logits of +inf, which is no distribution; nan_policy='omit' leaves it out", None
    return "has no logit above -inf, which is no distribution; nan_policy='omit' leaves it out", None


def probability_problem(values: Array, tolerance: float, sum_tolerance: float, *, rows: bool) -> tuple[str, int | None]:
    """What is wrong with a row of probabilities, or with a single one, and where in it."""
    outside = np.flatnonzero((values > 1 + tolerance) | (values < -tolerance))
    if outside.size:
        value = values[outside[0]]
        return f"is {value:.10g}; probabilities lie in [0, 1] (for logits say from_logits=True)", int(outside[0])
    nan = np.flatnonzero(np.isnan(values))
    if nan.size:
        return "is nan; nan_policy='omit' leaves such rows out", int(nan[0])
    total = values.sum()
    if rows and abs(total - 1) > sum_tolerance:
        return f"sums to {total:.10g}; a row of probabilities sums to 1 (within {sum_tolerance:g})", None
    return "is no distribution", None


def tolerances(scores: Column) -> tuple[float, float]:
    """How far a probability may lie outside [0, 1], and a row's sum off 1, and still count as rounding.

    A single value: 1e-6 in float64, 8 ulp otherwise, but one of bfloat16. In rows, where real dumps carry 1.00001, at
    least 1e-4. Sums: 1e-3, in half precision 1e-2.
    """
    return _tolerances(scores.values.dtype, scores.dtype, scores.values.ndim > 1)


@functools.lru_cache
def _tolerances(given: np.dtype[Any], taken_as: np.dtype[Any], rows: bool) -> tuple[float, float]:
    bits = given.kind != "f" and taken_as == np.float32  # of bfloat16
    half = bits or (given.kind == "f" and given.itemsize < 4)
    single = bits or (given.kind == "f" and given.itemsize < 8)
    value = 8 * float(np.finfo(np.float16 if bits else given).eps) if single else 1e-6
    return (max(value, 1e-4) if rows else value), (1e-2 if half else 1e-3)


def predictions(
    y_true: Any,
    y_prob: Any,
    *,
    sample_weight: Any = None,
    from_logits: bool = False,
) -> Predictions:
    """Labels (N,) with scores (N,) or (N, K); leading dimensions (..., K) are flattened to rows."""
    scores, bits = array_or_bits("y_prob", y_prob)
    labels = array_of("y_true", y_true)
    if scores.ndim == 0 or labels.ndim == 0:
        name, shape = ("y_prob", scores.shape) if scores.ndim == 0 else ("y_true", labels.shape)
        raise DataError(name, (), f"has shape {shape}; expected one entry a row")
    lead = scores.shape[:1] if scores.ndim == 1 else scores.shape[:-1]
    if labels.shape != lead:
        hint = "; labels are class indices, not one-hot rows" if labels.shape == scores.shape else ""
        hint = f"; y_prob has shape {scores.shape}" + hint
        raise DataError("y_true", (), f"has shape {labels.shape}, expected {lead}{hint}")
    if math.prod(lead) > MAX_ROWS:
        raise DataError("y_prob", (), f"has {math.prod(lead)} rows; an update takes at most {MAX_ROWS}")
    weights = None
    gaps: list[Gaps] = []
    if sample_weight is not None:
        given = array_of("sample_weight", sample_weight)
        if given.shape != lead:
            raise DataError("sample_weight", (), f"has shape {given.shape}, expected {lead}")
        given = without_gaps("sample_weight", given.reshape(-1), "every row needs a weight", gaps)
        weights = Column("sample_weight", given, np.dtype(np.float64))
    labels = without_gaps("y_true", labels.reshape(-1), "every row needs a label", gaps)
    column = _score_column("y_prob", scores, bits)
    if gaps:  # what else such a row holds is not looked at
        missing = np.logical_or.reduce([one.missing for one in gaps])
        column = GappedColumn(column.argument, column.values, column.dtype, column, missing)
        labels = np.where(missing, labels.dtype.type(0), labels)
        if weights is not None:
            weights = dataclasses.replace(weights, values=np.where(missing, given.dtype.type(0), given))
    return Predictions(
        LabelColumn("y_true", labels, np.dtype(np.int64)), column, weights, from_logits, lead, tuple(gaps[::-1])
    )


def without_gaps(argument: str, values: Array, need: str, gaps: list[Gaps]) -> Array:
    """The plain array of labels or weights (N,), with 0 for what is missing, of which ``gaps`` then hears."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    missing = np.ma.getmaskarray(values)
    if not missing.any():
        return np.asarray(values.data)
    hint = " (nan_policy='omit' leaves it out)" if isinstance(values, NullableArray) else ""
    gaps.append(Gaps(argument, missing, f"{said_of(values)}; {need}{hint}"))
    return np.where(missing, values.dtype.type(0), values.data)


def weighable(weights: Any) -> Any:
    """Where a weight is one: 0, or so far from the ends of float64 that no product or sum of weights gets there."""
    return (weights == 0) | ((weights >= LEAST_WEIGHT) & (weights <= MOST_WEIGHT))


def unmasked(argument: str, values: Array, need: str) -> Array:
    """The plain array; raises DataError for a value that is masked or missing."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    masked = np.flatnonzero(np.ma.getmaskarray(values))
    if masked.size:
        where = tuple(int(i) for i in np.unravel_index(masked[0], values.shape))
        raise DataError(argument, where, f"{said_of(values)}; {need}")
    return np.asarray(values.data)


def _score_column(argument: str, scores: Array, bits: bool) -> Column:
    if scores.ndim > 1:
        n_classes = scores.shape[-1]
        if not 0 < n_classes <= MAX_CLASSES:
            raise DataError(argument, (), f"has shape {scores.shape}; a row holds 1 to {MAX_CLASSES} classes")
        scores = scores.reshape(-1, n_classes)
    if bits:
        return BitsColumn(argument, scores, np.dtype(np.float32))
    single = scores.dtype.kind == "f" and scores.dtype.itemsize <= 4
    return Column(argument, scores, np.dtype(np.float32 if single else np.float64))


def array_of(argument: str, values: Any) -> Array:
    """Any array-like of real numbers as an ndarray (masked arrays stay masked), without copying an array.

    bfloat16 is widened to float32, exactly; whoever takes its bits asks :func:`array_or_bits`.
    """
    if type(values) is np.ndarray and values.dtype.num in PLAIN:  # 0.15 us; what follows takes 1 us and more
        return values
    given, bits = array_or_bits(argument, values)
    return widened(given) if bits else given


def array_or_bits(argument: str, scores: Any, dtype: str | None = None) -> tuple[Array, bool]:
    """An array, and whether it holds bfloat16 as bits; ``dtype="bfloat16"`` says so of uint16."""
    if type(scores) is np.ndarray and dtype is None and scores.dtype.num in PLAIN:
        return scores, False
    if not (dtype is None or (isinstance(dtype, str) and dtype == "bfloat16")):
        raise ValueError(f"dtype is {dtype!r}; expected None, or 'bfloat16' for its bits as uint16")
    try:
        given, bits = as_array(argument, scores)
    except Unreadable as error:
        raise DataError(argument, (), error.problem) from None
    except ValueError as error:
        raise DataError(argument, (), f"is no array: {_ragged(scores) or error}") from error
    bits = bits or given.dtype.name == "bfloat16"
    if given.dtype.num not in PLAIN and not bits:
        given = _small_numbers(argument, given)
    if dtype is not None and not bits and given.dtype != np.uint16:
        raise TypeError(f"{argument} has dtype {given.dtype}; the bits of bfloat16 are uint16")
    return given, bits or dtype is not None


def _small_numbers(argument: str, given: Array) -> Array:
    """Numbers of fewer bits than NumPy's own types, as float32 or int8; raises TypeError for what holds none."""
    if given.dtype.isbuiltin == 2:
        for dtype in (np.dtype(np.int8), np.dtype(np.float32)):
            if np.can_cast(given.dtype, dtype, "safe"):
                return given.astype(dtype)
    hint = "; None, text or rows of unequal length make such an array" if given.dtype.kind == "O" else ""
    raise TypeError(f"{argument} has dtype {given.dtype}; expected real numbers{hint}")


def labels_of(argument: str, values: Any) -> Array:
    """Labels of any kind, numbers or objects, masked where they are missing; raises DataError for no array."""
    try:
        return as_labels(argument, values)
    except Unreadable as error:
        raise DataError(argument, (), error.problem) from None
    except ValueError as error:
        raise DataError(argument, (), f"is no array: {_ragged(values) or error}") from error


def _ragged(values: Any) -> str | None:
    """Where the rows of a nested sequence stop having the same length."""
    try:
        lengths = [len(row) if hasattr(row, "__len__") else None for row in values]
    except TypeError:
        return None
    for row, length in enumerate(lengths):
        if (length is None) != (lengths[0] is None):
            return f"entry {row} is {'a number' if length is None else 'a sequence'}, entry 0 is not"
        if length != lengths[0]:
            return f"row {row} has {length} values, row 0 has {lengths[0]}"
    return None
