"""What is here: versions, threads, memory, compiled kernels; and what a file holds, of whatever kind it is."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import stat
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import cores, engine, memory
from ..accumulators.evaluation import Evaluation
from ..accumulators.serial import FORMAT as STATE
from ..accumulators.serial import kind_and_run
from ..arrays import Array
from ..calibrators.files import FORMAT as CALIBRATOR
from ..calibrators.files import load_calibrator
from ..dumps import Dump, DumpError, Roles, open_dumps
from ..dumps.opening import STANDARD_INPUT
from .checkpoint import inputs_of, read_state
from .compiled import cache

# What each extra brings; pyproject.toml says the same.
EXTRAS = {
    "cli": ("typer", "rich"),
    "io": ("pyarrow",),
    "plot": ("matplotlib", "jinja2"),
    "sklearn": ("scikit-learn",),
    "torch": ("torch", "torchmetrics"),
    "dask": ("dask", "distributed"),
}
NEEDED = ("numba", "llvmlite", "numpy", "scipy")
MOST_INLINE = 8  # values of a list
HEADER = 1 << 16  # bytes of a file that are looked at to tell what it is


def environment() -> dict[str, Any]:
    """Versions, extras, threads, processor, memory, and where compiled kernels are kept."""
    from .. import __version__

    extras = {
        extra: {name: found for name in names if (found := _version(name)) is not None}
        for extra, names in EXTRAS.items()
    }
    return {
        "fastcal": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in NEEDED},
        "extras": extras,
        "extras_missing": [extra for extra, names in EXTRAS.items() if len(extras[extra]) < len(names)],
        "threads": engine.thread_count(),
        "threads_by": _threads_by(),
        "gil": gil(),
        "processor": _processor(),
        "vector_instructions": _vector_instructions(),
        "memory_bytes": _memory(),
        "kept_bytes": memory.kept_bytes(),
        "kernels": cache(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _threads_by() -> dict[str, int | str | None]:
    """What the number of threads follows from: see :func:`fastcal.engine.thread_count`."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    quota = cores.quota()
    return {
        "cores": os.cpu_count(),
        "affinity": allowed,
        "quota": None if quota == sys.maxsize else quota,
        "in_pool": cores.in_pool(),
        **{name: os.environ.get(name) for name in ("FASTCAL_NUM_THREADS", "OMP_NUM_THREADS")},
    }


def gil() -> str:
    """Whether threads of Python run one at a time, of which kernels take no notice."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "always"
    return "on" if getattr(sys, "_is_gil_enabled", bool)() else "off"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _vector_instructions() -> list[str]:
    """What the processor has of those that NumPy knows."""
    config: Any = np.show_config(mode="dicts")
    found = (config or {}).get("SIMD Extensions", {})
    return [*found.get("baseline", []), *found.get("found", [])]


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def files(paths: Iterable[Path], asked: Roles) -> list[dict[str, Any]]:
    """What files hold: states, calibrators, and dumps, those that belong together as one.

    Raises DumpError, ValueError or OSError for what is none of them.
    """
    found: list[dict[str, Any]] = []
    others = []
    for path in paths:
        kind = None if path == STANDARD_INPUT else _format(path)
        if kind == STATE:
            found.append(_state(path))
        elif kind == CALIBRATOR:
            found.append(_calibrator(path))
        else:
            others.append(path)
    return found + [_dump(dump) for dump in (_opened(others, asked) if others else [])]


def _opened(paths: list[Path], asked: Roles) -> list[Dump]:
    """Dumps, of which some may have no labels by name."""
    try:
        return open_dumps(paths, asked)
    except DumpError as error:
        with suppress(DumpError):
            return open_dumps(paths, replace(asked, need_labels=False))
        raise error


def _format(path: Path) -> str | None:
    """What the first line of a file says that it is, if it is a header of ours."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # a folder, say, which has no file object
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        start = file.read(HEADER)
    if not start.startswith(b"{"):
        return None
    for name in (STATE, CALIBRATOR):
        if b'"' + name.encode() + b'"' in start.partition(b"\n")[0]:
            return name
    return None


