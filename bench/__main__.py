"""``python -m bench``: all that is measured here, beside every installed peer, in one table."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from time import perf_counter
from types import ModuleType

from . import hooks, machine
from .printing import print_growth, print_missed, print_pair, print_whole
from .race import FULL, QUICK, Pace, Trial, measure, use_all_cores
from .record import RESULTS, Pair, Run, Whole

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "torchmetrics", "netcal", "uncertainty-calibration", "relplot")
LIBRARIES += ("calibre", "probmetrics", "betacal", "venn-abers", "mapie", "tensorflow-probability")
OTHERS = ("fastcal", "numba", "pyarrow", "dask")
AGAIN = {True: 60, False: 600}  # seconds of a quick run, and of a full one, in which disturbed lines are repeated


def sets() -> dict[str, ModuleType]:
    """Sets of trials by name: modules with TRIALS and contenders."""
    from . import calibration, calibrators, courses, ensembles, ood, order, selective, small_calls, swaps, table

    return {
        "comparisons": table,
        "courses": courses,
        "calibration": calibration,
        "order": order,
        "ensembles": ensembles,
        "ood": ood,
        "selective": selective,
        "calibrators": calibrators,
        "calls": small_calls,
        "swaps": swaps,
    }


def wholes(*, quick: bool) -> dict[str, list[Callable[[], Iterable[Whole]]]]:
    """Figures of whole processes by the name of their set."""
    from . import batch, calibration, ensembles, first_calls, ood

    repeats = 2 if quick else 7
    found = {
        "memory": [
            machine.report_memory,
            machine.logits_memory,
            machine.fit_memory,
            lambda: ensembles.memory(quick=quick),
            ood.memory,
        ],
        "accumulators": [calibration.states, ensembles.on_top],
        "import": [lambda: first_calls.imports(repeats), lambda: first_calls.first_call(repeats)],
        "cold": [lambda: machine.first_calls(1 if quick else 3)],
        "sample": [lambda: machine.sample_report(3 if quick else 7)],
    }
    return found if quick else {**found, "batch": [batch.figures], "dask": [two_workers]}


def two_workers() -> Iterable[Whole]:
    """Where Dask is installed."""
    if not find_spec("distributed"):
        return []
    from . import dask_cluster

    return dask_cluster.speed()


class Session:
    """One run, printed as it goes; ``wrong`` is what failed, of which there is no figure."""

    def __init__(self, run: Run, only: list[str] | None, kept: Sequence[Path] = ()) -> None:
        self.run = run
        self.quick = run.mode == "quick"
        self.pace: Pace = QUICK if self.quick else FULL
        self.only = only
        self.kept = kept
        self.wrong: list[str] = []
        self.disturbed: list[tuple[str, ModuleType, Trial]] = []

    def trials(self, name: str, module: ModuleType) -> None:
        """Those of a set that are wanted."""
        for trial in chosen(name, module, self.only, quick=self.quick):
            pairs = self.measured(name, module, trial)
            self.run.pairs += pairs
            if any(pair.disturbed for pair in pairs):
                self.disturbed.append((name, module, trial))

    def measured(self, name: str, module: ModuleType, trial: Trial) -> list[Pair]:
        """The pairs of a trial, printed; none of one that fails, as the lines after it stand by themselves."""
        try:
            pairs = measure(name, trial, module.contenders, self.pace)
        except Exception as error:
            self.failed(f"{name}: {trial.work}, {trial.words}", error)
            return []
        for pair in pairs:
            print_pair(pair, self.run.roofs)
        return pairs

    def again(self) -> None:
        """What others disturbed, once more, as far as the time for it goes; of each pair the quieter race is kept."""
        end = perf_counter() + AGAIN[self.quick]
        for name, module, trial in self.disturbed:
            if perf_counter() > end:
                break
            new = {pair.key: pair for pair in self.measured(name, module, trial)}
            calmer = (min(pair, new.get(pair.key, pair), key=attrgetter("others")) for pair in self.run.pairs)
            self.run.pairs = list(calmer)

    def processes(self, found: list[Callable[[], Iterable[Whole]]]) -> None:
        """Figures of whole processes."""
        for find in found:
            try:
                for whole in find():
                    print_whole(whole)
                    self.run.wholes.append(whole)
            except Exception as error:
                self.failed(f"{find.__module__}.{find.__name__}", error)

    def growth(self) -> None:
        """Time and memory against sizes."""
        from . import growth

        try:
            for one in growth.run(self.quick):
                print_growth(one)
                self.run.growth.append(one)
        except Exception as error:
            self.failed("growth", error)

    def failed(self, key: str, error: Exception) -> None:
        """Say so now and at the end."""
        words = " ".join(str(error).split())
        self.wrong.append(f"{key}: {type(error).__name__}: {words[:300]}")
        print(f"WRONG: {self.wrong[-1]}", flush=True)

    def set(self, name: str, work: Callable[[], None]) -> None:
        """A set under its name, with the seconds that it takes; what there is so far is kept."""
        print(f"\n{name}", flush=True)
        start = perf_counter()
        work()
        taken = perf_counter() - start
        self.run.seconds += taken
        print(f"{name}: {taken:.0f} s", flush=True)
        for path in self.kept:
            self.run.save(path)


def chosen(name: str, module: ModuleType, only: list[str] | None, *, quick: bool) -> list[Trial]:
    """The trials of a set that are wanted, as this run takes them."""
    return [
        trial.sized(quick=quick)
        for trial in module.TRIALS
        if (only is None or name in only or trial.work in only) and not (quick and trial.fewer is None)
    ]


def main() -> int:
    options = arguments()
    hooks.install(os.environ)
    os.environ.setdefault("TQDM_DISABLE", "1")  # a peer draws a bar at each call
    modules = sets()
    others = wholes(quick=options.quick)
    works = {trial.work for module in modules.values() for trial in module.TRIALS}
    unknown = set(options.only or ()) - {*modules, *wholes(quick=False), "growth", *works}
    if unknown:
        raise SystemExit(f"no set or work is named {', '.join(sorted(unknown))}; sets: {', '.join(modules)}")
    mode = "quick" if options.quick else "full"
    versions, missing = installed()
    if options.record and missing:
        raise SystemExit(f"a recorded run has all peers beside it; not installed: {', '.join(missing)}")
    unfinished = RESULTS / f"{mode}.unfinished.json" if options.record else None
    n_threads = use_all_cores()
    roofs = machine.roofs(n_threads, quick=options.quick)
    run = Run(mode, str(date.today()), commit(), machine.about(n_threads), versions, roofs, missing=missing)
    print_conditions(run)
    kept = [path for path in (options.json, unfinished) if path]
    session = Session(run, options.only, kept)
    for name, module in modules.items():
        if chosen(name, module, options.only, quick=options.quick):
            session.set(name, lambda name=name, module=module: session.trials(name, module))
    for name, found in others.items():
        if options.only is None or name in options.only:
            session.set(name, lambda found=found: session.processes(found))
    if options.only is None or "growth" in options.only:
        session.set("growth", session.growth)
    if session.disturbed:
        session.set("again, as other processes took part of the machine", session.again)
    print()
    print_missed(run)
    for line in session.wrong:
        print(f"WRONG: {line}")
    print(f"{run.seconds:.0f} s in all")
    if unfinished and session.wrong:
        print(f"not recorded; what there is stands in {unfinished}")
    elif unfinished:
        unfinished.replace(RESULTS / f"{mode}.json")
    return 1 if session.wrong else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a tenth of the rows, fewer rounds: some minutes")
    size.add_argument("--full", action="store_true", help="all of it (unless told otherwise)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="sets, or works as the lines name them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures, after each set")
    parser.add_argument("--record", action="store_true", help="keep them in bench/results, if nothing was wrong")
    options = parser.parse_args()
    if options.record and options.only:
        parser.error("a recorded run is a whole one: --record goes without --only")
    if options.record and os.environ.get(hooks.VARIABLE):
        parser.error(f"a recorded run has no faults: --record goes without {hooks.VARIABLE}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"no folder {options.json.parent}")
    return options


def installed() -> tuple[dict[str, str], list[str]]:
    """Versions of Python and of what is installed, and the peers that are not."""
    found, missing = {"Python": platform.python_version()}, []
    for name in (*OTHERS, *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in LIBRARIES:
                missing.append(name)
    return found, missing


def commit() -> str:
    """What git calls the working tree; empty where it does not know."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False).stdout.strip()


def print_conditions(run: Run) -> None:
    about, roofs = run.machine, run.roofs
    print(f"{about['processor']}, {about['threads']} threads for either side")
    bandwidths = ", ".join(f"{name} {roofs[name] / 1e9:.1f} GB/s" for name in ("read", "copy"))
    print(f"{bandwidths} on all threads; np.sort {roofs['sort'] / 1e6:.0f} M float32 a second on its one")
    print(", ".join(f"{name} {version}" for name, version in run.versions.items()))
    if run.missing:
        print("not installed: " + ", ".join(run.missing))


if __name__ == "__main__":
    raise SystemExit(main())
