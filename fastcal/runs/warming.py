"""Compiles kernels ahead of their first use, by a few rows of every kind through everything that uses them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, cast

import numpy as np

from ..accumulators.evaluation import Evaluation
from ..accumulators.paired import PairedAccumulator
from ..arrays import Array
from ..calibrators.base import FitWarning
from ..calibrators.before_after import before_after
from ..calibrators.forms import Input
from ..calibrators.methods import METHODS, for_scores
from ..dumps.turning import side_by_side

DTYPES = ("float32", "float64")
FORMS = ("logits", "probs")
# (N,) scores, rows of few classes and of many: up to 48 and beyond kernels are others.
CLASSES = (1, 2, 10, 100)
N = 300  # enough for every method to have something to fit


@dataclass(frozen=True)
class Step:
    """Something to run once: its name, and the seconds that it took, most of them the compiler's."""

    name: str
    seconds: float


def warm(
    *,
    classes: Sequence[int] = CLASSES,
    dtypes: Sequence[str] = DTYPES,
    forms: Sequence[str] = FORMS,
    methods: Sequence[str] | None = None,
    plain: bool = False,
    make: Callable[[dict[str, Any]], Any] = lambda settings: Evaluation(**settings),
    on_step: Callable[[Step], None] | None = None,
) -> list[Step]:
    """Run everything that reports, checks and comparisons use, and fits of ``methods``, on made-up rows.

    ``classes``: numbers of columns of scores, 1 for (N,) ones; ``dtypes``: float16, float32, float64; ``forms``: logits
    and probs; ``methods``: None for all. ``plain`` leaves out weights, groups, bootstraps, comparisons and, unless they
    are named, fits. ``make``: the accumulators of a report from its settings. Raises ValueError for others.
    """
    if methods is None:
        methods = () if plain else tuple(METHODS)
    _check(classes, dtypes, forms, methods)
    done = []
    for name, work in _steps(classes, dtypes, forms, methods, plain, make):
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            work()
        done.append(Step(name, time.perf_counter() - began))
        if on_step is not None:
            on_step(done[-1])
    return done


def _check(classes: Sequence[int], dtypes: Sequence[str], forms: Sequence[str], methods: Sequence[str]) -> None:
    for name, given, known in (
        ("dtype", dtypes, ("float16", *DTYPES)),
        ("form", forms, FORMS),
        ("method", methods, tuple(METHODS)),
    ):
        for one in given:
            if one not in known:
                raise ValueError(f"{name} is {one!r}; expected one of {', '.join(known)}")
    for n in classes:
        if not 1 <= n <= 1 << 12:
            raise ValueError(f"classes is {n}; expected 1 for scores (N,), or up to {1 << 12} columns")


def _steps(
    classes: Sequence[int],
    dtypes: Sequence[str],
    forms: Sequence[str],
    methods: Sequence[str],
    plain: bool,
    make: Callable[[dict[str, Any]], Any],
) -> Iterator[tuple[str, Callable[[], Any]]]:
    for dtype, form, n in product(dtypes, forms, classes):
        rows, what = _rows(n, dtype, form), f"{dtype} {form}, {_columns(n)}"
        settings = {"from_logits": form == "logits"}
        yield f"report: {what}", partial(_report, make, settings, *rows)
        if not plain:
            yield f"weights, groups, bootstrap: {what}", partial(_sliced, make, settings, *rows)
            yield f"compare: {what}", partial(_compare, settings, *rows)
    for method, dtype, form, n in product(methods, dtypes, forms, classes):
        if method == "ensemble-temperature" and n == 1:
            continue  # it takes rows
        yield (
            f"fit {method}: {dtype} {form}, {_columns(n)}",
            partial(_fit, make, method, *_rows(n, dtype, form), cast(Input, form)),
        )


def _columns(n: int) -> str:
    return "binary" if n == 1 else f"{n} classes"


def _rows(n: int, dtype: str, form: str) -> tuple[Array, Array]:
    """Rows that a model got partly right, every class among them."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(max(N, 3 * n), n))
    if n == 1:
        logits, y = logits[:, 0], (logits[:, 0] + rng.normal(size=len(logits)) > 0).astype(np.int64)
        p = 1 / (1 + np.exp(-logits))
    else:
        y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        y[:n] = np.arange(n)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
    return (logits if form == "logits" else p).astype(dtype), y


def _report(make: Callable[[dict[str, Any]], Any], settings: dict[str, Any], scores: Array, y: Array) -> None:
    if scores.ndim > 1:  # as Parquet has them, one column a class
        scores = side_by_side([np.ascontiguousarray(column) for column in scores.T])
    whole = make(settings).update(y, scores)
    whole.empty().merge(whole).compute()


def _sliced(make: Callable[[dict[str, Any]], Any], settings: dict[str, Any], scores: Array, y: Array) -> None:
    more = {"groups": np.arange(len(y)) % 3}
    for weights in (None, np.ones(len(y))):
        seen = make({**settings, "groups": True, "bootstrap": 0})
        seen.update(y, scores, sample_weight=weights, **more)
        seen.empty().merge(seen).compute()


def _compare(settings: dict[str, Any], scores: Array, y: Array) -> None:
    PairedAccumulator(**settings).update(y, scores, scores, sample_weight=np.ones(len(y))).compute()


def _fit(make: Callable[[dict[str, Any]], Any], method: str, scores: Array, y: Array, form: Input) -> None:
    """As ``fastcal fit``, ``apply`` and a report of what they made."""
    calibrator = for_scores(method, form, None)
    calibrator.fit_batches([(scores, y)])
    before_after(calibrator, [(scores, y)])
    make({}).update(y, calibrator.predict_proba(scores))
