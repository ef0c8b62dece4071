"""Files of calibrators: one JSON header line, then the arrays, little-endian. Nothing in them is ever executed.

The header is spelled in one way only, and its checksum covers all else of it and the arrays, so that no byte of a file
can change unnoticed. What is read is held to what the class says of itself: nobody's file is trusted.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import re
import secrets
import stat
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..arrays import Array
from .base import Calibrator, _checked_classes
from .held_out import FIGURES
from .methods import CLASSES, class_of

FORMAT = "fastcal-calibrator"
VERSION = 1
MAX_HEADER = 1 << 20
MOST_DIMENSIONS = 4
# Numbers of a parameter that stand in the header; of longer ones it has the name only, as of arrays.
MOST_INLINE = 64
COMMON = ("classes_", "n_classes_", "n_features_in_", "n_rows_", "figures_")
NOT_KEPT = ("n_threads",)
DTYPE = re.compile(r"\|[biu]1|<[iuf][248]|<U[1-9]\d{0,3}|\|S[1-9]\d{0,3}")
KEYS = {"format", "version", "class", "fastcal", "parameters", "fitted", "arrays", "sha256"}


def write(calibrator: Calibrator, path: Path) -> None:
    """Write a fitted calibrator: as a whole, or an OSError and what was there before."""
    data = packed(calibrator)
    try:  # parameters may have been set since the fit
        _read(BytesIO(data), len(data))
    except _Problem as error:
        raise ValueError(f"this {type(calibrator).__name__} cannot be saved, for no reader takes it: {error}") from None
    path = path.resolve()
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")  # threads may write the same file
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_calibrator(path: str | Path) -> Calibrator:
    """The calibrator in a file that :meth:`Calibrator.save` wrote, with the same bits in all that it predicts.

    Raises OSError for a file that cannot be read and ValueError, naming it, for one that is no calibrator: of another
    format, written by a newer fastcal, truncated, or changed in any byte. Every version that was ever written is read.

    >>> import tempfile, os
    >>> import fastcal as fc
    >>> fitted = fc.TemperatureScaling().fit([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fitted.save(os.path.join(folder, "calibrator.json"))
    ...     again = fc.load_calibrator(os.path.join(folder, "calibrator.json"))
    >>> again.temperature_ == fitted.temperature_
    True
    """
    path = Path(path)
    with open(path, "rb", opener=_opened) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a fastcal calibrator: no plain file")
        try:
            return _read(file, status.st_size)
        except _Problem as error:
            raise ValueError(f"{path} is not a fastcal calibrator: {error}") from None


def _opened(path: str, flags: int) -> int:
    """As open does, but a pipe's other end is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class _Problem(Exception):
    """What is wrong with a file, in a line."""


# --- writing ----------------------------------------------------------------------------------------------------------


def packed(calibrator: Calibrator) -> bytes:
    """A fitted calibrator as bytes; equal ones give equal bytes. Raises ValueError for what no file holds."""
    name = type(calibrator).__name__
    if name not in CLASSES or type(calibrator) is not class_of(name):
        raise ValueError(f"{name} is none of fastcal's own calibrators; a file holds these only")
    arrays: dict[str, Array] = {}
    parameters = calibrator.get_params()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "class": name,
        "fastcal": importlib.import_module("fastcal").__version__,
        "parameters": _plain({key: parameters[key] for key in parameters if key not in NOT_KEPT}, arrays),
        "fitted": _plain({key: getattr(calibrator, key) for key in (*COMMON, *calibrator.fitted)}, arrays),
    }
    names = sorted(arrays)
    payload = b"".join(arrays[key].tobytes() for key in names)
    header["arrays"] = [[key, arrays[key].dtype.str, list(arrays[key].shape)] for key in names]
    header["sha256"] = digest(header, payload)
    line = header_line(header)
    if len(line) > MAX_HEADER:
        raise ValueError(f"a calibrator with a header of {len(line)} bytes, which no reader takes")
    return line + b"\n" + payload


def _plain(values: dict[str, Any], arrays: dict[str, Array]) -> dict[str, Any]:
    """Values as JSON holds them; those that are arrays go to ``arrays`` instead."""
    found = {}
    for name, value in values.items():
        if name == "figures_":
            found[name] = _spelled(value)
        elif isinstance(value, np.ndarray) or (isinstance(value, list | tuple) and len(value) > MOST_INLINE):
            arrays[name] = _array(name, np.asarray(value))
        elif isinstance(value, list | tuple):
            found[name] = [_scalar(name, one) for one in value]
        elif hasattr(value, "__array__") and not isinstance(value, np.generic):  # a data frame's column, a tensor
            arrays[name] = _array(name, np.asarray(value))
        else:
            found[name] = _scalar(name, value)
    return found


def _array(name: str, given: Array) -> Array:
    if given.dtype.kind == "O" and all(isinstance(one, str) for one in given.flat):
        given = given.astype(np.str_)
    little = np.ascontiguousarray(given, given.dtype.newbyteorder("<")).reshape(given.shape)
    if not DTYPE.fullmatch(little.dtype.str) or little.ndim > MOST_DIMENSIONS:
        raise ValueError(f"{name} is an array of {given.dtype} of {given.ndim} dimensions, which no file holds")
    if little.dtype.kind == "f" and not np.isfinite(little).all():
        raise ValueError(f"{name} is not finite, which no file holds")
    return little


def _scalar(name: str, value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or type(plain) in (bool, int, str) or (type(plain) is float and math.isfinite(plain)):
        return plain
    raise ValueError(f"{name} is {value!r}, which no file holds")


def _spelled(figures: Any) -> Any:
    """Figures before and after: NaN is null, infinity the string "Infinity"."""
    if figures is None:
        return None

    def spelled(value: float) -> Any:
        return None if math.isnan(value) else "Infinity" if math.isinf(value) else value

    return {when: {name: spelled(value) for name, value in found.items()} for when, found in figures.items()}


def header_line(header: dict[str, Any]) -> bytes:
    """A header as the first line of a file has it."""
    return json.dumps(header, sort_keys=True, allow_nan=False, ensure_ascii=True, separators=(", ", ": ")).encode()


def digest(header: dict[str, Any], payload: bytes) -> str:
    """The checksum of a file of that header and what follows it."""
    content = {key: value for key, value in header.items() if key != "sha256"}
    return hashlib.sha256(header_line(content) + b"\n" + payload).hexdigest()


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(file: BinaryIO, size: int) -> Calibrator:
    line = file.readline(MAX_HEADER + 1)
    header = _header(line)
    entries = _entries(header["arrays"])
    expected = sum(np.dtype(dtype).itemsize * math.prod(shape) for _, dtype, shape in entries)
    if expected != size - len(line):
        state = "truncated" if expected > size - len(line) else "bytes left over"
        raise _Problem(f"{state}; its arrays take {expected} bytes, and {size - len(line)} are there")
    payload = file.read(expected)
    if len(payload) != expected or header["sha256"] != digest(header, payload):
        raise _Problem("damaged, its checksum differs")
    arrays: dict[str, Array] = {}
    offset = 0
    for name, dtype, shape in entries:
        flat = np.frombuffer(payload, dtype, math.prod(shape), offset)
        offset += flat.nbytes
        arrays[name] = _native(name, flat.reshape(shape))
    return _made(header, arrays)


def _header(line: bytes) -> dict[str, Any]:
    """The header, in order as far as it can be told without the arrays."""
    try:
        header = json.loads(line) if line.endswith(b"\n") and line.startswith(b"{") else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _Problem("no header")
    version = header.get("version")
    if type(version) is int and version > VERSION:
        newer = f"written by a newer fastcal, as version {str(version)[:20]}"
        raise _Problem(f"{newer}; this one reads up to version {VERSION}")
    if type(version) is not int or version < 1:
        raise _Problem(f"its version is {version!r:.40}")
    try:
        same = header_line(header) == line[:-1]
    except (ValueError, RecursionError):  # NaN, say
        same = False
    if not same or header.keys() != KEYS:
        raise _Problem("damaged, its header is not as fastcal writes it")
    return header


def _entries(given: Any) -> list[tuple[str, str, list[int]]]:
    found = []
    for entry in given if isinstance(given, list) else [None]:
        if not isinstance(entry, list) or len(entry) != 3:
            raise _Problem("an array that is none of ours")
        name, dtype, shape = entry
        known = isinstance(name, str) and isinstance(dtype, str) and DTYPE.fullmatch(dtype)
        if not known or not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
            raise _Problem("an array that is none of ours")
        fine = all(type(n) is int and 0 <= n < 2**31 for n in shape)
        # NumPy multiplies the others also where one is 0
        if not fine or (0 in shape and math.prod(max(n, 1) for n in shape) >= 2**48):
            raise _Problem(f"the shape of {name!r:.40} is none")
        found.append((name, dtype, shape))
    if len({name for name, _, _ in found}) != len(found):
        raise _Problem("two arrays of one name")
    return found


def _native(name: str, given: Array) -> Array:
    """An array of its own, in the machine's byte order; text is text, numbers are finite, and a bool is 0 or 1."""
    if given.dtype.kind == "U" and given.size:
        points = np.ascontiguousarray(given).view("<u4")
        if points.max() > 0x10FFFF or ((points >= 0xD800) & (points < 0xE000)).any():
            raise _Problem(f"{name!r:.40} is no text")
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise _Problem(f"{name!r:.40} is not finite")
    if given.dtype.kind == "b" and given.size and given.view(np.uint8).max() > 1:
        raise _Problem(f"{name!r:.40} holds what is neither true nor false")
    return given.astype(given.dtype.newbyteorder("="))


def _made(header: dict[str, Any], arrays: dict[str, Array]) -> Calibrator:
    name = header["class"]
    if not isinstance(name, str) or name not in CLASSES:
        raise _Problem(f"of class {name!r:.40}, which is none of ours")
    cls = class_of(name)
    wanted = [key for key in cls._parameters() if key not in NOT_KEPT]
    parameters = _values(header["parameters"], arrays, wanted, "parameters")
    fitted = _values(header["fitted"], arrays, [*COMMON, *cls.fitted], "fitted attributes")
    if len(arrays) > sum(key in arrays for key in (*wanted, *COMMON, *cls.fitted)):
        raise _Problem("an array that is none of ours")
    try:
        calibrator = cls(**parameters)
        calibrator._prepared()
        fitted["figures_"] = _figures(fitted["figures_"])
        _check_common(fitted, parameters.get("classes"))
        vars(calibrator).update(fitted)
        calibrator._check_fitted()
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise _Problem(" ".join(f"{error}".split())[:300] or type(error).__name__) from error
    return calibrator


def _values(given: Any, arrays: dict[str, Array], names: list[str], what: str) -> dict[str, Any]:
    """Parameters, or fitted attributes: all that the class names and no other, here or among the arrays."""
    if not isinstance(given, dict) or sorted([*given, *(set(names) & arrays.keys())]) != sorted(names):
        raise _Problem(f"its {what} are not those of its class")
    found = {name: given.get(name, arrays.get(name)) for name in names}
    for name, value in found.items():
        if isinstance(value, list):
            if any(isinstance(one, list | dict) for one in value):
                raise _Problem(f"{name} is {value!r:.40}")
            found[name] = tuple(value)
        elif isinstance(value, dict) and name != "figures_":
            raise _Problem(f"{name} is {value!r:.40}")
    return found


def _figures(given: Any) -> Any:
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != {"before", "after"}:
        raise ValueError("figures_ are not those before and after")
    figures: dict[str, dict[str, float | int]] = {}
    for when in ("before", "after"):
        found = given[when]
        if not isinstance(found, dict) or set(found) != set(FIGURES):
            raise ValueError(f"figures_ {when} are others than {', '.join(FIGURES)}")
        figures[when] = {name: _figure(name, found[name]) for name in FIGURES}
    return figures


def _figure(name: str, value: Any) -> float | int:
    if name == "n" and type(value) is int and value > 0:
        return value
    if name != "n" and value is None:
        return math.nan
    if name != "n" and value == "Infinity":
        return math.inf
    if name != "n" and type(value) is float and value >= 0:
        return value
    raise ValueError(f"figures_ has {name} {value!r:.40}")


def _check_common(fitted: dict[str, Any], classes: Any) -> None:
    """Raise ValueError where what all calibrators have contradicts itself."""
    n_classes, n_columns, n_rows = (fitted[name] for name in ("n_classes_", "n_features_in_", "n_rows_"))
    if any(type(n) is not int for n in (n_classes, n_columns, n_rows)) or n_rows < 1:
        raise ValueError(f"n_classes_, n_features_in_ and n_rows_ are {n_classes!r}, {n_columns!r} and {n_rows!r}")
    if n_classes < 2 or (n_columns != n_classes and (n_columns, n_classes) != (1, 2)):
        raise ValueError(f"{n_columns} columns for {n_classes} classes")
    labels = fitted["classes_"]
    if not isinstance(labels, np.ndarray) or labels.shape != (n_classes,):
        raise ValueError(f"classes_ are not {n_classes} labels")
    expected = np.arange(n_classes) if classes is None else _checked_classes(classes)
    if expected is None or expected.shape != labels.shape or (expected != labels).any():
        raise ValueError("classes_ are not those of its parameters")
