"""The table goes on: whole reports, smoothed errors, comparisons, and what looks beyond the distribution."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any

import mpmath
import numpy as np

import fastcal as fc

from . import numerics_truth as true
from . import numerics_truth_order as order
from .numerics_cases import Case
from .numerics_figures import CUMULATED, FIGURES, Figure, Values, binary, given, true_means, unweighted, wide

Z = mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf(0.95))
COUNTED = {"n", "n_nan", "n_classes", "n_zero_probability", "order_bound", "convention"}
ELSEWHERE = {"smooth_ece", "intervals", "nll", "brier", "entropy", "accuracy", "confidence"}


def whole_report(case: Case) -> Values:
    """Every figure of ``Evaluation`` that has a row of its own nowhere else."""
    report = fc.Evaluation().update(case.y, case.p, sample_weight=case.w).compute().to_dict()
    found = {name: value for name, value in report.items() if name not in COUNTED | ELSEWHERE}
    curve, classes = found.pop("reliability"), found.pop("classes")
    full = [i for i, w in enumerate(curve["weight"]) if w]
    parts = ("weight", "confidence", "accuracy", "lower", "upper", "band_low", "band_high")
    found |= {f"reliability, {part}": [curve[part][i] for i in full] for part in parts}
    found["reliability, error"] = [curve["error"][i] for i in full if curve["count"][i] > 1]
    found |= {f"classes, {name}": values for name, values in classes.items() if name in CLASSES}
    return found | {f"brier_decomposition, {n}": v for n, v in found.pop("brier_decomposition").items()}


CLASSES = {"ece", "rmsce", "mce", "signed_calibration_error"}


def true_report(case: Case) -> Values:
    rows = true.rows_of(case)
    bins = true.uniform(rows)
    squared = true.error(bins, "l2", debiased=True)
    z, p_value = true.spiegelhalter(rows)
    by_class = [true.uniform(one) for one in true.classes_of(case)]
    return {
        "ece": true.error(bins),
        "mce": true.error(bins, "max"),
        "rmsce": true.root(true.error(bins, "l2")),
        "ece_debiased": true.error(bins, debiased=True),
        "squared_ce_debiased": squared,
        "rmsce_debiased": true.root(squared),
        "ece_if_calibrated": true.if_calibrated(bins),
        "overconfidence": true.sides(bins, -1),
        "underconfidence": true.sides(bins, 1),
        **{name: of(rows) for name, of in CUMULATED.items()},
        **{f"brier_decomposition, {name}": term for name, term in true.murphy(bins).items()},
        "classwise_ece": true.over_classes(case, true.uniform),
        "classwise_rmsce": true.root(true.over_classes(case, true.uniform, "l2")),
        "adaptive_ece": true.error(true.equal_mass(rows)),
        "sweep_ece": true.sweep(rows),
        "spiegelhalter_z": z,
        "spiegelhalter_p": p_value,
        "classes, ece": [true.error(one) for one in by_class],
        "classes, rmsce": [true.root(true.error(one, "l2")) for one in by_class],
        "classes, mce": [true.error(one, "max") for one in by_class],
        "classes, signed_calibration_error": [-true.gap([r for b in one for r in b]) for one in by_class],
        **curve([one for one in bins if one]),
    }


def curve(bins: list[list[true.Row]]) -> Values:
    """Of each bin its means, Wilson's interval, the quantiles of a calibrated bin's accuracy, and the gap's error."""
    sizes = [1 / true.concentration(rows) for rows in bins]
    found: Values = {
        "reliability, weight": [true.weight(rows) for rows in bins],
        "reliability, confidence": [true.confidence(rows) for rows in bins],
        "reliability, accuracy": [true.outcome(rows) for rows in bins],
        "reliability, error": [true.root(about) for rows in bins if (about := true.noise(rows)) is not None],
    }
    for name, side in (("lower", -1), ("upper", 1)):
        found[f"reliability, {name}"] = [wilson(true.outcome(b), n, side) for b, n in zip(bins, sizes, strict=True)]
    for name, level in (("band_low", Fraction(1, 40)), ("band_high", Fraction(39, 40))):
        ends = [binomial(level, n, true.confidence(b)) for b, n in zip(bins, sizes, strict=True)]
        found[f"reliability, {name}"] = ends
    return found


def wilson(share: Fraction, n: Fraction, side: int) -> Any:
    share, n = true.mp(share), true.mp(n)
    middle, half = share + Z * Z / (2 * n), Z * mpmath.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    end = (middle + side * half) / (1 + Z * Z / n)
    return mpmath.mpf(0) if end < 1e-50 else mpmath.mpf(1) if end > 1 - mpmath.mpf(10) ** -50 else end


def binomial(q: Fraction, n: Fraction, p: Fraction) -> Fraction:
    """The least k / n, k whole, with P(X <= k) >= q: n whole here."""
    size, below = int(n), Fraction(0)
    for k in range(size + 1):
        below += comb(size, k) * p**k * (1 - p) ** (size - k)
        if below >= q:
            return Fraction(k, size)
    raise AssertionError


def compared(case: Case) -> Values:
    other = np.roll(case.p, 1, axis=0)
    found = fc.compare(case.y, case.p, other, sample_weight=case.w).to_dict()
    names = ("accuracy", "nll", "brier", "squared_ce_debiased", "ece", "rmsce")
    differences = {name: found["figures"][name]["difference"] for name in names}
    return {**differences, "mcnemar_p": found["mcnemar_p"]}


