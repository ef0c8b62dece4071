"""Where figures come from: files, versions, options, time."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..dumps import Dump
from .fingerprint import fingerprint, on_threads, whole

# Files up to here are hashed as a whole: 40 ms at 1.5 GB/s.
HASHED_WHOLE = 64 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file that was read; ``sampled`` says that its hash is of some of its blocks only."""

    name: str
    size: int
    sha256: str
    sampled: bool


@dataclass(frozen=True)
class Provenance:
    """What somebody needs to get the same figures again, and to know of which rows they are.

    ``options`` as given on the command line; ``convention`` is that of bins; ``started`` is UTC, ISO 8601; ``seconds``
    is how long all parts of the run took together, and 0 where that is not known.
    """

    files: list[SourceFile]
    version: str
    versions: dict[str, str]
    options: dict[str, Any]
    convention: str
    n_rows: int
    started: str
    seconds: float
    command: str = ""

    @property
    def rows_per_second(self) -> float:
        """NaN where the time is not known."""
        return self.n_rows / self.seconds if self.seconds > 0 else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain Python."""
        return asdict(self)


def source_files(dumps: Iterable[Dump], n_threads: int | None = None) -> list[SourceFile]:
    """The plain files of dumps, each once, in order; raises DumpError for one that cannot be read."""
    paths = list(dict.fromkeys(path for dump in dumps for path in dump.files))
    return on_threads(_source_file, [path for path in paths if path.is_file()], n_threads)


def _source_file(path: Path) -> SourceFile:
    found = fingerprint(path)
    sampled = found.size > HASHED_WHOLE
    return SourceFile(str(path), found.size, found.sha256 if sampled else whole(path), sampled)


def provenance(
    dumps: Iterable[Dump],
    *,
    options: Mapping[str, Any],
    convention: str,
    n_rows: int,
    started: str,
    seconds: float,
    command: str = "",
    n_threads: int | None = None,
) -> Provenance:
    """Of a run over ``dumps``; the versions are those of this process."""
    import numpy

    from .. import __version__

    return Provenance(
        files=source_files(dumps, n_threads),
        version=__version__,
        versions={"python": platform.python_version(), "numpy": numpy.__version__, "numba": _version("numba")},
        options=dict(options),
        convention=convention,
        n_rows=n_rows,
        started=started,
        seconds=seconds,
        command=command,
    )


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
