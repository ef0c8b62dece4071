"""The truth of what goes by the order of scores, of smoothed and of kernel errors, in fractions and 60 digits."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from .numerics_truth import Number, Row, exact, mp, outcome, root, surprise, weight, weights_of

# Rankings: rows are (weight, label, score)


def _sum(rows: list[Row], label: int | None = None) -> Fraction:
    return sum((w for w, y, _ in rows if label is None or y == label), Fraction(0))


def auroc(rows: list[Row]) -> Fraction:
    """Over all pairs of a positive and a negative: 1 in order, 1/2 tied."""
    won = Fraction(0)
    for (w, y, s), (v, z, t) in itertools.product(rows, rows):
        if y == 1 and z == 0:
            won += w * v * (2 if s > t else 1 if s == t else 0) / 2
    return won / (_sum(rows, 1) * _sum(rows, 0))


def steps(rows: list[Row]) -> list[tuple[Fraction, Fraction]]:
    """The weights of negatives and of positives at or above each score, from the highest down."""
    levels = sorted({s for _, _, s in rows}, reverse=True)
    return [(_sum(kept, 0), _sum(kept, 1)) for kept in ([r for r in rows if r[2] >= level] for level in levels)]


def average_precision(rows: list[Row]) -> Fraction:
    found, before = Fraction(0), Fraction(0)
    for negatives, positives in steps(rows):
        found += (positives - before) * positives / (positives + negatives)
        before = positives
    return found / before


def fpr_at_tpr(rows: list[Row], tpr: Fraction) -> Fraction:
    all_of = steps(rows)[-1]
    return next(n for n, p in steps(rows) if p >= tpr * all_of[1]) / all_of[0]


def detection_error(rows: list[Row]) -> Fraction:
    """The least (1 - TPR) / 2 + FPR / 2 over thresholds, that above all included."""
    all_n, all_p = steps(rows)[-1]
    return min([Fraction(1, 2), *((1 - p / all_p) / 2 + n / all_n / 2 for n, p in steps(rows))])


def turned(rows: list[Row]) -> list[Row]:
    """With the other label as positive, and scores negated."""
    return [(w, 1 - y, -s) for w, y, s in rows]


def delong(rows: list[Row], z: Any) -> tuple[Any, Any]:
    """The interval of AUROC on the logit scale, from the variances of each row's share of pairs won."""
    up, down = [s for _, y, s in rows if y == 1], [s for _, y, s in rows if y == 0]

    def won(a: Fraction, b: Fraction) -> Fraction:
        return Fraction(2 if a > b else 1 if a == b else 0, 2)

    shares = (
        [sum(won(a, b) for b in down) / len(down) for a in up],
        [sum(won(a, b) for a in up) / len(up) for b in down],
    )
    area = auroc(rows)
    variance = sum(sum((one - area) ** 2 for one in of) / (len(of) - 1) / len(of) for of in shares)
    middle, half = mpmath.log(mp(area / (1 - area))), z * root(variance) / mp(area * (1 - area))
    return 1 / (1 + mpmath.exp(half - middle)), 1 / (1 + mpmath.exp(-half - middle))


# Isotonic regression


def isotonic(y: list[Fraction], w: list[Fraction]) -> list[Fraction]:
    """x_i = max over j <= i of min over k >= i of the weighted mean of y_j .. y_k."""
    n = len(y)
    sums = [Fraction(0), *itertools.accumulate(a * b for a, b in zip(y, w, strict=True))]
    totals = [Fraction(0), *itertools.accumulate(w)]
    mean = [[(sums[k + 1] - sums[j]) / (totals[k + 1] - totals[j]) for k in range(j, n)] for j in range(n)]
    least = [[min(mean[j][i - j :]) for i in range(j, n)] for j in range(n)]
    return [max(least[j][i - j] for j in range(i + 1)) for i in range(n)]


