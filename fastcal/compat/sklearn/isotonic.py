"""``sklearn.isotonic`` over ours: change the import, keep the code.

>>> from fastcal.compat.sklearn import isotonic_regression
>>> isotonic_regression([1, 3, 2, 4], y_max=3)
array([1. , 2.5, 2.5, 3. ])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

from ...arrays import Array, array_of
from ...calibrators import isotonic
from ...calibrators.isotonic import check_increasing

__all__ = ["IsotonicRegression", "check_increasing", "isotonic_regression"]


def isotonic_regression(
    y: Any,
    *,
    sample_weight: Any = None,
    y_min: float | None = None,
    y_max: float | None = None,
    increasing: bool = True,
) -> Array:
    """The isotonic fit (N,) to ``y`` (N,), float32 of float32, else float64; see :func:`fastcal.isotonic_regression`.

    ``y_min`` and ``y_max`` bound it.
    """
    given = array_of("y", y)
    single = given.dtype.kind == "f" and given.dtype.itemsize == 4
    fitted = isotonic.isotonic_regression(given, weights=sample_weight, increasing=increasing).x
    if y_min is not None or y_max is not None:
        fitted = np.clip(fitted, y_min, y_max)
    return fitted.astype(np.float32 if single else np.float64, copy=False)


class IsotonicRegression(RegressorMixin, TransformerMixin, isotonic.IsotonicRegression, BaseEstimator):  # type: ignore[misc]
    """:class:`fastcal.IsotonicRegression` as one of scikit-learn's estimators: ``set_output``, metadata routing, tags.

    Ties are those of scikit-learn by default: of float32 all scores closer than 1e-6.
    """

    def __init__(
        self,
        *,
        y_min: float | None = None,
        y_max: float | None = None,
        increasing: Any = True,
        out_of_bounds: Any = "nan",
        ties: Any = "sklearn",
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            y_min=y_min,
            y_max=y_max,
            increasing=increasing,
            out_of_bounds=out_of_bounds,
            ties=ties,
            n_threads=n_threads,
        )

    def transform(self, T: Any) -> Any:
        """See :meth:`predict`; defined here so that ``set_output`` finds it."""
        return self.predict(T)

    get_params = BaseEstimator.get_params
    set_params = BaseEstimator.set_params
    __repr__ = BaseEstimator.__repr__

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags
