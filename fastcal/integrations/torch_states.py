"""States of accumulators as tensors, in which torchmetrics keeps, gathers and saves what metrics have seen.

Where all sizes are known the integers of a state are one tensor, which is summed over processes as it is: the digits of
exact sums are carried below 2^32, so that 2^31 processes do not overflow them, and carried again when they are read.
Sums of real weights are pairs of floats: their bits are a tensor of integers, too, so that no change of dtype touches
them, and are added as pairs. All other states are their own bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..accumulators.base import Accumulator, Part
from ..accumulators.mergeable import Mergeable
from ..accumulators.state import State, added_pairs, carry
from ..arrays import Array

# Words of ``kind``: a digest of the settings, and the columns of the scores, -1 before any.
DIGEST = 4
ROWS = {"n": (1,), "n_nan": (1,)}

Tensors = dict[str, Tensor]


class Layout(Protocol):
    """How the state of an accumulator is laid out in tensors."""

    names: tuple[str, ...]

    def tensors(self, accumulator: Any) -> Tensors:
        """The state as tensors, by name."""

    def accumulator(self, tensors: Mapping[str, Tensor]) -> Any:
        """The accumulator of such a state; raises ValueError for tensors that are none."""


def layout_of(template: Mergeable, n_columns: int | None, key: str) -> Layout:
    """Sums where sizes are known, which may depend on the number of classes; else bytes.

    ``key`` says what else than the settings of accumulators makes states differ. Both layouts begin with a digest of
    these: a MetricCollection takes metrics for the same, and no longer updates all, if their first states are equal.
    """
    told = f"{type(template).__name__} {sorted(template._settings.items())!r} {key}"
    digest = hashlib.sha256(told.encode()).digest()
    if isinstance(template, Accumulator) and all(_adds(part, n_columns) for part in template._parts.values()):
        return Sums(template, n_columns or 0, digest)
    return Bytes(template, digest)


def _adds(part: Part, n_columns: int | None) -> bool:
    """Whether states of a part are merged by adding arrays of one shape."""
    kind = type(part)
    if kind.merge is not Part.merge or kind.shapes_of is not Part.shapes_of or kind.header is not Part.header:
        return False
    return n_columns is not None or part.shapes(0) == part.shapes(3)


class Bytes:
    """One tensor of bytes, a digest and those of ``to_bytes``; of any size, and so never stacked."""

    names: tuple[str, ...] = ("state",)

    def __init__(self, template: Mergeable, digest: bytes) -> None:
        self.template, self.digest = template, digest

    def tensors(self, accumulator: Mergeable) -> Tensors:
        """See :class:`Layout`."""
        return {"state": torch.from_numpy(np.frombuffer(self.digest + accumulator.to_bytes(), np.uint8).copy())}

    def accumulator(self, tensors: Mapping[str, Tensor]) -> Mergeable:
        """See :class:`Layout`."""
        template, tensor = self.template, tensors["state"]
        if tensor.dtype != torch.uint8 or tensor.ndim != 1:
            raise ValueError(f"not a fastcal state: a tensor {tuple(tensor.shape)} of {tensor.dtype}, not of bytes")
        data, n = tensor.cpu().numpy().tobytes(), len(self.digest)
        found = type(template).from_bytes(data[n:])
        template._check_same(found)
        if data[:n] != self.digest:
            raise ValueError("cannot merge: the states are of metrics with other settings")
        found._n_threads = template._n_threads
        return found


class Sums:
    """Three tensors of integers: ``kind``, which all must share, ``sums``, and ``pairs`` of floats as their bits."""

    names: tuple[str, ...] = ("kind", "sums", "pairs")

    def __init__(self, template: Accumulator, n_columns: int, digest: bytes) -> None:
        self.template = template
        parts = template._parts
        shapes = {
            f"{key}.{name}": shape for key, part in parts.items() for name, shape in part.shapes(n_columns).items()
        }
        shapes |= {f"rows.{name}": shape for name, shape in ROWS.items()}
        self.sums = {name: shape for name, shape in shapes.items() if not name.endswith("_pair")}
        self.pairs = {name: shape for name, shape in shapes.items() if name.endswith("_pair")}
        self.digest = np.frombuffer(digest, "<i8", DIGEST).astype(np.int64)

    def tensors(self, accumulator: Accumulator) -> Tensors:
        """See :class:`Layout`."""
        arrays = {f"{key}.{name}": one for key, state in accumulator._states.items() for name, one in state.items()}
        columns = -1 if accumulator._columns is None else accumulator._columns
        return {
            "kind": torch.from_numpy(np.append(self.digest, columns)),
            "sums": torch.from_numpy(_flat(self.sums, arrays)),
            "pairs": torch.from_numpy(_flat(self.pairs, arrays)),
        }

    def accumulator(self, tensors: Mapping[str, Tensor]) -> Accumulator:
        """See :class:`Layout`."""
        kind, sums, pairs = (tensors[name] for name in self.names)
        for name, tensor, size in (
            ("kind", kind, DIGEST + 1),
            ("sums", sums, _size(self.sums)),
            ("pairs", pairs, _size(self.pairs)),
        ):
            if tensor.dtype != torch.int64 or tuple(tensor.shape) != (size,):
                shape = tuple(tensor.shape)
                raise ValueError(f"not a fastcal state: {name} is a tensor {shape} of {tensor.dtype}")
        *digest, columns = kind.tolist()
        if digest != self.digest.tolist():
            raise ValueError("cannot merge: the states are of metrics with other settings")
        found = self.template.empty(n_threads=self.template._n_threads)
        if columns < 0 and not sums.any() and not pairs.any():
            return found
        found._columns = max(columns, 0)
        arrays = _arrays(self.sums, sums.cpu().numpy()) | _arrays(self.pairs, pairs.cpu().numpy())
        for key, part in self.template._parts.items():
            optional = [f"{key}.{name}" for name in part.optional]
            if not any(name in arrays and arrays[name].any() for name in optional):
                arrays = {name: array for name, array in arrays.items() if name not in optional}
        for name, array in arrays.items():
            carry(name, array)
        found._take(arrays)
        return found


def _size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _flat(shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Array]) -> Array:
    """All arrays one after the other, with zeros for those that are missing."""
    flat = np.zeros(_size(shapes), np.int64)
    for name, view in _views(shapes, flat).items():
        if name in arrays:
            view[...] = arrays[name]
    return flat


def _views(shapes: Mapping[str, tuple[int, ...]], flat: Array) -> State:
    views: State = {}
    start = 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        views[name] = flat[start:stop].reshape(shape)
        start = stop
    return views


def _arrays(shapes: Mapping[str, tuple[int, ...]], flat: Array) -> State:
    return {name: view.copy() for name, view in _views(shapes, flat).items()}


def same_kind(stacked: Tensor) -> Tensor:
    """``kind`` of several processes as that of all; raises ValueError where settings or classes differ."""
    rows = stacked.tolist()
    if any(row[:DIGEST] != rows[0][:DIGEST] for row in rows):
        raise ValueError("cannot merge: the processes have metrics with other settings")
    columns = sorted({row[DIGEST] for row in rows} - {-1})
    if len(columns) > 1:
        raise ValueError(f"cannot merge: scores have {columns[0]} columns in one process and {columns[1]} in another")
    return stacked[max(range(len(rows)), key=lambda i: rows[i][DIGEST])]


def added(stacked: Tensor) -> Tensor:
    """``pairs`` of several processes, added in the order of their ranks."""
    pairs = stacked.cpu().numpy().view(np.float64).reshape(len(stacked), -1, 2)
    total = pairs[0]
    for more in pairs[1:]:
        total = added_pairs(total, more)
    return torch.from_numpy(np.ascontiguousarray(total).view(np.int64).reshape(-1)).to(stacked.device)


REDUCTIONS: dict[str, Any] = {"kind": same_kind, "sums": "sum", "pairs": added, "state": None}
