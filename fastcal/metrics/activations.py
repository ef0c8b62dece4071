"""Final-layer activations: how large they are, how familiar, and the confidence that follows (Pearce et al. 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcal import kernels

from .. import engine
from ..arrays import Array, DataError, array_or_bits
from ..forks import linear_algebra
from ..rowwise import Box, RowScores, row_scores, run

# Products of so few terms BLAS leaves to the calling thread (OpenBLAS 0.3; so threads of ours take a block each), but
# for blocks of fewer rows than these its own threads do better.
SERIAL = 1 << 18
FEW_ROWS = 16
# Cosines, and bytes of features, that are held at once.
COSINES = 1 << 20
FEATURES = 1 << 24
# Rows whose norms are beyond these are scaled before they are multiplied.
PLAIN = {np.dtype(np.float32): (1e-30, 1e30), np.dtype(np.float64): (1e-200, 1e200)}
ROUNDING = 1e-3  # of a cosine in half precision; beyond it, it is none
MOST_CLASSES = 1 << 53  # that float64 counts
NO_ANGLE = "only rows of norm 0 have no cosine"


def activation_norm(features: Any, *, dtype: str | None = None, n_threads: int | None = None) -> Any:
    """||z||_2, the magnitude of each row of final-layer features; low where the filters find nothing that they know.

    ``features`` (..., H) to (...,), float64, or float32 for that and half floats (``dtype="bfloat16"`` for bits as
    uint16); a number for a single row. Summed in float64 without overflow or underflow on the way; a norm that the
    result's type cannot hold, above 3.4e38 in float32, is inf. In the softmax it does what 1 / temperature does
    (Pearce, Brintrup and Zhu 2021). Raises DataError, a ValueError, for values that are not finite.

    >>> import fastcal as fc
    >>> fc.activation_norm([[3.0, 4.0], [0.0, 0.0], [0.0, 2e300]]).tolist()
    [5.0, 0.0, 2e+300]
    """
    scores = _features(features, dtype)
    norms = np.empty(scores.n_rows)
    run(scores, _row_bytes(scores), lambda: _Norms(scores, norms), n_threads)
    _check(scores, norms)
    with np.errstate(over="ignore", under="ignore"):
        return _shaped(scores, norms.astype(scores.real, copy=False))


def activation_familiarity(
    features: Any, class_weights: Any, *, dtype: str | None = None, n_threads: int | None = None
) -> Any:
    """max_i cos(angle between w_i and z) of each row of final-layer features: 1 along the weights of a class.

    ``features`` (..., H), ``class_weights`` (K, H) as the weight of torch's Linear; (...,), float64, or float32 where
    neither is float64 or integer (``dtype="bfloat16"`` for features, and weights if those are uint16 too, as its bits);
    a number for a single row. NaN for features of norm 0, which have no angle. Low where features come in combinations
    that the data has not (Pearce, Brintrup and Zhu 2021). A matrix product by NumPy's BLAS, some rows at a time, so
    that N x K is never held; where K H is above 16 384 the threads are those of BLAS, whatever ``n_threads`` says.
    Raises DataError, a ValueError, for values that are not finite, weights of norm 0 and other shapes.

    >>> import fastcal as fc
    >>> fc.activation_familiarity([[2.0, 0.0], [1.0, 1.0], [-3.0, 0.0]], [[1.0, 0.0], [0.0, 5.0]]).round(4).tolist()
    [1.0, 0.7071, 0.0]
    """
    engine.thread_count(n_threads)
    scores, weights = _features(features, dtype), _features(class_weights, None, "class_weights")
    if dtype is not None and weights.given.dtype.kind == "u" and weights.given.itemsize == 2:
        weights = _features(class_weights, dtype, "class_weights")
    if weights.given.ndim != 2 or 0 in weights.given.shape or weights.n_classes != scores.n_classes:
        problem = f"has shape {weights.given.shape}; expected (K, {scores.n_classes}), a row for each class"
        raise DataError("class_weights", (), problem)
    lengths = np.empty(weights.n_rows)
    whole = (slice(None),) * 3
    _Norms(weights, lengths)((slice(0, weights.n_rows), *whole[1:]))
    _check(weights, lengths)
    if not lengths.all():
        raise DataError("class_weights", (int(np.argmin(lengths)),), "has norm 0, and no angle to anything")
    real = np.promote_types(scores.real, weights.real)
    units = np.ascontiguousarray(_units(floats(weights, whole)).astype(real).T)
    found, norms = np.empty(scores.n_rows, real), np.empty(scores.n_rows)
    block = SERIAL // units.size
    row_bytes = _row_bytes(scores) + units.itemsize * units.shape[1]
    if block >= FEW_ROWS:
        run(scores, row_bytes, lambda: _Cosines(scores, norms, units, found, block), n_threads)
    else:
        step = max(min(COSINES // units.shape[1], FEATURES // row_bytes), 1)
        worker = _Cosines(scores, norms, units, found, step)
        for start in range(0, scores.n_rows, step):
            worker((slice(start, min(start + step, scores.n_rows)), *whole[1:]))
    _check(scores, norms)
    return _shaped(scores, found)


def mental_model_confidence(norm: Any, familiarity: Any, n_classes: int) -> Any:
    """1 / (1 + (K - 1) exp(-||z|| (1 / (K - 1) + max_i cos(w_i, z)))): the softmax confidence that norm and familiarity
    make, where class weights are spread out as far as they can be.

    ``norm`` and ``familiarity`` from :func:`activation_norm` and :func:`activation_familiarity`, or anything of shapes
    that broadcast; ``n_classes`` K >= 2. float32 if both are, else float64; a number for two numbers. U_max of the
    mental model of Pearce, Brintrup and Zhu 2021 (section 5) is its negative: all other classes are taken to be at a
    cosine of -1 / (K - 1), weights of norm 1 and without bias. A familiarity of NaN counts where the norm is 0: 1 / K.
    Raises DataError, a ValueError, for norms that are negative or not finite and familiarities beyond [-1, 1] by more
    than 1e-3 (what less is, is rounding).

    >>> import fastcal as fc
    >>> fc.mental_model_confidence([0.0, 2.0, 20.0], [1.0, 0.5, 1.0], 3).round(4).tolist()
    [0.3333, 0.787, 1.0]
    """
    whole = isinstance(n_classes, int | np.integer) and not isinstance(n_classes, bool)
    if not (whole and 2 <= n_classes <= MOST_CLASSES):
        raise ValueError(f"n_classes is {n_classes!r:.40}; expected an integer of at least 2, and at most 2^53")
    lengths, cosines = _numbers("norm", norm), _numbers("familiarity", familiarity)
    try:
        shape = np.broadcast_shapes(lengths.shape, cosines.shape)
    except ValueError:
        problem = f"has shape {cosines.shape}, which does not go with the shape {lengths.shape} of norm"
        raise DataError("familiarity", (), problem) from None
    real = np.promote_types(lengths.dtype, cosines.dtype)
    _all("norm", lengths, (lengths >= 0) & np.isfinite(lengths), "norms are finite and not negative")
    undefined = np.isnan(cosines)
    inside = np.broadcast_to(undefined, shape) & np.broadcast_to(lengths == 0, shape)
    fine = (abs(cosines) <= 1 + ROUNDING) | undefined
    _all("familiarity", cosines, fine, "cosines lie in [-1, 1]")
    _all("familiarity", np.broadcast_to(cosines, shape), ~np.broadcast_to(undefined, shape) | inside, NO_ANGLE)
    others = int(n_classes) - 1
    cosine = np.where(undefined, 0.0, np.clip(cosines.astype(np.float64), -1.0, 1.0))
    with np.errstate(over="ignore"):  # to a confidence of 0
        confidence = 1 / (1 + others * np.exp(-lengths.astype(np.float64) * (1 / others + cosine)))
    return confidence.astype(real)[()]


def _numbers(argument: str, values: Any) -> Array:
    """float32, half floats too, or float64; NaN for what is masked."""
    given, bits = array_or_bits(argument, values)
    if isinstance(given, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(given)
        return np.asarray(np.where(hidden, np.nan, _numbers(argument, given.data)))
    if bits:
        return (given.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    single = given.dtype.kind == "f" and given.dtype.itemsize <= 4
    return given.astype(np.float32 if single else np.float64, copy=False)


def floats(scores: RowScores, box: Box) -> Array:
    """The rows of a box, half floats as float32."""
    rows = scores.rows(box)
    if rows.dtype == np.uint16:
        return rows.view(np.float16).astype(np.float32)
    if rows.dtype == np.int16:
        return (rows.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return rows


def _all(argument: str, values: Array, fine: Array, expected: str) -> None:
    if not fine.all():
        place = tuple(int(i) for i in np.unravel_index(np.argmin(fine), fine.shape)) if fine.ndim else ()
        raise DataError(argument, place, f"is {values[place]}; {expected}")


def _features(features: Any, dtype: str | None, argument: str = "features") -> RowScores:
    scores = row_scores(argument, features, -1, dtype)
    if scores.given.ndim == 0 or scores.n_classes == 0:
        raise DataError(argument, (), f"has shape {scores.given.shape}; expected rows (..., H)")
    return scores


def _row_bytes(scores: RowScores) -> int:
    return scores.n_classes * scores.taken_as.itemsize + 8


def _shaped(scores: RowScores, values: Array) -> Any:
    return values.reshape(scores.lead)[()]


def _check(scores: RowScores, norms: Array) -> None:
    """Raise DataError for the first row that has something else than finite numbers."""
    wrong = np.flatnonzero(np.isnan(norms))
    if wrong.size:
        row = int(wrong[0])
        values = floats(scores, (slice(row, row + 1), slice(None), slice(None)))[0]
        column = int(np.argmin(np.isfinite(values)))
        raise DataError(scores.argument, (*scores.place(row), column), f"is {values[column]}; expected finite numbers")


def _units(rows: Array) -> Array:
    """Rows divided by their largest entries and by what norms that leaves; NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = rows.astype(np.float64) / abs(rows).max(axis=1, keepdims=True)
        return np.asarray(scaled / np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None])


