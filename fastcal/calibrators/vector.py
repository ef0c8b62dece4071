"""Vector scaling: a weight and a bias a class."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arrays import Array
from .forms import Input
from .linear import LinearCalibrator


class VectorScaling(LinearCalibrator):
    """Probabilities ``softmax(weight_ * z + bias_)`` of logits z, with a weight and a bias for each class.

        minimise over w, b:  mean_i of log sum_k exp(w_k z_ik + b_k) - (w_y z_iy + b_y), y the label of row i

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, section 4.2: temperature scaling
    is the case of equal weights 1 / T and no bias. Predictions may change.

    Of biases that differ by a constant, which a softmax does not see, those of mean 0 are taken. A column whose scores
    are all the same has weight 0, for its bias does all that its weight could. Binary scores (N,) stand for rows (0,
    z), so that P(y = 1) = sigmoid(w_1 z + b_1 - b_0); rows (N, 2) have a weight for each column, and so one parameter
    more, but for those (0, z).

    Parameters: ``max_iter``, the most steps, each of one pass over the rows or a few; ``tol``, the largest entry of
    the gradient of the mean NLL at which the fit ends; ``clip``, a probability below which others count as it, for
    ``input="probs"``, whose logarithms are fitted: without it a probability of 0 is an error, as a logit of -inf is.

    Fitted: ``weight_`` and ``bias_`` (K,), (2,) of binary scores; ``nll_``, the mean NLL in nats; ``converged_``, by
    the gradient, or because no step lowers the objective by more than rounding; ``n_iter_``; ``gradient_norm_``, the
    largest absolute entry.

    Raises DataError for scores that are not finite or exceed 1e100, for labels out of range, for weights that are all
    0. Warns (FitWarning) where labels are separable, or a class has none: no finite optimum exists, and the fit ends
    where the gradient is below ``tol``, with finite weights; where all rows are alike; and where it did not converge.

    >>> import numpy as np, fastcal as fc
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(2000, 3))
    >>> y = (1.5 * z + [0, 0, 1] + rng.gumbel(size=z.shape)).argmax(axis=1)
    >>> fitted = fc.VectorScaling().fit(z, y)
    >>> bool(abs(fitted.weight_ - 1.5).max() < 0.3), bool(abs(fitted.bias_ - [-1 / 3, -1 / 3, 2 / 3]).max() < 0.2)
    (True, True)
    """

    full: ClassVar[bool] = False

    def __init__(
        self,
        *,
        max_iter: int = 100,
        tol: float = 1e-8,
        clip: float | None = None,
        input: Input | None = None,
        classes: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.max_iter = max_iter
        self.tol = tol
        self.clip = clip
        self.input = input
        self.classes = classes
        self.n_threads = n_threads

    def _centred(self, parameters: Array) -> Array:
        return np.stack([parameters[0], parameters[1] - parameters[1].mean()])
