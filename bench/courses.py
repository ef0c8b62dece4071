"""The row kernels on courses of their own: shapes, precisions and ways of calling, each with what it has to reach.

Answers are asserted to be equal before anything is timed. Shares of the machine's bandwidth come from the same run: a
parallel copy (bytes read and written) where a result of the same size is written, a parallel read otherwise.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import fastcal as fc

from .machine import Bystanders
from .race import Race, race

Call = Callable[[], Any]


@dataclass(frozen=True)
class Course:
    """One line: what is called, on what, and the ratios and the share of the bandwidth that it has to reach."""

    work: str
    shape: tuple[int, int]
    dtype: str = "float32"
    at_least: Mapping[str, float] = field(default_factory=dict)  # by peer
    written: bool = False  # a result of the input's size
    share: float | None = None


COURSES = [
    Course("softmax, out=", (50_000, 1000), at_least={"torch": 2}, written=True, share=0.7),
    Course("softmax, new result", (50_000, 1000), at_least={"torch": 4, "scipy": 9}, written=True),
    Course("softmax, out=", (4_000_000, 10), at_least={"torch": 3}, written=True),
    Course("softmax, out=", (20_000_000, 2), at_least={"torch": 8}, written=True),
    Course("softmax_summary", (50_000, 1000), at_least={"torch": 18}, share=0.33),
    Course("softmax_summary", (1000, 50_000), at_least={"torch": 15}, share=0.33),
    Course("softmax_summary", (4_000_000, 10), at_least={"torch": 12}),
    Course("softmax_summary", (20_000_000, 2), at_least={"torch": 15}),
    Course("softmax_summary", (50_000, 1000), "float16", at_least={"torch": 15}),
    Course("softmax_summary", (50_000, 1000), "bfloat16", at_least={"torch": 15}),
    Course("softmax_summary", (50_000, 1000), "float64", at_least={"torch": 10}),
    Course("entropy", (50_000, 1000), at_least={"scipy": 20}),
    Course("softmax, one row", (1, 10), "float64", at_least={"scipy": 1}),
]

TOLERANCE = {"float16": 4e-2, "bfloat16": 3e-1, "float32": 2e-5, "float64": 1e-11}
CALLS_OF_ONE_ROW = 1000


@dataclass(frozen=True)
class Finish:
    """A course and what was measured on it."""

    course: Course
    n_bytes: int
    bandwidth: float
    races: list[Race]
    others: float

    @property
    def share(self) -> float:
        """Of the machine's bandwidth."""
        return self.n_bytes / min(race.ours for race in self.races) / self.bandwidth

    @property
    def missed(self) -> list[str]:
        """What was not reached."""
        least = self.course.at_least
        missed = [f"{r.peer} {r.ratio:.2f}x of {least[r.peer]:g}x" for r in self.races if r.ratio < least[r.peer]]
        if self.course.share is not None and self.share < self.course.share:
            missed.append(f"{self.share:.0%} of {self.course.share:.0%} of the bandwidth")
        return missed


