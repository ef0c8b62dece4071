"""What every calibrator shares: scikit-learn's protocol, one way in for rows, one way out for probabilities."""

from __future__ import annotations

import copy
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from fastcal import kernels

from .. import engine, memory
from ..arrays import Array, Column, DataError
from ..rowwise import check_out, check_overlap
from . import held_out as held_out_rows
from .forms import Form, Input, Taken, checked_input
from .parameters import Parameters, not_fitted
from .rows import ArrayRows, BatchRows, Rows, Table, score_table, table

# Bytes of scores that a thread calibrates at once: they and what is made of them stay in the second-level cache.
CHUNK_BYTES = 1 << 19

Applier = Callable[[Array, Array], None]


class FitWarning(UserWarning):
    """A fit that ended on a bound, or without having converged; the message says which.

    >>> import fastcal as fc
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     scaled = fc.TemperatureScaling().fit([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    >>> told[0].category is fc.FitWarning, scaled.converged_
    (True, True)
    """


class Calibrator(Parameters, ABC):
    """A map of scores to calibrated probabilities that is fitted to labelled rows.

    Parameters that all share: ``input``, what scores are said to be, "logits" or "probs" (None: the class's own
    default; it is never guessed from values); ``classes``, the labels in the order of the columns where they are not 0
    to K - 1; ``n_threads``.

    Every fit sets ``classes_``, ``n_classes_``, ``n_features_in_`` (columns: 1 of binary scores), ``n_rows_``, and
    ``figures_``: None, or {"before": ..., "after": ...} of rows held out, each n, accuracy, nll, brier, ece and
    classwise_ece.

    Scores are (N,), binary: the logit of P(y = 1), or P(y = 1) itself; or (..., K), a row of K >= 2 classes each.
    """

    default_input: ClassVar[Input]
    taken: ClassVar[Taken]
    # A logit may be -inf: its class has probability 0 at any parameter.
    minus_inf: ClassVar[bool] = False
    # One look at the rows is enough, so that batches may come from a generator.
    one_pass: ClassVar[bool] = False
    # Names of what a fit sets beside the common ones: what a file holds.
    fitted: ClassVar[tuple[str, ...]]

    input: Input | None
    classes: Any
    n_threads: int | None

    classes_: Array
    n_classes_: int
    n_features_in_: int
    n_rows_: int
    figures_: dict[str, dict[str, float | int]] | None

    # --- to be written by each method -------------------------------------------------------------------------------

    @abstractmethod
    def _estimate(self, rows: Rows) -> dict[str, Any]:
        """Go through the rows and return what ``fitted`` names."""

    @abstractmethod
    def _applier(self) -> Applier:
        """A function, for one thread's use, that writes probabilities of rows in the form that is taken.

        ``apply(rows, out)``: rows (n, C), out (n, C), each float32 or float64; C is 1 for binary scores, of which
        ``out`` takes P(y = 1).
        """

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise ValueError or TypeError for what the estimator was made with, naming the parameter."""

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise ValueError where fitted attributes, read from a file, contradict each other."""

    # --- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, scores: Any, y_true: Any, sample_weight: Any = None, *, held_out: Any = None) -> Self:
        """Fit to ``scores`` (N,) or (..., K), labels ``y_true`` and weights of the same rows; returns self.

        ``held_out``: rows for figures before and after, ``figures_``: others, as (scores, y) or (scores, y, weights),
        or a fraction of these rows, which are then not fitted: in the order of their labels, and within a label of a
        hash of their numbers, those at which the fraction's multiples pass a whole number; the same ones in every fit.

        Raises DataError, a ValueError, naming the argument, the place and the value of what is no score, label or
        weight. Whatever was fitted before stays in case of an error.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).fit([0.2, 0.3, 0.8], [0, 1, 1]).values_.tolist()
        [0.5, 1.0]
        """
        form, classes = self._prepared()
        given, held = held_out_rows.set_aside(table(_dense(scores), y_true, sample_weight, classes), held_out, classes)
        return self._fit(ArrayRows(given, form), classes, held)

    def fit_batches(self, batches: Any, *, held_out: Any = None) -> Self:
        """Fit to batches (scores, y) or (scores, y, weights), none of which is held with the others; returns self.

        ``batches`` can be gone through again and again: a list, :func:`fastcal.read_batches`, or a function that
        returns an iterator. A generator will do for methods that look at rows once. The fit has the same bits as that
        of all rows in one array, whatever the sizes of batches. ``held_out``: (scores, y) or (scores, y, weights) of
        other rows, for ``figures_``.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).fit_batches([([0.2, 0.3], [0, 1]), ([0.8], [1])]).values_.tolist()
        [0.5, 1.0]
        """
        form, classes = self._prepared()
        rows = BatchRows(batches, form, classes)
        if rows.once and not self.one_pass:
            name = type(self).__name__
            raise TypeError(
                f"batches can be gone through once only, and {name} looks at the rows again and again: pass a list, "
                "read_batches(...), or a function that returns an iterator"
            )
        held = None if held_out is None else held_out_rows.held_out_table(held_out, classes)
        return self._fit(rows, classes, held)

    def _prepared(self) -> tuple[Form, Array | None]:
        """The form of the scores and the labels by column, once all parameters were found in order."""
        engine.thread_count(self.n_threads)
        self._check_parameters()
        return self._form(), _checked_classes(self.classes)

    def _form(self) -> Form:
        smallest = getattr(self, "clip", None) or 0.0
        return Form(checked_input(self.input, self.default_input), self.taken, self.minus_inf, smallest)

    def _fit(self, rows: Rows, classes: Array | None, held: Table | None) -> Self:
        if classes is not None and len(classes) != rows.n_classes:
            raise ValueError(f"classes has {len(classes)} labels, scores have {rows.n_classes} classes")
        if isinstance(rows, ArrayRows) and rows.n_rows == 0:
            raise DataError("scores", (), "is empty")
        if held is not None:
            self._check_held_out(rows, held)
            before = held_out_rows.uncalibrated(held, rows.form, self.n_threads)
        found = self._estimate(rows)
        if rows.n_rows == 0:
            raise DataError("batches", (), "has no rows")
        found |= {
            "n_classes_": rows.n_classes,
            "n_features_in_": rows.n_columns,
            "n_rows_": rows.n_rows,
            "classes_": np.arange(rows.n_classes) if classes is None else classes,
            "figures_": None,
        }
        if held is not None:
            fitted = copy.copy(self)
            vars(fitted).update(found)
            found["figures_"] = {"before": before, "after": held_out_rows.calibrated(fitted, held)}
        vars(self).update(found)
        return self

    def _check_held_out(self, rows: Rows, held: Table) -> None:
        """Raise DataError for rows held out that are none, or not like those that are fitted."""
        if held.n_rows == 0:
            raise DataError("held-out scores", (), "is empty")
        if (held.n_columns, held.binary) != (rows.n_columns, rows.binary):
            raise DataError("held-out scores", (), f"has {held.n_columns} columns, the rows to fit {rows.n_columns}")
        held_out_rows.check_values(held, rows.form, "held-out ")
        held_out_rows.check_weighed(held, "held-out ")

    # --- applying ---------------------------------------------------------------------------------------------------

    def predict_proba(self, scores: Any, *, out: Array | None = None) -> Array:
        """Calibrated probabilities of ``scores``, of their shape: of binary ones (N,) that of class 1.

        float64 of float64 and of integers, float32 of float32 and of half floats; ``out`` takes them. Raises DataError
        for scores that are no logits or probabilities, naming the place; ``out`` may then have been written to.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).fit([0.2, 0.3, 0.8], [0, 1, 1]).predict_proba([0.1, 0.9]).tolist()
        [0.5, 1.0]
        """
        column, shape = self._column(scores)
        if out is None:
            out = memory.empty(shape, column.dtype)
        else:
            check_out(out, shape, column.dtype)
        flat = out.reshape(column.values.shape)
        check_overlap(flat, "scores", column.values)
        if flat.size and not np.may_share_memory(flat, out):
            flat = np.empty(column.values.shape, column.dtype)
        self._apply(column, lambda part, start, stop, apply: apply(part, flat[start:stop]))
        if flat.size and not np.may_share_memory(flat, out):
            out[...] = flat.reshape(shape)
        return out

    def predict(self, scores: Any) -> Array:
        """The label of the largest calibrated probability, before rounding to the scores' type; of equals the first.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).fit([0.2, 0.3, 0.8], [0, 1, 1]).predict([0.1, 0.9]).tolist()
        [0, 1]
        """
        column, shape = self._column(scores)
        n, n_columns = column.values.shape
        decided = np.empty(n, np.int64)

        def decide(part: Array, start: int, stop: int, apply: Applier) -> None:
            values = np.empty((stop - start, n_columns), np.float64)
            apply(part, values)
            decided[start:stop] = values[:, 0] > 0.5 if n_columns == 1 else values.argmax(axis=1)

        self._apply(column, decide)
        labels: Array = self.classes_[decided]
        return labels.reshape(shape if n_columns == 1 else shape[:-1])

    def _column(self, scores: Any) -> tuple[Column, tuple[int, ...]]:
        """Scores as a column (n, C), and their shape; raises for what does not fit what was fitted."""
        self._check_is_fitted()
        column, lead, binary = score_table("scores", _dense(scores))
        n_columns = column.values.shape[1]
        if n_columns != self.n_features_in_:
            fitted = "binary scores (N,)" if self.n_features_in_ == 1 else f"{self.n_features_in_} classes"
            raise DataError("scores", (), f"has shape {np.shape(scores)}; the calibrator was fitted to {fitted}")
        return column, lead if binary else (*lead, n_columns)

    def _apply(self, column: Column, use: Callable[[Array, int, int, Applier], None]) -> None:
        """Call ``use`` with every chunk of rows in the form that is taken, and the thread's own applier."""
        form = self._form()
        n, n_columns = column.values.shape
        half = column.values.dtype.itemsize < 4 and column.dtype == np.float32
        row_bytes = n_columns * column.dtype.itemsize
        failures: list[DataError] = []

        def make_worker() -> engine.Worker:
            apply = self._applier()

            def work(start: int, stop: int) -> bool:
                part = column.chunk(start, stop)
                try:
                    form.check(part, half=half, first_row=start)
                except DataError as error:
                    failures.append(error)
                    return True
                use(form.of(part), start, stop, apply)
                return False

            return work

        engine.run(n, 2 * row_bytes, max(CHUNK_BYTES // row_bytes // 64 * 64, 64), make_worker, self.n_threads)
        if failures:
            raise min(failures, key=lambda error: error.index)

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write what was fitted to a file, as a whole or not at all; :func:`fastcal.load_calibrator` reads it.

        >>> import fastcal as fc
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fc.HistogramBinning(n_bins=2).fit([0.2, 0.8], [0, 1]).save(f"{folder}/bins.json")
        ...     fc.load_calibrator(f"{folder}/bins.json").values_.tolist()
        [0.0, 1.0]
        """
        from .files import write

        self._check_is_fitted()
        write(self, Path(path))

    # --- scikit-learn's protocol --------------------------------------------------------------------------------------

    _estimator_type = "classifier"

    def score(self, scores: Any, y_true: Any, sample_weight: Any = None) -> float:
        """The accuracy of :meth:`predict`; y_true holds labels of ``classes_``.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).fit([0.2, 0.8], [0, 1]).score([0.1, 0.9, 0.8], [0, 1, 0])
        0.6666666666666666
        """
        decided = self.predict(scores).reshape(-1)
        given = table(scores, y_true, sample_weight, self.classes_)
        held_out_rows.check_values(given, self._form())
        weights = np.ones(given.n_rows) if given.weights is None else np.asarray(given.weights, np.float64)
        if not weights.sum() > 0:
            raise DataError("sample_weight" if given.n_rows else "scores", (), "leaves no row to score")
        return float(np.average(decided == self.classes_[given.labels], weights=weights))

    def _check_is_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise not_fitted(f"this {type(self).__name__} is not fitted yet: call fit first")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=True),
        )


def warn(message: str) -> None:
    """Say what a fit ended in."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastcal."):
        level, frame = level + 1, frame.f_back  # up to the line of the caller's
    warnings.warn(message, FitWarning, stacklevel=level)


