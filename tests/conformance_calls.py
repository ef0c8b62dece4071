"""Every public function, accumulator and calibrator called with arrays of any library, by name."""

from __future__ import annotations

import functools
import warnings
from functools import partial

import ml_dtypes
import numpy as np

import fastcal as fc
from fastcal.calibrators.methods import CLASSES as CALIBRATORS

N, K, PARTS = 48, 3, 64


def words(text):
    return text.split()


BINARY = words(
    "calibration_error ece mce rmsce adaptive_ece classwise_ece tace signed_calibration_error reliability_curve "
    "brier_decomposition ks_calibration_error kuiper_calibration_error sweep_ece smooth_ece spiegelhalter_test "
    "canonical_error kernel_calibration_error kernel_calibration_test nll log_loss brier_score accuracy aurc e_aurc "
    "augrc risk_at_coverage coverage_at_risk risk_coverage_curve"
)
WITHOUT_WEIGHTS = ("kernel_calibration_error", "kernel_calibration_test")
OF_SCORES = words("auroc average_precision roc_curve precision_recall_curve fpr_at_tpr")
OF_SETS = words("ood_metrics valid_ood_region valid_ood_share softmax_extrapolation")
OF_LOGITS = words("softmax log_softmax logsumexp softmax_summary softmax_uncertainty softmax_saturation")
ACCUMULATORS = words(
    "Evaluation ReliabilityAccumulator ClasswiseAccumulator OrderAccumulator SmoothAccumulator "
    "SpiegelhalterAccumulator CanonicalAccumulator ScoreAccumulator SelectiveAccumulator"
)
# What has the type of its input.
TYPED = ("softmax", "log_softmax", "softmax, axis=0")


