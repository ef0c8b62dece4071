"""Temperature scaling: one number that all logits are divided by, found where the mean NLL is least."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastcal import kernels as typed_kernels

from ..arrays import Array, DataError
from .base import Applier, Calibrator, warn
from .forms import Input, Taken
from .rows import Adder, Block, Rows

kernels: Any = typed_kernels

# A step changes T by this factor at most while the least NLL is not yet between two temperatures looked at.
STRIDE = 8.0
# A fit ends where the step that is left would change T by this part of itself at most, beside what ``tol`` asks for.
CLOSE = 1e-8
# After so many looks ``tol`` alone will do: labels that are not the largest logits have next to no weight then.
PATIENCE = 25
# Halley's step is taken where its denominator is off Newton's by this part at most. Far from the least NLL, where all
# powers but the largest are nearly 0, it would creep.
MOST_BENT = 0.5
LEAST, MOST = 1e-30, 1e30  # temperatures that float32 logits can be divided by

Bounds = tuple[float, float]


class Scaled(Calibrator):
    """What methods share that fit a temperature and never change a prediction."""

    default_input: ClassVar[Input] = "logits"
    taken: ClassVar[Taken] = "logits"
    minus_inf: ClassVar[bool] = True

    bounds: Bounds
    max_iter: int
    tol: float
    temperature_: float
    nll_: float
    gradient_norm_: float
    converged_: bool
    n_iter_: int
    n_zero_probability_: int

    def __init__(
        self,
        *,
        bounds: Bounds = (1e-3, 1e3),
        max_iter: int = 100,
        tol: float = 1e-9,
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.bounds = bounds
        self.max_iter = max_iter
        self.tol = tol
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        checked_bounds(self.bounds)
        if isinstance(self.max_iter, bool) or not isinstance(self.max_iter, int | np.integer) or self.max_iter < 1:
            raise ValueError(f"max_iter is {self.max_iter!r}; expected an integer of at least 1")
        if isinstance(self.tol, bool) or not isinstance(self.tol, int | float | np.number) or not 0 < self.tol < 1:
            raise ValueError(f"tol is {self.tol!r}; expected a number between 0 and 1")

    def _check_fitted(self) -> None:
        check_fit(self)

    def predict(self, scores: Any) -> Array:
        """The label of the largest score, of equals the first; of binary ones 1 where it is above 0 (0.5 of "probs").

        No temperature changes an order: the scores themselves are compared, which rounding would tie otherwise.
        """
        column, shape = self._column(scores)
        n, n_columns = column.values.shape
        decided = np.empty(n, np.int64)
        middle = 0.0 if self._form().input == "logits" else 0.5

        def decide(_part: Array, start: int, stop: int, _apply: Applier) -> None:
            given = column.chunk(start, stop)
            decided[start:stop] = given[:, 0] > middle if n_columns == 1 else given.argmax(axis=1)

        self._apply(column, decide)
        labels: Array = self.classes_[decided]
        return labels.reshape(shape if n_columns == 1 else shape[:-1])


class TemperatureScaling(Scaled):
    """p = softmax(z / T), with the temperature T that minimises the weighted mean NLL, -log p_y in nats.

    Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", section 4.2; Platt scaling without an
    intercept for binary scores (N,): p = 1 / (1 + exp(-z / T)), the same as rows (0, z). The NLL is convex in 1 / T, so
    that there is one least: it is found by Halley's steps in log T (the third derivative costs little), held between
    temperatures at which the slope was seen to be of either sign. Nothing can diverge.

    Parameters: ``bounds`` of T; ``max_iter``, looks at all rows at most; ``tol``, what ``gradient_norm_`` has to come
    below. ``input="probs"`` takes logarithms of probabilities for logits.

    Fitted: ``temperature_``; ``nll_`` (nats, at T); ``gradient_norm_``, of d mean NLL / d log T the size;
    ``converged_``; ``n_iter_``, looks at the rows; ``n_zero_probability_``.

    A logit may be -inf: its class (of binary scores class 1) has probability 0 at every T. Rows whose label has one
    have an infinite NLL at every T: they are left out, counted in ``n_zero_probability_``, and warned of. A
    :class:`FitWarning` is given, too, where T ends on a bound: the lower one where every label has the largest logit
    (the NLL falls with T for ever), or where logits differ too little; the upper one where labels are no likelier the
    larger their logits (all wrong, say), or
    logits differ too much. Where the logits of each row are equal, T says nothing and stays at 1. ``converged_`` is
    True in all of these cases: what was found is the least NLL within the bounds. Predictions are those of the scores.

    Raises DataError, a ValueError, for scores, labels and weights that are none, for weights that are all 0, and where
    every label has probability 0.

    >>> import fastcal as fc
    >>> logits = [[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [0.0, 4.0]]
    >>> scaling = fc.TemperatureScaling().fit(logits, [0, 1, 1, 1])
    >>> round(scaling.temperature_, 4), scaling.predict_proba([[4.0, 0.0]]).round(2).tolist()
    (3.641, [[0.75, 0.25]])
    """

    fitted = ("temperature_", "nll_", "gradient_norm_", "converged_", "n_iter_", "n_zero_probability_")

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        fit = fit_temperature(rows, self.bounds, self.max_iter, self.tol, self.n_threads)
        return {
            "temperature_": fit.last.temperature,
            "nll_": fit.last.nll,
            "gradient_norm_": fit.last.gradient_norm,
            "converged_": fit.converged,
            "n_iter_": fit.n_iter,
            "n_zero_probability_": fit.last.n_zero,
        }

    def _applier(self) -> Applier:
        return softmax_applier(self.temperature_, self.n_features_in_)


# --- fitting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """Weighted means over all rows at one T: the NLL, and beta^j times its j-th derivative in beta = 1 / T."""

    temperature: float
    nll: float
    slope: float
    curve: float
    bend: float
    n_zero: int
    n_below: int

    @property
    def step(self) -> float:
        """What has to be added to log T: by Halley where that is near Newton, NaN for nowhere."""
        # derivatives of the NLL in log beta: slope, first, second
        slope, first, second = self.slope, self.slope + self.curve, self.slope + 3 * self.curve + self.bend
        if slope == 0:
            return 0.0
        if not 0 < first < math.inf:
            return math.nan
        bent = slope / first * (second / first) / 2
        return slope / first / (1 - bent) if abs(bent) < MOST_BENT else slope / first

    @property
    def gradient_norm(self) -> float:
        """The size of d NLL / d log T."""
        return finite(abs(self.slope))


@dataclass(frozen=True)
class Fit:
    """The last look of a fit, and how it ended."""

    last: Look
    converged: bool
    n_iter: int


def fit_temperature(rows: Rows, bounds: Bounds, max_iter: int, tol: float, n_threads: int | None) -> Fit:
    """Find the T of the least mean NLL within the bounds; warns where it is on one of them, or was not found."""
    low, high = checked_bounds(bounds)
    cold, hot = 0.0, math.inf  # the least NLL lies between these
    before = math.inf
    now = look(rows, min(max(1.0, low), high), n_threads)
    if now.n_zero:
        warn(f"{now.n_zero} labels have probability 0 at every temperature: their rows are left out")
    all_right = now.n_below == 0
    if all_right and not differ(rows, n_threads):
        warn(f"the logits of each row are equal and say nothing of the temperature: it stays at {now.temperature:g}")
        return Fit(now, True, 1)
    for n_iter in range(1, max_iter + 1):
        too_hot = all_right or now.slope < 0  # where all are right the slope may be too small to be seen
        cold, hot = (cold, now.temperature) if too_hot else (now.temperature, hot)
        step = now.step
        close = abs(step) <= CLOSE or cold >= hot * (1 - 1e-15) or n_iter >= PATIENCE
        if not all_right and now.gradient_norm <= tol and close:
            return Fit(now, True, n_iter)
        if now.temperature == (low if too_hot else high):
            warn(_on_bound(now, all_right, bool(too_hot)))
            return Fit(now, True, n_iter)
        if n_iter < max_iter:
            temperature = low if all_right else min(max(_next(now, step, before, cold, hot), low), high)
            before = abs(step)
            now = look(rows, temperature, n_threads)
    converged = now.gradient_norm <= tol and not all_right
    if not converged:
        gradient = f"the gradient is {now.gradient_norm:.1e}, tol is {tol:g}"
        why = "every label has the largest logit, and the NLL still falls with T" if all_right else gradient
        warn(f"no convergence within max_iter={max_iter}: {why}")
    return Fit(now, converged, max_iter)


def _next(now: Look, step: float, before: float, cold: float, hot: float) -> float:
    """Where to look next: strictly between the temperatures known to be too low and too high."""
    if cold > 0 and hot < math.inf:
        there = now.temperature * math.exp(step)
        # a step that is not much shorter than the one before leads nowhere soon
        good = cold < there < hot and not abs(step) > 0.5 * before
        return there if good else math.sqrt(cold) * math.sqrt(hot)
    far = math.log(STRIDE)
    return now.temperature * math.exp(max(-far, -abs(step)) if now.slope < 0 else min(far, abs(step)))


def _on_bound(now: Look, all_right: bool, lower: bool) -> str:
    temperature = f"the temperature ends on its {'lower' if lower else 'upper'} bound, {now.temperature:g}"
    if all_right:
        return f"{temperature}: every label has the largest logit, so that the NLL falls with the temperature for ever"
    if lower:
        return f"{temperature}, where the NLL still falls with it: the logits of a row differ too little"
    return (
        f"{temperature}, where the NLL still falls as it rises: labels are hardly likelier where their logits are "
        "larger (all are wrong, say), or logits differ too much"
    )


def scratch_for(scores: Array) -> tuple[Array, Array, Array]:
    """Lines for scores of this type, a read-only view of them, and a block: what the kernels work in."""
    lines = kernels.rows.scratch(kernels.temperature.CLASSES * kernels.rows.BLOCK, scores.dtype)
    view = lines.view()
    view.flags.writeable = False
    return lines, view, kernels.rows.scratch(kernels.temperature.BLOCK_SIZE, np.dtype(np.float64))


def adder(kernel: Callable[..., None], *arguments: Any) -> Callable[[], Adder]:
    """What makes one thread's function that adds a kernel's sums of a block."""

    def make() -> Adder:
        scratch: dict[Any, tuple[Array, Array, Array]] = {}
        none = np.empty(0)
        none.flags.writeable = False

        def add(block: Block, into: Array) -> None:
            scores = block.scores
            if scores.dtype not in scratch:
                scratch[scores.dtype] = scratch_for(scores)
            weights = none if block.weights is None else read_only(block.weights)
            kernel(scores, read_only(block.labels), weights, *arguments, *scratch[scores.dtype], into)

        return add

    return make


def read_only(values: Array) -> Array:
    """A view that cannot be written to: one type of array, one compilation."""
    view = values.view()
    view.flags.writeable = False
    return view


def look(rows: Rows, temperature: float, n_threads: int | None) -> Look:
    """Go through all rows once."""
    kernel = kernels.temperature
    sums = rows.total(kernel.N_SUMS + 2, adder(kernel.derivatives, 1 / temperature), n_threads)
    weight = sums[kernel.WEIGHTS]
    if np.isnan(sums).any():
        raise DataError("scores", (), "have changed since the first look at them, and hold NaN")
    if not weight > 0:
        if sums[kernel.N_ZERO]:
            raise DataError("scores", (), "give every label probability 0, at any temperature")
        raise DataError("sample_weight", (), "is 0 in every row")
    nll, *slopes = (float(sums[at] / weight) for at in (kernel.LOSS, kernel.SLOPE, kernel.CURVE, kernel.BEND))
    slope, curve, bend = slopes
    counts = int(sums[kernel.N_ZERO]), int(sums[kernel.N_BELOW])
    return Look(temperature, finite(max(nll, 0.0)), slope, curve, bend, *counts)


def differ(rows: Rows, n_threads: int | None) -> bool:
    """Whether any row that counts has logits above -inf that differ."""

    def make() -> Adder:
        def add(block: Block, into: Array) -> None:
            scores = block.scores
            if scores.shape[1] == 1:
                found = (scores != 0)[:, 0] & np.isfinite(scores)[:, 0]
            else:
                found = ((scores < scores.max(axis=1, keepdims=True)) & (scores > -np.inf)).any(axis=1)
            into += np.count_nonzero(found if block.weights is None else found & (block.weights > 0))

        return add

    return bool(rows.total(1, make, n_threads)[0])


def finite(number: float) -> float:
    """A number as it is; the largest float for a larger one."""
    return min(float(number), float(np.finfo(np.float64).max))


# --- applying -------------------------------------------------------------------------------------------------------


def softmax_applier(temperature: float, n_columns: int) -> Applier:
    """One thread's function that writes softmax(rows / T), of binary ones P(y = 1)."""
    workers: dict[Any, Applier] = {}

    def apply(values: Array, out: Array) -> None:
        if values.dtype not in workers:
            workers[values.dtype] = _softmax(temperature, n_columns, values.dtype)
        target = out if out.dtype == values.dtype else np.empty(values.shape, values.dtype)
        workers[values.dtype](values, target)
        if target is not out:
            out[...] = target

    return apply


def _softmax(temperature: float, n_columns: int, dtype: np.dtype[Any]) -> Applier:
    """Of values and results of one type."""
    if n_columns == 1:
        inverse = 1 / temperature
        return lambda values, out: kernels.temperature.sigmoid(values, inverse, out)
    divided = kernels.rows.divisor(temperature, dtype)
    if n_columns == 2:
        zero = dtype.type(0)
        return lambda values, out: kernels.two_classes.softmax(values.reshape(-1), *divided, zero, out.reshape(-1))
    rows, ours = kernels.rows, kernels.temperature
    if n_columns <= ours.CLASSES:
        lines = rows.scratch(ours.CLASSES * rows.BLOCK, dtype)
        turned = rows.scratch(lines.size + kernels.intrinsics.LINE, dtype)
        work = lines, read_only(lines), turned, rows.scratch(2 * rows.BLOCK, dtype), np.empty(rows.BLOCK)
        return lambda values, out: ours.softmax(values, *divided, *work, out.reshape(-1))
    none, lines = np.empty(0, dtype), rows.scratch(8 * rows.LANES, dtype)
    powers = rows.scratch(n_columns + 8 * rows.LANES, dtype)
    lanes = none, read_only(none), lines, read_only(lines), powers, rows.empty_block(dtype, wide=True)
    return lambda values, out: kernels.normalise.wide(values, *divided, *lanes, 0, False, out.reshape(-1))


# --- parameters -----------------------------------------------------------------------------------------------------


def checked_bounds(bounds: Any) -> Bounds:
    """Two rising temperatures; raises ValueError or TypeError."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"bounds is {bounds!r}; expected two numbers") from None
    if not LEAST <= low < high <= MOST:
        raise ValueError(f"bounds is {bounds!r}; expected two rising numbers from {LEAST:g} to {MOST:g}")
    return low, high


def check_fit(calibrator: Any) -> None:
    """Raise ValueError for what no fit would have found."""
    for name, least, most in (("temperature_", LEAST, MOST), ("nll_", 0, math.inf), ("gradient_norm_", 0, math.inf)):
        value = getattr(calibrator, name)
        if not isinstance(value, float) or not (least <= value <= most and math.isfinite(value)):
            raise ValueError(f"{name} is {value!r}; expected a number from {least:g} to {most:g}")
    for name, fewest in (("n_iter_", 1), ("n_zero_probability_", 0)):
        value = getattr(calibrator, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < fewest:
            raise ValueError(f"{name} is {value!r}; expected an integer of at least {fewest}")
    if not isinstance(calibrator.converged_, bool):
        raise ValueError(f"converged_ is {calibrator.converged_!r}; expected True or False")
