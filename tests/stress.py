"""Calls from every kind of thread and process at once, compared with one thread's, until the time is over.

``python -m tests.stress --seconds 1800 --seed 0`` prints how often each kind was tried, and ends with exit code 1 at
the first difference, deadlock or crash. Rounds are made from the seed and their number; ``--round N`` does one alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import many_at_once
from many_at_once import KINDS, LIMIT, Job
from public_calls import Rows

import fastcal as fc

SIZES = (1, 2, 3, 63, 64, 65, 1000, 3000, 3000, 10_000, 50_000, 200_000)
LEAST = 10  # fits need some rows of each class


def rows_of(rng):
    """Rows of any size and type that all calls take."""
    k = rng.choice([2, 3, 10, 10, 60])
    n = max(rng.choice(SIZES), LEAST * k)
    return Rows(rng.randrange(4), n // 6 if n * k > 2_000_000 else n, k, rng.choice(["float32", "float64", "float16"]))


def jobs_of(rng, kind):
    """What is called at once."""
    few = KINDS[kind].new_process
    n_jobs = rng.randint(2, 3) if few else rng.choice([2, 4, 8, 32] if kind == "threads" else [2, 4, 6])
    shared = rows_of(rng)
    if kind == "cold compile":
        shared = Rows(rng.randrange(4), 3000, rng.choice([2, 10]), rng.choice(["float32", "float64"]))
    jobs = []
    for _ in range(n_jobs):
        rows = shared if few or rng.random() < 0.8 else rows_of(rng)
        names = tuple(rng.sample(many_at_once.NAMES, 3 if few or n_jobs == 32 else rng.randint(1, 6)))
        small = rng.choice([0, 1 << 14, 2 << 20])
        jobs.append(Job(names, rows, rng.choice([None, None, None, 1, 2, 3, 8]), small))
    if kind == "cold compile":
        jobs = [jobs[0]] * n_jobs  # the same kernels at once
    return jobs


def chosen(rng, kinds):
    """A kind, those that take long less often."""
    return rng.choices(kinds, [KINDS[kind].weight for kind in kinds])[0]


def one_round(seed, number, kinds):
    """Returns the kind, the names of what differs, and how many calls there were."""
    rng = random.Random(f"{seed} {number}")
    kind = kinds[number] if number < len(kinds) else chosen(rng, kinds)
    jobs = jobs_of(rng, kind)
    for job in jobs:
        many_at_once.alone(job)
    faulthandler.dump_traceback_later(4 * LIMIT, exit=True, file=sys.__stderr__)
    try:
        wrong, n_calls = many_at_once.differences(kind, jobs, many_at_once.alone)
    except Exception as error:
        raise RuntimeError(f"round {number} of seed {seed}: {kind}: {jobs}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    return kind, wrong, n_calls


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m tests.stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=int, default=None, help="this one only")
    parser.add_argument("--kinds", default=None, help="these only, with a semicolon and a space between them")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", fc.FitWarning)
    kinds = [kind for kind in KINDS if KINDS[kind].is_here and (given.kinds is None or kind in given.kinds.split("; "))]
    rounds, calls = Counter(), Counter()
    began, number = time.monotonic(), given.round or 0
    while given.round == number or (
        given.round is None and (number < len(kinds) or time.monotonic() - began < given.seconds)
    ):
        kind, wrong, n_calls = one_round(given.seed, number, kinds)
        rounds[kind] += 1
        calls[kind] += n_calls
        if wrong:
            print(f"round {number} of seed {given.seed}: {kind}: other bits of {', '.join(wrong)}")
            return 1
        number += 1
    for kind in kinds:
        print(f"{kind:30} {rounds[kind]:6} rounds {calls[kind]:8} calls")
    print(f"{'all':30} {sum(rounds.values()):6} rounds {sum(calls.values()):8} calls, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
