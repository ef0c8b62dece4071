"""Scores as they are, but for rows of two logits, of which the difference says all."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from .forms import Form


class AsGiven(Form):
    """Scores as given. A row of two logits (z_0, z_1) becomes (0, z_1 - z_0): what stands for it as one number.

    A difference beyond float64 becomes the largest number of its sign.
    """

    def of(self, scores: Array) -> Array:
        """See :meth:`Form.of`."""
        if self.input == "probs" or scores.shape[1] != 2:
            return super().of(scores)
        out = np.zeros(scores.shape)
        with np.errstate(over="ignore"):
            np.subtract(scores[:, 1], scores[:, 0], out=out[:, 1], dtype=np.float64)
        largest = np.finfo(np.float64).max
        np.clip(out, -largest, largest, out=out)
        out.flags.writeable = False
        return out
