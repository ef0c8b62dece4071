"""Which calibrator suits these scores: every method's figures on rows that its fit has not seen, with intervals."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import engine, memory
from ..accumulators.intervals import check_level
from ..arrays import Array, DataError
from .base import Calibrator, FitWarning, _checked_classes, _dense
from .forms import Form, Input, checked_input
from .held_out import check_values, check_weighed, rows_by_class, some, writer
from .judging import NONE, CalibratorResult, Judge
from .methods import METHODS, for_scores
from .rows import ArrayRows, Table, table

# Of more classes than these a matrix has too many parameters to be tried unasked.
MOST_CLASSES_OF_MATRICES = 100
OF_MATRICES = ("matrix", "dirichlet")


@dataclass(frozen=True)
class CalibratorComparison:
    """Methods by name, ``comparison["temperature"]``, ranked by NLL (then Brier) on rows that their fits had not seen.

    ``results`` is in that order, methods that failed at its end; ``best`` is the first one's name, which may be "none",
    the scores as they are. ``print`` shows a table, :meth:`plot` draws the intervals.

    >>> import fastcal as fc
    >>> logits, y = [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]] * 5, [0, 1, 1, 1] * 5
    >>> found = fc.cross_validate_calibrators(logits, y, input="logits", methods=["temperature"], cv=2)
    >>> found.best
    'none'
    """

    results: tuple[CalibratorResult, ...]
    n: int
    n_classes: int
    n_folds: int
    level: float

    @property
    def best(self) -> str:
        """The name of the method with the lowest NLL."""
        return self.results[0].name

    @property
    def ranking(self) -> list[str]:
        """Names, the lowest NLL first."""
        return [result.name for result in self.results]

    def __getitem__(self, name: str) -> CalibratorResult:
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python."""
        numbers = {name: getattr(self, name) for name in ("best", "n", "n_classes", "n_folds", "level")}
        return {**numbers, "results": [result.to_dict() for result in self.results]}

    def plot(self, names: Sequence[str] = ("nll", "ece"), axes: Any = None) -> Any:
        """Draw figures with their intervals, a panel each; returns the list of Axes. Needs matplotlib.

        >>> import fastcal as fc
        >>> logits, y = [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]] * 5, [0, 1, 1, 1] * 5
        >>> found = fc.cross_validate_calibrators(logits, y, input="logits", methods=["temperature"], cv=2)
        >>> len(found.plot(["nll"]))
        1
        """
        # by name: the figures' layer lies above this one
        return importlib.import_module("fastcal.report.calibrators").draw(self, names, axes)

    def __str__(self) -> str:
        width = max(len(result.name) for result in self.results)
        columns = ("nll", "brier", "ece", "classwise_ece", "accuracy")
        percent = f"{100 * self.level:g} %"
        lines = [f"{self.n} rows, {self.n_classes} classes, {self.n_folds} folds; nll less that of none, {percent}"]
        lines.append(f"{'':{width}}  " + "  ".join(f"{name:>13}" for name in columns) + "  difference")
        for result in self.results:
            if result.error is not None:
                lines.append(f"{result.name:{width}}  failed: {result.error}")
                continue
            figures = "  ".join(f"{result.figures[name]:13.6f}" for name in columns)
            text = ""
            if result.differences:
                difference, low, high = result.differences["nll"]
                text = f"{difference:+.6f}" + ("" if math.isnan(low) else f" [{low:+.6f}, {high:+.6f}]")
            note = f"  ({len(result.warnings)} warnings)" if result.warnings else ""
            lines.append(f"{result.name:{width}}  {figures}  {text}{note}".rstrip())
        return "\n".join(lines)


