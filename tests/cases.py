"""What a comparison is made of: seeded inputs of every kind, results by name, and how close two have to be.

Inputs keep away from what systems in the field disagree about: no confidence lies within 1e-3 of a bin's width of an
edge of 15 bins, 0 and 1 included. There the half-open bins of all peers hold the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from peers import N_BINS, Peer

# How close a result of ours comes to the slow twin: in float32 each row is rounded a few times, by 6e-8 of its value.
# Smooth ECE puts rows on a grid. The parameters of a likelihood are those where a minimiser stopped.
OURS = {
    "float32": {"": 2e-6, "fitted": 1e-5},
    "float64": {"": 1e-12, "smooth_ece": 1e-7, "fitted": 1e-6, "fitted_nll": 1e-7},
}

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
    if hasattr(result, "_asdict"):
        result = result._asdict()
    if not isinstance(result, Mapping):
        result = {"value": result}
    return {name: np.asarray(value) for name, value in result.items() if not (value is None or is_dataclass(value))}


def assert_same(ours: Any, expected: Any, tolerance: Mapping[str, float]) -> None:
    """Every figure of ``expected`` is among ours and equals it, to its ``tolerance``, relative or absolute."""
    found = figures(ours)
    for name, value in figures(expected).items():
        allowed = tolerance.get(name, tolerance[""])
        np.testing.assert_allclose(found[name], value, rtol=allowed, atol=allowed, err_msg=name)


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
