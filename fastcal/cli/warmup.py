"""``fastcal warmup``: compiles kernels before they are needed, as in the making of a container image."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .output import fail, one_line_errors, write_json

Names = list[str] | None


def warmup(
    classes: Annotated[
        list[int] | None, typer.Option(metavar="K", help="Columns of scores, 1 for binary ones; 1, 2, 10 and 100.")
    ] = None,
    dtype: Annotated[Names, typer.Option(metavar="DTYPE", help="float16, float32 or float64; the latter two.")] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Logits only.")] = False,
    probs: Annotated[bool, typer.Option("--probs", help="Probabilities only.")] = False,
    method: Annotated[Names, typer.Option(metavar="METHOD", help="Calibrators to fit and apply; all of them.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without weights, groups, bootstraps, comparisons, and fits not named.")
    ] = False,
    json: options.Json = None,
) -> None:
    """Compile the kernels that reports, fits and comparisons use, so that the first run starts warm.

    What is compiled is kept where NUMBA_CACHE_DIR says, or beside the package. Everything takes some minutes; options,
    which may be repeated, say what is needed.
    """
    if logits and probs:
        fail("--logits and --probs both leave the other out")
    with one_line_errors():
        from ..accumulators.evaluation_report import EvaluationReport
        from ..report.info import size
        from ..runs import info, warming
        from .running import check_places, looks_of

        check_places(json)
        before = info.cache()
        if before["folder"] is None:
            fail("compiled kernels are kept nowhere: FASTCAL_CACHE is off, or no folder can be written")
        silent = str(json) == "-"
        steps = warming.warm(
            classes=classes or warming.CLASSES,
            dtypes=dtype or warming.DTYPES,
            forms=("logits",) if logits else ("probs",) if probs else warming.FORMS,
            methods=method,
            plain=plain,
            make=lambda settings: looks_of(settings, None, page=not plain),
            on_step=None if silent else lambda step: print(f"{step.seconds:7.2f} s  {step.name}", flush=True),
        )
        after = info.cache()
        if json is not None:
            seconds = sum(step.seconds for step in steps)
            found = {
                "seconds": seconds,
                "steps": [{"name": step.name, "seconds": step.seconds} for step in steps],
                "kernels": {**after, "new_files": after["files"] - before["files"]},
            }
            write_json(json, EvaluationReport(found, {}).to_json())
        if not silent:
            new = after["files"] - before["files"]
            print(
                f"compiled kernels: {after['folder']} ({after['files']:,} files, {size(after['bytes'])}; {new:,} new)"
            )
