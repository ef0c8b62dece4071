"""Figures before and after, of rows that a fit has not seen; and which rows those are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..accumulators.evaluation import Evaluation
from ..arrays import WEIGHTS, Array, DataError, weighable
from .forms import Form
from .rows import Table, table

if TYPE_CHECKING:
    from .base import Calibrator

FIGURES = ("n", "accuracy", "nll", "brier", "ece", "classwise_ece")
PARTS = ("scores", "reliability", "classwise")
# Numbers of scores that are calibrated before they are added up.
PIECE = 1 << 21
SEED = 0

Figures = dict[str, float | int]


def set_aside(given: Table, held_out: Any, classes: Array | None) -> tuple[Table, Table | None]:
    """The rows to fit, and those held out: a fraction of the rows given, or a tuple of others."""
    if held_out is None:
        return given, None
    if isinstance(held_out, tuple | list):
        return given, held_out_table(held_out, classes)
    if isinstance(held_out, bool) or not isinstance(held_out, Real) or not 0 < float(held_out) < 1:
        raise ValueError(f"held_out is {held_out!r}; expected a fraction between 0 and 1, or (scores, y[, weights])")
    share = float(held_out)
    places = np.arange(given.n_rows + 1) * share
    chosen = np.floor(places[1:]) > np.floor(places[:-1])
    order = rows_by_class(given.labels, SEED)
    held, rest = np.sort(order[chosen]), np.sort(order[~chosen])
    if not len(held) or not len(rest):
        raise ValueError(f"held_out is {held_out!r}, which of {given.n_rows} rows is {len(held)}")
    return some(given, rest), some(given, held)


def held_out_table(held_out: Any, classes: Array | None) -> Table:
    """(scores, y) or (scores, y, weights) as a table."""
    if not isinstance(held_out, tuple | list) or not 2 <= len(held_out) <= 3:
        kind = type(held_out).__name__
        raise TypeError(f"held_out is a {kind}; expected (scores, y_true) or (scores, y_true, weights)")
    try:
        return table(held_out[0], held_out[1], held_out[2] if len(held_out) == 3 else None, classes)
    except DataError as error:
        raise DataError(f"held-out {error.argument}", error.index, error.problem) from None


def rows_by_class(labels: Array, seed: int) -> Array:
    """Rows in the order of their labels, those of one label shuffled: every k-th of them is a stratified sample."""
    return np.lexsort((_hashes(len(labels), seed), labels))


def shuffled(n_rows: int, seed: int) -> Array:
    """Rows, shuffled."""
    return np.argsort(_hashes(n_rows, seed), kind="stable")


def _hashes(n_rows: int, seed: int) -> Array:
    """Hashes of the rows' numbers (splitmix64; Steele, Lea, Flood 2014): the same everywhere and for ever."""
    start = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    x = np.arange(1, n_rows + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def some(given: Table, rows: Array) -> Table:
    """Some of the rows, copied."""
    weights = None if given.weights is None else given.weights[rows]
    scores = replace(given.scores, values=given.scores.values[rows])
    return replace(given, scores=scores, labels=given.labels[rows], weights=weights)


def check_values(given: Table, form: Form, prefix: str = "") -> None:
    """Raise DataError for the first row that holds no scores, or a weight that is none."""
    for start, stop in _pieces(given):
        scores, _, weights = given.part(start, stop)
        form.check(scores, half=given.half, first_row=start, argument=f"{prefix}scores")
        if weights is not None and not (fine := weighable(weights)).all():
            row = int(np.argmin(fine))
            raise DataError(f"{prefix}sample_weight", (start + row,), f"is {weights[row]}; {WEIGHTS}")


def check_weighed(given: Table, prefix: str = "") -> None:
    """Raise DataError where no row counts."""
    if given.weights is not None and not np.any(given.weights):
        raise DataError(f"{prefix}sample_weight", (), "is 0 in every row")


def uncalibrated(given: Table, form: Form, n_threads: int | None) -> Figures:
    """Figures of the scores as they are: of logits, those of their softmax."""
    evaluation = Evaluation(from_logits=form.input == "logits", parts=PARTS, squares=False, n_threads=n_threads)
    for start, stop in _pieces(given):
        scores, labels, weights = given.part(start, stop)
        evaluation.update(labels, plain(scores, form, half=given.half), sample_weight=weights)
    return _of(evaluation)


def plain(scores: Array, form: Form, *, half: bool) -> Array:
    """Scores (n, C) as metrics take them. (What half floats are rounded to, they take of half floats only.)"""
    if half and form.input == "probs":
        scores = scores.clip(0.0, 1.0)
        if scores.shape[1] > 1:
            scores = scores / scores.sum(axis=1, keepdims=True)
    return scores[:, 0] if scores.shape[1] == 1 else scores


def calibrated(calibrator: Calibrator, given: Table) -> Figures:
    """Figures of what a fitted calibrator makes of the scores."""
    evaluation = Evaluation(parts=PARTS, squares=False, n_threads=calibrator.n_threads)
    for start, stop in _pieces(given):
        _, labels, weights = given.part(start, stop)
        piece = replace(given.scores, values=given.scores.values[start:stop])
        out = np.empty((stop - start, given.n_columns), np.float64)  # float32 may round to 0
        calibrator._apply(piece, writer(out))
        evaluation.update(labels, out[:, 0] if given.binary else out, sample_weight=weights)
    return _of(evaluation)


def writer(out: Array) -> Callable[[Array, int, int, Callable[[Array, Array], None]], None]:
    """What :meth:`Calibrator._apply` calls to put probabilities into ``out``."""
    return lambda part, start, stop, apply: apply(part, out[start:stop])


def _pieces(given: Table) -> Iterator[tuple[int, int]]:
    size = max(PIECE // given.n_columns, 1)
    for start in range(0, given.n_rows, size):
        yield start, min(start + size, given.n_rows)


def _of(evaluation: Evaluation) -> Figures:
    report = evaluation.compute()
    return {name: report[name] for name in FIGURES}
