"""The commands by name, and how a command line ends."""

from __future__ import annotations

import typer

from .apply import apply
from .check import check
from .compare import compare
from .convert import convert
from .fit import fit
from .info import info
from .merge import merge
from .output import fail
from .report import report
from .warmup import warmup

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def fastcal() -> None:
    """Calibration and uncertainty figures of evaluation dumps."""


for command in (report, fit, apply, check, compare, merge, convert, info, warmup):
    app.command()(command)


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code. A misspelt option is bad input like any other: one line."""
    try:
        ended = app(args=arguments or ["--help"], prog_name="fastcal", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):  # the parser's own errors; where their class lives varies
            raise
        fail(error.format_message())
    return ended if isinstance(ended, int) else 0  # 130 after Ctrl-C, as newer versions of typer end it
