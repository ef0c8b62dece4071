"""What every command prints and writes, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn


def fail(message: str) -> NoReturn:
    """One line on standard error, exit code 2; names of files and in files show no control characters."""
    from ..dumps.batches import shown

    print(f"fastcal: {shown(' '.join(message.split()))}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What goes wrong within ends the command with one line and exit code 2; a closed standard output ends it well."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read standard output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError) as error:  # DumpError and DataError are ValueErrors
        fail(str(error).replace("for logits say from_logits=True", "say --logits NAME if these are logits"))
    except ModuleNotFoundError as error:
        fail(str(error))
    except MemoryError:
        fail("not enough memory for a batch of rows")


def progress(extent: Any = None, *, quiet: bool = False) -> Any:
    """Rows and their rate on standard error while a run lasts, where that is a terminal; silent elsewhere.

    ``extent`` says how much there is to be done (see runs/extent.py).
    """
    if quiet or not sys.stderr.isatty():
        return nullcontext(None)
    from .progress import RowProgress

    return RowProgress(extent)


def write_json(path: Path, text: str) -> None:
    """JSON to a file, or to standard output for ``-``."""
    if str(path) == "-":
        print(text)
    else:
        write_atomically(path, text + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; what is no plain file (a pipe, a device) is written to as it is."""
    from ..dumps.atomic import write_whole

    write_whole(path, text.encode())
