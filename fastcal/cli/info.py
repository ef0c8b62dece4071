"""``fastcal info``: what is installed here, and what a file holds."""

from __future__ import annotations

from . import options
from .output import one_line_errors, write_json


def info(
    files: options.DumpsOrNone = None,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    groups: options.Groups = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    json: options.Json = None,
) -> None:
    """Say what is installed, or what files hold.

    Without a file: versions, extras, threads, memory, and where compiled kernels are kept. With files: of a dump its
    rows, arrays and which of them is taken as what, by name or flag; of a state its settings and its run; of a
    calibrator its method and what was fitted.
    """
    with one_line_errors():
        from ..accumulators.evaluation_report import EvaluationReport
        from ..dumps import Roles
        from ..dumps.labels import class_names
        from ..report.info import show_environment, show_files
        from ..runs import info as looked
        from .running import check_apart, check_places

        check_places(json)
        check_apart([json], files or [])
        if files:
            found = looked.files(
                files, Roles(logits, probs, labels, weights, groups, class_names(classes), ignore_index)
            )
            whole = {"files": found}
        else:
            whole = looked.environment()
        if json is not None:
            write_json(json, EvaluationReport(whole, {}).to_json())
        if str(json) == "-":
            return
        if files:
            show_files(found)
        else:
            show_environment(whole)
