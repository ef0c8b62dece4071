"""Examples in other libraries' docstrings, run with ours in the place of the names that they import."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import re
import sys
import warnings
from typing import NamedTuple

import numpy as np

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
# Names without an example of their own: torchmetrics' functions and classes that ask for the ``task``.
WITHOUT_EXAMPLES = {
    "torchmetrics.functional.classification": ("calibration_error",),
    "torchmetrics.classification": ("CalibrationError",),
}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


# Printed numbers agree to their last digit, or to the four that tensors are printed with.
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|\b(?:nan|inf)\b")
SCALAR = re.compile(r"np\.(?:float|int)\d+\(([^()]*)\)")

TRUTH = re.compile(r"np\.(True|False)_")


class Numbers(doctest.OutputChecker):
    """Outputs are the same where their numbers are, however NumPy's version prints them."""

    def check_output(self, want, got, optionflags):
        if super().check_output(want, got, optionflags):
            return True
        want, got = (TRUTH.sub(r"\1", SCALAR.sub(r"\1", one)) for one in (want, got))
        if "".join(NUMBER.sub("#", want).split()) != "".join(NUMBER.sub("#", got).split()):
            return False
        ours, theirs = (np.array(NUMBER.findall(one), float) for one in (got, want))
        return bool(np.allclose(ours, theirs, rtol=1e-6, atol=5.1e-5, equal_nan=True))


class Ran(NamedTuple):
    """Lines tried, and those that print something else though the library itself prints what it says."""

    tried: int
    failed: tuple[str, ...]


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
    """A face that answers itself what it leaves to the original below ``FEW`` numbers, too."""
    before = {name: value for name, value in vars(face).items() if name == "FEW"}
    vars(face).update(dict.fromkeys(before, 0))
    try:
        yield
    finally:
        vars(face).update(before)


class Runner(doctest.DocTestRunner):
    """Notes the lines that failed."""

    def __init__(self):
        super().__init__(Numbers(), verbose=False, optionflags=OPTIONS)
        self.lines: dict[int, str] = {}

    def report_failure(self, out, test, example, got):
        self.lines[example.lineno] = f"{example.source.strip()}: {got.strip()}, not {example.want.strip()}"

    def report_unexpected_exception(self, out, test, example, exc_info):
        self.lines[example.lineno] = f"{example.source.strip()}: {exc_info[1]!r}"


def lines_of(original, name):
    """How many lines the examples of a name have, and those that fail."""
    tests = doctest.DocTestFinder(recurse=False).find(original, name, globs={})
    runner = Runner()
    with np.printoptions(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in tests:
            runner.run(test, clear_globs=True)
    return sum(len(test.examples) for test in tests), runner.lines


def run(module, name):
    """The examples of one name: with the library's own, and with ours in its place."""
    library, face = importlib.import_module(module), importlib.import_module(FACES[module])
    original = getattr(library, name)
    _, broken = lines_of(original, name)
    with of_any_size(face), in_place_of(original, getattr(face, name), module.partition(".")[0]):
        assert getattr(library, name) is getattr(face, name)
        tried, failed = lines_of(original, name)
    return Ran(tried, tuple(said for line, said in failed.items() if line not in broken))