@functools.cache
def plain(dtype="float64"):
    """Arrays of NumPy's: probabilities are multiples of 1/64, which every type has."""
    rng = np.random.default_rng(5)
    counts = np.stack([1 + rng.multinomial(PARTS - K, p) for p in rng.dirichlet(np.ones(K), N)])
    probs = counts / PARTS
    labels = (probs.cumsum(axis=1) < rng.random((N, 1))).sum(axis=1)
    labels[:K] = np.arange(K)
    logits = rng.integers(-40, 40, (N, K)) / 8
    p = probs[:, 1]
    floats = {
        "probs": probs,
        "logits": logits,
        "p": p,
        "z": logits[:, 1],
        "other": probs[::-1],
        "norm": abs(logits[:, 0]),
        "cosine": logits[:, 1] / 8,
        "inside": p[: N // 2] + 1 / PARTS,
        "outside": p[N // 2 :],
        "members": np.stack([probs, probs[:, ::-1], np.roll(probs, 1, axis=0)]),
        "features": logits + 6,
        "class_weights": logits[:4],
        "measure": abs(logits[:, 2]),
    }
    real = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    fixed = {
        "labels": labels,
        "y": (labels == 1).astype(np.int64),
        "weights": rng.integers(1, 4, N).astype(np.float64),
        "member_weights": np.array([1.0, 2.0, 1.0]),
        "groups": labels[::-1] * 7,
    }
    arrays = {**{name: one.astype(real) for name, one in floats.items()}, **fixed}
    return {name: np.ascontiguousarray(one) for name, one in arrays.items()}


def _metric(name, d, y, scores, **options):
    return getattr(fc, name)(d[y], d[scores], **options)


def _weighted(name, d):
    return getattr(fc, name)(d["labels"], d["probs"], sample_weight=d["weights"])


def _accumulated(name, d):
    seen = getattr(fc, name)().update(d["labels"], d["probs"], sample_weight=d["weights"])
    other = getattr(fc, name)(from_logits=True).update(d["labels"], d["logits"])
    return seen.to_bytes(), other.to_bytes()


def _cells(name, d):
    seen = getattr(fc, name)().update(d["y"], d["p"], sample_weight=d["weights"])
    again = getattr(fc, name)().update(d["y"], d["z"])
    return seen.to_bytes(), again.to_bytes()


def _uncertainty(d):
    seen = fc.UncertaintyAccumulator().update(d["labels"], d["members"], weights=d["member_weights"])
    one = fc.UncertaintyAccumulator().update(d["labels"], d["probs"])
    given = fc.UncertaintyAccumulator().update_measures({"energy": d["measure"]})
    return seen.to_bytes(), one.to_bytes(), given.to_bytes()


def _isotonic(d):
    fit = fc.IsotonicRegression(out_of_bounds="clip").fit(d["p"], d["y"], d["weights"])
    auto = fc.IsotonicRegression(increasing="auto").fit(d["p"], d["y"])
    return fit.predict(d["outside"]), fit.score(d["p"], d["y"]), auto.predict(d["p"])


def _fitted(name, d):
    """Fitted to rows, weighted, and asked; and to (N,) scores, by name of the classes."""
    found = []
    for given, classes, (scores, y) in (
        ("probs", None, ("probs", "labels")),
        ("logits", [0, 1, 2], ("logits", "labels")),
    ):
        options = {"clip": 1e-3} if given == "probs" and "clip" in getattr(fc, name)._parameters() else {}
        made = getattr(fc, name)(input=given, classes=classes, **options)
        weights = d["weights"] if given == "probs" and name != "VennAbers" else None
        made.fit(d[scores], d[y], weights)
        found += [made.predict_proba(d[scores]), made.predict(d[scores])]
    return found


def _batches(d):
    return fc.TemperatureScaling().fit_batches([(d["logits"], d["labels"])] * 2).temperature_


def _compared(d):
    methods = ["histogram"]
    return fc.cross_validate_calibrators(d["logits"], d["labels"], methods=methods, cv=2).to_dict()


def _interval(d):
    by_block = fc.confidence_interval("ece", d["labels"], d["probs"], random_state=0, n_resamples=5)
    by_row = fc.confidence_interval(fc.smooth_ece, d["y"], d["p"], random_state=0, n_resamples=2)
    return by_block, by_row


def _sliced(d):
    seen = fc.Evaluation(groups=True, bootstrap=0)
    return seen.update(d["labels"], d["probs"], groups=d["groups"], sample_weight=d["weights"]).to_bytes()


CALLS = {
    **{f"{name}, binary": partial(_metric, name, y="y", scores="p") for name in BINARY},
    **{f"{name}, rows": partial(_metric, name, y="labels", scores="probs") for name in BINARY},
    **{f"{name}, logits": partial(_metric, name, y="labels", scores="logits", from_logits=True) for name in BINARY},
    **{f"{name}, weighted": partial(_weighted, name) for name in BINARY if name not in WITHOUT_WEIGHTS},
    **{name: partial(_metric, name, y="y", scores="z") for name in OF_SCORES},
    **{name: partial(_metric, name, y="inside", scores="outside") for name in OF_SETS if name != "ood_metrics"},
    **{name: lambda d, name=name: getattr(fc, name)(d["logits"]) for name in OF_LOGITS},
    **{name: partial(_accumulated, name) for name in ACCUMULATORS},
    **{name: partial(_cells, name) for name in ("RankingAccumulator", "IsotonicAccumulator")},
    **{name: partial(_fitted, name) for name in CALIBRATORS},
    "calibration_error, top-label": lambda d: fc.calibration_error(
        d["y"], d["p"], target="top-label", convention="calibre"
    ),
    "aurc, confidence": lambda d: fc.aurc(d["labels"], d["probs"], confidence=d["z"]),
    "ood_metrics": lambda d: fc.ood_metrics(d["inside"], d["outside"], n_resamples=4, random_state=0),
    "softmax, axis=0": lambda d: fc.softmax(d["logits"], axis=0),
    "entropy": lambda d: fc.entropy(d["probs"]),
    "score_decomposition": lambda d: fc.score_decomposition(d["y"], d["p"], sample_weight=d["weights"]),
    "corp_curve": lambda d: fc.corp_curve(d["y"], d["p"]),
    "confidence_interval": _interval,
    "compare": lambda d: fc.compare(d["labels"], d["probs"], d["other"], sample_weight=d["weights"]),
    "ensemble_uncertainty": lambda d: fc.ensemble_uncertainty(d["members"], weights=d["member_weights"]),
    "ensemble_disagreement": lambda d: fc.ensemble_disagreement(d["members"]),
    "activation_norm": lambda d: fc.activation_norm(d["features"]),
    "activation_familiarity": lambda d: fc.activation_familiarity(d["features"], d["class_weights"]),
    "mental_model_confidence": lambda d: fc.mental_model_confidence(d["norm"], d["cosine"], K),
    "isotonic_regression": lambda d: fc.isotonic_regression(d["p"], weights=d["weights"]),
    "IsotonicRegression": _isotonic,
    "Evaluation, groups": _sliced,
    "UncertaintyAccumulator": _uncertainty,
    "TemperatureScaling, batches": _batches,
    "cross_validate_calibrators": _compared,
}
# What is called with (N,) scores, and with rows: each name in either, or as it is in the first.
OF_ROWS = [name for name in CALLS if name.endswith((", rows", ", logits", ", weighted"))]
OF_LINES = [name for name in CALLS if name not in OF_ROWS]
# None takes arrays.
WITHOUT = {"load_calibrator", "read_batches", "warmup", "__version__"}


def answer(name, arrays):
    """What a call answers; fits of so few rows may warn, and a float32 ends elsewhere than a float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        return CALLS[name](arrays)
