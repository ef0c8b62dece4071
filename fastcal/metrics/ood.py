"""Out-of-distribution rows: which ones a model's uncertainty can tell, why, and how well a score does.

Terms and formulas of Pearce, Brintrup and Zhu 2021, "Understanding softmax confidence and uncertainty" (arXiv
2106.04972). z is a row of final-layer features, w_i the weights of class i, U any measure of uncertainty that is higher
for less certain rows, such as U_max = -max p or the entropy.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import memory
from ..accumulators.blocks import check_seed
from ..accumulators.intervals import Interval, check_level
from ..arrays import MAX_ROWS, Array, Column, DataError
from ..ordered.columns import STRETCH, ScoredRows, look, score_column
from ..ordered.groups import groups
from ..ordered.ranking import Ranking
from ..rowwise import divisor, row_scores, run
from .ood_intervals import intervals
from .saturation import Saturation, least_sum, no_distribution

TPR = 0.95


@dataclass(frozen=True)
class OodMetrics:
    """How well a score tells two sets apart, see :func:`ood_metrics`; ``intervals``: (low, high) or None by figure.

    >>> import fastcal as fc
    >>> fc.ood_metrics([0.9, 0.8], [0.1, 0.85], n_resamples=0).auroc
    0.75
    """

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr95: float
    detection_error: float
    n_in: int
    n_out: int
    level: float
    intervals: dict[str, Interval | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python: numbers, and lists of two for intervals.

        >>> import fastcal as fc
        >>> fc.ood_metrics([0.9, 0.8], [0.1, 0.85], n_resamples=0).to_dict()["auroc"]
        0.75
        """
        ends = {name: None if one is None else list(one) for name, one in self.intervals.items()}
        return {**asdict(self), "intervals": ends}


def ood_metrics(
    score_in: Any,
    score_out: Any,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: int | None = None,
    n_threads: int | None = None,
) -> OodMetrics:
    """AUROC, AUPR of either set, FPR at 95 % TPR and detection error of a score, with intervals.

    ``score_in`` (N,) and ``score_out`` (M,), any finite numbers, higher for rows of the distribution. With TPR and FPR
    the shares of the first and of the second set at or above a threshold:

    - ``auroc``: P(score_in > score_out) + P(equal) / 2, as :func:`auroc`
    - ``aupr_in``: average precision, no interpolation, with score_in's rows as positives (:func:`average_precision`);
      ``aupr_out``: with score_out's, by negated scores. Both depend on N / M, the others do not
    - ``fpr95``: FPR at the first threshold whose TPR reaches 95 %, no interpolation (:func:`fpr_at_tpr`)
    - ``detection_error``: min over thresholds of (1 - TPR) / 2 + FPR / 2, as the program of Liang, Li and Srikant 2018
      has it (their text: at a TPR of 95 %); 1 - the detection accuracy of Lee et al. 2018

    ``intervals`` at ``level`` (of confidence, 0.95). AUROC: DeLong, DeLong and Clarke-Pearson 1988, on the logit scale.
    The others need resamples of the counts of either set, ``n_resamples`` of them, and are None with 0: both AUPR are
    normal on the logit scale with the resamples' standard error, the detection error on that of logarithms after its
    bias is taken off; fpr95 has the quantiles of draws of the threshold and of the share above it. Where all resamples
    would say the same, bounds on the conservative side stand instead: for sets that a threshold tells apart without an
    error, either way round, and for rows of a single score. Other sets have NaN if one of them is a single row.
    ``random_state`` seeds all of it. Rows that depend on each other, such as frames of one video, have wider intervals
    than these.

    Raises DataError, a ValueError, for values that are not finite, other shapes and empty sets; ValueError for options.

    >>> import fastcal as fc
    >>> found = fc.ood_metrics([0.9, 0.8, 0.7, 0.4], [0.5, 0.3, 0.2, 0.1], random_state=0)
    >>> found.auroc, found.fpr95, found.detection_error
    (0.9375, 0.25, 0.125)
    >>> [round(end, 3) for end in found.intervals["auroc"]]
    [0.438, 0.997]
    """
    check_level(level)
    whole = isinstance(n_resamples, int | np.integer) and not isinstance(n_resamples, bool)
    if not whole or n_resamples < 0 or n_resamples == 1:
        raise ValueError(f"n_resamples is {n_resamples!r}; expected 0, or an integer of at least 2")
    drawn = int(np.random.SeedSequence().generate_state(1)[0])
    seed = drawn if random_state is None else check_seed("random_state", random_state)
    ranking = Ranking(groups(_both(score_in, score_out, n_threads), n_threads, by_class=True))
    figures = {
        "auroc": ranking.auroc(),
        "aupr_in": ranking.average_precision(),
        "aupr_out": ranking.turned().average_precision(),
        "fpr95": ranking.fpr_at_tpr(TPR),
        "detection_error": ranking.detection_error(),
    }
    found = intervals(ranking, figures, float(level), int(n_resamples), seed, n_threads)
    return OodMetrics(**figures, n_in=ranking.n_positive, n_out=ranking.n_negative, level=float(level), intervals=found)


