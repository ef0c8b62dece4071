"""Compiled kernels on disk: a file an entry, there whole or not at all, so that any number of processes may share them.

Numba's own cache keeps an index a function, which two processes read, change and write: one's entry is lost, and as
both number their files alike an index may even name the other's code. Here a name says all that an entry depends on,
and nothing is changed once it is there. An entry is a line with the hash of what follows, a line of JSON, which tells
what it is, and how long it took to compile, without running anything of it, and the code.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pickle
import stat
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, time
from typing import Any

import llvmlite
import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

SUFFIX = ".kernel"
UNFINISHED = ".unfinished"
IN_TREE = Path(__file__).parent / "__pycache__"
STAMP_DIGITS = 12
LONGEST = 600.0  # seconds that a file may take to be written
# What code depends on beside the kernels' source and the processor.
MAKERS = {
    "numba": numba.__version__,
    "llvmlite": llvmlite.__version__,
    "python": f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}",
}


# And the settings of Numba that change it: a process that looks for a fault leaves no slow kernels to all others.
SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "USING_SVML")


@functools.cache
def fingerprint() -> str:
    """Hash of the source of all kernels: the stamp on every cached kernel.

    Numba stamps a cached kernel with its own file only, and so would run stale code after a change to a helper
    in another file. With this stamp any change in this folder recompiles all of it.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class Made:
    """A kernel for one signature: how long compiling took, the bytes of its entry, and for which processor it is."""

    kernel: str
    signature: str
    seconds: float
    bytes: int
    processor: str
    stamp: str
    numba: str
    llvmlite: str
    python: str

    @property
    def is_stale(self) -> bool:
        """Whether no process of this Python with these versions would look for it, on any processor."""
        return (self.stamp, {name: getattr(self, name) for name in MAKERS}) != (fingerprint(), MAKERS)


# Of this process: what it compiled, whether or not it could be kept, and how many kernels came from the disk.
COMPILED: list[Made] = []
LOADED: list[str] = []


def is_enabled() -> bool:
    """Whether compiled kernels are kept on disk: yes, unless ``FASTCAL_CACHE=0``, or nothing is compiled."""
    off = os.environ.get("FASTCAL_CACHE", "1") in ("0", "off", "false", "no")
    return not off and not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


@functools.cache
def folders() -> tuple[Path, ...]:
    """Where entries are looked for; the first that can be written gets the new ones.

    FASTCAL_CACHE_DIR alone, or NUMBA_CACHE_DIR; else beside the source, where Python keeps its own bytecode, and then
    the user's cache folder: a read-only package may hold some, and its user the others. Folders that anybody may write
    to are left out, as what lies there is code that would be run.
    """
    if not is_enabled():
        return ()
    if named := os.environ.get("FASTCAL_CACHE_DIR"):
        wanted = [Path(named).absolute()]
    elif named := os.environ.get("NUMBA_CACHE_DIR"):
        wanted = [Path(named).absolute() / "fastcal"]
    else:
        users = Path(AppDirs("fastcal", appauthor=False).user_cache_dir)
        return (IN_TREE, *([users] if users.is_absolute() and _is_safe(users) else []))  # "~" where nobody is at home
    return tuple(folder for folder in wanted if _is_safe(folder))


def _is_safe(folder: Path) -> bool:
    """Whether nobody but its owner and group can put files into a folder, or another folder into its place."""
    why = _way_in(folder)
    if why:
        warnings.warn(
            f"fastcal keeps no compiled kernels in {folder}, because {why}, or set FASTCAL_CACHE=trust",
            RuntimeWarning,
            stacklevel=2,
        )
    return not why


def _way_in(folder: Path) -> str | None:
    """How a stranger could put files into a folder, and what to do about it.

    By a folder on its way, of its name or of what links stand for, that anybody may write to; or by one below such as
    /tmp, where anybody may have made it before this user did.
    """
    if os.name == "nt" or os.environ.get("FASTCAL_CACHE") == "trust":
        return None
    for way in {folder, Path(os.path.realpath(folder))}:
        like_tmp = False
        for one in (*reversed(way.parents), way):
            try:
                status = one.lstat()
            except OSError:  # not there yet
                break
            if like_tmp and not _is_ours(status):
                return f"{one} is another user's: name a folder of your own"
            if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
                if not status.st_mode & stat.S_ISVTX:
                    return f"anybody may write to {one}: chmod o-w {one}"
                like_tmp = True
    return None


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.getuid())


def _is_trusted(status: os.stat_result, folder: Path) -> bool:
    """Whether an entry is of somebody who may say what runs here: in a folder like /tmp, root or this user.

    A folder below such a one may have been made by another since it was found to be safe, for it was not there then.
    """
    if os.name == "nt" or os.environ.get("FASTCAL_CACHE") == "trust":
        return True
    if folder.stat().st_mode & stat.S_IWOTH and not _is_ours(status):
        return False
    return folder == IN_TREE or _way_in(folder) is None


