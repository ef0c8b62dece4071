"""Isotonic regression: the least-squares fit that only rises, or only falls."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Real
from typing import Any, Literal, Self

import numpy as np

from ..accumulators.ordered import IsotonicAccumulator
from ..arrays import Array, Column, DataError, array_of, array_or_bits
from ..ordered.columns import Names, look_at_targets, look_at_weights, same_rows, score_column, scored_rows
from ..ordered.fit import thresholds
from ..ordered.groups import Blocks, blocks
from ..ordered.interpolation import Interpolation, OutOfBounds
from ..ordered.sequence import IsotonicResult, pool
from .parameters import Parameters, not_fitted

NAMES = Names("X", "y", "sample_weight")
OUT_OF_BOUNDS = ("nan", "clip", "raise")
# Closer scores are ties: scikit-learn's rule for float64. Its 1e-6 for float32 is taken on demand only.
TOLERANCE = {"float64": 1e-15, "float32": 0.0}
TOLERANCE_OF_SCIKIT_LEARN = {"float64": 1e-15, "float32": float(np.float32(1e-6))}


def isotonic_regression(
    y: Any, *, weights: Any = None, increasing: bool = True, n_threads: int | None = None
) -> IsotonicResult:
    """The fit ``x`` to ``y``, in the order given, that minimises sum_i w_i (y_i - x_i)^2 and only rises (or falls).

    ``y`` (N,) numbers of at most 1e100 in size, ``weights`` (N,) from 1e-100 to 1e100, None for 1 each. Returns ``.x``
    (N,), ``.weights`` (B,), the sum of weights of each block of equal values, and ``.blocks`` (B + 1,), where they
    begin and the last one ends: names and rules of ``scipy.optimize.isotonic_regression``, but NaN and infinity raise
    DataError, a ValueError. Sums lose no digits: the mean of [1e16, 1, -1e16] is 1/3. Pool-adjacent-violators (Ayer et
    al. 1955; Busing 2022), O(N), in stretches on threads; any number of threads gives the same fit for integers, and
    the same to 1e-12 otherwise.

    >>> import fastcal as fc
    >>> fc.isotonic_regression([1, 3, 2, 4]).x
    array([1. , 2.5, 2.5, 4. ])
    """
    targets = array_of("y", y)
    values = np.atleast_1d(targets)
    if values.ndim != 1:
        problem = f"array has incorrect number of dimensions: {values.ndim}; expected 1"
        raise DataError("y", (), f"has shape {values.shape}: {problem}")
    given = score_column("y", values)
    if len(values) == 0:
        raise DataError("y", (), "is empty")
    if not isinstance(increasing, bool | np.bool_):
        raise ValueError(f"increasing is {increasing!r}; expected True or False")
    column = None
    if weights is not None:
        weights = array_of("weights", weights)
        if weights.shape != values.shape or targets.ndim != 1:
            problem = "Input arrays y and w must have one dimension of equal length"
            raise DataError("weights", (), f"has shape {weights.shape}, y {targets.shape}. {problem}")
        column = Column("weights", same_rows("weights", weights, "y", len(values)).values, np.dtype(np.float64))
        low = column.values <= 0
        if low.any():
            row = int(np.argmax(low))
            raise DataError("weights", (row,), f"is {column.values[row]}. Weights w must be strictly positive")
        look_at_weights(column, n_threads)
    look_at_targets(given, n_threads)
    return pool(given, column, increasing=bool(increasing), n_threads=n_threads)


class IsotonicRegression(Parameters):
    """Isotonic regression of targets on scores, as ``sklearn.isotonic.IsotonicRegression``: same interface, same fit.

    ``y_min``, ``y_max``: bounds of the fitted values; ``increasing``: True, False, or "auto" (the sign of Spearman's
    correlation); ``out_of_bounds``: "nan", "clip" or "raise", for scores outside the range that was fitted. Beside
    scikit-learn's: ``ties``, "exact" (of float32 only equal scores are ties, and of float64 those closer than 1e-15) or
    "sklearn" (of float32 those closer than 1e-6, which makes one of the whole top of an overconfident model), and
    ``n_threads``.

    Fitted: ``X_thresholds_`` and ``y_thresholds_``, the knots between which predictions are straight lines, in the
    scores' dtype; ``X_min_``, ``X_max_``, ``increasing_``, ``f_``. Ties in the scores are pooled by weighted mean (the
    secondary method of de Leeuw 1977). Rows of weight 0 are left out; a negative weight raises, where scikit-learn
    would leave it out too. Rows are sorted in pieces by radix: beside its input a fit takes 4 bytes a row of float32
    scores, 8 of float64, and 8 each for weights and for targets other than 0 and 1.

    >>> import fastcal as fc
    >>> fc.IsotonicRegression().fit([0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1]).predict([0.4, 0.75])
    array([0.5 , 0.75])
    """

    _estimator_type = "regressor"

    def __init__(
        self,
        *,
        y_min: float | None = None,
        y_max: float | None = None,
        increasing: bool | Literal["auto"] = True,
        out_of_bounds: OutOfBounds = "nan",
        ties: Literal["exact", "sklearn"] = "exact",
        n_threads: int | None = None,
    ) -> None:
        self.y_min = y_min
        self.y_max = y_max
        self.increasing = increasing
        self.out_of_bounds = out_of_bounds
        self.ties = ties
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to scores ``X`` (N,) or (N, 1) and targets ``y`` (N,), real numbers; returns self.

        Raises DataError, a ValueError, that names the first row with a value that is not finite, or a negative weight.

        >>> import fastcal as fc
        >>> fc.IsotonicRegression().fit([0.1, 0.2, 0.3], [0, 1, 0]).y_thresholds_.tolist()
        [0.0, 0.5, 0.5]
        """
        self._check_parameters()
        rows = scored_rows(_flat("X", X), y, sample_weight, names=NAMES, n_threads=self.n_threads)
        increasing = self.increasing
        if isinstance(increasing, str):
            increasing = check_increasing(rows.scores.chunk(0, rows.n_rows), y)
        tolerance = TOLERANCE if self.ties == "exact" else TOLERANCE_OF_SCIKIT_LEARN
        found = blocks(
            rows,
            tolerance=tolerance[rows.scores.dtype.name],
            falling=not increasing,
            n_threads=self.n_threads,
        )
        self._take(found, rows.scores.dtype, bool(increasing), 0.0)
        return self

    def fit_batches(self, batches: Iterable[tuple[Any, ...]]) -> Self:
        """Fit to batches of (X, y) or (X, y, sample_weight), none of which has to fit into memory with the others.

        Exact where ``batches`` can be gone through again (a list, but not a generator) or there are no more than 65 536
        distinct scores; else the fit of scores moved by at most ``resolution_``. Ties are equal scores: ``ties`` is
        "exact", and of float64, too, only equal ones are tied. ``increasing`` is not "auto". Returns self.

        >>> import fastcal as fc
        >>> fc.IsotonicRegression().fit_batches([([0.1, 0.2], [0, 1]), ([0.3], [0])]).y_thresholds_.tolist()
        [0.0, 0.5, 0.5]
        """
        self._check_parameters()
        if self.ties != "exact":
            raise ValueError(f"ties is {self.ties!r}; batches need 'exact'")
        if isinstance(self.increasing, str):
            raise ValueError("increasing is 'auto'; batches need True or False")
        dtypes: set[np.dtype[Any]] = set()
        seen = IsotonicAccumulator(increasing=bool(self.increasing), n_threads=self.n_threads)
        for X, y, *weight in batches:
            scores = _flat("X", X)
            dtypes.add(score_column("X", scores).dtype)
            try:
                seen.update(array_of("y", y), scores, sample_weight=weight[0] if weight else None)
            except DataError as error:
                name = {"score": "X", "y_true": "y"}.get(error.argument, error.argument)
                raise DataError(name, error.index, error.problem) from None
        if seen.is_empty:
            raise DataError("batches", (), "has no rows")
        if not seen.n_scores:  # none of a weight above 0
            raise DataError("sample_weight", (), "is 0 in every row")
        again = iter(batches) is not batches
        fit = seen.refined((y, _flat("X", X), *weight) for X, y, *weight in batches) if again else seen.compute()
        self._take(
            Blocks(fit.first, fit.last, fit.mean, fit.weight),
            np.result_type(*dtypes),
            bool(self.increasing),
            fit.resolution,
        )
        return self

    def _take(self, found: Blocks, dtype: np.dtype[Any], increasing: bool, resolution: float) -> None:
        """Become fitted."""
        self.increasing_, self.resolution_ = increasing, resolution
        self.X_thresholds_, self.y_thresholds_ = thresholds(found, dtype, self.y_min, self.y_max)
        self.X_min_, self.X_max_ = self.X_thresholds_[0], self.X_thresholds_[-1]
        self.f_ = Interpolation(self.X_thresholds_, self.y_thresholds_)

    def predict(self, T: Any, *, out: Any = None) -> Array:
        """The fitted values at scores ``T`` (N,) or (N, 1), in the dtype of the thresholds; ``out`` takes them.

        Raises DataError for scores that are not finite, and, with ``out_of_bounds="raise"``, outside the fitted range.

        >>> import fastcal as fc
        >>> fc.IsotonicRegression(out_of_bounds="clip").fit([0.0, 1.0], [0, 1]).predict([0.25, 2.0]).tolist()
        [0.25, 1.0]
        """
        self._check_parameters()
        scores = _flat("T", T)
        if not hasattr(self, "f_"):
            raise not_fitted(f"this {type(self).__name__} is not fitted yet: call fit first")
        return self.f_.at("T", scores, outside=self.out_of_bounds, out=out, n_threads=self.n_threads)

    def transform(self, T: Any) -> Array:
        """See :meth:`predict`.

        >>> import fastcal as fc
        >>> fc.IsotonicRegression().fit([0.0, 1.0], [0, 1]).transform([0.25]).tolist()
        [0.25]
        """
        return self.predict(T)

    def fit_transform(self, X: Any, y: Any, sample_weight: Any = None) -> Array:
        """Fit, and the fitted values at ``X``.

        >>> import fastcal as fc
        >>> fc.IsotonicRegression().fit_transform([0.1, 0.2, 0.3], [0, 1, 0]).tolist()
        [0.0, 0.5, 0.5]
        """
        return self.fit(X, y, sample_weight).transform(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination R^2 of the predictions at ``X``.

        >>> import fastcal as fc
        >>> round(fc.IsotonicRegression().fit([0.1, 0.2, 0.3], [0, 1, 0]).score([0.1, 0.2, 0.3], [0, 1, 0]), 6)
        0.25
        """
        rows = scored_rows(_flat("X", X), y, sample_weight, names=NAMES, n_threads=self.n_threads)
        target = array_of("y", y).astype(np.float64)
        weight = np.ones(len(target)) if rows.weights is None else rows.weights.chunk(0, len(target))
        predicted = self.predict(X).astype(np.float64)
        if np.isnan(predicted).any():
            raise DataError("X", (int(np.argmax(np.isnan(predicted))),), "lies outside the fitted range: no prediction")
        residual = np.sum(weight * (target - predicted) ** 2)
        total = np.sum(weight * (target - np.average(target, weights=weight)) ** 2)
        if total == 0:
            return 1.0 if residual == 0 else 0.0
        return float(1 - residual / total)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """The one name of what ``transform`` gives.

        >>> import fastcal as fc
        >>> fc.IsotonicRegression().fit([0.1, 0.2], [0, 1]).get_feature_names_out().tolist()
        ['isotonicregression0']
        """
        if not hasattr(self, "f_"):
            raise not_fitted(f"this {type(self).__name__} is not fitted yet: call fit first")
        return np.asarray([f"{type(self).__name__.lower()}0"], dtype=object)

    def _check_parameters(self) -> None:
        for name in ("y_min", "y_max"):
            bound = getattr(self, name)
            if bound is not None and (isinstance(bound, bool) or not isinstance(bound, Real) or np.isnan(float(bound))):
                raise ValueError(f"{name} is {bound!r}; expected a number or None")
        if not (isinstance(self.increasing, bool | np.bool_) or self.increasing == "auto"):
            raise ValueError(f"increasing is {self.increasing!r}; expected True, False or 'auto'")
        if self.out_of_bounds not in OUT_OF_BOUNDS:
            raise ValueError(f"out_of_bounds is {self.out_of_bounds!r}; expected one of {', '.join(OUT_OF_BOUNDS)}")
        if self.ties not in ("exact", "sklearn"):
            raise ValueError(f"ties is {self.ties!r}; expected 'exact' or 'sklearn'")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "f_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if hasattr(self, "X_thresholds_"):
            self.f_ = Interpolation(self.X_thresholds_, self.y_thresholds_)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True),
            transformer_tags=TransformerTags(),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False),
        )


def check_increasing(x: Any, y: Any) -> bool:
    """Whether y rises with x by Spearman's rank correlation; warns where its 95 % interval (Fisher 1915) holds 0."""
    from scipy.stats import spearmanr

    rho = float(spearmanr(array_of("x", x).astype(np.float64), array_of("y", y).astype(np.float64)).statistic)
    n = int(np.size(x))
    if abs(rho) < 1 and n > 3:
        centre, spread = np.arctanh(rho), 1.96 / float(n - 3) ** 0.5
        if np.sign(centre - spread) != np.sign(centre + spread):
            warnings.warn(
                "the 95 % confidence interval of Spearman's correlation holds 0: whether y rises with X is not certain",
                UserWarning,
                stacklevel=3,
            )
    return bool(rho >= 0)


def _flat(argument: str, scores: Any) -> Any:
    """Scores (N,), or (N, 1) as a column."""
    if hasattr(scores, "tocsr"):
        raise TypeError(f"{argument} is a sparse matrix; expected an array")
    given, bits = array_or_bits(argument, scores)
    shape = given.shape
    if len(shape) == 2 and shape[1] == 1:
        return given[:, 0] if not bits else scores[:, 0]
    if len(shape) != 1:
        raise DataError(
            argument,
            (),
            f"has shape {shape}; Isotonic regression input X should be a 1d array or 2d array with 1 feature",
        )
    return scores if bits else given
