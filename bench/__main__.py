"""``python -m bench``: every row of the table of comparisons against its peers, and what whole processes cost."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from types import ModuleType

from comparisons import TABLE
from peers import available

from . import (
    calibration,
    calibrators,
    courses,
    ensembles,
    first_calls,
    machine,
    ood,
    order,
    readme,
    selective,
    small_calls,
    swaps,
)
from .machine import Bystanders, Figure
from .race import FULL, QUICK, Line, measure, use_all_cores

# How many times as fast as the best peer a line has to be.
AT_LEAST = {("Evaluation", "logits"): 6}

# Trials: modules with run, as_markdown and perhaps figures.
SETS: dict[str, ModuleType] = {
    "calibration": calibration,
    "order": order,
    "ensembles": ensembles,
    "ood": ood,
    "selective": selective,
    "calibrators": calibrators,
    "calls": small_calls,
    "swaps": swaps,
}

LIBRARIES = ("numpy", "numba", "scipy", "scikit-learn", "torch", "torchmetrics", "netcal")


def main() -> None:
    options = arguments()
    n_threads = use_all_cores()
    bandwidth = machine.read_bandwidth(1 << (28 if options.quick else 30), n_threads)
    conditions = f"{n_threads} threads for either side, which read memory at {bandwidth / 1e9:.0f} GB/s together; "
    conditions += ", ".join(f"{name} {version}" for name, version in versions().items())
    print(conditions, end="\n\n")
    written = _Written(options.readme, f"Run of {date.today()}: {conditions}.")
    sizes, seconds, shrink = (QUICK, 0.5, 10) if options.quick else (FULL, 2.0, 1)
    found: dict[str, object] = {}
    lines = []
    for row in TABLE:
        for kind in row.timed:
            if options.only in (None, "comparisons", row.name):
                lines.append(measure(row, kind, sizes[kind], seconds))
                print_line(lines[-1], bandwidth, header=len(lines) == 1)
    if options.only in (None, "comparisons"):
        written.put("comparisons", readme.comparisons(lines))
    print()
    if options.only in (None, "courses"):
        copy = machine.copy_bandwidth(1 << 28, n_threads)
        print(f"row kernels; a parallel copy reads and writes {copy / 1e9:.0f} GB/s")
        finishes = []
        for finish in courses.run(bandwidth, copy, seconds, shrink):
            finishes.append(finish)
            print(courses.as_text(finish), flush=True)
            print_others(finish.others)
        print()
        written.put("courses", courses.as_markdown(finishes))
        found["courses"] = [courses.as_json(finish) for finish in finishes]
    for name, module in SETS.items():
        if options.only in (None, name):
            outcomes = trials(name, module, seconds, shrink)
            figures = module.figures() if hasattr(module, "figures") else []
            for figure in figures:
                print_figure(figure)
            print()
            table = readme.whole(figures) if figures else []
            written.put(name, [*module.as_markdown(outcomes), *(["", *table] if table else [])])
            found[name] = [order.as_json(outcome) for outcome in outcomes]
            found[f"{name} figures"] = [asdict(figure) for figure in figures]
    if options.only in (None, "methods"):
        table = calibrators.table_of_methods(calibrators.methods())
        print("\n".join(table), end="\n\n")
        written.put("methods", table)
    figures = whole_processes(options)
    written.put_processes(figures, options.only)
    if options.json:
        json_lines = [
            {**asdict(line), "races": [{**asdict(race), "ratio": race.ratio} for race in line.races]} for line in lines
        ]
        found |= {"lines": json_lines, "figures": [asdict(figure) for figure in figures]}
        options.json.write_text(json.dumps({"machine": about(bandwidth, n_threads), **found}, indent=2) + "\n")


class _Written:
    """The README's tables, if they are wanted, each with what it was measured under."""

    def __init__(self, wanted: bool, conditions: str) -> None:
        self.wanted = wanted
        self.conditions = conditions

    def put_processes(self, figures: list[Figure], only: str | None) -> None:
        """Imports are a table of their own; that of all other processes is written as a whole."""
        imports = [figure for figure in figures if figure.name == "import"]
        if imports:
            self.put("imports", readme.whole(imports))
        if only is None:
            self.put("processes", readme.whole([figure for figure in figures if figure not in imports]))

    def put(self, name: str, table: list[str]) -> None:
        """A table, at once: what comes after may fail."""
        if self.wanted:
            readme.put(name, [self.conditions, "", *table])


