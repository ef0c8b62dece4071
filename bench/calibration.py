"""Calibration errors against their peers, the time of replicates and slices against one figure, and sizes of states.

Answers are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

import numpy as np
from comparisons import assert_same, generate
from peers import CALIBRATION_ERRORS, N_BINS, available

import fastcal as fc

from .race import Call, Trial
from .record import Whole

ECE, CLASS_WISE, EQUAL_MASS, SMOOTH = "ece", "classwise_ece", "adaptive_ece", "smooth_ece"
REPLICATES, SLICES, REPORT = "1000 replicates of ece", "Evaluation(groups=True)", "Evaluation"
UNIFORM, PEAKED = "float32 uniform, int64 labels", "float32, 9 of 10 within 1e-3 of 1"
SOFTMAX, FEW_CLASSES = "x 100 float32 softmax rows", "x 10 float32 softmax rows"
LOGITS = "x 10 float32 logits"

ROWS_A_SLICE = 100
ONE_ECE, ONE_REPORT = "one ece", "one Evaluation"
ECE_AIMS = {"numpy": 8, "torchmetrics": 40, "netcal": 80}

# `calibration` (get_ece, mode="marginal") gives the same from lists of tuples, and takes 0.8 us a probability: 80 s.
CLASS_WISE_AIMS = dict.fromkeys(("numpy", "numpy, transposed", "numpy, one bincount", "torchmetrics"), 20)
EQUAL_MASS_AIMS = dict.fromkeys(("numpy argsort", "numpy sort", "numpy sort of keys"), 5)

TRIALS = [
    Trial(ECE, UNIFORM, 20_000_000, ECE_AIMS, "read", 12),
    Trial(ECE, PEAKED, 20_000_000, ECE_AIMS, "read", 12),
    Trial(CLASS_WISE, SOFTMAX, 1_000_000, CLASS_WISE_AIMS, "read", 408),
    Trial(EQUAL_MASS, UNIFORM, 20_000_000, EQUAL_MASS_AIMS, "sort", 1),
    Trial(SMOOTH, UNIFORM, 1_000_000, {"relplot": 5}, "read", 12),
    Trial(REPLICATES, UNIFORM, 1_000_000, {ONE_ECE: 1 / 100}),
    Trial(REPLICATES, FEW_CLASSES, 1_000_000, {ONE_ECE: 1 / 100}),
    Trial(SLICES, f"{LOGITS}, slices of {ROWS_A_SLICE}", 1_000_000, {ONE_REPORT: 1 / 1.5}, "read", 56),
    Trial(REPORT, LOGITS, 1_000_000, {}, "read", 48),
]


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    make = {
        ECE: errors,
        CLASS_WISE: class_wise,
        EQUAL_MASS: equal_mass,
        SMOOTH: smooth,
        REPLICATES: replicates,
        SLICES: slices,
        REPORT: report,
    }
    return make[trial.work](trial)


# Inputs


def confidences(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """int64 labels and float32 scores: calibrated ones, or those of a model that is nearly always sure."""
    rng = np.random.default_rng(0)
    n, draw = trial.n_rows, np.float32
    scores = rng.random(n, draw)
    if trial.given == PEAKED:
        scores = np.where(rng.random(n, draw) < 0.9, 1 - draw(1e-3) * rng.random(n, draw), scores)
        return (rng.random(n, draw) < 0.8 * scores).astype(np.int64), scores
    return (rng.random(n, draw) < scores).astype(np.int64), scores


def rows(trial: Trial, kind: str = "rows") -> tuple[np.ndarray, np.ndarray]:
    """int64 labels and float32 rows of as many classes as the trial says."""
    given = generate(kind, trial.n_rows, int(trial.given.split()[1]), np.float32)
    return given.y_true, given.scores


# Trials


def errors(trial: Trial) -> dict[str, Call]:
    """ECE of confidences, and the peers of the table of comparisons.

    torchmetrics is compared on some rows only: its float32 counts stop at 2^24, which peaked scores reach in one bin.
    """
    y, p = confidences(trial)
    found: dict[str, Call] = {"fastcal": lambda: fc.ece(y, p)}
    for name in ECE_AIMS:
        peer = CALIBRATION_ERRORS["l1"][name]
        if not available(peer):
            continue
        found[name] = partial(peer.compute, y, p, None)
        some = slice(1_000_000 if name == "torchmetrics" else None)
        assert_same(fc.ece(y[some], p[some]), peer.compute(y[some], p[some], None), peer.tolerance_for(p[some]))
    return found


def class_wise(trial: Trial) -> dict[str, Call]:
    """Class-wise ECE, and five ways to it: the loops that people write, and what makes NumPy fastest."""
    y, probs = rows(trial)
    calls: dict[str, Call] = {
        "fastcal": lambda: fc.classwise_ece(y, probs),
        "numpy": lambda: _of_columns(y, probs.T),
        "numpy, transposed": lambda: _of_columns(y, np.ascontiguousarray(probs.T)),
        "numpy, one bincount": lambda: _in_blocks(y, probs, len(y)),
        "numpy, blocks": lambda: _in_blocks(y, probs, 1000),  # which stay in the caches
    }
    if available(CALIBRATION_ERRORS["l1"]["torchmetrics"]):
        calls["torchmetrics"] = partial(_torchmetrics_of_classes, y, probs)
    return equal(calls, 1e-6, torchmetrics=1e-9 * len(y))


def equal_mass(trial: Trial) -> dict[str, Call]:
    """ECE over bins of equal mass, from rows in order by an argsort, a sort, or a sort of scores with their labels."""
    y, p = confidences(trial)
    calls: dict[str, Call] = {
        "fastcal": lambda: fc.adaptive_ece(y, p),
        "numpy argsort": lambda: _by_argsort(y, p),
        "numpy sort": lambda: _by_sort(y, p),
        "numpy sort of keys": lambda: _by_keys(y, p),
    }
    return equal(calls, 1e-9)


def smooth(trial: Trial) -> dict[str, Call]:
    """Smooth ECE; relplot counts rows near 0 and 1 half, on a grid of 0.001."""
    y, p = confidences(trial)
    calls: dict[str, Call] = {"fastcal": lambda: fc.smooth_ece(y, p)}
    if find_spec("relplot"):
        from relplot import smECE

        calls["relplot"] = lambda: smECE(p, y)
    return equal(calls, 2e-3)


def replicates(trial: Trial) -> dict[str, Call]:
    """A bootstrap interval of ECE against one ECE of the same rows."""
    y, p = confidences(trial) if trial.given == UNIFORM else rows(trial)
    found = fc.confidence_interval("ece", y, p, random_state=0)
    assert found.estimate == fc.ece(y, p)
    assert found.low < found.high
    return {
        "fastcal": lambda: fc.confidence_interval("ece", y, p, random_state=0),
        ONE_ECE: lambda: fc.ece(y, p),
    }


def slices(trial: Trial) -> dict[str, Call]:
    """The report with that of every slice against the report alone, from the rows to the figures."""
    y, logits = rows(trial, "logits")
    codes = np.random.default_rng(1).integers(0, len(y) // ROWS_A_SLICE, len(y))

    def ours() -> fc.EvaluationReport:
        return fc.Evaluation(from_logits=True, groups=True).update(y, logits, groups=codes).compute()

    def one() -> fc.EvaluationReport:
        return fc.Evaluation(from_logits=True).update(y, logits).compute()

    found, plain = ours(), one()
    assert found["ece"] == plain["ece"]
    assert found["nll"] == plain["nll"]
    first = codes == 0
    figures = {name: found["groups"][name][0] for name in ("ece", "accuracy", "nll", "brier")}
    alone = fc.Evaluation(from_logits=True).update(y[first], logits[first]).compute()
    assert_same(figures, {name: alone[name] for name in figures}, {"": 1e-12})
    assert found["groups"]["n"].sum() == len(y)
    return {"fastcal": ours, ONE_REPORT: one}


def report(trial: Trial) -> dict[str, Call]:
    """The report alone, for its time a row; its peers are in the table of comparisons."""
    y, logits = rows(trial, "logits")
    return {"fastcal": lambda: fc.Evaluation(from_logits=True).update(y, logits).compute()}


def equal(calls: dict[str, Call], tolerance: float, **others: float) -> dict[str, Call]:
    """The same calls; raises AssertionError where the numbers that they return are farther from ours than that."""
    ours = calls["fastcal"]()
    for name, call in calls.items():
        np.testing.assert_allclose(call(), ours, rtol=0, atol=tolerance + others.get(name, 0), err_msg=name)
    return calls


# The peers' ways


def _of_columns(y: np.ndarray, columns: np.ndarray) -> float:
    """The mean of the ECE of each class by itself."""
    numpy = CALIBRATION_ERRORS["l1"]["numpy"].compute
    return float(np.mean([numpy((y == k).astype(np.int64), p, None) for k, p in enumerate(columns)]))


def _in_blocks(y: np.ndarray, probs: np.ndarray, size: int) -> float:
    """Class and bin as one number, counted at once for so many rows; labels are looked up, not compared."""
    n_classes = probs.shape[1]
    gaps = np.zeros(n_classes * N_BINS)
    index, first = np.empty((size, n_classes), np.intp), np.arange(n_classes) * N_BINS
    for start in range(0, len(probs), size):
        p, label = probs[start : start + size], y[start : start + size]
        place = np.multiply(p, N_BINS, out=index[: len(p)], dtype=np.float32, casting="unsafe")
        np.minimum(place, N_BINS - 1, out=place)
        place += first
        gaps += np.bincount(place[np.arange(len(p)), label], minlength=len(gaps))
        gaps -= np.bincount(place.ravel(), p.ravel(), len(gaps))
    return float(abs(gaps).sum() / probs.size)


def _torchmetrics_of_classes(y: np.ndarray, probs: np.ndarray) -> float:
    """The mean of the binary error of each class; of columns that are not contiguous it warns."""
    from torch import from_numpy
    from torchmetrics.functional.classification import binary_calibration_error

    labels, columns = from_numpy(y), from_numpy(probs).T.contiguous()
    options = {"n_bins": N_BINS, "validate_args": False}
    return float(
        np.mean([float(binary_calibration_error(p, (labels == k).long(), **options)) for k, p in enumerate(columns)])
    )


def _edges(ordered: np.ndarray) -> np.ndarray:
    """The inner ones of np.quantile's, from scores in order."""
    place = np.linspace(0, len(ordered) - 1, N_BINS + 1)
    low = place.astype(np.intp)
    high = np.minimum(low + 1, len(ordered) - 1)
    return np.unique(ordered[low] + (place - low) * (ordered[high].astype(float) - ordered[low]))[1:-1]


