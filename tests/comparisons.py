"""The one table of comparisons: each public function beside its slow twin and beside the peers that compute the same.

The tests assert equality over ``TABLE`` and the benchmarks time it, so a new metric is one row at the end of this file.

Inputs keep away from what systems in the field disagree about: no confidence lies within 1e-3 of a bin's width of an
edge of 15 bins, 0 and 1 included. There the half-open bins of all peers hold the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import oracle
import peers
from peers import LOGITS, N_BINS, PROBS, ROWS, Peer

import fastcal as fc

# How close a result of ours comes to the slow twin: in float32 each row is rounded a few times, by 6e-8 of its value.
OURS = {"float32": {"": 2e-6}, "float64": {"": 1e-12}}

# Inputs


@dataclass(frozen=True)
class Kind:
    """A form that scores come in."""

    from_logits: bool
    rows: bool  # (N, K) rather than (N,)


KINDS = {
    "rows": Kind(from_logits=False, rows=True),
    "wide rows": Kind(from_logits=False, rows=True),
    "confidences": Kind(from_logits=False, rows=False),
    "logits": Kind(from_logits=True, rows=True),
    "wide logits": Kind(from_logits=True, rows=True),
    "log-odds": Kind(from_logits=True, rows=False),
}


@dataclass(frozen=True)
class Data:
    """Labels, scores and perhaps weights of one kind."""

    kind: str
    y_true: np.ndarray
    scores: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def from_logits(self) -> bool:
        return KINDS[self.kind].from_logits

    @property
    def n_bytes(self) -> int:
        arrays = (self.y_true, self.scores, self.sample_weight)
        return sum(array.nbytes for array in arrays if array is not None)


def generate(kind: str, n_rows: int, n_classes: int, dtype: Any, *, weighted: bool = False, seed: int = 0) -> Data:
    """Seeded predictions of an overconfident model, over the whole range of confidence."""
    rng = np.random.default_rng(seed)
    n_drawn = n_rows + n_rows // 20 + 100  # the extra ones stand in for those near an edge
    if KINDS[kind].rows:
        y_true, scores, confidence = _rows(rng, n_drawn, n_classes, np.dtype(dtype), KINDS[kind].from_logits)
    else:
        y_true, scores, confidence = _confidences(rng, n_drawn, np.dtype(dtype), KINDS[kind].from_logits)
    place = confidence * N_BINS
    kept = np.flatnonzero(abs(place - np.rint(place)) > 1e-3)[:n_rows]
    assert len(kept) == n_rows
    weight = rng.exponential(size=n_rows) if weighted else None
    return Data(kind, y_true[kept], scores[kept], weight)


def _rows(rng, n, k, dtype, from_logits):
    favourite = rng.integers(0, k, n)
    y_true = np.where(rng.random(n) < 0.8, favourite, rng.integers(0, k, n))
    logits = rng.standard_normal((n, k), dtype)
    logits[np.arange(n), favourite] += rng.uniform(0, 6 + np.log(k), n).astype(dtype)
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    return y_true, logits if from_logits else probs, probs.max(axis=1)


def _confidences(rng, n, dtype, from_logits):
    p = rng.random(n)
    y_true = (rng.random(n) < 0.2 + 0.6 * p).astype(np.int64)
    return y_true, (np.log(p / (1 - p)) if from_logits else p).astype(dtype), p


# Results


def figures(result: Any) -> dict[str, np.ndarray]:
    """The numbers of a result by name; a single one is named "value"."""
    if is_dataclass(result):
        result = {place.name: getattr(result, place.name) for place in fields(result)}
    if not isinstance(result, Mapping):
        result = {"value": result}
    return {name: np.asarray(value) for name, value in result.items() if not is_dataclass(value)}


def assert_same(ours: Any, expected: Any, tolerance: Mapping[str, float]) -> None:
    """Every figure of ``expected`` is among ours and equals it, to its ``tolerance``, relative or absolute."""
    found = figures(ours)
    for name, value in figures(expected).items():
        allowed = tolerance.get(name, tolerance[""])
        np.testing.assert_allclose(found[name], value, rtol=allowed, atol=allowed, err_msg=name)


# The table


def _summary(y_true, logits, *, from_logits, sample_weight):
    return fc.softmax_summary(logits)


def _of_scores(function):
    def call(y_true, scores, *, from_logits, sample_weight):
        return function(scores)

    return call


def _in_float64(function):
    return _of_scores(lambda scores: function(scores.astype(float)))


def _evaluation(y_true, scores, *, from_logits, sample_weight):
    return fc.Evaluation(from_logits=from_logits).update(y_true, scores, sample_weight=sample_weight).compute()


@dataclass(frozen=True)
class Comparison:
    """One public name: how it is called, what it must equal, and what it is timed against.

    ``ours`` and ``oracle`` are called alike: ``(y_true, scores, from_logits=..., sample_weight=...)``. The benchmarks
    make a line for each kind of input in ``timed``, and call it ``work``.
    """

    name: str
    work: str
    ours: Callable[..., Any]
    oracle: Callable[..., Any]
    peers: Mapping[str, Peer] = field(default_factory=dict)
    takes: tuple[str, ...] = tuple(KINDS)
    weights: bool = True
    timed: tuple[str, ...] = ("rows",)

    def __str__(self) -> str:
        return self.name

    def __call__(self, data: Data) -> Any:
        return self.ours(data.y_true, data.scores, from_logits=data.from_logits, sample_weight=data.sample_weight)

    def expected(self, data: Data) -> Any:
        return self.oracle(data.y_true, data.scores, from_logits=data.from_logits, sample_weight=data.sample_weight)

    def peers_for(self, kind: str) -> dict[str, Peer]:
        return {name: peer for name, peer in self.peers.items() if kind in peer.takes}


TABLE = [
    Comparison(
        "Evaluation",
        "whole report",
        _evaluation,
        oracle.evaluation,
        {
            "torch + torchmetrics": Peer(
                peers.torchmetrics_report,
                ("torch", "torchmetrics"),
                LOGITS,
                (1e-6, 1e-6),
                **peers.DRIFT,
            )
        },
        timed=LOGITS,
    ),
    Comparison(
        "softmax_summary",
        "softmax summary",
        _summary,
        oracle.softmax_summary,
        {
            "torch": Peer(peers.torch_summary, ("torch",), LOGITS, (5e-6, 1e-12), "works in the dtype of the input"),
            "scipy": Peer(peers.scipy_summary, ("scipy",), LOGITS, (5e-6, 1e-12), "works in the dtype of the input"),
        },
        takes=LOGITS,
        weights=False,
        timed=LOGITS,
    ),
    Comparison(
        "softmax",
        "softmax",
        _of_scores(fc.softmax),
        _in_float64(oracle.softmax),
        peers.row_by_row(peers.torch_softmax, peers.scipy_softmax, LOGITS),
        takes=LOGITS,
        weights=False,
        timed=(),  # see bench/courses.py, also for the entropy
    ),
    Comparison(
        "log_softmax",
        "log softmax",
        _of_scores(fc.log_softmax),
        _in_float64(oracle.log_softmax),
        peers.row_by_row(peers.torch_log_softmax, peers.scipy_log_softmax, LOGITS),
        takes=LOGITS,
        weights=False,
        timed=("logits", "wide logits"),
    ),
    Comparison(
        "logsumexp",
        "log-sum-exp",
        _of_scores(fc.logsumexp),
        _in_float64(oracle.logsumexp),
        peers.row_by_row(peers.torch_logsumexp, peers.scipy_logsumexp, LOGITS),
        takes=LOGITS,
        weights=False,
        timed=("logits", "wide logits"),
    ),
    Comparison(
        "entropy",
        "entropy",
        _of_scores(fc.entropy),
        _in_float64(oracle.entropy_of_rows),
        peers.row_by_row(peers.torch_entropy, peers.scipy_entropy, ROWS),
        takes=ROWS,
        weights=False,
        timed=(),
    ),
    Comparison("ece", "ECE", fc.ece, oracle.ece, peers.CALIBRATION_ERRORS["l1"], timed=("rows", "confidences")),
    Comparison("rmsce", "RMSCE", fc.rmsce, oracle.rmsce, peers.CALIBRATION_ERRORS["l2"]),
    Comparison("mce", "MCE", fc.mce, oracle.mce, peers.CALIBRATION_ERRORS["max"]),
    Comparison(
        "calibration_error",
        "calibration error",
        fc.calibration_error,
        oracle.calibration_error,
        peers.CALIBRATION_ERRORS["l1"],
        timed=(),
    ),
    Comparison(
        "reliability_curve",
        "reliability curve",
        fc.reliability_curve,
        oracle.reliability_curve,
        {
            "scikit-learn": Peer(
                peers.sklearn_calibration_curve, ("sklearn",), ("confidences",), (1e-6, 1e-12), "sums in float64"
            )
        },
        timed=("confidences",),
    ),
    Comparison(
        "nll",
        "NLL",
        fc.nll,
        oracle.nll,
        {
            "scikit-learn": peers.scikit_learn(peers.sklearn_log_loss, PROBS),
            "numpy": peers.with_numpy(peers.numpy_nll, ROWS),
            "torch": Peer(
                peers.torch_cross_entropy, ("torch",), LOGITS, (5e-6, 1e-12), "sums in the dtype of the input"
            ),
        },
        timed=("rows", "logits"),
    ),
    Comparison(
        "brier_score",
        "Brier score",
        fc.brier_score,
        oracle.brier_score,
        {
            "scikit-learn": peers.scikit_learn(
                peers.sklearn_brier_score, PROBS if peers.sklearn_takes_rows() else ("confidences",)
            ),
            "numpy": peers.with_numpy(peers.numpy_brier_score, PROBS),
        },
    ),
    Comparison(
        "accuracy",
        "accuracy",
        fc.accuracy,
        oracle.accuracy,
        {
            "scikit-learn": peers.scikit_learn(peers.sklearn_accuracy, PROBS),
            "torchmetrics": peers.torchmetrics(peers.torchmetrics_accuracy, 1e-7, because="returns a float32"),
            "numpy": peers.with_numpy(peers.numpy_accuracy, PROBS),
        },
    ),
]
