"""What a fuzzer calls: bytes into every reader, state and calibrator loader. All that may come of them is a refusal.

Files are written to a folder of their own, as a stranger's would lie there. A target returns nothing; anything but the
refusals named here is a finding, as is more memory than ``MOST_MEMORY``.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fastcal as fc
from fastcal.calibrators import files
from fastcal.dumps import DumpError, Roles, open_dumps

# What a process may take at most while it reads a file of a few kilobytes.
MOST_MEMORY = 1 << 30

STATES = ("Evaluation", "ReliabilityAccumulator", "OrderAccumulator", "SelectiveAccumulator", "UncertaintyAccumulator")
LABELS = (Path(__file__).parent / "labels.npy").read_bytes()
ROLES = (Roles(), Roles(logits="logits", labels="labels"), Roles(probs="probs", labels="label"))


def _file(data: bytes, name: str, folder: str) -> Path:
    path = Path(folder) / name
    path.write_bytes(data)
    return path


def reader(name: str) -> Callable[[bytes], None]:
    """Reads files of such a name."""

    def target(data: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
            paths = [_file(data, name, folder)]
            if name.endswith(".npy"):  # scores alone are no dump
                paths.append(_file(LABELS, "labels.npy", folder))
            for roles in ROLES:
                with suppress(DumpError):
                    for dump in open_dumps(paths, roles):
                        for batch in dump.batches():
                            assert batch.n_rows == len(batch.scores)

    return target


def mended(data: bytes, digest: Callable[[dict[str, Any], bytes], str]) -> bytes:
    """With the checksum that the content asks for, which a fuzzer could not find; as it is if it has no header."""
    line, newline, payload = data.partition(b"\n")
    with suppress(ValueError, RecursionError):
        header = json.loads(line)
        if newline and isinstance(header, dict) and "sha256" in header:
            header["sha256"] = digest(header, payload)
            return json.dumps(header, sort_keys=True, allow_nan=False).encode() + b"\n" + payload
    return data


def state(data: bytes) -> None:
    """Reads states of every class."""
    data = mended(data, lambda _, payload: hashlib.sha256(payload).hexdigest())
    for name in STATES:
        with suppress(ValueError):
            found = getattr(fc, name).from_bytes(data)
            found.compute()
            found.merge(found.empty())


def calibrator(data: bytes) -> None:
    """Reads a calibrator and asks it."""
    data = mended(data, files.digest)
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        path = _file(data, "calibrator.json", folder)
        with suppress(ValueError):
            found = fc.load_calibrator(path)
            found.predict_proba([[0.0] * found.n_features_in_] if found.n_features_in_ > 1 else [0.5])


TARGETS: dict[str, Callable[[bytes], None]] = {
    **{
        suffix.replace(".", "-"): reader(f"logits.{suffix}")
        for suffix in ("npy", "npz", "parquet", "arrow", "arrows", "csv", "tsv", "jsonl", "safetensors", "csv.gz")
    },
    "lm-eval": reader("samples_task.jsonl"),
    "state": state,
    "calibrator": calibrator,
}


def _fast_folder() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def peak_memory() -> int:
    """Bytes of this process at their most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
