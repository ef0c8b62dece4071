"""Selective prediction: what the risk is when only the most confident rows are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

from ..accumulators.selective import RiskCoverageCurve, judged_rows
from ..arrays import DataError
from ..ordered.columns import ScoredRows
from ..ordered.groups import groups
from ..ordered.selective import RiskSums, SelectiveRanking, as_share
from .one_shot import Options


class SelectiveOptions(Options, total=False):
    """Options of the figures of selective prediction; see :func:`aurc`."""

    confidence: Any


def risk_coverage_curve(y_true: Any, y_prob: Any, **options: Unpack[SelectiveOptions]) -> RiskCoverageCurve:
    """The share of errors among the most confident rows, at each threshold of the confidence from the highest down.

    ``.coverage``, ``.risk``, ``.generalized_risk`` and ``.threshold`` (m,), a point for each distinct confidence: rows
    of equal confidence are kept together (El-Yaniv and Wiener 2010); ``.plot()``. Arguments and errors as in
    :func:`aurc`.

    >>> import fastcal as fc
    >>> fc.risk_coverage_curve([1, 0, 1, 1], [0.9, 0.2, 0.7, 0.4]).risk
    array([0.  , 0.  , 0.  , 0.25])
    """
    rows, n, propagated = _judged(y_true, y_prob, options)
    curve = RiskCoverageCurve.of(_ranking(rows, n, options))
    return curve.undefined() if propagated else curve


def aurc(y_true: Any, y_prob: Any, **options: Unpack[SelectiveOptions]) -> float:
    """(1/N) sum_i r_i, r_i the share of errors among the i most confident rows (Geifman, Uziel, El-Yaniv 2019).

    Of rows of equal confidence each order counts the same: the expectation over all of them, exactly. (Elsewhere ties
    lie as a sort leaves them, and the mean is a trapezoid: that of torch-uncertainty is
    (sum_i r_i - (r_1 + r_N) / 2) / (N - 1); that of fd-shifts goes straight from one distinct confidence to the next,
    and is 1000 times as large.)

    ``y_true`` (N,) integer labels; ``y_prob`` (N,) P(y = 1), or (N, K) rows, or logits of either form with
    ``from_logits=True``. A row is an error where the prediction is not the label; its confidence is the probability of
    the predicted class: the largest p, of (N,) max(p, 1 - p), in float32, or float64 for such. ``confidence`` (N,): any
    other finite numbers, the higher the sooner a row is kept. Options: ``sample_weight`` (N,), ``nan_policy`` (of rows
    of ``y_prob`` that are no distribution, and of missing labels and weights), ``n_threads``. Raises DataError, a
    ValueError, for values or shapes that are not these, and for no rows.

    Weights: a group of equal confidence and weight w counts as w / (W / N) rows of its mean error, N rows of a weight
    above 0 weighing W in all (a sum over a real number of rows is a difference of digamma functions): equal weights
    change nothing. Risks are summed in units of 2^-62: no order, cut or thread changes a bit. Takes 9 bytes a row
    beyond its input in float32, 17 in float64, with weights 77 and 105; :class:`SelectiveAccumulator` streams it in a
    few megabytes.

    >>> import fastcal as fc
    >>> fc.aurc([1, 0, 1, 1], [0.9, 0.2, 0.7, 0.4])
    0.0625
    """
    return _sum("aurc", y_true, y_prob, options)


def e_aurc(y_true: Any, y_prob: Any, **options: Unpack[SelectiveOptions]) -> float:
    """AURC less that of the perfect ranking, in which the same errors come last (Geifman, Uziel, El-Yaniv 2019).

    The perfect ranking's is the exact mean, (1/N) sum_{j = 1..e} j / (N - e + j), not its limit r + (1 - r) log(1 - r).
    Arguments and errors as in :func:`aurc`.

    >>> import fastcal as fc
    >>> fc.e_aurc([1, 0, 0, 1], [0.9, 0.2, 0.7, 0.6])
    0.08333333333333333
    """
    return _sum("e_aurc", y_true, y_prob, options)


def augrc(y_true: Any, y_prob: Any, **options: Unpack[SelectiveOptions]) -> float:
    """(1/N) sum_i e_i / N, e_i the errors among the i most confident rows (Traub et al. 2024).

    The mean share of all rows that are kept and wrong; ties as in :func:`aurc`. (The trapezoid from coverage 0 on is
    r / (2 N) less, r the share of errors: (1 - AUROC) r (1 - r) + r^2 / 2, AUROC that of right predictions above wrong
    ones; fd-shifts' is 1000 times that.) Arguments and errors as in :func:`aurc`.

    >>> import fastcal as fc
    >>> fc.augrc([1, 0, 0, 1], [0.9, 0.2, 0.7, 0.6])
    0.125
    """
    return _sum("augrc", y_true, y_prob, options)


def risk_at_coverage(y_true: Any, y_prob: Any, *, coverage: float = 0.8, **options: Unpack[SelectiveOptions]) -> float:
    """The share of errors among the most confident rows that make up at least this share of all.

    At the highest threshold whose coverage reaches ``coverage`` (above 0, at most 1), with all rows of equal confidence
    there: the coverage may be larger. Other arguments and errors as in :func:`aurc`.

    >>> import fastcal as fc
    >>> fc.risk_at_coverage([1, 0, 0, 1], [0.9, 0.2, 0.7, 0.6], coverage=0.75)
    0.3333333333333333
    """
    share = as_share("coverage", coverage, zero=False)
    return _at(lambda ranking: ranking.risk_at(share), y_true, y_prob, options)


def coverage_at_risk(y_true: Any, y_prob: Any, *, risk: float = 0.05, **options: Unpack[SelectiveOptions]) -> float:
    """The largest coverage, of all thresholds, at which the share of errors is at most ``risk``; 0.0 if there is none.

    The risk need not rise with the coverage: thresholds above that one may exceed it. ``risk`` from 0 to 1. Other
    arguments and errors as in :func:`aurc`.

    >>> import fastcal as fc
    >>> fc.coverage_at_risk([1, 0, 0, 1], [0.9, 0.2, 0.7, 0.6], risk=0.1)
    0.5
    """
    share = as_share("risk", risk, zero=True)
    return _at(lambda ranking: ranking.coverage_at(share), y_true, y_prob, options)


def _judged(y_true: Any, y_prob: Any, options: SelectiveOptions) -> tuple[ScoredRows | None, int, bool]:
    """The rows (None: none of a weight above 0), how many have such, and whether NaN makes all figures NaN."""
    found = judged_rows(y_true, y_prob, **options)
    if not found.n + found.n_nan:
        raise DataError("y_true", (), "is empty")
    rows = found.scored(options.get("n_threads")) if found.n else None
    n = found.n_ranked
    return rows if n else None, n, found.n_nan > 0 and options.get("nan_policy") == "propagate"


def _ranking(rows: ScoredRows | None, n: int, options: SelectiveOptions) -> SelectiveRanking | None:
    return None if rows is None else SelectiveRanking(groups(rows, options.get("n_threads"), by_class=True), n)


def _sum(figure: str, y_true: Any, y_prob: Any, options: SelectiveOptions) -> float:
    rows, n, propagated = _judged(y_true, y_prob, options)
    if propagated or rows is None:
        return math.nan
    value: float = getattr(RiskSums.of_rows(rows, n, options.get("n_threads")), figure)()
    return value


def _at(figure: Callable[[SelectiveRanking], float], y_true: Any, y_prob: Any, options: SelectiveOptions) -> float:
    rows, n, propagated = _judged(y_true, y_prob, options)
    ranking = None if propagated else _ranking(rows, n, options)
    return math.nan if ranking is None else figure(ranking)
