"""Proper scores and accuracy."""

from __future__ import annotations

from typing import Any, Unpack

from ..accumulators.scores import ScoreAccumulator
from .one_shot import Options, one_shot


def nll(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> float:
    """Mean negative log-likelihood of the labels, -mean log p_y, in nats; infinite where a label has probability 0.

    ``y_true`` (N,) integer labels, ``y_prob`` (N,) or (N, K) probabilities (logits with ``from_logits=True``: then no
    digit of a tiny probability is lost). Nothing is clipped. Options: ``sample_weight`` (N,), ``nan_policy``,
    ``n_threads``. Raises DataError, a ValueError, for values or shapes that are not these, and for no rows.

    >>> import fastcal as fc
    >>> round(fc.nll([0, 1], [[0.5, 0.5], [0.25, 0.75]]), 6)
    0.490415
    """
    value: float = one_shot(ScoreAccumulator, "nll", y_true, y_prob, options)
    return value


log_loss = nll


def brier_score(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> float:
    """Mean Brier score: sum_k (p_k - [k = y])^2 for (N, K), from 0 to 2; (p - y)^2 for (N,), from 0 to 1 (Brier 1950).

    The two differ by a factor of 2 on the same binary predictions, as scikit-learn's do. Arguments as in :func:`nll`.

    >>> import fastcal as fc
    >>> fc.brier_score([0, 1], [0.5, 0.75]), fc.brier_score([0, 1], [[0.5, 0.5], [0.25, 0.75]])
    (0.15625, 0.3125)
    """
    value: float = one_shot(ScoreAccumulator, "brier", y_true, y_prob, options)
    return value


def accuracy(y_true: Any, y_prob: Any, **options: Unpack[Options]) -> float:
    """Share of rows whose largest class is the label, the first among equals; for (N,) class 1 where p > 0.5.

    Arguments as in :func:`nll`.

    >>> import fastcal as fc
    >>> fc.accuracy([0, 1], [0.5, 0.75])
    1.0
    """
    value: float = one_shot(ScoreAccumulator, "accuracy", y_true, y_prob, options)
    return value
