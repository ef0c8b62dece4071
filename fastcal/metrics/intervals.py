"""Confidence intervals of any metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..accumulators.base import Part
from ..accumulators.binned import debiased_l2_squared, l1
from ..accumulators.blocks import BlockPart, basic, check_seed
from ..accumulators.intervals import check_level, intervals
from ..accumulators.reliability import ReliabilityPart
from ..accumulators.scores import ScorePart
from ..arrays import Array, DataError, array_of, predictions
from .binning import Question
from .one_shot import BinOptions, Options

# What a metric is called among the figures of a state; public functions by their own names.
FIGURES = {"brier_score": "brier", "log_loss": "nll", "squared_ce": "squared_ce_debiased"}
BLOCKED = (
    "accuracy",
    "confidence",
    "nll",
    "brier",
    "entropy",
    "ece",
    "mce",
    "rmsce",
    "ece_debiased",
    "squared_ce_debiased",
    "rmsce_debiased",
    "signed_calibration_error",
    "overconfidence",
    "underconfidence",
)
OF_SCORES = ("accuracy", "nll", "brier", "entropy")
NORMAL = ("accuracy", "nll", "brier", "squared_ce_debiased", "ece")
METHODS = ("bootstrap", "normal")


class ConfidenceInterval(NamedTuple):
    """The estimate and its interval; ``method`` says how: "bootstrap", "rows" or "normal".

    >>> import fastcal as fc
    >>> found = fc.confidence_interval("accuracy", [0, 1, 1, 0], [0.2, 0.7, 0.4, 0.1], random_state=0)
    >>> found.estimate, found.low <= found.high
    (0.75, True)
    """

    estimate: float
    low: float
    high: float
    method: str


def confidence_interval(
    metric: str | Callable[..., float],
    y_true: Any,
    y_prob: Any,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: int | None = None,
    method: str = "bootstrap",
    **options: Any,
) -> ConfidenceInterval:
    """Confidence interval of a metric: ``.estimate``, ``.low``, ``.high``, and ``.method``.

    ``metric``: a name of :class:`Evaluation`'s report (accuracy, confidence, nll, brier, entropy, ece, mce, rmsce,
    their debiased kin, signed_calibration_error, overconfidence, underconfidence), the public function of that name, or
    any function called as ``metric(y_true, y_prob, **options)``. ``options`` are the metric's own.

    "bootstrap": for the former, rows go to 1024 blocks by a hash of their numbers and ``random_state``, blocks are
    drawn with replacement, figures are made from their sums: 1000 resamples take no longer than a few evaluations.
    A standard error from 1024 blocks has an error of 2 % of its own; it is the same for any number of threads. For
    other functions whole rows are drawn ("rows"), one evaluation for each resample; these must not depend on the order
    of rows. The interval is the basic one, estimate - (quantiles - truth): how far resampled estimates are from what
    they estimate, which for a debiased error is the plain one (Davison and Hinkley 1997, eq. 5.6). What is made of
    absolute gaps (ece, mce, ...) covers as often as it says only where every bin's gap is some standard errors from 0.

    "normal": in closed form, for accuracy (Wilson), nll, brier, squared_ce_debiased, and for ece where every bin's gap
    exceeds 3 standard errors; it raises ValueError where that does not hold: ECE is then mostly noise, and
    ``Evaluation``'s ``ece_band`` says where a calibrated model's would lie.

    Raises ValueError for other options, and as the metric does.

    >>> import fastcal as fc
    >>> found = fc.confidence_interval("accuracy", [0, 1] * 50, [0.25, 0.75] * 50, method="normal")
    >>> round(found.low, 4), found.high
    (0.963, 1.0)
    """
    check_level(level)
    whole = isinstance(n_resamples, int | np.integer) and not isinstance(n_resamples, bool)
    if not whole or n_resamples < 2:
        raise ValueError(f"n_resamples is {n_resamples!r}; expected an integer of at least 2")
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    drawn = int(np.random.SeedSequence().generate_state(1)[0])
    seed = drawn if random_state is None else check_seed("random_state", random_state)
    name = metric if isinstance(metric, str) else _public_name(metric)
    name = FIGURES.get(name, name)
    if isinstance(metric, str) and name not in BLOCKED:
        raise ValueError(f"metric is {metric!r}; expected a function, or one of {', '.join(BLOCKED)}")
    if name in BLOCKED or name == "calibration_error":
        _check_options(name, options, binned=isinstance(metric, str) or name not in OF_SCORES)
    left, name = _as_figure(name, options)
    if method == "normal":
        if name not in NORMAL:
            raise ValueError(f"method='normal' knows {', '.join(NORMAL)}, not {name!r}")
        if not _is_blocked(left):
            raise ValueError("method='normal' takes no threshold, no quantiles and no target but one set of bins")
        return _normal(name, Question(y_true, y_prob, **left), level)
    if name in BLOCKED and _is_blocked(left):
        return _by_blocks(name, Question(y_true, y_prob, **left), level, int(n_resamples), seed)
    if name == "kernel_calibration_error":
        raise ValueError("kernel_calibration_error depends on the order of rows; kernel_calibration_test has its error")
    if isinstance(metric, str):
        raise ValueError(f"metric {metric!r} with these options: give the function itself, whose rows are resampled")
    return _by_rows(metric, y_true, y_prob, level, int(n_resamples), seed, options)


def _check_options(name: str, options: dict[str, Any], *, binned: bool) -> None:
    known = [*Options.__annotations__, *(BinOptions.__annotations__ if binned else ())]
    if name in ("ece", "mce", "rmsce", "calibration_error"):
        known += ["debiased", "squared"]
    if name == "calibration_error":
        known += ["norm"]
    for option in options:
        if option not in known:
            raise TypeError(f"{option!r} is no option of {name}, nor of confidence_interval")


def _public_name(metric: Callable[..., float]) -> str:
    if not callable(metric):
        raise TypeError(f"metric is {metric!r}; expected a name or a function")
    module = getattr(metric, "__module__", "") or ""
    return getattr(metric, "__name__", "") if module.startswith("fastcal.") else ""


def _as_figure(name: str, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """calibration_error's norm, debiased and squared as the figure that they make."""
    if name not in ("calibration_error", "ece", "rmsce", "mce"):
        return options, name
    left = dict(options)
    debiased, squared = left.pop("debiased", False), left.pop("squared", False)
    norm = left.pop("norm", {"rmsce": "l2", "mce": "max"}.get(name, "l1"))
    figures = {
        ("l1", False, False): "ece",
        ("l1", True, False): "ece_debiased",
        ("l2", False, False): "rmsce",
        ("l2", True, False): "rmsce_debiased",
        ("l2", True, True): "squared_ce_debiased",
        ("max", False, False): "mce",
    }
    found = figures.get((norm, bool(debiased), bool(squared)))
    return (left, found) if found else (options, name)


