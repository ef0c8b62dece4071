"""``fastcal check``: thresholds that a model has to hold, for CI."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, cast

import typer

from . import options
from .output import one_line_errors, write_atomically, write_json

Limits = list[str] | None


def check(
    dumps: options.DumpsOrNone = None,
    most: Annotated[
        Limits, typer.Option("--max", metavar="NAME=NUMBER", help="The most that a figure may be, as ece=0.05.")
    ] = None,
    least: Annotated[
        Limits, typer.Option("--min", metavar="NAME=NUMBER", help="The least that a figure may be, as accuracy=.9.")
    ] = None,
    confident: Annotated[
        bool, typer.Option("--confident", help="Hold the unfavourable end of the 95 % interval to it.")
    ] = False,
    groups: Annotated[
        str | None, typer.Option(metavar="NAME", help="The array that holds slices: thresholds are for each of them.")
    ] = None,
    least_rows: Annotated[int, typer.Option(metavar="N", help="Leave out groups of fewer rows.")] = 0,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    bins: options.Bins = None,
    convention: options.Convention = None,
    bootstrap: Annotated[
        int | None, typer.Option(metavar="SEED", help="Of the bootstrap, where an interval needs it; 0 by default.")
    ] = None,
    nan_policy: options.NanPolicyOption = "raise",
    threads: options.Threads = None,
    state: options.State = None,
    every: options.Every = 5.0,
    workers: options.Workers = None,
    dask: options.DaskAddress = None,
    quiet: options.Quiet = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write verdicts as JUnit XML.")] = None,
    json: options.Json = None,
    sample: options.Sample = False,
) -> None:
    """Hold the figures of a dump to thresholds: exit code 0 where all hold, 1 where one falls short, 2 for bad input.

    Any figure of the report by its name in --json: --max ece=0.05,nll=0.3 --min accuracy=0.9. Prints a summary in
    Markdown, for "$GITHUB_STEP_SUMMARY" and its like. A figure that cannot be computed is bad input.

    --confident holds the unfavourable end of its 95 % interval to the threshold: accuracy by Wilson's, nll and brier by
    the normal interval, squared_ce_debiased, rmsce and rmsce_debiased by that of the debiased squared error, ece by its
    normal interval where every bin's gap exceeds 3 standard errors and else by the root of that of
    squared_ce_debiased, which ECE does not exceed; others by bootstrap. Counts are taken as they are.

    --groups holds every group to every threshold, each by its own bound: a check that passes wrongly has passed its
    worst group wrongly, however many there are. Groups of too few rows to be sure fail with --confident; --least-rows
    leaves them out.
    """
    paths = options.named(dumps, sample=sample)
    with one_line_errors():
        from ..accumulators.evaluation import LEVEL
        from ..arrays import NanPolicy
        from ..dumps import Roles, open_dumps
        from ..dumps.labels import class_names
        from ..dumps.names import listed
        from ..report.checked import as_json, as_junit, as_markdown
        from ..runs import checking
        from .running import check_apart, check_named, check_places, from_logits, looks_of, run_of

        check_named(junit=junit, state=state)
        check_places(junit, json)
        asked = checking.thresholds(most or [], least or [])
        grouped = groups is not None
        if least_rows and not grouped:
            raise ValueError("--least-rows is of groups; say --groups NAME")
        roles = Roles(logits, probs, labels, weights, groups, class_names(classes), ignore_index)
        sources = open_dumps(paths, roles)
        check_apart([junit, json, state], [file for one in sources for file in one.files])
        resampled = confident and not grouped and checking.needs_bootstrap(asked)
        settings = {
            "n_bins": bins,
            "convention": convention,
            "groups": grouped,
            "bootstrap": (bootstrap or 0) if resampled else None,
            "from_logits": from_logits(sources),
            "nan_policy": cast(NanPolicy, nan_policy),
            "n_threads": threads,
        }
        looks = looks_of(settings, None, page=False)
        known = checking.figures(looks.compute()["report"], groups=grouped)
        checking.check_names(asked, known, confident=confident, groups=grouped)
        run = run_of(sources, looks, threads=threads, state=state, every=every, workers=workers, dask=dask, quiet=quiet)
        report = run.accumulator.compute()["report"]
        left_out = 0
        if grouped:
            outcomes, left_out = checking.judged_groups(report, asked, confident=confident, least_rows=least_rows)
        else:
            outcomes = checking.judged(report, asked, confident=confident)
        level = LEVEL if confident else None
        if junit is not None:
            write_atomically(junit, as_junit(outcomes))
        if json is not None:
            write_json(json, as_json(outcomes, level, left_out))
        if str(json) != "-":
            title = "bundled sample" if sample else listed([source.name for source in sources])
            if isinstance(sys.stdout, TextIOWrapper):  # a name that the terminal's encoding lacks is still Markdown
                sys.stdout.reconfigure(errors="xmlcharrefreplace")
            print(as_markdown(outcomes, title, level, left_out))
    if not all(one.holds for one in outcomes):
        raise SystemExit(1)
