"""``python -m bench.budgets``: what a quick run may not fall short of, made from the recorded runs, and the check.

``--write`` makes budgets.toml of bench/results/quick.json. A ratio has to keep 70 % of what was recorded, and never
less than 70 % of what was asked for; where the quick run itself recorded less than that, a line says why: the full run,
whose inputs are larger, reached it, or short.toml explains it, or the words that stand there already. Seconds and bytes
may grow as much: to the recorded figure, or to what was asked for, divided by 0.7.

``--check RUN.json`` ends with 1 where a figure is beyond its budget also when it is measured once more, where a figure
has vanished, and where a reason is missing. Peers that are not installed are named; with FASTCAL_NO_SKIPS=1 they fail.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .asked import Short, read_short
from .record import GROWTH_MARGIN, RESULTS, Pair, Run, Whole

FILE = Path(__file__).parent / "budgets.toml"
RECORDED = RESULTS / "quick.json"
KEPT = 0.7  # of a ratio: noise takes less, a regression more
PAGES = 2.0  # MB that a call may take beyond any ceiling: what the system and other threads add
OWN_PROCESSES = ("import", "cold")  # sets whose every figure is ours
HEAD = f"""\
# What a quick run may not fall short of: `python -m bench.budgets --write` makes it from the recorded runs, and keeps
# what is said under `because`. at_least is {KEPT:.0%} of the recorded figure and of what was asked, the larger of both.
"""


@dataclass(frozen=True)
class Figure:
    """One number of a run that has a budget; ``up`` says that more is better."""

    key: str
    value: float | None
    asked: float | None
    up: bool
    name: str  # of its set or its work, by which ``python -m bench --only`` measures it again
    peer: str = ""
    slack: float = 0.0  # what may come on top of any ceiling
    exponent: bool = False  # held to what was asked alone: those of good works differ


@dataclass(frozen=True)
class Budget:
    """What a figure has to keep, ``at_least`` or ``at_most``, and why that is less than was asked for, if it is."""

    key: str
    recorded: float
    at_least: float | None = None
    at_most: float | None = None
    asked: float | None = None
    because: str = ""
    short: bool = False  # what was recorded is less than has to be kept of what was asked: ``because`` says why

    @property
    def unexplained(self) -> bool:
        """Whether it is short and nothing says why."""
        return self.short and not self.because

    @property
    def limit(self) -> str:
        """In words."""
        return f"at least {self.at_least:.3g}" if self.at_least is not None else f"at most {self.at_most:.3g}"

    def holds(self, value: float | None) -> bool:
        """Whether a figure is within it; what could not be measured is not."""
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


# --- figures ----------------------------------------------------------------------------------------------------------


def figures(run: Run) -> dict[str, Figure]:
    """All that have budgets: ratios and memory of pairs, whole processes, exponents."""
    found = [*map(of_whole, filter(is_budgeted, run.wholes))]
    for pair in run.pairs:
        if pair.ratio is not None:
            found.append(Figure(pair.key, pair.ratio, pair.aim, True, pair.work, pair.peer))
        if pair.memory is not None:
            key = f"{pair.set}: {pair.work}, {pair.given}, bytes of memory"
            found.append(Figure(key, pair.memory, None, False, pair.work, slack=1e6 * PAGES))
    for one in run.growth:
        key = f"growth: {one.work} against {one.against}"
        limits = (("time", one.exponent, one.at_most), ("memory", one.memory_exponent, one.memory_at_most))
        for what, value, asked in limits:
            found.append(
                Figure(f"{key}, exponent of {what}", value, asked, False, "growth", slack=GROWTH_MARGIN, exponent=True)
            )
    return {one.key: one for one in found}


def is_budgeted(whole: Whole) -> bool:
    """Whether it is a figure of ours, not that of a peer for comparison."""
    return whole.at_most is not None or whole.at_least is not None or whole.set in OWN_PROCESSES


def of_whole(whole: Whole) -> Figure:
    up = whole.at_least is not None
    slack = PAGES if whole.unit == "MB" else 0.0
    return Figure(whole.key, whole.value, whole.at_least if up else whole.at_most, up, whole.set, slack=slack)


# --- budgets ----------------------------------------------------------------------------------------------------------


def budget(figure: Figure, recorded: float, why: Callable[[], str]) -> Budget:
    """That of a recorded figure; ``why`` is called where that is short of what has to be kept of what was asked."""
    asked = figure.asked
    if figure.up:
        least = kept_share(recorded) if asked is None else max(kept_share(recorded), kept_share(asked))
        if recorded >= least:
            return Budget(figure.key, recorded, at_least=least, asked=asked)
        short = Budget(figure.key, recorded, at_least=kept_share(recorded), asked=asked)
    else:
        most = room(figure, recorded) if asked is None else min(room(figure, recorded), room(figure, asked))
        if figure.exponent:
            most = room(figure, asked)
        if recorded <= most:
            return Budget(figure.key, recorded, at_most=most, asked=asked)
        short = Budget(figure.key, recorded, at_most=room(figure, recorded), asked=asked)
    return replace(short, short=True, because=why())


def kept_share(value: float) -> float:
    """Of a ratio."""
    return KEPT * value


def room(figure: Figure, value: float) -> float:
    """What may come of a recorded number that should be small."""
    return value / (1 if figure.exponent else KEPT) + figure.slack


def budgets(quick: Run, full: Run | None, shorts: Sequence[Short], old: Mapping[str, Budget]) -> list[Budget]:
    """Of every figure of a quick run that was measured."""
    larger = {} if full is None else counterparts(quick, full)
    found = []
    for key, figure in figures(quick).items():
        if figure.value is not None:
            kept = old[key].because if key in old else ""
            found.append(budget(figure, figure.value, lambda key=key, kept=kept: reason(key, larger, shorts, kept)))
    return found


def reason(key: str, larger: Mapping[str, Pair], shorts: Sequence[Short], kept: str) -> str:
    """Why a line of the quick run is short of what was asked for; empty where nothing says so."""
    pair = larger.get(key)
    if pair is not None and pair.aim is not None and (pair.ratio or 0) >= kept_share(pair.aim):
        return f"few rows in the quick run: {pair.ratio:.3g}x at {pair.given}"
    for short in shorts:
        if short.explains(key) or (pair is not None and short.explains(pair.key)):
            return f"short.toml: {short.title}"
    return kept


def counterparts(quick: Run, full: Run) -> dict[str, Pair]:
    """The pairs of a full run by the keys of the quick one, whose inputs have fewer rows."""
    found = {}
    theirs = by_form(full)
    for form, pairs in by_form(quick).items():
        if len(pairs) == len(theirs.get(form, [])):
            found |= {mine.key: other for mine, other in zip(pairs, theirs[form], strict=True)}
    return found


def by_form(run: Run) -> dict[tuple[str, ...], list[Pair]]:
    """Pairs by all but their number of rows, in order."""
    found = defaultdict(list)
    for pair in run.pairs:
        found[pair.set, pair.work, pair.given.partition(" ")[2], pair.peer].append(pair)
    return found


# --- the file ---------------------------------------------------------------------------------------------------------


def read(path: Path = FILE, only: Sequence[str] | None = None) -> dict[str, Budget]:
    """Those of a file by key; ``only`` names sets or works, as ``python -m bench --only`` does."""
    found = tomllib.loads(path.read_text(encoding="utf-8")).get("budget", [])
    kept = [one for one in found if only is None or any(concerns(one["key"], name) for name in only)]
    return {one["key"]: Budget(**one) for one in kept}


def concerns(key: str, name: str) -> bool:
    """Whether a key is one of a set, or of a work."""
    return key.startswith(f"{name}: ") or f": {name}, " in key


def write(found: Iterable[Budget], path: Path = FILE) -> None:
    """To a file, a table each."""
    lines = [HEAD]
    for one in found:
        lines.append("[[budget]]")
        for name, value in vars(one).items():
            if value is not None and value is not False and value != "":
                lines.append(f"{name} = {json.dumps(round_off(value) if isinstance(value, float) else value)}")
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def round_off(value: float) -> float:
    """To four digits."""
    return float(f"{value:.4g}")


# --- the check --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a check found: lines that fail it, and those that are worth a word only."""

    failures: list[str]
    notes: list[str]
    run: Run

    def markdown(self, limits: Mapping[str, Budget]) -> list[str]:
        """The failures first, then every figure beside its budget."""
        run = self.run
        lines = [f"## Benchmarks: {len(self.failures) or 'no'} failures", ""]
        lines += [*(f"- **{one}**" for one in self.failures), *(f"- {one}" for one in self.notes), ""]
        lines += [f"Run of {run.date}, {run.mode}, commit {run.commit or 'unknown'}, {run.seconds:.0f} s.", ""]
        lines += ["| figure | measured | budget | recorded | asked | |", "|---" * 6 + "|"]
        for key, figure in figures(run).items():
            limit = limits.get(key)
            value = "-" if figure.value is None else f"{figure.value:.3g}"
            asked = "" if figure.asked is None else f"{figure.asked:.3g}"
            if limit is None:
                lines.append(f"| {key} | {value} | none | | {asked} | |")
            else:
                state = "" if limit.holds(figure.value) else "**beyond**"
                lines.append(f"| {key} | {value} | {limit.limit} | {limit.recorded:.3g} | {asked} | {state} |")
        return lines


