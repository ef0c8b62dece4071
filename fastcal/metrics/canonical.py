"""The canonical calibration error: whole rows of probabilities against the labels' distribution."""

from __future__ import annotations

from typing import Any, Literal, Unpack

from ..accumulators.canonical import CanonicalAccumulator
from .one_shot import Options, one_shot

FIGURES = {"l1": "canonical_ece", "l2": "canonical_rmsce", "max": "canonical_mce"}


class CanonicalOptions(Options, total=False):
    """Options of the canonical error; see :class:`fastcal.CanonicalAccumulator`."""

    n_bins: int
    max_cells: int | None


def canonical_error(
    y_true: Any,
    y_prob: Any,
    *,
    norm: Literal["l1", "l2", "max"] = "l1",
    squared: bool = False,
    **options: Unpack[CanonicalOptions],
) -> float:
    """Binned calibration error of whole rows (Vaicenavicius et al., "Evaluating model calibration ...", 2019).

    A cell c holds the rows whose p_k lie in the same bin, (lo, hi], for every class k; a cell's mean outcome and mean
    prediction, m_ck and p_ck, are distributions over the classes, and w_c is its share of the weight::

        "l1"   sum_c w_c 1/2 sum_k |m_ck - p_ck|, the mean total variation distance
        "l2"   sqrt(sum_c w_c sum_k (m_ck - p_ck)^2); with ``squared=True`` without the root
        "max"  max_c 1/2 sum_k |m_ck - p_ck|

    ``y_true`` (N,) integer labels; ``y_prob`` (N, K) rows, or (N,) probabilities p, taken as rows (1 - p, p); logits of
    either form with ``from_logits=True``. Options: ``n_bins`` (15) a class; ``max_cells``, the most occupied cells that
    there may be, as each takes 16 K + 24 bytes or more (None: as many as take 1 GB); ``sample_weight`` (N,),
    ``nan_policy`` ("raise", "omit", "propagate"), ``n_threads``. Raises DataError, a ValueError, for values or shapes
    that are not these, for no rows, and for more cells than ``max_cells``.

    It is not debiased: with many cells of few rows each it is large for a calibrated model, too.

    >>> import fastcal as fc
    >>> fc.canonical_error([0, 1, 1, 1], [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]], n_bins=2)
    0.25
    """
    if norm not in FIGURES:
        raise ValueError(f"norm is {norm!r}; expected one of {', '.join(FIGURES)}")
    if squared and norm != "l2":
        raise ValueError(f"squared is True, which norm={norm!r} has no use for; it is for norm='l2'")
    value: float = one_shot(CanonicalAccumulator, FIGURES[norm], y_true, y_prob, options)
    return value * value if squared else value