def cross_validate_calibrators(
    scores: Any,
    y_true: Any,
    *,
    methods: Any = None,
    cv: Any = 5,
    sample_weight: Any = None,
    input: str = "logits",
    classes: Any = None,
    random_state: int = 0,
    level: float = 0.95,
    n_threads: int | None = None,
) -> CalibratorComparison:
    """Compare calibrators by cross-validation: each row is calibrated by a fit to the other folds.

    ``scores`` (N,) or (..., K), ``y_true`` and ``sample_weight`` as in :meth:`Calibrator.fit`; ``input`` says what the
    scores are for all methods named here, "logits" or "probs", and for the figures of "none", the scores as they are.
    ``methods``: short names (temperature, vector, ...), calibrators, or a mapping of names to calibrators, which keep
    their own ``input``; None for all, matrix and dirichlet up to 100 classes. Named methods that take logarithms count
    probabilities below 2^-25 as that (``clip``). ``cv``: a number of folds, stratified: the rows of each label are
    dealt out in the order of a hash of their numbers and ``random_state``; or pairs (train, test) of row indices, or a
    splitter that makes them, in which no row is tested twice; figures are of rows that are tested.

    Figures: nll, brier, ece, classwise_ece, accuracy, each with an interval at ``level``. That of nll and brier is
    normal; of accuracy Wilson's; of ece normal where every bin's gap exceeds 3 standard errors. Else, and of
    classwise_ece, it is that of a delete-a-group jackknife (20 groups of rows, Student's t): how far the figure itself
    is from that of other rows of as many, not the true error, which absolute gaps overestimate. Differences of nll and
    brier to those of "none" are paired: mean and standard error of the rows' differences d_i, with weights
    sum w_i d_i / W and sum w_i^2 (d_i - mean)^2 / (W^2 - sum w_i^2), W = sum w_i; rows that both lose
    infinitely differ by 0, and an infinite mean has no interval. Intervals take the fits as given.

    A method whose fit warns or raises in a fold has that in its result, and the others go on. Memory holds the
    out-of-fold probabilities of one method at a time. Raises ValueError for other options and DataError for rows that
    are none, as fit does.

    >>> import numpy as np
    >>> import fastcal as fc
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(500, 3))
    >>> y = (logits + rng.gumbel(size=(500, 3))).argmax(axis=1)
    >>> found = fc.cross_validate_calibrators(3 * logits, y, methods=["temperature"])
    >>> found.best, found.ranking
    ('temperature', ['temperature', 'none'])
    """
    check_level(level)
    engine.thread_count(n_threads)
    given_as = checked_input(input, "logits")
    labels = _checked_classes(classes)
    rows = table(_dense(scores), y_true, sample_weight, labels)
    n_classes = 2 if rows.binary else rows.n_columns
    if labels is not None and len(labels) != n_classes:
        raise ValueError(f"classes has {len(labels)} labels, scores have {n_classes} classes")
    if not rows.n_rows:
        raise DataError("scores", (), "is empty")
    # of metrics: a logit may be -inf, and a probability 0
    form = Form(given_as, "logits" if given_as == "logits" else "probs", minus_inf=True)
    check_values(rows, form)
    folds = _folds(rows, cv, random_state)
    chosen = _chosen(methods, given_as, n_classes, n_threads)
    tested = np.sort(np.concatenate([test for _, test in folds]))
    judged = some(rows, tested)
    check_weighed(judged)
    judge = Judge(judged, form, random_state, float(level), n_threads)
    found = [judge.baseline]
    for name, calibrator in chosen.items():
        found.append(_tried(name, calibrator, rows, folds, tested, judge))
    order = sorted(found, key=lambda one: (one.error is not None, _place(one, "nll"), _place(one, "brier")))
    return CalibratorComparison(tuple(order), len(tested), n_classes, len(folds), float(level))


def _place(result: CalibratorResult, name: str) -> tuple[bool, float]:
    value = result.figures.get(name, math.nan)
    return math.isnan(value), 0.0 if math.isnan(value) else value


