"""The report as one page that needs nothing but itself: which figures it is made of, and how it is written."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..accumulators.curve import ReliabilityCurve
from ..accumulators.evaluation import Evaluation, EvaluationReport
from ..accumulators.histograms import HistogramAccumulator
from ..accumulators.risk_coverage import RiskCoverageAccumulator
from ..calibrators.base import Calibrator
from ..runs.looks import Looks
from ..runs.provenance import Provenance
from . import html_figures as figures
from . import html_tables as tables
from . import words
from .html_headline import Scores, compared, headlines, verdict, why
from .html_provenance import Rule, of_files, of_run
from .svg import Drawing

TEMPLATES = Path(__file__).parent / "templates"
SMALL = 12  # diagrams side by side
SHARED = ("from_logits", "nan_policy", "n_threads")


def looks_for(options: Mapping[str, Any], calibrator: Calibrator | None, *, page: bool) -> Looks:
    """The accumulators of a report: "report", an Evaluation with ``options``.

    With a ``calibrator`` also "after", of what it makes of the rows; with ``page`` also "selective" and "histograms",
    which :func:`page` draws.

    >>> from fastcal.report.html import looks_for
    >>> list(looks_for({"from_logits": True}, None, page=True))
    ['report', 'selective', 'histograms']
    """
    made: dict[str, Any] = {"report": Evaluation(**options)}
    if page:
        shared = {name: options[name] for name in SHARED if name in options}
        made |= {"selective": RiskCoverageAccumulator(**shared), "histograms": HistogramAccumulator(**shared)}
    if calibrator is None:
        return Looks(made)
    return Looks({**made, "after": Evaluation(**{**options, "from_logits": False})}, calibrator, ("after",))


@dataclass(frozen=True)
class Multiples:
    """Classes or groups, ``n`` of them: the worst as small diagrams, with their bins, and a table of all."""

    order: str
    n: int
    drawings: list[tuple[str, str, Drawing]]  # a name and what is written below it
    bins: tables.Table
    all: tables.Table


def page(
    reports: Mapping[str, EvaluationReport],
    provenance: Provenance,
    title: str,
    *,
    class_names: Sequence[str] | None = None,
) -> str:
    """The page of what :func:`looks_for` counted, as text of HTML. What was not counted is left out.

    ``class_names`` are those of classes 0, 1, ...; without them they have their numbers. The same figures give the same
    text but for the lines of date and duration. Raises ValueError for more or fewer names than classes, and
    ModuleNotFoundError without jinja2.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('pages need jinja2: pip install "fastcal[plot]"', name=error.name) from error
    report = reports["report"]
    if class_names is not None and len(class_names) != report["n_classes"]:
        raise ValueError(f"class_names are {len(class_names)}, for {report['n_classes']} classes")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    options = {**provenance.options}
    scores = Scores.of(report, reports.get("histograms"), options)
    rule = Rule(provenance.convention, options.get("closed"), report.reliability)
    style, script = _own("style.css"), _own("script.js")
    written: str = environment.get_template("page.html").render(
        title=words.shown(title, 160, middle=True),
        # both are files of this package, and the policy lets nothing else run
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=words.shown(provenance.version),
        rows=words.plural(report["n"], "row"),
        left_out=words.plural(report["n_nan"], "row", "rows") if report["n_nan"] else "",
        scores=scores,
        verdict=verdict(report, scores),
        headlines=headlines(report, scores),
        figures=tables.of_figures(report),
        reliability=_reliability(report, scores, rule),
        overlay=_overlay(reports, scores, rule),
        histograms=_histograms(reports.get("histograms"), scores),
        selective=_selective(reports.get("selective")),
        # of binary scores the class is the one that all is about
        classes=None if scores.binary else _classes(report, rule, class_names),
        groups=_groups(report, scores, rule),
        rule=rule,
        files=of_files(provenance.files),
        run=of_run(provenance),
    )
    return written


@cache
def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _reliability(report: EvaluationReport, scores: Scores, rule: Rule) -> dict[str, Any]:
    curve = report.reliability
    drawing = figures.reliability("reliability", curve, scores.axes) if _is_seen(curve) else None
    caption = f"Bins of {scores.axes[0]}."
    return {
        "drawing": drawing,
        "table": tables.of_curve(curve, caption, scores.axes, rule.bounds),
        "why": why(report),
    }


def _is_seen(curve: ReliabilityCurve) -> bool:
    return bool((np.isfinite(curve.confidence) & np.isfinite(curve.accuracy)).any())


def _overlay(reports: Mapping[str, EvaluationReport], scores: Scores, rule: Rule) -> dict[str, Any] | None:
    if "after" not in reports:
        return None
    before, after = reports["report"], reports["after"]
    curves = before.reliability, after.reliability
    drawn = all(map(_is_seen, curves))
    return {
        "drawing": figures.overlay("overlay", *curves, scores.axes) if drawn else None,
        "table": compared(before, after),
        "bins": tables.of_curve(curves[1], "Bins after calibration.", scores.axes, rule.bounds),
        "why": why(after) if not _is_seen(curves[1]) else why(before),
    }


