"""The few rows on which every metric is compared with its truth, and how far a number is off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from .numerics_truth import mp


@dataclass(frozen=True)
class Case:
    """Labels and scores, (N,) of class 1 or (N, K) rows, of kind "probs" or "logits"; weights or none."""

    name: str
    y: Any
    p: Any
    w: Any = None
    kind: str = "probs"

    @property
    def bits(self) -> int:
        """Of the significand of the scores."""
        return int(np.finfo(self.p.dtype).nmant) + 1

    def options(self, **more: Any) -> dict[str, Any]:
        """Of a call, besides labels and scores."""
        found = {**more, "from_logits": True} if self.kind == "logits" else more
        return found if self.w is None else {**found, "sample_weight": self.w}


def cases(sizes: tuple[int, ...], seeds: int) -> Iterator[Case]:
    """Of each size: probabilities in 16ths (ties, 0, 1, edges of bins) and others, rows, logits; weights of 3 kinds."""
    for n in sizes:
        for seed in range(seeds):
            rng = np.random.default_rng([n, seed])
            counts = rng.integers(0, 4, n)
            counts[:4] = 1
            weights = {"": None, ", weights 0 to 3": counts, ", real weights": rng.random(n) + 0.01}
            for dtype in (np.float64, np.float32):
                for name, p, y, kind in scores(rng, n):
                    for said, w in weights.items():
                        yield Case(f"{n} {name}, {np.dtype(dtype).name}{said}", y, p.astype(dtype), w, kind)


def scores(rng: Any, n: int) -> Iterator[tuple[str, Any, Any, str]]:
    """Scores, and labels of which each class has one at least."""
    for name, p in (
        ("probabilities in 16ths", rng.integers(0, 17, n) / 16),
        ("probabilities", rng.random(n) ** rng.choice([0.3, 1.0, 3.0])),
    ):
        y = (rng.random(n) < p).astype(np.int64)
        y[:2], p[:2] = (0, 1), np.clip(p[:2], 0.0625, 0.9375)
        yield name, p, y, "probs"
    in_16ths = (rng.multinomial(13, [0.6, 0.3, 0.1], n)[:, rng.permutation(3)] + 1) / 16
    for name, p, kind in (
        ("rows of 3 in 16ths", in_16ths, "probs"),
        ("rows of 4", rng.dirichlet([0.5] * 4, n), "probs"),
        ("rows of 5 logits", rng.standard_normal((n, 5)) * 4, "logits"),
    ):
        y = rng.integers(0, p.shape[1], n)
        yield name, p, y, kind


def ulps(found: float, truth: Any, bits: int = 53, *, of_one: bool = False) -> float:
    """How far, in units in the last place of the truth, or of 1 where that is larger; NaN is NaN, infinity itself."""
    if isinstance(truth, int):
        truth = Fraction(truth)
    if not isinstance(truth, Fraction) and not mpmath.isfinite(truth):
        return 0.0 if np.array_equal(float(found), float(truth), equal_nan=True) else float("inf")
    if not np.isfinite(found):
        return float("inf")
    exact = Fraction(float(found))
    off = abs(exact - truth) if isinstance(truth, Fraction) else abs(mp(exact) - truth)
    if not off:
        return 0.0
    size = max(abs(mp(truth)), 1) if of_one else abs(mp(truth))
    return float(mp(off) / mpmath.ldexp(1, int(mpmath.frexp(size)[1]) - bits)) if size else float("inf")
