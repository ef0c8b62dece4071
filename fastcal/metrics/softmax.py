"""Row by row: softmax, log-softmax, log-sum-exp, entropy along any axis, and what one pass says of a prediction."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np

from .. import memory
from ..arrays import Array, DataError, probability_problem
from ..rowwise import FLOATS, Axis, RowScores, check_reduced, divisor, give_back, result_like, row_scores, run
from . import row_workers

Out = TypeVar("Out", bound=Array)
Bits = Literal["bfloat16"] | None


class RowOptions(TypedDict, total=False):
    """Options that decide nothing about what a function of rows returns."""

    axis: Axis
    dtype: Bits
    n_threads: int | None


class LogitOptions(RowOptions, total=False):
    """Those of logits."""

    temperature: float


class ProbOptions(RowOptions, total=False):
    """Those of probabilities."""

    base: float | None


@dataclass(frozen=True)
class SoftmaxSummary:
    """Arrays (N,), see :func:`softmax_summary`; ``prediction`` is int64, the others are floats.

    >>> import fastcal as fc
    >>> fc.softmax_summary([[0.0, 2.0], [1.0, 1.0]]).margin.round(4).tolist()
    [0.7616, 0.0]
    """

    prediction: Array
    confidence: Array
    margin: Array
    entropy: Array
    logsumexp: Array


@overload
def softmax(logits: Any, *, out: Out, **options: Unpack[LogitOptions]) -> Out: ...
@overload
def softmax(logits: float, *, out: None = None, **options: Unpack[LogitOptions]) -> np.floating[Any]: ...
@overload
def softmax(logits: Any, *, out: None = None, **options: Unpack[LogitOptions]) -> Array: ...
def softmax(
    logits: Any,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    out: Array | None = None,
    dtype: Bits = None,
    n_threads: int | None = None,
) -> Any:
    """softmax_k = exp(z_k / T) / sum_j exp(z_j / T) along ``axis``: an integer, a tuple of them, or None for all.

    Of the logits' shape and type: float64, float32, float16 or bfloat16 (an ml_dtypes array, a torch tensor on the CPU,
    or its bits as uint16 with ``dtype="bfloat16"``; the result has the bits, unless an ml_dtypes array came), float64
    for integers. Half floats are computed in float32 and rounded once. A logit of -inf has probability 0, a single
    +inf probability 1; two of them, NaN, a masked logit, or nothing but -inf make the row NaN. A difference of logits
    beyond their precision's range counts as infinite. Within 4 ulp plus 0.6 ulp a unit of (max z - z_k) / T.

    ``out`` takes the result: an array of its shape and dtype, which may be ``logits`` itself. Raises ValueError or
    TypeError for a temperature that is not positive and finite, and for axes, dtypes or an ``out`` that do not fit.

    >>> import fastcal as fc
    >>> fc.softmax([[0.0, 0.0], [1.0, 3.0]]).round(4).tolist()
    [[0.5, 0.5], [0.1192, 0.8808]]
    """
    plain = type(axis) is int and axis == -1 and out is None and dtype is None and n_threads is None
    if plain and _is_small(logits):
        return _small(logits, temperature, row_workers.Softmax)
    scores = row_scores("logits", logits, axis, dtype)
    return _normalised(scores, temperature, out, row_workers.Softmax, n_threads)


@overload
def log_softmax(logits: Any, *, out: Out, **options: Unpack[LogitOptions]) -> Out: ...
@overload
def log_softmax(logits: float, *, out: None = None, **options: Unpack[LogitOptions]) -> np.floating[Any]: ...
@overload
def log_softmax(logits: Any, *, out: None = None, **options: Unpack[LogitOptions]) -> Array: ...
def log_softmax(
    logits: Any,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    out: Array | None = None,
    dtype: Bits = None,
    n_threads: int | None = None,
) -> Any:
    """log softmax_k = z_k / T - log sum_j exp(z_j / T), with types, special values and ``out`` as in :func:`softmax`.

    Computed as (z_k - max z) / T - log1p(sum of the others), so that the -1e-9 of a confident row is not 0.

    >>> import fastcal as fc
    >>> certain = fc.log_softmax([0.0, 30.0])
    >>> certain.round(4).tolist(), f"{certain[1]:.3e}"
    ([-30.0, -0.0], '-9.358e-14')
    """
    plain = type(axis) is int and axis == -1 and out is None and dtype is None and n_threads is None
    if plain and _is_small(logits):
        return _small(logits, temperature, row_workers.LogSoftmax)
    scores = row_scores("logits", logits, axis, dtype)
    return _normalised(scores, temperature, out, row_workers.LogSoftmax, n_threads)


@overload
def logsumexp(logits: Any, *, keepdims: bool = False, out: Out, **options: Unpack[LogitOptions]) -> Out: ...
@overload
def logsumexp(logits: Any, *, keepdims: Literal[True], out: None = None, **options: Unpack[LogitOptions]) -> Array: ...
@overload
def logsumexp(logits: Any, *, keepdims: bool = False, out: None = None, **options: Unpack[LogitOptions]) -> Any: ...
def logsumexp(
    logits: Any,
    *,
    axis: Axis = -1,
    temperature: float = 1.0,
    keepdims: bool = False,
    out: Array | None = None,
    dtype: Bits = None,
    n_threads: int | None = None,
) -> Any:
    """log sum_k exp(z_k / T) along ``axis``: an integer, a tuple of them, or None for all.

    float64 or float32, the latter for half floats too; a number for a single row. +inf with any +inf, -inf for nothing
    but -inf or for no logit at all, NaN with any NaN. ``out`` takes the result. Raises as :func:`softmax` does.

    >>> import fastcal as fc
    >>> fc.logsumexp([[1000.0, 1000.0], [0.0, -float("inf")]]).tolist()
    [1000.6931471805599, 0.0]
    """
    scores = row_scores("logits", logits, axis, dtype)
    if scores.n_classes == 0:
        return _reduced(scores, np.full(scores.lead, -np.inf, scores.real), keepdims, out)
    return _reduced(scores, _summary(scores, temperature, n_threads).logsumexp, keepdims, out)


def softmax_summary(
    logits: Any, *, temperature: float = 1.0, dtype: Bits = None, n_threads: int | None = None
) -> SoftmaxSummary:
    """Prediction, confidence, margin, entropy and log-sum-exp of softmax(logits / temperature), in one pass.

    ``logits`` (..., K). With p = softmax(z / T): confidence = max p; margin = the largest p less the next (1 for
    K = 1); entropy = -sum p log p in nats; logsumexp = log sum exp(z / T). In the precision of the input, float32 for
    half. A row with NaN, with two or more +inf or with nothing but -inf is no distribution: its prediction is -1, its
    logsumexp NaN, +inf or -inf, all else NaN. A difference of logits beyond their precision's range counts as infinite.
    Raises ValueError for a temperature that is not positive, or that is too far from 1 to divide by.

    >>> import fastcal as fc
    >>> summary = fc.softmax_summary([[0.0, 0.0], [1.0, 3.0]])
    >>> summary.prediction.tolist(), summary.confidence.round(4).tolist()
    ([0, 1], [0.5, 0.8808])
    """
    scores = row_scores("logits", logits, -1, dtype)
    if scores.given.ndim == 0:
        raise DataError("logits", (), "has shape (); expected rows (..., K)")
    scores.need_classes()
    return _summary(scores, temperature, n_threads)


@overload
def entropy(probs: Any, *, keepdims: bool = False, out: Out, **options: Unpack[ProbOptions]) -> Out: ...
@overload
def entropy(probs: Any, *, keepdims: Literal[True], out: None = None, **options: Unpack[ProbOptions]) -> Array: ...
@overload
def entropy(probs: Any, *, keepdims: bool = False, out: None = None, **options: Unpack[ProbOptions]) -> Any: ...
def entropy(
    probs: Any,
    *,
    axis: Axis = -1,
    base: float | None = None,
    keepdims: bool = False,
    out: Array | None = None,
    dtype: Bits = None,
    n_threads: int | None = None,
) -> Any:
    """-sum_k p_k log p_k along ``axis``, 0 log 0 = 0, in nats or in units of log ``base`` (Shannon 1948).

    float64 or float32, the latter for half floats too; a number for a single row. Rows are taken as they are, not
    renormalised. A row with NaN is NaN. Raises DataError, a ValueError, for values outside [0, 1] and sums off 1 by
    more than rounding (see the README), ValueError for a base that is not positive or is 1.

    >>> import fastcal as fc
    >>> fc.entropy([[0.5, 0.5], [1.0, 0.0]], base=2).tolist()
    [1.0, 0.0]
    """
    unit = 1.0
    if base is not None:
        if not (0 < base < math.inf and base != 1):
            raise ValueError(f"base is {base!r}; expected a positive number other than 1")
        unit = 1 / math.log(base)
    scores = row_scores("probs", probs, axis, dtype)
    scores.need_classes()
    outer, _, inner = scores.values.shape
    values = memory.empty((outer, inner), scores.real)
    if out is not None:
        check_reduced(out, _reduced_shape(scores, keepdims), scores.real, scores)
    workers = run(scores, _row_bytes(scores), lambda: row_workers.Entropy(scores, unit, values), n_threads)
    bad = [worker.bad for worker in workers if worker.bad is not None]
    if bad:
        raise _fault(scores, min(bad))
    return _reduced(scores, values.reshape(scores.lead), keepdims, out)


SMALL = 1 << 14
_scratch = threading.local()


def _is_small(logits: Any) -> bool:
    """Whether an array is so plain and small that looking at it would take longer than the work."""
    return (
        type(logits) is np.ndarray
        and 0 < logits.size <= SMALL
        and logits.dtype in FLOATS
        and logits.ndim > 0
        and logits.flags.c_contiguous
        and logits.flags.aligned
    )


def _small(logits: Array, temperature: float, kind: type[row_workers.Filling]) -> Array:
    """Along the last axis in the caller's thread, in scratch that the thread keeps: 4 us a softmax, not 40."""
    dtype, shape = logits.dtype, logits.shape
    rows = logits.reshape(-1, shape[-1])
    rows.flags.writeable = False
    out = np.empty(shape, dtype)
    kept = getattr(_scratch, kind.__name__, None)
    if kept is None or kept[0] is not dtype or kept[1] != shape[-1]:
        kept = dtype, shape[-1], kind(row_scores("logits", np.empty_like(rows)), None, None)
        setattr(_scratch, kind.__name__, kept)
    worker = kept[2]
    worker.arguments = divisor(temperature, dtype)
    worker.fill(rows, out.reshape(-1), False)
    return out


