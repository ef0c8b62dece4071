"""Bytes of a state: one JSON header line, then the arrays, little-endian. Nothing in them is ever executed."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from ..arrays import Array

FORMAT = "fastcal-state"
VERSION = 2
# Of one with 100 000 input files in it.
MAX_HEADER = 1 << 24


def pack(kind: str, settings: dict[str, Any], arrays: dict[str, Array]) -> bytes:
    """Settings and int64 arrays as bytes; equal content gives equal bytes."""
    names = sorted(arrays)
    payload = b"".join(arrays[name].astype("<i8", order="C").tobytes() for name in names)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "class": kind,
        "settings": settings,
        "arrays": [[name, "<i8", list(arrays[name].shape)] for name in names],
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    return _line(header) + payload


def _line(header: dict[str, Any]) -> bytes:
    line = json.dumps(header, sort_keys=True, allow_nan=False).encode()
    if len(line) > MAX_HEADER:
        raise ValueError(f"a state with a header of {len(line)} bytes, which no reader takes")
    return line + b"\n"


def with_run(data: bytes, run: dict[str, Any]) -> bytes:
    """A state that also says which rows it has seen; who reads states only passes over it."""
    line, _, payload = data.partition(b"\n")
    header = json.loads(line)
    return _line({**header, "run": {**run, "sha256": _seal(header, run)}}) + payload


def kind_and_run(data: bytes) -> tuple[str, dict[str, Any] | None]:
    """The class of a state, and what :func:`with_run` added, None if nothing; raises ValueError for what is damaged.

    The arrays are looked at by :func:`unpack` only.
    """
    header, _ = _header(data)
    run = header.pop("run", None)
    if run is not None:
        seal = run.pop("sha256", None) if isinstance(run, dict) else None
        try:
            sound = seal == _seal(header, run)
        except RecursionError:
            sound = False
        if not sound:
            raise ValueError("not a fastcal state: damaged, the checksum of its run differs")
    return str(header.get("class")), run


def _seal(header: dict[str, Any], run: Any) -> str:
    """A checksum of all that the arrays' own one does not cover, and of that."""
    covered = [header, run]
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def _header(data: bytes) -> tuple[dict[str, Any], bytes]:
    """What the first line says, and what comes after it; raises ValueError for what is no state of ours."""
    line, newline, payload = bytes(data).partition(b"\n")
    try:
        header = json.loads(line) if newline and len(line) <= MAX_HEADER else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError("not a fastcal state: no header")
    version = header.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(f"a fastcal state of version {version!r}; this fastcal reads versions 1 to {VERSION}")
    return header, payload


def unpack(data: bytes, kind: str) -> tuple[dict[str, Any], dict[str, Array], int]:
    """Settings and arrays of :func:`pack`, and the version that wrote them; ValueError for anything else."""
    header, payload = _header(data)
    if header.get("class") != kind:
        raise ValueError(f"a state of {header.get('class')!r}, not of {kind}")
    if header.get("sha256") != hashlib.sha256(payload).hexdigest():
        raise ValueError("not a fastcal state: damaged, its checksum differs")
    settings, entries = header.get("settings"), header.get("arrays")
    if not isinstance(settings, dict) or not isinstance(entries, list):
        raise ValueError("not a fastcal state: no settings or arrays")
    arrays: dict[str, Array] = {}
    offset = 0
    for entry in entries:
        name, shape = _entry(entry)
        size = 8 * math.prod(shape)
        if offset + size > len(payload):
            raise ValueError("not a fastcal state: truncated")
        arrays[name] = np.frombuffer(payload, "<i8", size // 8, offset).reshape(shape).astype(np.int64)
        offset += size
    if offset != len(payload):
        raise ValueError("not a fastcal state: bytes left over")
    return settings, arrays, header["version"]


def _entry(entry: Any) -> tuple[str, list[int]]:
    if isinstance(entry, list) and len(entry) == 3:
        name, dtype, shape = entry
        whole = isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and 0 <= n < 2**32 for n in shape)
        if isinstance(name, str) and dtype == "<i8" and whole:
            return name, shape
    raise ValueError("not a fastcal state: an array that is none of ours")
