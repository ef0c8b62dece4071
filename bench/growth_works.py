"""What is called at growing sizes: each public function whose work grows with rows or classes, and its inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

import fastcal as fc

Call = Callable[[], Any]

FEW_CLASSES, N_MEMBERS, WIDTH = 10, 4, 64
ITERATIONS = 5  # of fits, however many rows: what is measured is the cost of a pass
BATCH = 100_000  # rows of a stream
MOST_DIFFERENT = 1_000_000  # rows of several scores; more are these again


@dataclass(frozen=True)
class Given:
    """Arrays of one kind of input, rows along the first axis; what a kind does not have is None."""

    scores: np.ndarray  # what is read: (N,), (N, K) or (N, width)
    labels: Any = None
    out: np.ndarray | None = None
    members: tuple[np.ndarray, ...] = ()

    def first(self, n: int) -> Given:
        """The first rows of each."""
        parts: dict[str, Any] = {}
        for place in fields(self):
            whole = getattr(self, place.name)
            parts[place.name] = tuple(one[:n] for one in whole) if isinstance(whole, tuple) else whole
            if isinstance(whole, np.ndarray):
                parts[place.name] = whole[:n]
        return Given(**parts)

    @property
    def bytes_a_row(self) -> int:
        """That have to be read at least, and written where there is a result of the same size."""
        arrays = [self.scores, *self.members, *(one for one in (self.labels, self.out) if one is not None)]
        return sum(array.nbytes for array in arrays) // len(self.scores)


def _confidences(n: int, _: int) -> Given:
    rng = np.random.default_rng(0)
    p = rng.random(n, np.float32)
    return Given(p, (rng.random(n, np.float32) < p).astype(np.uint8))


def _normal(n: int, k: int) -> np.ndarray:
    some = min(n, max(MOST_DIFFERENT * FEW_CLASSES // k, 1))
    block = 2 * np.random.default_rng(0).standard_normal((some, k), np.float32)
    found = np.empty((n, k), np.float32)
    for start in range(0, n, some):
        found[start : start + some] = block[: n - start]
    return found


def _labels(scores: np.ndarray) -> np.ndarray:
    """The class of the largest score of three rows in four, any class of the rest."""
    n, k = scores.shape
    rng = np.random.default_rng(1)
    some = scores[: max(MOST_DIFFERENT * FEW_CLASSES // k, 1)]
    labels = np.where(rng.random(len(some)) < 0.75, some.argmax(axis=1), rng.integers(0, k, len(some)))
    return np.resize(labels.astype(np.uint8 if k <= 256 else np.int32), n)


def _logits(n: int, k: int) -> Given:
    logits = _normal(n, k)
    return Given(logits, _labels(logits))


def _both(n: int, k: int) -> Given:
    logits = _normal(n, k)
    return Given(logits, out=np.zeros_like(logits))


def _probs(n: int, k: int) -> Given:
    logits = _normal(n, k)
    return Given(fc.softmax(logits, out=logits), _labels(logits))


def _halves(n: int, k: int) -> Given:
    return Given(_normal(n, k).astype(np.float16))


def _members(n: int, k: int) -> Given:
    one = _probs(n, k)
    return Given(one.scores, one.labels, members=tuple(np.roll(one.scores, m, axis=0) for m in range(1, N_MEMBERS)))


@dataclass(frozen=True)
class Kind:
    """How inputs are made of numbers of rows and classes, and what they are where rows grow."""

    name: str
    make: Callable[[int, int], Given]
    n_classes: int = FEW_CLASSES
    scores_a_row: int = FEW_CLASSES


CONFIDENCES = Kind("confidences", _confidences, 1, 1)
LOGITS = Kind("logits", _logits)
IN_PLACE = Kind("logits and a result", _both)
HALVES = Kind("float16 logits", _halves)
PROBS = Kind("probabilities", _probs)
MEMBERS = Kind("members", _members, scores_a_row=FEW_CLASSES * N_MEMBERS)
FEATURES = Kind("features", _logits, WIDTH, WIDTH)


@dataclass(frozen=True)
class Work:
    """One line, the public names that it stands for, and what it may come to."""

    name: str
    kind: Kind
    make: Callable[[Given], Call]
    names: tuple[str, ...]
    sorts: bool = False
    memory: float = 0.0  # the exponent of memory against rows: 1 for results a row, and for what is sorted whole
    classes: bool = False


def _rows(name: str, *names: str, kind: Kind = LOGITS, memory: float = 1.0, **options: Any) -> Work:
    """A function of rows of logits."""
    call = getattr(fc, names[0])

    def make(g: Given) -> Call:
        return partial(call, g.scores, **options, **({"out": g.out} if g.out is not None else {}))

    return Work(name, kind, make, names, memory=memory, classes=True)


def _metric(name: str, *names: str, kind: Kind = PROBS, **options: Any) -> list[Work]:
    """A figure of labels and probabilities."""
    call = getattr(fc, names[0])
    fixed = {key: options.pop(key) for key in ("sorts", "memory", "classes") if key in options}
    classes = fixed.pop("classes", kind is PROBS)
    first = [options.pop("first")] if "first" in options else []

    def make(g: Given) -> Call:
        return partial(call, *first, g.labels, g.scores, **options)

    return [Work(name, kind, make, names, classes=classes, **fixed)]


def _streamed(name: str, *, kind: Kind, scores_first: bool = False, classes: bool = False, **options: Any) -> Work:
    """An accumulator that takes batches of 100 000 rows, and what it computes."""

    def stream(g: Given) -> Any:
        seen = getattr(fc, name)(**options)
        for start in range(0, len(g.scores), BATCH):
            part = slice(start, start + BATCH)
            scores: Any = [one[part] for one in (g.scores, *g.members)] if g.members else g.scores[part]
            seen.update(*((scores, g.labels[part]) if scores_first else (g.labels[part], scores)))
        return seen.compute()

    def make(g: Given) -> Call:
        return partial(stream, g)

    return Work(name, kind, make, (name,), classes=classes)


def _sorted(*names: str) -> list[Work]:
    """A figure of labels and confidences in order, the first of the names."""
    return _metric(names[0], *names, kind=CONFIDENCES, sorts=True, memory=1.0)


def _isotonic_fit(g: Given) -> Call:
    return lambda: fc.IsotonicRegression(out_of_bounds="clip").fit(g.scores, g.labels)


def _isotonic_predict(g: Given) -> Call:
    some = slice(1_000_000)
    return partial(fc.IsotonicRegression(out_of_bounds="clip").fit(g.scores[some], g.labels[some]).predict, g.scores)


def _familiarity(g: Given) -> Call:
    weights = np.random.default_rng(2).standard_normal((FEW_CLASSES, g.scores.shape[1]), np.float32)
    return partial(fc.activation_familiarity, g.scores, weights)


def _ensemble(name: str) -> list[Work]:
    """Of a list of members."""
    call = getattr(fc, name)
    return [Work(name, MEMBERS, lambda g: partial(call, [g.scores, *g.members]), (name,), memory=1.0, classes=True)]


def _halved(name: str, *, memory: float, sorts: bool = True, **options: Any) -> Work:
    """A function of two sets of scores: the first half of them, and the second."""

    def make(g: Given) -> Call:
        half = len(g.scores) // 2
        return partial(getattr(fc, name), g.scores[:half], g.scores[half:], **options)

    return Work(name, CONFIDENCES, make, (name,), sorts=sorts, memory=memory)


def _calibrator(name: str, kind: Kind, *, classes: bool = False, **options: Any) -> Iterator[Work]:
    """Its fit and its prediction; against classes, too, where there are to be any."""
    method = getattr(fc, name)

    def fit(g: Given) -> Call:
        def fitted() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", fc.FitWarning)  # it ends before it has converged
                return method(**options).fit(g.scores, g.labels)

        return fitted

    def predict(g: Given) -> Call:
        some = slice(20_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fc.FitWarning)
            fitted = method(**options).fit(g.scores[some], g.labels[some])
        return partial(fitted.predict_proba, g.scores)

    more: dict[str, Any] = {"memory": 1.0, "classes": classes}  # labels as places of classes, and results
    yield Work(f"{name}.fit", kind, fit, (name,), sorts=name in SORTING, **more)
    yield Work(f"{name}.predict_proba", kind, predict, (name,), **more)


SORTING = ("IsotonicCalibration", "VennAbers", "BBQ")

STEPS = {"max_iter": ITERATIONS, "tol": 1e-300}  # which nothing reaches

WORKS: list[Work] = [
    # of each row
    _rows("softmax, out=", "softmax", kind=IN_PLACE, memory=0.0),
    _rows("log_softmax, out=", "log_softmax", kind=IN_PLACE, memory=0.0),
    _rows("logsumexp", "logsumexp"),
    _rows("softmax_summary", "softmax_summary", "SoftmaxSummary"),
    _rows("softmax_uncertainty", "softmax_uncertainty", "SoftmaxUncertainty"),
    _rows("softmax_saturation", "softmax_saturation"),
    _rows("softmax_summary, float16", "softmax_summary", kind=HALVES),
    _rows("entropy", "entropy", kind=PROBS),
    _rows("activation_norm", "activation_norm", kind=FEATURES),
    # of labels and rows
    _streamed("Evaluation", kind=LOGITS, classes=True, from_logits=True),
    *_metric("ece of rows", "ece"),
    *_metric("classwise_ece", "classwise_ece"),
    *_metric("tace", "tace", sorts=True, memory=1.0),
    *_metric("nll of rows", "nll", "log_loss"),
    *_metric("brier_score of rows", "brier_score"),
    *_metric("accuracy of rows", "accuracy"),
    *_metric("adaptive_ece of rows", "adaptive_ece", sorts=True, memory=1.0),
    *_metric("smooth_ece of rows", "smooth_ece"),
    *_metric("spiegelhalter_test of rows", "spiegelhalter_test"),
    *_metric("aurc of rows", "aurc", sorts=True, memory=1.0),
    *_metric("canonical_error", "canonical_error", sorts=True, memory=1.0),
    *_metric("kernel_calibration_error", "kernel_calibration_error", "kernel_calibration_test"),
    # of labels and confidences
    *_metric("ece", "ece", "mce", "rmsce", "calibration_error", "signed_calibration_error", kind=CONFIDENCES),
    *_metric("reliability_curve", "reliability_curve", kind=CONFIDENCES),
    *_metric("brier_decomposition", "brier_decomposition", kind=CONFIDENCES),
    *_metric("nll", "nll", "log_loss", kind=CONFIDENCES),
    *_metric("brier_score", "brier_score", kind=CONFIDENCES),
    *_metric("accuracy", "accuracy", kind=CONFIDENCES),
    *_metric("smooth_ece", "smooth_ece", kind=CONFIDENCES),
    *_metric("spiegelhalter_test", "spiegelhalter_test", kind=CONFIDENCES),
    *_sorted("adaptive_ece"),
    *_sorted("ks_calibration_error"),
    *_sorted("kuiper_calibration_error"),
    *_sorted("sweep_ece"),
    *_metric("confidence_interval", "confidence_interval", kind=CONFIDENCES, first="ece", random_state=0),
    Work("compare", PROBS, lambda g: partial(fc.compare, g.labels, g.scores, g.scores[:, ::-1]), ("compare",)),
    # in the order of scores
    *_sorted("auroc"),
    *_sorted("average_precision"),
    *_sorted("fpr_at_tpr"),
    *_sorted("roc_curve"),
    *_sorted("precision_recall_curve"),
    *_sorted("score_decomposition"),
    *_sorted("corp_curve"),
    *_sorted("aurc", "e_aurc", "augrc"),
    *_sorted("risk_coverage_curve"),
    *_sorted("risk_at_coverage"),
    *_sorted("coverage_at_risk"),
    Work(
        "isotonic_regression",
        CONFIDENCES,
        lambda g: partial(fc.isotonic_regression, g.scores),
        ("isotonic_regression",),
        memory=1.0,
    ),
    Work("IsotonicRegression.fit", CONFIDENCES, _isotonic_fit, ("IsotonicRegression",), sorts=True, memory=1.0),
    Work("IsotonicRegression.predict", CONFIDENCES, _isotonic_predict, ("IsotonicRegression",), memory=1.0),
    _streamed("RankingAccumulator", kind=CONFIDENCES),
    _streamed("IsotonicAccumulator", kind=CONFIDENCES, scores_first=True),
    _streamed("SelectiveAccumulator", kind=CONFIDENCES),
    # out of distribution
    _halved("ood_metrics", memory=1.0, n_resamples=0),
    _halved("valid_ood_region", memory=1.0),
    _halved("valid_ood_share", memory=1.0),
    _halved("softmax_extrapolation", memory=1.0),
    Work("activation_familiarity", FEATURES, _familiarity, ("activation_familiarity",), memory=1.0, classes=True),
    # of several members
    *_ensemble("ensemble_uncertainty"),
    *_ensemble("ensemble_disagreement"),
    _streamed("UncertaintyAccumulator", kind=MEMBERS, classes=True),
    # calibrators
    *_calibrator("TemperatureScaling", LOGITS, classes=True, **STEPS),
    *_calibrator("EnsembleTemperatureScaling", LOGITS, classes=True, **STEPS),
    *_calibrator("VectorScaling", LOGITS, classes=True, **STEPS),
    *_calibrator("MatrixScaling", LOGITS, **STEPS),
    *_calibrator("DirichletCalibration", LOGITS, **STEPS),
    *_calibrator("PlattScaling", CONFIDENCES, **STEPS),
    *_calibrator("BetaCalibration", CONFIDENCES, **STEPS),
    *_calibrator("BBQ", CONFIDENCES),
    *_calibrator("VennAbers", CONFIDENCES),
    *_calibrator("HistogramBinning", PROBS, classes=True),
    *_calibrator("IsotonicCalibration", PROBS, classes=True),
]

# Public names whose work grows, and why no line is theirs.
LEFT_OUT = {
    "cross_validate_calibrators": "fits and figures of the calibrators, which have lines of their own, for each fold",
    "read_batches": "reads files at the rate of the disk: bench/batch.py",
    "load_calibrator": "a file of parameters, whatever the rows",
    "mental_model_confidence": "one product a row, in NumPy",
    "warmup": "compiles; has no rows",
    "ReliabilityAccumulator": "a part of Evaluation",
    "ClasswiseAccumulator": "a part of Evaluation",
    "OrderAccumulator": "a part of Evaluation",
    "SmoothAccumulator": "a part of Evaluation",
    "SpiegelhalterAccumulator": "a part of Evaluation",
    "ScoreAccumulator": "a part of Evaluation",
    "CanonicalAccumulator": "canonical_error is made of it",
    "IsotonicRefinement": "a second look, of the rows in some cells of an IsotonicAccumulator's",
}
# What is not measured against classes.
NOT_AGAINST_CLASSES = {
    "MatrixScaling": "a matrix has K^2 parameters: a row costs K^2 by its nature",
    "DirichletCalibration": "a matrix has K^2 parameters: a row costs K^2 by its nature",
    "compare": "two Evaluations side by side, of the same kernels",
}
