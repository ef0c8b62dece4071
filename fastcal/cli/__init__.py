"""The command ``fastcal``: argument parsing and printing only."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the terminal's libraries are loaded here, and an installation without them is told so."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        print('fastcal: the command line needs typer and rich: install "fastcal[cli]"', file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(run(sys.argv[1:]))
