"""Dumps for tests of clusters, which workers can import: of rows in memory, in pieces, as slow or broken as wanted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fastcal.dumps import Batch, Dump, DumpError, Piece, Roles


@dataclass
class HeldDump(Dump):
    """Rows in memory; ``file`` is there for workers to look for."""

    labels: np.ndarray
    scores: np.ndarray
    file: Path
    step: int
    counted: bool = True  # whether pieces say how many rows they have
    seconds: float = 0.0  # that each takes
    broken: tuple[int, ...] = ()  # pieces that cannot be read
    name: str = "held"
    roles: Roles = field(default_factory=lambda: Roles(probs="probs", labels="labels"))

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.file,)

    def pieces(self) -> list[Piece]:
        n, step = len(self.labels), self.step
        sizes = [min(start + step, n) - start for start in range(0, n, step)]
        return [Piece(k, k + 1, k * step, size if self.counted else None) for k, size in enumerate(sizes)]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        time.sleep(self.seconds)
        if piece.start in self.broken:
            raise DumpError(f"{self.name}: piece {piece.start} is damaged")
        rows = slice(piece.start * self.step + skip, piece.stop * self.step)
        yield Batch(self.labels[rows], self.scores[rows])


def deadly(batch: tuple[np.ndarray, np.ndarray], file: Path) -> tuple[np.ndarray, np.ndarray]:
    """A batch, or the end of the first process that is asked for one, as if memory had been short."""
    if not file.exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return batch
