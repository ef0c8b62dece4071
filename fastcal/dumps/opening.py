"""From paths to dumps: files, folders, patterns and standard input, in the order in which they are given.

A dump is a file, except that .npy files which share a prefix are the arrays of one dump. What is given twice is read
twice, but for arrays in .npy, of which two of a name are an error.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import formats
from .batches import Dump, DumpError, shown
from .names import Roles, listed

SAMPLE = Path(__file__).parent / "samples" / "digits.npz"
STANDARD_INPUT = Path("-")


def open_dumps(paths: Iterable[Path], asked: Roles) -> list[Dump]:
    """The dumps that ``paths`` hold: files, folders of them, patterns, ``-``. Raises DumpError; no row is read yet.

    In a folder and those below, all files of known formats, by path; not those whose names begin with a dot or an
    underscore, and no .json.
    """
    found: list[tuple[int, Dump]] = []
    arrays: dict[Path, int] = {}
    for place, path in enumerate(path for given in paths for path in _files(Path(given))):
        if path == STANDARD_INPUT or _is_stream(path):
            from .spooling import open_stream

            found.append((place, open_stream(path, asked)))
            continue
        suffix = formats.suffix_of(path)
        if suffix == formats.NPY:
            if path in arrays:
                raise DumpError(f"{path} is given twice")
            arrays[path] = place
        else:
            found.append((place, formats.reader(suffix).open_dump(path, asked)))
    if arrays:
        from .npy import open_arrays

        found += [(min(arrays[path] for path in dump.files), dump) for dump in open_arrays(arrays, asked)]
    dumps = _as_wide([dump for _, dump in sorted(found, key=lambda one: one[0])])
    for dump in dumps:
        dump.name = shown(dump.name)
    return dumps


def check_readable(path: Path, *, expected: tuple[str, ...]) -> str:
    """Which of ``expected`` a file is by its name; raises DumpError for any other, and for no file."""
    if not path.exists():
        raise DumpError(f"{path} does not exist")
    if path.is_dir():
        raise DumpError(f"{path} is a folder; name the files in it")
    return formats.suffix_of(path, expected)


def _files(path: Path) -> Iterator[Path]:
    """The files that are meant by a path."""
    try:
        if path == STANDARD_INPUT or (path.exists() and not path.is_dir()):
            yield path
        elif path.is_dir():
            yield from _in_folder(path)
        elif glob.has_magic(str(path)):
            matches = sorted(glob.glob(str(path), recursive=True))
            if not matches:
                raise DumpError(f"{path} matches no file")
            for match in matches:
                # What a pattern with ** finds of folders' files it finds by themselves, too.
                if not os.path.isdir(match):
                    yield Path(match)
                elif "**" not in str(path):
                    yield from _in_folder(Path(match))
        else:
            raise DumpError(f"{path} does not exist")
    except (OSError, ValueError) as error:
        if isinstance(error, DumpError):
            raise
        raise DumpError(f"{path} cannot be read: {error}") from error


def _in_folder(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    others: list[Path] = []
    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            if name.startswith((".", "_")):
                continue
            lower = name.lower()
            known = lower.endswith(formats.KNOWN_SUFFIXES) and not lower.endswith(formats.NOT_IN_FOLDERS)
            (found if known else others).append(Path(where, name))
    if not found:
        names = sorted(str(path.relative_to(folder)) for path in others)
        raise DumpError(f"{folder} is a folder without a file of a known format; it holds {listed(names)}")
    return sorted(found)


def _is_stream(path: Path) -> bool:
    """A pipe or a device, which is read once, from its start to its end."""
    return path.exists() and not path.is_file()


def _as_wide(dumps: list[Dump]) -> list[Dump]:
    """Samples of several tasks have as many columns as the widest of them."""
    if sum(hasattr(dump, "with_columns") for dump in dumps) < 2:
        return dumps
    from .lm_eval import widen

    return widen(dumps)
