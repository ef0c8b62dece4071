"""``python -m bench.first_calls``: one call of every kernel of a report, on few rows of each kind of float32."""

from __future__ import annotations

import numpy as np

import fastcal as fc


def main() -> None:
    """Narrow and wide rows and single scores, as logits and as probabilities, and weights."""
    rng = np.random.default_rng(0)
    for n_classes in (0, 10, 100):
        logits = rng.standard_normal((200, n_classes or 2), np.float32)
        probs = np.exp(logits)
        probs /= probs.sum(axis=1, keepdims=True)
        labels = rng.integers(0, n_classes or 2, len(logits))
        for from_logits, scores in ((True, logits), (False, probs)):
            given = scores if n_classes else scores[:, 1]
            fc.Evaluation(from_logits=from_logits).update(labels, given).compute()
    fc.Evaluation().update(labels, probs, sample_weight=rng.random(len(labels))).compute()


if __name__ == "__main__":
    main()
