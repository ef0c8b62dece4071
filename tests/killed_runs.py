"""``fastcal`` in processes to be killed."""

from __future__ import annotations

import os
import sys
import time

from forked import CONTEXT

from fastcal.cli import main


def command(arguments, out):
    """The whole command line of a process, with its output in a file."""
    handle = os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(k), "w", encoding="utf-8") for k in (1, 2))
    sys.argv = ["fastcal", *map(str, arguments)]
    os.environ["COLUMNS"] = "100"
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def start(*arguments, out):
    """A process that runs a command."""
    process = CONTEXT.Process(target=command, args=(arguments, out), daemon=True)
    process.start()
    return process


def wait_until(true, process, seconds=20.0):
    """Wait until something is so, or the process has ended; returns whether it is so."""
    end = time.monotonic() + seconds
    while not (found := true()) and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)
    return found or true()
