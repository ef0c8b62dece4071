"""Batches of files for who wants to go through them again: what calibrators are fitted to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..arrays import Array
from .ahead import ahead
from .batches import DumpError
from .names import Roles
from .opening import open_dumps


class BatchReader:
    """Batches (scores, y) or (scores, y, weights) of files, read anew each time it is gone through."""

    def __init__(self, paths: list[Path], roles: Roles) -> None:
        self._paths, self._roles = paths, roles
        kinds = {dump.roles.from_logits for dump in open_dumps(paths, roles)}
        if len(kinds) != 1:
            raise DumpError("some files hold logits and some probabilities" if kinds else "no files")
        self.from_logits = kinds.pop()

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        for dump in open_dumps(self._paths, self._roles):
            with closing(dump.batches()) as read, closing(ahead(read)) as batches:
                for batch in batches:
                    if batch.n_rows:  # all of its rows may be ignored
                        weights = () if batch.weights is None else (batch.weights,)
                        yield (batch.scores, batch.labels, *weights)


def read_batches(
    paths: Any,
    *,
    logits: str | None = None,
    probs: str | None = None,
    labels: str | None = None,
    weights: str | None = None,
    classes: Sequence[str] | None = None,
    ignore_index: int | None = None,
) -> BatchReader:
    """The rows of dumps as batches that can be gone through again and again: for ``fit_batches``.

    ``paths``: a file, a folder or a pattern, or a list of such: .npz, .npy files that belong together, Parquet, Arrow,
    safetensors, CSV, JSON lines; ``logits``, ``probs``, ``labels`` and ``weights`` name arrays in them, where they are
    not called that. ``classes`` are what labels are called as text, in the order of the columns; rows labelled
    ``ignore_index`` are left out. Memory holds a few batches of 4 MB; the next one is read while one is worked on.
    ``.from_logits`` says which of the two the scores are; a calibrator whose ``input`` is the other raises ValueError.
    Raises DumpError, a ValueError, for what cannot be read.

    >>> import fastcal as fc
    >>> from fastcal.dumps.opening import SAMPLE
    >>> round(fc.TemperatureScaling().fit_batches(fc.read_batches(SAMPLE)).temperature_, 4)
    2.6189
    """
    named = None if classes is None else tuple(map(str, classes))
    asked = Roles(logits, probs, labels, weights, classes=named, ignore_index=ignore_index)
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return BatchReader([Path(path) for path in given], asked)
