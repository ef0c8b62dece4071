"""Options that several commands take, spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import fail

DUMPS_HELP = "Files, folders, patterns, or - for standard input."

Dumps = Annotated[list[Path], typer.Argument(metavar="DUMP...", help=DUMPS_HELP)]
DumpsOrNone = Annotated[list[Path] | None, typer.Argument(metavar="DUMP...", help=DUMPS_HELP)]
Sample = Annotated[bool, typer.Option("--sample", help="The bundled dump: logits of handwritten digits.")]
Logits = Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds logits.")]
Probs = Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds probabilities.")]
Labels = Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds labels.")]
Weights = Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds sample weights.")]
Groups = Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds slices.")]
Classes = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="What labels are called as text, in the order of the columns.")
]
IgnoreIndex = Annotated[int | None, typer.Option("--ignore-index", metavar="LABEL", help="Leave out rows so labelled.")]
Bins = Annotated[int | None, typer.Option(help="Bins of the reliability curve, 15 by default.")]
Convention = Annotated[str | None, typer.Option(help="Bins as another system has them: guo, netcal, ...")]
Bootstrap = Annotated[int | None, typer.Option(metavar="SEED", help="Bootstrap intervals, too.")]
NanPolicyOption = Annotated[str, typer.Option("--nan-policy", help="Rows with NaN: raise, omit or propagate.")]
Threads = Annotated[int | None, typer.Option(help="Threads; all cores by default.")]
Json = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures as JSON; - for standard output.")]
State = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Checkpoints: run again, the same command goes on from there.")
]
Every = Annotated[float, typer.Option(metavar="SECONDS", help="Time between checkpoints.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on a terminal.")]
CalibratorFile = Annotated[
    Path | None, typer.Option("--calibrator", metavar="FILE", help="Figures after this calibrator, too.")
]
Html = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with everything that there is to see.")]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes on this machine that share the work.")]
DaskAddress = Annotated[str | None, typer.Option("--dask", metavar="ADDRESS", help="A Dask cluster to run on.")]


def named(dumps: list[Path] | None, *, sample: bool) -> list[Path]:
    """The dumps that a command is given, or the bundled one; ends with a line where it is neither or both."""
    if sample == bool(dumps):
        fail("--sample takes no dump" if sample else "name a dump, or say --sample")
    if not dumps:
        from ..dumps.opening import SAMPLE

        return [SAMPLE]
    return dumps
