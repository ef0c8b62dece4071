"""Examples in other libraries' docstrings, run with ours in the place of the names that they import."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import sys
from typing import NamedTuple

# A library's module, and the face that stands for it.
FACES = {
    "scipy.special": "fastcal.compat.scipy.special",
    "scipy.stats": "fastcal.compat.scipy.stats",
    "scipy.optimize": "fastcal.compat.scipy.optimize",
    "sklearn.calibration": "fastcal.compat.sklearn.calibration",
    "sklearn.isotonic": "fastcal.compat.sklearn.isotonic",
    "sklearn.metrics": "fastcal.compat.sklearn.metrics",
    "torchmetrics.functional.classification": "fastcal.compat.torchmetrics.functional.classification",
    "torchmetrics.classification": "fastcal.compat.torchmetrics.classification",
}
FEW = ("FEW", "FEW_ALONG", "FEW_ACROSS")  # inputs too small to be worth our while are ours all the same here
# {module: {name: why its examples are left out}}
LEFT_OUT: dict[str, dict[str, str]] = {}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


class Ran(NamedTuple):
    """Lines tried and failed, and what was said of the failures."""

    tried: int
    failed: int
    said: str


def names(module):
    """The names that a face has of a library's module."""
    return tuple(importlib.import_module(FACES[module]).__all__)


@contextlib.contextmanager
def in_place_of(original, ours, library):
    """Wherever the library has ``original`` under its name."""
    name = original.__name__
    held = [
        one
        for key, one in list(sys.modules.items())
        if one is not None and key.partition(".")[0] == library and vars(one).get(name) is original
    ]
    for one in held:
        setattr(one, name, ours)
    try:
        yield
    finally:
        for one in held:
            setattr(one, name, original)


@contextlib.contextmanager
def of_any_size(face):
    """A face that answers small inputs, too."""
    before = {name: getattr(face, name) for name in FEW if hasattr(face, name)}
    for name in before:
        setattr(face, name, 0)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(face, name, value)


def run(module, name):
    """The examples of one name."""
    library, face = importlib.import_module(module), importlib.import_module(FACES[module])
    original = getattr(library, name)
    said: list[str] = []
    tried = failed = 0
    with of_any_size(face), in_place_of(original, getattr(face, name), module.partition(".")[0]):
        for test in doctest.DocTestFinder(recurse=False).find(original, name, globs={}):
            assert getattr(library, name) is getattr(face, name)
            found = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=said.append)
            tried, failed = tried + found.attempted, failed + found.failed
    return Ran(tried, failed, "".join(said))
