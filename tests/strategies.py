"""Random rows for Hypothesis: labels, scores and weights of every kind that an accumulator takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from scipy.special import softmax


@dataclass(frozen=True)
class Rows:
    """Arguments of an accumulator, and the settings that they call for."""

    labels: np.ndarray
    scores: np.ndarray
    weights: np.ndarray | None
    from_logits: bool

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, index) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        return self.labels[index], self.scores[index], None if self.weights is None else self.weights[index]


@st.composite
def rows(draw, min_rows: int = 1, max_rows: int = 150, weighted: bool | None = None) -> Rows:
    """Rows of 1 to 140 classes or (N,), spread from flat to overconfident, in float32 or float64."""
    n = draw(st.integers(min_rows, max_rows))
    n_columns = draw(st.sampled_from([0, 1, 2, 3, 10, 48, 49, 128, 129, 140]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    from_logits = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.standard_normal((n, max(n_columns, 1))) * draw(st.sampled_from([0.1, 3.0, 40.0]))
    if draw(st.booleans()):  # ties, and values on the edges of bins
        logits = np.round(logits)
    if n_columns == 0:
        scores = logits[:, 0] if from_logits else 1 / (1 + np.exp(-logits[:, 0]))
        if not from_logits and draw(st.booleans()):
            scores = np.round(scores * 15) / 15
    else:
        scores = logits if from_logits else softmax(logits, axis=1)
    labels = rng.integers(0, n_columns or 2, n)
    kind = draw(st.sampled_from(["none", "real", "integer"])) if weighted is None else ("real" if weighted else "none")
    weights = None
    if kind == "real":
        weights = rng.random(n) * 10.0 ** rng.integers(-9, 9, n)
    elif kind == "integer":
        weights = rng.integers(0, 5, n)
    return Rows(labels, scores.astype(dtype), weights, from_logits)


def cuts(n: int) -> st.SearchStrategy[list[int]]:
    """Places at which to cut n rows into parts, some of them empty."""
    return st.lists(st.integers(0, n), max_size=5).map(lambda inner: [0, *sorted(inner), n])
