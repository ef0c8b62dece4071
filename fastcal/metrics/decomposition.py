"""The CORP decomposition of proper scores and the reliability diagram behind it: no bins, the isotonic fit instead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import engine
from ..accumulators.intervals import check_level
from ..arrays import Array, DataError, array_of
from ..ordered.columns import Names, scored_rows
from ..ordered.groups import Groups, blocks, blocks_of, groups
from ..stretches import elementwise
from .one_shot import read_once
from .scoring import brier_score, nll

NAMES = Names("y_prob", "y_true", "sample_weight")


class ScoreDecomposition(NamedTuple):
    """A mean score and its parts: score = miscalibration - discrimination + uncertainty.

    >>> import fastcal as fc
    >>> fc.score_decomposition([0, 1], [0.25, 0.75]).score
    0.0625
    """

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float


def score_decomposition(
    y_true: Any,
    y_prob: Any,
    *,
    score: Literal["brier", "log"] = "brier",
    sample_weight: Any = None,
    n_threads: int | None = None,
) -> ScoreDecomposition:
    """The mean score in parts: score = miscalibration - discrimination + uncertainty (CORP).

    With the mean score S of the predictions, S_c of their isotonic recalibration and S_r of the base rate alone:
    miscalibration is S - S_c, discrimination S_r - S_c, uncertainty S_r; none is negative. ``y_true`` (N,) labels 0 and
    1, ``y_prob`` (N,) P(y = 1); ``score`` "brier", (p - y)^2, or "log", the negative log-likelihood in nats, which is
    infinite where a label has probability 0. Raises DataError, a ValueError, as :func:`nll` does. Dimitriadis,
    Gneiting, Jordan: "Stable reliability diagrams for probabilistic classifiers", PNAS 118 (2021), equations 5 and 6.

    >>> import fastcal as fc
    >>> fc.score_decomposition([0, 1, 0, 1], [0.25, 0.25, 0.75, 0.75])
    ScoreDecomposition(score=0.3125, miscalibration=0.0625, discrimination=0.0, uncertainty=0.25)
    """
    if score not in ("brier", "log"):
        raise ValueError(f"score is {score!r}; expected 'brier' or 'log'")
    y_true, y_prob, sample_weight = _read(y_true, y_prob, sample_weight)
    mean = _mean(brier_score if score == "brier" else nll, y_true, y_prob, sample_weight, n_threads)
    rows = scored_rows(y_prob, y_true, sample_weight, names=NAMES, labels_only=True, n_threads=n_threads)
    fit = blocks(rows, n_threads=n_threads)
    weight = math.fsum(fit.weight)
    recalibrated = math.fsum(fit.weight * _spread(fit.value, score)) / weight
    reference = float(_spread(np.array([math.fsum(fit.weight * fit.value) / weight]), score)[0])
    return ScoreDecomposition(mean, max(mean - recalibrated, 0.0), max(reference - recalibrated, 0.0), reference)


def _mean(score: Any, y_true: Any, y_prob: Any, sample_weight: Any, n_threads: int | None) -> float:
    """The mean score; its errors do not speak of a ``nan_policy``, of which there is none here."""
    try:
        return float(score(y_true, y_prob, sample_weight=sample_weight, n_threads=n_threads))
    except DataError as error:
        raise DataError(error.argument, error.index, error.problem.partition("nan_policy=")[0].rstrip(" ;(")) from None


def _spread(rate: Array, score: str) -> Array:
    """The mean score of a probability that is the rate of events."""
    if score == "brier":
        return np.asarray(rate * (1 - rate))
    other = 1 - rate
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0 - np.where(rate > 0, rate * np.log(rate), 0) - np.where(other > 0, other * np.log(other), 0)


@dataclass(frozen=True, eq=False)
class CorpCurve:
    """The CORP reliability diagram: a rate of events for each stretch of predictions.

    ``first``, ``last``, ``event_rate`` and ``weight`` (B,): the first and last prediction of each block, its rate and
    the weight of its rows. ``x`` (m,), the ends of blocks in order; ``fitted`` (m,), the rates there; ``lower`` and
    ``upper`` (m,), the band there, None without one.

    >>> import fastcal as fc
    >>> fc.corp_curve([0, 1, 0], [0.1, 0.2, 0.3]).event_rate.tolist()
    [0.0, 0.5]
    """

    first: Array
    last: Array
    event_rate: Array
    weight: Array
    x: Array
    fitted: Array
    lower: Array | None = None
    upper: Array | None = None


def corp_curve(
    y_true: Any,
    y_prob: Any,
    *,
    sample_weight: Any = None,
    band: Literal["consistency", "confidence"] | None = None,
    level: float = 0.9,
    n_resamples: int = 100,
    random_state: int | np.random.Generator | None = None,
    n_threads: int | None = None,
) -> CorpCurve:
    """The CORP reliability diagram's data: the isotonic fit of labels on predictions, with a band if asked for.

    ``band`` "consistency": where the fit lies in ``level`` of ``n_resamples`` draws of labels from the predictions,
    that is, if they were calibrated; "confidence": the same with labels drawn from the fit. Pointwise; any number of
    threads gives the same band. ``y_true`` (N,) labels 0 and 1, ``y_prob`` (N,) P(y = 1); a band takes no weights.
    Raises DataError, a ValueError, for other values. Dimitriadis, Gneiting, Jordan, PNAS 118 (2021).

    >>> import fastcal as fc
    >>> fc.corp_curve([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9]).event_rate
    array([0. , 0.5, 1. ])
    """
    if band not in (None, "consistency", "confidence"):
        raise ValueError(f"band is {band!r}; expected None, 'consistency' or 'confidence'")
    check_level(level)
    if isinstance(n_resamples, bool) or not isinstance(n_resamples, int | np.integer) or n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples!r}; expected an integer of at least 1")
    if band is not None and sample_weight is not None:
        raise ValueError("sample_weight is given; bands are drawn for rows without weights")
    y_true, y_prob, sample_weight = _read(y_true, y_prob, sample_weight)
    _mean(brier_score, y_true, y_prob, sample_weight, n_threads)  # are these labels and probabilities
    rows = scored_rows(y_prob, y_true, sample_weight, names=NAMES, labels_only=True, n_threads=n_threads)
    found = groups(rows, n_threads, by_class=False)
    fit = blocks_of(found)
    ends = np.stack([fit.first, fit.last], axis=1).ravel()
    kept = np.append(True, np.diff(ends) > 0)
    x, fitted = ends[kept], np.repeat(fit.value, 2)[kept]
    curve = (fit.first, fit.last, fit.value, fit.weight, x, fitted)
    if band is None:
        return CorpCurve(*curve)
    at = np.searchsorted(found.score, x)
    rate = np.clip(found.score, 0, 1)
    if band == "confidence":
        rate = np.repeat(fit.value, np.diff(np.searchsorted(found.score, fit.first), append=len(found.score)))
    fits = _resampled(found, rate, at, int(n_resamples), random_state, n_threads)
    lower, upper = np.quantile(fits, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return CorpCurve(*curve, lower, upper)


def _resampled(
    found: Groups,
    rate: Array,
    at: Array,
    n_resamples: int,
    random_state: int | np.random.Generator | None,
    n_threads: int | None,
) -> Array:
    """The fits, at some groups, to labels drawn with these rates: (n_resamples, len(at))."""
    count = found.sums.sum(axis=1)
    generators = np.random.default_rng(random_state).spawn(n_resamples)
    fits = np.empty((n_resamples, len(at)))

    def draw(start: int, stop: int) -> None:
        for number in range(start, stop):
            hits = elementwise(generators[number].binomial, count, rate)  # one after the other, however they are cut
            fit = blocks_of(Groups(found.score, elementwise(_both, count, hits)))
            fits[number] = fit.value[np.searchsorted(fit.first, found.score[at], side="right") - 1]

    engine.run(n_resamples, 64 * len(count), 1, lambda: draw, n_threads)
    return fits


def _both(count: Array, hits: Array) -> Array:
    return np.stack([count - hits, hits], axis=1)


def _read(y_true: Any, y_prob: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """The arguments, to be looked at more than once; raises DataError for scores that are not one a row."""
    y_prob = read_once("y_prob", y_prob)
    shape = array_of("y_prob", y_prob).shape
    if len(shape) != 1:
        raise DataError("y_prob", (), f"has shape {shape}; expected P(y = 1), one number a row")
    weights = None if sample_weight is None else array_of("sample_weight", sample_weight)
    return array_of("y_true", y_true), y_prob, weights
