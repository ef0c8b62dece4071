"""Whole reports of a model on a stream of batches, by one worker or by many."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import fastcal as fc

from .arrays import Batch, Batches
from .models import Model


def _seen(model: Model, options: Mapping[str, Any], batch: Batch) -> fc.Evaluation:
    x, y = batch
    return fc.Evaluation(from_logits=True, **options).update(y, model.logits(x))


def evaluate(model: Model, batches: Batches, **options: Any) -> fc.EvaluationReport:
    """The report on all batches; ``options`` are those of :class:`fastcal.Evaluation`."""
    evaluation = fc.Evaluation(from_logits=True, **options)
    for x, y in batches:
        evaluation.update(y, model.logits(x))
    return evaluation.compute()


def evaluate_in_threads(model: Model, batches: Batches, *, n_workers: int = 4, **options: Any) -> fc.EvaluationReport:
    """The same, to the last bit, with batches shared among threads and their states merged as they come."""
    total = fc.Evaluation(from_logits=True, **options)
    with ThreadPoolExecutor(n_workers) as pool:
        for part in pool.map(partial(_seen, model, options), batches):
            total.merge(part)
    return total.compute()
