"""``python -m bench.studies``: train, check, draw and write; ends with 1 where a number disagrees with the theorem."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import digits, figures, results, text, theorem
from .checks import Check
from .families import Effort

SEEDS = (0, 1, 2)  # the first is reported, the others say whether it was luck
QUICK = Effort(steps=200, n_members=5, n_points=3)
QUICK_DIGITS = 100


def main(words: list[str] | None = None) -> int:
    options = arguments().parse_args(words)
    out: Path = options.out
    started = time.perf_counter()
    seeds, effort, steps = (SEEDS[:1], QUICK, QUICK_DIGITS) if options.quick else (SEEDS, Effort(), digits.STEPS)
    theorems, diagnoses = [], []
    for seed in seeds:
        theorems.append(theorem.study(seed, effort))
        diagnoses.append(digits.diagnose(seed, steps))
        for part, found in theorems[-1].checks.items():
            for check in found:
                print_check(seed, part, check)
    out.mkdir(parents=True, exist_ok=True)
    figures.planes(theorems[0], out / results.PLANES)
    figures.digits(diagnoses[0], out / results.DIGITS)
    data = results.as_data(theorems, diagnoses, effort)
    results.write(out, data, text.as_text(theorems, diagnoses, effort))
    wrong = sum(len(results.wrong(found)) for found in theorems)
    print(f"{wrong} statements fail; {time.perf_counter() - started:.0f} s; results are in {out}")
    return 1 if wrong else 0


def print_check(seed: int, part: str, check: Check) -> None:
    verdict = {None: "", True: f"  holds ({check.aim})", False: f"  FAILS ({check.aim})"}[check.holds]
    value = f"{check.value:.3g}" if isinstance(check.value, float) else check.value
    print(f"{seed} {part}: {check.what}: {value}{verdict}", flush=True)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.studies", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, fewer members, rays and steps of training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
