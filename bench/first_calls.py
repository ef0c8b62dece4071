"""What comes before the first result: imports by ``python -X importtime``, and first calls of a fresh process.

``python -m bench.first_calls`` makes one call of every kernel of a report, on few rows of each kind of float32, and is
timed as a whole.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import tempfile

import numpy as np

from .machine import PYTHON, ROOT, seconds, turn_about
from .record import Whole

# Each public module, and what its users have imported anyway.
MODULES = {
    "fastcal": "numpy",
    "fastcal.jit": "numba",
    "fastcal.integrations.sklearn": "sklearn.calibration",
    "fastcal.integrations.torch": "torchmetrics",
    "fastcal.integrations.dask": "dask.array",
    "fastcal.compat.sklearn": "sklearn.isotonic",
    "fastcal.compat.scipy": "scipy.special",
    "fastcal.compat.torchmetrics": "torchmetrics",
}
AT_MOST = 1.25  # times the import of what they are for
ONE_CALL = "import numpy as np, fastcal; fastcal.ece(np.arange(1000) % 2, np.linspace(0, 1, 1000, dtype=np.float32))"


def main() -> None:
    """Narrow and wide rows and single scores, as logits and as probabilities, and weights."""
    import fastcal as fc

    rng = np.random.default_rng(0)
    for n_classes in (0, 10, 200):
        logits = rng.standard_normal((200, n_classes or 2), np.float32)
        probs = np.exp(logits)
        probs /= probs.sum(axis=1, keepdims=True)
        labels = rng.integers(0, n_classes or 2, len(logits))
        for from_logits, scores in ((True, logits), (False, probs)):
            given = scores if n_classes else scores[:, 1]
            fc.Evaluation(from_logits=from_logits).update(labels, given).compute()
    fc.Evaluation().update(labels, probs, sample_weight=rng.random(len(labels))).compute()


def imported(module: str) -> tuple[float, float]:
    """Seconds that the import of a module takes in a fresh process, and those that are spent in modules of ours."""
    done = subprocess.run(
        [PYTHON, "-X", "importtime", "-c", f"import {module}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    whole = own = 0.0
    for line in done.stderr.splitlines():
        if not line.startswith("import time:") or "[us]" in line:
            continue
        alone, total, name = line.removeprefix("import time:").split("|")
        if name.startswith(" ") and not name.startswith("  ") and name.strip() != "site":
            whole += float(total)  # what is not imported by another module; the interpreter's own start is little
        if name.strip().split(".")[0] == "fastcal":
            own += float(alone)
    return whole / 1e6, own / 1e6


def imports(repeats: int) -> list[Whole]:
    """Each public module against the bare import of the library that it is for, in turns; medians."""
    found = []
    for module, library in MODULES.items():
        if importlib.util.find_spec(library.split(".")[0]) is None or importlib.util.find_spec(module) is None:
            continue
        times = [(imported(module), imported(library)) for _ in range(repeats)]
        ours, own = (statistics.median(values) for values in zip(*(one for one, _ in times), strict=True))
        theirs = statistics.median(whole for _, (whole, _) in times)
        note = f"{ours * 1e3:.0f} ms against {theirs * 1e3:.0f} ms, {own * 1e3:.1f} ms of them in our modules"
        found.append(Whole("import", f"import {module}", ours / theirs, f"x import {library}", AT_MOST, note=note))
    return found


def first_call(repeats: int) -> list[Whole]:
    """One ECE of a fresh process, with an empty cache and with that cache, and the start of the command line."""
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            cache = f"{folder}/{number}"
            cold.append(seconds("-c", ONE_CALL, FASTCAL_CACHE_DIR=cache))
            warm.append(seconds("-c", ONE_CALL, FASTCAL_CACHE_DIR=cache))
    times = turn_about({"numba": ("-c", "import numba"), "help": ("-m", "fastcal", "--help")}, repeats)
    found = []
    for what, value in (
        ("one ece, empty cache", statistics.median(cold)),
        ("one ece, filled cache", statistics.median(warm)),
        ("fastcal --help", times["help"]),
    ):
        note = f"{value:.2f} s, import numba {times['numba']:.2f} s"
        found.append(Whole("import", what, value / times["numba"], "x import numba", note=note))
    return found


if __name__ == "__main__":
    main()
