"""Text, a block of whole lines at a time: from files, compressed or not, and from streams that are read once."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .batches import DumpError, first_line
from .columns import arrow

# Bytes of text that are parsed at once: two cores read CSV at 440 MB/s in blocks of 4 MB, 500 of 8, 460 of 16.
BLOCK = 4 << 20
HEAD = 1 << 16  # of many files no more than the names of their columns is read when they are opened
# What one thread of pyarrow's takes of a block.
PART = 1 << 20
MAX_LINE = 64 << 20
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_LINE_END = ord("\n")
BOM = b"\xef\xbb\xbf"
_INK = re.compile(rb"\S")
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, n: int, /) -> bytes:
        """The next n bytes, less at the end only, or what there is of them."""


# How many of the bytes from one place to another are lines.
EndOf = Callable[[bytearray, int, int], int]


@dataclass(frozen=True)
class Block:
    """Whole lines, until the next ones are read: into the same memory, whose first use costs more than a copy.

    ``line`` is the number of the first, from 1, and ``n_ends`` the number of line ends, of which the ``last`` block may
    lack its own.
    """

    buffer: bytearray
    start: int
    stop: int
    line: int
    n_ends: int = 0
    last: bool = False

    @property
    def data(self) -> bytes:
        """A copy."""
        return bytes(self.view())

    def view(self) -> memoryview:
        """No copy."""
        return memoryview(self.buffer)[self.start : self.stop]

    def has(self, wanted: bytes) -> bool:
        """Whether some bytes are there."""
        return self.buffer.find(wanted, self.start, self.stop) >= 0


class Lines:
    """Text in UTF-8, read from its first line to its last; ``longest`` bytes may be in a line.

    ``head``: no more than the first lines is wanted.
    """

    def __init__(self, file: Readable, name: str, longest: int = MAX_LINE, *, head: bool = False) -> None:
        self.name = name
        self.longest = longest
        self.line = 1
        self.ended = False
        self.block = min(HEAD, BLOCK) if head else BLOCK
        self._file = _inflated(file, name)
        self._buffer = bytearray(self.block)
        self._start = self._stop = 0  # of what was read, and not taken yet
        self._fill()
        if self.starts_with(*_OTHER_BOMS):
            raise DumpError(f"{name} is UTF-16; expected UTF-8")
        self.has_bom = self.starts_with(BOM)
        self._start += len(BOM) * self.has_bom

    def starts_with(self, *prefixes: bytes) -> bool:
        """Whether one of them comes next."""
        return self._buffer[self._start : min(self._start + 4, self._stop)].startswith(prefixes)

    def skip_blank(self) -> None:
        """Leave out white space before the first line that has more."""
        while True:
            found = _INK.search(self._buffer, self._start, self._stop)
            stop = found.start() if found else self._stop
            end = max(self._buffer.rfind(b"\n", self._start, stop), self._buffer.rfind(b"\r", self._start, stop)) + 1
            self._take(end - self._start if found and end else 0 if found else stop - self._start)
            if found or self.ended:
                return
            self._fill()

    def peek(self, end_of: EndOf) -> Block:
        """The first line: what ``end_of`` says of what is there, or all if it says 0 to the end."""
        while not (n := end_of(self._buffer, self._start, self._stop)) and not self.ended:
            self._fill()
        return Block(self._buffer, self._start, self._start + n if n else self._stop, self.line)

    def first(self, end_of: EndOf) -> Block:
        """The same, taken."""
        block = self.peek(end_of)
        return self._take(block.stop - block.start)

    def blocks(self, end_of: EndOf) -> Generator[Block, None, None]:
        """The rest; ``end_of`` says how many of the bytes that are there are whole lines."""
        while True:
            n = end_of(self._buffer, self._start, self._stop)
            if self.ended:
                break
            if n:
                yield self._take(n)
            self._fill()
        if self._stop > self._start:
            yield self._take(self._stop - self._start, last=True)

    def chunks(self) -> Generator[bytes, None, None]:
        """The rest, wherever its lines end."""
        while self._stop > self._start or not self.ended:
            yield self._take(self._stop - self._start).data
            if not self.ended:
                self._fill()

    def _take(self, n: int, *, last: bool = False) -> Block:
        view = memoryview(self._buffer)[self._start : self._start + n]
        # Five times as fast as bytearray.count.
        n_ends = int(np.count_nonzero(np.frombuffer(view, np.uint8) == _LINE_END)) if n else 0
        block = Block(self._buffer, self._start, self._start + n, self.line, n_ends, last)
        self._start += n
        self.line += n_ends
        return block

    def _fill(self) -> None:
        """Read on, about a block; what no line ends in is bounded."""
        held = self._stop - self._start
        if held >= self.longest:
            raise DumpError(f"{self.name}: line {self.line} is longer than {self.longest >> 20} MB")
        old = self._buffer
        size = max(self.block, 2 * len(old) if held > len(old) // 2 else 0)
        if size > len(old):
            self._buffer = bytearray(size)
        self._buffer[:held] = memoryview(old)[self._start : self._stop]
        self._start, self._stop = 0, held
        with memoryview(self._buffer) as view:
            try:
                while self._stop < len(view) and (n := _read_into(self._file, view[self._stop :])):
                    self._stop += n
            except (OSError, EOFError, ValueError) as error:
                raise DumpError(f"{self.name} is damaged: {first_line(error)}") from error
            self.ended = self._stop < len(view)


def _read_into(file: Any, view: memoryview) -> int:
    if hasattr(file, "readinto"):
        return int(file.readinto(view) or 0)
    part = file.read(len(view))
    view[: len(part)] = part
    return len(part)


def last_line_end(data: bytearray, start: int, stop: int) -> int:
    """How many bytes are whole lines, where a line end is nothing else."""
    return max(data.rfind(b"\n", start, stop) + 1 - start, 0)


def first_line_end(data: bytearray, start: int, stop: int) -> int:
    """How many bytes the first line has, with its end; 0 if that is not there."""
    return max(data.find(b"\n", start, stop) + 1 - start, 0)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Readable]:
    """A file to be read once."""
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below; errors of the caller's are not this file's
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error
    with file:
        yield file


class _Peeked:
    """A stream of which the first bytes were looked at."""

    def __init__(self, first: bytes, file: Any) -> None:
        self._first, self._file = first, file
        self.closed = False  # what pyarrow asks a file for

    def read(self, n: int) -> bytes:
        """See :class:`Readable`."""
        part, self._first = self._first[:n], self._first[n:]
        return part or self._file.read(n)

    def readinto(self, view: memoryview) -> int:
        """The next bytes, into memory that is there; how many."""
        if not self._first:
            return _read_into(self._file, view)
        part = self.read(len(view))
        view[: len(part)] = part
        return len(part)

    def close(self) -> None:
        """The file is closed by who opened it."""


def _inflated(file: Readable, name: str) -> Readable:
    """The text of a stream, which says by its first bytes whether it is compressed."""
    first = b""
    try:
        while len(first) < 4 and (part := file.read(4 - len(first))):
            first += part
    except OSError as error:
        raise DumpError(f"{name} cannot be read: {first_line(error)}") from error
    peeked = _Peeked(first, file)
    for magic, codec in _CODECS.items():
        if first.startswith(magic):
            pa = arrow(name)
            inflated: Readable = pa.CompressedInputStream(pa.PythonFile(peeked, "r"), codec)
            return inflated
    return peeked
