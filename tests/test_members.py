"""Members in files: what is said of those that cannot be read, and how much memory many Parquet files take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcal as fc
from fastcal.dumps.batches import DumpError
from fastcal.dumps.members import open_scores

pa = pytest.importorskip("pyarrow", reason="Parquet needs the io extra")
import pyarrow.parquet as pq  # noqa: E402

RNG = np.random.default_rng(3)

# Extra megabytes while all files are read side by side, as an ensemble reads them: 8 MB of scores at once.
READ_ALL = """
import contextlib, sys
from pathlib import Path
import fastcal.dumps.members as members, numpy, pyarrow.parquet

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

def read_all(paths, n_rows, step=(1 << 23) // (10 * 10 * 4)):
    with contextlib.ExitStack() as stack:
        n_bytes = (1 << 23) // len(paths)
        files = [stack.enter_context(members.open_scores(p, from_logits=False, n_bytes=n_bytes)) for p in paths]
        for start in range(0, n_rows, step):
            rows = [file.read(min(step, n_rows - start)) for file in files]
    return rows

paths = [Path(name) for name in sys.argv[2:]]
read_all(paths[:1], 10)
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
read_all(paths, int(sys.argv[1]))
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are told by Linux")
@pytest.mark.parametrize("layout", ["a column a class", "lists"])
def test_ten_parquet_files_are_read_in_little_memory(tmp_path, layout):
    n_rows = 200_000
    scores = np.full((n_rows, 10), 0.1, np.float32) + RNG.normal(size=(n_rows, 1)).astype(np.float32) * 1e-6
    flat = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), 10)
    table = {"probs": flat} if layout == "lists" else {f"probs_{k}": scores[:, k] for k in range(10)}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    command = [sys.executable, "-c", READ_ALL, str(n_rows), *[str(tmp_path / "m.parquet")] * 10]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 48


TABLE = RNG.random((5, 3))
SAID = {
    "Fortran.npz": ({"a": np.asfortranarray(TABLE)}, "of two axes it has none; a in .* is stored column by column"),
    "axes.npz": ({"a": np.zeros((5, 2, 3))}, r"of two axes it has none; a has shape \(5, 2, 3\)$"),
    "pickle.npz": ({"a": np.array([print], object)}, "of two axes it has none; a in .* holds Python objects, a pickle"),
    "many.npz": ({"a": TABLE, "b": TABLE}, "of two axes it has a, b$"),
    "nothing.npz": ({}, "of two axes it has none$"),
    "logits.npz": ({"logits": TABLE}, "of two axes it has logits; say from_logits=True"),
    "columns.parquet": ({"logits_0": [0.5], "logits_1": [0.5]}, "of two axes it has none; say from_logits=True"),
    "numbers.parquet": ({"a": [0.5]}, "of two axes it has none$"),
}


@pytest.mark.parametrize("name", SAID)
def test_why_no_array_is_found(tmp_path, name):
    arrays, message = SAID[name]
    if name.endswith(".npz"):
        np.savez(tmp_path / name, **arrays)
    else:
        pq.write_table(pa.table(arrays), tmp_path / name)
    message = r"has no single array named 'probs' or .*; " + message
    with pytest.raises(DumpError, match=message), open_scores(tmp_path / name, from_logits=False, n_bytes=1):
        pass


def test_a_single_table_is_found_beside_others(tmp_path):
    np.savez(tmp_path / "d.npz", a=TABLE, b=np.zeros(5), c=np.asfortranarray(TABLE))
    with open_scores(tmp_path / "d.npz", from_logits=False, n_bytes=1) as file:
        np.testing.assert_array_equal(file.read(5), TABLE)
    assert len(fc.ensemble_uncertainty([tmp_path / "d.npz"], from_logits=True).prediction) == 5
