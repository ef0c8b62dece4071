"""pytest-benchmark's compare reads the figures that ``ci/bench`` keeps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark", reason="needs the bench extra")
ROOT = Path(__file__).parents[1]
CASE = "risk_at_coverage-confidences-fastcal"


def command(*arguments, cwd=ROOT):
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_compare_reads_two_of_them(tmp_path):
    script = (ROOT / "ci" / "bench").read_text()
    assert 'python -m pytest bench -k fastcal --benchmark-json "$name.pytest-benchmark.json"' in script
    one, other = (tmp_path / f"{name}.pytest-benchmark.json" for name in ("2020-01-01-abc", "2020-01-02-def"))
    command("pytest", "bench", "-k", CASE, "--benchmark-json", str(one))
    (found,) = json.loads(one.read_text())["benchmarks"]
    assert found["name"] == f"test_bench[{CASE}]"
    assert found["stats"]["rounds"] >= 5
    shutil.copy(one, other)
    compare = ("pytest_benchmark", "compare", "--sort=name", *map(os.fspath, (one, other)))
    lines = [line for line in command(*compare, cwd=tmp_path).splitlines() if CASE in line]
    assert len(lines) == 2, "a line for each file"
    assert "2020-01-01-a" in lines[0] + lines[1]
    assert "2020-01-02-d" in lines[0] + lines[1]
