"""``fastcal convert``: the rows of dumps as one file of another format."""

from __future__ import annotations

import json as js
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .output import one_line_errors, progress, write_json
from .stopping import stoppable


def convert(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="A file; without a suffix, a folder of .npy files.")
    ],
    dumps: options.DumpsOrNone = None,
    logits: options.Logits = None,
    probs: options.Probs = None,
    labels: options.Labels = None,
    weights: options.Weights = None,
    groups: options.Groups = None,
    classes: options.Classes = None,
    ignore_index: options.IgnoreIndex = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Scores alone: the dumps need have no labels.")
    ] = False,
    dtype: Annotated[str | None, typer.Option(help="Of the scores: float16, float32 or float64.")] = None,
    row_group_rows: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows of a row group of Parquet, or batch of Arrow.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json: options.Json = None,
    quiet: options.Quiet = False,
    sample: options.Sample = False,
) -> None:
    """Write the rows of any dumps, one after the other, in the format of OUT's suffix.

    .parquet, .arrow, .feather, .arrows, .npz, .safetensors, .csv, .tsv and .jsonl (text also with .gz or .zst), under
    the names logits or probs, labels, weights and groups. Text labels become their numbers; ignored rows are left out.
    """
    paths = options.named(dumps, sample=sample)
    with one_line_errors():
        from ..dumps import Roles, open_dumps
        from ..dumps.atomic import destination
        from ..dumps.labels import class_names
        from ..dumps.writing import convert as write
        from .running import check_apart, check_places

        if no_labels and labels is not None:
            raise ValueError("--labels and --no-labels are both given")
        names = class_names(classes)
        asked = Roles(logits, probs, labels, weights, groups, names, ignore_index, need_labels=not no_labels)
        if output.suffix:
            destination(output, replace=force)
        check_places(json)
        sources = open_dumps(paths, asked)
        check_apart([output, json], [file for source in sources for file in source.files])
        with stoppable(), progress(quiet=quiet) as on_rows:
            rows = write(sources, output, dtype=dtype, group_rows=row_group_rows, replace=force, on_rows=on_rows)
        if json is not None:
            write_json(json, js.dumps({"output": str(output), "rows": rows, "dumps": [one.name for one in sources]}))
        if str(json) != "-":
            from ..dumps.batches import shown

            print(f"{shown(output)}: {rows:,} rows")
