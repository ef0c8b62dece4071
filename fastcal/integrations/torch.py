"""Metrics for torch: in training loops, in ``torchmetrics.MetricCollection``, and in any process group.

They are torchmetrics' Metric classes over fastcal's accumulators: the state has a fixed size, or grows with what is
distinct only, and any split of the rows over batches and processes gives the same bits.

>>> import torch
>>> from fastcal.integrations.torch import CalibrationError
>>> ece = CalibrationError(n_bins=2)
>>> ece.update(torch.tensor([0.25, 0.25]), torch.tensor([0, 1]))
>>> ece.update(torch.tensor([0.75, 0.75]), torch.tensor([1, 1]))
>>> ece.compute()
tensor(0.2500, dtype=torch.float64)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

try:
    from torch import Tensor
except ModuleNotFoundError as error:
    said = 'fastcal.integrations.torch needs torch and torchmetrics: install "fastcal[torch]"'
    raise ModuleNotFoundError(said, name=error.name) from error

from ..accumulators import evaluation
from ..accumulators.ordered import RankingAccumulator
from ..accumulators.scores import ScoreAccumulator
from ..accumulators.selective import SelectiveAccumulator
from ..accumulators.uncertainty import UncertaintyAccumulator
from ..arrays import DataError, labels_of
from ..metrics.binning import Question
from .torch_calibration import ErrorOf, accumulator_of
from .torch_inputs import Batch, local
from .torch_metric import AccumulatorMetric, is_number

__all__ = [
    "AURC",
    "AUROC",
    "NLL",
    "AccumulatorMetric",
    "Accuracy",
    "AveragePrecision",
    "BrierScore",
    "CalibrationError",
    "Evaluation",
    "Uncertainty",
]

METRIC_OPTIONS = (
    "compute_on_cpu",
    "compute_with_cache",
    "dist_sync_fn",
    "dist_sync_on_step",
    "distributed_available_fn",
    "process_group",
    "sync_on_compute",
)


class CalibrationError(AccumulatorMetric):
    """:func:`fastcal.calibration_error` of a stream, with all its settings but class-wise bins of equal mass.

    ``preds`` (N,) is P(y = 1), (N, C) or (N, C, ...) one distribution a row, logits with ``from_logits=True``: nothing
    is guessed from their values. With ``target="positive"`` ``preds`` and ``target`` of one shape (N, ...) are taken
    as single probabilities. ``binning="quantile"`` keeps all distinct confidences, or with ``n_cells`` as many cells,
    and the edges are then those of cells; ``convention="calibre"`` takes ``n_bins`` bins however few the rows.
    ``num_classes`` lets the state of a class-wise error be summed over processes. Other arguments, and errors, as for
    :class:`AccumulatorMetric`.

    >>> import torch
    >>> from fastcal.integrations.torch import CalibrationError
    >>> mce = CalibrationError(norm="max", from_logits=True)
    >>> mce(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 0]))
    tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = False
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    def __init__(
        self,
        *,
        target: str = "auto",
        norm: str = "l1",
        n_bins: int | None = None,
        binning: Any = "uniform",
        closed: str | None = None,
        convention: str | None = None,
        debiased: bool = False,
        squared: bool = False,
        threshold: float = 0.0,
        from_logits: bool = False,
        nan_policy: Any = "raise",
        n_cells: int | None = None,
        n_threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        error = ErrorOf(norm, debiased=debiased, squared=squared)
        seen = accumulator_of(
            target,
            binning,
            n_cells,
            n_bins=n_bins,
            closed=closed,
            convention=convention,
            threshold=threshold,
            debiased=debiased,
            from_logits=from_logits,
            nan_policy=nan_policy,
            n_threads=n_threads,
        )
        super().__init__(seen, error, key=target, **kwargs)
        self.target = target

    def _add(self, seen: Any, batch: Batch, options: dict[str, Any]) -> None:
        y_true, y_prob = batch.y_true, batch.y_prob
        if self.target == "positive" and tuple(y_true.shape) == tuple(y_prob.shape):
            y_true, y_prob = y_true.reshape(-1), y_prob.reshape(-1)
            options = {name: value.reshape(-1) for name, value in options.items()}
        elif y_prob.ndim and self.target == ("positive" if y_prob.ndim > 1 else "top-label") and len(y_true):
            settings = {name: seen._settings[name] for name in ("from_logits", "nan_policy")}
            question = Question(y_true, y_prob, target=self.target, **settings, n_threads=seen._n_threads, **options)
            y_true, y_prob = question.y_true, question.y_prob
            options = {} if question.sample_weight is None else {"sample_weight": question.sample_weight}
        seen.update(y_true, y_prob, **options)


class Evaluation(AccumulatorMetric):
    """:class:`fastcal.Evaluation`: the whole report of a stream in one pass, as a dictionary of numbers.

    Arguments are those of :class:`fastcal.Evaluation`, and of :class:`AccumulatorMetric`. ``compute`` gives the figures
    that are numbers, as tensors; :meth:`report` gives all of them, with the reliability curve and what else there is.

    >>> import torch
    >>> from fastcal.integrations.torch import Evaluation
    >>> metric = Evaluation(from_logits=True)
    >>> metric.update(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    >>> metric.compute()["accuracy"], round(metric.report()["nll"], 6)
    (tensor(0.5000, dtype=torch.float64), 0.410038)
    """

    def __init__(
        self, *, ignore_index: int | None = None, num_classes: int | None = None, move: bool = False, **options: Any
    ) -> None:
        theirs, own = _divided(options)
        seen = evaluation.Evaluation(**own)
        super().__init__(seen, ignore_index=ignore_index, num_classes=num_classes, move=move, **theirs)

    def update(self, preds: Tensor, target: Tensor, sample_weight: Tensor | None = None, groups: Any = None) -> None:
        """Add rows, see :meth:`AccumulatorMetric.update`; ``groups`` (N,) with ``groups=True``: integers, or a list."""
        self._update(preds, target, {"sample_weight": sample_weight, "groups": groups})

    def _add(self, seen: Any, batch: Batch, options: dict[str, Any]) -> None:
        if "groups" in options:
            groups = options["groups"]
            groups = groups.detach().cpu().numpy() if isinstance(groups, Tensor) else groups
            if batch.kept is not None:
                groups = labels_of("groups", groups)
                if groups.shape not in (batch.lead, (math.prod(batch.lead),)):
                    raise DataError("groups", (), f"has shape {groups.shape}, expected {batch.lead}")
                groups = groups.reshape(-1)[batch.kept]
            options = {**options, "groups": groups}
        seen.update(batch.y_true, batch.y_prob, **options)


class _Single(AccumulatorMetric):
    """A metric that is one figure of one accumulator."""

    _made: Any
    _name: str

    def __init__(
        self, *, ignore_index: int | None = None, num_classes: int | None = None, move: bool = False, **options: Any
    ) -> None:
        theirs, own = _divided(options)
        seen = self._made(**own)
        super().__init__(seen, self._name, ignore_index=ignore_index, num_classes=num_classes, move=move, **theirs)


class BrierScore(_Single):
    """:func:`fastcal.brier_score` of a stream: from 0 to 2 for rows (N, C), from 0 to 1 for (N,).

    Takes ``from_logits``, ``nan_policy``, ``n_threads``, and the arguments of :class:`AccumulatorMetric`.

    >>> import torch
    >>> from fastcal.integrations.torch import BrierScore
    >>> BrierScore()(torch.tensor([0.5, 0.75]), torch.tensor([0, 1]))
    tensor(0.1562, dtype=torch.float64)
    """

    higher_is_better = False
    _made, _name = ScoreAccumulator, "brier"


class NLL(_Single):
    """:func:`fastcal.nll` of a stream: the mean negative log-likelihood in nats; arguments of :class:`BrierScore`."""

    higher_is_better = False
    _made, _name = ScoreAccumulator, "nll"


class Accuracy(_Single):
    """:func:`fastcal.accuracy` of a stream: the share of rows predicted right. Arguments as for :class:`BrierScore`."""

    higher_is_better = True
    _made, _name = ScoreAccumulator, "accuracy"


class AUROC(_Single):
    """:func:`fastcal.auroc` of a stream of scores (N,); ``n_cells`` as for :class:`fastcal.RankingAccumulator`."""

    higher_is_better = True
    _made, _name = RankingAccumulator, "auroc"


class AveragePrecision(_Single):
    """:func:`fastcal.average_precision` of a stream of scores (N,); ``n_cells`` as for :class:`AUROC`."""

    higher_is_better = True
    _made, _name = RankingAccumulator, "average_precision"


class AURC(_Single):
    """:func:`fastcal.aurc` of a stream; arguments as for :class:`BrierScore`, and ``n_cells`` as for :class:`AUROC`."""

    higher_is_better = False
    _made, _name = SelectiveAccumulator, "aurc"


class Uncertainty(AccumulatorMetric):
    """:class:`fastcal.UncertaintyAccumulator`: how well uncertainty tells errors, and rows out of distribution.

    ``preds`` (M, N, C) of an ensemble, or (N, C) of one model; ``target`` (N,). ``compute`` gives the counts and, as
    ``mutual_information_error_auroc`` and so on, the figures of each measure; :meth:`report` gives all.

    >>> import torch
    >>> from fastcal.integrations.torch import Uncertainty
    >>> metric = Uncertainty(from_logits=True)
    >>> metric.update(torch.tensor([[[3.0, 0.0], [0.0, 0.1]]]), torch.tensor([0, 0]))
    >>> metric.compute()["predictive_entropy_error_auroc"]
    tensor(1., dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        from_logits: bool = False,
        nan_policy: str = "raise",
        n_threads: int | None = None,
        move: bool = False,
        **kwargs: Any,
    ) -> None:
        if refused := sorted({"ignore_index", "num_classes", "key"} & kwargs.keys()):
            raise TypeError(f"Uncertainty takes no {refused[0]}")
        seen = UncertaintyAccumulator(from_logits=from_logits, nan_policy=nan_policy, n_threads=n_threads)
        super().__init__(seen, _of_measures, move=move, **kwargs)

    def update(
        self, preds: Tensor, target: Tensor, weights: Any = None, out_of_distribution: bool | Tensor = False
    ) -> None:
        """Add rows; ``weights`` (M,) of the members, ``out_of_distribution`` for all rows, or (N,) for each."""
        if isinstance(out_of_distribution, Tensor):
            out_of_distribution = local("out_of_distribution", out_of_distribution, move=self.move).numpy()
        self._update(preds, target, {"weights": weights, "out_of_distribution": out_of_distribution})


def _divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of every metric of torchmetrics, and all others, which are the accumulator's."""
    theirs = {name: options[name] for name in METRIC_OPTIONS if name in options}
    return theirs, {name: value for name, value in options.items() if name not in theirs}


def _of_measures(seen: UncertaintyAccumulator) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in seen.compute().items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{key}": one for key, one in value.items() if is_number(one)}
        elif is_number(value):
            found[name] = value
    return found
