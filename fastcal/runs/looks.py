"""Several accumulators over the same rows, and over the same rows calibrated: what a report page shows."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np

from ..accumulators.evaluation import Evaluation
from ..accumulators.evaluation_report import EvaluationReport
from ..accumulators.serial import kind_and_run, pack, unpack
from ..arrays import Array
from ..calibrators.base import Calibrator
from ..calibrators.files import packed

KIND = "Looks"


class Looks:
    """Named accumulators that see every row; those named in ``calibrated`` see what ``calibrator`` makes of it.

    ``looks["report"]`` is one of them. It has the verbs of an accumulator.
    """

    def __init__(
        self,
        accumulators: Mapping[str, Any],
        calibrator: Calibrator | None = None,
        calibrated: tuple[str, ...] = (),
        *,
        made_by: str | None = None,
    ) -> None:
        self._accumulators = dict(accumulators)
        self._calibrator = calibrator
        self._calibrated = calibrated
        self._made_by = made_by  # the calibrator's checksum, where its rows were seen and it is not here

    def __getitem__(self, name: str) -> Any:
        return self._accumulators[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._accumulators)

    @property
    def is_empty(self) -> bool:
        """Whether no row was seen yet."""
        return all(one.is_empty for one in self._accumulators.values())

    def empty(self, n_threads: int | None = None) -> Looks:
        """Others of the same settings that have seen nothing, for a thread or process of its own."""
        made = {name: one.empty(n_threads) for name, one in self._accumulators.items()}
        calibrator = copy.copy(self._calibrator)
        if calibrator is not None:
            calibrator.n_threads = n_threads
        return Looks(made, calibrator, self._calibrated, made_by=self._made_by)

    def reset(self) -> Self:
        """Forget everything seen; returns self."""
        for one in self._accumulators.values():
            one.reset()
        return self

    def update(
        self, y_true: Any, scores: Any, *, sample_weight: Any = None, groups: Any = None, row: int | Array | None = None
    ) -> Self:
        """Add rows to all of them; those before one that raises keep them, so that a run that raises is over."""
        if self._calibrator is None and self._calibrated:
            raise ValueError("calibrated rows cannot be added without the calibrator")
        after = None if self._calibrator is None or not self._calibrated else self._calibrator.predict_proba(scores)
        for name, one in self._accumulators.items():
            more = {"groups": groups, "row": row} if isinstance(one, Evaluation) else {}
            one.update(y_true, after if name in self._calibrated else scores, sample_weight=sample_weight, **more)
        return self

    def merge(self, other: Looks) -> Self:
        """Add what ``other`` has seen; returns self. Raises ValueError for one that looks otherwise."""
        if (list(self), self._identity()) != (list(other), other._identity()):
            raise ValueError(
                f"cannot merge: here are {', '.join(self)}, there {', '.join(other)}, of another calibrator"
            )
        for name, one in self._accumulators.items():
            one.merge(other[name])
        return self

    def compute(self) -> dict[str, EvaluationReport]:
        """The figures of each."""
        return {name: one.compute() for name, one in self._accumulators.items()}

    def to_bytes(self) -> bytes:
        """The state: that of the accumulator where there is but one, else all of them one after the other."""
        states: list[bytes] = [one.to_bytes() for one in self._accumulators.values()]
        if len(states) == 1:
            return states[0]
        settings = {"names": list(self), "sizes": list(map(len, states)), **self._identity()}
        whole = b"".join(states)
        words = np.frombuffer(whole + bytes(-len(whole) % 8), "<i8")
        return pack(KIND, settings, {"states": words})

    def restored(self, data: bytes) -> Looks:
        """Those whose :meth:`to_bytes` gave ``data``; raises ValueError where that is another's, or damaged."""
        if len(self._accumulators) == 1:
            parts = [data]
        else:
            settings, parts = _unpacked(data)
            if settings != {"names": list(self), **self._identity()}:
                raise ValueError("a state of other figures, or of another calibrator")
        made = {}
        for (name, one), part in zip(self._accumulators.items(), parts, strict=True):
            made[name] = type(one).from_bytes(part)
            one.empty().merge(made[name])  # the same settings, or it raises
        return Looks(made, self._calibrator, self._calibrated, made_by=self._made_by)

    @classmethod
    def from_bytes(cls, data: bytes, class_of: Callable[[str], type[Any]]) -> Looks:
        """Several that can be merged and computed; ``class_of`` a name is the class of an accumulator."""
        settings, parts = _unpacked(data)
        names, calibrated, made_by = (settings.get(key) for key in ("names", "calibrated", "calibrator"))
        if not (isinstance(calibrated, list) and set(map(str, calibrated)) <= set(names or ())):
            raise ValueError("not a fastcal state: its calibrated figures are none of its own")
        made = {}
        for name, part in zip(names or (), parts, strict=True):
            kind, _ = kind_and_run(part)
            made[name] = class_of(kind).from_bytes(part)
        return cls(made, None, tuple(calibrated), made_by=made_by)

    def _identity(self) -> dict[str, Any]:
        identity = self._made_by
        if self._calibrator is not None:
            identity = hashlib.sha256(packed(self._calibrator)).hexdigest()
        return {"calibrated": list(self._calibrated), "calibrator": identity}


def _unpacked(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """What :meth:`Looks.to_bytes` says of several, and the bytes of each."""
    settings, arrays, _ = unpack(data, KIND)
    sizes, words, names = settings.pop("sizes", None), arrays.get("states"), settings.get("names")
    named = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    if not named or not _are_sizes(sizes, words, len(names or ())):
        raise ValueError("not a fastcal state: the sizes of its parts are not theirs")
    whole = np.ascontiguousarray(words, "<i8").tobytes()
    return settings, [whole[start:stop] for start, stop in pairwise(np.cumsum([0, *sizes]))]


def _are_sizes(sizes: Any, words: Any, n: int) -> bool:
    """Whether they are the lengths of n states that fill the words."""
    if not isinstance(sizes, list) or len(sizes) != n or not all(type(size) is int and size >= 0 for size in sizes):
        return False
    return words is not None and words.ndim == 1 and -(-sum(sizes) // 8) == words.size