def _both(score_in: Any, score_out: Any, n_threads: int | None) -> ScoredRows:
    """Both sets as one column, with labels 1 and 0."""
    columns = [_finite_column(name, one) for name, one in (("score_in", score_in), ("score_out", score_out))]
    seen = [look(column, n_threads) for column in columns]
    n_in, n_rows = len(columns[0].values), sum(len(column.values) for column in columns)
    if n_rows > MAX_ROWS:
        raise DataError("score_in", (), f"and score_out have {n_rows} rows; at most {MAX_ROWS} are sorted at once")
    if columns[0].dtype != columns[1].dtype:  # keys are those of one type
        columns = [type(one)(one.argument, one.values, np.dtype(np.float64)) for one in columns]
        seen = [look(column, n_threads) for column in columns]
    scores = memory.empty((n_rows,), columns[0].dtype)
    for first, column in zip((0, n_in), columns, strict=True):
        for start in range(0, len(column.values), STRETCH):
            part = column.chunk(start, start + STRETCH)
            scores[first + start : first + start + len(part)] = part
    labels = np.zeros(n_rows, np.uint8)
    labels[:n_in] = 1
    return ScoredRows(
        Column("score_in", scores, scores.dtype),
        Column("score_out", labels, labels.dtype),
        None,
        None,
        min(one.low for one in seen),
        max(one.high for one in seen),
        (0.0, 1.0),
    )


def _finite_column(argument: str, values: Any, *, empty: bool = False) -> Column:
    column = score_column(argument, values)
    if not (len(column.values) or empty):
        raise DataError(argument, (), "is empty")
    return column


def valid_ood_region(
    uncertainty_in: Any, uncertainty: Any, *, epsilon: float = 0.05, n_threads: int | None = None
) -> Array:
    """Which rows are in the valid OOD region: more uncertain than a share of more than 1 - ``epsilon`` of a data set.

    R = {z' : E_(z ~ in)[ I(U(z') > U(z)) ] > 1 - epsilon}, both strictly (Pearce et al. 2021): the rows that may be
    called out-of-distribution at a false alarm in at most about ``epsilon`` of the in-distribution ones. For
    U_max and the entropy these lie close to a decision boundary, nowhere else: what is far from all data and from the
    boundaries is not in the region.

    ``uncertainty_in`` (N,) and ``uncertainty`` (M,), any finite numbers, higher for less certain rows (-max p, or the
    entropy); bool (M,). Ties count as not more uncertain; 0 <= epsilon <= 1, and a share within 1e-12 of 1 - epsilon is
    equal to it. The N are not sorted: each of the M is compared with one of their order statistics. Raises DataError, a
    ValueError, for values that are not finite, other shapes and no in-distribution rows.

    >>> import fastcal as fc
    >>> fc.valid_ood_region([0.1, 0.2, 0.3, 0.4], [0.05, 0.35, 0.4, 0.5], epsilon=0.25).tolist()
    [False, False, False, True]
    """
    return _beyond(uncertainty_in, uncertainty, epsilon, n_threads, above=True)


def valid_ood_share(
    uncertainty_in: Any, uncertainty: Any, *, epsilon: float = 0.05, n_threads: int | None = None
) -> float:
    """The share of rows in the valid OOD region, see :func:`valid_ood_region`: how many of a set can be told at all.

    Of out-of-distribution rows it is the detection rate at a false alarm rate of about ``epsilon``; of others from the
    distribution it should be about ``epsilon``. Raises as :func:`valid_ood_region`, and for no rows.

    >>> import fastcal as fc
    >>> fc.valid_ood_share([0.1, 0.2, 0.3, 0.4], [0.05, 0.35, 0.4, 0.5], epsilon=0.25)
    0.25
    """
    found = _beyond(uncertainty_in, uncertainty, epsilon, n_threads, above=True, empty=False)
    return int(np.count_nonzero(found)) / len(found)


