"""Every public function, accumulator and calibrator called on rows made from a few numbers, and the bits it answers.

What threads and other processes are asked is a name and how the rows are made, so that all of them can make the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

import fastcal as fc
from fastcal.calibrators.methods import CLASSES as CALIBRATORS
from fastcal.calibrators.methods import class_of

MOST_FITTED = 2000  # rows


def words(text):
    return text.split()


class Rows(NamedTuple):
    """What rows are made from."""

    seed: int = 0
    n: int = 3000
    k: int = 10
    dtype: str = "float32"


@lru_cache(4)
def made(rows):
    """Arrays that nobody can write to."""
    rng = np.random.default_rng(rows.seed)
    n, k = rows.n, rows.k
    logits = rng.normal(scale=2, size=(n, k)).astype(rows.dtype)
    labels = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    labels[: min(n, k)] = np.arange(min(n, k))
    exps = np.exp(logits.astype(np.float64))
    probs = (exps / exps.sum(axis=1, keepdims=True)).astype(rows.dtype)
    p = (rng.integers(0, 1 << 20, n) / (1 << 20)).astype(rows.dtype)
    y = (rng.random(n) < p).astype(np.int64)
    y[: min(n, 2)] = np.arange(min(n, 2))
    members = np.stack([np.roll(probs, shift, axis=0) for shift in (0, 1, 5)])
    arrays = {
        "logits": logits,
        "labels": labels,
        "probs": probs,
        "p": p,
        "y": y,
        "weights": rng.integers(1, 4, n).astype(np.float64),
        "members": members,
        "groups": labels % 3,
        "features": np.abs(logits) + 1,
    }
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


@lru_cache(64)
def fitted(name, rows):
    """A calibrator that all threads share."""
    return _fit(name, rows, {})


def _fit(name, rows, options):
    given = made(rows)
    some = slice(0, MOST_FITTED)
    calibrator = class_of(name)(input=taken(name), **options)
    return calibrator.fit(given[taken(name)][some], given["labels"][some])


def taken(name):
    return "probs" if name in OF_PROBS else "logits"


OF_PROBS = {"BBQ", "BetaCalibration", "HistogramBinning", "IsotonicCalibration", "VennAbers"}


BINARY = words(
    "ece mce rmsce adaptive_ece tace signed_calibration_error calibration_error reliability_curve "
    "brier_decomposition ks_calibration_error kuiper_calibration_error sweep_ece smooth_ece spiegelhalter_test nll "
    "log_loss brier_score accuracy aurc e_aurc augrc risk_at_coverage coverage_at_risk risk_coverage_curve auroc "
    "average_precision roc_curve precision_recall_curve fpr_at_tpr score_decomposition"
)
OF_ROWS = words(
    "ece adaptive_ece classwise_ece tace signed_calibration_error reliability_curve brier_decomposition nll "
    "brier_score accuracy ks_calibration_error sweep_ece smooth_ece spiegelhalter_test aurc augrc risk_coverage_curve "
    "canonical_error kernel_calibration_error kernel_calibration_test"
)
OF_LOGITS = words("softmax log_softmax logsumexp softmax_summary softmax_uncertainty softmax_saturation")
WEIGHTED = words("ece rmsce adaptive_ece smooth_ece auroc aurc nll score_decomposition")
ACCUMULATORS = words(
    "Evaluation ReliabilityAccumulator ClasswiseAccumulator OrderAccumulator SmoothAccumulator "
    "SpiegelhalterAccumulator CanonicalAccumulator ScoreAccumulator SelectiveAccumulator"
)


def _binary(name, d, **t):
    return getattr(fc, name)(d["y"], d["p"], **t)


def _weighted(name, d, **t):
    return getattr(fc, name)(d["y"], d["p"], sample_weight=d["weights"], **t)


def _of_rows(name, d, **t):
    return getattr(fc, name)(d["labels"], d["probs"], **t)


def _from_logits(name, d, **t):
    return getattr(fc, name)(d["labels"], d["logits"], from_logits=True, **t)


def _of_logits(name, d, **t):
    return getattr(fc, name)(d["logits"], **t)


def _accumulated(name, d, **t):
    one, other = (getattr(fc, name)(**t) for _ in range(2))
    half = len(d["labels"]) // 2
    one.update(d["labels"][:half], d["probs"][:half])
    other.update(d["labels"][half:], d["probs"][half:])
    one.merge(other)
    return one.to_bytes(), one.compute()


def _of_scores(name, d, **t):
    if name == "RankingAccumulator":
        return fc.RankingAccumulator(**t).update(d["y"], d["p"]).to_bytes()
    return fc.IsotonicAccumulator(**t).update(d["p"], d["y"]).to_bytes()


def _sliced(d, **t):
    seen = fc.Evaluation(groups=True, bootstrap=0, **t)
    return seen.update(d["labels"], d["probs"], groups=d["groups"], sample_weight=d["weights"]).to_bytes()


def _uncertainty(d, **t):
    return fc.UncertaintyAccumulator(**t).update(d["labels"], d["members"]).to_bytes()


def _isotonic(d, **t):
    fit = fc.IsotonicRegression(out_of_bounds="clip", **t).fit(d["p"], d["y"])
    return fit.predict(d["p"])


def _in_and_out(name, d, **t):
    options = {"random_state": 0, "n_resamples": 20} if name == "ood_metrics" else {}
    return getattr(fc, name)(d["p"], d["p"][::-2] * d["p"].dtype.type(0.5), **options, **t)


CALLS = {
    **{name: partial(_binary, name) for name in BINARY},
    **{f"{name}, rows": partial(_of_rows, name) for name in OF_ROWS},
    **{f"{name}, weighted": partial(_weighted, name) for name in WEIGHTED},
    **{f"{name}, from logits": partial(_from_logits, name) for name in ("ece", "nll", "kernel_calibration_error")},
    **{name: partial(_of_logits, name) for name in OF_LOGITS},
    **{name: partial(_accumulated, name) for name in ACCUMULATORS},
    **{name: partial(_of_scores, name) for name in ("RankingAccumulator", "IsotonicAccumulator")},
    **{n: partial(_in_and_out, n) for n in words("ood_metrics valid_ood_region valid_ood_share softmax_extrapolation")},
    "Evaluation, groups": _sliced,
    "UncertaintyAccumulator": _uncertainty,
    "IsotonicRegression": _isotonic,
    "entropy": lambda d, **t: fc.entropy(d["probs"], **t),
    "softmax, axis=0": lambda d, **t: fc.softmax(d["logits"], axis=0, **t),
    "isotonic_regression": lambda d, **t: dataclasses.astuple(fc.isotonic_regression(d["p"], **t)),
    "corp_curve": lambda d, **t: fc.corp_curve(d["y"], d["p"], band="consistency", n_resamples=5, random_state=0, **t),
    "confidence_interval": lambda d, **t: fc.confidence_interval(
        "ece", d["y"], d["p"], random_state=0, n_resamples=50, **t
    ),
    "compare": lambda d, **t: fc.compare(d["labels"], d["probs"], d["probs"][:, ::-1], **t),
    "ensemble_uncertainty": lambda d, **t: fc.ensemble_uncertainty(d["members"], **t),
    "ensemble_uncertainty, a list": lambda d, **t: fc.ensemble_uncertainty(list(d["members"]), **t),
    "ensemble_disagreement": lambda d, **t: fc.ensemble_disagreement(d["members"], **t),
    "activation_norm": lambda d, **t: fc.activation_norm(d["features"], **t),
    "activation_familiarity": lambda d, **t: fc.activation_familiarity(d["features"], d["features"][:3], **t),
}
FITS = {f"{name}.fit": partial(_fit, name) for name in CALIBRATORS}
PREDICTIONS = {f"{name}.predict_proba": name for name in CALIBRATORS}
NAMES = [*CALLS, *FITS, *PREDICTIONS]


def answer(name, rows=Rows(), n_threads=None):  # noqa: B008 - it cannot be changed
    """A hash of all bits of what a call answers. Fits warn: filters of warnings are no thread's own."""
    options = {} if n_threads is None else {"n_threads": n_threads}
    if name in CALLS:
        return digest(CALLS[name](made(rows), **options))
    if name in FITS:
        fit = FITS[name](rows, options)
        return digest({key: value for key, value in vars(fit).items() if key.endswith("_")})
    kind = PREDICTIONS[name]
    return digest(fitted(kind, rows).predict_proba(made(rows)[taken(kind)]))


def digest(value):
    """A hash of all bits of a result."""
    out = io.BytesIO()
    _write(value, out)
    return hashlib.sha256(out.getbuffer()).hexdigest()[:16]


def _write(value, out):
    if isinstance(value, np.ndarray | np.generic):
        out.write(f"{value.dtype.str}{value.shape}".encode())
        out.write(value.tobytes())
    elif isinstance(value, bytes):
        out.write(value)
    elif isinstance(value, float):
        out.write(value.hex().encode())
    elif value is None or isinstance(value, int | str):
        out.write(repr(value).encode())
    elif isinstance(value, list | tuple):
        for one in value:
            _write(one, out)
            out.write(b",")
    elif hasattr(value, "to_json"):
        out.write(value.to_json().encode())
    elif isinstance(value, Mapping):
        _write(list(itertools.chain.from_iterable(sorted(value.items(), key=lambda item: str(item[0])))), out)
    else:
        public = [n for n in dir(value) if not n.startswith("_") and not callable(getattr(value, n))]
        assert public, f"{type(value).__name__} has no bits"
        _write({n: getattr(value, n) for n in public}, out)
