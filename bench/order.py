"""Figures of sorted scores against their peers: isotonic fits and predictions, rankings, and time against rows.

Answers are asserted to be equal before anything is timed; ours and a peer run in turns, both with all cores.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import fastcal as fc

from .courses import Call, milliseconds
from .machine import Bystanders
from .race import PAUSE, Race, elapsed, race

ROWS = 10_000_000
FEW_ROUNDS = 3  # a fit of scikit-learn's takes seconds
MOST_OF_SCIKIT_LEARN = ROWS  # ten times as many take it ten times as long, and 4 GB

FIT, PREDICT, SEQUENCE = "IsotonicRegression.fit", "IsotonicRegression.predict", "isotonic_regression"
GROWTH = "fit against rows"
UNIFORM = "float32 uniform, y 0/1 ~ Bernoulli(score)"
BY_CLASS = "float64 uniform, int64 labels"

# Inputs of isotonic_regression by name, from scores that rise.
SEQUENCES: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "float64 scores, sorted": lambda _, scores: scores,
    "float64 labels 0/1, by score": lambda rng, scores: (rng.random(len(scores)) < scores).astype(float),
    "float64 sorted + N(0, 1)": lambda rng, scores: scores + rng.standard_normal(len(scores)),
}


@dataclass(frozen=True)
class Trial:
    """One line: what is called on what, and how many times as fast as a peer it has to be."""

    work: str
    given: str
    n_rows: int
    at_least: Mapping[str, float]
    slow: bool = False  # minutes a call: two rounds, and no other before them
    pause: float = PAUSE


TRIALS = [
    Trial(FIT, UNIFORM, ROWS, {"scikit-learn": 20, "np.sort": 1 / 3}),
    Trial(FIT, f"{UNIFORM}, weights", ROWS, {"scikit-learn": 8}),
    Trial(PREDICT, "float32 uniform, unsorted", ROWS, {"scikit-learn": 12}),
    *(Trial(SEQUENCE, name, ROWS, {"scipy": 1.5}) for name in SEQUENCES),
    Trial("auroc", BY_CLASS, 2_000_000, {"scikit-learn": 8, "torchmetrics": 4}),
    Trial("average_precision", BY_CLASS, 2_000_000, {"scikit-learn": 8, "torchmetrics": 4}),
]


def growth(most: int) -> list[Trial]:
    """Fits of 1000 rows and of ten times as many, up to ``most``; the fewest have to be no slower than theirs."""
    powers = [10**power for power in range(3, 9) if 10**power <= most]
    return [Trial(GROWTH, UNIFORM, n_rows, {"scikit-learn": 1} if n_rows == 1000 else {}) for n_rows in powers]


@dataclass(frozen=True)
class Outcome:
    """A trial, seconds of ours, and the races."""

    trial: Trial
    ours: float
    races: list[Race]
    others: float  # cores that other processes kept busy meanwhile

    @property
    def ns_a_row(self) -> float:
        """Nanoseconds of ours."""
        return self.ours / self.trial.n_rows * 1e9

    @property
    def missed(self) -> list[str]:
        """What was not reached."""
        least = self.trial.at_least
        return [
            f"{r.peer} {times_as_fast(r.ratio)} of {aim(least, r)}"
            for r in self.races
            if r.ratio < least.get(r.peer, 0)
        ]


def bernoulli(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform float32 scores and float64 labels 0 and 1, each 1 with the probability of its score."""
    rng = np.random.default_rng(0)
    scores = rng.random(n_rows, np.float32)
    return scores, (rng.random(n_rows, np.float32) < scores).astype(float)


def fit_ours(scores: np.ndarray, y: np.ndarray, weight: np.ndarray | None, ties: str = "exact") -> Any:
    """A fitted fastcal.IsotonicRegression."""
    return fc.IsotonicRegression(out_of_bounds="clip", ties=ties).fit(scores, y, weight)


