"""Matrix scaling: a linear map of all logits, with penalties if wanted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from .forms import Input
from .linear import LinearCalibrator, check_number


class MatrixScaling(LinearCalibrator):
    """Probabilities ``softmax(weight_ @ z + bias_)`` of logits z.

        minimise over W, b:  mean NLL + off_diagonal_penalty / (K (K - 1)) sum_{i != j} w_ij^2
                             + intercept_penalty / K sum_j b_j^2

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, section 4.2; the penalties are
    the off-diagonal and intercept regularisation (ODIR) of Kull et al., "Beyond temperature scaling", 2019, section 3.
    Without penalties this is multinomial logistic regression on the logits. Predictions may change.

    Where penalties do not decide, parameters of least norm are taken of those that a softmax cannot tell apart: without
    ``off_diagonal_penalty`` each column of W has mean 0 over classes (the identity then is I - 1 / K), the biases have
    mean 0. The weights of a column whose scores are all the same are 0, for biases do all that they could. Binary
    scores (N,) stand for rows (0, z).

    Parameters: ``max_iter``, the most steps, each of one pass over the rows or a few; ``tol``, the largest entry of
    the objective's gradient at which the fit ends; ``clip``, a probability below which others count as it, for
    ``input="probs"``, whose logarithms are fitted: without it a probability of 0 is an error, as a logit of -inf is.

    Fitted: ``weight_`` (K, K) and ``bias_`` (K,), K = 2 of binary scores; ``nll_``, the mean NLL in nats, without
    penalties; ``converged_``, by the gradient, or because no step lowers the objective by more than rounding;
    ``n_iter_``; ``gradient_norm_``, the largest absolute entry.

    Raises DataError for scores that are not finite or exceed 1e100, for labels out of range, for weights that are all
    0. Warns (FitWarning) where labels are separable, or a class has none: without penalties no finite optimum exists,
    and the fit ends where the gradient is below ``tol``, with finite weights; where all rows are alike; and where it
    did not converge.

    >>> import numpy as np, fastcal as fc
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(2000, 2))
    >>> y = (z @ [[2.0, 0.0], [1.0, 1.0]] + rng.gumbel(size=z.shape)).argmax(axis=1)
    >>> fitted = fc.MatrixScaling().fit(z, y)
    >>> fitted.weight_.shape, bool(abs(fitted.weight_.sum(axis=0)).max() < 1e-12)
    ((2, 2), True)
    """

    def __init__(
        self,
        *,
        off_diagonal_penalty: float = 0.0,
        intercept_penalty: float = 0.0,
        max_iter: int = 200,
        tol: float = 1e-8,
        clip: float | None = None,
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.off_diagonal_penalty = off_diagonal_penalty
        self.intercept_penalty = intercept_penalty
        self.max_iter = max_iter
        self.tol = tol
        self.clip = clip
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("off_diagonal_penalty", self.off_diagonal_penalty)
        check_number("intercept_penalty", self.intercept_penalty)

    def _penalties(self, n_classes: int) -> Array:
        k = n_classes
        costs = np.full((k, k + 1), 2 * float(self.off_diagonal_penalty) / (k * (k - 1)))
        costs[np.arange(k), np.arange(k)] = 0.0
        costs[:, k] = 2 * float(self.intercept_penalty) / k
        return costs

    def _centred(self, parameters: Array) -> Array:
        centred: Array = parameters - parameters.mean(axis=0)
        if self.off_diagonal_penalty:
            centred[:, :-1] = parameters[:, :-1]
        return centred
