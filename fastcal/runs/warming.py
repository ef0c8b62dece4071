"""Compiles kernels ahead of their first use, by rows of every kind through everything that uses them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from .. import kernels
from ..accumulators.evaluation import Evaluation
from ..calibrators.methods import METHODS
from .warming_steps import WHAT, Make, Work, steps

DTYPES = ("float32", "float64")
ALL_DTYPES = (*DTYPES, "float16", "bfloat16")
FORMS = ("logits", "probs")
# (N,) scores, rows of two classes, of few and of many: up to 48, up to 128 and beyond kernels are others.
CLASSES = (1, 2, 10, 100, 200)


@dataclass(frozen=True)
class WarmupStep:
    """Something that was run once: its name, the seconds that it took, and how many kernels were compiled for it.

    ``number`` of ``total``: in which order it ended.

    >>> import fastcal as fc
    >>> fc.warmup(what=["ood"], dtypes=["float32"], classes=[1], forms=["probs"])[0].name
    'ood: float32 probs, binary'
    """

    name: str
    seconds: float
    compiled: int
    number: int
    total: int


def warmup(
    *,
    dtypes: Sequence[str] = DTYPES,
    classes: Sequence[int] = CLASSES,
    forms: Sequence[str] = FORMS,
    what: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    plain: bool = False,
    jobs: int = 1,
    on_step: Callable[[WarmupStep], None] | None = None,
) -> list[WarmupStep]:
    """Compile kernels ahead of their first use, and keep them on disk: afterwards nothing of what was named compiles.

    ``dtypes``: "float32", "float64", "float16" and "bfloat16", the former two unless others are named; ``classes``:
    numbers of columns of scores, 1 for (N,) ones (from 3 up to 48 they share their kernels, as do those up to 128, and
    those beyond); ``forms``: "logits" and "probs"; ``what``: parts of "report" (Evaluation with weights, groups and
    bootstraps, and comparisons), "rows" (the softmax family), "metrics", "order" (rankings, isotonic fits),
    "ensembles", "ood", "selective" and "calibrators", None for all; ``methods``: calibrators by their short names, None
    for all. ``plain``: a report without weights, groups, bootstraps and comparisons, and of calibrators those that are
    named. ``jobs``: processes that compile at once (more than 1 in a script needs its
    ``if __name__ == "__main__":``). ``on_step`` is told of each :class:`WarmupStep`, all of which are returned. Raises
    ValueError for what is none of these.

    All of it takes minutes the first time, and seconds once kernels are there: see ``fastcal info``.

    >>> import fastcal as fc
    >>> [step.name for step in fc.warmup(what=["rows"], dtypes=["float32"], classes=[10], forms=["logits"])]
    ['rows: float32 logits, 10 classes']
    """
    return warm(
        dtypes=dtypes,
        classes=classes,
        forms=forms,
        what=what,
        methods=methods,
        plain=plain,
        jobs=jobs,
        on_step=on_step,
    )


def evaluation(settings: dict[str, Any]) -> Any:
    """The accumulator of a report."""
    return Evaluation(**settings)


def warm(
    *,
    dtypes: Sequence[str] = DTYPES,
    classes: Sequence[int] = CLASSES,
    forms: Sequence[str] = FORMS,
    what: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    plain: bool = False,
    jobs: int = 1,
    on_step: Callable[[WarmupStep], None] | None = None,
    make: Make = evaluation,
) -> list[WarmupStep]:
    """As :func:`warmup`; ``make`` makes the accumulators of a report from its settings."""
    if what is None:
        what = ("report", "calibrators") if plain else WHAT
    if methods is None:
        methods = () if plain else tuple(METHODS)
    _check(what, classes, dtypes, forms, methods, jobs)
    asked = (tuple(what), tuple(classes), tuple(dtypes), tuple(forms), tuple(methods), make, plain)
    total = sum(1 for _ in _steps(asked))
    done: list[WarmupStep] = []
    for name, seconds, compiled in _done(asked, total, jobs):
        done.append(WarmupStep(name, seconds, compiled, len(done) + 1, total))
        if on_step is not None:
            on_step(done[-1])
    return done


Asked = tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], Make, bool]
Done = tuple[str, float, int]


def _steps(asked: Asked) -> Iterator[tuple[str, Work]]:
    *kinds, plain = asked
    return steps(*kinds, plain=plain)  # type: ignore[arg-type]


def _done(asked: Asked, total: int, jobs: int) -> Iterator[Done]:
    if jobs == 1:
        for name, work in _steps(asked):
            yield _run(name, work)
        return
    # Neighbours use the same kernels, which two processes would both compile: work is taken from either end.
    order = [number for pair in zip(range(total), reversed(range(total)), strict=True) for number in pair][:total]
    with ProcessPoolExecutor(min(jobs, total) or 1, multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(_one, asked, number) for number in order]):
                yield future.result()
        finally:  # after an error, or Ctrl-C, the pool would do all of it first
            pool.shutdown(cancel_futures=True)


def _one(asked: Asked, number: int) -> Done:
    """The step of that number, in a process of a pool."""
    return _run(*next(step for place, step in enumerate(_steps(asked)) if place == number))


def _run(name: str, work: Work) -> Done:
    before, began = len(kernels.caching.COMPILED), time.perf_counter()
    work()
    return name, time.perf_counter() - began, len(kernels.caching.COMPILED) - before


def _check(
    what: Sequence[str],
    classes: Sequence[int],
    dtypes: Sequence[str],
    forms: Sequence[str],
    methods: Sequence[str],
    jobs: int,
) -> None:
    for name, given, known in (
        ("what", what, WHAT),
        ("dtype", dtypes, ALL_DTYPES),
        ("form", forms, FORMS),
        ("method", methods, tuple(METHODS)),
    ):
        if isinstance(given, str):
            raise ValueError(f"{name} is {given!r}; expected a list of some of {', '.join(known)}")
        for one in given:
            if one not in known:
                raise ValueError(f"{name} is {one!r}; expected one of {', '.join(known)}")
    for n in classes:
        if not 1 <= n <= 1 << 12:
            raise ValueError(f"classes is {n}; expected 1 for scores (N,), or up to {1 << 12} columns")
    if jobs < 1:
        raise ValueError(f"jobs is {jobs!r}; expected an integer of at least 1")