def _dense(scores: Any) -> Any:
    if hasattr(scores, "tocsr"):
        raise TypeError("scores is a sparse matrix; expected an array")
    return scores


def _checked_classes(classes: Any) -> Array | None:
    if classes is None:
        return None
    given = np.array(classes)  # a copy, of what the caller may change
    if given.dtype.kind == "O" and all(isinstance(label, str) for label in given.flat):
        given = given.astype(np.str_)
    if given.ndim != 1 or given.dtype.kind not in "biufUS" or len(np.unique(given)) != len(given):
        raise ValueError(f"classes is {classes!r}; expected a list of different labels, numbers or text")
    return given


class OneAgainstRest(Calibrator):
    """A binary method for any number of classes: one map a class, of its column, and each row divided by its sum.

    A row of zeros becomes uniform. Rows of two classes have one map, of the column of class 1, so that (N,) and (N, 2)
    are fitted alike.
    """

    # Apply one map a column to values (n, m) float32 or float64 of m maps; ``out`` (n, m) float64 is overwritten.
    @abstractmethod
    def _mapper(self) -> Applier:
        """A function, for one thread's use, ``map(values, out)``: each of m columns by its own map, into float64."""

    def _applier(self) -> Applier:
        mapped = self._mapper()

        def apply(values: Array, out: Array) -> None:
            n, n_columns = values.shape
            if n_columns <= 2:
                one = np.empty((n, 1), np.float64)
                mapped(map_columns(values), one)
                out[:, -1:] = one
                if n_columns == 2:
                    out[:, 0] = 1.0 - one[:, 0]
                return
            each = np.empty((n, n_columns), np.float64)
            mapped(values, each)
            kernels.score_forms.normalise(each, out)

        return apply


def map_columns(values: Array) -> Array:
    """The columns that have a map: of rows of two classes the second only, of others all; contiguous, read-only."""
    if values.shape[1] != 2:
        return values
    column = np.ascontiguousarray(values[:, 1:])
    column.flags.writeable = False
    return column