def _of_ordered(p: np.ndarray, y: np.ndarray) -> float:
    """Bins of scores in order are slices."""
    starts = np.append(0, np.searchsorted(p, _edges(p), "right"))
    return float(
        abs(np.add.reduceat(y, starts, dtype=np.int64) - np.add.reduceat(p, starts, dtype=float)).sum() / len(p)
    )


def _by_argsort(y: np.ndarray, p: np.ndarray) -> float:
    order = np.argsort(p)
    return _of_ordered(p[order], y[order])


def _by_sort(y: np.ndarray, p: np.ndarray) -> float:
    index = np.searchsorted(_edges(np.sort(p)), p)
    return float(abs(np.bincount(index, y) - np.bincount(index, p)).sum() / len(p))


def _by_keys(y: np.ndarray, p: np.ndarray) -> float:
    """Bits of scores from 0 to 1 are in their order, and leave room for the label."""
    keys = p.view(np.uint32) << np.uint32(1) | y.astype(np.uint32)
    keys.sort()
    return _of_ordered((keys >> np.uint32(1)).view(np.float32), keys & np.uint32(1))


def states() -> list[Whole]:
    """Bytes of the state of a class-wise report of 1000 classes and 15 bins."""
    rng = np.random.default_rng(0)
    y, probs = rng.integers(0, 1000, 5000), fc.softmax(rng.standard_normal((5000, 1000), np.float32) * 5)
    found = []
    for name, weight in (("", None), (", real weights", rng.exponential(size=len(y)))):
        state = fc.ClasswiseAccumulator(n_bins=N_BINS).update(y, probs, sample_weight=weight).to_bytes()
        found.append(Whole("accumulators", f"class-wise state, 1000 classes{name}", len(state) / 1e6, "MB", 2))
    return found
