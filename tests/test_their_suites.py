"""scipy's and scikit-learn's own tests pass when their names are pointed at ours."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JIT
from their_suites import FACES

pytestmark = pytest.mark.skipif(not JIT, reason="compiled code only")

# Tests that pass, and calls that ours answers itself: the others are complex numbers, wrong inputs and the like.
AT_LEAST = {
    "scipy.special.tests.test_logsumexp": (400, 50),
    "scipy.stats.tests.test_entropy": (15, 7),
    "scipy.optimize.tests.test_isotonic_regression": (45, 40),
    "sklearn.tests.test_isotonic": (44, 0),  # of which nothing is handed on
    "sklearn.tests.test_calibration": (15, 15),
    "sklearn.metrics.tests.test_ranking": (100, 130),
    "sklearn.metrics.tests.test_classification": (45, 30),
}


@functools.cache
def outcomes():
    modules = " ".join(module for module in FACES if importlib.util.find_spec(module))
    command = f"-m pytest -q -p their_suites --pyargs {modules}"
    result = subprocess.run(
        [sys.executable, *command.split(), "-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings="],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result, json.loads(re.search(r"^outcomes: (.*)$", result.stdout, re.MULTILINE)[1])


@pytest.mark.parametrize("module", FACES)
def test_their_own_tests_pass(module):
    if importlib.util.find_spec(module) is None:
        pytest.skip("installed without its tests")
    result, found = outcomes()
    assert "failed" not in found[module], result.stdout
    n_passed, n_answered = AT_LEAST[module]
    assert found[module]["passed"] >= n_passed  # what is left out is listed in their_suites.py
    assert found[module].get("answered", 0) >= n_answered
    assert result.returncode == 0, result.stdout