def trials(name: str, module: ModuleType, seconds: float, shrink: int) -> list[order.Outcome]:
    """Those of a module, printed as they come."""
    print(name)
    found = []
    for outcome in module.run(seconds, shrink):
        found.append(outcome)
        print(order.as_text(outcome), flush=True)
        print_others(outcome.others)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, and fewer repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, of all peers")
    parser.add_argument("--readme", action="store_true", help="write the tables into the README")
    rows = dict.fromkeys(row.name for row in TABLE if row.timed)
    names = [*rows, *processes(quick=True), "comparisons", "courses", *SETS, "methods"]
    parser.add_argument("--only", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    return parser.parse_args()


def processes(quick: bool) -> dict[str, Callable[[], list[Figure]]]:
    """The measurements of whole processes by name."""
    report = next(row for row in TABLE if row.name == "Evaluation" and row.peers)
    peers = [name for name, peer in report.peers.items() if available(peer)]
    return {
        "memory": lambda: machine.extra_memory(peers),
        "import": lambda: first_calls.figures(5 if quick else 15),
        "cold": lambda: machine.first_calls(1 if quick else 3),
        "logits": machine.logits_memory,
        "fit-memory": machine.fit_memory,
        "sample": lambda: machine.sample_report(3 if quick else 7),
    }


def whole_processes(options: argparse.Namespace) -> list[Figure]:
    """Figures of the processes that are asked for, printed as they come."""
    figures = []
    for name, find in processes(options.quick).items():
        if options.only in (None, name):
            bystanders = Bystanders()
            for figure in find():
                figures.append(figure)
                print_figure(figure)
            if name not in ("memory", "fit-memory"):
                print_others(bystanders.cores())
    return figures


def print_line(line: Line, bandwidth: float, *, header: bool) -> None:
    columns = "{:<18} {:<26} {:>9} {:<21} {:>9} {:>7} {:>13} {:>10} {:>6}"
    if header:
        titles = ("work", "input (float32)", "ours", "best peer", "its time", "ratio", "quartiles", "reads", "share")
        print(columns.format(*titles))
    n_rows, n_classes = line.shape
    given = f"{line.kind}, {n_rows}" + (f" x {n_classes}" if n_classes > 1 else "")
    rate = line.n_bytes / (line.best.ours if line.best else line.ours)
    reads = f"{rate / 1e9:.2f} GB/s", f"{rate / bandwidth:.0%}"
    if line.best is None:
        print(columns.format(line.work, given, milliseconds(line.ours), "-", "", "", "", *reads))
        return
    best = line.best
    quartiles = f"{best.low:.2f}-{best.high:.2f}"
    times = milliseconds(best.ours), best.peer, milliseconds(best.theirs)
    print(columns.format(line.work, given, *times, f"{best.ratio:.2f}x", quartiles, *reads), end="")
    at_least = AT_LEAST.get((line.name, line.kind))
    print(f"  {verdict(best.ratio >= at_least)} (at least {at_least}x)" if at_least else "", flush=True)
    print_others(line.others)


def print_others(cores: float) -> None:
    if cores > 0.1:
        print(f"  ^ not to be trusted: other processes kept {cores:.1f} cores busy meanwhile", flush=True)


def print_figure(figure: Figure) -> None:
    value = "-" if figure.value is None else f"{figure.value:.2f}"
    print(f"{figure.what:<52} {value:>8} {figure.unit:<15}", end="")
    if figure.at_most is not None:
        holds = figure.value is not None and figure.value <= figure.at_most
        print(f" {verdict(holds)} (at most {figure.at_most:g})", end="")
    print(f"  {figure.note}" if figure.note else "", flush=True)


def verdict(holds: bool) -> str:
    return "holds" if holds else "MISSED"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def versions() -> dict[str, str]:
    """Python, and those of the libraries that are installed."""
    found = {"Python": platform.python_version()}
    for name in ("fastcal", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def about(bandwidth: float, n_threads: int) -> dict[str, object]:
    """The machine, for JSON."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": n_threads,
        "read_bandwidth": bandwidth,
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
