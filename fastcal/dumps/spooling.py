"""Standard input, and other pipes: read once. Its format is told by how it begins.

Text and Arrow streams are read as they come. Formats whose end says what is in them go to a temporary file first.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from . import arrow, formats, safetensors
from .batches import Dump, DumpError
from .names import Roles

_MAGIC = {b"PAR1": ".parquet", b"PK\x03\x04": ".npz", b"PK\x05\x06": ".npz", arrow.FILE_MAGIC: ".arrow"}
_ARRAY = b"\x93NUMPY"
_N_FIRST = 9
_PART = 1 << 20


class Begun:
    """A stream of which the first bytes were read."""

    closed = False

    def __init__(self, first: bytes, stream: Any) -> None:
        self._first = first
        self._stream = stream

    def read(self, n: int = -1) -> bytes:
        """``n`` bytes, or all: fewer only where it ends."""
        part = self._first if n < 0 else self._first[:n]
        self._first = self._first[len(part) :]
        return part + bytes(self._stream.read(n if n < 0 else n - len(part)))

    def close(self) -> None:
        """The stream is closed by who opened it."""


def open_stream(path: Path, asked: Roles) -> Dump:
    """The dump in standard input for ``-``, or in a pipe. Raises DumpError."""
    is_input = str(path) == "-"
    name = "standard input" if is_input else str(path)
    if is_input and sys.stdin.isatty():
        raise DumpError("standard input is a terminal; name a file, or send one with <")
    try:
        stream = sys.stdin.buffer if is_input else open(path, "rb")  # noqa: SIM115 - read when the dump is
        first = b""
        while len(first) < _N_FIRST and (part := stream.read(_N_FIRST - len(first))):
            first += part
    except OSError as error:
        raise DumpError(f"{name} cannot be read: {error.strerror}") from error
    if not first:
        raise DumpError(f"{name} is empty")
    if first.startswith(_ARRAY):
        raise DumpError(f"{name} is a single .npy array; scores and labels come together in a .npz")
    dump = _begun(Begun(first, stream), first, name, asked)
    if not is_input:
        weakref.finalize(dump, stream.close)
    return dump


def _begun(stream: Begun, first: bytes, name: str, asked: Roles) -> Dump:
    """The dump in a stream that begins with ``first``."""
    if first.startswith(arrow.STREAM_MAGIC):
        return arrow.open_stream(stream, name, asked)
    suffix = next((suffix for magic, suffix in _MAGIC.items() if first.startswith(magic)), None)
    if suffix is None and first[8:9] == b"{" and int.from_bytes(first[:8], "little") <= safetensors.MAX_HEADER:
        suffix = ".safetensors"
    if suffix is not None:
        return _spooled(stream, name, suffix, asked)
    from .streams import open_text

    return open_text(stream, name, asked)  # type: ignore[arg-type]  # it reads, and nothing else


def _spooled(stream: Any, name: str, suffix: str, asked: Roles) -> Dump:
    """The dump in a temporary file, which goes when the dump does."""
    try:
        descriptor, made = tempfile.mkstemp(suffix, "fastcal-")
    except OSError as error:
        raise DumpError(f"{name} cannot be kept in {tempfile.gettempdir()}: {error.strerror}") from error
    path = Path(made)
    try:
        file: IO[bytes]
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(stream, file, _PART)
        dump: Dump = formats.reader(suffix).open_dump(path, asked)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, DumpError):
            raise DumpError(str(error).replace(made, name)) from error
        if isinstance(error, OSError):
            raise DumpError(f"{name} cannot be kept in {path.parent}: {error.strerror}") from error
        raise
    dump.name = name
    dump.files = ()
    weakref.finalize(dump, _remove, made, os.getpid())
    return dump


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # not what a fork has of it
        with suppress(OSError):
            os.unlink(path)