def scores(course: Course, shrink: int) -> np.ndarray:
    """Logits; bfloat16 as its bits."""
    n_rows, n_classes = course.shape
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((max(n_rows // shrink, 1), n_classes), np.float32) * 3
    if course.dtype == "bfloat16":
        return (logits.view(np.uint32) >> 16).astype(np.uint16)
    return logits.astype(course.dtype)


def contenders(course: Course, given: np.ndarray) -> dict[str, Call]:
    """Ours and the peers' calls, by name."""
    if course.work == "softmax_summary":
        options = {"dtype": "bfloat16"} if course.dtype == "bfloat16" else {}
        return {"fastcal": lambda: fc.softmax_summary(given, **options), "torch": _torch_summary(given)}
    if course.work == "entropy":
        from scipy.special import entr

        probs = fc.softmax(given)
        return {"fastcal": lambda: fc.entropy(probs), "scipy": lambda: entr(probs).sum(axis=-1)}
    from scipy.special import softmax

    if course.work == "softmax, one row":
        row = given[0].copy()

        def often(function: Call) -> Call:
            def call() -> Any:
                for _ in range(CALLS_OF_ONE_ROW):
                    found = function()
                return found

            return call

        return {"fastcal": often(lambda: fc.softmax(row)), "scipy": often(lambda: softmax(row))}
    import torch

    tensor = torch.from_numpy(given)
    if course.work == "softmax, out=":
        ours, theirs = np.zeros_like(given), torch.from_numpy(np.zeros_like(given))
        return {
            "fastcal": lambda: fc.softmax(given, out=ours),
            "torch": lambda: torch.softmax(tensor, -1, out=theirs).numpy(),
        }
    return {
        "fastcal": lambda: fc.softmax(given),
        "torch": lambda: torch.softmax(tensor, -1).numpy(),
        "scipy": lambda: softmax(given, axis=-1),
    }


def _torch_summary(given: np.ndarray) -> Call:
    """torch's log_softmax, logsumexp, entropy and max, in the dtype given."""
    import torch

    z = torch.from_numpy(given.view(np.int16) if given.dtype == np.uint16 else given)
    z = z.view(torch.bfloat16) if given.dtype == np.uint16 else z

    def call() -> dict[str, Any]:
        log_p = torch.log_softmax(z, -1)
        p = log_p.exp()
        found = {"logsumexp": torch.logsumexp(z, -1), "entropy": -(p * log_p).sum(-1)}
        largest = z.max(-1)
        return {**found, "prediction": largest.indices}

    return call


def assert_same(course: Course, ours: Any, theirs: Any) -> None:
    """Raises AssertionError where answers differ by more than the rounding of the coarser one."""
    tolerance = TOLERANCE[course.dtype]
    if not isinstance(theirs, dict):
        np.testing.assert_allclose(ours, theirs, rtol=5 * tolerance, atol=tolerance)
        return
    for name in ("logsumexp", "entropy"):
        np.testing.assert_allclose(getattr(ours, name), theirs[name].double().numpy(), rtol=tolerance, atol=tolerance)
    if course.dtype not in ("float16", "bfloat16"):  # there ties are many, and torch takes any of them
        np.testing.assert_array_equal(ours.prediction, theirs["prediction"].numpy())


def run(read: float, copy: float, seconds: float, shrink: int = 1) -> Iterator[Finish]:
    """Every course; ``read`` and ``copy`` are bandwidths in bytes a second, ``shrink`` divides the number of rows."""
    for course in COURSES:
        given = scores(course, shrink)
        bystanders = Bystanders()
        calls = contenders(course, given)
        ours = calls.pop("fastcal")
        races = []
        for name, theirs in calls.items():
            assert_same(course, ours(), theirs())
            races.append(race(ours, name, theirs, seconds))
        n_bytes = given.nbytes * (2 if course.written else 1)
        yield Finish(course, n_bytes, copy if course.written else read, races, bystanders.cores())
        del calls, ours, given
        gc.collect()


def as_text(finish: Finish) -> str:
    """A line for the terminal."""
    course = finish.course
    given = f"{course.shape[0]:,} x {course.shape[1]:,} {course.dtype}"
    ours = min(race.ours for race in finish.races)
    one = CALLS_OF_ONE_ROW if course.work == "softmax, one row" else 1
    parts = [f"{course.work:<20} {given:<26} {milliseconds(ours / one):>10}"]
    for found in finish.races:
        least, spread = course.at_least[found.peer], f"{found.low:.2f}-{found.high:.2f}"
        parts.append(f"{found.peer} {milliseconds(found.theirs / one)} {found.ratio:.2f}x ({spread}) of {least:g}x")
    parts.append(f"{finish.share:.0%} of {'copy' if course.written else 'read'}")
    return "  ".join(parts) + ("  MISSED: " + ", ".join(finish.missed) if finish.missed else "  holds")


def milliseconds(seconds: float) -> str:
    """With enough digits."""
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.1f} us"


def as_json(finish: Finish) -> dict[str, Any]:
    """All of it, with what follows from it."""
    ratios = {race.peer: race.ratio for race in finish.races}
    return {**asdict(finish), "share": finish.share, "ratios": ratios}


def as_markdown(finishes: list[Finish]) -> list[str]:
    """A table for the README."""
    lines = [
        "| row kernels | input | fastcal | peer | its time | ratio | quartiles | aim | bandwidth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for finish in finishes:
        course = finish.course
        one = CALLS_OF_ONE_ROW if course.work == "softmax, one row" else 1
        given = f"{course.shape[0]:,} x {course.shape[1]:,} {course.dtype}"
        share = "" if one > 1 else f"{finish.share:.0%} of {'copy' if course.written else 'read'}"
        for found in finish.races:
            times = f"{milliseconds(found.ours / one)} | {found.peer} | {milliseconds(found.theirs / one)}"
            spread = f"{found.ratio:.1f}x | {found.low:.1f} to {found.high:.1f} | {course.at_least[found.peer]:g}x"
            lines.append(f"| {course.work} | {given} | {times} | {spread} | {share} |")
    return lines
