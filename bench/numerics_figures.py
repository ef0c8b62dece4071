"""The table of metrics beside their truths: what is asked of the library, and the definition of each answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

import fastcal as fc

from . import numerics_truth as true
from . import numerics_truth_order as order
from .numerics_cases import Case

Values = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """Metrics by name: ``ours`` and ``truth`` of a case, a number or a list of them each.

    Errors are in units in the last place of the true value in float64; with ``of_rows`` in that of the scores' dtype,
    in which each row is computed; with ``of_one`` in that of 1 where the value is smaller: differences of larger
    numbers. ``at_most`` such units are held by the tests.
    """

    name: str
    ours: Callable[[Case], Values]
    truth: Callable[[Case], Values]
    takes: Callable[[Case], bool]
    at_most: float
    of_one: bool = False
    of_rows: bool = False


def binary(case: Case) -> bool:
    return case.p.ndim == 1


def wide(case: Case) -> bool:
    return case.p.ndim == 2 and case.kind == "probs"


def given(case: Case) -> bool:
    return case.kind == "probs"


def any_case(case: Case) -> bool:
    return case.p.ndim > 0


def undecided(case: Case) -> bool:
    """With integer weights a quantile may lie right between two scores, where rounding says on which side."""
    return given(case) and (case.w is None or case.w.dtype.kind == "f")


def unweighted(which: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: case.w is None and which(case)


EDGES = [0, 0.125, 0.5, 0.9, 1]
BINS: dict[str, tuple[dict[str, Any], Callable[[list[true.Row]], Any]]] = {
    "15 bins": ({}, true.uniform),
    "10 bins [lo, hi)": ({"n_bins": 10, "closed": "left"}, lambda rows: true.uniform(rows, 10, "left")),
    "given edges": ({"binning": EDGES}, lambda rows: true.binned(rows, EDGES)),
    "7 bins of equal mass": ({"binning": "quantile", "n_bins": 7}, lambda rows: true.equal_mass(rows, 7)),
}


def norms(bins: Any) -> Values:
    return {"l1": true.error(bins), "l2": true.root(true.error(bins, "l2")), "max": true.error(bins, "max")}


def over_bins(said: str) -> Figure:
    options, bins = BINS[said]
    return Figure(
        f"calibration_error, {said}",
        lambda c: {n: fc.calibration_error(c.y, c.p, norm=n, **c.options(**options)) for n in ("l1", "l2", "max")},
        lambda c: norms(bins(true.rows_of(c))),
        given,
        8,
    )


def debiased(case: Case) -> Values:
    found = {}
    for target in ("auto", "class-wise"):
        options = case.options(debiased=True, target=target)
        found[f"l1, {target}"] = fc.calibration_error(case.y, case.p, **options)
        found[f"l2 squared, {target}"] = fc.calibration_error(case.y, case.p, norm="l2", squared=True, **options)
    return found


def true_debiased(case: Case) -> Values:
    bins = true.uniform(true.rows_of(case))
    return {
        "l1, auto": true.error(bins, debiased=True),
        "l2 squared, auto": true.error(bins, "l2", debiased=True),
        "l1, class-wise": true.over_classes(case, true.uniform, debiased=True),
        "l2 squared, class-wise": true.over_classes(case, true.uniform, "l2", debiased=True),
    }


def classwise(case: Case) -> Values:
    options = case.options(target="class-wise")
    found = {norm: fc.calibration_error(case.y, case.p, norm=norm, **options) for norm in ("l1", "l2", "max")}
    return {**found, "tace": fc.tace(case.y, case.p, threshold=0.0625, **case.options())}


def true_classwise(case: Case) -> Values:
    def above(rows: list[true.Row]) -> list[list[true.Row]]:
        kept = true.above(rows, 0.0625)
        return true.equal_mass(kept) if kept else []

    return {
        "l1": true.over_classes(case, true.uniform),
        "l2": true.root(true.over_classes(case, true.uniform, "l2")),
        "max": true.over_classes(case, true.uniform, "max"),
        "tace": true.over_classes(case, above),
    }


def means(case: Case) -> Values:
    report = fc.ScoreAccumulator(from_logits=case.kind == "logits").update(case.y, case.p, sample_weight=case.w)
    one_shot = {f.__name__: f(case.y, case.p, **case.options()) for f in (fc.nll, fc.brier_score, fc.accuracy)}
    return {**one_shot, "mean entropy": report.compute()["entropy"]}


def true_means(case: Case) -> Values:
    rows, y = true.distributions(case), case.y.tolist()
    right = [row.index(max(row)) == label for row, label in zip(rows, y, strict=True)]
    brier = [true.brier(row, label, binary=case.p.ndim == 1) for row, label in zip(rows, y, strict=True)]
    return {
        "nll": true.mean(case, [true.surprise(row[label]) for row, label in zip(rows, y, strict=True)]),
        "brier_score": true.mean(case, brier),
        "accuracy": true.mean(case, [Fraction(int(one)) for one in right]),
        "mean entropy": true.mean(case, [true.entropy(row) for row in rows]),
    }


CUMULATED = {
    "signed_calibration_error": lambda rows: -true.gap(rows),
    "ks_calibration_error": lambda rows: max(map(abs, true.cumulated(rows))),
    "kuiper_calibration_error": lambda rows: max(true.cumulated(rows)) - min(true.cumulated(rows)),
}


def ranked(case: Case) -> Values:
    options = {"sample_weight": case.w}
    roc = fc.roc_curve(case.y, case.p, drop_intermediate=False, **options)
    curve = fc.precision_recall_curve(case.y, case.p, **options)
    return {
        "auroc": fc.auroc(case.y, case.p, **options),
        "average_precision": fc.average_precision(case.y, case.p, **options),
        "fpr_at_tpr": fc.fpr_at_tpr(case.y, case.p, tpr=0.75, **options),
        "roc_curve": [*roc.fpr[1:], *roc.tpr[1:]],
        "precision_recall_curve": [*curve.precision[-2::-1], *curve.recall[-2::-1]],
    }


def true_ranked(case: Case) -> Values:
    rows = true.positive(case)
    steps = order.steps(rows)
    recall = [p / steps[-1][1] for _, p in steps]
    return {
        "auroc": order.auroc(rows),
        "average_precision": order.average_precision(rows),
        "fpr_at_tpr": order.fpr_at_tpr(rows, Fraction(3, 4)),
        "roc_curve": [*(n / steps[-1][0] for n, _ in steps), *recall],
        "precision_recall_curve": [*(p / (p + n) for n, p in steps), *recall],
    }


def ood(case: Case) -> Values:
    found = fc.ood_metrics(case.p[case.y == 1], case.p[case.y == 0], n_resamples=0)
    names = ("auroc", "aupr_in", "aupr_out", "fpr95", "detection_error")
    values = {name: getattr(found, name) for name in names}
    return {**values, "interval of auroc": found.intervals["auroc"]}


def true_ood(case: Case) -> Values:
    rows = true.positive(case)
    z = mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf(0.95))
    return {
        "auroc": order.auroc(rows),
        "aupr_in": order.average_precision(rows),
        "aupr_out": order.average_precision(order.turned(rows)),
        "fpr95": order.fpr_at_tpr(rows, Fraction(19, 20)),
        "detection_error": order.detection_error(rows),
        "interval of auroc": list(order.delong(rows, z)),
    }


def told_apart(case: Case) -> bool:
    """Whether AUROC has an interval: two rows of either label, some pairs won and some lost."""
    up, down = case.p[case.y == 1], case.p[case.y == 0]
    lost = min(len(up), len(down)) > 1 and up.min() < down.max()
    return case.w is None and binary(case) and bool(lost and up.max() > down.min())


def selective(case: Case) -> Values:
    options, curve = case.options(), fc.risk_coverage_curve(case.y, case.p, **case.options())
    return {
        "aurc": fc.aurc(case.y, case.p, **options),
        "augrc": fc.augrc(case.y, case.p, **options),
        "risk_at_coverage": fc.risk_at_coverage(case.y, case.p, coverage=0.71875, **options),
        "coverage_at_risk": fc.coverage_at_risk(case.y, case.p, risk=0.28125, **options),
        "risk_coverage_curve": [*curve.coverage, *curve.risk],
    }


def true_selective(case: Case) -> Values:
    rows = order.judged(case)
    aurc, augrc = order.areas(order.groups(rows), len(rows))
    points = order.coverages(rows)
    return {
        "aurc": aurc,
        "augrc": augrc,
        "risk_at_coverage": next(risk for c, risk in points if c >= Fraction(23, 32)),
        "coverage_at_risk": max((c for c, risk in points if risk <= Fraction(9, 32)), default=Fraction(0)),
        "risk_coverage_curve": [*(c for c, _ in points), *(risk for _, risk in points)],
    }


def isotonic(case: Case) -> Values:
    targets = np.sin(np.arange(len(case.y)) * 1.7) + case.p
    w, kept = case.w, slice(None) if case.w is None else case.w > 0
    sequence = fc.isotonic_regression(targets[kept], weights=None if w is None else w[kept])
    curve = fc.corp_curve(case.y, case.p, sample_weight=w)
    return {
        "isotonic_regression": sequence.x,
        "corp_curve": [*curve.event_rate, *curve.weight],
    }


def true_isotonic(case: Case) -> Values:
    targets = true.exact(np.sin(np.arange(len(case.y)) * 1.7) + case.p)
    kept = [(w, t) for w, t in zip(true.weights_of(case), targets, strict=True) if w]
    rows = true.positive(case)
    rates, weights = order.runs(rows)
    return {
        "isotonic_regression": order.isotonic([t for _, t in kept], [w for w, _ in kept]),
        "corp_curve": [*rates, *weights],
    }


def predicted(case: Case) -> Values:
    fit = fc.IsotonicRegression().fit(case.p, case.y, sample_weight=case.w)
    kept = slice(None) if case.w is None else case.w > 0
    return {"IsotonicRegression.predict": fit.predict(np.unique(case.p[kept]))}


def canonical(case: Case) -> Values:
    return {n: fc.canonical_error(case.y, case.p, norm=n, **case.options()) for n in ("l1", "l2", "max")}


def true_canonical(case: Case) -> Values:
    found = {norm: true.canonical(case, norm) for norm in ("l1", "l2", "max")}
    return {**found, "l2": true.root(found["l2"])}


def of_kernels(case: Case) -> Values:
    return {
        kernel: fc.kernel_calibration_error(case.y, case.p, kernel=kernel, bandwidth=0.5)
        for kernel in ("laplacian", "gaussian")
    }


def murphy_of_classes(case: Case) -> Values:
    found = [true.murphy(true.uniform(rows)) for rows in true.classes_of(case)]
    return {name: sum((one[name] for one in found), Fraction(0)) for name in found[0]}


FIGURES = [
    *map(over_bins, BINS),
    Figure("calibration_error, debiased", debiased, true_debiased, given, 16, of_one=True),
    Figure("class-wise calibration_error", classwise, true_classwise, wide, 8),
    Figure(
        "mean gap, KS, Kuiper",
        lambda c: {name: getattr(fc, name)(c.y, c.p, **c.options()) for name in CUMULATED},
        lambda c: {name: of(true.rows_of(c)) for name, of in CUMULATED.items()},
        given,
        8,
        of_one=True,
    ),
    Figure(
        "sweep_ece",
        lambda c: {"sweep_ece": fc.sweep_ece(c.y, c.p, **c.options())},
        lambda c: {"sweep_ece": true.sweep(true.rows_of(c))},
        undecided,
        8,
        of_one=True,
    ),
    Figure("means over rows", means, true_means, any_case, 8, of_rows=True),
    Figure(
        "brier_decomposition",
        lambda c: fc.brier_decomposition(c.y, c.p, **c.options())._asdict(),
        lambda c: true.murphy(true.uniform(true.rows_of(c))),
        given,
        8,
        of_one=True,
    ),
    Figure(
        "brier_decomposition, class-wise",
        lambda c: fc.brier_decomposition(c.y, c.p, **c.options(target="class-wise"))._asdict(),
        murphy_of_classes,
        wide,
        16,
        of_one=True,
        of_rows=True,
    ),
    Figure(
        "spiegelhalter_test",
        lambda c: fc.spiegelhalter_test(c.y, c.p, **c.options())._asdict(),
        lambda c: dict(zip(("statistic", "p_value"), true.spiegelhalter(true.rows_of(c)), strict=True)),
        given,
        8,
        of_one=True,
    ),
    Figure("canonical_error", canonical, true_canonical, wide, 8),
    Figure(
        "kernel_calibration_error",
        of_kernels,
        lambda c: {k: order.kernel_error(c, Fraction(1, 2), k) for k in ("laplacian", "gaussian")},
        unweighted(given),
        8,
        of_one=True,
        of_rows=True,
    ),
    Figure("rankings", ranked, true_ranked, binary, 8),
    Figure("ood_metrics", ood, true_ood, told_apart, 16),
    Figure("selective prediction", selective, true_selective, given, 16),
    Figure(
        "e_aurc",
        lambda c: {"e_aurc": fc.e_aurc(c.y, c.p, **c.options())},
        lambda c: {"e_aurc": order.excess(order.judged(c))},
        given,
        8,
        of_one=True,
    ),
    Figure("isotonic regression", isotonic, true_isotonic, binary, 8),
    Figure(
        "IsotonicRegression.predict",
        predicted,
        lambda c: {"IsotonicRegression.predict": list(order.of_scores(true.positive(c)).values())},
        binary,
        8,
        of_rows=True,
    ),
    *(
        Figure(
            f"score_decomposition, {score}",
            lambda c, s=score: fc.score_decomposition(c.y, c.p, score=s, sample_weight=c.w)._asdict(),
            lambda c, s=score: order.decomposition(true.positive(c), s),
            binary,
            16,
            of_one=True,
            of_rows=True,
        )
        for score in ("brier", "log")
    ),
]
