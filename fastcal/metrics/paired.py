"""Two models of the same rows: which one is better calibrated, and is it sure."""

from __future__ import annotations

from typing import Any

from ..accumulators.intervals import check_level
from ..accumulators.paired import PairedAccumulator
from ..accumulators.paired_report import Comparison


def compare(
    y_true: Any,
    prob_a: Any,
    prob_b: Any,
    *,
    from_logits: bool | tuple[bool, bool] = False,
    sample_weight: Any = None,
    n_bins: int | None = None,
    level: float = 0.95,
    n_threads: int | None = None,
) -> Comparison:
    """Compare two models on the same rows: differences A - B of accuracy, scores and calibration errors, and intervals.

    ``y_true`` (N,) integer labels; ``prob_a`` and ``prob_b`` both (N,) probabilities of class 1 or both (N, K) rows, or
    logits with ``from_logits=True``, or ``(True, False)`` where only A's are; ``sample_weight`` (N,), each 0 or from
    1e-100 to 1e100; ``n_bins`` as in :func:`fastcal.ece`; ``level`` of each interval: they are not adjusted for there
    being several, so that of six at 0.95 one may miss by chance more often than in one of 20 comparisons.

    Rows are paired: what both models find hard cancels. With x_i what row i adds to the difference,

        variance = sum w_i^2 (x_i - mean x)^2 / (W^2 - sum w_i^2),  W = sum w_i

    - ``nll``, ``brier``: x is the difference of the row's scores, the interval normal. Rows whose label both models
      give probability 0 differ by 0; if one of them alone does, the difference is infinite and has no interval.
    - ``accuracy``: rows that one model alone has right, one more of each kind (Bonett and Price 2012, "Adjusted Wald
      confidence interval for a difference of binomial proportions based on paired data"); ``mcnemar_p`` is McNemar's
      exact test of the same counts.
    - ``squared_ce_debiased``, the headline: the squared calibration error over bins without bias (Kumar, Liang and Ma
      2019). x = (2 g d - g^2) of A less that of B, d a row's residual y - p and g its bin's gap; near calibration,
      where that vanishes, the variance of the second order if it is larger. Of 1500 simulated data sets at each of 8
      settings, 95 % intervals held the truth in 94 to 99.8 % at 400 and 3000 rows (91 to 99.8 % at 100): 99.7 % where
      both models are calibrated, 94 to 95 % where one is far off. A paired bootstrap's were wider, by a
      fifth near calibration, and held it in 96 to 100 %.
    - ``ece``, ``rmsce``: x = sign(g) d, and (2 g d - g^2) / (2 RMSCE), where every bin's gap exceeds 3 standard errors
      in both models. Else such errors are mostly noise, and there is no interval.

    Returns a :class:`Comparison`. Raises ValueError for other options, and DataError naming the argument, the place and
    the value for rows that are none: also for NaN, since a comparison leaves no row out.

    >>> import numpy as np
    >>> import fastcal as fc
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(2000)
    >>> y = rng.random(2000) < p
    >>> found = fc.compare(y, p, p**2)
    >>> found.better_calibrated, found["nll"].better
    ('A', 'A')
    >>> low, high = found["squared_ce_debiased"].interval
    >>> low < found["squared_ce_debiased"].difference < high < 0
    True
    """
    check_level(level)
    seen = PairedAccumulator(n_bins=n_bins, from_logits=from_logits, n_threads=n_threads)
    return seen.update(y_true, prob_a, prob_b, sample_weight=sample_weight).compute(level)
