"""What vector scaling, matrix scaling and Dirichlet calibration share: the likelihood of a linear map of logits."""

from __future__ import annotations

import threading
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastcal import kernels as typed_kernels

from ..arrays import Array, DataError
from .base import Applier, Calibrator, warn
from .curvature import curvature_of
from .forms import Input, Taken
from .likelihood import Likelihood, padded, scratch
from .minimise import Minimum, minimise
from .rows import Block, Rows
from .temperature import softmax_applier

kernels: Any = typed_kernels  # unpacked arguments cannot be counted

MOST = 1e100  # the largest score that is fitted: its square times a weight is finite
REFRESH = 25  # steps after which curvature is taken anew, where it is not exact
NEAR, NEARLY_SEPARATED = 1e-5, 1e-3  # gradient, and mean NLL, at which a fit of a part of the rows is good enough
NEAR_REFRESH = 2
SINGLE = 1e15  # parameters beyond it are no numbers for float32
WIDE = 2048  # classes: of more, the kernel's 64 rows side by side are more than caches hold
ROWS_OF_WIDE = 8  # that are mapped at a time


@dataclass
class Survey:
    """What one look at the rows says before any fit."""

    total: float  # of the weights
    by_class: Array  # weight of each label
    varying: Array  # whether the scores of a class differ between rows that have a weight


