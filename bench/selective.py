"""AURC of five million rows beside the two ways that there are: an argsort and a cumulated sum, with NumPy or torch.

Answers are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores. The rule
of torch-uncertainty is written out here: its package needs Lightning, and its class keeps copies, which take longer.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

import fastcal as fc

from .race import Call, Trial

ROWS = 5_000_000
OF_SCORES = "float32 confidences, errors 0/1"
OF_PROBS = "float32 P(y = 1), int64 labels"
OF_ROWS = "float32 rows of 2 classes, int64 labels"
AIM = {"numpy": 5, "torch": 5}

TRIALS = [Trial("aurc", name, ROWS, AIM, "sort", 1) for name in (OF_SCORES, OF_PROBS, OF_ROWS)]
TRIALS += [
    Trial("augrc", OF_PROBS, ROWS, AIM, "sort", 1),
    Trial("SelectiveAccumulator", f"{OF_PROBS}, in 5 batches", ROWS, AIM, "read", 12),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ.

    In float32 some confidences are equal, and a sort leaves them in any order: of the mean of five million risks that
    is a millionth. Ours is compared exactly, too, where each confidence is there once.
    """
    rng = np.random.default_rng(0)
    p = rng.random(trial.n_rows, np.float32)
    y = (rng.random(trial.n_rows) < p).astype(np.int64)
    calls = of_scores(p, y) if trial.given == OF_SCORES else of_outputs(trial, p, y)
    for name, call in calls.items():  # torch adds in float32
        rtol = 1e-4 if name == "torch" else 1e-6
        np.testing.assert_allclose(float(call()), calls["fastcal"](), rtol=rtol, err_msg=name)
    once, odd = rng.permutation(10_000), rng.random(10_000) < 0.1
    ours = fc.aurc(1 - odd, np.full(len(odd), 0.75), confidence=once)
    np.testing.assert_allclose(ours, with_numpy(once, odd, False), rtol=1e-13)
    return calls


def of_scores(p: np.ndarray, y: np.ndarray) -> dict[str, Call]:
    """AURC of confidences and errors that are there already."""
    confidence, wrong = np.maximum(p, 1 - p), ((p > 0.5) != y).astype(np.uint8)
    right, half = 1 - wrong, np.full(len(p), 0.75, np.float32)  # class 1 is predicted, and is it or not
    calls: dict[str, Call] = {
        "fastcal": lambda: fc.aurc(right, half, confidence=confidence),
        "numpy": lambda: with_numpy(confidence, wrong, False),
        "numpy sort of keys": lambda: with_keys(confidence, wrong),
    }
    if find_spec("torch"):
        import torch

        tensors = torch.from_numpy(confidence), torch.from_numpy(wrong)
        calls["torch"] = lambda: with_torch(*tensors, False)
    return calls


def of_outputs(trial: Trial, p: np.ndarray, y: np.ndarray) -> dict[str, Call]:
    """From what a classifier gives, and labels."""
    given = np.stack([1 - p, p], axis=1) if trial.given == OF_ROWS else p
    weighed = trial.work == "augrc"
    calls: dict[str, Call] = {
        "fastcal": lambda: getattr(fc, trial.work)(y, given),
        "numpy": lambda: with_numpy(*judged(given, y), weighed),
    }
    if trial.work == "SelectiveAccumulator":
        calls["fastcal"] = lambda: streamed(y, p)
    if find_spec("torch"):
        import torch

        tensors = torch.from_numpy(given), torch.from_numpy(y)
        calls["torch"] = lambda: with_torch(*judged_tensors(*tensors), weighed)
    return calls


def judged(given: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and errors with NumPy."""
    if given.ndim > 1:
        return given.max(axis=1), given.argmax(axis=1) != y
    return np.maximum(given, 1 - given), (given > 0.5) != y


def judged_tensors(given, y):
    """With torch."""
    import torch

    if given.ndim > 1:
        confidence, predicted = given.max(-1)
        return confidence, predicted != y
    return torch.maximum(given, 1 - given), (given > 0.5) != y


def with_numpy(confidence: np.ndarray, wrong: np.ndarray, weighed: bool) -> float:
    """An argsort and a cumulated sum; of all ways to turn the order around this was the fastest."""
    errors = np.cumsum(wrong[np.argsort(confidence)[::-1]])
    n = len(errors)
    return errors.mean() / n if weighed else (errors / np.arange(1, n + 1)).mean()


def with_keys(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """What one may write for float32 from 0 up: their bits are in order and leave room for the error, as ours do.

    Nobody's library does; it has no aim.
    """
    keys = confidence.view(np.uint32) << np.uint32(1) | wrong
    keys.sort()
    errors = np.cumsum(keys[::-1] & np.uint32(1), dtype=np.int32)
    return (errors / np.arange(1, len(errors) + 1)).mean()


def with_torch(confidence, wrong, weighed):
    """The same, with the trapezoid of torch-uncertainty 0.13."""
    import torch

    n = len(confidence)
    coverage = torch.arange(1, n + 1) / n
    errors = wrong.to(confidence.dtype)[confidence.argsort(descending=True)]
    risks = errors.cumsum(-1) / torch.arange(1, n + 1, dtype=confidence.dtype)
    return torch.trapezoid(risks * coverage if weighed else risks, coverage) / (1 - 1 / n)


def streamed(y: np.ndarray, p: np.ndarray) -> float:
    """In five batches; off by no more than it says."""
    accumulator = fc.SelectiveAccumulator()
    for start in range(0, len(p), -(-len(p) // 5)):
        rows = slice(start, start + -(-len(p) // 5))
        accumulator.update(y[rows], p[rows])
    report = accumulator.compute()
    assert report["aurc_bound"] < 1e-5
    return report["aurc"]
