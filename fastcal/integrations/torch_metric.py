"""The base of all metrics for torch: an accumulator as one of torchmetrics' metrics.

The accumulator is what counts. torchmetrics sees its state as tensors, which are made when they are asked for, to
gather, save or share them, and read back when they were replaced.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ..accumulators.evaluation_report import EvaluationReport
from ..accumulators.mergeable import Mergeable
from ..arrays import DataError
from .torch_inputs import Batch, renamed
from .torch_states import REDUCTIONS, Layout, Tensors, layout_of

try:
    from torchmetrics import Metric
    from torchmetrics.utilities.distributed import gather_all_tensors
except ImportError as error:
    raise ImportError('fastcal.integrations.torch needs torchmetrics: install "fastcal[torch]"') from error


class _State:
    """A tensor of the state, as an attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, metric: Any, owner: type | None = None) -> Any:
        if metric is None:
            return self
        found = metric._as_tensors()
        if self.name not in found:
            raise AttributeError(f"{type(metric).__name__} has no state {self.name!r}")
        return found[self.name]

    def __set__(self, metric: Any, tensor: Tensor) -> None:
        metric._replace(self.name, tensor)


class AccumulatorMetric(Metric):  # type: ignore[misc]
    """An accumulator of fastcal as a metric: ``update(preds, target)``, ``compute``, ``forward``, in any process group.

    ``accumulator``: an empty one, whose settings say what is computed, e.g. ``fc.RankingAccumulator()``; ``figure``:
    the name of the figure that ``compute`` gives, or a function that takes the accumulator; None for all that are
    numbers, in a dictionary. ``ignore_index``: rows with that target are left out; ``num_classes``: says how many
    columns ``preds`` has, of which the size of a state may depend; ``move``: whether tensors on another device are
    copied to the CPU at each update; ``key``: what a subclass does to rows before they are added, as states are shared
    and merged between metrics that do the same; ``kwargs`` as for every metric of torchmetrics.

    Results are float64 tensors, counts int64, on the metric's device (on "mps", which has none, float32). The state is
    exact: any split of the rows over batches, processes and ``merge_state`` gives the same bits. Where its size is
    known it is integers that are summed over processes; else its bytes are gathered and merged. ``set_dtype`` and the
    like do not change it. An update that raises, also one in ``forward``, leaves it as it was.

    >>> import torch
    >>> import fastcal as fc
    >>> from fastcal.integrations.torch import AccumulatorMetric
    >>> auroc = AccumulatorMetric(fc.RankingAccumulator(), "auroc")
    >>> auroc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    tensor(0.7500, dtype=torch.float64)
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False

    _update_count: int
    kind, sums, pairs, state = _State(), _State(), _State(), _State()

    def __init__(
        self,
        accumulator: Mergeable,
        figure: str | Callable[[Any], Any] | None = None,
        *,
        ignore_index: int | None = None,
        num_classes: int | None = None,
        move: bool = False,
        key: str = "",
        **kwargs: Any,
    ) -> None:
        if not isinstance(accumulator, Mergeable) or accumulator._n_rows():
            raise TypeError(f"accumulator is {accumulator!r}; expected an accumulator of fastcal that has seen no rows")
        for name, value, least in (("ignore_index", ignore_index, None), ("num_classes", num_classes, 1)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and (least is None or value >= least)):
                raise ValueError(f"{name} is {value!r}; expected an integer{'' if least is None else ' from 1 up'}")
        if not isinstance(move, bool):
            raise ValueError(f"move is {move!r}; expected True or False")
        super().__init__(**kwargs)
        self._template = accumulator
        self._figure_name = figure
        self.ignore_index, self.num_classes, self.move = ignore_index, num_classes, move
        self._layout: Layout = layout_of(accumulator, num_classes, f"{key} {ignore_index}")
        self._seen: Any = self._empty()
        self._tensors: Tensors | None = None
        self._n_changes = 0
        for name, default in self._layout.tensors(self._seen).items():
            self.add_state(name, default.to(self.device), dist_reduce_fx=REDUCTIONS[name])

    # What torchmetrics sees of the state

    def _as_tensors(self) -> Tensors:
        """The state as tensors on the metric's device."""
        if self._tensors is None:
            found = self._layout.tensors(self._seen)
            self._tensors = {name: tensor.to(self.device) for name, tensor in found.items()}
        return self._tensors

    def _replace(self, name: str, tensor: Tensor) -> None:
        """Let a tensor of the state be another; what was seen is read from them when it is asked for."""
        self._tensors = {**self._as_tensors(), name: tensor}
        self._seen = None
        self._n_changes += 1

    def _accumulator(self) -> Any:
        """What was seen, to be changed by who calls :meth:`_changed` then."""
        if self._seen is None:
            assert self._tensors is not None
            self._seen = self._layout.accumulator(self._tensors)
        return self._seen

    def _empty(self) -> Any:
        return self._template.empty(n_threads=self._template._n_threads)

    def _changed(self, seen: Any) -> None:
        self._seen, self._tensors = seen, None
        self._n_changes += 1

    # What is done

    def update(self, preds: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add rows: ``preds`` (N,), (N, C) or (N, C, ...), ``target`` (N,) or (N, ...), ``sample_weight`` like that.

        Raises DataError (a ValueError) naming the argument, the place and the value, and TypeError for what is no
        tensor of real numbers on the CPU; the state is then as it was before.
        """
        self._update(preds, target, {"sample_weight": sample_weight})

    def _update(self, preds: Any, target: Any, more: Mapping[str, Any]) -> None:
        try:
            weight = more.get("sample_weight")
            batch = Batch(preds, target, weight, ignore_index=self.ignore_index, move=self.move)
            if self.num_classes not in (None, batch.n_classes):
                raise DataError("preds", (), f"has {batch.n_classes} classes; num_classes is {self.num_classes}")
            options = {name: value for name, value in more.items() if value is not None and name != "sample_weight"}
            if batch.sample_weight is not None:
                options["sample_weight"] = batch.sample_weight
            seen = self._accumulator()
            try:
                self._add(seen, batch, options)
            except DataError as error:
                raise batch.error(error) from None
            except TypeError as error:
                raise TypeError(renamed(str(error))) from None
        except BaseException:
            self._update_count -= 1  # which was counted before
            raise
        self._changed(seen)

    def _add(self, seen: Any, batch: Batch, options: dict[str, Any]) -> None:
        """Add the rows of a batch to the accumulator."""
        seen.update(batch.y_true, batch.y_prob, **options)

    def compute(self) -> Any:
        """The figure of all rows, of all processes where there are several; NaN before any."""
        return self._value(self._accumulator())

    def _value(self, seen: Any) -> Any:
        figure = self._figure_name
        if callable(figure):
            found = figure(seen)
        elif figure is None:
            found = {name: value for name, value in seen.compute().items() if is_number(value)}
        else:
            found = seen.figure(figure) if hasattr(seen, "figure") else seen.compute()[figure]
        if isinstance(found, Mapping):
            return {name: self._tensor(value) for name, value in found.items()}
        return self._tensor(found)

    def _tensor(self, value: float) -> Tensor:
        real = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else real, device=self.device)

    def report(self) -> EvaluationReport:
        """All that the accumulator computes of all rows, of all processes where there are several."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync):
            found: EvaluationReport = self._accumulator().compute()
        return found

    def accumulator(self) -> Any:
        """A copy of the accumulator with the rows of this process."""
        return copy.copy(self._accumulator())

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw a value, or several one after the other, as torchmetrics does; returns the Figure and the Axes."""
        return self._plot(val, ax)

    def reset(self) -> None:
        """Forget everything seen."""
        self._tensors, self._seen = dict(self._defaults), None  # torchmetrics asks them for their device
        super().reset()
        self._changed(self._empty())

    def merge_state(self, incoming_state: Any) -> None:
        """Add what another metric of the same settings has seen, or such a ``metric_state``.

        Raises ValueError where settings or classes differ; the state is then as it was before.
        """
        super().merge_state(incoming_state)
        self._update_count += getattr(incoming_state, "_update_count", 1)

    def _reduce_states(self, incoming_state: Mapping[str, Any]) -> None:
        missing = [name for name in self._layout.names if name not in incoming_state]
        if missing:
            raise ValueError(f"cannot merge: the incoming state has no {missing[0]!r}")
        seen = self._accumulator()
        seen.merge(self._layout.accumulator(incoming_state))
        self._changed(seen)
        self._computed = None

    def _forward_reduce_state_update(self, *args: Any, **kwargs: Any) -> Any:
        """The value of a batch by itself, which is then added; what raises leaves all as it was."""
        whole, count = self._accumulator(), self._update_count
        self._changed(self._empty())
        self._to_sync = self.dist_sync_on_step
        try:
            self.update(*args, **kwargs)
            value = self.compute()
            whole.merge(self._accumulator())
            count += 1
        finally:
            self._changed(whole)
            self._update_count, self._computed, self._to_sync = count, None, self.sync_on_compute
            self._is_synced, self._cache = False, None
        return value

    _forward_full_state_update = _forward_reduce_state_update

    def _sync_dist(self, dist_sync_fn: Callable[..., Any] = gather_all_tensors, process_group: Any = None) -> None:
        """Gather the states of all processes; bytes differ in length and are merged one by one."""
        if self._layout.names != ("state",):
            super()._sync_dist(dist_sync_fn, process_group)
            return
        gathered: Sequence[Tensor] = dist_sync_fn(self.state, group=process_group or self.process_group)
        total = self._empty()
        for tensor in gathered:
            total.merge(self._layout.accumulator({"state": tensor}))
        self._changed(total)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Take the state from ``state_dict``, once it was found to be one; else it is as it was, and an error told."""
        before, error_msgs = self._accumulator(), args[-1]
        super()._load_from_state_dict(state_dict, prefix, *args)
        try:
            self._accumulator()
        except ValueError as error:
            error_msgs.append(f"{prefix}: {error}")
            self._changed(before)
        self._computed = None

    def set_dtype(self, dst_type: Any) -> Self:
        """Nothing: the state is integers, whatever the dtype of results."""
        return self

    def __hash__(self) -> int:
        return hash((type(self).__name__, id(self), self._n_changes))


def is_number(value: Any) -> bool:
    """Whether a figure is one number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