class LinearCalibrator(Calibrator):
    """A calibrator whose logits are a linear map of the scores', fitted by mean negative log-likelihood."""

    default_input: ClassVar[Input] = "logits"
    taken: ClassVar[Taken] = "logits"
    fitted = ("weight_", "bias_", "nll_", "converged_", "n_iter_", "gradient_norm_")
    full: ClassVar[bool] = True  # W is a matrix
    normalised: ClassVar[bool] = False  # the map is of log-softmax(z)

    max_iter: int
    tol: float
    clip: float | None

    weight_: Array
    bias_: Array
    nll_: float
    converged_: bool
    n_iter_: int
    gradient_norm_: float

    def _check_parameters(self) -> None:
        if isinstance(self.max_iter, bool) or not isinstance(self.max_iter, int | np.integer) or self.max_iter < 0:
            raise ValueError(f"max_iter is {self.max_iter!r}; expected an integer of at least 0")
        check_number("tol", self.tol)
        if self.clip is not None:
            check_number("clip", self.clip)
            if not 0 < self.clip < 0.5:
                raise ValueError(f"clip is {self.clip!r}; expected None or a probability above 0 and below 0.5")

    def _check_fitted(self) -> None:
        k = self.n_classes_
        expected = {"weight_": (k, k) if self.full else (k,), "bias_": (k,)}
        for name, shape in expected.items():
            value = np.asarray(getattr(self, name))
            if value.shape != shape or value.dtype != np.float64 or not np.isfinite(value).all():
                raise ValueError(f"{name} is not {shape} finite float64 numbers")

    def _penalties(self, n_classes: int) -> Array:
        """What half the square of each parameter costs, of the shape of the parameters."""
        return np.zeros((n_classes, n_classes + 1) if self.full else (2, n_classes))

    @abstractmethod
    def _centred(self, parameters: Array) -> Array:
        """Of all parameters that give the same probabilities at the same penalty those of least norm."""

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        survey = survey_of(rows, self.n_threads)
        k = rows.n_classes
        start = np.hstack([np.eye(k), np.zeros((k, 1))]) if self.full else np.stack([np.ones(k), np.zeros(k)])
        free = np.ones(start.shape)
        # What a constant column adds to logits a bias adds as well, and more exactly: its weights are 0.
        fixed = ~survey.varying if not self.normalised else np.full(k, not survey.varying.any())
        if self.full:
            free[:, :k][:, fixed] = 0
        else:
            free[0, fixed] = 0
        start *= free
        whole = Likelihood(rows, 1.0 / survey.total, free, self._penalties(k), self.normalised, self.n_threads)
        part = whole.sampled()
        x = start.ravel()
        at_start = part(x)[0]
        check_same(at_start)
        if at_start > np.log(k):  # no curvature is left of scores of 1e60, say, at the identity
            x = np.zeros_like(x)
        if not part.dense and self.full:
            x = self._by_column(part, x)
        elif part.rows.n_rows < rows.n_rows and part.dense:
            x = near(part, x)
        curvature = curvature_of(part)
        exact = part.dense and part.rows.n_rows == rows.n_rows
        refresh = 1 if exact else REFRESH
        found = minimise(whole, x, curvature, tol=float(self.tol), max_iter=int(self.max_iter), refresh=refresh)
        nll, wrong = whole.figures(found.x)
        check_same(found.value, nll)
        self._report(found, survey, nll, wrong)
        parameters = self._centred(found.x.reshape(start.shape))
        weight, bias = (parameters[:, :k], parameters[:, k]) if self.full else parameters
        return {
            "weight_": np.ascontiguousarray(weight),
            "bias_": np.ascontiguousarray(bias),
            "nll_": nll,
            "converged_": found.converged,
            "n_iter_": found.n_iter,
            "gradient_norm_": found.gradient_norm,
        }

    def _by_column(self, part: Likelihood, start: Array) -> Array:
        """The parameters at which a weight and a bias a column fit a part of the rows: a start, quickly found."""
        k = part.rows.n_classes
        table = start.reshape(k, k + 1).copy()
        at = np.arange(k)
        free = np.stack([part.free[at, at], part.free[:, k]])
        penalties = np.stack([part.penalties[at, at], part.penalties[:, k]])
        alone = Likelihood(part.rows, part.share, free, penalties, False, part.n_threads)
        table[at, at], table[:, k] = near(alone, np.concatenate([np.ones(k), np.zeros(k)])).reshape(2, k)
        return table.ravel()

    def _report(self, found: Minimum, survey: Survey, nll: float, wrong: int) -> None:
        """Warn of a fit that has no finite optimum, that fits less than it might, or that ended early."""
        name = type(self).__name__
        missing = np.flatnonzero(survey.by_class == 0)
        if missing.size:
            few = ", ".join(map(str, missing[:8])) + (", ..." if missing.size > 8 else "")
            warn(
                f"{name}: no row has the label of column {few}: its probability falls towards 0 with its bias, which "
                "has no finite optimum; the fit stopped where the gradient was small"
            )
        if not survey.varying.any():
            warn(f"{name}: all rows of scores are the same: only the bias was fitted, to the shares of the labels")
        elif wrong == 0 and not missing.size:
            warn(
                f"{name}: the labels are separable: every row has more than half of its probability on its label, "
                f"which larger weights would only increase; the fit stopped at a mean NLL of {nll:.3g}"
            )
        if not found.converged:
            warn(
                f"{name}: not converged after {found.n_iter} steps (max_iter={self.max_iter}): the largest entry of "
                f"the gradient is {found.gradient_norm:.3g}, tol is {self.tol:g}"
            )

    # --- applying ---------------------------------------------------------------------------------------------------

    def _applier(self) -> Applier:
        k = self.n_classes_
        largest = max(float(np.abs(self.weight_).max()), float(np.abs(self.bias_).max()))
        weight = self.weight_
        if self.full:
            weight = np.zeros((padded(k, kernels.intrinsics.TILE_ROWS), k))
            weight[:k] = self.weight_
        made: dict[np.dtype[Any], tuple[Any, ...]] = {}
        softmax = softmax_applier(1.0, k)

        def prepared(dtype: np.dtype[Any]) -> tuple[Any, ...]:
            lines, u, few = scratch(k, dtype)
            rows = kernels.rows.scratch(64 * k + 64, dtype)
            lowest = dtype.type(kernels.elementary.LOWEST[dtype.type])
            maps = weight.astype(dtype).ravel(), self.bias_.astype(dtype)
            return *maps, self.full, self.normalised, lowest, lines, u, few, rows

        def apply(values: Array, out: Array) -> None:
            single = values.dtype == out.dtype == np.float32 and largest < SINGLE
            dtype = np.dtype(np.float32 if single else np.float64)
            taken = values if values.dtype == dtype else values.astype(dtype)
            taken.flags.writeable = False
            into = out if out.dtype == dtype else np.empty(out.shape, dtype)

            def by_blocks(rows: Array, target: Array) -> None:
                if dtype not in made:
                    made[dtype] = prepared(dtype)
                kernels.linear_maps.probabilities(rows, *made[dtype], target)

            if not self.full and k > WIDE:
                _wide(taken, self.weight_.astype(dtype), self.bias_.astype(dtype), softmax, by_blocks, into)
            else:
                by_blocks(taken, into)
            if into is not out:
                out[...] = into

        return apply