def check(
    run: Run, limits: Mapping[str, Budget], again: Callable[[Sequence[Figure]], Run] | None, strict: bool
) -> Verdict:
    """Of a run; figures that are beyond their budgets are measured once more by ``again``, if there is one."""
    found = figures(run)
    failures, notes = [], []
    for key, limit in limits.items():
        if limit.unexplained:
            failures.append(f"{key}: recorded {limit.recorded:.3g}, short of {limit.asked:.3g}, and nothing says why")
        if key not in found:
            peer = key.partition(" / ")[2]
            absent = [name for name in run.missing if name in peer]
            said = f"{key}: {', '.join(absent)} is not installed" if absent else f"{key}: vanished from the run"
            (notes if absent and not strict else failures).append(said)
    notes += [f"{key}: has no budget" for key in found if key not in limits]
    beyond = [figure for key, figure in found.items() if key in limits and not limits[key].holds(figure.value)]
    if beyond and again is not None:
        once_more = figures(again(beyond))
        for figure in beyond:
            if limits[figure.key].holds(once_more.get(figure.key, figure).value):
                notes.append(f"{figure.key}: {words(figure)} at first, {words(once_more[figure.key])} once more")
        beyond = [once_more.get(one.key, one) for one in beyond]
        beyond = [one for one in beyond if not limits[one.key].holds(one.value)]
    failures += [f"{one.key}: {words(one)}, {limits[one.key].limit}" for one in beyond]
    return Verdict(failures, notes, run)


