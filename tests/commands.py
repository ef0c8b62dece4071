"""A command line run in this process: its exit code, and what it printed on either stream."""

from __future__ import annotations

import functools
from typing import NamedTuple


class Done(NamedTuple):
    code: int
    out: str
    err: str


@functools.cache
def keep_parser() -> None:
    """Have typer make its parsers once, not in each call: that takes longer than most of what is done here."""
    import typer.main

    typer.main.get_command = functools.cache(typer.main.get_command)


def command(capsys, *arguments) -> Done:
    """Run ``fastcal`` with these arguments."""
    from fastcal.cli.app import run

    keep_parser()
    capsys.readouterr()
    try:
        code = run([str(one) for one in arguments])
    except SystemExit as end:
        code = end.code or 0
    printed = capsys.readouterr()
    return Done(code, printed.out, printed.err)


def fails(done: Done, *words) -> None:
    """Bad input: exit code 2, nothing on standard output, one line on standard error with these words."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("fastcal: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err