def _wide(values: Array, weight: Array, bias: Array, softmax: Applier, by_blocks: Applier, out: Array) -> None:
    """softmax(w z + b) of wide rows, few at a time; ``by_blocks`` takes rows whose products overflow, one by one."""
    for start in range(0, len(values), ROWS_OF_WIDE):
        few = slice(start, start + ROWS_OF_WIDE)
        with np.errstate(over="ignore", invalid="ignore"):
            mapped = values[few] * weight
            mapped += bias
        finite = np.isfinite(mapped).all(axis=1)
        overflowing = [(values[row : row + 1].copy(), row) for row in start + np.flatnonzero(~finite)]
        mapped[~finite] = 0.0
        mapped.flags.writeable = False
        softmax(mapped, out[few])
        for given, row in overflowing:
            given.flags.writeable = False
            by_blocks(given, out[row : row + 1])


def near(part: Likelihood, start: Array) -> Array:
    """Parameters that fit a part of the rows roughly."""
    found = minimise(
        part, start, curvature_of(part), tol=NEAR, max_iter=30, refresh=NEAR_REFRESH, lowest=NEARLY_SEPARATED
    )
    return found.x


def check_same(*objectives: float) -> None:
    """Raise for what no scores within bounds give: a source may hold others than those that were checked."""
    if not np.isfinite(objectives).all():
        raise DataError("batches", (), "has other scores than the time before: the likelihood is no number")


def survey_of(rows: Rows, n_threads: int | None) -> Survey:
    """Look at rows once; raises DataError for a score that is too large, or where all weights are 0."""
    k = rows.n_classes
    low, high = np.full(rows.n_columns, np.inf), np.full(rows.n_columns, -np.inf)
    seen = threading.Lock()

    def make() -> Any:
        def add(block: Block, into: Array) -> None:
            scores = block.scores
            into[:] += np.bincount(block.labels, block.weights, minlength=k)
            lowest, highest = scores.min(axis=0), scores.max(axis=0)
            if max(float(highest.max()), -float(lowest.min())) > MOST:
                row, column = (int(i) for i in np.argwhere(np.abs(scores) > MOST)[0])
                problem = f"is {scores[row, column]:g}; a linear map is fitted to logits up to {MOST:g}"
                place = (block.first_row + row,) if rows.binary else (block.first_row + row, column)
                raise DataError("scores", place, problem)
            if block.weights is not None and not block.weights.all():
                scores = scores[block.weights > 0]
                lowest, highest = scores.min(axis=0, initial=np.inf), scores.max(axis=0, initial=-np.inf)
            with seen:
                np.minimum(low, lowest, out=low)
                np.maximum(high, highest, out=high)

        return add

    by_class = rows.total(k, make, n_threads)
    total = float(by_class.sum())
    if rows.n_rows == 0:
        raise DataError("batches", (), "has no rows")
    if total == 0:
        raise DataError("sample_weight", (), "has no weight above 0")
    varying = high > low
    return Survey(total, by_class, np.concatenate([[False], varying]) if rows.binary else varying)


def check_number(name: str, value: Any) -> None:
    """Raise for what is no finite number of at least 0."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0 <= value < np.inf:
        raise ValueError(f"{name} is {value!r}; expected a finite number of at least 0")
