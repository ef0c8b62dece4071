"""Bayesian binning into quantiles: bins of equal mass in many numbers, averaged by how well they explain the labels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastcal import engine, kernels

from ..arrays import Array
from ..ordered.groups import groups
from .base import Applier, OneAgainstRest
from .class_columns import OneColumn, fit_each
from .forms import Input, Taken
from .maps import Maps, check_maps, flat
from .rows import Rows

RANGE = 10.0  # bins from N^(1/3) / 10 to 10 N^(1/3), as Naeini et al. take them
ROWS_PER_BIN = 5.0
MAX_BINS = 1 << 14
LEFT_OUT = 1e-6  # of the weight of all models, at most, is that of those left out
MODELS_AT_ONCE = 16


class BBQ(OneAgainstRest):
    """Bayesian binning into quantiles (Naeini, Cooper and Hauskrecht 2015), every class against the rest.

    A model cuts the rows of a class, in the order of their probability, into B bins of equal mass. A bin of weight N_b,
    m_b of it with the label, and of the middle p_b has a Beta prior worth N' / B rows (N' = 2), alpha = p_b N' / B and
    beta = (1 - p_b) N' / B. The model's score is its marginal likelihood, the product over its bins of

        G(N'/B) / G(N_b + N'/B)  G(m_b + alpha) / G(alpha)  G(N_b - m_b + beta) / G(beta)

    (G the gamma function; their equation 2), and the calibrated probability the mean of the posterior means of the bins
    that it is in, (m_b + alpha) / (N_b + N'/B), over all models, weighted by score. B goes from N^(1/3) / 10 to 10
    N^(1/3), N the sum of weights, but no further than N / 5, the number of different scores, or 16 384. Each row is
    divided by its sum. Of two classes one map is fitted, that of P(y = 1).

    Departures from the paper: rows of equal scores are never in different bins (a bin ends at the first score where the
    weight reaches i / B of the whole, half-way to the next score; one that would be empty is none), the middle of a bin
    is kept 2^-53 from 0 and 1, and models of little weight are left out, 1e-6 of it together, the others making up 1.

    Parameters: ``input``, "probs" unless "logits" is said; ``classes``; ``n_threads``.

    Fitted: the mean of the models, whose steps are where any of them has one. ``offsets_`` (m + 1,), m maps (1 of two
    classes, else K), of which map k has the edges ``edges_``, from 0 to 1, from ``offsets_[k]`` to ``offsets_[k + 1]``,
    bins (lo, hi], and one value less: ``values_``, from ``offsets_[k] - k`` on. ``n_models_`` (m,), how many models
    were kept, ``n_bins_`` (m,), the bins that the best was asked for, and ``log_evidence_`` (m,), its score in nats.

    A class that no row has is nearly 0, one that all rows have nearly 1; constant scores have one bin. All scores of a
    class are needed, which are held as :class:`fastcal.IsotonicCalibration` holds them. A row of weight 2 counts as two
    rows. Any split and number of threads give the same bits; so does any order of rows, without weights.

    Raises DataError for what is no probability or label, and where all weights are 0.

    >>> import fastcal as fc
    >>> calibrator = fc.BBQ().fit([0.1, 0.2, 0.3, 0.6, 0.8, 0.9], [0, 0, 0, 1, 1, 1])
    >>> calibrator.predict_proba([0.2, 0.7]).round(3)
    array([0.065, 0.923])
    """

    default_input: ClassVar[Input] = "probs"
    taken: ClassVar[Taken] = "probs"
    one_pass: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("edges_", "values_", "offsets_", "n_models_", "n_bins_", "log_evidence_")

    edges_: Array
    values_: Array
    offsets_: Array
    n_models_: Array
    n_bins_: Array
    log_evidence_: Array

    def __init__(self, *, input: Input | None = None, classes: Any = None, n_threads: int | None = None) -> None:
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        """It has none of its own."""

    def _estimate(self, rows: Rows) -> dict[str, Any]:
        found = fit_each(rows, _fit, self.n_threads)
        edges, values, n_models, n_bins, evidence = zip(*found, strict=True)
        together, offsets = flat(list(edges))
        return {
            "edges_": together,
            "values_": np.concatenate(values),
            "offsets_": offsets,
            "n_models_": np.array(n_models),
            "n_bins_": np.array(n_bins),
            "log_evidence_": np.array(evidence),
        }

    def _check_fitted(self) -> None:
        maps = 1 if self.n_features_in_ <= 2 else self.n_features_in_
        check_maps((self.edges_, self.values_, self.offsets_), maps, values_in_bins=True)
        for name in ("n_models_", "n_bins_", "log_evidence_"):
            if getattr(self, name).shape != (maps,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected ({maps},)")

    def _mapper(self) -> Applier:
        return Maps.steps(self.edges_, self.values_, self.offsets_)


def _fit(column: OneColumn) -> tuple[Array, Array, int, int, float]:
    """Edges and values of one class, how many models were kept, and the bins and the evidence of the best of them."""
    found = groups(column.scored(), column.n_threads, by_class=True)
    zeros, ones = (np.append(0.0, np.cumsum(total, dtype=np.float64)) for total in found.totals())
    low, high = found.score[:-1], found.score[1:]
    middle = low + (high - low) / 2
    middle = np.where(middle < high, middle, low)  # of neighbouring floats it may round to the upper one
    cuts = np.concatenate([[0.0], middle, [1.0]])
    first, last = bins_tried(float(zeros[-1] + ones[-1]), len(found.score))
    evidence = np.empty(last + 1 - first)

    def score(start: int, stop: int) -> None:
        kernels.bayesian_bins.evidence(zeros, ones, cuts, np.int64(first + start), evidence[start:stop])

    engine.run(len(evidence), 64 * last, MODELS_AT_ONCE, lambda: score, column.n_threads)
    kept, shares = weighed(evidence)
    used = np.zeros(len(cuts), bool)
    for model in kept:
        kernels.bayesian_bins.mark(zeros, ones, np.int64(first + model), used)
    places = np.flatnonzero(used)
    values = np.zeros(len(places) - 1)
    for model, share in zip(kept, shares, strict=True):
        kernels.bayesian_bins.add(zeros, ones, cuts, np.int64(first + model), share, places, values)
    best = int(evidence.argmax())
    return cuts[places], np.minimum(values, 1.0), len(kept), first + best, float(evidence[best])


def bins_tried(weight: float, n_scores: int) -> tuple[int, int]:
    """The least number of bins and the largest."""
    root = float(np.cbrt(weight))
    most = min(np.ceil(RANGE * root), np.ceil(weight / ROWS_PER_BIN), n_scores, MAX_BINS)
    return int(min(max(np.floor(root / RANGE), 1), max(most, 1))), int(max(most, 1))


def weighed(evidence: Array) -> tuple[Array, Array]:
    """The models that are kept, and the share of each."""
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    n = int(np.searchsorted(np.cumsum(shares[order]), 1 - LEFT_OUT)) + 1
    kept = np.sort(order[:n])
    return kept, shares[kept] / shares[kept].sum()