def entries(folder: Path) -> Iterator[tuple[Path, Made | None]]:
    """Every entry of a folder by what it tells; None for what cannot be read or used, such as Numba's own."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.suffix in (SUFFIX, UNFINISHED, ".nbi", ".nbc"):
                yield path, _told(path)


def _told(path: Path) -> Made | None:
    try:
        with path.open("rb") as file:
            file.readline()
            return Made(**json.loads(file.readline()))
    except (OSError, ValueError, TypeError):
        return None


def prune(folder: Path, *, others: bool = False) -> int:
    """Remove entries of another source than this one, which nobody uses where they lie beside it; returns how many.

    With ``others`` also those of another Python or Numba, and what killed processes left unfinished.
    """
    removed = 0
    for path, made in entries(folder):
        if path.suffix == UNFINISHED:
            dead = others and path.stat().st_mtime < time() - LONGEST
        else:
            dead = made is None or (made.is_stale if others else made.stamp != fingerprint())
        if dead:
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


class KernelCache:
    """The compiled signatures of one kernel, as Numba's dispatchers ask for them and hand them over."""

    def __init__(self, function: Callable[..., Any]) -> None:
        fingerprint()  # now: an upgrade may change the source of what was imported before the first call
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        code = function.__code__  # of one outside this folder the stamp says nothing
        named = repr((code.co_names, code.co_varnames, [one for one in code.co_consts if not hasattr(one, "co_code")]))
        self._code = hashlib.sha256(code.co_code + named.encode()).hexdigest()
        self._began = 0.0

    @property
    def cache_path(self) -> str | None:
        """The folder that new entries go to."""
        return next((str(folder) for folder in folders() if can_be_written(folder)), None)

    def enable(self) -> None:
        """Numba's; always on."""

    def disable(self) -> None:
        """Numba's; always on."""

    def flush(self) -> None:
        """Numba's, of recompilations; an entry is written anew."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for a signature, or None: then Numba compiles it, and hands it over at once."""
        target_context.refresh()
        name, _ = self._entry(sig, target_context.codegen())
        for folder in folders():
            found = _read(folder, name)
            if found is not None:
                # Code that is run, like a .pyc: of a folder and an owner that were found to be safe, and whole.
                with contextlib.suppress(Exception):  # yet not what this Numba made
                    made: Any = CompileResult._rebuild(target_context, *pickle.loads(found))
                    if str(made.signature.args) == str(_arguments(sig)):
                        LOADED.append(name)
                        return made
        self._began = perf_counter()  # under Numba's lock for compiling, as is what follows
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel in the first folder that takes it; none does where all are read-only, or full."""
        seconds = perf_counter() - self._began
        name, processor = self._entry(sig, data.codegen)
        code = b"" if data.lifted or data.library.has_dynamic_globals else dumps(data._reduce())
        about = str(_arguments(sig))
        made = Made(self._name, about, round(seconds, 4), len(code), processor, fingerprint(), **MAKERS)
        COMPILED.append(made)
        if code:
            for folder in folders():
                if _write(folder, name, made, code):
                    break

    def _entry(self, sig: Any, codegen: Any) -> tuple[str, str]:
        """The name of a signature's entry, and the processor that it is for."""
        target = codegen.magic_tuple()
        settings = [str(getattr(numba.config, name, None)) for name in SETTINGS]
        of_numba = [*MAKERS.values(), *map(str, target), *settings]
        depends = [self._name, self._code, str(_arguments(sig)), fingerprint(), *of_numba]
        digest = hashlib.sha256("\0".join(depends).encode()).hexdigest()
        return f"{self._name}-{fingerprint()[:STAMP_DIGITS]}-{digest[:20]}{SUFFIX}", str(target[1])


def _arguments(sig: Any) -> Any:
    return getattr(sig, "args", sig)


def can_be_written(folder: Path) -> bool:
    """Whether new entries could go to a folder, which need not be there yet."""
    for one in (folder, *folder.parents):
        if one.exists():
            return one.is_dir() and os.access(one, os.W_OK | os.X_OK)
    return False


def _read(folder: Path, name: str) -> bytes | None:
    """The code of an entry, None where there is none, or one that is damaged or of a stranger."""
    try:
        with (folder / name).open("rb") as file:
            if not _is_trusted(os.fstat(file.fileno()), folder):
                return None
            digest, _, rest = file.read().partition(b"\n")
    except OSError:
        return None
    return rest.partition(b"\n")[2] if digest == _digest(rest) else None


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _write(folder: Path, name: str, made: Made, code: bytes) -> bool:
    """Whether an entry was written: whole, under its name, or not at all."""
    unfinished = folder / f"{name[: -len(SUFFIX)]}-{uuid.uuid4().hex[:12]}{UNFINISHED}"
    data = json.dumps(asdict(made)).encode() + b"\n" + code
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
        with unfinished.open("xb") as file:
            file.write(_digest(data) + b"\n" + data)
        os.replace(unfinished, folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        return False
    return True


@functools.cache
def _tidy(folder: Path) -> None:
    """Before the first entry of a process: beside the source, code of other sources than those here can go."""
    if folder == IN_TREE:
        prune(folder)
