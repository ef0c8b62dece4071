"""What commands that go through dumps have in common: where the work is done, and what is written of it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import progress, write_atomically, write_json
from .stopping import stoppable

if TYPE_CHECKING:
    from ..accumulators.evaluation_report import EvaluationReport
    from ..calibrators.base import Calibrator
    from ..dumps import Dump
    from ..runs import Looks, Run


def from_logits(sources: Sequence[Dump]) -> bool:
    """Whether the scores of all dumps are logits."""
    from ..dumps import DumpError

    kinds = {source.roles.from_logits for source in sources}
    if len(kinds) != 1:
        raise DumpError("some dumps hold logits and some probabilities; report on them apart" if kinds else "no dump")
    return kinds.pop()


def check_places(*paths: Path | None) -> None:
    """Raise OSError for a file that cannot be written, before hours of work and not after."""
    from ..dumps.atomic import destination, is_plain

    for path in paths:
        if path is not None and str(path) != "-" and is_plain(path):
            destination(path)


def check_named(**files: Path | None) -> None:
    """Raise ValueError for ``-`` where it would not be standard output, which others write to, but a file's name."""
    for option, path in files.items():
        if str(path) == "-":
            raise ValueError(f"--{option} needs a file, not standard output")


def check_apart(written: Iterable[Path | None], read: Iterable[Path]) -> None:
    """Raise ValueError for a file to be written that is read, or is to be written twice, by whatever names."""
    from ..dumps.atomic import is_plain

    taken = {_identity(path): "is read" for path in read}
    for path in written:
        if path is not None and str(path) != "-" and is_plain(path):
            identity = _identity(path)
            if identity in taken:
                raise ValueError(f"{path} {taken[identity]}; write to another place")
            taken[identity] = "would be written twice"


def _identity(path: Path) -> object:
    """What tells a file from others, whatever it is called: its place on the disk, or where it would be made."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def looks_of(settings: Mapping[str, Any], calibrator: Calibrator | None, *, page: bool) -> Looks:
    """The accumulators of a report; more of them for a page."""
    if page or calibrator is not None:
        from ..report.html import looks_for

        return looks_for(settings, calibrator, page=page)
    from ..accumulators.evaluation import Evaluation
    from ..runs import Looks

    return Looks({"report": Evaluation(**settings)})


def run_of(
    sources: Sequence[Dump],
    looks: Looks,
    *,
    threads: int | None = None,
    state: Path | None = None,
    every: float = 5.0,
    workers: int | None = None,
    dask: str | None = None,
    quiet: bool = False,
) -> Run:
    """Every row of the dumps through the accumulators, with progress and checkpoints; Ctrl-C ends the command."""
    from ..dumps import DumpError
    from ..runs import Run

    cluster = None
    if workers is not None or dask is not None:
        if workers is not None and dask is not None:
            raise DumpError("--workers starts processes here, --dask names others; say one of them")
        from ..integrations.dask_cluster import run_on_cluster

        cluster = partial(run_on_cluster, workers=workers, address=dask)
    run = Run(sources, looks, n_threads=threads, state=state, every=every, cluster=cluster)
    with stoppable(state), progress(run.extent, quiet=quiet) as on_rows:
        run.go(on_rows)
    return run


def finish(
    run: Run, title: str, settings: Mapping[str, Any], *, html: Path | None = None, json: Path | None = None
) -> None:
    """Write a page and JSON, where asked for, and print the report."""
    from ..runs.provenance import provenance

    figures = run.accumulator.compute()
    if html is not None:
        from ..report.html import page

        options = {name: value for name, value in settings.items() if value not in (None, False)}
        origin = provenance(
            run.dumps,
            options=options,
            convention=str(figures["report"]["convention"]),
            n_rows=run.n_rows,
            started=run.started,
            seconds=run.seconds,
            command=shlex.join(["fastcal", *sys.argv[1:]]),
        )
        write_atomically(html, page(figures, origin, title))
    tell(figures, title, json)


def tell(figures: Mapping[str, EvaluationReport], title: str, json: Path | None = None) -> None:
    """Write the figures as JSON, where asked for, and print them; those after a calibrator below."""
    from ..accumulators.evaluation_report import EvaluationReport
    from ..report.terminal import show

    report, after = figures["report"], figures.get("after")
    if json is not None:
        both = report if after is None else EvaluationReport({**report, "calibrated": after}, report.descriptions)
        write_json(json, both.to_json())
    show(report, title)
    if after is not None:
        print()
        show(after, f"{title}, calibrated")
