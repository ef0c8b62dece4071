"""``fastcal compare``: which of two models is better calibrated, and is it sure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .output import one_line_errors, progress, write_json


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The dump of one model: a file, a folder or a pattern.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="That of the other, of the same rows in the same order.")],
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    logits_b: Annotated[str | None, typer.Option(metavar="NAME", help="The same of B, if it has another name.")] = None,
    probs_b: Annotated[str | None, typer.Option(metavar="NAME", help="The same of B, if it has another name.")] = None,
    labels_b: Annotated[str | None, typer.Option(metavar="NAME", help="The same of B, if it has another name.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="NAME", help="The array of A that holds sample weights.")
    ] = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    bins: options.Bins = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    threads: options.Threads = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare two models on the same rows: differences A - B with paired intervals.

    The verdict on calibration goes by squared_ce_debiased, which noise does not bias. Either dump may hold logits and
    the other probabilities. Where both are columns of one file, name it twice and say which is whose: --probs and
    --probs-b. Intervals are each at the level, not adjusted for there being several.
    """
    with one_line_errors():
        from ..accumulators.intervals import check_level
        from ..accumulators.paired import PairedAccumulator
        from ..dumps import Roles, open_dumps
        from ..dumps.labels import class_names
        from ..report.paired import show
        from ..runs.comparing import compare_dumps
        from .running import check_apart, check_places, from_logits

        check_level(level)
        check_places(json)
        own_names = logits_b is not None or probs_b is not None
        of_a = Roles(logits, probs, labels, weights, classes=class_names(classes), ignore_index=ignore_index)
        of_b = replace(of_a, labels=labels_b or labels, weights=None)
        of_b = replace(of_b, logits=logits_b, probs=probs_b) if own_names else of_b
        sides = [open_dumps([a], of_a), open_dumps([b], of_b)]
        check_apart([json], [file for side in sides for one in side for file in one.files])
        kinds = from_logits(sides[0]), from_logits(sides[1])
        paired = PairedAccumulator(n_bins=bins, from_logits=kinds, n_threads=threads)
        with progress(quiet=quiet) as on_rows:
            found = compare_dumps(sides[0], sides[1], paired, on_rows).compute(level)
        if json is not None:
            write_json(json, found.to_json())
        if str(json) != "-":
            show(found, *(", ".join(source.name for source in side) for side in sides))
