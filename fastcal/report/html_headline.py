"""What a page says first: the verdict in sentences, and the figures that it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..accumulators.evaluation_report import EvaluationReport
from . import words
from .html_tables import Cell, Table, number


@dataclass(frozen=True)
class Scores:
    """What the rows were: ``binary`` (N,) scores or rows (N, K), logits or probabilities (None: not known)."""

    binary: bool
    from_logits: bool | None
    n_classes: int

    @classmethod
    def of(cls, report: EvaluationReport, histograms: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Scores:
        """As the histograms tell, or the report: the largest probability of two is never below a half."""
        given = histograms if histograms is not None else options
        from_logits = given.get("from_logits")
        binary = given.get("is_binary")
        if binary is None:
            curve = report.reliability
            binary = report["n_classes"] == 2 and bool((curve.count[curve.edges[1:] < 0.5] > 0).any())
        return cls(bool(binary), from_logits if isinstance(from_logits, bool) else None, report["n_classes"])

    @property
    def axes(self) -> tuple[str, str]:
        """What is compared with what in a reliability diagram."""
        return (
            (f"P(y{words.SPACE}={words.SPACE}1)", "frequency of class 1") if self.binary else ("confidence", "accuracy")
        )

    def said(self) -> str:
        """Rows of 10 classes, given as logits."""
        form = {True: "logits", False: "probabilities", None: "scores"}[self.from_logits]
        if self.binary:
            return f"binary {form}, one a row"
        return f"{form} of {words.plural(self.n_classes, 'class', 'classes')}"


@dataclass(frozen=True)
class Headline:
    """One figure: its name, value, interval, and a sentence on what it is."""

    name: str
    value: str
    interval: str
    said: str


def why(report: EvaluationReport) -> str:
    """Why a figure is not a number."""
    if report["n"] == 0:
        return "no row was left to count"
    if report["n_nan"] and math.isnan(report["accuracy"]) and report["reliability"].weight.any():
        return f"{words.plural(report['n_nan'], 'row is', 'rows are')} no distribution"
    if math.isnan(report["accuracy"]):
        return "no row has any weight"
    return "too few rows"


def verdict(report: EvaluationReport, scores: Scores) -> list[str]:
    """Two or three sentences: how right, how sure, and whether the difference is more than chance."""
    accuracy, confidence = report["accuracy"], report["confidence"]
    if math.isnan(accuracy) or math.isnan(confidence):
        return [f"The figures are not defined: {why(report)}."]
    found = report.get("intervals")
    signed = report["signed_calibration_error"]
    if scores.binary:
        first = (
            f"Class 1 is given {words.percent(confidence)} on average and comes in {words.percent(confidence - signed)}"
        )
        first += " of rows"
        sides = "too high", "too low"
    else:
        first = f"Predictions are right in {words.percent(accuracy)} of rows, at a mean confidence of "
        first += words.percent(confidence)
        sides = "overconfident", "underconfident"
    side = f": {sides[signed < 0]} by {words.points(signed)}." if abs(signed) >= 5e-4 else ": the same on average."
    said = [first + side]
    if found is not None and not math.isnan(found.ece_band[1]):
        band = words.interval(found.ece_band)
        ece = words.figure(report["ece"])
        if report["ece"] > found.ece_band[1]:
            said.append(
                f"The calibration error (ECE) is {ece}, where a calibrated model of the same confidences would show "
                f"{band}: the miscalibration is more than chance explains."
            )
        else:
            said.append(
                f"The calibration error (ECE) is {ece}, and a calibrated model of the same confidences would show "
                f"{band}: these rows give no evidence of miscalibration."
            )
    return said


def headlines(report: EvaluationReport, scores: Scores) -> list[Headline]:
    """Accuracy, calibration errors, NLL and Brier score."""
    found = report.get("intervals")
    squared = getattr(found, "squared_ce_debiased", None)
    roots = None if squared is None else tuple(math.sqrt(max(end, 0.0)) for end in squared)
    brier = "(p - y)², from 0 to 1." if scores.binary else "Squared distance to the label, summed over classes: 0 to 2."
    zero = report.get("n_zero_probability", 0)
    nll = "Negative log-likelihood of the labels, in nats a row."
    if zero:
        nll += f" {words.plural(zero, 'row gives its label', 'rows give their labels')} probability 0."
    made = [
        ("accuracy", "Accuracy", words.percent, getattr(found, "accuracy", None), "Share of rows predicted right."),
        ("ece", "ECE", words.figure, getattr(found, "ece", None), _of_ece(report, scores)),
        (
            "rmsce_debiased",
            "RMSCE, debiased",
            words.figure,
            roots,
            "Root of the mean squared gap of bins, less what noise adds to it.",
        ),
        ("nll", "NLL", words.figure, getattr(found, "nll", None), nll),
        ("brier", "Brier score", words.figure, getattr(found, "brier", None), brier),
    ]
    rows = []
    for key, name, write, ends, said in made:
        value = report.get(key, math.nan)
        if math.isnan(value):
            rows.append(Headline(name, "not defined", why(report), said))
            continue
        whole = None if ends is None or not all(map(math.isfinite, ends)) else ends
        around = words.interval(whole, shares=key == "accuracy")
        if key == "ece" and not around and found is not None and not math.isnan(found.ece_band[0]):
            around = f"if calibrated {words.interval(found.ece_band)}"
        rows.append(Headline(name, write(value), around or "no interval", said))
    return rows


def _of_ece(report: EvaluationReport, scores: Scores) -> str:
    found = report.get("intervals")
    said = f"Mean gap between {scores.axes[0]} and {scores.axes[1]} over bins."
    if found is None or found.ece_applies or math.isnan(found.ece_band[0]):
        return said
    return f"{said} It has no interval of its own, for some gaps are within noise."


COMPARED = (
    ("accuracy", "Accuracy", 1),
    ("ece", "ECE", -1),
    ("rmsce_debiased", "RMSCE, debiased", -1),
    ("classwise_ece", "Class-wise ECE", -1),
    ("nll", "NLL", -1),
    ("brier", "Brier score", -1),
)


def compared(before: EvaluationReport, after: EvaluationReport) -> Table:
    """Figures before and after, and which way each went."""
    table = Table("Figures before and after calibration.", ("figure", "before", "after", "difference", ""))
    for key, name, sign in COMPARED:
        old, new = before.get(key, math.nan), after.get(key, math.nan)
        change = new - old if math.isfinite(old) and math.isfinite(new) else math.nan
        digits = words.digits_for(max((abs(one) for one in (old, new) if math.isfinite(one)), default=0.0))
        went = "" if math.isnan(change) or round(change, digits) == 0 else "better" if change * sign > 0 else "worse"
        numbers = [number(one, partial(words.figure, digits=digits)) for one in (old, new)]
        numbers.append(number(change, partial(words.signed, digits=digits)))
        table.rows.append([Cell(name), *numbers, Cell(went or "the same" if not math.isnan(change) else "")])
    return table