def _normalised(
    scores: RowScores, temperature: float, out: Array | None, worker: type[row_workers.Worker], n_threads: int | None
) -> Any:
    divided = divisor(temperature, scores.real)
    given, (out, filled) = out, result_like(scores, out)
    if filled.size:
        run(scores, 2 * _row_bytes(scores), lambda: worker(scores, divided, filled), n_threads)
    give_back(scores, out, filled)
    return out if out.ndim or given is not None else out[()]


def _summary(scores: RowScores, temperature: float, n_threads: int | None) -> SoftmaxSummary:
    divided = divisor(temperature, scores.real)
    outer, _, inner = scores.values.shape
    columns = [memory.empty((outer, inner), dtype) for dtype in (np.dtype(np.int64), *[scores.real] * 4)]
    run(scores, _row_bytes(scores) + 24, lambda: row_workers.Summary(scores, divided, columns), n_threads)
    return SoftmaxSummary(*(column.reshape(scores.lead) for column in columns))


def _reduced_shape(scores: RowScores, keepdims: bool) -> tuple[int, ...]:
    if not keepdims:
        return scores.lead
    return tuple(1 if axis in scores.axes else n for axis, n in enumerate(scores.given.shape))


def _reduced(scores: RowScores, values: Array, keepdims: bool, out: Array | None) -> Any:
    """One number a row: in ``out``, as an array, or as a number."""
    shape = _reduced_shape(scores, keepdims)
    if out is not None:
        check_reduced(out, shape, scores.real, scores)
        out[...] = values.reshape(shape)
        return out
    return values.reshape(shape) if shape else values[()]


def _row_bytes(scores: RowScores) -> int:
    return scores.n_classes * scores.taken_as.itemsize + 8


def _fault(scores: RowScores, row: int) -> DataError:
    """What is wrong with a row of probabilities."""
    outer, inner = divmod(row, scores.values.shape[2])
    values = scores.rows((slice(outer, outer + 1), slice(None), slice(inner, inner + 1)))[0]
    if scores.taken_as == np.uint16:
        values = values.view(np.float16)
    elif scores.taken_as == np.int16:
        values = (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    problem, where = probability_problem(values.astype(np.float64), *row_workers.tolerances(scores), rows=True)
    place = list(scores.place(row))
    if where is not None:
        inside = np.unravel_index(where, [scores.given.shape[axis] for axis in scores.axes])
        for axis, index in zip(scores.axes, inside, strict=True):
            place.insert(axis, int(index))
    return DataError(scores.argument, tuple(place), problem)