def fit_theirs(scores: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """A fitted sklearn.isotonic.IsotonicRegression."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(out_of_bounds="clip").fit(scores, y, weight)


FITS = {"fastcal": fit_ours, "scikit-learn": fit_theirs}


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and the peers' calls, by name; raises AssertionError where answers differ."""
    n_rows = trial.n_rows
    if trial.work == GROWTH and n_rows > MOST_OF_SCIKIT_LEARN:
        scores, y = bernoulli(n_rows)
        return {"fastcal": lambda: fit_ours(scores, y, None)}
    if trial.work in (FIT, GROWTH):
        calls = fits(n_rows, weighted="weights" in trial.given)
        return {name: calls[name] for name in {"fastcal": 0, "scikit-learn": 0, **trial.at_least}}
    if trial.work == PREDICT:
        return predictions(n_rows)
    if trial.work == SEQUENCE:
        return sequences(trial.given, n_rows)
    return rankings(trial.work, n_rows)


def fits(n_rows: int, *, weighted: bool = False) -> dict[str, Call]:
    """Fits of the whole estimator, and a sort of the scores alone.

    scikit-learn takes float32 scores closer than 1e-6 for ties, ours with ties="sklearn": those two are compared. What
    is timed is the default, which sorts and pools the same rows, with more distinct scores among them.
    """
    scores, y = bernoulli(n_rows)
    weight = 1 - np.random.default_rng(1).random(n_rows, np.float32) if weighted else None
    ours, theirs = fit_ours(scores, y, weight, "sklearn"), fit_theirs(scores, y, weight)
    np.testing.assert_allclose(ours.predict(scores), theirs.predict(scores), rtol=1e-5, atol=1e-6)
    return {
        "fastcal": lambda: fit_ours(scores, y, weight),
        "scikit-learn": lambda: fit_theirs(scores, y, weight),
        "np.sort": lambda: np.sort(scores),
    }


def predictions(n_rows: int) -> dict[str, Call]:
    """Of the same fit, at scores that were not fitted; those beyond the fitted range are clipped."""
    scores, y = bernoulli(n_rows)
    ours, theirs = fit_ours(scores, y, None, "sklearn"), fit_theirs(scores, y, None)
    given = np.random.default_rng(2).random(n_rows, np.float32)
    np.testing.assert_allclose(ours.predict(given), theirs.predict(given), rtol=1e-5, atol=1e-6)
    return {"fastcal": lambda: ours.predict(given), "scikit-learn": lambda: theirs.predict(given)}


def sequences(name: str, n_rows: int) -> dict[str, Call]:
    """Fits of numbers that are in order already."""
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(0)
    y = SEQUENCES[name](rng, np.sort(rng.random(n_rows)))
    np.testing.assert_allclose(fc.isotonic_regression(y).x, isotonic_regression(y).x, rtol=1e-9, atol=1e-11)
    return {"fastcal": lambda: fc.isotonic_regression(y), "scipy": lambda: isotonic_regression(y)}


def rankings(work: str, n_rows: int) -> dict[str, Call]:
    """Areas under the curves of ROC, or of precision and recall."""
    import torch
    from sklearn import metrics
    from torchmetrics.functional import classification

    rng = np.random.default_rng(0)
    scores = rng.random(n_rows)
    labels = (rng.random(n_rows) < scores).astype(np.int64)
    given = torch.from_numpy(scores), torch.from_numpy(labels)
    ours, scikit_learn, torchmetrics = {
        "auroc": (fc.auroc, metrics.roc_auc_score, classification.binary_auroc),
        "average_precision": (
            fc.average_precision,
            metrics.average_precision_score,
            classification.binary_average_precision,
        ),
    }[work]
    calls: dict[str, Call] = {
        "fastcal": lambda: ours(labels, scores),
        "scikit-learn": lambda: scikit_learn(labels, scores),
        "torchmetrics": lambda: torchmetrics(*given, validate_args=False),
    }
    np.testing.assert_allclose(calls["fastcal"](), calls["scikit-learn"](), rtol=1e-10)
    np.testing.assert_allclose(calls["fastcal"](), float(calls["torchmetrics"]()), rtol=1e-5)  # it works in float32
    return calls


def run(seconds: float, shrink: int = 1) -> Iterator[Outcome]:
    """Every trial; ``shrink`` divides the number of rows, and 1e8 of the growth by its square."""
    for trial in [*shrunk(TRIALS, shrink), *growth(10**8 // shrink**2)]:
        yield measure(trial, contenders(trial), seconds)


def shrunk(trials: list[Trial], shrink: int) -> list[Trial]:
    """The same of fewer rows."""
    return [replace(one, n_rows=one.n_rows // shrink) for one in trials]


def measure(trial: Trial, calls: dict[str, Call], seconds: float) -> Outcome:
    """Race ours, named "fastcal", against each of the other calls for about so many seconds."""
    gc.collect()
    bystanders = Bystanders()
    times = max(100_000 // trial.n_rows, 1)  # a turn of few rows is many calls
    often = {name: partial(_often, call, times) for name, call in calls.items()}
    ours = often.pop("fastcal")
    rounds = 2 if trial.slow else FEW_ROUNDS
    found = [
        race(ours, name, theirs, seconds, rounds, warm=trial.slow, pause=trial.pause) for name, theirs in often.items()
    ]
    races = [replace(one, ours=one.ours / times, theirs=one.theirs / times) for one in found]
    median = statistics.median([one.ours for one in races] or [elapsed(ours) for _ in range(FEW_ROUNDS)])
    return Outcome(trial, median, races, bystanders.cores())


def _often(call: Call, times: int) -> None:
    for _ in range(times):
        call()


def aim(least: Mapping[str, float], found: Race) -> str:
    """What a race has to reach, or nothing."""
    return f"{least[found.peer]:.3g}x" if found.peer in least else ""


def times_as_fast(ratio: float) -> str:
    """With enough digits."""
    return f"{ratio:.2f}x" if ratio >= 0.1 else f"{ratio:.4f}x"


def as_text(outcome: Outcome) -> str:
    """A line for the terminal."""
    trial = outcome.trial
    parts = [f"{trial.work:<26} {trial.n_rows:>11,} {trial.given:<49} {milliseconds(outcome.ours):>10}"]
    parts.append(f"{outcome.ns_a_row:5.1f} ns a row")
    for found in outcome.races:
        of = f" of {aim(trial.at_least, found)}" if found.peer in trial.at_least else ""
        spread = f"{times_as_fast(found.ratio)} ({found.low:.2f}-{found.high:.2f})"
        parts.append(f"{found.peer} {milliseconds(found.theirs)} {spread}{of}")
    if trial.at_least:
        parts.append("MISSED: " + ", ".join(outcome.missed) if outcome.missed else "holds")
    return "  ".join(parts)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """All of it, with what follows from it."""
    ratios = {race.peer: race.ratio for race in outcome.races}
    return {**asdict(outcome), "ns_a_row": outcome.ns_a_row, "ratios": ratios}


def as_markdown(outcomes: list[Outcome]) -> list[str]:
    """Two tables for the README: the trials, and the growth."""
    grown = ["| rows fitted | fastcal | a row | scikit-learn | ratio | quartiles | aim |", "|" + "---|" * 7]
    for outcome in outcomes:
        if outcome.trial.work != GROWTH:
            continue
        start = f"| {outcome.trial.n_rows:,} | {milliseconds(outcome.ours)} | {outcome.ns_a_row:.0f} ns |"
        if not outcome.races:
            grown.append(f"{start} | | | |")
        grown += [f"{start} {_end(outcome.trial, found)}" for found in outcome.races]
    trials = [outcome for outcome in outcomes if outcome.trial.work != GROWTH]
    return [*table_of_races("sorted scores", trials), "", *grown]


def table_of_races(title: str, outcomes: list[Outcome]) -> list[str]:
    """A line a race; those of a trial without any have a line of their own."""
    lines = [f"| {title} | input | fastcal | peer | its time | ratio | quartiles | aim |", "|" + "---|" * 8]
    for outcome in outcomes:
        trial = outcome.trial
        start = f"| {trial.work} | {trial.n_rows:,} {trial.given} |"
        for found in outcome.races:
            lines.append(f"{start} {milliseconds(found.ours)} | {found.peer} | {_end(trial, found)}")
        if not outcome.races:
            lines.append(f"{start} {milliseconds(outcome.ours)} | | | | | |")
    return lines


def _end(trial: Trial, found: Race) -> str:
    spread = f"{times_as_fast(found.ratio)} | {found.low:.2f} to {found.high:.2f}"
    return f"{milliseconds(found.theirs)} | {spread} | {aim(trial.at_least, found)} |"
