"""Isotonic calibration: for each class the rising function of its probability that fits best."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from fastcal import kernels

from ..arrays import Array
from ..ordered.fit import thresholds
from ..ordered.groups import Blocks, blocks, finished
from .base import Applier, OneAgainstRest
from .class_columns import OneColumn, fit_each
from .forms import Input, Taken
from .isotonic import TOLERANCE, TOLERANCE_OF_SCIKIT_LEARN
from .maps import Maps, check_maps, flat
from .rows import Rows

# Where at most one row in so many has the label, the others are not sorted: only counted between those that have it.
RARE = 8
CELLS_PER_SCORE, MOST_CELLS = 8, 1 << 16
BLOCK = 256  # rows of which the cells are found at once


class IsotonicCalibration(OneAgainstRest):
    """Isotonic regression of every class against the rest (Zadrozny and Elkan 2002), each row divided by its sum.

    The map m_k of class k minimises sum_i w_i (m_k(p_ik) - [y_i = k])^2 over all functions that never fall; between its
    thresholds it is a straight line, and constant beyond them, as scikit-learn's
    ``CalibratedClassifierCV(method="isotonic")`` has it. Calibrated are m_k(p_k) / sum_j m_j(p_j); a row of zeros
    becomes uniform. Of two classes one map is fitted, that of P(y = 1). Probabilities within rounding of [0, 1] count
    as 0 or 1.

    Parameters: ``ties``, "exact" (of float32 only equal scores are ties, of float64 those closer than 1e-15) or
    "sklearn" (of float32 those closer than 1e-6, which makes one of the whole tail of a softmax); ``input``, "probs"
    unless "logits" is said; ``classes``; ``n_threads``.

    Fitted: ``offsets_`` (m + 1,), m maps (1 of two classes, else K), of which map k has the thresholds ``scores_`` and
    ``values_`` from ``offsets_[k]`` to ``offsets_[k + 1]``, in the scores' dtype. They are those of
    :class:`fastcal.IsotonicRegression` for the column. A class that no row has is 0 everywhere, one that all rows have
    is 1; constant scores have one threshold, the share of the class. Values of 0 and 1 stay: a row may get a
    probability of 0, and an NLL of infinity.

    Batches may come from a generator; all of their scores are held, 4 bytes each of float32 and 8 of float64, and
    beyond 1 GB, if the batches can be gone through again, those of some classes at a time. Sums of labels are exact:
    any order of rows, split and number of threads gives the same bits; real weights do but for the order of rows.

    Raises DataError for what is no probability or label, and where all weights are 0.

    >>> import fastcal as fc
    >>> calibrator = fc.IsotonicCalibration().fit([0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1])
    >>> calibrator.predict_proba([0.4, 0.75])
    array([0.5 , 0.75])
    """

    default_input: ClassVar[Input] = "probs"
    taken: ClassVar[Taken] = "probs"
    one_pass: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("scores_", "values_", "offsets_")

    scores_: Array
    values_: Array
    offsets_: Array

    def __init__(
        self,
        *,
        ties: Literal["exact", "sklearn"] = "exact",
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.ties = ties
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        if self.ties not in ("exact", "sklearn"):
            raise ValueError(f"ties is {self.ties!r}; expected 'exact' or 'sklearn'")

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        tolerance = TOLERANCE if self.ties == "exact" else TOLERANCE_OF_SCIKIT_LEARN

        def fit(column: OneColumn) -> tuple[Array, Array]:
            found = _blocks(column, tolerance[column.scores.dtype.name])
            return thresholds(found, column.scores.dtype)

        found = fit_each(rows, fit, self.n_threads)
        scores, offsets = flat([one[0] for one in found])
        return {"scores_": scores, "values_": np.concatenate([one[1] for one in found]), "offsets_": offsets}

    def _check_fitted(self) -> None:
        maps = 1 if self.n_features_in_ <= 2 else self.n_features_in_
        check_maps((self.scores_, self.values_, self.offsets_), maps, values_in_bins=False)
        falling = np.diff(self.values_) < 0
        falling[self.offsets_[1:-1] - 1] = False
        if falling.any():
            raise ValueError("values_ of a map fall")

    def _mapper(self) -> Applier:
        return Maps.lines(self.scores_, self.values_, self.offsets_)


def _blocks(column: OneColumn, tolerance: float) -> Blocks:
    """The blocks of the isotonic fit of one class."""
    rare = column.places is not None and RARE * len(column.places) <= len(column.scores)
    if rare and column.weights is None and not tolerance:
        return _of_rare(column.scores, column.scores[column.places])
    return blocks(column.scored(), tolerance=tolerance, n_threads=column.n_threads)


def _of_rare(scores: Array, own: Array) -> Blocks:
    """The same where few rows have the label: those with ``own`` scores.

    A row without the label is pooled with those of the next lower score that has it, at the latest, for its value of 0
    is never above theirs: so a block begins at such a score, or with the first row. All that matters of the others is
    how many lie in the *slot* from each such score up to the next, and the largest of them. 15 ns a row for sorting
    becomes 3.
    """
    starts, ones = np.unique(own, return_counts=True)
    m = len(starts)
    knots = np.zeros(m + 2)
    knots[1:-1], knots[-1] = starts, np.inf
    room = min(CELLS_PER_SCORE * (m + 1), MOST_CELLS)
    where, table = np.empty((3, 1), np.int64), np.empty(room, np.uint32)
    kernels.binned_columns.tabulate(knots, np.array([0, m + 2]), np.array([0, room]), where, table)
    counts, last = np.zeros(m + 1, np.int64), np.full(m + 1, -1, scores.dtype)
    places = np.empty(BLOCK, np.int64)
    kernels.binned_columns.slots(scores, knots, where[0, 0], where[1, 0], table, places, counts, last)
    sums = np.stack([counts, np.append(0, ones)], axis=1)
    sums[:, 0] -= sums[:, 1]
    first = np.append(scores.min(), starts).astype(np.float64)
    filled = slice(int(counts[0] == 0), None)
    return finished(first[filled], last[filled].astype(np.float64), sums[filled], falling=False)
