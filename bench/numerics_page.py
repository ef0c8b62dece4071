"""The page of the numerics, from what was recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .numerics_rows import PROMISES

Found = dict[str, Any]
NOT_COMPARED = """
`entropy` counts the logarithm of a p below 1e-38 as that of 1e-38: what is left of p log p is near, not exact.
With integer weights a quantile may lie right between two scores, where rounding says to which bin: `sweep_ece`, which
tries all numbers of bins, is compared without those.

What has no truth to be compared with: figures from resampled rows (`confidence_interval`, `Evaluation(bootstrap=)`, the
band of `corp_curve`, the intervals of `ood_metrics` but for AUROC's), which depend on a generator of random numbers,
and fitted parameters, whose gradients and gains over peers the tests of the calibrators hold. The intervals of
`report["intervals"]` and of `compare`, figures by group, `ensemble_disagreement` and the bins of other libraries'
conventions are held by the tests to formulas in float64 and to those libraries, not to fractions.
"""


def number(value: float | None) -> str:
    """Three digits."""
    return "" if value is None else f"{value:.3g}"


def table(columns: Iterable[str], lines: Iterable[Iterable[str]]) -> list[str]:
    columns = list(columns)
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(one)} |" for one in lines), ""]


def page(found: Found) -> str:
    """Markdown."""
    machine, dense = found["machine"], found["dense"]
    libraries = ", ".join(f"{name} {one}" for name, one in found["versions"].items())
    few = dense["rows"] // 4
    quick = " --quick" if found["mode"] == "quick" else ""
    lines = [
        "# Numerics against the truth",
        "",
        f"Written by `python -m bench.numerics{quick} --record` on {found['date']} in {found['seconds']} s, "
        f"{machine['processor']}: {libraries}.",
        "",
        "An error is counted in units in the last place (ulp) of the true value, in the type of the result; half a "
        "unit is what rounding the truth would cost.",
        "",
        "## Rows",
        "",
        f"The truth has 27 digits (mpmath). *Dense*: {dense['rows']} rows a type at temperature 1, {few} at 0.37 and "
        f"at 3, K log-uniform from 1 to {dense['classes']:,}, of spreads from 0.05 to 33, every third with differences "
        "of up to 700 from its maximum. *Special*: denormals, -inf, huge logits, ties, one-hot, near-uniform and rows "
        "an ulp apart, of 1 to 1000 classes. The worst is over all three temperatures. *Of its bound*: the largest "
        "share that an error has of what is promised for that value, which holds up to 1. Entropies and log-softmax "
        "near 0 are promised to be near, not to all digits. Errors of `logsumexp` are in units of the larger of itself "
        "and max z / T, of the margin in those of the confidence. numpy is the formula with the maximum taken off, in "
        "the type of the row; peers compute the sixteen-bit types in their own ways.",
        "",
    ]
    for dtype in dict.fromkeys(one["dtype"] for one in found["rows"]):
        lines += [f"### {dtype}", "", *of_rows([one for one in found["rows"] if one["dtype"] == dtype])]
    lines += ["### Functions of one number, and measures of ensembles", ""]
    lines += ["Measures of ensembles are in units of the larger of 1 and the value.", "", *of_rows(found["numbers"])]
    lines += ["### What is promised", "", *promised(found), "## Metrics", ""]
    lines += [
        "The truth is the definition in exact fractions, with roots and logarithms to 60 digits, of cases of "
        f"{', '.join(sizes(found))} rows: probabilities in 16ths (ties, 0, 1, edges of bins) and others, (N,) and "
        "(N, K), float64 and float32, without weights, with weights 0 to 3 and with real ones. Columns are the worst "
        "error by the type of the scores, in units in the last place of the value in float64; *of 1*: of 1 where the "
        "value is smaller, for what is a difference of larger numbers; *as the scores*: in the type of the scores, in "
        "which each row is computed. The tests hold all of them to the bound. Smooth errors, which are gathered on a "
        "grid, and their bounds are as they are, not in such units.",
        "",
        *of_figures(found["figures"]),
        NOT_COMPARED.strip(),
    ]
    return "\n".join(lines) + "\n"


def sizes(found: Found) -> list[str]:
    return [str(n) for n in sorted({int(one["where"].split()[0]) for one in found["figures"]})]


def of_rows(found: list[Found]) -> list[str]:
    """A line for each work and kind of rows, the worst over temperatures."""
    peers = [who for who in ("numpy", "scipy", "torch") if any(who in one["peers"] for one in found)]
    lines, kinds = [], {one["rows"] for one in found}
    dtypes = len({one["dtype"] for one in found}) > 1
    for work, kind, dtype in dict.fromkeys((one["work"], one["rows"], one["dtype"]) for one in found):
        same = [o for o in found if (o["work"], o["rows"], o["dtype"]) == (work, kind, dtype)]
        worst = max(same, key=lambda one: one["worst"])
        values = sum(one["values"] for one in same)
        mean = sum(one["mean"] * one["values"] for one in same) / max(values, 1)
        at = "" if len(same) == 1 else f", T = {worst['temperature']:g}"
        shares = [one["share"] for one in same if one["share"] is not None]
        beside = [[one["peers"][who] for one in same if who in one["peers"]] for who in peers]
        lines.append(
            [
                f"`{work}`" + (f", {dtype}" if dtypes else ""),
                *([kind] if len(kinds) > 1 and not dtypes else []),
                f"{values:,}",
                number(worst["worst"]),
                number(mean),
                worst["where"] + at,
                number(max(shares, default=None)),
                *(number(max((one[0] for one in some), default=None)) for some in beside),
            ]
        )
    kind = ["rows"] if len(kinds) > 1 and not dtypes else []
    columns = ["work", *kind, "values", "worst ulp", "mean ulp", "where", "of its bound"]
    return table([*columns, *(f"{who}'s worst" for who in peers)], lines)


def promised(found: Found) -> list[str]:
    lines = []
    for work, words in PROMISES.items():
        same = [o for o in [*found["rows"], *found["numbers"]] if work in (o["work"], o["work"].split(":")[0])]
        share = max(one["share"] for one in same)
        lines.append([f"`{work}`", words, number(share), "yes" if share <= 1 else "**no**"])
    return table(["work", "within", "worst share of it", "holds"], lines)


def of_figures(found: list[Found]) -> list[str]:
    lines = []
    for name, figure in dict.fromkeys((one["of"], one["figure"]) for one in found):
        both = {one["dtype"]: one for one in found if (one["of"], one["figure"]) == (name, figure)}
        worst = max(both.values(), key=lambda one: one["worst"])
        called = f"`{name}`" if figure == name else f"{name}: `{figure}`"
        grid = 2.0**-53 if worst["at_most"] > 1e6 else 1.0
        ends = [number(both[dtype]["worst"] * grid) if dtype in both else "" for dtype in ("float64", "float32")]
        unit = [said for flag, said in (("of_one", "of 1"), ("of_rows", "as the scores")) if worst[flag] and grid == 1]
        n_cases = str(sum(one["cases"] for one in both.values()))
        lines.append([called, *ends, ", ".join(unit), worst["where"], number(worst["at_most"] * grid), n_cases])
    return table(["metric", "float64", "float32", "unit", "worst at", "bound", "cases"], lines)
