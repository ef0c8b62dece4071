"""``fastcal info``: what is installed here, and what a file holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import options
from .output import fail, one_line_errors, write_json


def info(
    files: options.DumpsOrNone = None,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    groups: options.Groups = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="Each compiled kernel, the slowest to compile first.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove compiled kernels that nothing here can use.")] = False,
    json: options.Json = None,
) -> None:
    """Say what is installed, or what files hold.

    Without a file: versions, extras, threads, memory, and where compiled kernels are kept, with what they took to
    compile, each of them with --kernels or in --json. With files: of a dump its
    rows, arrays and which of them is taken as what, by name or flag; of a state its settings and its run; of a
    calibrator its method and what was fitted.
    """
    if files and (kernels or prune):
        fail("--kernels and --prune are about compiled kernels, not about files")
    with one_line_errors():
        from ..accumulators.evaluation_report import EvaluationReport
        from ..dumps import Roles
        from ..dumps.labels import class_names
        from ..report.info import show_environment, show_files, show_kernels
        from ..runs import compiled
        from ..runs import info as looked
        from .running import check_apart, check_places

        check_places(json)
        check_apart([json], files or [])
        if files:
            found = looked.files(
                files, Roles(logits, probs, labels, weights, groups, class_names(classes), ignore_index)
            )
            whole: dict[str, Any] = {"files": found}
        else:
            removed = compiled.prune() if prune else None
            whole = looked.environment()
        if json is not None:
            write_json(json, EvaluationReport(whole, {}).to_json())
        if str(json) == "-":
            return
        if files:
            show_files(found)
        else:
            show_environment(whole)
            if removed is not None:
                print(f"removed {removed:,} files that nothing here can use")
            if kernels:
                show_kernels(whole["kernels"]["entries"])
