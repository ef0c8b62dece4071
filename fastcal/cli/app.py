"""The commands and their options."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def fastcal() -> None:
    """Calibration and uncertainty figures of evaluation dumps."""


@app.command()
def report(
    dumps: Annotated[
        list[Path] | None, typer.Argument(metavar="DUMP...", help=".npz, .parquet, or .npy files.")
    ] = None,
    logits: Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds logits.")] = None,
    probs: Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds probabilities.")] = None,
    labels: Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds labels.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds sample weights.")] = None,
    groups: Annotated[str | None, typer.Option(metavar="NAME", help="The array that holds slices.")] = None,
    bins: Annotated[int | None, typer.Option(help="Bins of the reliability curve, 15 by default.")] = None,
    convention: Annotated[str | None, typer.Option(help="Bins as another system has them: guo, netcal, ...")] = None,
    bootstrap: Annotated[int | None, typer.Option(metavar="SEED", help="Bootstrap intervals, too.")] = None,
    nan_policy: Annotated[str, typer.Option(help="Rows with NaN: raise, omit or propagate.")] = "raise",
    threads: Annotated[int | None, typer.Option(help="Threads; all cores by default.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures as JSON.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Report on the bundled dump.")] = False,
) -> None:
    """Calibration report of a dump: figures and reliability bins.

    Arrays are found by name (logits, probs, labels) or by flag. In Parquet, scores are a list column, columns NAME_0,
    NAME_1, ... or a list of columns with commas between.
    """
    from ..accumulators.evaluation import Evaluation
    from ..arrays import NanPolicy
    from ..dumps import DumpError, Roles, open_dumps
    from ..dumps.opening import SAMPLE
    from ..report.terminal import show
    from ..runs import evaluate

    if sample == bool(dumps):
        fail("name a dump, or say --sample" if not sample else "--sample takes no dump")
    paths = [SAMPLE] if sample else list(dumps or [])
    try:
        sources = open_dumps(paths, Roles(logits, probs, labels, weights, groups))
        kinds = {source.roles.from_logits for source in sources}
        if len(kinds) > 1:
            fail("some dumps hold logits and some probabilities; report on them apart")
        evaluation = Evaluation(
            n_bins=bins,
            convention=convention,
            groups=groups is not None,
            bootstrap=bootstrap,
            from_logits=kinds.pop(),
            nan_policy=cast(NanPolicy, nan_policy),
            n_threads=threads,
        )
        with progress() as on_rows:
            result = evaluate(sources, evaluation, on_rows).compute()
        if json is not None:
            write_atomically(json, result.to_json() + "\n")
        title = "bundled sample: handwritten digits" if sample else ", ".join(source.name for source in sources)
        show(result, title)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read standard output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (DumpError, ValueError, OSError) as error:
        fail(str(error))
    except MemoryError:
        fail("not enough memory for a batch of rows")


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code. A misspelt option is bad input like any other: one line."""
    try:
        app(args=arguments or ["--help"], prog_name="fastcal", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):  # the parser's own errors; where their class lives varies
            raise
        fail(error.format_message())
    return 0


def progress() -> Any:
    """A count of rows on standard error while a run lasts, where that is a terminal; silent elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext(None)
    from .progress import RowProgress

    return RowProgress()


def fail(message: str) -> NoReturn:
    """One line on standard error, exit code 2."""
    print(f"fastcal: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def write_atomically(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; what is no plain file (a pipe, a device) is written to as it is."""
    path = path.resolve()
    temporary = path.with_name(f".fastcal-{os.getpid()}.tmp")
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror}") from error
