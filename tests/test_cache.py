"""Compiled kernels on disk: never stale after an upgrade, not needed, and not written where they are not wanted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JIT

import fastcal

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")

CALL = """
import sys; sys.path.insert(0, {path!r})
import numpy as np
from fastcal.kernels import binning
cells = np.zeros((1, 2, 4), np.int64)
table = (np.arange(binning.CELLS + 1) > binning.CELLS // 2).astype(np.uint16)
rows = np.array([0.25, 0.75]), np.array([0, 1], np.uint8)
binning.add(*rows, np.array([0.5, np.inf]), table, 0.0, 1.0, None, cells)
from fastcal.kernels import exact
digits = np.zeros((1, exact.N_LIMBS), np.int64)
exact.add(np.array([1.0, 2.0]), np.empty(0), digits)
counted = sum(cells[0, :, binning.ROWS] & 0xFFFFFFFF)
print(counted, int(digits[0, 33]) >> 18, sum(binning.add.stats.cache_hits.values()))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, with a cache of its own."""
    shutil.copytree(Path(fastcal.__file__).parent, tmp_path / "fastcal", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def call(package, **environment):
    own = {"NUMBA_CACHE_DIR": str(package / "cache"), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FASTCAL", "NUMBA"))} | own
    code = CALL.format(path=str(package))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return [int(word) for word in done.stdout.split()]


def test_an_upgrade_runs_no_stale_code(package):
    assert call(package) == [2, 3, 0]
    assert call(package) == [2, 3, 1], "the second process loads from the cache"
    # An upgrade changes a helper in another file than the kernel's own, and keeps that file's time and size.
    helper = package / "fastcal" / "kernels" / "exact.py"
    stamp = helper.stat()
    changed = helper.read_text().replace("sign = np.int64(-1) if", "sign = np.int64(-1) if ", 1)
    changed = changed.replace("else np.int64(1)\n    limbs", "else np.int64(2)\n    limbs", 1)
    assert changed != helper.read_text()
    helper.write_text(changed)
    os.utime(helper, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert call(package) == [2, 6, 0], "the helper's change reaches the sum, and every kernel compiles anew"


def test_a_change_in_one_file_recompiles_the_kernels_of_the_others(package):
    call(package)
    rows = package / "fastcal" / "kernels" / "elementary.py"
    rows.write_text(rows.read_text() + "\n# changed\n")
    assert call(package)[2] == 0


def test_the_cache_can_be_switched_off(package):
    assert call(package, FASTCAL_CACHE="0") == [2, 3, 0]
    assert call(package, FASTCAL_CACHE="0") == [2, 3, 0]
    assert not (package / "cache").exists()


def test_no_folder_to_cache_in_is_no_failure(package):
    nowhere = package / "file"
    nowhere.write_text("")
    unwritable = str(nowhere / "below")  # below a file: not even root can make it
    shutil.copytree(package / "fastcal", package / "other" / "fastcal")
    (package / "other" / "fastcal" / "kernels" / "__pycache__").write_text("")  # in the way of the folder
    environment = {"NUMBA_CACHE_DIR": "", "HOME": unwritable, "XDG_CACHE_HOME": unwritable}
    assert call(package / "other", **environment) == [2, 3, 0]
