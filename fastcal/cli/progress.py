"""Rows so far and their rate, on a terminal's standard error."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class RowProgress:
    """Context manager that yields a function to tell of rows done."""

    def __init__(self) -> None:
        columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Callable[[int], None]:
        self._progress.__enter__()
        task = self._progress.add_task("rows", total=None)
        return lambda rows: self._progress.advance(task, rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)
