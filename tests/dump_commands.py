"""Commands on dumps run within this process, which takes a hundredth of the time of one of their own."""

from __future__ import annotations

import numpy as np
from commands import keep_parser

import fastcal as fc


def ran(capsys, *arguments):
    """Exit code, standard output and the lines of standard error."""
    from fastcal.cli.app import run

    keep_parser()
    try:
        code = run([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    return code, said.out, said.err.splitlines()


def refused(capsys, *arguments):
    """The one line of a command that ends with exit code 2, having printed nothing else."""
    code, out, lines = ran(capsys, *arguments)
    assert (code, out, len(lines)) == (2, "", 1), (code, out, lines)
    assert lines[0].startswith("fastcal: ")
    return lines[0].removeprefix("fastcal: ")


def names_in(folder):
    """All paths below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def logits_and_labels(n, n_classes, seed=0, dtype=np.float32):
    """Overconfident logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, n_classes)).astype(dtype)
    labels = np.where(rng.random(n) < 0.6, logits.argmax(axis=1), rng.integers(0, n_classes, n))
    return logits, labels


def fitted(n_classes, path, *, binary=False, method=fc.TemperatureScaling, **parameters):
    """A calibrator, saved."""
    logits, labels = logits_and_labels(200, n_classes, 7)
    scores = logits[:, 1] - logits[:, 0] if binary else logits
    made = method(**parameters).fit(scores, labels)
    made.save(path)
    return made


def applied(capsys, source, out, *options):
    """Run `fastcal apply` with the calibrator in the folder."""
    code, said, problems = ran(capsys, "apply", "cal.json", source, "-o", out, *options)
    assert (code, problems) == (0, []), problems
    assert said.endswith("added\n")


def list_of(values, kind):
    """Rows as a column of lists."""
    import pyarrow as pa

    flat = pa.array(values.reshape(-1))
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    offsets = np.arange(len(values) + 1) * values.shape[1]
    made = pa.LargeListArray if kind == "large" else pa.ListArray
    return made.from_arrays(pa.array(offsets.astype(np.int64 if kind == "large" else np.int32)), flat)
