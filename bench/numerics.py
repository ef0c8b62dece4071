"""How far every kernel of rows is from 27 digits, and every metric from exact fractions.

``python -m bench.numerics`` prints the page, ``--record`` writes it and its numbers to ``bench/results``; ``--quick``
takes fewer rows. ``--page`` makes the page anew from the recorded numbers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from . import numerics_rows as rows
from .numerics_cases import Case, cases, ulps
from .numerics_figures import Figure
from .numerics_figures_more import EVERY
from .numerics_page import page

RESULTS = Path(__file__).parent / "results"
RECORD, PAGE = RESULTS / "numerics.json", RESULTS / "NUMERICS.md"
TEMPERATURES = (1.0, 0.37, 3.0)
LIBRARIES = ("fastcal", "numpy", "numba", "scipy", "torch", "mpmath")

Found = dict[str, Any]


def of_rows(dtypes: Iterable[str], temperatures: Iterable[float], n_rows: int, most: int) -> Iterator[Found]:
    """Every work of rows: a quarter of the dense rows at temperatures other than 1."""
    for name in dtypes:
        dtype = rows.dtype_of(name)
        for temperature in temperatures:
            n = n_rows if temperature == 1 else n_rows // 4
            rng = np.random.default_rng([n_rows, int(temperature * 100)])
            for kind, given in (("dense", rows.dense(rng, n, most)), ("special", rows.special(rng, dtype))):
                yield from said(rows.rows_of(dtype, given, temperature), name, kind, temperature)


def of_numbers(n: int, n_ensembles: int) -> Iterator[Found]:
    """exp, log and log1p, and the measures of ensembles."""
    for name in ("float32", "float64"):
        dtype, rng = rows.dtype_of(name), np.random.default_rng(n)
        yield from said(rows.functions(dtype, n, rng), name, "numbers", 1.0)
        yield from said(rows.ensembles(dtype, n_ensembles, rng), name, "ensembles", 1.0)


def said(tallies: rows.Tallies, dtype: str, kind: str, temperature: float) -> Iterator[Found]:
    """Ours with its peers beside it."""
    for (work, who), tally in tallies.items():
        if who != "fastcal":
            continue
        beside = {other: one for (same, other), one in tallies.items() if same == work and other != "fastcal"}
        yield {
            "work": work,
            "dtype": dtype,
            "rows": kind,
            "temperature": temperature,
            "values": tally.count,
            "worst": tally.worst,
            "mean": tally.total / max(tally.count, 1),
            "where": tally.where,
            "share": tally.share if rows.promise(work) else None,
            "peers": {other: [one.worst, one.total / max(one.count, 1)] for other, one in beside.items()},
        }


def of_figures(given: Iterable[Case], figures: Iterable[Figure] = EVERY) -> list[Found]:
    """The worst of every figure over the cases that it takes, for scores of either precision."""
    found: dict[tuple[str, str, str], Found] = {}
    for case in given:
        for figure in figures:
            if not figure.takes(case):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ours, truth = figure.ours(case), figure.truth(case)
            if ours.keys() != truth.keys():
                raise AssertionError(f"{figure.name}: {ours.keys() ^ truth.keys()} on one side only")
            for name, right in truth.items():
                key = figure.name, name, case.p.dtype.name
                start = {"of": figure.name, "figure": name, "dtype": key[2], "cases": 0, "worst": -1.0}
                one = found.setdefault(key, start)
                one["cases"] += 1
                off = worst_of(figure, case, ours[name], right)
                if off > one["worst"]:
                    one |= {"worst": off, "where": case.name, "at_most": figure.at_most}
                    one |= {"of_one": figure.of_one, "of_rows": figure.of_rows}
    return list(found.values())


def worst_of(figure: Figure, case: Case, ours: Any, right: Any) -> float:
    """Of a number, or of a list of them: infinite for lists of different lengths."""
    mine, truths = np.ravel(ours).tolist(), right if isinstance(right, list) else [right]
    if len(mine) != len(truths):
        return float("inf")
    bits = case.bits if figure.of_rows else 53
    return max((ulps(a, b, bits, of_one=figure.of_one) for a, b in zip(mine, truths, strict=True)), default=0.0)


def measure(*, quick: bool) -> Found:
    """All of it."""
    from .machine import about

    n_rows, most = (12, 1000) if quick else (60, 128_000)
    start = datetime.datetime.now(datetime.UTC)
    found = {
        "mode": "quick" if quick else "full",
        "date": start.date().isoformat(),
        "machine": about(1),
        "versions": {library: one for library in LIBRARIES if (one := installed(library))},
        "dense": {"rows": n_rows, "classes": most},
        "rows": [*of_rows(rows.DTYPES, TEMPERATURES, n_rows, most)],
        "numbers": [*of_numbers(2000 if quick else 40_000, 50 if quick else 1000)],
        "figures": of_figures(cases((4, 9, 23) if quick else (4, 7, 12, 24, 40), 1 if quick else 2)),
    }
    return {**found, "seconds": round((datetime.datetime.now(datetime.UTC) - start).total_seconds())}


def installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def main() -> int:
    """1 where something is beyond its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.numerics", description=__doc__)
    for flag in ("--quick", "--record", "--page"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    found = json.loads(RECORD.read_text(encoding="utf-8")) if options.page else measure(quick=options.quick)
    lines = page(found)
    if options.record:
        RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.record or options.page:
        PAGE.write_text(lines, encoding="utf-8")
    else:
        print(lines)
    return int(bool(beyond(found)))


def beyond(found: Found) -> list[Found]:
    """What is off by more than it may be."""
    of_rows = [one for one in [*found["rows"], *found["numbers"]] if one["share"] is not None and not one["share"] <= 1]
    return of_rows + [one for one in found["figures"] if not one["worst"] <= one["at_most"]]


if __name__ == "__main__":
    sys.exit(main())