def _state(path: Path) -> dict[str, Any]:
    data = read_state(path)
    try:
        kind, run = kind_and_run(data)
        settings = json.loads(data.partition(b"\n")[0]).get("settings")
        state = Evaluation.from_bytes(data) if kind == Evaluation.__name__ else None
    except (ValueError, TypeError) as error:
        raise DumpError(f"{path}: {error}") from error
    if not isinstance(settings, dict):
        raise DumpError(f"{path}: not a fastcal state: no settings")
    found: dict[str, Any] = {"file": str(path), "kind": "state", "class": kind, "bytes": len(data)}
    found["settings"] = {name: _plain(value) for name, value in settings.items() if name != "headers"}
    if state is not None:
        report = state.compute()
        found |= {name: report[name] for name in ("n", "n_nan", "n_classes")}
    if run is not None:
        names = ("fastcal", "started", "seconds", "complete")
        found["run"] = {name: _plain(run[name]) for name in names if name in run}
        found["run"]["inputs"] = [one.name for dump in inputs_of(run) for one in dump]
    return found


def _calibrator(path: Path) -> dict[str, Any]:
    calibrator = load_calibrator(path)
    fitted = {name: getattr(calibrator, name) for name in ("n_classes_", "n_rows_", *calibrator.fitted)}
    return {
        "file": str(path),
        "kind": "calibrator",
        "class": type(calibrator).__name__,
        "bytes": path.stat().st_size,
        "parameters": {name: _plain(value) for name, value in calibrator.get_params().items() if name != "n_threads"},
        "fitted": {name: _plain(value) for name, value in fitted.items()},
        "figures": getattr(calibrator, "figures_", None),
    }


def _plain(value: Any) -> Any:
    """A number or text as it is, an array by its shape and dtype."""
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else _form(value)
    if isinstance(value, list | tuple):
        few = len(value) <= MOST_INLINE and all(_is_plain(one) for one in value)
        return list(value) if few else f"{len(value)} values"
    if isinstance(value, dict):
        return f"{len(value)} entries"
    return value if _is_plain(value) else str(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _dump(dump: Dump) -> dict[str, Any]:
    """What can be told without reading all of it: its first batch shows what the arrays are like."""
    pieces = dump.pieces()
    known = [piece.n_rows for piece in pieces if piece.n_rows is not None]
    roles = dump.roles
    found: dict[str, Any] = {
        "file": dump.name,
        "kind": "dump",
        "format": _suffixes(dump.files),
        "bytes": sum(path.stat().st_size for path in dump.files) if dump.files else None,
        "files": [str(path) for path in dump.files],
        "pieces": len(pieces),
        "n": sum(known) if len(known) == len(pieces) else None,
        "scores_are": "logits" if roles.from_logits else "probabilities",
    }
    arrays: dict[str, Any] = {}
    scores = "logits" if roles.from_logits else "probs"
    with closing(dump.batches()) as batches:
        first = next(batches, None)
    if first is not None:
        held = {
            "labels": (roles.labels, first.labels),
            scores: (roles.scores, first.scores),
            "weights": (roles.weights, first.weights),
            "groups": (roles.groups, first.groups),
        }
        arrays = {
            role: {"array": name, "row_shape": list(one.shape[1:]), "dtype": str(one.dtype)}
            for role, (name, one) in held.items()
            if name is not None and one is not None
        }
    return {**found, "n_classes": _n_classes(first), "arrays": arrays}


def _n_classes(batch: Any) -> int | None:
    if batch is None:
        return None
    return int(batch.scores.shape[-1]) if batch.scores.ndim > 1 else 2


def _form(array: Array) -> str:
    return f"{array.dtype} {array.shape}"


def _suffixes(files: Iterable[Path]) -> str:
    return ", ".join(sorted({"".join(path.suffixes[-2:]).lstrip(".") for path in files})) or "standard input"
