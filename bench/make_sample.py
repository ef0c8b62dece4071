"""Writes the bundled sample dump: logits of an overconfident classifier of handwritten digits, and the labels.

``python -m bench.make_sample`` trains a small network on half of scikit-learn's digits, for long and without a penalty,
and keeps its logits on the other half: arrays ``logits`` float32 (N, 10) and ``labels`` int64 (N,).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 0
SAMPLE = Path(__file__).parents[1] / "fastcal" / "dumps" / "samples" / "digits.npz"
MAX_BYTES = 200_000


def train(images, labels):
    """A network that fits its training half perfectly and goes on becoming surer of itself."""
    network = MLPClassifier((6,), alpha=0, max_iter=3000, tol=0, n_iter_no_change=3000, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all iterations are wanted
        return network.fit(images, labels)


def logits_of(network, images):
    """The forward pass up to the softmax, which scikit-learn does not expose."""
    *hidden, last = zip(network.coefs_, network.intercepts_, strict=True)
    activation = images
    for weight, bias in hidden:
        activation = np.maximum(activation @ weight + bias, 0)
    return activation @ last[0] + last[1]


def main():
    """Train, check, write."""
    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        digits.data / 16, digits.target, test_size=0.5, stratify=digits.target, random_state=SEED
    )
    network = train(train_x, train_y)
    logits = logits_of(network, test_x)
    np.testing.assert_allclose(softmax(logits, axis=1), network.predict_proba(test_x), rtol=1e-9, atol=1e-15)
    SAMPLE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(SAMPLE, logits=logits.astype(np.float32), labels=test_y.astype(np.int64))
    assert SAMPLE.stat().st_size < MAX_BYTES
    right = logits.argmax(axis=1) == test_y
    confidence = softmax(logits, axis=1).max(axis=1)
    print(f"{SAMPLE.name}: {len(test_y)} rows, {SAMPLE.stat().st_size} bytes, ", end="")
    print(f"accuracy {right.mean():.4f}, mean confidence {confidence.mean():.4f}")


if __name__ == "__main__":
    main()
