"""From paths to dumps: one a file, except that .npy files which share a prefix are the arrays of one dump."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .batches import Dump, DumpError
from .names import KNOWN, Roles, roles
from .npy import NumpyDump, npy_member, npz_members
from .parquet import ParquetDump, parquet_columns

SAMPLE = Path(__file__).parent / "samples" / "digits.npz"
_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}


def open_dumps(paths: Iterable[Path], asked: Roles) -> list[Dump]:
    """The dumps that ``paths`` hold, in the order of the paths. Raises DumpError; no row is read yet."""
    dumps: list[Dump] = []
    arrays: dict[str, dict[str, Path]] = {}
    for path in paths:
        suffix = check_readable(path)
        if suffix == ".npz":
            members = npz_members(path)
            dumps.append(NumpyDump(str(path), members, _roles(asked, members, str(path)), (path,)))
        elif suffix == ".npy":
            prefix, name = _split(path, asked)
            group = arrays.setdefault(prefix, {})
            if name in group:
                raise DumpError(f"{group[name]} and {path} are both {name!r} of one dump")
            group[name] = path
        else:
            dumps.append(ParquetDump(path, _roles(asked, parquet_columns(path), str(path))))
    if len(arrays) > 1 and sum(map(len, arrays.values())) <= 4 and asked != Roles():
        # Up to four arrays with names of their own, told apart by flags, are one dump.
        arrays = {", ".join(arrays): {name: path for group in arrays.values() for name, path in group.items()}}
    for prefix, group in arrays.items():
        where = f"{prefix}*.npy"
        members = {name: npy_member(path) for name, path in group.items()}
        dumps.append(NumpyDump(where, members, _roles(asked, group, where), tuple(group.values())))
    return dumps


def check_readable(path: Path) -> str:
    """Which of .npz, .npy and .parquet a file is by its name; raises DumpError for any other, and for no file."""
    if not path.exists():
        raise DumpError(f"{path} does not exist")
    if path.is_dir():
        raise DumpError(f"{path} is a folder; name the files in it")
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise DumpError(f"{path} is a pickle, which is never read; save its arrays with numpy.savez")
    if suffix not in (".npz", ".npy", ".parquet", ".pq"):
        raise DumpError(f"{path} is none of .npz, .npy, .parquet")
    return ".parquet" if suffix == ".pq" else suffix


def _roles(asked: Roles, available: Iterable[str], where: str) -> Roles:
    try:
        return roles(asked, list(available), where)
    except ValueError as error:
        raise DumpError(str(error)) from None


def _split(path: Path, asked: Roles) -> tuple[str, str]:
    """``run1/val_logits.npy`` is array ``logits`` of the dump ``run1/val_``."""
    names = [name for name in (asked.logits, asked.probs, asked.labels, asked.weights, asked.groups) if name]
    names += [name for known in KNOWN.values() for name in known]
    for name in names:
        match = re.fullmatch(rf"(|.*[-_.]){re.escape(name)}", path.stem)
        if match:
            return str(path.parent / "_")[:-1] + match[1], name
    return str(path.parent / "_")[:-1], path.stem