class _Norms:
    """Norms of the rows of a box."""

    def __init__(self, scores: RowScores, out: Array) -> None:
        self.scores = scores
        self.out = out

    def __call__(self, box: Box) -> None:
        kernels.activations.norms(self.scores.rows(box), self.out[box[0]])


class _Cosines(_Norms):
    """The largest cosine of the rows of a box, and their norms; products are of ``block`` rows each."""

    def __init__(self, scores: RowScores, out: Array, units: Array, found: Array, block: int) -> None:
        super().__init__(scores, out)
        self.units = units  # (H, K)
        self.found = found
        self.block = block

    def __call__(self, box: Box) -> None:
        super().__call__(box)
        norms = self.out[box[0]]
        rows = floats(self.scores, box).astype(self.units.dtype, copy=False)
        low, high = PLAIN[self.units.dtype]
        odd = np.flatnonzero(~((norms > low) & (norms < high)))
        if odd.size:
            rows, norms = rows.copy(), norms.copy()
            rows[odd], norms[odd] = _units(floats(self.scores, box)[odd]), 1.0
        whole = len(rows) - len(rows) % self.block
        cosines = np.empty((len(rows), self.units.shape[1]), self.units.dtype)
        blocks = rows[:whole].reshape(-1, self.block, rows.shape[1])
        with linear_algebra():
            np.matmul(blocks, self.units, out=cosines[:whole].reshape(-1, self.block, self.units.shape[1]))
            np.matmul(rows[whole:], self.units, out=cosines[whole:])
        found = self.found[box[0]]
        np.divide(cosines.max(axis=1), norms, out=found, casting="same_kind")
        np.clip(found, -1.0, 1.0, out=found)