def _folds(rows: Table, cv: Any, seed: Any) -> list[tuple[Array, Array]]:
    """Pairs (train, test) of row numbers."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 62:
        raise ValueError(f"random_state is {seed!r}; expected an integer from 0 up")
    n_rows = rows.n_rows
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if not 2 <= cv <= n_rows:
            raise ValueError(f"cv is {cv}; expected 2 to {n_rows} folds, of {n_rows} rows")
        fold = np.empty(n_rows, np.int64)
        fold[rows_by_class(rows.labels, int(seed))] = np.arange(n_rows) % cv
        return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(cv)]
    try:
        pairs = cv.split(np.zeros((n_rows, 1)), rows.labels) if hasattr(cv, "split") else cv
        pairs = [tuple(pair) for pair in pairs]
    except TypeError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"cv is {cv!r}; expected a number of folds, a splitter, or pairs (train, test) of row indices")
    folds = [(_indices(train, n_rows), _indices(test, n_rows)) for train, test in pairs]
    tested = np.concatenate([test for _, test in folds])
    if len(np.unique(tested)) != len(tested):
        raise ValueError("cv tests a row twice; figures are of rows that are tested once")
    for train, test in folds:
        if not len(train) or not len(test) or np.isin(test, train).any():
            raise ValueError("cv has a fold without rows, or one that tests rows which it fits")
    return folds


def _indices(given: Any, n_rows: int) -> Array:
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (n_rows,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu") or ((rows < 0) | (rows >= n_rows)).any():
        raise ValueError(f"cv has indices that are none of {n_rows} rows")
    return np.sort(rows.astype(np.int64))


def _chosen(methods: Any, given: Input, n_classes: int, n_threads: int | None) -> dict[str, Calibrator]:
    """Calibrators by name."""
    if methods is None:
        few = n_classes <= MOST_CLASSES_OF_MATRICES
        methods = [name for name in METHODS if few or name not in OF_MATRICES]
    if isinstance(methods, str | Calibrator):
        methods = [methods]
    if isinstance(methods, dict):
        pairs = list(methods.items())
    else:
        short = {name: method for method, name in METHODS.items()}
        pairs = [(one if isinstance(one, str) else short.get(type(one).__name__, repr(one)), one) for one in methods]
    found: dict[str, Calibrator] = {}
    for name, one in pairs:
        if not isinstance(one, str | Calibrator):
            raise TypeError(f"methods has a {type(one).__name__}; expected calibrators, or names of methods")
        if not isinstance(name, str) or name in found or name == NONE:
            raise ValueError(f"methods has {name!r} twice; name them apart: methods={{name: calibrator}}")
        made = for_scores(one, given, n_threads) if isinstance(one, str) else type(one)(**one.get_params())
        made._prepared()
        found[name] = made
    if not found:
        raise ValueError(f"methods is {methods!r}; expected at least one")
    return found


def _tried(
    name: str,
    calibrator: Calibrator,
    rows: Table,
    folds: list[tuple[Array, Array]],
    tested: Array,
    judge: Judge,
) -> CalibratorResult:
    """One method's result, whatever its fits end in."""
    said: list[str] = []
    out = memory.empty((len(tested), rows.n_columns), np.dtype(np.float64))
    described = repr(calibrator)
    where = ""
    try:
        for k, (train, test) in enumerate(folds):
            where = f"fold {k}: "
            with _heard(where, said):
                out[np.searchsorted(tested, test)] = _out_of_fold(calibrator, some(rows, train), some(rows, test))
        where = ""
        return judge.result(name, described, out, tuple(said))
    except Exception as error:  # whatever it is, the other methods have figures
        text = f"{where}{type(error).__name__}: {' '.join(str(error).split())}"
        return CalibratorResult(name, described, {}, {}, {}, tuple(said), text)


@contextmanager
def _heard(where: str, said: list[str]) -> Iterator[None]:
    """What fits warn of goes to ``said``, also of one that then breaks; other warnings go on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            said += [f"{where}{one.message}" for one in caught if issubclass(one.category, FitWarning)]
    for one in caught:
        if not issubclass(one.category, FitWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _out_of_fold(calibrator: Calibrator, train: Table, test: Table) -> Array:
    form, _ = calibrator._prepared()
    calibrator._fit(ArrayRows(train, form), None, None)
    out = np.empty((test.n_rows, test.n_columns), np.float64)
    calibrator._apply(test.scores, writer(out))
    return out