def of_scores(rows: list[tuple[Fraction, Number, Fraction]]) -> dict[Fraction, Fraction]:
    """The fit at each distinct score, ties as one point at their mean."""
    levels = sorted({s for _, _, s in rows})
    w = [sum((w for w, _, s in rows if s == level), Fraction(0)) for level in levels]
    y = [sum((w * y for w, y, s in rows if s == level), Fraction(0)) / t for level, t in zip(levels, w, strict=True)]
    return dict(zip(levels, isotonic(y, w), strict=True))


def decomposition(rows: list[Row], score: str) -> dict[str, Number]:
    """The mean scores of the predictions, of their isotonic fit, and of the base rate."""
    fit, base, total = of_scores(rows), outcome(rows), weight(rows)

    def mean_score(of: Any) -> Number:
        if score == "brier":
            return sum((w * (of(p) - y) ** 2 for w, y, p in rows), Fraction(0)) / total
        return mpmath.fsum(mp(w) * surprise(of(p) if y else 1 - of(p)) for w, y, p in rows) / mp(total)

    given, fitted = mean_score(lambda p: p), mean_score(fit.__getitem__)
    unknown = mean_score(dict.fromkeys(fit, base).__getitem__)
    parts = {"miscalibration": given - fitted, "discrimination": unknown - fitted, "uncertainty": unknown}
    return {"score": given, **parts}


def runs(rows: list[Row]) -> tuple[list[Fraction], list[Fraction]]:
    """Rates and weights of the runs of equal fitted values."""
    fit, rates, weights = of_scores(rows), [], []
    for rate, levels in itertools.groupby(sorted(fit), key=fit.__getitem__):
        inside = set(levels)
        rates.append(rate)
        weights.append(sum((w for w, _, s in rows if s in inside), Fraction(0)))
    return rates, weights


# Selective prediction


def judged(case: Any) -> list[Row]:
    """Confidence in the prediction, in the precision of the scores, and whether that is wrong."""
    if case.p.ndim == 1:
        own, wrong = np.maximum(case.p, 1 - case.p), (case.p > 0.5) != (case.y == 1)
    else:
        own, wrong = case.p.max(axis=1), case.p.argmax(axis=1) != case.y
    return [(w, int(b), c) for w, b, c in zip(weights_of(case), wrong, exact(own), strict=True) if w]


def groups(rows: list[Row]) -> list[tuple[Fraction, Fraction]]:
    """Weight and wrong weight of each confidence, from the highest down, in units of the mean weight."""
    unit = _sum(rows) / len(rows)
    levels = sorted({c for _, _, c in rows}, reverse=True)
    return [(_sum(one) / unit, _sum(one, 1) / unit) for one in ([r for r in rows if r[2] == level] for level in levels)]


def areas(parts: list[tuple[Fraction, Fraction]], n: int) -> tuple[Number, Fraction]:
    """AURC and AUGRC: sums over j = 1..m of (E + j e / m) / (N + j) and of E + j e / m; of weights by digamma."""
    risks: Number = Fraction(0)
    general, before, wrong = Fraction(0), Fraction(0), Fraction(0)
    whole = all(m.denominator == 1 for m, _ in parts)
    for m, e in parts:
        if whole:
            risks += sum(((wrong + j * e / m) / (before + j) for j in range(1, int(m) + 1)), Fraction(0))
        else:
            sums = mpmath.psi(0, mp(before + m + 1)) - mpmath.psi(0, mp(before + 1))
            risks = mp(risks) + mp(e) + mp(wrong - e / m * before) * sums
        general += m * wrong + e * (m + 1) / 2
        before, wrong = before + m, wrong + e
    return risks / n, general / n / n


def excess(rows: list[Row]) -> Number:
    """AURC less that of the same errors at the end."""
    unit = _sum(rows) / len(rows)
    best = [(_sum(rows, y) / unit, _sum(rows, 1) / unit * y) for y in (0, 1) if _sum(rows, y)]
    mine, least = areas(groups(rows), len(rows))[0], areas(best, len(rows))[0]
    return mine - least if isinstance(mine, Fraction) and isinstance(least, Fraction) else mp(mine) - mp(least)


