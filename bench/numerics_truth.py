"""The truth of each metric on a few rows: its definition in fractions, with roots and logarithms to 60 digits.

A *row* is (weight, outcome, confidence), all exact. Nothing is fast, nothing is checked, nothing is the library's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

mpmath.mp.dps = 60
Number = Any  # a Fraction, or an mpf where there is no fraction
Row = tuple[Fraction, int, Fraction]
NAN = mpmath.mpf("nan")


def mp(value: Number) -> Any:
    """As a number of 60 digits."""
    return mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else mpmath.mpf(value)


def root(value: Number) -> Any:
    return mpmath.sqrt(mp(value)) if value > 0 else mpmath.mpf(0)


def exact(values: Iterable[Any]) -> list[Fraction]:
    """Floats as the fractions that they are."""
    return [Fraction(float(value)) for value in values]


def weights_of(case: Any) -> list[Fraction]:
    return [Fraction(1)] * len(case.y) if case.w is None else exact(case.w)


def positive(case: Any, scores: Any = None) -> list[Row]:
    """Of (N,) probabilities of class 1, or any other scores of labels 0 and 1."""
    given = case.p if scores is None else scores
    return [(w, int(y), p) for w, y, p in zip(weights_of(case), case.y, exact(given), strict=True) if w]


def top_label(case: Any) -> list[Row]:
    """Of (N, K) rows: the largest p, and whether the first such class is the label."""
    found = []
    for w, y, row in zip(weights_of(case), case.y, map(exact, case.p), strict=True):
        if w:
            found.append((w, int(row.index(max(row)) == y), max(row)))
    return found


def rows_of(case: Any) -> list[Row]:
    return positive(case) if case.p.ndim == 1 else top_label(case)


def classes_of(case: Any) -> list[list[Row]]:
    """Of each class p_k and whether it is the label; of (N,) 1 - p first, in the precision of p."""
    p = case.p if case.p.ndim > 1 else np.stack([1 - case.p, case.p], axis=1)
    weights = weights_of(case)
    return [
        [(w, int(y == k), c) for w, y, c in zip(weights, case.y, exact(p[:, k]), strict=True) if w]
        for k in range(p.shape[1])
    ]


# Sums over rows


def weight(rows: list[Row]) -> Fraction:
    return sum((w for w, _, _ in rows), Fraction(0))


def outcome(rows: list[Row]) -> Fraction:
    return sum((w * y for w, y, _ in rows), Fraction(0)) / weight(rows)


def confidence(rows: list[Row]) -> Fraction:
    return sum((w * p for w, _, p in rows), Fraction(0)) / weight(rows)


def gap(rows: list[Row]) -> Fraction:
    return outcome(rows) - confidence(rows)


def concentration(rows: list[Row]) -> Fraction:
    """sum w^2 / (sum w)^2: 1 / n of equal weights."""
    return sum((w * w for w, _, _ in rows), Fraction(0)) / weight(rows) ** 2


def noise(rows: list[Row], *, of_outcomes: bool = False) -> Fraction | None:
    """The variance of the mean of y - p, or of y alone; None for fewer than two rows."""
    if len(rows) < 2:
        return None
    mean, c = outcome(rows) if of_outcomes else gap(rows), concentration(rows)
    if of_outcomes:
        return mean * (1 - mean) * c / (1 - c)
    return sum((w * (y - p - mean)) ** 2 for w, y, p in rows) / weight(rows) ** 2 / (1 - c)


# Bins


def binned(rows: list[Row], edges: Sequence[Any], closed: str = "right") -> list[list[Row]]:
    """(lo, hi], the first also with lo; or [lo, hi), the last also with hi; what is beyond is in the end ones."""
    inner = [Fraction(edge) if isinstance(edge, Fraction) else Fraction(float(edge)) for edge in edges[1:-1]]
    bins: list[list[Row]] = [[] for _ in range(len(edges) - 1)]
    for row in rows:
        bins[sum(row[2] > edge if closed == "right" else row[2] >= edge for edge in inner)].append(row)
    return bins


def uniform(rows: list[Row], n_bins: int = 15, closed: str = "right") -> list[list[Row]]:
    return binned(rows, np.linspace(0, 1, n_bins + 1).tolist(), closed)


def quantile(rows: list[Row], q: Fraction) -> Fraction:
    """The score at the position q (W - W / n) of the cumulated weight, ties as one row."""
    total = weight(rows)
    share, scores = total / len(rows), sorted({p for _, _, p in rows})
    at = q * (total - share)
    for score, following in zip(scores, [*scores[1:], scores[-1]], strict=True):
        end = sum((w for w, _, p in rows if p <= score), Fraction(0))
        if at < end or score == scores[-1]:
            ramp = min(sum(w for w, _, p in rows if p == score), share)
            return score + (following - score) * min(max(at - (end - ramp), Fraction(0)) / ramp, Fraction(1))
    raise AssertionError


def equal_mass(rows: list[Row], n_bins: int = 15) -> list[list[Row]]:
    """Edges as ``np.quantile`` has them; of weights as ``quantile``."""
    if all(w == 1 for w, _, _ in rows):
        edges = np.unique(np.quantile([float(p) for _, _, p in rows], np.linspace(0, 1, n_bins + 1))).tolist()
    else:
        edges = sorted({quantile(rows, Fraction(i, n_bins)) for i in range(n_bins + 1)})
    return binned(rows, edges if len(edges) > 1 else edges * 2)


def folded(mean: Any, deviation: Any) -> Any:
    """E|X| of a normal X."""
    if deviation == 0:
        return abs(mean)
    z = mean / deviation
    return deviation * mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-z * z / 2) + mean * mpmath.erf(z / mpmath.sqrt(2))


def error(bins: list[list[Row]], norm: str = "l1", *, debiased: bool = False, of_outcomes: bool = False) -> Number:
    """Over bins; of "l2" the square."""
    bins = [rows for rows in bins if rows]
    total: Number = sum((weight(rows) for rows in bins), Fraction(0))
    if not total:
        return Fraction(0)  # a class of which no row is counted
    if norm == "max":
        return max(abs(gap(rows)) for rows in bins)
    terms: list[Number] = []
    for rows in bins:
        g: Number = abs(gap(rows))
        about = noise(rows, of_outcomes=of_outcomes)
        if norm == "l2":
            g = g * g if not debiased else 0 if about is None else g * g - about if of_outcomes else pairs(rows)
        elif debiased and about is not None:
            over_n = 1 - concentration(rows) if of_outcomes else 1
            g = 2 * mp(g) - folded(mp(g), root(about * over_n))
        terms.append(g * weight(rows) if isinstance(g, Fraction | int) else g * mp(weight(rows)))
    found = sum(terms)
    return found / total if isinstance(found, Fraction | int) else found / mp(total)


def pairs(rows: list[Row]) -> Fraction:
    """The mean of d_i d_j over different rows, weighted by w_i w_j, d = y - p."""
    first, second = sum(w * (y - p) for w, y, p in rows), sum((w * (y - p)) ** 2 for w, y, p in rows)
    return (first**2 - second) / (weight(rows) ** 2 - sum(w * w for w, _, _ in rows))


def over_classes(case: Any, bins: Callable[[list[Row]], Any], norm: str = "l1", **options: Any) -> Number:
    """The mean over classes, of "l2" the mean of squares."""
    errors = [error(bins(rows), norm, of_outcomes=True, **options) for rows in classes_of(case)]
    if all(isinstance(one, Fraction) for one in errors):
        return sum(errors, Fraction(0)) / len(errors)
    return mpmath.fsum(map(mp, errors)) / len(errors)


def above(rows: list[Row], threshold: Any) -> list[Row]:
    return [row for row in rows if row[2] > Fraction(float(threshold))]


def sides(bins: list[list[Row]], sign: int) -> Fraction:
    """sum_b w_b max(sign (acc_b - conf_b), 0)."""
    full = [rows for rows in bins if rows]
    total = sum(weight(rows) for rows in full)
    return sum((weight(rows) * max(sign * gap(rows), Fraction(0)) for rows in full), Fraction(0)) / total


def if_calibrated(bins: list[list[Row]]) -> Any:
    """The mean of what the errors of calibrated bins come to: sum_b w_b sqrt(2 v_b / pi)."""
    full = [rows for rows in bins if rows]
    terms = [mp(weight(r)) * root(confidence(r) * (1 - confidence(r)) * concentration(r)) for r in full]
    return mpmath.sqrt(2 / mpmath.pi) * mpmath.fsum(terms) / mp(sum(weight(rows) for rows in full))


def murphy(bins: list[list[Row]]) -> dict[str, Fraction]:
    """The Brier score of (y - p)^2 in its terms."""
    full = [rows for rows in bins if rows]
    rows = [row for inside in full for row in inside]
    total, base = weight(rows), outcome(rows)
    brier = sum((w * (y - p) ** 2 for w, y, p in rows), Fraction(0)) / total
    reliability = sum((weight(one) * gap(one) ** 2 for one in full), Fraction(0)) / total
    resolution = sum((weight(one) * (outcome(one) - base) ** 2 for one in full), Fraction(0)) / total
    unknown = base * (1 - base)
    return {
        "brier": brier,
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": unknown,
        "refinement": unknown - resolution,
        "within_bin": brier - (reliability - resolution + unknown),
    }


def canonical(case: Any, norm: str, n_bins: int = 15) -> Fraction:
    """Over cells of whole rows; of "l2" the square."""
    edges, cells = exact(np.linspace(0, 1, n_bins + 1)), {}
    n_classes = case.p.shape[1]
    for w, y, row in zip(weights_of(case), case.y, map(exact, case.p), strict=True):
        if w:
            key = tuple(sum(p > edge for edge in edges[1:-1]) for p in row)
            total, gaps = cells.get(key, (Fraction(0), [Fraction(0)] * n_classes))
            cells[key] = total + w, [g + w * ((k == y) - p) for k, (g, p) in enumerate(zip(gaps, row, strict=True))]
    all_of = sum(total for total, _ in cells.values())
    if norm == "max":
        return max(sum(map(abs, gaps)) / total / 2 for total, gaps in cells.values())
    if norm == "l1":
        return sum((sum(map(abs, gaps), Fraction(0)) / 2 for _, gaps in cells.values()), Fraction(0)) / all_of
    return sum((sum(g * g for g in gaps) / total for total, gaps in cells.values()), Fraction(0)) / all_of


# In the order of confidences


def cumulated(rows: list[Row]) -> list[Fraction]:
    """0, and sums of w (y - p) / W up to each confidence."""
    sums = [Fraction(0)]
    for score in sorted({p for _, _, p in rows}):
        sums.append(sums[-1] + sum(w * (y - p) for w, y, p in rows if p == score) / weight(rows))
    return sums


def sweep(rows: list[Row]) -> Number:
    """Equal-mass bins, as many as keep accuracies from falling."""
    kept = equal_mass(rows, 1)
    for more in range(2, len(rows) + 1):
        bins = [one for one in equal_mass(rows, more) if one]
        rates = [outcome(one) for one in bins]
        if any(b < a for a, b in itertools.pairwise(rates)):
            break
        kept = bins
    return error(kept)


def spiegelhalter(rows: list[Row]) -> tuple[Any, Any]:
    top = sum(w * (y - p) * (1 - 2 * p) for w, y, p in rows)
    below = sum((w * (1 - 2 * p)) ** 2 * p * (1 - p) for w, _, p in rows)
    if not below:
        return NAN, NAN
    z = mp(top) / root(below)
    return z, mpmath.erfc(abs(z) / mpmath.sqrt(2))


# Means over rows


def mean(case: Any, values: list[Number]) -> Number:
    """sum w v / sum w, rows of weight 0 left out."""
    kept = [(w, v) for w, v in zip(weights_of(case), values, strict=True) if w]
    total = sum(w for w, _ in kept)
    if all(isinstance(v, Fraction) for _, v in kept):
        return sum((w * v for w, v in kept), Fraction(0)) / total
    return mpmath.fsum(mp(w) * v for w, v in kept) / mp(total)


def distributions(case: Any) -> list[list[Number]]:
    """Each row's distribution: as given, of (N,) both probabilities, of logits their softmax."""
    if case.kind == "logits":
        found = []
        for row in case.p:
            e = [mpmath.exp(mp(z)) for z in exact(row)]
            found.append([one / mpmath.fsum(e) for one in e])
        return found
    if case.p.ndim == 1:
        return [[1 - p, p] for p in exact(case.p)]
    return [exact(row) for row in case.p]


def surprise(p: Number) -> Any:
    return -mpmath.log(mp(p)) if p > 0 else mpmath.inf


def entropy(row: list[Number]) -> Any:
    return -mpmath.fsum(mp(p) * mpmath.log(mp(p)) for p in row if p > 0)


def brier(row: list[Number], y: int, *, binary: bool) -> Number:
    return (row[1] - y) ** 2 if binary else sum((p - (k == y)) ** 2 for k, p in enumerate(row))
