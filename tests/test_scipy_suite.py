"""scipy's own tests of softmax, log_softmax and logsumexp pass when they are pointed at ours."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="compiled code only")


def test_scipys_own_tests_pass():
    if importlib.util.find_spec("scipy.special.tests") is None:
        pytest.skip("this scipy came without its tests")
    command = "-m pytest -q -p scipy_suite --pyargs scipy.special.tests.test_logsumexp"
    result = subprocess.run(
        [sys.executable, *command.split(), "-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings="],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    passed = re.search(r"(\d+) passed", result.stdout)
    assert result.returncode == 0, result.stdout
    assert passed is not None
    assert int(passed[1]) >= 20  # what is left out is listed in scipy_suite.py