def _histograms(report: EvaluationReport | None, scores: Scores) -> list[dict[str, Any]]:
    if report is None:
        return []
    axis = scores.axes[0]
    made = (
        ("confidence", "confidence_histogram", f"Rows by {axis}", axis, 1.0),
        ("entropy", "entropy_histogram", "Rows by entropy", "entropy in nats", math.log(max(scores.n_classes, 1))),
    )
    found = []
    for name, key, title, label, most in made:
        counts = report[key]
        drawing = figures.histogram(name, counts, title, label, most)
        table = tables.Table(f"{title}.", (f"up to: {label}", "right", "wrong"))
        for cell, pair in enumerate(zip(counts.right.tolist(), counts.wrong.tolist(), strict=True), 1):
            bound = most * cell / len(counts.right)
            table.rows.append([tables.number(bound), *(tables.number(n, words.count) for n in pair)])
        found.append({"drawing": drawing, "table": table})
    return found


SELECTIVE = (
    ("aurc", "AURC", "Mean risk over all coverages; the lower, the better errors are told from right predictions."),
    ("e_aurc", "E-AURC", "The same less that of a perfect ranking of as many errors."),
    ("augrc", "AUGRC", "Mean share of rows that are kept and wrong, over all coverages."),
    ("risk_at_80_coverage", "Risk at 80 % coverage", "Share of errors among the 80 % most confident rows."),
    ("coverage_at_5_risk", "Coverage at 5 % risk", "Largest share of rows that can be kept with 5 % errors."),
)


def _selective(report: EvaluationReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    said = [(name, words.figure(report[key]), sentence) for key, name, sentence in SELECTIVE]
    curve = report["curve"]
    if not (len(curve.risk) and np.isfinite(curve.risk).all()):
        return {"drawing": None, "figures": said, "bound": "", "table": None}
    table = tables.Table("Risk at coverages.", ("coverage", "risk", "least confidence kept"))
    table.rows = [[tables.number(one) for one in row] for row in figures.at_coverages(curve)]
    bound = f"AURC may be off by {report['aurc_bound']:.1e}." if report["aurc_bound"] > 0 else ""
    drawing = figures.risk_coverage("risk-coverage", curve)
    return {"drawing": drawing, "figures": said, "bound": bound, "table": table}


def _classes(report: EvaluationReport, rule: Rule, names: Sequence[str] | None) -> Multiples | str | None:
    """The worst by ECE; why there are none, or None where there is nothing to compare."""
    if "classes" not in report:
        return None
    classes = report["classes"]
    if classes is None:
        return "not defined: so many classes have more bins than this report keeps."
    if not np.isfinite(classes.ece).any():
        return f"not defined: {why(report)}."
    order = np.argsort(-np.nan_to_num(classes.ece, nan=-1.0), kind="stable").tolist()
    edges = report.reliability.edges
    weighted = not np.array_equal(report.reliability.weight, report.reliability.count)
    digits = words.digits_for(float(classes.ece[order[0]]))
    called = [f"class {k}" if names is None else words.shown(names[k], 32) for k in order[:SMALL]]
    chosen = [
        (name, f"ECE {words.figure(float(classes.ece[k]), digits)}", k) for name, k in zip(called, order, strict=False)
    ]
    table = tables.of_classes(classes, order, weighted=weighted, names=names)
    ordered = "by their ECE against the rest"
    return _multiples(
        chosen,
        len(classes),
        lambda k: classes.curve(k, edges),
        rule,
        ordered,
        table,
        "class",
        ("probability", "share of the class"),
    )


def _groups(report: EvaluationReport, scores: Scores, rule: Rule) -> Multiples | str | None:
    """The worst by what their error is not below, as chance among few rows would have it."""
    if "groups" not in report:
        return None
    groups = report["groups"]
    if groups.bins is None or not len(groups):
        return f"not defined: {why(report)}."
    worst = groups.worst("rmsce", tables.MOST_ROWS)
    place = {id(label): g for g, label in enumerate(groups.labels)}
    order = [place[id(one["label"])] for one in worst]
    edges = report.reliability.edges
    chosen = [
        (words.shown(groups.labels[g], 32), f"ECE {words.figure(float(groups['ece'][g]))} in {_rows(groups, g)}", g)
        for g in order[:SMALL]
    ]
    table = tables.of_groups(groups, order, [one["lower_bound"] for one in worst], scores.axes[0])
    ordered = "by what their RMSCE is not below, at 95 % for all groups at once"
    return _multiples(chosen, len(groups), lambda g: groups.curve(g, edges), rule, ordered, table, "group", scores.axes)


def _rows(groups: Any, g: int) -> str:
    return words.plural(int(groups["n"][g]), "row")


def _multiples(
    chosen: list[tuple[str, str, int]],
    n: int,
    curve_of: Callable[[int], ReliabilityCurve],
    rule: Rule,
    order: str,
    all_: tables.Table,
    kind: str,
    axes: tuple[str, str],
) -> Multiples:
    drawings = []
    bins = tables.Table(f"Bins of each {kind} shown.", (kind, "bin", "rows", f"mean {axes[0]}", axes[1], "interval"))
    for number, (name, said, at) in enumerate(chosen):
        curve = curve_of(at)
        drawings.append((name, said, figures.small(f"{kind}-{number}", curve, f"Reliability of {name}", axes)))
        for row in tables.of_curve(curve, "", axes, rule.bounds).rows:
            if row[2].key:  # empty bins of twelve curves say nothing
                bins.rows.append([tables.Cell(name), *row[:5]])
    return Multiples(order, n, drawings, bins, all_)
