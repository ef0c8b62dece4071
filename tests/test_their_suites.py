"""Other libraries' own tests, and the examples in their docstrings, pass when their names are pointed at ours."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import their_examples
from conftest import JIT
from their_examples import FACES as EXAMPLES
from their_examples import WITHOUT_EXAMPLES
from their_suites import FACES, LEFT_OUT, SHIP_NO_TESTS, installed

pytestmark = pytest.mark.skipif(not JIT, reason="compiled code only")

# Tests that pass, and calls that ours answers itself: the others are complex numbers, wrong inputs and the like.
AT_LEAST = {
    "scipy.special.tests.test_logsumexp": (400, 50),
    "scipy.stats.tests.test_entropy": (15, 7),
    "scipy.optimize.tests.test_isotonic_regression": (45, 40),
    "sklearn.tests.test_isotonic": (44, 0),  # of which nothing is handed on
    "sklearn.tests.test_calibration": (20, 15),
    "sklearn.metrics.tests.test_ranking": (100, 130),
    "sklearn.metrics.tests.test_classification": (45, 30),
    # It tries each array library that is installed.
    "sklearn.metrics.tests.test_common": (75, 160) if importlib.util.find_spec("torch") else (70, 130),
    "calibration.util_test": (39, 55),
    "mapie.tests.test_metrics": (9, 10),
}
# The suites of older versions are smaller: counted are those of the oldest that pyproject.toml allows.
COUNTED_IN = {"scipy": (1, 17), "sklearn": (1, 9)}
AT_LEAST_OLDER = {
    "scipy.special.tests.test_logsumexp": (11, 20),
    "scipy.stats.tests.test_entropy": (14, 7),
    "scipy.optimize.tests.test_isotonic_regression": (44, 40),
    "sklearn.tests.test_isotonic": (44, 0),
    "sklearn.tests.test_calibration": (20, 15),
    "sklearn.metrics.tests.test_ranking": (95, 130),
    "sklearn.metrics.tests.test_classification": (45, 25),
    "sklearn.metrics.tests.test_common": (65, 130),
}


def at_least(module):
    library = module.partition(".")[0]
    if library not in COUNTED_IN:
        return AT_LEAST[module]
    version = tuple(int(part) for part in importlib.import_module(library).__version__.split(".")[:2])
    return (AT_LEAST_OLDER if version < COUNTED_IN[library] else AT_LEAST)[module]


@functools.cache
def outcomes(left_out=False):
    """How many tests of each module passed and failed: of those that are run, or of those that are left out."""
    modules = " ".join(module for module in (LEFT_OUT if left_out else FACES) if installed(module))
    command = f"-m pytest -q -p their_suites --pyargs {modules}"
    result = subprocess.run(
        [sys.executable, *command.split(), "-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings="],
        cwd=Path(__file__).parent,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "MPLBACKEND": "agg",
            "FASTCAL_LEFT_OUT": str(int(left_out)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return result, json.loads(re.search(r"^outcomes: (.*)$", result.stdout, re.MULTILINE)[1])


def skip_without(module):
    if not installed(module):
        pytest.skip(f"{module} is not installed")


@pytest.mark.parametrize("module", FACES)
def test_their_own_tests_pass(module):
    skip_without(module)
    result, found = outcomes()
    assert "failed" not in found[module], result.stdout
    n_passed, n_answered = at_least(module)
    assert found[module]["passed"] >= n_passed  # what is left out is listed in their_suites.py
    assert found[module].get("answered", 0) >= n_answered
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", LEFT_OUT)
def test_what_is_left_out_would_fail(module):
    skip_without(module)
    result, found = outcomes(left_out=True)
    assert "passed" not in found[module], result.stdout
    assert found[module]["failed"] == len(LEFT_OUT[module])


@pytest.mark.parametrize("library", SHIP_NO_TESTS)
def test_these_libraries_ship_no_tests_of_what_is_ours(library):
    """Where one does after all, it belongs into their_suites.py."""
    skip_without(library)
    root = Path(importlib.util.find_spec(library).origin).parent
    files = [one for pattern in ("test_*.py", "*_test.py") for one in root.rglob(pattern)]
    about_ours = [str(one) for one in files if re.search(SHIP_NO_TESTS[library], one.read_text(errors="replace"))]
    assert about_ours == []


# Examples of docstrings


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_in_their_docstrings_print_what_they_say(module, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    pytest.importorskip(module)
    found = {name: their_examples.run(module, name) for name in their_examples.names(module)}
    assert {name: one.failed for name, one in found.items() if one.failed} == {}
    untried = {name for name, one in found.items() if one.tried == 0}
    assert untried == set(WITHOUT_EXAMPLES.get(module, ()))


def test_wrong_numbers_are_noticed():
    check = their_examples.Numbers().check_output
    assert check("tensor([0.3333, nan])\n", "tensor([0.33332, nan])\n", 0)
    assert check("0.5\n", "np.float64(0.5)\n", 0)
    assert not check("0.5\n", "0.501\n", 0)
    assert not check("[0.5, 0.25]\n", "[0.5]\n", 0)
    assert not check("tensor(0.5)\n", "array(0.5)\n", 0)
