"""``fastcal report``: figures and reliability bins of dumps."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from . import options
from .output import fail, one_line_errors, progress, write_json


def report(
    dumps: options.DumpsOrNone = None,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    groups: options.Groups = None,
    bins: options.Bins = None,
    convention: options.Convention = None,
    bootstrap: options.Bootstrap = None,
    nan_policy: options.NanPolicyOption = "raise",
    threads: options.Threads = None,
    json: options.Json = None,
    sample: Annotated[bool, typer.Option("--sample", help="Report on the bundled dump.")] = False,
) -> None:
    """Calibration report of a dump: figures and reliability bins.

    Arrays are found by name (logits, probs, labels) or by flag. In Parquet, scores are a list column, columns NAME_0,
    NAME_1, ... or a list of columns with commas between.
    """
    if sample == bool(dumps):
        fail("name a dump, or say --sample" if not sample else "--sample takes no dump")
    with one_line_errors():
        from ..accumulators.evaluation import Evaluation
        from ..arrays import NanPolicy
        from ..dumps import Roles, open_dumps
        from ..dumps.opening import SAMPLE
        from ..report.terminal import show
        from ..runs import evaluate

        paths = [SAMPLE] if sample else list(dumps or [])
        sources = open_dumps(paths, Roles(logits, probs, labels, weights, groups))
        kinds = {source.roles.from_logits for source in sources}
        if len(kinds) > 1:
            fail("some dumps hold logits and some probabilities; report on them apart")
        evaluation = Evaluation(
            n_bins=bins,
            convention=convention,
            groups=groups is not None,
            bootstrap=bootstrap,
            from_logits=kinds.pop(),
            nan_policy=cast(NanPolicy, nan_policy),
            n_threads=threads,
        )
        with progress() as on_rows:
            result = evaluate(sources, evaluation, on_rows).compute()
        if json is not None:
            write_json(json, result.to_json())
        title = "bundled sample: handwritten digits" if sample else ", ".join(source.name for source in sources)
        show(result, title)
