"""Which module reads a file, by the end of its name, and what is said of files that none reads."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

from .batches import DumpError

_PACKED = ("", ".gz", ".zst")
NPY = ".npy"
# Suffix -> the module that has ``open_dump(path, asked)``. Arrays in .npy belong together: see npy.py.
READERS = {
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".safetensors": "safetensors",
    **{suffix + packed: "csv" for suffix in (".csv", ".tsv") for packed in _PACKED},
    **{suffix + packed: "jsonl" for suffix in (".jsonl", ".ndjson", ".json") for packed in _PACKED},
}
KNOWN_SUFFIXES = (NPY, *READERS)
# In folders, files so called are settings and results more often than rows.
NOT_IN_FOLDERS = (".json", ".json.gz", ".json.zst")

_TORCH = (
    "torch.load(sys.argv[1], map_location='cpu', weights_only=True).items()",
    "import sys, numpy, torch; numpy.savez(sys.argv[2], "
    "**{k: (v.float() if v.dtype == torch.bfloat16 else v).numpy() for k, v in %s})",
    "",
)
_OWN = ", only if it is your own, for loading a pickle runs what is in it:"
_PICKLE = "pickle.load(open(sys.argv[1], 'rb'))", "import sys, numpy, pickle; numpy.savez(sys.argv[2], **%s)", _OWN
_JOBLIB = "joblib.load(sys.argv[1])", "import sys, numpy, joblib; numpy.savez(sys.argv[2], **%s)", _OWN
_PICKLES = {".pt": _TORCH, ".pth": _TORCH, ".pkl": _PICKLE, ".pickle": _PICKLE, ".joblib": _JOBLIB}


def suffix_of(path: Path, expected: tuple[str, ...] = KNOWN_SUFFIXES) -> str:
    """The end of a file's name that says its format, with that of its compression; raises DumpError for others."""
    name = path.name.lower()
    suffix = max((known for known in expected if name.endswith(known)), key=len, default="")
    if suffix:
        return suffix
    if path.suffix.lower() in _PICKLES:
        raise DumpError(_refusal(path))
    raise DumpError(f"{path} is none of {', '.join(expected)}")


def reader(suffix: str) -> Any:
    """The module that reads files of a suffix."""
    return importlib.import_module(f"{__package__}.{READERS[suffix]}")


def _refusal(path: Path) -> str:
    """Pickles run what is in them; a command for those who know what that is."""
    load, code, warning = _PICKLES[path.suffix.lower()]
    names = shlex.join([str(path), str(path.with_suffix(".npz"))])
    command = f'python -c "{code % load}" {names}'
    return f"{path} is a pickle, which is never read; save its arrays with numpy.savez{warning or ':'} {command}"
