"""``fastcal merge``: the states of separate runs as one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .output import one_line_errors, write_json


def merge(
    states: Annotated[list[Path], typer.Argument(metavar="STATE...", help="Files that --state wrote, or to_bytes.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the state of all.")
    ] = None,
    json: options.Json = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Take the same input in two states, and count its rows twice.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take runs that ended early, with the rows they saw.")
    ] = False,
) -> None:
    """Report on the rows of several runs, each of which kept its state: shards, or machines.

    The figures have the same bits as those of one run over all rows.
    """
    with one_line_errors():
        from ..accumulators.evaluation_report import EvaluationReport
        from ..dumps import DumpError
        from ..dumps.atomic import write_whole
        from ..dumps.names import listed
        from ..runs import Looks
        from ..runs.merging import merged, open_state, state_bytes
        from .running import check_apart, check_named, check_places, tell

        check_named(output=output)
        check_places(output, json)
        check_apart([output, json], states)
        opened = [open_state(path) for path in states]
        total = merged(opened, allow_overlap=allow_overlap, partial=partial)
        for one in opened:
            if one.is_partial:
                print(f"fastcal: {one.path} is of a run that ended early", file=sys.stderr)
        if output is not None:
            write_whole(output, state_bytes(total, opened))
        computed = total.compute()
        figures = computed if isinstance(total, Looks) else {"report": computed}
        if "report" in figures and hasattr(figures["report"], "reliability"):
            tell(figures, listed([str(path) for path in states]), json)
        elif isinstance(computed, EvaluationReport):
            write_json(json or Path("-"), computed.to_json())
        elif output is None:
            raise DumpError(f"there is no report on a state of {type(total).__name__}; -o FILE keeps what they make")
