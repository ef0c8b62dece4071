"""What a warm-up runs: every public function, accumulator and calibrator, on made-up rows of one kind after the other.

Nothing here names a kernel: what is called as users call it compiles what users need. A test calls all of the public
interface after a warm-up and finds that nothing more is compiled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, cast

import numpy as np

from ..accumulators.canonical import CanonicalAccumulator
from ..accumulators.evaluation import Evaluation
from ..accumulators.ordered import IsotonicAccumulator, RankingAccumulator
from ..accumulators.paired import PairedAccumulator
from ..accumulators.selective import SelectiveAccumulator
from ..accumulators.uncertainty import UncertaintyAccumulator
from ..arrays import Array
from ..calibrators.before_after import before_after
from ..calibrators.forms import Input
from ..calibrators.isotonic import IsotonicRegression, isotonic_regression
from ..calibrators.methods import for_scores
from ..dumps.turning import side_by_side
from ..metrics import (
    activations,
    calibration,
    canonical,
    decomposition,
    ensemble,
    intervals,
    kernel_error,
    ood,
    order,
    paired,
    ranking,
    scoring,
    selective,
    smooth,
    softmax,
)

N = 1000  # more than what small inputs are spared
FITTED = 300  # enough for every method
SMALL = 1 << 14  # logits that the softmax family takes a shorter way with, or fewer
HALF = ("float16", "bfloat16")
Make = Callable[[dict[str, Any]], Any]
Work = Callable[[], Any]


@dataclass(frozen=True)
class Rows:
    """Rows that a model got partly right, every class among them; those of bfloat16 by their bits."""

    scores: Array
    y: Array
    form: str
    dtype: str

    @property
    def n_classes(self) -> int:
        """Columns, 1 for scores (N,)."""
        return self.scores.shape[1] if self.scores.ndim > 1 else 1

    @property
    def settings(self) -> dict[str, Any]:
        """What says that scores are logits."""
        return {"from_logits": self.form == "logits"}

    @property
    def bits(self) -> dict[str, Any]:
        """What says that scores are bits."""
        return {"dtype": "bfloat16"} if self.dtype == "bfloat16" else {}

    @property
    def weights(self) -> tuple[Array | None, ...]:
        """None, and a weight for each row."""
        return None, np.linspace(0.5, 2, len(self.y))

    def column(self) -> Array:
        """Scores (N,)."""
        return np.ascontiguousarray(self.scores[:, 0]) if self.n_classes > 1 else self.scores.reshape(-1)

    def table(self) -> Array:
        """Scores (N, K)."""
        return self.scores.reshape(len(self.y), -1)


def rows_of(n: int, dtype: str, form: str, n_rows: int = N) -> Rows:
    """Made-up rows of ``n`` columns."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(max(n_rows, 3 * n), n))
    if n == 1:
        logits, y = logits[:, 0], (logits[:, 0] + rng.normal(size=len(logits)) > 0).astype(np.int64)
        p = 1 / (1 + np.exp(-logits))
    else:
        y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        y[:n] = np.arange(n)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
    scores = logits if form == "logits" else p
    if dtype == "bfloat16":
        scores = (scores.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return Rows(scores if dtype == "bfloat16" else scores.astype(dtype), y, form, dtype)


def steps(
    what: Sequence[str],
    classes: Sequence[int],
    dtypes: Sequence[str],
    forms: Sequence[str],
    methods: Sequence[str],
    make: Make,
    *,
    plain: bool,
) -> Iterator[tuple[str, Work]]:
    """Everything that is asked for, each with a name of its own."""
    for dtype, form, n in product(dtypes, forms, classes):
        given, named = partial(rows_of, n, dtype, form), f"{dtype} {form}, {'binary' if n == 1 else f'{n} classes'}"
        if "report" in what and dtype != "bfloat16":
            yield f"report: {named}", partial(_on, given, partial(_report, make))
            if not plain:
                yield f"weights, groups, bootstrap: {named}", partial(_on, given, partial(_sliced, make))
                yield f"compare: {named}", partial(_on, given, _compare)
        for name, (halves, work) in PARTS.items():
            if name in what and (halves or dtype not in HALF):
                yield f"{name}: {named}", partial(_on, given, work)
    if "calibrators" in what:
        for method, dtype, form, n in product(methods, dtypes, forms, classes):
            if (method == "ensemble-temperature" and n == 1) or dtype == "bfloat16":
                continue  # it takes rows
            named = f"{dtype} {form}, {'binary' if n == 1 else f'{n} classes'}"
            yield (
                f"fit {method}: {named}",
                partial(_on, partial(rows_of, n, dtype, form, FITTED), partial(_fit, make, method)),
            )


def _on(given: Callable[[], Rows], work: Callable[[Rows], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows are few, and fits end where they like
        work(given())


def _report(make: Make, rows: Rows) -> None:
    scores = rows.scores
    if scores.ndim > 1:  # as Parquet has them, one column a class
        scores = side_by_side([np.ascontiguousarray(column) for column in scores.T])
    whole = make(rows.settings).update(rows.y, scores)
    whole.empty().merge(whole).compute()


def _sliced(make: Make, rows: Rows) -> None:
    more = {"groups": np.arange(len(rows.y)) % 3}
    for weights in rows.weights:
        seen = make({**rows.settings, "groups": True, "bootstrap": 0})
        seen.update(rows.y, rows.scores, sample_weight=weights, **more)
        seen.empty().merge(seen).compute()


def _compare(rows: Rows) -> None:
    for weights in rows.weights:
        paired.compare(rows.y, rows.scores, rows.scores, sample_weight=weights, **rows.settings)
    PairedAccumulator(**rows.settings).update(rows.y, rows.scores, rows.scores).compute()


def _fit(make: Make, method: str, rows: Rows) -> None:
    """As ``fastcal fit``, ``apply`` and a report of what they made."""
    calibrator = for_scores(method, cast(Input, rows.form), None)
    calibrator.fit_batches([(rows.scores, rows.y)])
    before_after(calibrator, [(rows.scores, rows.y)])
    make({}).update(rows.y, calibrator.predict_proba(rows.scores))
    for_scores(method, cast(Input, rows.form), None).fit(rows.scores, rows.y, rows.weights[1])


def _row_family(rows: Rows) -> None:
    table = rows.table()
    if rows.form == "probs":
        if rows.n_classes > 1:
            softmax.entropy(table, **rows.bits)
        return
    many = np.repeat(table, SMALL // table.size + 1, axis=0)
    for temperature in (1.0, 1.5):
        for function in (softmax.softmax, softmax.log_softmax, softmax.logsumexp, softmax.softmax_summary):
            function(table, temperature=temperature, **rows.bits)
            function(many, temperature=temperature, **rows.bits)
    softmax.softmax(np.ascontiguousarray(table.T), axis=0, **rows.bits)
    softmax.softmax(table, out=np.empty_like(table), **rows.bits)
    ensemble.softmax_uncertainty(table, **rows.bits)
    ood.softmax_saturation(table, **rows.bits)


FIGURES: tuple[Callable[..., Any], ...] = (
    calibration.ece,
    calibration.rmsce,
    calibration.adaptive_ece,
    calibration.tace,
    calibration.classwise_ece,
    calibration.reliability_curve,
    calibration.brier_decomposition,
    order.ks_calibration_error,
    order.kuiper_calibration_error,
    order.sweep_ece,
    order.spiegelhalter_test,
    scoring.nll,
    scoring.brier_score,
    scoring.accuracy,
)


def _metrics(rows: Rows) -> None:
    """One-shot figures, those that take them with weights, too."""
    given = rows.y, rows.scores
    for weights in rows.weights:
        options: dict[str, Any] = {**rows.settings, "sample_weight": weights}
        for function in FIGURES:
            function(*given, **options)
        calibration.calibration_error(*given, debiased=True, norm="l2", **options)
        calibration.classwise_ece(*given, binning="quantile", **options)
        calibration.ece(*given, convention="torchmetrics", **options)
        calibration.ece(*given, nan_policy="omit", **options)
        canonical.canonical_error(*given, n_bins=3, **options)
        CanonicalAccumulator(**rows.settings).update(*given, sample_weight=weights).compute()
        for kernel in ("identity", "logit"):
            smooth.smooth_ece(*given, kernel=kernel, **options)
    for name in ("ece", "brier_score"):
        intervals.confidence_interval(name, *given, n_resamples=20, random_state=0, **rows.settings)
    kernel_error.kernel_calibration_error(*given, **rows.settings)
    kernel_error.kernel_calibration_test(*given, **rows.settings)
    seen = Evaluation(**rows.settings).update(*given)
    Evaluation.from_bytes(seen.to_bytes()).compute()


def _order(rows: Rows) -> None:
    """Figures of scores in their order, and isotonic fits; of one column, whatever rows there are."""
    column, y = rows.column(), rows.y % 2
    bits = rows.bits
    for weights in rows.weights:
        kinds: tuple[Any, ...] = (RankingAccumulator, IsotonicAccumulator)
        for kind in kinds:
            seen = kind().update(y, column, sample_weight=weights, **bits)
            kind.from_bytes(seen.to_bytes()).merge(seen).compute()
        if bits:
            continue
        more: dict[str, Any] = {"sample_weight": weights}
        for function in (ranking.auroc, ranking.average_precision, ranking.fpr_at_tpr, ranking.roc_curve):
            function(y, column, **more)
        ranking.precision_recall_curve(y, column, **more)
        for targets in (y, y + 0.25):
            isotonic_regression(targets, weights=weights)
            isotonic_regression(targets.astype(column.dtype), weights=weights, increasing=False)
            for ends in ("nan", "clip"):
                fitted = IsotonicRegression(out_of_bounds=ends)
                fitted.fit(column, targets, weights).predict(column)
                fitted.predict(column[:5])
        if rows.form == "probs":
            for score in ("brier", "log"):
                decomposition.score_decomposition(y, column, score=score, **more)
            decomposition.corp_curve(y, column, **more)
            if weights is None:
                decomposition.corp_curve(y, column, band="consistency", n_resamples=10, random_state=0)


def _ensembles(rows: Rows) -> None:
    """Members as an array, one after the other, and as a stream of rows."""
    table = rows.table()
    if rows.n_classes == 1:
        return
    members = np.stack([table, np.roll(table, 1, axis=0), table])
    form = {**rows.settings, **rows.bits}
    for weights in (None, [1.0, 2.0, 0.5]):
        ensemble.ensemble_uncertainty(members, weights=weights, **form)
        ensemble.ensemble_uncertainty(iter(list(members)), weights=weights, **form)
        for kind in ("kl", "js"):
            ensemble.ensemble_disagreement(members, kind=kind, weights=weights, **form)
    seen = UncertaintyAccumulator(**rows.settings)
    seen.update(rows.y, members, **rows.bits)
    found = ensemble.ensemble_uncertainty(members, **form)
    seen.update_measures(found, out_of_distribution=True)
    seen.compute()


def _ood(rows: Rows) -> None:
    if not rows.bits:
        inside, outside = rows.column()[::2], rows.column()[1::2]
        ood.ood_metrics(inside, outside, n_resamples=20, random_state=0)
        for function in (ood.valid_ood_region, ood.valid_ood_share, ood.softmax_extrapolation):
            function(inside, outside)
    if rows.n_classes > 1:
        table = rows.table()
        activations.activation_familiarity(table, table[:5], **rows.bits)
        activations.activation_norm(table, **rows.bits)
        if not rows.bits:
            activations.mental_model_confidence(abs(table[:, 0]), np.tanh(table[:, 1]), 10)


def _selective(rows: Rows) -> None:
    given = rows.y, rows.scores
    for weights in rows.weights:
        options: dict[str, Any] = {**rows.settings, "sample_weight": weights}
        for function in (selective.aurc, selective.augrc, selective.e_aurc, selective.risk_coverage_curve):
            function(*given, **options)
        selective.risk_at_coverage(*given, coverage=0.8, **options)
        selective.coverage_at_risk(*given, risk=0.1, **options)
        seen = SelectiveAccumulator(**rows.settings).update(*given, sample_weight=weights)
        SelectiveAccumulator.from_bytes(seen.to_bytes()).merge(seen).compute()


# By name: whether half floats are of kernels of their own, and what is run.
PARTS: dict[str, tuple[bool, Callable[[Rows], None]]] = {
    "rows": (True, _row_family),
    "metrics": (False, _metrics),
    "order": (True, _order),
    "ensembles": (True, _ensembles),
    "ood": (True, _ood),
    "selective": (False, _selective),
}
WHAT = ("report", *PARTS, "calibrators")
