"""Ctrl-C and SIGTERM: the run ends after its batches, its checkpoint is written, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would be."""


@contextmanager
def stoppable(state: Path | None = None) -> Iterator[None]:
    """Ends the command with exit code 130 after Ctrl-C within, and 143 after SIGTERM."""
    before = None
    with suppress(ValueError):  # signals are the main thread's
        before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = state is not None and state.is_file()
        said = f"stopped; {state} holds what is done, the same command goes on from there" if kept else "stopped"
        print(f"fastcal: {said}", file=sys.stderr)
        _end(143 if isinstance(stop, Terminated) else 130)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: Any) -> NoReturn:  # noqa: ARG001 - as signals call it
    raise Terminated


def _end(code: int) -> NoReturn:
    """Leave, also where a thread still waits for a pipe: the interpreter's own end would wait for it, or abort."""
    if any(thread.name.startswith("fastcal") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)
