"""What can be trained: anything with two methods, and the simplest model that has them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

import fastcal as fc

from .arrays import Floats, Labels


class Model(Protocol):
    """A classifier that learns from batches."""

    def learn(self, x: Floats, y: Labels) -> None:
        """Take one step."""

    def logits(self, x: Floats) -> Floats:
        """Rows of logits."""


class SoftmaxRegression:
    """Multinomial logistic regression by gradient descent, as overconfident as ``sharpness`` says."""

    def __init__(self, n_features: int, n_classes: int, *, rate: float = 0.5, sharpness: float = 1.0) -> None:
        self.rate = rate
        self.sharpness = sharpness
        self.weights = np.zeros((n_features, n_classes))

    def learn(self, x: Floats, y: Labels) -> None:
        """One step down the gradient of the mean NLL, X^T (p - onehot(y)) / n."""
        residual: Floats = fc.softmax(x @ self.weights)
        residual[np.arange(len(y)), y] -= 1.0
        self.weights -= self.rate / len(y) * (x.T @ residual)

    def logits(self, x: Floats) -> Floats:
        """Rows of logits, times ``sharpness``."""
        return np.asarray(self.sharpness * (x @ self.weights))