def words(figure: Figure) -> str:
    return "not measured" if figure.value is None else f"{figure.value:.3g}"


def measured_again(beyond: Sequence[Figure]) -> Run:
    """A quick run of the sets or works of those figures; raises RuntimeError where nothing came of it."""
    names = sorted({one.name for one in beyond})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.json"
        command = [sys.executable, "-m", "bench", "--quick", "--json", str(path), "--only", *names]
        subprocess.run(command, cwd=FILE.parents[1], check=False)
        if not path.exists():
            raise RuntimeError(f"{' '.join(command)} wrote nothing")
        return Run.load(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.budgets", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="make the budgets of the recorded runs")
    what.add_argument("--check", type=Path, metavar="RUN.json", help="hold a run to them")
    parser.add_argument("--summary", type=Path, metavar="FILE.md", help="append what was found, as Markdown")
    parser.add_argument("--budgets", type=Path, metavar="FILE.toml", default=FILE, help="in place of budgets.toml")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="budgets of these sets or works, as of a run of them")
    parser.add_argument("--once", action="store_true", help="measure nothing again")
    options = parser.parse_args()
    if options.write:
        return write_recorded(options.budgets)
    limits, strict = read(options.budgets, options.only), os.environ.get("FASTCAL_NO_SKIPS") == "1"
    verdict = check(Run.load(options.check), limits, None if options.once else measured_again, strict)
    print("\n".join([*verdict.notes, *(f"FAILS: {one}" for one in verdict.failures)]))
    print(f"{len(limits)} budgets, {len(verdict.failures)} failures")
    if options.summary:
        with options.summary.open("a", encoding="utf-8") as file:
            file.write("\n".join([*verdict.markdown(limits), ""]))
    return 1 if verdict.failures else 0


def of_recorded(path: Path = FILE) -> list[Budget]:
    """Those of the recorded runs, with what is said in a file that is there already."""
    full = Run.load(RESULTS / "full.json") if (RESULTS / "full.json").exists() else None
    return budgets(Run.load(RECORDED), full, read_short(), read(path) if path.exists() else {})


def write_recorded(path: Path) -> int:
    """To a file; ends with 1 where a line is short and nothing says why."""
    found = of_recorded(path)
    write(found, path)
    unexplained = [one for one in found if one.unexplained]
    for one in unexplained:
        print(f"{one.key}: recorded {one.recorded:.3g}, short of {one.asked:.3g}: say `because` in {path.name}")
    print(f"{len(found)} budgets, {len(unexplained)} unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
