"""scikit-learn's ``CalibrationDisplay`` with intervals, a histogram, weights, and more than two classes.

>>> from fastcal.integrations.sklearn import CalibrationDisplay
>>> display = CalibrationDisplay.from_predictions(["no", "yes", "yes"], [0.1, 0.7, 0.75], pos_label="yes")
>>> display.prob_true.tolist(), display.curve.count.tolist()
([0.0, 1.0], [1, 0, 0, 2, 0])
>>> display.figure_.clear()
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from sklearn.calibration import CalibrationDisplay as Theirs
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..accumulators.curve import ReliabilityCurve
from ..arrays import Array
from ..metrics.calibration import reliability_curve
from .sklearn_labels import in_places

Target = Literal["positive", "class-wise", "top-label"]
TARGETS = ("positive", "class-wise", "top-label")
HISTOGRAM = 0.25  # of the diagram's height
AXIS_LABELS = 0.2  # below the diagram, in its height


class CalibrationDisplay(Theirs):  # type: ignore[misc]
    """``sklearn.calibration.CalibrationDisplay`` of a :class:`fastcal.ReliabilityCurve`.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. ``prob_true``, ``prob_pred``, ``y_prob``,
    ``estimator_name``, ``pos_label``, ``line_``, ``ax_``, ``figure_`` as scikit-learn's; ``curve`` has all bins with
    their counts, intervals and consistency bands, ``intervals_`` what draws the former, ``histogram_ax_`` the Axes of
    the histogram, both None where there are none.
    """

    def __init__(
        self,
        prob_true: Any,
        prob_pred: Any,
        y_prob: Any,
        *,
        estimator_name: str | None = None,
        pos_label: Any = None,
        curve: ReliabilityCurve | None = None,
        target: Target = "positive",
    ) -> None:
        super().__init__(prob_true, prob_pred, y_prob, estimator_name=estimator_name, pos_label=pos_label)
        self.curve = curve
        self.target = target

    def plot(
        self,
        *,
        ax: Any = None,
        name: str | None = None,
        ref_line: bool = True,
        intervals: bool = True,
        histogram: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the line as scikit-learn does, on ``ax`` or a figure of its own; returns the display.

        ``intervals``: of the accuracy in each bin, at the curve's level. ``histogram``: the share of the rows in each
        bin, in Axes below; None: where the figure is new, as several displays may share ``ax``. ``kwargs`` go to the
        line. Raises ImportError without matplotlib.
        """
        super().plot(ax=ax, name=name, ref_line=ref_line, **kwargs)
        self.intervals_ = self.histogram_ax_ = None
        if self.target == "top-label":
            self.ax_.set(xlabel="Mean confidence", ylabel="Accuracy")
        if self.curve is None:
            return self
        color, held = self.line_.get_color(), self.curve.count > 0
        if intervals:
            ends = (one[held] for one in (self.curve.lower, self.curve.upper))
            style = {"color": color, "alpha": 0.6, "linewidth": 1.0}
            self.intervals_ = self.ax_.vlines(self.curve.confidence[held], *ends, **style)
        if histogram or (histogram is None and ax is None):
            below = self.ax_.inset_axes((0.0, -AXIS_LABELS - HISTOGRAM, 1.0, HISTOGRAM), sharex=self.ax_)
            left, width = self.curve.edges[:-1], np.diff(self.curve.edges)
            share = self.curve.weight / self.curve.weight.sum()
            below.bar(left, share, width, align="edge", color=color, alpha=0.6)
            below.set(ylabel="Share")
            self.histogram_ax_ = below
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_bins: int = 5,
        strategy: str = "uniform",
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        ref_line: bool = True,
        target: Target = "positive",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Of a fitted classifier's ``predict_proba``; arguments and errors as in :meth:`from_predictions`."""
        given: dict[str, Any] = {"n_bins": n_bins, "strategy": strategy, "ax": ax, "ref_line": ref_line, **kwargs}
        given |= {"target": target, "sample_weight": sample_weight}
        if target == "positive":
            probs, pos_label, name = cls._validate_and_get_response_values(
                estimator, X, y, response_method="predict_proba", pos_label=pos_label, name=name
            )
            return cls.from_predictions(y, probs, pos_label=pos_label, name=name, **given)
        check_is_fitted(estimator)
        name = type(estimator).__name__ if name is None else name
        given |= {"labels": estimator.classes_, "pos_label": pos_label, "name": name}
        return cls.from_predictions(y, estimator.predict_proba(X), **given)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_prob: Any,
        *,
        n_bins: int = 5,
        strategy: str = "uniform",
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        ref_line: bool = True,
        target: Target = "positive",
        labels: Any = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Of labels (N,) and probabilities: P(y = pos_label) (N,), or rows (N, K) in the order of ``labels``.

        ``target``: "positive", as scikit-learn's; of rows "top-label", the largest p and whether it is right, or
        "class-wise", that of ``pos_label`` against all others. ``labels``: None for those in ``y_true``, in order.
        Bins are (lo, hi], ``n_bins`` of equal width or, "quantile", of equal mass (equal quantiles are one edge, also
        0); ``sample_weight`` (N,). ``intervals``
        and ``histogram`` as in :meth:`plot`. Raises ValueError as scikit-learn's does, and for values that are no
        probabilities.
        """
        if target not in TARGETS:
            raise ValueError(f"target is {target!r}; expected one of {', '.join(TARGETS)}")
        if strategy not in ("uniform", "quantile"):
            raise ValueError(f"strategy is {strategy!r}; expected 'uniform' or 'quantile'")
        if target == "positive":
            pos_label, name = cls._validate_from_predictions_params(
                y_true, y_prob, sample_weight=sample_weight, pos_label=pos_label, name=name
            )
            outcomes, probs = column_or_1d(y_true) == pos_label, column_or_1d(y_prob)
        else:
            outcomes, probs = _of_rows(y_true, np.asarray(y_prob), labels, target, pos_label)
        bins: dict[str, Any] = {"binning": "quantile"} if strategy == "quantile" else {"convention": "sklearn"}
        curve = reliability_curve(outcomes, probs, n_bins=n_bins, sample_weight=sample_weight, **bins)
        held = curve.count > 0
        display = cls(
            prob_true=curve.accuracy[held],
            prob_pred=curve.confidence[held],
            y_prob=y_prob,
            estimator_name="Classifier" if name is None else name,
            pos_label=pos_label,
            curve=curve,
            target=target,
        )
        return display.plot(ax=ax, ref_line=ref_line, **kwargs)


def _of_rows(y_true: Any, probs: Array, labels: Any, target: Target, pos_label: Any) -> tuple[Array, Array]:
    """Labels as places of columns with rows, or whether they are one class' with that one's column."""
    given = column_or_1d(y_true)
    classes = np.unique(given) if labels is None else np.asarray(labels)
    if probs.ndim != 2 or probs.shape[1] != len(classes):
        raise ValueError(f"y_prob has shape {probs.shape}; expected a column for each of {len(classes)} labels")
    places = in_places(given, classes)
    if target == "top-label":
        if pos_label is not None:
            raise ValueError(f"pos_label is {pos_label!r}; target='top-label' takes none")
        return places, probs
    if pos_label is None or pos_label not in classes.tolist():
        raise ValueError(f"pos_label is {pos_label!r}; target='class-wise' needs one of {classes.tolist()}")
    column = classes.tolist().index(pos_label)
    return places == column, probs[:, column]
