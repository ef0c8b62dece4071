"""Dirichlet calibration: matrix scaling of log-probabilities."""

from __future__ import annotations

from typing import ClassVar

from .matrix import MatrixScaling


class DirichletCalibration(MatrixScaling):
    """Probabilities ``softmax(weight_ @ log p + bias_)`` of probabilities p, or of logits z with p = softmax(z).

        minimise over W, b:  mean NLL + off_diagonal_penalty / (K (K - 1)) sum_{i != j} w_ij^2
                             + intercept_penalty / K sum_j b_j^2

    Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song and Flach, "Beyond temperature scaling: Obtaining well-calibrated
    multi-class probabilities with Dirichlet calibration", 2019, equation 6: what probabilities have of which those of
    each class are Dirichlet distributed. It differs from :class:`MatrixScaling` in that log p, unlike z, has no
    arbitrary constant in a row: the penalties, and W where its rows do not sum alike, see no other.

    Scores are logits, unless ``input="probs"``; then rows are divided by their sum. Binary scores (N,) stand for rows
    (log(1 - p), log p), as (N, 2) are. All else, parameters, fitted attributes, errors and warnings, is as in
    :class:`MatrixScaling`.

    >>> import numpy as np, fastcal as fc
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 3, 3000)
    >>> p = np.stack([rng.dirichlet(1 + 3 * np.eye(3)[label]) for label in y])
    >>> fitted = fc.DirichletCalibration(input="probs").fit(p, y)
    >>> bool(np.abs(fitted.weight_ - (3 * np.eye(3) - 1)).max() < 0.5)  # 3 I, of column means 0
    True
    """

    normalised: ClassVar[bool] = True
