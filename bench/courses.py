"""The row kernels on courses of their own: shapes, precisions and ways of calling, each with what it has to reach.

Answers are asserted to be equal before anything is timed. Shares of the machine's bandwidth come from the same run: a
parallel copy (bytes read and written) where a result of the same size is written, a parallel read otherwise.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

import fastcal as fc

from .race import Call, Trial

SOFTMAX, NEW, SUMMARY = "softmax, out=", "softmax, new result", "softmax_summary"
SELF = "itself, float32 rows"  # which halves may be no slower than
SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def course(
    work: str, shape: tuple[int, int], dtype: str = "float32", *, share: float | None = None, **aims: float
) -> Trial:
    """One line; a result of the input's size is written by softmax."""
    n_rows, n_classes = shape
    written = work in (SOFTMAX, NEW)
    n_bytes = n_classes * SIZES[dtype] * (2 if written else 1)
    by_peer = {**aims, SELF: 1} if SIZES[dtype] == 2 else aims
    words = f"x {n_classes:,} {dtype}"
    return Trial(work, words, n_rows, by_peer, "copy" if written else "read", n_bytes, share, of=(n_classes, dtype))


TRIALS = [
    course(SOFTMAX, (50_000, 1000), share=0.7, torch=2),
    course(NEW, (50_000, 1000), torch=4, scipy=9),
    course(SOFTMAX, (4_000_000, 10), torch=3),
    course(SOFTMAX, (20_000_000, 2), torch=8),
    course(SUMMARY, (50_000, 1000), share=0.33, torch=18),
    course(SUMMARY, (1000, 50_000), share=0.33, torch=15),
    course(SUMMARY, (4_000_000, 10), torch=12),
    course(SUMMARY, (20_000_000, 2), torch=15),
    course(SUMMARY, (50_000, 1000), "float16", torch=15),
    course(SUMMARY, (50_000, 1000), "bfloat16", torch=15),
    course(SUMMARY, (50_000, 1000), "float64", torch=10),
    course("entropy", (50_000, 1000), scipy=20),
]

TOLERANCE = {"float16": 4e-2, "bfloat16": 3e-1, "float32": 2e-5, "float64": 1e-11}


def scores(trial: Trial) -> np.ndarray:
    """Logits; bfloat16 as its bits."""
    n_classes, dtype = trial.of
    logits = np.random.default_rng(0).standard_normal((trial.n_rows, n_classes), np.float32) * 3
    if dtype == "bfloat16":
        return (logits.view(np.uint32) >> 16).astype(np.uint16)
    return logits.astype(dtype, copy=False)


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    dtype, given = trial.of[1], scores(trial)
    calls = {SUMMARY: summaries, "entropy": entropies}.get(trial.work, softmaxes)(trial, given)
    ours = calls["fastcal"]()
    for name, theirs in calls.items():
        if name != "fastcal":
            assert_same(dtype, ours, theirs())
    if SELF in trial.aims:
        single = (given.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else given.astype(np.float32)
        calls[SELF] = lambda: fc.softmax_summary(single)
        np.testing.assert_allclose(ours.logsumexp, calls[SELF]().logsumexp, rtol=TOLERANCE["float32"])
        np.testing.assert_allclose(ours.entropy, calls[SELF]().entropy, rtol=TOLERANCE["float32"])
    return calls


def summaries(trial: Trial, given: np.ndarray) -> dict[str, Call]:
    """Beside torch's log_softmax, logsumexp, entropy and max."""
    options = {"dtype": "bfloat16"} if trial.of[1] == "bfloat16" else {}
    calls: dict[str, Call] = {"fastcal": lambda: fc.softmax_summary(given, **options)}
    return calls | ({"torch": _torch_summary(given)} if find_spec("torch") else {})


def entropies(_: Trial, given: np.ndarray) -> dict[str, Call]:
    """Of probabilities."""
    from scipy.special import entr

    probs = fc.softmax(given)
    return {"fastcal": lambda: fc.entropy(probs), "scipy": lambda: entr(probs).sum(axis=-1)}


def softmaxes(trial: Trial, given: np.ndarray) -> dict[str, Call]:
    """Into arrays that are there, or into new ones."""
    from scipy.special import softmax

    calls: dict[str, Call] = {"fastcal": lambda: fc.softmax(given), "scipy": lambda: softmax(given, axis=-1)}
    into = np.zeros_like(given)
    if trial.work == SOFTMAX:
        calls = {"fastcal": lambda: fc.softmax(given, out=into)}
    if find_spec("torch"):
        import torch

        tensor, theirs = torch.from_numpy(given), torch.from_numpy(np.zeros_like(given))
        kept = {"out": theirs} if trial.work == SOFTMAX else {}
        calls["torch"] = lambda: torch.softmax(tensor, -1, **kept).numpy()
    return calls


def _torch_summary(given: np.ndarray) -> Call:
    """torch's log_softmax, logsumexp, entropy and max, in the dtype given."""
    import torch

    z = torch.from_numpy(given.view(np.int16) if given.dtype == np.uint16 else given)
    z = z.view(torch.bfloat16) if given.dtype == np.uint16 else z

    def call() -> dict[str, Any]:
        log_p = torch.log_softmax(z, -1)
        p = log_p.exp()
        found = {"logsumexp": torch.logsumexp(z, -1), "entropy": -(p * log_p).sum(-1)}
        largest = z.max(-1)
        return {**found, "prediction": largest.indices}

    return call


def assert_same(dtype: str, ours: Any, theirs: Any) -> None:
    """Raises AssertionError where answers differ by more than the rounding of the coarser one."""
    tolerance = TOLERANCE[dtype]
    if not isinstance(theirs, dict):
        np.testing.assert_allclose(ours, theirs, rtol=5 * tolerance, atol=tolerance)
        return
    for name in ("logsumexp", "entropy"):
        np.testing.assert_allclose(getattr(ours, name), theirs[name].double().numpy(), rtol=tolerance, atol=tolerance)
    if dtype not in ("float16", "bfloat16"):  # there ties are many, and torch takes any of them
        np.testing.assert_array_equal(ours.prediction, theirs["prediction"].numpy())
