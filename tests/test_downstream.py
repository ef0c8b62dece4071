"""Somebody else's package, tests/downstream, built on fastcal: it installs, its types check, its own tests pass."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import JIT

SOURCE = Path(__file__).parent / "downstream"
ROOT = SOURCE.parent.parent

pytestmark = pytest.mark.skipif(not JIT, reason="it has no kernels of ours, and its own are compiled")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package's wheel in it, as an installer would leave it: nothing is asked of any network."""
    folder = tmp_path_factory.mktemp("downstream")
    source = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return folder, site


def run(installed, *command, **environment):
    folder, site = installed
    paths = os.pathsep.join([str(site), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder / "source", env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_tests_pass(installed):
    assert "9 passed" in run(installed, "-m", "pytest", "-p", "no:cacheprovider")


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs the dev extra")
def test_its_types_check(installed):
    cache = ROOT / ".mypy_cache" / "downstream"  # 2 s with it, 15 without
    assert "Success" in run(installed, "-m", "mypy", "--strict", "--cache-dir", str(cache), "-p", "calibkit")
