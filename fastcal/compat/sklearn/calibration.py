"""``sklearn.calibration`` over ours: ``calibration_curve``; every other name is scikit-learn's own.

>>> from fastcal.compat.sklearn.calibration import calibration_curve
>>> prob_true, prob_pred = calibration_curve([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
>>> prob_true.tolist(), prob_pred.tolist()
([0.5, 1.0], [0.25, 0.75])
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from sklearn import calibration as theirs

from ...accumulators import reliability
from ...accumulators.base import Accumulator
from ...accumulators.bins import Binning
from ...accumulators.reliability import ReliabilityPart
from ...arrays import Array, predictions
from ..theirs import floats, hand_on, stands_for
from .labels import binary

__all__ = ["calibration_curve"]

BELOW_ALL = -1.0  # the lower end of the first bin, which has a place for all below the first cut


@functools.lru_cache(maxsize=16)
def _uniform(n_bins: int) -> ReliabilityPart:
    """Uniform bins with what looks them up, which would take as long as 1000 rows."""
    return ReliabilityPart(Binning(n_bins, convention="sklearn"), squares=False)


@stands_for(theirs.calibration_curve)
def calibration_curve(
    y_true: Any, y_prob: Any, *, pos_label: Any = None, n_bins: int = 5, strategy: str = "uniform"
) -> tuple[Array, Array]:
    """``sklearn.calibration.calibration_curve``: ``prob_true`` and ``prob_pred`` (B,) of the bins that hold rows.

    ``y_true`` (N,) two labels, ``y_prob`` (N,) P(y = pos_label); bins (lo, hi], uniform or between percentiles, of
    which equal ones each begin a bin. Sums are exact, scikit-learn's are float64: they agree to 1e-12.
    """
    labels, probs = binary(y_true, pos_label), floats(y_prob, 1)
    if type(n_bins) is not int or n_bins < 1 or not (probs.min() >= 0 and probs.max() <= 1):
        hand_on()
    if strategy == "uniform":
        part = _uniform(n_bins)
    elif strategy == "quantile":
        cuts = np.percentile(probs, np.linspace(0, 1, n_bins + 1) * 100)[1:-1]
        binning = Binning.between(np.array([BELOW_ALL, *np.unique(cuts), 2.0]))
        part = ReliabilityPart(binning, squares=False)
    else:
        hand_on()
    found = None
    if len(probs) <= reliability.FEW:
        batch = predictions(labels, probs)
        found = part.at_once(batch.scores.chunk(0, len(probs)), batch.labels.chunk(0, len(probs)), batch.scores)
    if found is None:
        seen = Accumulator(settings={}, parts={"reliability": part}).update(labels, probs)
        found = part.view(seen.part_state("reliability"))
    sums = found.sums
    held = sums.count > 0
    return sums.hits[held] / sums.weight[held], sums.confidence[held] / sums.weight[held]


def __getattr__(name: str) -> Any:
    return getattr(theirs, name)
