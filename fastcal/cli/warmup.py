"""``fastcal warmup``: compiles kernels before they are needed, as in the making of a container image."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any

import typer

from . import options
from .output import fail, one_line_errors, write_json

Names = list[str] | None


def warmup(
    classes: Annotated[
        list[int] | None, typer.Option(metavar="K", help="Columns of scores, 1 for binary ones; 1, 2, 10 and 100.")
    ] = None,
    dtype: Annotated[
        Names, typer.Option(metavar="DTYPE", help="float32, float64, float16 or bfloat16; the former two.")
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Logits only.")] = False,
    probs: Annotated[bool, typer.Option("--probs", help="Probabilities only.")] = False,
    what: Annotated[
        Names,
        typer.Option(
            metavar="PART", help="report, rows, metrics, order, ensembles, ood, selective or calibrators; all of them."
        ),
    ] = None,
    method: Annotated[Names, typer.Option(metavar="METHOD", help="Calibrators to fit and apply; all of them.")] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Reports without weights, groups, bootstraps, comparisons, and fits not named."),
    ] = False,
    jobs: Annotated[int, typer.Option(metavar="N", help="Processes that compile at once; 1.")] = 1,
    json: options.Json = None,
) -> None:
    """Compile kernels ahead, so that the first run, or the first call from Python, starts warm.

    What is compiled is kept where FASTCAL_CACHE_DIR or NUMBA_CACHE_DIR says, or beside the package. Everything takes
    some minutes; options, which may be repeated, say what is needed.
    """
    if logits and probs:
        fail("--logits and --probs both leave the other out")
    with one_line_errors():
        from ..accumulators.evaluation_report import EvaluationReport
        from ..report.info import size
        from ..runs import compiled, warming
        from .running import check_places

        check_places(json)
        if compiled.cache()["folder"] is None:
            fail("compiled kernels are kept nowhere: FASTCAL_CACHE is off, or no folder can be written")
        with _bar() as tell:
            steps = warming.warm(
                classes=classes or warming.CLASSES,
                dtypes=dtype or warming.DTYPES,
                forms=("logits",) if logits else ("probs",) if probs else warming.FORMS,
                what=what,
                methods=method,
                plain=plain,
                jobs=jobs,
                make=partial(_looks, page=not plain),
                on_step=tell,
            )
        after = compiled.cache()
        n_compiled = sum(step.compiled for step in steps)
        if json is not None:
            found = {
                "seconds": sum(step.seconds for step in steps),
                "compiled": n_compiled,
                "steps": [{"name": step.name, "seconds": step.seconds, "compiled": step.compiled} for step in steps],
                "kernels": after,
            }
            write_json(json, EvaluationReport(found, {}).to_json())
        if str(json) != "-":
            print(f"compiled {n_compiled:,} kernels in {sum(step.seconds for step in steps):.1f} s")
            print(f"compiled kernels: {after['folder']} ({after['files']:,} files, {size(after['bytes'])})")


def _looks(settings: dict[str, Any], *, page: bool) -> Any:
    """The accumulators of ``fastcal report``."""
    from .running import looks_of

    return looks_of(settings, None, page=page)


def _bar() -> Any:
    """What tells of steps on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext(None)
    from .progress import StepProgress

    return StepProgress()