def softmax_extrapolation(
    uncertainty_in: Any, uncertainty: Any, *, epsilon: float = 0.05, n_threads: int | None = None
) -> Array:
    """Which rows are more certain than a share of more than 1 - ``epsilon`` of the in-distribution set.

    {z' : E_(z ~ in)[ I(U(z') < U(z)) ] > 1 - epsilon}: the mirror of :func:`valid_ood_region`, with the same arguments
    and errors. Extrapolation is where out-of-distribution rows are mapped to a more confident part of the softmax than
    the training distribution (after Pearce et al. 2021; the formula is ours). A share of ``epsilon`` is to be expected
    of rows from the distribution. Many more among others mean that larger activations than the data's, not a likeness
    to it, make them confident, which no threshold on the confidence will see; few, with a small
    :func:`valid_ood_share`, that they overlap with the data in the final layer, to which that paper finds most failures
    owed.

    >>> import fastcal as fc
    >>> fc.softmax_extrapolation([-0.9, -0.8, -0.7, -0.6], [-1.0, -0.9, -0.5], epsilon=0.25).tolist()
    [True, False, False]
    """
    return _beyond(uncertainty_in, uncertainty, epsilon, n_threads, above=False)


def _beyond(
    uncertainty_in: Any, uncertainty: Any, epsilon: float, n_threads: int | None, *, above: bool, empty: bool = True
) -> Array:
    """Rows strictly above (or below) a share of more than 1 - epsilon of the others."""
    if not (isinstance(epsilon, int | float | np.integer | np.floating) and 0 <= epsilon <= 1):
        raise ValueError(f"epsilon is {epsilon!r}; expected a number from 0 to 1")
    inside = _finite_column("uncertainty_in", uncertainty_in)
    given = _finite_column("uncertainty", uncertainty, empty=empty)
    for column in (inside, given):
        if len(column.values):
            look(column, n_threads)
    n = len(inside.values)
    found = memory.empty((len(given.values),), np.dtype(bool))
    least = math.floor(n * (1 - float(epsilon)) + 1e-12 * n) + 1  # so many rows have to lie below
    if least > n:
        found[:] = False
        return found
    place = least - 1 if above else n - least
    values = np.concatenate([inside.chunk(start, start + STRETCH) for start in range(0, n, STRETCH)])
    values.partition(place)
    limit = np.float64(values[place])
    compare = np.greater if above else np.less
    for start in range(0, len(found), STRETCH):
        part = given.chunk(start, start + STRETCH)
        compare(part, limit, out=found[start : start + len(part)])
    return found


def softmax_saturation(
    logits: Any,
    *,
    epsilon: float = 1e-3,
    temperature: float = 1.0,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> float:
    """The share of rows whose softmax is saturated: 1 - max_k p_k <= ``epsilon``, p = softmax(logits / temperature).

    From the logits, as r / (1 + r) with r = sum of exp((z_k - max z) / T) over all k but the maximum: an epsilon of
    1e-12 works in float32, too, where 1 - p is 0 from 6e-8 down; one below (K - 1) 2e-52 counts as that there and in
    half floats, whose sums have no smaller terms. Saturation is where the softmax is so high that
    out-of-distribution rows and those of the distribution have like confidences (after Pearce et al. 2021; the formula
    is ours). A share near 1 on in-distribution rows says that U_max and the entropy have few digits left to rank rows
    by; on out-of-distribution rows, that no threshold on them will find these.

    ``logits`` (..., K), half floats too (``dtype="bfloat16"`` for bits as uint16); (K,) is a single row, and all rows
    with K = 1 are saturated. 0 < epsilon < 1. Raises DataError, a ValueError, for rows that are no distribution (NaN,
    two of +inf, nothing above -inf) and for no rows; ValueError for a temperature that is not positive.

    >>> import fastcal as fc
    >>> fc.softmax_saturation([[10.0, 0.0], [1.0, 0.0]]), fc.softmax_saturation([[30.0, 0.0]], epsilon=1e-12)
    (0.5, 1.0)
    """
    if not (isinstance(epsilon, int | float | np.integer | np.floating) and 0 < epsilon < 1):
        raise ValueError(f"epsilon is {epsilon!r}; expected a number between 0 and 1")
    scores = row_scores("logits", logits, -1, dtype)
    if scores.given.ndim == 0:
        raise DataError("logits", (), "has shape (); expected rows (..., K)")
    scores.need_classes()
    if scores.n_rows == 0:
        raise DataError("logits", (), "is empty")
    divided, limit = divisor(temperature, scores.real), float(epsilon) / (1 - float(epsilon))
    limit = max(limit, least_sum(scores))
    row_bytes = scores.n_classes * scores.taken_as.itemsize + 8
    workers = run(scores, row_bytes, lambda: Saturation(scores, divided, limit), n_threads)
    faulty = [worker.bad for worker in workers if worker.bad is not None]
    if faulty:
        raise no_distribution(scores, min(faulty))
    return sum(worker.n_saturated for worker in workers) / scores.n_rows