def _is_blocked(options: dict[str, Any]) -> bool:
    quantile = isinstance(options.get("binning", "uniform"), str) and options.get("binning") == "quantile"
    return (
        options.get("target", "auto") in ("auto", "positive", "top-label")
        and not options.get("threshold")
        and not quantile
    )


def _normal(name: str, question: Question, level: float) -> ConfidenceInterval:
    parts: dict[str, Part] = {"scores": ScorePart(squares=True), "reliability": ReliabilityPart(question.uniform())}
    seen = question.seen(parts)
    means, n = parts["scores"].view(seen.part_state("scores")).errors()
    bins = parts["reliability"].view(seen.part_state("reliability")).sums
    found = getattr(intervals(bins, means, n, level), name)
    estimate = {"ece": l1, "squared_ce_debiased": debiased_l2_squared}.get(name)
    value = float(estimate(bins)) if estimate else means[name][0]
    if found is None:
        raise ValueError("a normal interval of ECE needs every bin's gap to exceed 3 standard errors; here it does not")
    if question.undefined:
        return ConfidenceInterval(math.nan, math.nan, math.nan, "normal")
    return ConfidenceInterval(value, found[0], found[1], "normal")


def _by_blocks(name: str, question: Question, level: float, n_resamples: int, seed: int) -> ConfidenceInterval:
    part = BlockPart(question.uniform(), seed, light=name not in OF_SCORES)
    seen = question.seen({"blocks": part})
    blocks = part.view(seen.part_state("blocks"))
    whole = blocks.whole()
    estimate = float(whole[name])
    if question.undefined:
        return ConfidenceInterval(math.nan, math.nan, math.nan, "bootstrap")
    low, high = blocks.interval(name, whole, blocks.resampled(n_resamples, seed)[name], level)
    return ConfidenceInterval(estimate, low, high, "bootstrap")


def _by_rows(
    metric: Callable[..., float],
    y_true: Any,
    y_prob: Any,
    level: float,
    n_resamples: int,
    seed: int,
    options: dict[str, Any],
) -> ConfidenceInterval:
    labels, scores = array_of("y_true", y_true), array_of("y_prob", y_prob)
    weights = options.pop("sample_weight", None)
    weights = None if weights is None else array_of("sample_weight", weights)
    n = predictions(labels, scores, sample_weight=weights).n_rows
    if not n or len(labels) != n:
        raise DataError("y_true", (), f"has shape {labels.shape}; rows to draw from are one dimension, and not none")

    def value(rows: Any) -> float:
        more = options if weights is None else {**options, "sample_weight": weights[rows]}
        return float(metric(labels[rows], scores[rows], **more))

    rng = np.random.default_rng(seed)
    estimate = value(slice(None))
    found: Array = np.array([value(rng.integers(0, n, n)) for _ in range(n_resamples)])
    return ConfidenceInterval(estimate, *basic("", estimate, found, level), "rows")
