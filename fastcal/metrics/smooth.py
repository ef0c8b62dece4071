"""The smooth calibration error."""

from __future__ import annotations

from typing import Any, Unpack

from ..accumulators.smooth import Kernel, SmoothAccumulator
from .one_shot import Options, one_shot


def smooth_ece(
    y_true: Any,
    y_prob: Any,
    *,
    kernel: Kernel = "identity",
    bandwidth: float | None = None,
    **options: Unpack[Options],
) -> float:
    """Smooth calibration error, smECE (Blasiok and Nakkiran, "Smooth ECE: Principled reliability diagrams via kernel
    smoothing", ICLR 2024): the one s at which smECE_s = s, and

        smECE_s = int |sum_i w_i K_s(t, p_i) (y_i - p_i) / sum_i w_i| dt

    ``y_true`` (N,) integer labels; ``y_prob`` (N,) probabilities of class 1, or (N, K) rows, whose p is the confidence
    and y whether the largest class is the label (logits of either form with ``from_logits=True``). ``kernel``: with
    "identity" K_s is a Gaussian of standard deviation s in p, reflected at 0 and 1; with "logit" one in
    log(p / (1 - p)) / 4, over which the integral then is, and logits beyond +-16 count as +-16. ``bandwidth``: the
    integral at this s, in the same units, from 2.4e-4 (identity) or 2.0e-3 (logit) to 100. Options: ``sample_weight``
    (N,), ``nan_policy``, ``n_threads``. Returns a probability, 0 for what is calibrated.

    Rows are gathered on a grid: for any rows the result is within 7.3e-6 at s = 1e-3 (identity) or 1e-5 at s = 0.0074
    (logit), a bound that falls as 1 / s^4 (see ``accumulators/smooth.py``); for one below the least bandwidth it is the
    integral at the least, which is not more. relplot agrees within 2e-3 away from the ends: its grid is one of 0.001,
    and rows within half a cell of 0 or 1 count half there. Raises DataError, a ValueError, for values or shapes that
    are not these, and for no rows; ValueError for another kernel or bandwidth.

    >>> import fastcal as fc
    >>> round(fc.smooth_ece([0, 0, 0, 1], [0.75, 0.75, 0.75, 0.75]), 6)
    0.5
    >>> round(fc.smooth_ece([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bandwidth=0.05), 6)
    0.25
    """
    settings: Any = {**options, "kernel": kernel, "bandwidth": bandwidth}
    value: float = one_shot(SmoothAccumulator, "smooth_ece", y_true, y_prob, settings)
    return value
