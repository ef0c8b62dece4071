"""Measures of an ensemble's uncertainty, each row's, from members in any form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import engine
from ..arrays import Array
from . import members as doors
from .members import Members
from .stream import of_stream
from .workers import Apart, Whole, new_columns, raise_first, rows_per_chunk


@dataclass(frozen=True)
class EnsembleUncertainty:
    """Arrays (N,), see :func:`fastcal.ensemble_uncertainty`; ``prediction`` is int64, the others are floats.

    >>> import fastcal as fc
    >>> fc.ensemble_uncertainty([[[1.0, 0.0]], [[0.0, 1.0]]]).mutual_information.round(4).tolist()
    [0.6931]
    """

    prediction: Array
    max_probability: Array
    softmax_variance: Array
    predictive_entropy: Array
    expected_entropy: Array
    mutual_information: Array
    variation_ratio: Array


def measured(
    members: Any,
    *,
    from_logits: bool = False,
    weights: Any = None,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> EnsembleUncertainty:
    """All measures of an ensemble; see :func:`fastcal.ensemble_uncertainty`."""
    if n_threads is not None:
        engine.thread_count(n_threads)  # is it one
    scale = None if weights is None else doors.weights_of(weights)
    given = doors.opened(members, from_logits, dtype)
    if isinstance(given, Iterator):
        columns, lead = of_stream(given, from_logits, scale, dtype, n_threads)
    else:
        counted, of_counted = given.weighted(scale)
        columns, lead = new_columns(counted.n_rows, counted.real), counted.lead
        done = 0
        for part in counted.parts():
            stop = done + part.n_rows
            _of_part(part, from_logits, of_counted, [column[done:stop] for column in columns], n_threads)
            done = stop
    return EnsembleUncertainty(*(column.reshape(lead) for column in columns))


def _of_part(given: Members, from_logits: bool, weights: Array, columns: list[Array], n_threads: int | None) -> None:
    kind: type[Whole] = Apart if given.whole is None else Whole
    rows = rows_per_chunk(given, 4 * given.n_classes * columns[1].itemsize)
    made = partial(kind, given, from_logits, weights, columns)
    workers = engine.run(given.n_rows, given.row_bytes, rows, made, n_threads)
    raise_first([worker.fault for worker in workers])
