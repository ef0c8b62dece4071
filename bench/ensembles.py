"""Ensembles against what everyone writes with torch or scipy: from probabilities, from logits, narrow and wide rows.

"three lines" are the mean, its entropy, the mean of the members' entropies and the difference, which is less than ours
computes; "all seven" adds the prediction, its probability, the softmax variance and the variation ratio. Answers are
asserted to be equal before anything is timed; both sides take all cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers_ensemble import scipy_three_lines, torch_all_seven, torch_three_lines

import fastcal as fc

from .courses import Call
from .machine import Bystanders  # noqa: F401
from .order import Outcome, measure, shrunk

PROBS, LOGITS = "float32 probabilities", "float32 logits"
THREE, SEVEN, SCIPY = "torch, three lines", "torch, all seven", "scipy, three lines"


@dataclass(frozen=True)
class Trial:
    """One line: members, rows and classes, and how many times as fast as a peer ours has to be."""

    work: str
    shape: tuple[int, int, int]
    form: str
    n_rows: int
    at_least: Mapping[str, float]

    @property
    def given(self) -> str:
        """The input in words."""
        return f"rows, {self.shape[0]} members, {self.shape[2]} classes, {self.form}"


def trial(m: int, n: int, k: int, form: str, **at_least: float) -> Trial:
    """Of ensemble_uncertainty."""
    names = {"three": THREE, "seven": SEVEN, "scipy": SCIPY}
    return Trial("ensemble_uncertainty", (m, n, k), form, n, {names[key]: value for key, value in at_least.items()})


TRIALS = [
    trial(10, 500_000, 10, PROBS, three=12, scipy=15),
    trial(10, 500_000, 10, LOGITS, three=12),
    trial(5, 50_000, 1000, PROBS, three=12),
    trial(5, 50_000, 1000, LOGITS),
    trial(10, 2_000_000, 2, PROBS),
    trial(10, 2_000_000, 2, LOGITS),
]


def contenders(one: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    m, _, k = one.shape
    rng = np.random.default_rng(0)
    from_logits = one.form == LOGITS
    scores = 2 * rng.standard_normal((m, one.n_rows, k), np.float32)
    if not from_logits:
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
    peers = {THREE: torch_three_lines, SEVEN: torch_all_seven}
    if SCIPY in one.at_least:
        peers[SCIPY] = scipy_three_lines
    calls: dict[str, Call] = {"fastcal": lambda: fc.ensemble_uncertainty(scores, from_logits=from_logits)}
    ours: Any = calls["fastcal"]()
    for name, peer in peers.items():
        calls[name] = lambda peer=peer: peer(scores, from_logits)
        for figure, values in peer(scores, from_logits).items():
            np.testing.assert_allclose(getattr(ours, figure), values, atol=4e-6, err_msg=figure)
    return calls


def run(seconds: float, shrink: int = 1) -> Iterator[Outcome]:
    """Every trial; ``shrink`` divides the number of rows."""
    for one in shrunk(TRIALS, shrink):
        yield measure(one, contenders(one), seconds)
