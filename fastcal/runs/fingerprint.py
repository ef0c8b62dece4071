"""What an input file was when a run read it: enough to notice that it is another one now, without reading all of it."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from .. import engine
from ..dumps import DumpError

# A tenth of a millisecond a file: SHA-256 takes 1.5 GB/s here. Whoever changes a file without its size and its time
# changing has meant to; blocks in between find what was written again with both kept (rsync -t, cp -p).
BLOCK = 64 << 10
BETWEEN = 8
ONE_EVERY = 64 << 20

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Fingerprint:
    """A file's name as given, size, time of change, and the SHA-256 of some of its blocks."""

    name: str
    size: int
    mtime_ns: int
    sha256: str

    @property
    def content(self) -> tuple[int, str]:
        """What a copy of the file has, too."""
        return self.size, self.sha256


def places(size: int, block: int = BLOCK) -> list[int]:
    """Where the blocks start that a file of this size is known by: the first, the last, and some in between."""
    if size <= 2 * block:
        return list(range(0, size, block))
    between = min(BETWEEN, size // ONE_EVERY)
    return [0, *(size * (k + 1) // (between + 1) // 4096 * 4096 for k in range(between)), size - block]


def fingerprint(path: Path) -> Fingerprint:
    """Of a plain file; raises DumpError for one that cannot be read, and for what is no file."""
    try:
        before = path.stat()
        if not stat.S_ISREG(before.st_mode):
            raise DumpError(f"{path} is no plain file")
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            for place in places(before.st_size):
                file.seek(place)
                digest.update(_block(file, min(BLOCK, before.st_size - place)))
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror}") from error
    return Fingerprint(str(path), before.st_size, before.st_mtime_ns, digest.hexdigest())


def _block(file: BinaryIO, n: int) -> bytes:
    """The next n bytes; fewer at the end of a file that has become shorter."""
    parts = []
    while n and (part := file.read(n)):
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def whole(path: Path) -> str:
    """The SHA-256 of all of a file; raises DumpError for one that cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror}") from error


def on_threads(work: Callable[[T], R], of: Sequence[T], n_threads: int | None = None) -> list[R]:
    """``work`` of each, in their order: hashing and waiting for disks leave Python to others."""
    count = min(engine.thread_count(n_threads), len(of))
    if count < 2:
        return [work(one) for one in of]
    with ThreadPoolExecutor(count, thread_name_prefix="fastcal") as pool:
        return list(pool.map(work, of))


class Watched:
    """The plain files of a run, as they were at its start."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = {path: mark for path in paths if (mark := _mark(path)) is not None}

    def check(self) -> None:
        """Raise DumpError where one is not what it was: figures of it would be of no file that ever was."""
        for path, mark in self._seen.items():
            if _mark(path) != mark:
                raise DumpError(f"{path} changed while it was read; there are no figures of it")


def _mark(path: Path) -> tuple[int, ...] | None:
    """Size, time and place on the disk of a plain file; None for what is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None
