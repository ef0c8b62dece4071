"""Every kernel of rows beside 27 digits: errors in units in the last place, on dense and on special rows."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

import fastcal as fc
from fastcal import jit

BITS = 90  # of the truth
HALVES = ("float16", "bfloat16")
Split = tuple[Any, Any, Any]  # see split
DTYPES = ("float32", "float64", *HALVES)


def dtype_of(name: str) -> Any:
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def digits(dtype: Any) -> tuple[int, int]:
    """Bits of the significand, and the exponent of the smallest number."""
    if dtype.name == "bfloat16":
        return 8, -133
    return int(np.finfo(dtype).nmant) + 1, int(np.log2(float(np.finfo(dtype).smallest_subnormal)))


def largest(dtype: Any) -> float:
    """The largest finite number."""
    return float(np.ldexp(1 - 2.0**-8, 128)) if dtype.name == "bfloat16" else float(np.finfo(dtype).max)


@dataclass
class Tally:
    """Of one work on one kind of rows: worst and mean error, where the worst is, the largest share of its bound."""

    worst: float = 0.0
    total: float = 0.0
    count: int = 0
    where: str = ""
    share: float = 0.0

    def add(self, off: Any, where: str, allowed: Any = None) -> None:
        """Of errors in units in the last place; ``allowed`` of each."""
        off = np.ravel(off)
        if not off.size:
            return
        at = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
        if not off[at] <= self.worst:
            self.worst, self.where = float(off[at]), where
        self.total, self.count = self.total + float(off.sum()), self.count + off.size
        if allowed is not None:
            self.share = max(self.share, float((off / np.ravel(allowed)).max()))


def split(values: list[Any]) -> Split:
    """Numbers of many digits as (high + low) 2^exponent, high and low of float64."""
    high, low, exponent = np.zeros(len(values)), np.zeros(len(values)), np.zeros(len(values), np.int64)
    for i, value in enumerate(values):
        if mpmath.isfinite(value):
            m, e = mpmath.frexp(value)
            if e > -10_000:  # else it counts as 0
                high[i], low[i], exponent[i] = float(m), float(m - float(m)), e
        else:
            high[i] = float(value)
    return high, low, exponent


def off_by(found: Any, truth: Split, dtype: Any, sizes: Split | None = None) -> Any:
    """Errors in units in the last place of the truth in this dtype, or of the larger of it and ``sizes``."""
    found = np.ravel(np.asarray(found).astype(np.float64))
    high, low, exponent = truth
    significand, smallest = digits(dtype)
    scale = exponent if sizes is None else np.maximum(sizes[2], exponent)
    unit = np.maximum(scale - significand, smallest)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = np.abs((np.ldexp(found, -exponent) - high) - low)
        off = np.ldexp(gap, np.clip(exponent - unit, -2000, 2000))
        tiny = exponent < smallest - 60  # counts as 0
        off = np.where(tiny, np.abs(np.ldexp(found, -smallest)), off)
        too_large = np.abs(np.ldexp(high, exponent)) > largest(dtype) * (1 + 2.0 ** -(significand + 1))
        off = np.where(too_large & (found == np.copysign(np.inf, high)), 0.0, off)
    same = ~np.isfinite(high) & ((found == high) | (np.isnan(found) & np.isnan(high)))
    return np.where(same, 0.0, off)


# Rows


def dense(rng: Any, n_rows: int, most: int) -> Iterator[tuple[str, Any]]:
    """K log-uniform from 1 to ``most``, of many spreads; every third with differences of up to 700 from its maximum."""
    for n in range(n_rows):
        k = int(np.exp(rng.uniform(0, np.log(most + 1))))
        row = rng.standard_normal(k) * np.exp(rng.uniform(-3, 3.5))
        if n % 3 == 2:
            row = -rng.uniform(0, np.exp(rng.uniform(0, np.log(700))), k)
        yield f"K = {k}", row


def special(rng: Any, dtype: Any) -> Iterator[tuple[str, Any]]:
    """Denormals, -inf, huge, ties, one-hot, near-uniform, an ulp apart."""
    significand, smallest = digits(dtype)
    eps = 2.0 ** (1 - significand)
    most = {"float16": 6e4, "float64": 1e307}.get(dtype.name, 1e37)
    for k in (1, 2, 3, 10, 64, 129, 1000):
        noise, alternate = rng.standard_normal(k), np.where(np.arange(k) % 2, -1.0, 1.0)
        yield f"denormals, K = {k}", np.abs(noise) * 2.0 ** (smallest + 3)
        yield f"-inf among them, K = {k}", np.where(np.arange(k) % 3 == 1, -np.inf, noise * 3)
        yield f"huge, K = {k}", most * (1 - np.arange(k) * eps)
        yield f"huge of both signs, K = {k}", most * alternate
        yield f"ties, K = {k}", np.round(noise)
        yield f"one-hot, K = {k}", np.where(np.arange(k) == k // 2, 0.0, -200.0)
        yield f"near-uniform, K = {k}", 1 + noise * 4 * eps
        yield f"an ulp apart, K = {k}", 1 + np.arange(k) % 7 * eps


# Truths, at the precision that is set


def truths(row: Any, temperature: float) -> dict[str, list[Any]]:
    """Of one row of logits."""
    z, t = [mpmath.mpf(float(one)) for one in row], mpmath.mpf(temperature)
    at = z.index(max(z))
    top, d = z[at] / t, [(one - z[at]) / t for one in z]
    e = [mpmath.exp(one) for one in d]
    others = mpmath.fsum(e[:at] + e[at + 1 :])
    total, log_total = 1 + others, mpmath.log1p(others)
    second = max(e[:at] + e[at + 1 :], default=mpmath.mpf(0))
    return {
        "softmax": [one / total for one in e],
        "log_softmax": [one - log_total for one in d],
        "logsumexp": [top + log_total],
        "entropy": [log_total - mpmath.fsum(a * b for a, b in zip(e, d, strict=True) if a) / total],
        "confidence": [1 / total],
        "margin": [(1 - second) / total],
        "top": [abs(top)],
        "distance": [-one for one in d],
    }


def entropy_of(probs: Any) -> Any:
    """Of probabilities as they are."""
    p = [mpmath.mpf(float(one)) for one in np.ravel(probs)]
    return -mpmath.fsum(one * mpmath.log(one) for one in p if one)


# Works of a row of logits


def ours(z: Any, temperature: float) -> dict[str, Any]:
    summary = fc.softmax_summary(z, temperature=temperature)
    return {
        "softmax": fc.softmax(z, temperature=temperature),
        "log_softmax": fc.log_softmax(z, temperature=temperature),
        "logsumexp": fc.logsumexp(z, temperature=temperature),
        "softmax_summary: confidence": summary.confidence,
        "softmax_summary: margin": summary.margin,
        "softmax_summary: entropy": summary.entropy,
    }


def scaled(z: Any, temperature: float) -> Any:
    """What a calibrator of this temperature makes of a row."""
    rows = np.stack([z, z])
    model = fc.TemperatureScaling().fit(np.zeros(rows.shape), [0, 1])
    model.temperature_ = temperature
    return model.predict_proba(rows)[0]


def numpy_rows(z: Any, temperature: float) -> dict[str, Any]:
    """The formulas in the dtype of the row."""
    z = z / z.dtype.type(temperature)
    d = z - z.max()
    total = np.exp(d).sum()
    return {"softmax": np.exp(d) / total, "log_softmax": d - np.log(total), "logsumexp": z.max() + np.log(total)}


def scipy_rows(z: Any, temperature: float) -> dict[str, Any]:
    from scipy import special

    z = z / z.dtype.type(temperature)
    return {name: getattr(special, name)(z) for name in ("softmax", "log_softmax", "logsumexp")}


def torch_rows(z: Any, temperature: float) -> dict[str, Any]:
    import torch

    half = z.dtype.name == "bfloat16"
    given = torch.from_numpy(z.view(np.int16).copy()).view(torch.bfloat16) if half else torch.from_numpy(z)
    given = given / temperature
    names = ("softmax", "log_softmax", "logsumexp")
    return {name: getattr(torch, name)(given, -1).double().numpy() for name in names}


def peers(dtype: Any) -> dict[str, Callable[[Any, float], dict[str, Any]]]:
    """Those that have this dtype and are installed."""
    found = {} if dtype.name == "bfloat16" else {"numpy": numpy_rows, "scipy": scipy_rows}
    return {**found, "torch": torch_rows} if importlib.util.find_spec("torch") else found


PROMISES = {
    "softmax": "4 ulp + 0.6 ulp a unit of (max z - z_k) / T; of half floats that of float32, rounded once more",
    "TemperatureScaling": "as softmax",
    "logsumexp": "4 ulp of the larger of itself and max z / T",
    "softmax_summary: entropy": "4e-7 max(1, log K), of float64 1e-14",
    "entropy": "4e-7 max(1, log K), of float64 1e-14",
    "softmax_summary: confidence": "as softmax",
    "exp": "1 ulp",
    "log": "1 ulp",
    "log1p": "2 ulp",
    "ensemble_uncertainty": "1e-6 of the larger of 1 and the value, of float64 1e-12",
}


def promise(work: str) -> str | None:
    """What is said of a work, in words."""
    return PROMISES.get(work) or PROMISES.get(work.split(":", maxsplit=1)[0])


def allowed(work: str, truth: dict[str, Split], dtype: Any) -> Any:
    """What is promised of each value, in units in the last place of it; None where nothing is."""
    if work == "softmax_summary: confidence":
        return 4.0
    if work in ("softmax", "TemperatureScaling"):
        room = 4 + 0.6 * np.ldexp(truth["distance"][0], truth["distance"][2])
        half = dtype.name in HALVES and work == "softmax"
        return 0.5 + room * 2.0 ** (digits(dtype)[0] - 24) if half else room
    if work == "logsumexp":
        return 4.0
    if work in ("softmax_summary: entropy", "entropy"):
        unit = np.exp2(
            truth["entropy" if "summary" in work else "of softmax"][2] - (53.0 if dtype == np.float64 else 24.0)
        )
        return (1e-14 if dtype == np.float64 else 4e-7) * max(1.0, np.log(len(truth["distance"][0]))) / unit
    return None


Tallies = dict[tuple[str, str], Tally]


def rows_of(dtype: Any, rows: Iterable[tuple[str, Any]], temperature: float) -> Tallies:
    """Every work of rows of logits of a dtype, by work and who did it."""
    found: Tallies = {}
    result = dtype if dtype == np.float64 else np.dtype(np.float32)
    everyone = {"fastcal": ours, **peers(dtype)}
    for where, values in rows:
        z = values.astype(dtype)
        with mpmath.workprec(BITS), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            truth = {name: split(values) for name, values in truths(z, temperature).items()}
            for who, call in everyone.items():
                answers = call(z, temperature)
                if who == "fastcal":
                    truth["of softmax"] = split([entropy_of(answers["softmax"])])
                    answers["entropy"] = fc.entropy(answers["softmax"])
                    if z.size > 1:
                        answers["TemperatureScaling"] = scaled(z, temperature)
                for work, answer in answers.items():
                    name = work.removeprefix("softmax_summary: ")
                    right = truth["of softmax" if work == "entropy" else "softmax" if name[0] == "T" else name]
                    kept = dtype if name in ("softmax", "log_softmax") or who != "fastcal" else result
                    sizes = truth["top"] if name == "logsumexp" else truth["confidence"] if name == "margin" else None
                    room = allowed(work, truth, dtype) if who == "fastcal" else None
                    tally = found.setdefault((work, who), Tally())
                    tally.add(off_by(answer, right, kept, sizes), where, room)
    return found


# Functions of one number


def numbers(rng: Any, dtype: Any, n: int) -> dict[str, Any]:
    """Arguments of exp, log and log1p over all of their range, dense about 0 and 1."""
    low, high = (-745.0, 709.7) if dtype == np.float64 else (-103.9, 88.7)
    smallest, largest = digits(dtype)[1], 1023 if dtype == np.float64 else 127
    near = rng.standard_normal(n) * np.exp2(rng.uniform(-30, 0, n))
    return {
        "exp": np.concatenate([rng.uniform(low, high, n), near]).astype(dtype),
        "log": np.concatenate([np.exp2(rng.uniform(smallest, largest, n)), abs(1 + near)]).astype(dtype),
        "log1p": np.concatenate([np.expm1(rng.uniform(-15, largest * 0.69, n)), near.clip(-0.999)]).astype(dtype),
    }


def functions(dtype: Any, n: int, rng: Any) -> Tallies:
    found: Tallies = {}
    for name, x in numbers(rng, dtype, n).items():
        calls = {"fastcal": lambda x, name=name: np.array([getattr(jit, name)(one) for one in x], dtype)}
        calls["numpy"] = lambda x, name=name: getattr(np, name)(x)
        if importlib.util.find_spec("torch"):
            import torch

            calls["torch"] = lambda x, name=name: getattr(torch, name)(torch.from_numpy(x)).numpy()
        with mpmath.workprec(BITS), np.errstate(all="ignore"):
            right = split([getattr(mpmath, name)(mpmath.mpf(float(one))) for one in x])
        for who, call in calls.items():
            with np.errstate(all="ignore"):
                off = off_by(call(x), right, dtype)
            worst = f"x = {float(x[int(off.argmax())]):.9g}"
            room = (2.0 if name == "log1p" else 1.0) if who == "fastcal" else None
            found.setdefault((name, who), Tally()).add(off, worst, room)
    return found


# Ensembles


def ensembles(dtype: Any, n_rows: int, rng: Any) -> Tallies:
    """Measures of rows of members, in units in the last place of the larger of 1 and the value."""
    found: Tallies = {}
    promised = 1e-12 * 2**52 if dtype == np.float64 else 1e-6 * 2**23
    for _ in range(n_rows):
        m, k = int(rng.integers(1, 8)), int(np.exp(rng.uniform(0, np.log(300))))
        p = rng.dirichlet(np.full(k, np.exp(rng.uniform(-3, 2))), m)[:, None].astype(dtype)
        answers = fc.ensemble_uncertainty(p)
        with mpmath.workprec(BITS):
            right = measures([[mpmath.mpf(float(one)) for one in row[0]] for row in p])
            for name, value in right.items():
                off = off_by(getattr(answers, name), split([value]), dtype, split([mpmath.mpf(1)]))
                found.setdefault((f"ensemble_uncertainty: {name}", "fastcal"), Tally()).add(
                    off, f"{m} members, K = {k}", promised
                )
    return found


def measures(members: list[list[Any]]) -> dict[str, Any]:
    """Of the members of one row."""
    n, k = len(members), len(members[0])
    mean = [mpmath.fsum(row[i] for row in members) / n for i in range(k)]
    spread = mpmath.fsum((row[i] - mean[i]) ** 2 for row in members for i in range(k))
    each = [-mpmath.fsum(one * mpmath.log(one) for one in row if one) for row in [*members, mean]]
    expected = mpmath.fsum(each[:-1]) / n
    votes = [row.index(max(row)) for row in members]
    return {
        "max_probability": max(mean),
        "softmax_variance": spread / n / k,
        "predictive_entropy": each[-1],
        "expected_entropy": expected,
        "mutual_information": each[-1] - expected,
        "variation_ratio": 1 - mpmath.mpf(max(map(votes.count, votes))) / n,
    }
