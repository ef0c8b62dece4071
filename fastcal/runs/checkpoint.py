"""The file of a run: the exact state, the rows it has seen, and of which files these are.

It is the accumulator's own state, so that ``from_bytes`` and ``fastcal merge`` take it, with the run in its header.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..accumulators.serial import kind_and_run, with_run
from ..dumps import Dump, DumpError
from ..dumps.atomic import destination
from .fingerprint import Fingerprint, fingerprint, on_threads
from .looks import KIND, Looks
from .position import Position
from .tasks import Task

VERSION = 1
# No state of ours is larger: a million slices take a tenth of it.
MOST_BYTES = 1 << 32
ANEW = "name another --state, or remove it to start anew"


class StateError(DumpError):
    """A state file that this run cannot go on from: why, and what to do."""


def read_state(path: Path) -> bytes:
    """The bytes of a state file."""
    try:
        if not path.is_file():
            raise StateError(f"{path} is no plain file" if path.exists() else f"{path} does not exist")
        if path.stat().st_size > MOST_BYTES:
            raise StateError(f"{path} is no state: {path.stat().st_size} bytes")
        return path.read_bytes()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def only_run(path: Path) -> Iterator[None]:
    """Raises StateError where another process is at the same state file; one that was killed is not.

    Where the system has no locks of files (Windows), nothing is noticed.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    try:
        while True:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), lock.stat()):
                    break
            except FileNotFoundError:  # the one who had it has ended, and removed it
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    except BlockingIOError:
        raise StateError(f"{path} is in use by another run; wait for its end, or name another --state") from None
    except OSError as error:
        raise StateError(f"{path} cannot be locked: {lock}: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if not os.fstat(handle).st_size:  # a file of somebody else's by this name stays
                lock.unlink()
        os.close(handle)


class Checkpoint:
    """Keeps and finds the state of one run over ``tasks`` of ``dumps``; use within :func:`only_run`."""

    def __init__(self, path: Path, dumps: Sequence[Dump], tasks: Sequence[Task], n_threads: int | None = None) -> None:
        if any(not dump.files for dump in dumps):
            raise StateError("standard input cannot be read again: --state needs files")
        self.path = path
        self._dumps = dumps
        self._n_threads = n_threads
        self._cut = _cut(tasks)
        self._inputs = self._fingerprints()
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds = 0.0  # that earlier parts of the run took
        self.complete = False

    def _fingerprints(self) -> list[list[Fingerprint]]:
        paths = list(dict.fromkeys(path for dump in self._dumps for path in dump.files))
        found = dict(zip(paths, on_threads(fingerprint, paths, self._n_threads), strict=True))
        return [[found[path] for path in dump.files] for dump in self._dumps]

    def check_inputs(self) -> None:
        """Raise DumpError where an input file is not what it was at the start."""
        for before, after in zip(_flat(self._inputs), _flat(self._fingerprints()), strict=True):
            if before != after:
                raise DumpError(f"{before.name} changed while it was read; there are no figures of it")

    def load(self, accumulator: Any) -> Position:
        """Add what the file holds, if there is one, to an empty ``accumulator``; returns what of the run is done.

        Raises StateError for a file that is no state, or that of another run.
        """
        if not os.path.lexists(self.path):
            return Position()
        data = read_state(self.path)
        try:
            kind, run = kind_and_run(data)
        except ValueError as error:
            raise StateError(f"{self.path} is no state to go on from: {error}; {ANEW}") from error
        if run is None:
            raise StateError(f"{self.path} is a state that does not say of which rows; {ANEW}")
        self._check(run)
        try:
            position = Position.from_json(run.get("position"))
            self.started, self.seconds, self.complete = times_of(run)
            found = restored(accumulator, kind, data)
        except (ValueError, TypeError) as error:
            ours = not str(error).startswith(("not a fastcal state", "the position", "its header"))
            what = "was made with other options" if ours else "is no state to go on from"
            raise StateError(f"{self.path} {what}: {error}; {ANEW}") from error
        accumulator.merge(found)
        return position

    def _check(self, run: dict[str, Any]) -> None:
        """Raise StateError for a run that is not this one."""
        from .. import __version__

        if run.get("version") != VERSION:
            raise StateError(f"{self.path} is of another version of fastcal; {ANEW}")
        theirs, ours = _flat(inputs_of(run)), _flat(self._inputs)
        if theirs != ours:
            self._tell_files_apart(theirs, ours)
        names = [_roles(dump) for dump in self._dumps]
        if run.get("roles") != names:
            raise StateError(f"{self.path} is of other arrays: {_apart(run.get('roles'), names)}; {ANEW}")
        if run.get("complete") is not True and run.get("fastcal") != __version__:
            raise StateError(f"{self.path} was begun by fastcal {run.get('fastcal')}, this is {__version__}; {ANEW}")
        if run.get("cut") != self._cut:
            raise StateError(f"{self.path} was begun when its files were read in other pieces; {ANEW}")

    def _tell_files_apart(self, theirs: list[Fingerprint], ours: list[Fingerprint]) -> None:
        there, here = ([(*one.content, one.mtime_ns) for one in files] for files in (theirs, ours))
        if [one.name for one in theirs] == [one.name for one in ours]:
            for before, now in zip(theirs, ours, strict=True):
                if before != now:
                    what = "has changed" if before.content != now.content else "was written or touched"
                    raise StateError(f"{now.name} {what} since {self.path} was begun; {ANEW}")
        if there == here:
            return  # the same files under other names: called from another folder
        if sorted(there) == sorted(here):
            raise StateError(f"{self.path} is of the same files in another order; {ANEW}")
        named = {one.name for one in ours}
        other = next((one.name for one in theirs if one.name not in named), None)
        said = f"it has {other}" if other else f"it has {len(theirs)}, not {len(ours)}"
        raise StateError(f"{self.path} is of other input files: {said}; {ANEW}")

    def save(self, data: bytes, position: dict[str, Any], seconds: float, complete: bool) -> None:
        """Write the file, as a whole or not at all."""
        from .. import __version__

        run = {
            "version": VERSION,
            "fastcal": __version__,
            "inputs": [[[one.name, one.size, one.mtime_ns, one.sha256] for one in dump] for dump in self._inputs],
            "roles": [_roles(dump) for dump in self._dumps],
            "cut": self._cut,
            "position": position,
            "started": self.started,
            "seconds": self.seconds + seconds,
            "complete": complete,
        }
        self._write(with_run(data, run))

    def _write(self, data: bytes) -> None:
        """A name of its own, which the lock keeps others from: what a killed run left there, the next one removes."""
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            if temporary.is_symlink():
                temporary.unlink()
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            flush_folder(self.path.parent)
        except BaseException as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise OSError(f"{self.path} cannot be written: {error.strerror}") from error
            raise


def flush_folder(path: Path) -> None:
    """Have the names in a folder on the disk, where the system does that for folders."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def state_path(path: Path) -> Path:
    """Where a state is kept, once that is known to be a place for it; raises OSError."""
    place = destination(path)
    if os.path.lexists(place) and not place.is_file():
        raise StateError(f"{path} is no plain file")
    return place


def restored(accumulator: Any, kind: str, data: bytes) -> Any:
    """An accumulator of the same settings with a state from outside; raises ValueError for one of others."""
    if isinstance(accumulator, Looks):
        if (kind == KIND) != (len(list(accumulator)) > 1):
            raise ValueError("--html and --calibrator keep more than other runs do")
        return accumulator.restored(data)
    if kind != type(accumulator).__name__:
        raise ValueError(f"it is a state of {kind}, not of {type(accumulator).__name__}")
    found = type(accumulator).from_bytes(data)
    accumulator.empty().merge(found)  # the same settings, or it raises
    return found


def inputs_of(run: dict[str, Any]) -> list[list[Fingerprint]]:
    """The files of each dump of a run; none where a header from outside does not say."""
    try:
        return [[Fingerprint(*map(_kind, one, (str, int, int, str))) for one in dump] for dump in run["inputs"]]
    except (KeyError, TypeError):
        return []


def _flat(inputs: Sequence[Sequence[Fingerprint]]) -> list[Fingerprint]:
    return [one for dump in inputs for one in dump]


def _kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(value)
    return value


def times_of(run: dict[str, Any]) -> tuple[str, float, bool]:
    """When a run began, its seconds, and whether it is complete; raises ValueError where a header does not say."""
    started, seconds, complete = (run.get(name) for name in ("started", "seconds", "complete"))
    known = isinstance(started, str) and type(seconds) in (int, float) and type(complete) is bool
    if known and 0 <= seconds < 1e12:  # type: ignore[operator]
        return str(started), float(seconds or 0.0), complete is True
    raise ValueError("its header is not that of a run")


def _roles(dump: Dump) -> dict[str, Any]:
    """What was asked of a dump, as JSON has it."""
    found = {name: getattr(dump.roles, name) for name in vars(dump.roles)}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value is not None
    }


def _apart(theirs: Any, ours: list[dict[str, Any]]) -> str:
    """The first difference between roles of dumps."""
    pairs = zip(theirs if isinstance(theirs, list) else [], ours, strict=False)
    there, here = next(((a, b) for a, b in pairs if a != b and isinstance(a, dict)), ({}, {}))
    name = next((name for name in sorted({*there, *here}) if there.get(name) != here.get(name)), None)
    return f"{name} {there.get(name)}, not {here.get(name)}" if name else "nobody knows which"


def _cut(tasks: Sequence[Task]) -> str:
    """A checksum of how the files are cut into pieces."""
    digest = hashlib.sha256()
    for task in tasks:
        piece = task.piece
        digest.update(repr((piece.start, piece.stop, piece.first_row, piece.n_rows, task.first_row)).encode())
    return digest.hexdigest()
