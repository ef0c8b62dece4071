"""Files and folders that appear whole or not at all, whatever ends the writing.

What is being written stands beside its place as ``.fastcal-<random>.tmp`` and is renamed once all of it is on the disk.
Any error, Ctrl-C included, removes it; only a process that is killed outright leaves one behind.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def destination(path: Path, *, replace: bool = True) -> Path:
    """Where ``path`` is written to: itself, or the plain file in its own folder that it links to.

    Raises OSError for a link to anywhere else, which is no place the caller named, for a folder, for a place in no
    folder, and with ``replace=False`` for anything that is there already.
    """
    check_named(path)
    place = path
    if path.is_symlink():
        place = path.parent.resolve() / os.path.realpath(path)
        if place.parent != path.parent.resolve() or not place.is_file():
            raise OSError(f"{path} is a link to {os.readlink(path)}, and links to elsewhere are not written through")
    if not replace and os.path.lexists(path):
        raise FileExistsError(f"{path} exists; say --force to replace it")
    if place.is_dir():
        raise IsADirectoryError(f"{path} cannot be written: it is a folder")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: No such file or directory")
    return place


def check_named(path: Path) -> None:
    """Raise OSError for standard output, of which nothing could be taken back."""
    if str(path) == "-":
        raise OSError("-o - is no file; what is written appears whole or not at all")


# Names of what a process has open: the plain file that one may be is another's to replace.
OPEN_FILES = {Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd")}


def is_plain(path: Path) -> bool:
    """Whether a path is, or would become, a plain file: pipes and devices are written to as they are."""
    if Path(os.path.abspath(path)).parent in OPEN_FILES:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode) or path.is_dir()
    except OSError:
        return True


@contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """The path of an empty file, to be filled within, that then takes the place of ``path``.

    It has the permissions of any new file. Raises OSError, one line, where :func:`destination` does, and for what goes
    wrong with the disk; what was there before is then as it was.
    """
    place = destination(path, replace=replace)
    temporary = _beside(place)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        destination(path, replace=replace)  # somebody else may have put a file there meanwhile
        temporary.replace(place)
        _flush(place.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(_why(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The path of an empty folder, to be filled within, that then becomes ``path``, which is none yet, or empty."""
    check_named(path)
    if path.is_symlink() or (os.path.lexists(path) and (not path.is_dir() or any(path.iterdir()))):
        raise FileExistsError(f"{path} exists; name a folder that is not there yet")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: No such file or directory")
    temporary = _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise OSError(_why(path, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_folders(paths: Iterable[Path]) -> Iterator[None]:
    """The folders are there within; after an error those that were not are taken away again, while they are empty."""
    made: list[Path] = []
    try:
        for path in paths:
            missing = [folder for folder in (path, *path.parents) if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                made.append(folder)
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all; a pipe or a device is written to as it is. Raises OSError, one line."""
    if not is_plain(path):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise OSError(_why(path, error)) from error
        return
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def _beside(place: Path) -> Path:
    return place.with_name(f".fastcal-{secrets.token_hex(8)}.tmp")


def _flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk; a folder that cannot be flushed (Windows) is let be."""
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if folder:
            return
        raise
    try:
        os.fsync(handle)
    except OSError:
        if not folder:
            raise
    finally:
        os.close(handle)


def _why(path: Path, error: OSError) -> str:
    """What an operating system's error says, once: one of ours has its line already."""
    if error.errno is None and error.strerror is None:
        said = " ".join(str(error).split())[:300]
        return said if str(path) in said else f"{path} cannot be written: {said}"
    return f"{path} cannot be written: {error.strerror or os.strerror(error.errno or 0)}"