def true_compared(case: Case) -> Values:
    a, b = case, Case(case.name, case.y, np.roll(case.p, 1, axis=0), case.w)

    def difference(of: Any) -> Any:
        return true.mp(of(a)) - true.mp(of(b))

    def bins(one: Case) -> Any:
        return true.uniform(true.rows_of(one))

    right = [
        [int(row.argmax() if row.ndim else row > 0.5) == int(y) for row, y in zip(one.p, case.y, strict=True)]
        for one in (a, b)
    ]
    kept = [bool(w) for w in true.weights_of(case)]
    alone = [sum(k and x and not y for k, x, y in zip(kept, *pair, strict=True)) for pair in (right, right[::-1])]
    n, total = sum(alone), sum(comb(sum(alone), k) for k in range(min(alone) + 1))
    return {
        "accuracy": difference(lambda one: true_means(one)["accuracy"]),
        "nll": difference(lambda one: true_means(one)["nll"]),
        "brier": difference(lambda one: true_means(one)["brier_score"]),
        "squared_ce_debiased": difference(lambda one: true.error(bins(one), "l2", debiased=True)),
        "ece": difference(lambda one: true.error(bins(one))),
        "rmsce": difference(lambda one: true.root(true.error(bins(one), "l2"))),
        "mcnemar_p": true.NAN if set(true.weights_of(case)) != {1} else min(Fraction(1), Fraction(2 * total, 2**n)),
    }


def finite(case: Case) -> bool:
    return given(case) and float(case.p.min()) > 0 and float(case.p.max()) < 1


def few(case: Case) -> bool:
    return finite(case) and binary(case) and len(case.y) < 12 and "16ths" not in case.name


def beyond(case: Case) -> Values:
    inside, out = case.p[case.y == 1], case.p[case.y == 0]
    return {
        "valid_ood_share": fc.valid_ood_share(inside, out, epsilon=0.28125),
        "softmax_extrapolation": float(fc.softmax_extrapolation(inside, out, epsilon=0.28125).mean()),
    }


def true_beyond(case: Case) -> Values:
    inside, out = true.exact(case.p[case.y == 1]), true.exact(case.p[case.y == 0])
    shares = [(sum(u > v for v in inside), sum(u < v for v in inside)) for u in out]
    least = Fraction(23, 32) * len(inside)
    return {
        "valid_ood_share": Fraction(sum(above > least for above, _ in shares), len(out)),
        "softmax_extrapolation": Fraction(sum(below > least for _, below in shares), len(out)),
    }


def of_features(case: Case) -> Values:
    z, weights = case.p * 4 - 1, case.p[:3]
    norm, familiar = fc.activation_norm(z), fc.activation_familiarity(z, weights)
    steps = np.minimum(norm, 8), np.clip(familiar, -1, 1)
    return {
        "activation_norm": norm,
        "activation_familiarity": familiar,
        "mental_model_confidence": fc.mental_model_confidence(*steps, 3),
        "softmax_saturation": fc.softmax_saturation(z, epsilon=0.25),
    }


def true_of_features(case: Case) -> Values:
    z = [true.exact(row) for row in case.p * 4 - 1]
    weights = [true.exact(row) for row in case.p[:3]]
    norms = [true.root(sum(a * a for a in row)) for row in z]
    lengths = [true.root(sum(b * b for b in w)) for w in weights]
    products = [[true.mp(sum(a * b for a, b in zip(row, w, strict=True))) for w in weights] for row in z]
    cosines = [
        max(product / length for product, length in zip(row, lengths, strict=True)) / norm
        for row, norm in zip(products, norms, strict=True)
    ]
    ours = of_features(case)
    given_norm = true.exact(np.minimum(ours["activation_norm"], 8))
    given_cos = true.exact(np.clip(ours["activation_familiarity"], -1, 1))
    confidences = [
        1 / (1 + 2 * mpmath.exp(-true.mp(n) * (mpmath.mpf(1) / 2 + true.mp(c))))
        for n, c in zip(given_norm, given_cos, strict=True)
    ]
    others = [mpmath.fsum(mpmath.exp(true.mp(a)) for a in row) for row in z]
    tops = [mpmath.exp(true.mp(max(row))) / total for row, total in zip(z, others, strict=True)]
    return {
        "activation_norm": norms,
        "activation_familiarity": cosines,
        "mental_model_confidence": confidences,
        "softmax_saturation": Fraction(sum(1 - top <= 0.25 for top in tops), len(tops)),
    }


MORE = [
    Figure("Evaluation, its other figures", whole_report, true_report, unweighted(given), 128, of_one=True),
    Figure("compare, differences", compared, true_compared, finite, 16, of_one=True, of_rows=True),
    *(
        Figure(
            f"smooth_ece, {kernel}",
            lambda c, k=kernel: {"smooth_ece": fc.smooth_ece(c.y, c.p, kernel=k, sample_weight=c.w)},
            lambda c, k=kernel: {"smooth_ece": order.smooth_ece(true.positive(c), k)},
            few,
            at_most * 2**53,
            of_one=True,
        )
        for kernel, at_most in (("identity", 7.3e-6), ("logit", 1e-5))
    ),
    Figure("valid_ood_share, softmax_extrapolation", beyond, true_beyond, unweighted(binary), 1),
    Figure("features of a last layer", of_features, true_of_features, unweighted(wide), 8, of_one=True, of_rows=True),
]
EVERY = [*FIGURES, *MORE]
