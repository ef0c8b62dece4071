"""Rows so far, their rate, and how long it still takes, on a terminal's standard error."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# Seconds that a rate is of: the last ones, as files differ.
WINDOW = 10.0
STEPS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


class RowProgress:
    """Context manager that yields a function to tell of rows done; ``extent`` says of how many."""

    def __init__(self, extent: Any = None) -> None:
        text = TextColumn("{task.fields[said]}")
        bar = () if extent is None else (BarColumn(20),)
        self._extent = extent
        self._progress = Progress(
            SpinnerColumn(), *bar, text, TimeElapsedColumn(), console=Console(stderr=True), transient=True
        )
        self._rows = 0
        self._seen: deque[tuple[float, int, float]] = deque()  # when, rows, share

    def __enter__(self) -> Callable[[int], None]:
        self._progress.__enter__()
        self._task = self._progress.add_task("rows", total=None, said="0 rows")
        return self.tell

    def tell(self, rows: int) -> None:
        """So many more rows are done."""
        self._rows += rows
        share = None if self._extent is None else self._extent.share(self._rows)
        now = time.monotonic()
        self._seen.append((now, self._rows, share or 0.0))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        self._progress.update(
            self._task, total=None if share is None else 1.0, completed=share or 0.0, said=self._said(share)
        )

    def _said(self, share: float | None) -> str:
        (then, rows_then, share_then), (now, rows, _) = self._seen[0], self._seen[-1]
        seconds, said = now - then, [f"{rows:,} rows"]
        if seconds > 0.5:
            said.append(_rate((rows - rows_then) / seconds, "rows"))
            if share is not None and share > share_then:
                pace = (share - share_then) / seconds
                said.append(_rate(pace * self._extent.n_bytes, "B"))
                said.append(f"{_clock((1 - share) / pace)} left")
        if share is not None:
            said.insert(1, f"{share:.0%}")
        return ", ".join(said)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)


def _rate(number: float, what: str) -> str:
    """So many rows or bytes a second."""
    unit = next((unit for unit in ("", "k", "M") if number < 999.5 * STEPS[unit]), "G")
    between = " " if unit and what != "B" else ""
    return f"{number / STEPS[unit]:.3g} {unit}{between}{what}/s"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class StepProgress:
    """Context manager that yields a function to tell of steps done, each with ``name``, ``number`` and ``total``."""

    def __init__(self) -> None:
        text = TextColumn("{task.fields[said]}")
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(), BarColumn(20), text, TimeElapsedColumn(), console=console, transient=True
        )

    def __enter__(self) -> Callable[[Any], None]:
        self._progress.__enter__()
        self._task = self._progress.add_task("steps", total=None, said="")
        return self.tell

    def tell(self, step: Any) -> None:
        """One more step is done."""
        said = f"{step.number} of {step.total}, {step.name}"
        self._progress.update(self._task, total=step.total, completed=step.number, said=said)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)