def coverages(rows: list[Row]) -> list[tuple[Fraction, Fraction]]:
    """Coverage and risk at each confidence, from the highest down."""
    kept = ([r for r in rows if r[2] >= level] for level in sorted({c for _, _, c in rows}, reverse=True))
    return [(_sum(one) / _sum(rows), _sum(one, 1) / _sum(one)) for one in kept]


# Smoothed, and of kernels


def smooth_ece(rows: list[Row], kernel: str) -> Any:
    """The s at which the integral of |sum_i r_i K_s(t, p_i)| is s; between changes of sign it is in closed form."""
    with mpmath.workdps(25):
        total = weight(rows)
        r = [mp(w * (y - p) / total) for w, y, p in rows]
        at = [mp(p) for _, _, p in rows]
        if kernel == "logit":
            at = [min(max(mpmath.log(p / (1 - p)) if 0 < p < 1 else (p - 0.5) * 99, -16), 16) / 4 for p in at]

        def centres(s: Any) -> list[list[Any]]:
            far = max(1, int(mpmath.ceil(5 * s))) if kernel == "identity" else 0
            images = ([2 * k + side * p for k in range(-far, far + 1) for side in (1, -1)] for p in at)
            return [[p] for p in at] if kernel == "logit" else list(images)

        def above(s: Any) -> Any:
            places = centres(s)

            def density(t: Any) -> Any:
                return mpmath.fsum(
                    a * mpmath.fsum(mpmath.npdf(t, c, s) for c in p) for a, p in zip(r, places, strict=True)
                )

            def whole(t: Any) -> Any:
                return mpmath.fsum(
                    a * mpmath.fsum(mpmath.ncdf((t - c) / s) for c in p) for a, p in zip(r, places, strict=True)
                )

            low, high = (mpmath.mpf(0), mpmath.mpf(1)) if kernel == "identity" else (min(at) - 9 * s, max(at) + 9 * s)
            grid = np.linspace(float(low), float(high), max(int(8 * float((high - low) / s)), 64) + 1)
            far = (grid[:, None, None] - np.array(places, float)[None]) / float(s)
            signs = np.sign((np.exp(-far * far / 2).sum(axis=2) * np.array(r, float)).sum(axis=1))
            ends = [low]
            for i in np.flatnonzero(signs[1:] * signs[:-1] < 0):
                ends.append(mpmath.findroot(density, (grid[i], grid[i + 1]), solver="anderson", tol=1e-30))
            values = [whole(t) for t in [*ends, high]]
            return mpmath.fsum(abs(b - a) for a, b in itertools.pairwise(values)) - s

        low = mpmath.mpf(0.5)
        while above(low) < 0:
            low /= 2
        return mpmath.findroot(above, (low, 2 * low), solver="anderson", tol=1e-24)


def kernel_error(case: Any, bandwidth: Fraction, kernel: str) -> Any:
    """The mean over pairs of consecutive rows of k(p, q) (e_y - p) . (e_z - q)."""
    p = [[1 - row, row] for row in exact(case.p)] if case.p.ndim == 1 else [exact(row) for row in case.p]
    terms = []
    for i in range(0, len(p) - 1, 2):
        (a, b), (y, z) = p[i : i + 2], case.y[i : i + 2]
        if kernel == "laplacian":
            k = mpmath.exp(-mp(sum(abs(c - d) for c, d in zip(a, b, strict=True)) / 2 / bandwidth))
        else:
            k = mpmath.exp(-mp(sum((c - d) ** 2 for c, d in zip(a, b, strict=True)) / bandwidth**2 / 2))
        product = sum(((j == y) - c) * ((j == z) - d) for j, (c, d) in enumerate(zip(a, b, strict=True)))
        terms.append(k * mp(product))
    return mpmath.fsum(terms) / len(terms)
