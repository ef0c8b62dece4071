"""What the one-shot functions share: their options, and the way from arguments to a figure."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ..accumulators.base import Accumulator
from ..arrays import DataError, NanPolicy, array_or_bits

Target = Literal["auto", "positive", "top-label", "class-wise", "canonical"]
ConventionName = Literal[
    "guo",
    "sklearn",
    "verified",
    "torchmetrics",
    "netcal",
    "robustness-metrics",
    "tfp",
    "mapie",
    "relplot",
    "calibre",
]


class Options(TypedDict, total=False):
    """Options of every one-shot metric; see :class:`fastcal.Evaluation`."""

    from_logits: bool
    sample_weight: Any
    nan_policy: NanPolicy
    n_threads: int | None


class BinOptions(Options, total=False):
    """Options of the metrics over bins; see :func:`fastcal.calibration_error`."""

    n_bins: int | None
    binning: Any
    target: Target
    closed: Literal["right", "left"] | None
    convention: ConventionName | None
    threshold: float


class ErrorOptions(BinOptions, total=False):
    """Options of an error over bins."""

    debiased: bool
    squared: bool


def one_shot(accumulator: type[Accumulator], figure: str, y_true: Any, y_prob: Any, options: Options) -> Any:
    """One figure of one accumulator over one array. Raises DataError for no rows: their mean does not exist."""
    return seen_once(accumulator, y_true, y_prob, options).figure(figure)


def seen_once(accumulator: type[Accumulator], y_true: Any, y_prob: Any, options: Options) -> Accumulator:
    """An accumulator that has seen one array."""
    settings: dict[str, Any] = {**options}
    sample_weight = settings.pop("sample_weight", None)
    seen = accumulator(**settings).update(y_true, y_prob, sample_weight=sample_weight)
    if seen.is_empty:
        raise DataError("y_true", (), "is empty")
    return seen


def read_once(argument: str, values: Any) -> Any:
    """An array of what may be a stream, to be looked at twice; bfloat16 as it came, for its bits do not say so."""
    given, bits = array_or_bits(argument, values)
    return values if bits else given
