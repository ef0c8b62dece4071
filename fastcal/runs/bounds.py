"""Both ends of a figure's interval, of all rows and of each group: what a threshold that must hold surely is held to.

Intervals are those of the report, at its level. Where ECE has none, because not every bin's gap exceeds 3 standard
errors, the root of the upper end of ``squared_ce_debiased`` takes its place: with shares s and gaps g, sum s |g| is
never more than the root of sum s g^2. So it is with over- and underconfidence, which are parts of ECE, and the lower
end is 0.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from ..accumulators.curve import wilson
from ..accumulators.evaluation_report import EvaluationReport
from ..accumulators.groups import GroupReport
from ..accumulators.intervals import squared_error_bound
from ..arrays import Array

# Counted, not estimated: what they are is what they are surely.
COUNTS = ("n", "n_nan", "n_classes", "n_zero_probability")
NORMAL = ("accuracy", "nll", "brier", "squared_ce_debiased", "ece")
ROOTS = ("rmsce", "rmsce_debiased")
PARTS_OF_ECE = ("ece", "ece_debiased", "overconfidence", "underconfidence")
BOOTSTRAPPED = ("confidence", "entropy", "mce", "signed_calibration_error", "overconfidence", "underconfidence")
OF_GROUPS = ("accuracy", "nll", "brier", "squared_ce_debiased", *ROOTS, *PARTS_OF_ECE)
NOT_BOUNDED = "too few rows, or not every bin's gap exceeds 3 standard errors"

Ends = tuple[float, float, str]
NONE: Ends = (-math.inf, math.inf, "")


def has_bounds(name: str, *, groups: bool) -> bool:
    """Whether a figure can have an interval."""
    if groups:
        return name in COUNTS or name in OF_GROUPS
    return name in COUNTS or name in NORMAL or name in ROOTS or name in PARTS_OF_ECE or name in BOOTSTRAPPED


def bounds(report: EvaluationReport, name: str) -> Ends:
    """Lower and upper end of the interval of a figure, and what made it: nothing where it has none."""
    value = float(report[name])
    if name in COUNTS:
        return value, value, "count"
    if math.isinf(value):  # a label of probability 0: that is no matter of how many rows there are
        return value, value, "infinite"
    found = report["intervals"]
    ends: Ends = NONE
    if name in ROOTS:
        ends = _root(*found.squared_ce_debiased)
    elif name in NORMAL and getattr(found, name) is not None:
        ends = (*getattr(found, name), "normal")
    elif name == "ece_debiased" and found.ece is not None:
        ends = (*found.ece, "normal")
    elif report.get("bootstrap", {}).get(name) is not None:
        ends = (*report["bootstrap"][name], "bootstrap")
    elif name in PARTS_OF_ECE:
        _, high, method = _root(*found.squared_ce_debiased)
        ends = 0.0, high, method
    return NONE if math.isnan(ends[0]) or math.isnan(ends[1]) else ends


def _root(low: float, high: float) -> Ends:
    return math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0)), "root of squared_ce_debiased"


def group_bounds(groups: GroupReport, name: str, level: float) -> tuple[Array, Array, str]:
    """The same of each group, from the closed forms of its lower bounds; infinite where too few rows say nothing.

    Bins of one row say nothing of their gap's square: they are taken to be as bad as the others.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    values = np.asarray(groups[name], float)
    if name in COUNTS:
        return values, values, "count"
    if name == "accuracy":
        share, n = groups.lower["error"]
        low, high = wilson(1 - share, n, level)
        method = "normal"
    elif name in ("nll", "brier"):
        from scipy.special import stdtrit

        mean, error, n = groups.lower[name]
        half = stdtrit(np.maximum(n - 1, 1e-3), (1 + level) / 2) * error
        low, high, method = mean - half, mean + half, "Student's t"
        low, high = (np.where(np.isinf(values), values, one) for one in (low, high))
    else:
        estimate, slope, rest = groups.lower["rmsce"]
        low, high = (squared_error_bound(estimate, slope, rest, side * z) for side in (-1, 1))
        high = high / _in_bins_of_several(groups)
        method = "normal"
        if name != "squared_ce_debiased":
            low, high = (np.sqrt(np.maximum(one, 0.0)) for one in (low, high))
            low = low if name in ROOTS else np.zeros_like(high)
            method = "root of squared_ce_debiased"
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return low, high, method


def _in_bins_of_several(groups: GroupReport) -> Array:
    """Of each group, the share of its weight that is in bins of two rows or more, never quite 0."""
    if groups.bins is None:
        return np.ones(len(groups))
    shares = np.where(groups.bins.count > 1, np.nan_to_num(groups.bins.shares), 0.0).sum(axis=-1)
    return np.where(shares > 0, shares, 1e-300)
